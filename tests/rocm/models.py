"""Small models with random weights, for what does not depend on what a model says."""

from __future__ import annotations

import numpy as np

from factory.models.checkpoint import Checkpoint, LlamaConfig, TokenizerData, rope_frequencies

TOKENIZER = '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
SHAPES = {
    "grouped": dict(width=48, heads=6, kv_heads=2, head_width=8, feed_forward=80, tied=True),
    "each head its own keys": dict(width=32, heads=4, kv_heads=4, head_width=8, feed_forward=48, tied=False),
    "wide heads": dict(width=40, heads=2, kv_heads=1, head_width=24, feed_forward=64, tied=True),
}


def random_llama(shape: str = "grouped", seed: int = 0) -> Checkpoint:
    """A Llama-type checkpoint of three layers and 97 tokens."""
    sizes = SHAPES[shape]
    config = LlamaConfig(
        vocabulary=97, layers=3, context=64, epsilon=1e-5, rope_theta=1e4,
        rope_frequencies=tuple(rope_frequencies(1e4, sizes["head_width"])), **sizes,
    )  # fmt: skip
    random = np.random.default_rng(seed)
    tensors = {name: random.standard_normal(shape, np.float32) * 0.3 for name, shape in config.shapes().items()}
    return Checkpoint(config, tensors, TokenizerData(TOKENIZER), "random")
