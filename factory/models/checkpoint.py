"""What a Llama-type language model is before it runs: its sizes, its weights by name, its tokenizer.

Every file format is first read as parts (`q`, `k`, `v`, `gate`, ... one layer at a time, as all formats have them) and
then fused: what multiplies the same input stands in one matrix, so that one GEMM does the work of three. Letters in
shapes: V vocabulary, C width, H heads, K key-value heads, D head width, F feed-forward width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from tqdm.auto import tqdm

from factory.errors import ModelError
from factory.language import Text

WIDEST_HEAD = 2**16
"""Far more than any model has; a file that asks for more is broken."""
UNPACKING = Text("重みを読み込み中", "Unpacking the weights")


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes of a Llama-type model (Touvron et al. 2023, arXiv:2302.13971; grouped queries: arXiv:2305.13245)."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    context: int
    """The most tokens that the model was made to read at once."""
    epsilon: float
    """Added to the mean square in RMS norm."""
    rope_theta: float
    rope_frequencies: tuple[float, ...]
    """D/2 angles in radians that one position turns each pair of a head by; any RoPE scaling is already in them."""
    tied: bool
    """Whether the output matrix is the embedding itself."""

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no such model has, before any of them asks for memory."""
        sizes = (self.vocabulary, self.width, self.layers, self.heads, self.kv_heads, self.feed_forward, self.context)
        if any(type(size) is not int or size < 1 for size in (*sizes, self.head_width)):
            raise ValueError(f"sizes {sizes}")
        if self.heads % self.kv_heads or len(self.rope_frequencies) * 2 != self.head_width:
            raise ValueError(f"{self.heads} heads, {self.kv_heads} key-value heads, head width {self.head_width}")
        if not all(math.isfinite(number) for number in (self.epsilon, self.rope_theta, *self.rope_frequencies)):
            raise ValueError(f"epsilon {self.epsilon}, RoPE {self.rope_theta}")

    def part_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the unfused parts: those of one layer are named "layer.q" and so on."""
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (self.vocabulary, self.width),
            "layer.attention_norm": (self.width,),
            "layer.q": (queries, self.width),
            "layer.k": (keys, self.width),
            "layer.v": (keys, self.width),
            "layer.attention_output": (self.width, queries),
            "layer.feed_forward_norm": (self.width,),
            "layer.gate": (self.feed_forward, self.width),
            "layer.up": (self.feed_forward, self.width),
            "layer.down": (self.width, self.feed_forward),
            "norm": (self.width,),
        }
        return shapes if self.tied else shapes | {"output": (self.vocabulary, self.width)}

    def recipe(self) -> Iterator[tuple[str, tuple[tuple[str, int | None], ...]]]:
        """Each tensor of a `Checkpoint` in order: its name, and the (part, layer) whose rows it is made of."""
        yield "embedding", (("embedding", None),)
        for i in range(self.layers):
            yield f"layers.{i}.attention_norm", (("layer.attention_norm", i),)
            yield f"layers.{i}.qkv", (("layer.q", i), ("layer.k", i), ("layer.v", i))
            yield f"layers.{i}.attention_output", (("layer.attention_output", i),)
            yield f"layers.{i}.feed_forward_norm", (("layer.feed_forward_norm", i),)
            yield f"layers.{i}.gate_up", (("layer.gate", i), ("layer.up", i))
            yield f"layers.{i}.down", (("layer.down", i),)
        yield "norm", (("norm", None),)
        if not self.tied:
            yield "output", (("output", None),)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of a `Checkpoint`'s tensors, in the order of the forward pass."""
        parts = self.part_shapes()
        return {
            name: (sum(parts[part][0] for part, _ in pieces), *parts[pieces[0][0]][1:])
            for name, pieces in self.recipe()
        }


class TokenizerData(NamedTuple):
    """What a tokenizer is made from."""

    json: str
    """The text of a tokenizer.json, as the `tokenizers` library reads it."""
    chat_template: str | None = None
    """Jinja source that turns messages into the model's prompt."""
    special_tokens: Mapping[str, str] = MappingProxyType({})
    """What a chat template may name: "bos_token", "eos_token" and the like, where the model has them."""
    stop_ids: tuple[int, ...] = ()
    """Token ids that end an answer."""
    source: str = ""
    """Where it was read from, for error messages."""


@dataclass(frozen=True)
class Checkpoint:
    """A language model as loaded: read-only, and the same whatever file it came from.

    `tensors` are C-contiguous float32: "embedding" (V, C); for layer i "layers.{i}.attention_norm" (C),
    "layers.{i}.qkv" ((H+2K)*D, C) of q, k and v rows, "layers.{i}.attention_output" (C, H*D),
    "layers.{i}.feed_forward_norm" (C), "layers.{i}.gate_up" (2F, C) of gate and up rows, "layers.{i}.down" (C, F);
    "norm" (C); and where the model is not tied "output" (V, C). Rows of q and k are in Hugging Face's order for rotary
    embedding: the pairs of a head are (d, d + D/2).
    """

    config: LlamaConfig
    tensors: Mapping[str, np.ndarray]
    tokenizer: TokenizerData
    source: str
    """Where it was read from."""


class Source(Protocol):
    """A file format's reader, open on one model: its sizes and tokenizer are known, its weights still packed."""

    path: str
    config: LlamaConfig
    tokenizer: TokenizerData

    def shape(self, part: str, layer: int | None) -> tuple[int, ...] | None:
        """The shape of a part as the file states it; None where the file has no such part."""

    def name(self, part: str, layer: int | None) -> str:
        """What the file calls a part."""

    def read(self, part: str, layer: int | None) -> np.ndarray:
        """A part as float32, rows of q and k in Hugging Face's order."""

    def leftover(self) -> str | None:
        """A weight in the file that no part accounts for, so that the model is not what we would compute."""


def unpack(source: Source, progress: bool = True) -> dict[str, np.ndarray]:
    """All tensors of a model, fused as `Checkpoint` describes, each owning its memory.

    Every shape is checked before the first weight is read, so that a wrong file fails at once and a hostile one
    cannot ask for memory. Raises ModelError for a weight that is missing, of another shape, not finite, or unknown.
    """
    config = source.config
    parts = config.part_shapes()
    for _, pieces in config.recipe():
        for part, layer in pieces:
            got = source.shape(part, layer)
            if got is None:
                raise ModelError("absent", path=source.path, name=source.name(part, layer))
            if got != parts[part]:
                raise ModelError("tensor", path=source.path, name=source.name(part, layer), want=parts[part], got=got)
    if extra := source.leftover():
        raise ModelError("feature", path=source.path, what=extra)

    shapes = config.shapes()
    tensors: dict[str, np.ndarray] = {}
    total = sum(math.prod(shape) for shape in shapes.values())
    with tqdm(total=total, desc=str(UNPACKING), unit="", unit_scale=True, delay=1, disable=not progress) as bar:
        for name, pieces in config.recipe():
            tensors[name] = fused = np.empty(shapes[name], np.float32)
            row = 0
            for part, layer in pieces:
                rows = parts[part][0]
                fused[row : row + rows] = source.read(part, layer)
                if not np.isfinite(fused[row : row + rows]).all():
                    raise ModelError("not_finite", what=f"{source.path}: {source.name(part, layer)}")
                row += rows
            bar.update(fused.size)
    return tensors


def rope_frequencies(theta: float, head_width: int) -> np.ndarray:
    """theta**(-2i/D) for each of the D/2 pairs i of a head, float64 (Su et al. 2021, arXiv:2104.09864).

    Raises ValueError for a head width or theta that cannot be one.
    """
    if type(head_width) is not int or not 2 <= head_width <= WIDEST_HEAD or head_width % 2 or not theta > 0:
        raise ValueError(f"RoPE theta {theta}, head width {head_width}")
    return theta ** (-np.arange(0, head_width, 2, dtype=np.float64) / head_width)
