"""GGUF files (llama.cpp's format): header, sizes of a Llama model, weights of every type that `gguf` can unpack.

The header is read here and not by `gguf.GGUFReader`, which makes a NumPy array of each of 100,000 strings (1.7 s for
SmolLM2; this takes 0.1 s) and walks past the end of a damaged file. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from typing import Any, NamedTuple

import gguf
import numpy as np

from factory.errors import ModelError
from factory.models.checkpoint import LlamaConfig, rope_frequencies
from factory.models.gguf_tokenizer import read_tokenizer

SCALARS = {
    gguf.GGUFValueType.UINT8: "<B", gguf.GGUFValueType.INT8: "<b", gguf.GGUFValueType.UINT16: "<H",
    gguf.GGUFValueType.INT16: "<h", gguf.GGUFValueType.UINT32: "<I", gguf.GGUFValueType.INT32: "<i",
    gguf.GGUFValueType.FLOAT32: "<f", gguf.GGUFValueType.BOOL: "<?", gguf.GGUFValueType.UINT64: "<Q",
    gguf.GGUFValueType.INT64: "<q", gguf.GGUFValueType.FLOAT64: "<d",
}  # fmt: skip
NAMES = {
    "embedding": "token_embd.weight",
    "layer.attention_norm": "blk.{}.attn_norm.weight",
    "layer.q": "blk.{}.attn_q.weight",
    "layer.k": "blk.{}.attn_k.weight",
    "layer.v": "blk.{}.attn_v.weight",
    "layer.attention_output": "blk.{}.attn_output.weight",
    "layer.feed_forward_norm": "blk.{}.ffn_norm.weight",
    "layer.gate": "blk.{}.ffn_gate.weight",
    "layer.up": "blk.{}.ffn_up.weight",
    "layer.down": "blk.{}.ffn_down.weight",
    "norm": "output_norm.weight",
    "output": "output.weight",
}
ROPE_FACTORS = "rope_freqs.weight"


class Packed(NamedTuple):
    """One tensor as it lies in the file."""

    shape: tuple[int, ...]
    type: gguf.GGMLQuantizationType
    start: int
    """Its first byte, from the beginning of the file."""


class Header(NamedTuple):
    """What stands before the weights of a GGUF file."""

    metadata: dict[str, Any]
    tensors: dict[str, Packed]
    mapped: mmap.mmap


class _Cursor:
    """Reads little-endian values one after another, never past the end."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self.mapped = mapped
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.mapped) - self.at:
            raise EOFError(f"{self.at + count:,} > {len(self.mapped):,} bytes")
        self.at += count
        return self.mapped[self.at - count : self.at]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == gguf.GGUFValueType.STRING:
            return self.text()
        if kind != gguf.GGUFValueType.ARRAY:
            return self.number(SCALARS[gguf.GGUFValueType(kind)])
        item, count = self.number("<I"), self.number("<Q")
        if item in (gguf.GGUFValueType.STRING, gguf.GGUFValueType.ARRAY):
            return [self.value(item) for _ in range(count)]
        layout = SCALARS[gguf.GGUFValueType(item)]
        return np.frombuffer(self.take(count * struct.calcsize(layout)), layout).tolist()


def read_header(path: str | os.PathLike[str]) -> Header:
    """Metadata and tensor table of a GGUF file of version 2 or 3, and its memory map.

    Raises ModelError where it is missing, no GGUF, or cut short: every tensor must lie inside the file.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(8)
            if begin[:4] != b"GGUF":
                raise ModelError("not_format", path=str(path), format="GGUF", why=f"{begin[:4]!r}")
            cursor = _Cursor(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError:
        raise ModelError("missing", path=str(path)) from None
    version = int.from_bytes(begin[4:], "little")
    if version not in (2, 3):
        raise ModelError("feature", path=str(path), what=f"GGUF version {version}")
    cursor.at = 8
    try:
        return _parse(cursor)
    except EOFError as error:
        raise ModelError("truncated", path=str(path), why=error) from None
    except (ValueError, KeyError, OverflowError, RecursionError) as error:
        raise ModelError("not_format", path=str(path), format="GGUF", why=error) from None


def _parse(cursor: _Cursor) -> Header:
    tensor_count, metadata_count = cursor.number("<Q"), cursor.number("<Q")
    metadata: dict[str, Any] = {}
    for _ in range(metadata_count):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.number("<I"))
    table = []
    for _ in range(tensor_count):
        name = cursor.text()
        dimensions = [cursor.number("<Q") for _ in range(cursor.number("<I"))]
        kind = gguf.GGMLQuantizationType(cursor.number("<I"))
        # ggml counts the dimensions from the innermost.
        table.append((name, tuple(reversed(dimensions)), kind, cursor.number("<Q")))
    alignment = metadata.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"general.alignment {alignment}")
    data = cursor.at + -cursor.at % alignment
    tensors = {name: Packed(shape, kind, data + offset) for name, shape, kind, offset in table}
    for name, packed in tensors.items():
        end = packed.start + _bytes(packed)
        if end > len(cursor.mapped):
            raise EOFError(f"{name}: {end:,} > {len(cursor.mapped):,} bytes")
    return Header(metadata, tensors, cursor.mapped)


def _bytes(packed: Packed) -> int:
    block, size = gguf.GGML_QUANT_SIZES[packed.type]
    if packed.shape and packed.shape[-1] % block:
        raise ValueError(f"{packed.shape} {packed.type.name}")
    return math.prod(packed.shape) // block * size


class GGUFSource:
    """A Llama model in a GGUF file: see `factory.models.checkpoint.Source`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self.header = read_header(path)
        try:
            self.config = self._config()
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
            raise ModelError("not_format", path=self.path, format="Llama GGUF", why=repr(error)) from None
        self.tokenizer = read_tokenizer(self.header.metadata, self.path)

    def _config(self) -> LlamaConfig:
        metadata, tensors = self.header.metadata, self.header.tensors
        architecture = metadata.get("general.architecture")
        if architecture != "llama":
            raise ModelError("architecture", path=self.path, got=architecture, known="llama")

        def get(key: str, default: Any = None) -> Any:
            return metadata["llama." + key] if default is None else metadata.get("llama." + key, default)

        heads = get("attention.head_count")
        head_width = get("attention.key_length", get("embedding_length") // heads)
        context = get("context_length")
        for key, plain in {
            "expert_count": 0,
            "rope.dimension_count": head_width,
            "attention.value_length": head_width,
            "attention.causal": True,
        }.items():
            if get(key, plain) != plain:
                raise ModelError("feature", path=self.path, what=f"{key} {get(key)}")
        theta = float(get("rope.freq_base", 10000.0))
        return LlamaConfig(
            vocabulary=tensors[NAMES["embedding"]].shape[0],
            width=get("embedding_length"),
            layers=get("block_count"),
            heads=heads,
            kv_heads=get("attention.head_count_kv", heads),
            head_width=head_width,
            feed_forward=get("feed_forward_length"),
            context=context,
            epsilon=get("attention.layer_norm_rms_epsilon"),
            rope_theta=theta,
            rope_frequencies=self._rope(theta, head_width),
            tied=NAMES["output"] not in tensors,
        )

    def _rope(self, theta: float, head_width: int) -> tuple[float, ...]:
        metadata = self.header.metadata
        factor = metadata.get("llama.rope.scaling.factor", metadata.get("llama.rope.scale_linear", 0)) or 1.0
        # As llama.cpp does: a factor without a type is linear.
        kind = metadata.get("llama.rope.scaling.type", "linear")
        if kind not in ("none", "linear"):
            raise ModelError("feature", path=self.path, what=f"RoPE scaling {kind}")
        frequencies = rope_frequencies(theta, head_width) / (factor if kind == "linear" else 1.0)
        if ROPE_FACTORS in self.header.tensors:
            factors = self._dequantize(ROPE_FACTORS).ravel()
            if factors.shape != frequencies.shape:
                raise ModelError("tensor", path=self.path, name=ROPE_FACTORS, want=frequencies.shape, got=factors.shape)
            frequencies = frequencies / factors
        return tuple(frequencies.tolist())

    def name(self, part: str, layer: int | None) -> str:
        return NAMES[part].format(layer)

    def shape(self, part: str, layer: int | None) -> tuple[int, ...] | None:
        packed = self.header.tensors.get(self.name(part, layer))
        return packed and packed.shape

    def leftover(self) -> str | None:
        used = {self.name(part, layer) for _, pieces in self.config.recipe() for part, layer in pieces}
        return next((name for name in self.header.tensors if name not in used and name != ROPE_FACTORS), None)

    def read(self, part: str, layer: int | None) -> np.ndarray:
        weight = self._dequantize(self.name(part, layer))
        heads = {"layer.q": self.config.heads, "layer.k": self.config.kv_heads}.get(part)
        if heads is None:
            return weight
        # llama.cpp turns the pairs (2d, 2d + 1) of a head, Hugging Face (d, d + D/2): its converter reordered the
        # rows of q and k, and this puts them back.
        rows, columns = weight.shape
        return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)

    def _dequantize(self, name: str) -> np.ndarray:
        packed = self.header.tensors[name]
        size = _bytes(packed)
        data = np.frombuffer(self.header.mapped, np.uint8, size, packed.start)
        if packed.type not in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
            data = data.reshape(*packed.shape[:-1], -1)
        try:
            # NaN is looked for afterwards; until then a damaged scale is not worth a warning.
            with np.errstate(all="ignore"):
                return gguf.dequantize(data, packed.type).reshape(packed.shape)
        except NotImplementedError:
            raise ModelError("feature", path=self.path, what=f"{name}: {packed.type.name}") from None
