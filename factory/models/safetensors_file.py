"""safetensors files as views on one memory map, and writing them.

The safetensors library's NumPy interface copies every tensor. Views cost nothing until a page is touched, and all
processes that map one file share its pages. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
from collections.abc import Mapping
from typing import BinaryIO

import ml_dtypes
import numpy as np

from factory.errors import ModelError

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype(np.bool_),
}  # fmt: skip
ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector that a CPU loads."""
LONGEST_HEADER = 100_000_000
"""The limit of the safetensors library itself."""


def open_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file by name, as read-only views on one memory map of the file.

    The `.base` chain of every array ends in the `mmap.mmap`, which lives as long as any of them. Nothing is read but
    the header. Raises ModelError for a file that is missing, no safetensors, cut short, or of a type NumPy lacks.
    """
    return open_with_metadata(path)[0]


def open_with_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `open_safetensors`, with the texts that the file's header carries under "__metadata__"."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:
                raise ModelError("not_format", path=str(path), format="safetensors", why=f"{size} bytes")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            # Weights are read from end to end for every token: in pages of 2 MiB, where the file system has them,
            # that is 5 % faster. Where it has not, nothing is lost.
            with contextlib.suppress(OSError):
                mapped.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        raise ModelError("missing", path=str(path)) from None
    start = 8 + int.from_bytes(mapped[:8], "little")
    # A text file's first eight letters make a length of exabytes, a truncated file's header one beyond its end.
    if start > 8 + LONGEST_HEADER or mapped[8:9] != b"{":
        raise ModelError("not_format", path=str(path), format="safetensors", why="no header")
    if start > size:
        raise ModelError("truncated", path=str(path), why=f"header {start:,} > {size:,} bytes")
    try:
        header = json.loads(mapped[8:start])
        metadata = {str(key): str(text) for key, text in header.pop("__metadata__", {}).items()}
        tensors = {name: _view(mapped, start, name, entry, str(path)) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError("not_format", path=str(path), format="safetensors", why=f"header: {error}") from None
    return tensors, metadata


def _view(mapped: mmap.mmap, start: int, name: str, entry: dict, path: str) -> np.ndarray:
    """One tensor on the map, after checking what the header says of it against the file."""
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ModelError("feature", path=path, what=f"{name}: {entry['dtype']}")
    shape = entry["shape"]
    first, last = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, first, last)):
        raise ValueError(f"{name}: {shape}, {first}..{last}")
    if last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: {shape} {entry['dtype']} in {last - first} bytes")
    if start + last > len(mapped):
        raise ModelError("truncated", path=path, why=f"{name}: {start + last:,} > {len(mapped):,} bytes")
    return np.ndarray(tuple(shape), dtype, mapped, start + first)


def write_safetensors(file: BinaryIO, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write C-contiguous float32 or uint64 arrays so that each lies on 64 bytes where its size allows.

    The header is padded with spaces, as the format permits; no gap may stand between tensors, so that those whose
    size is no multiple of 64 come last.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    order = sorted(tensors, key=lambda name: tensors[name].nbytes % ALIGNMENT != 0)
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for name in order:
        array = tensors[name]
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(np.ascontiguousarray(tensors[name]).data)
