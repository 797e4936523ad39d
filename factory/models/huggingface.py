"""Hugging Face model folders and hub names: config.json, tokenizer.json and safetensors of a Llama model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from factory.errors import ModelError
from factory.models.checkpoint import LlamaConfig, TokenizerData, rope_frequencies
from factory.models.safetensors_file import open_safetensors

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    INDEX,
    "model*.safetensors",
)
"""What a model's folder or repository holds that is read here, as patterns."""
NAMES = {
    "embedding": "model.embed_tokens.weight",
    "layer.attention_norm": "model.layers.{}.input_layernorm.weight",
    "layer.q": "model.layers.{}.self_attn.q_proj.weight",
    "layer.k": "model.layers.{}.self_attn.k_proj.weight",
    "layer.v": "model.layers.{}.self_attn.v_proj.weight",
    "layer.attention_output": "model.layers.{}.self_attn.o_proj.weight",
    "layer.feed_forward_norm": "model.layers.{}.post_attention_layernorm.weight",
    "layer.gate": "model.layers.{}.mlp.gate_proj.weight",
    "layer.up": "model.layers.{}.mlp.up_proj.weight",
    "layer.down": "model.layers.{}.mlp.down_proj.weight",
    "norm": "model.norm.weight",
    "output": "lm_head.weight",
}


def download(name: str) -> Path:
    """The folder that a hub name's files are in, fetched where they are not here yet.

    Raises ModelError where the hub cannot be reached or has no such model.
    """
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # the hub's own, httpx's, and the operating system's have no common base
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError("download", name=name, why=why) from error


class HuggingFaceSource:
    """A Llama model in a Hugging Face folder: see `factory.models.checkpoint.Source`."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder)
        config = _read_json(folder / "config.json")
        try:
            self.config = _config(config, self.path)
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            raise ModelError(
                "not_format", path=str(folder / "config.json"), format="Llama config", why=repr(error)
            ) from None
        self.tokenizer = _tokenizer(folder, config)
        self.tensors: dict[str, np.ndarray] = {}
        for file in _weight_files(folder):
            self.tensors |= open_safetensors(file)

    def name(self, part: str, layer: int | None) -> str:
        return NAMES[part].format(layer)

    def shape(self, part: str, layer: int | None) -> tuple[int, ...] | None:
        tensor = self.tensors.get(self.name(part, layer))
        return None if tensor is None else tensor.shape

    def read(self, part: str, layer: int | None) -> np.ndarray:
        tensor = self.tensors[self.name(part, layer)]
        if tensor.dtype.name not in ("float32", "float16", "bfloat16"):
            raise ModelError("feature", path=self.path, what=f"{self.name(part, layer)}: {tensor.dtype.name}")
        return tensor.astype(np.float32)

    def leftover(self) -> str | None:
        known = {self.name(part, layer) for _, pieces in self.config.recipe() for part, layer in pieces}
        # Tied models may store the embedding twice, old ones store what follows from rope_theta.
        known.add(NAMES["output"])
        return next((name for name in self.tensors if name not in known and not name.endswith("inv_freq")), None)


def _read_json(path: Path, required: bool = True) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(type(content).__name__)
        return content
    except OSError:
        if required:
            raise ModelError("missing", path=str(path)) from None
        return {}
    except (ValueError, RecursionError) as error:
        raise ModelError("not_format", path=str(path), format="JSON", why=error) from None


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        return [folder / WEIGHTS]
    shards = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict):
        raise ModelError("not_format", path=str(folder / INDEX), format="safetensors index", why="no weight_map")
    # By their last name only: an index has no business outside of its folder.
    return sorted({folder / Path(str(shard)).name for shard in shards.values()})


def _config(config: dict[str, Any], path: str) -> LlamaConfig:
    kind = config.get("model_type")
    if kind != "llama":
        raise ModelError("architecture", path=path, got=kind, known="llama")
    for key, plain in {
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "partial_rotary_factor": (1, None),
    }.items():
        if config.get(key, plain[0]) not in plain:
            raise ModelError("feature", path=path, what=f"{key} {config[key]}")
    if quantization := config.get("quantization_config"):
        raise ModelError("feature", path=path, what=f"quantization {quantization.get('quant_method')}")
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or config["hidden_size"] // heads
    theta, frequencies = _rope(config, head_width, path)
    return LlamaConfig(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=head_width,
        feed_forward=config["intermediate_size"],
        context=config.get("max_position_embeddings", 2048),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=theta,
        rope_frequencies=tuple(frequencies.tolist()),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _rope(config: dict[str, Any], head_width: int, path: str) -> tuple[float, np.ndarray]:
    """theta, and the D/2 angles a position with the scaling in them.

    transformers 5 writes it all as `rope_parameters`, older versions `rope_theta` beside `rope_scaling`.
    """
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(scaling.get("rope_theta", config.get("rope_theta", 10000.0)))
    frequencies = rope_frequencies(theta, head_width)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("default", "linear", "llama3") or scaling.get("partial_rotary_factor", 1) != 1:
        raise ModelError("feature", path=path, what=f"RoPE scaling {kind}")
    if kind == "linear":
        return theta, frequencies / float(scaling["factor"])
    if kind == "llama3":
        return theta, llama3_frequencies(
            frequencies,
            factor=float(scaling["factor"]),
            low=float(scaling["low_freq_factor"]),
            high=float(scaling["high_freq_factor"]),
            context=float(scaling.get("original_max_position_embeddings") or config["max_position_embeddings"]),
        )
    return theta, frequencies


def llama3_frequencies(frequencies: np.ndarray, factor: float, low: float, high: float, context: float) -> np.ndarray:
    """Llama 3.1's scaling: slow turns `factor` times slower, fast ones as they were, a smooth passage between.

    Slow is a pair that turns less than `low` times over the `context` of the training, fast more than `high` times.
    Source: apply_scaling in llama-models' models/llama3/model.py.
    """
    turns = context * frequencies / (2 * math.pi)
    fast = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequencies * (fast + (1.0 - fast) / factor)


def _tokenizer(folder: Path, config: dict[str, Any]) -> TokenizerData:
    try:
        text = (folder / "tokenizer.json").read_text("utf-8")
    except OSError:
        raise ModelError("missing", path=str(folder / "tokenizer.json")) from None
    except UnicodeDecodeError as error:
        raise ModelError("not_format", path=str(folder / "tokenizer.json"), format="JSON", why=error) from None
    settings = _read_json(folder / "tokenizer_config.json", required=False)
    try:
        template: str | None = (folder / "chat_template.jinja").read_text("utf-8")
    except OSError:
        template = _template(settings.get("chat_template"))
    special = {}
    for key, token in settings.items():
        # A token stands as its text, or as a dict of its text and its flags.
        token = token.get("content") if isinstance(token, dict) else token
        if key.endswith("_token") and isinstance(token, str):
            special[key] = token
    stop: set[int] = set()
    for place in (config, _read_json(folder / "generation_config.json", required=False)):
        ends = place.get("eos_token_id")
        stop.update(end for end in (ends if isinstance(ends, list) else [ends]) if isinstance(end, int))
    return TokenizerData(text, template, special, tuple(sorted(stop)), str(folder))


def _template(setting: Any) -> str | None:
    """The chat template in tokenizer_config.json: a text, or a list of named ones."""
    if isinstance(setting, list):
        named = {entry.get("name"): entry.get("template") for entry in setting if isinstance(entry, dict)}
        setting = named.get("default")
    return setting if isinstance(setting, str) else None
