"""PyTorch weight files (.pth, .pt) without PyTorch, and without running what a pickle says.

Formats: torch/serialization.py, `_save` (a zip of the pickle and one record a storage) and `_legacy_save` (three small
pickles, the object, its storage keys, then each storage's element count and bytes).
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from factory.errors import ModelError
from factory.models.torch_pickle import Follower, Storage, View

ZIP = b"PK\x03\x04"
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""torch's magic number, pickled: it begins every legacy file, after the few bytes in which pickle protocols differ."""
MOST_DIMENSIONS = 32
"""NumPy 1's limit."""


def load_torch_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a dict that torch.save wrote, in either format: read-only NumPy views on the file's data.

    A view keeps the strides that its tensor had. What else the dict holds beside tensors (numbers, texts) is left out.
    Raises ModelError for a file that is missing, no PyTorch file, cut short, that holds anything but tensors and plain
    data, or whose tensors reach outside the data that is there.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        raise ModelError("missing", path=path) from None
    try:
        if content.startswith(ZIP):
            found, data = _read_zip(content, path)
        elif LEGACY in content[:32]:
            found, data = _read_legacy(content, path)
        else:
            raise ModelError("not_format", path=path, format="PyTorch", why=f"{content[:4]!r}")
        if not isinstance(found, dict):
            raise ModelError("not_format", path=path, format="PyTorch", why="no dict")
        views = {name: view for name, view in found.items() if isinstance(view, View) and isinstance(name, str)}
        if not views:
            raise ModelError("not_format", path=path, format="PyTorch", why="no tensors")
        return {name: _array(view, data, name, path) for name, view in views.items()}
    except (EOFError, struct.error, zipfile.BadZipFile) as error:
        raise ModelError("truncated", path=path, why=error) from None
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ModelError("not_format", path=path, format="PyTorch", why=repr(error)) from None


def _read_zip(content: bytes, path: str) -> tuple[Any, dict[str, bytes]]:
    """The pickled object, and the bytes of each storage key."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    root = next((name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")), None)
    if root is None:
        raise ModelError("not_format", path=path, format="PyTorch", why="zip without data.pkl")
    left = len(content)

    def record(name: str) -> bytes:
        nonlocal left
        entry = archive.getinfo(root + name)
        # torch never compresses. Records that together are more than the file are a bomb.
        left -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or left < 0:
            raise ModelError("outside", path=path, name=root + name)
        return archive.read(entry)

    if root + "byteorder" in archive.namelist() and record("byteorder") != b"little":
        raise ModelError("feature", path=path, what="big-endian")
    follower = Follower(path)
    found = follower.follow(io.BytesIO(record("data.pkl")))
    return found, {key: record(f"data/{key}") for key in {storage.key for storage in follower.storages}}


def _read_legacy(content: bytes, path: str) -> tuple[Any, dict[str, bytes]]:
    """The pickled object, and the bytes of each storage key."""
    file = io.BytesIO(content)
    _magic, _protocol, system = (Follower(path).follow(file) for _ in range(3))
    if not system["little_endian"]:
        raise ModelError("feature", path=path, what="big-endian")
    follower = Follower(path)
    found = follower.follow(file)
    keys = Follower(path).follow(file)
    widths = {storage.key: storage.dtype.itemsize for storage in follower.storages}
    data = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        left = len(content) - file.tell()
        if not 0 <= count * widths[key] <= left:
            raise EOFError(f"{key}: {count * widths[key]:,} > {left:,} bytes")
        data[key] = file.read(count * widths[key])
    return found, data


def _array(view: View, data: Mapping[str, bytes], name: str, path: str) -> np.ndarray:
    """The view on its storage's bytes, after checking every number of it against them."""
    storage, offset, size, stride = view
    numbers = (offset, *size, *stride)
    if type(storage) is not Storage or not all(type(number) is int and number >= 0 for number in numbers):
        raise TypeError(f"tensor {name}")
    if len(size) != len(stride) or len(size) > MOST_DIMENSIONS:
        raise ValueError(f"tensor {name}: {len(size)} sizes, {len(stride)} strides")
    dtype, count = storage.dtype, math.prod(size)
    present = len(data[storage.key]) // dtype.itemsize
    reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    # A stride of 0 could make a terabyte of one number; a weight is never larger than what is stored of it.
    if storage.length > present or (count and (reach > storage.length or count > storage.length)):
        raise ModelError("outside", path=path, name=name)
    if count == 0:
        return np.frombuffer(bytes(dtype.itemsize), dtype)[:0].reshape(size)
    run = np.frombuffer(data[storage.key], dtype)[offset:]
    steps = [step * dtype.itemsize if length > 1 else 0 for length, step in zip(size, stride, strict=True)]
    return np.lib.stride_tricks.as_strided(run, size, steps, writeable=False)
