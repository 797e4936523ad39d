"""SmolLM2 and the tiny model against transformers with torch (fp32, eager), and against what bounds them.

SmolLM2's bound is the time that memory takes for its weights; the tiny model's is the time of some 80 calls a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import factory
from benchmarks.race import Row, best, faster, race
from factory.models import LanguageModel

TOKENS = 16
PROMPT = 128


def rows() -> Iterator[Row]:
    """SmolLM2's, then the tiny model's."""
    yield from smollm2()
    yield from tiny()


def tiny() -> Iterator[Row]:
    """Tokens a second of decode, and how that compares."""
    with factory.open("simulator") as device:
        model = LanguageModel.load(device, "tiny")
        ids = model.prompt("Tell me a story.")
        long = (ids * PROMPT)[:PROMPT]
        tokens = model.generate(ids, model.config.context, stop=())
        next(tokens)
        decoders = {"ours": lambda: [next(tokens) for _ in range(TOKENS)]}
        prefillers = {"ours": lambda: model.logits(long)}
        with contextlib.suppress(ImportError):
            decoders["torch"], prefillers["torch"] = _transformers(model, ids, long)
        decoded, prefilled = race(decoders), race(prefillers)
        detail = best(decoded) + f" for {TOKENS} tokens"
        yield Row("tiny: decode", TOKENS / min(decoded["ours"]), "tokens/s", "> 300", detail)
        if "torch" in decoded:
            yield Row("tiny: decode against transformers", faster(decoded, "ours", "torch"), "x as fast", "> 1")
            yield Row(
                f"tiny: prefill of {PROMPT} tokens against transformers", faster(prefilled, "ours", "torch"),
                "x as fast", "about 1", best(prefilled),
            )  # fmt: skip


def smollm2() -> Iterator[Row]:
    """Decode, prefill, and decode over the time of one sgemv that reads as many bytes."""
    with factory.open("simulator") as device:
        model = LanguageModel.load(device, "smollm2")
        ids = model.prompt("Tell me a story about a robot.")
        long = (ids * PROMPT)[:PROMPT]
        matrices = model.parameters // 576  # the floor's matrix has the model's weights, as rows of its width
        weights = np.ones((matrices, 576), np.float32)
        vector, out = np.ones(576, np.float32), np.empty(matrices, np.float32)
        tokens = model.generate(ids, 10_000, stop=())
        next(tokens)

        def decode() -> None:
            for _ in range(TOKENS):
                next(tokens)

        def floor() -> None:
            for _ in range(TOKENS):
                np.matmul(weights, vector, out=out)

        decoders = {"ours": decode, "floor": floor}
        prefillers = {"ours": lambda: model.logits(long)}
        try:
            their_decode, their_prefill = _transformers(model, ids, long)
        except ImportError:
            pass
        else:
            decoders["torch"], prefillers["torch"] = their_decode, their_prefill
        decoded, prefilled = race(decoders), race(prefillers)
        detail = best(decoded) + f" for {TOKENS} tokens"
        yield Row(
            "decode, distance from the bandwidth floor", 1 / faster(decoded, "ours", "floor"), "x", "<= 1.4", detail
        )
        if "torch" in decoded:
            yield Row("decode against transformers", faster(decoded, "ours", "torch"), "x as fast", ">= 1.5, aim 2.0")
            yield Row(
                f"prefill of {PROMPT} tokens against transformers", faster(prefilled, "ours", "torch"), "x as fast",
                ">= 1.0, aim 1.3", best(prefilled),
            )  # fmt: skip


def _transformers(model: LanguageModel, ids: list[int], long: list[int]):  # type: ignore[no-untyped-def]
    """transformers' decode of TOKENS tokens and its prefill, on its own reading of the same file."""
    import torch
    from transformers import AutoModelForCausalLM

    path = Path(model.source)
    folder, file = (path, None) if path.is_dir() else (path.parent, path.name)
    network = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    state: dict = {}

    def start() -> None:
        with torch.no_grad():
            first = network(torch.tensor([ids]), use_cache=True)
        state.update(cache=first.past_key_values, token=int(first.logits[0, -1].argmax()))

    def decode() -> None:
        with torch.no_grad():
            for _ in range(TOKENS):
                out = network(torch.tensor([[state["token"]]]), past_key_values=state["cache"], use_cache=True)
                state.update(cache=out.past_key_values, token=int(out.logits[0, -1].argmax()))

    def prefill() -> None:
        with torch.no_grad():
            network(torch.tensor([long])).logits.numpy()

    start()
    return decode, prefill
