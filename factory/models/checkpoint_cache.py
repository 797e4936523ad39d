"""Models unpacked once and kept, so that the next start only maps a file.

One entry is one safetensors file in the user's cache folder: the fused float32 tensors, with config and tokenizer in
its header. All processes that use a model share its pages.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import platformdirs

from factory.errors import ModelError
from factory.models.checkpoint import Checkpoint, LlamaConfig, TokenizerData
from factory.models.safetensors_file import open_with_metadata, write_safetensors

FORMAT = 1
"""Count this up when what an entry holds changes."""
CHECKSUM = "checksum"
ABANDONED = 3600.0
"""Seconds after which a half-written file belongs to a process that died."""


def folder() -> Path:
    """Where the entries are."""
    return Path(platformdirs.user_cache_dir("inference-factory")) / "checkpoints"


def entry(source: Path, files: Sequence[Path]) -> Path:
    """The file that keeps a model: its name changes when any of the model's files changes size or time."""
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)]
    place = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    version = hashlib.sha256(repr((FORMAT, state)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder() / f"{place}-{version}.safetensors"


def load(path: Path, source: str) -> Checkpoint | None:
    """The checkpoint in an entry, its tensors views on one read-only memory map; None where it is absent or damaged."""
    try:
        tensors, metadata = open_with_metadata(path)
        stored = int(tensors.pop(CHECKSUM)[0])
        config = json.loads(metadata["config"])
        config["rope_frequencies"] = tuple(config["rope_frequencies"])
        tokenizer = json.loads(metadata["tokenizer"])
        tokenizer["stop_ids"] = tuple(tokenizer["stop_ids"])
        checkpoint = Checkpoint(LlamaConfig(**config), tensors, TokenizerData(**tokenizer), source)
    except (ModelError, LookupError, ValueError, TypeError):
        return None
    shapes = {name: array.shape for name, array in tensors.items() if array.dtype == np.float32}
    if shapes != checkpoint.config.shapes() or len(shapes) != len(tensors) or stored != _checksum(tensors, metadata):
        return None
    return checkpoint


def store(path: Path, checkpoint: Checkpoint) -> None:
    """Write an entry whole or not at all, and drop what it replaces.

    A folder that cannot be written is no error: the model is then unpacked again next time.
    """
    metadata = {
        "config": json.dumps(asdict(checkpoint.config)),
        "tokenizer": json.dumps(
            checkpoint.tokenizer._asdict() | {"special_tokens": dict(checkpoint.tokenizer.special_tokens)}
        ),
    }
    checksum = np.array([_checksum(checkpoint.tensors, metadata)], np.uint64)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, part = tempfile.mkstemp(".part", path.stem, path.parent)
        with os.fdopen(handle, "wb") as file:
            write_safetensors(file, {**checkpoint.tensors, CHECKSUM: checksum}, metadata)
        os.replace(part, path)
        part = None
    except OSError:
        pass
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove entries of the same source as it was before, and files that a killed process left half-written."""
    for old in path.parent.glob(path.name.split("-")[0] + "-*"):
        try:
            if old.suffix == ".safetensors" or time.time() - old.stat().st_mtime > ABANDONED:
                old.unlink()
        except OSError:  # on Windows a file that somebody maps stays
            continue


def _checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> int:
    """The sum of all 32-bit words, and a CRC of the texts: it runs at the speed of memory (30 ms for SmolLM2).

    It notices pages that a crash left empty and bits that flipped; nobody's attack is meant.
    """
    total = zlib.crc32("".join(metadata[key] for key in sorted(metadata)).encode())
    for array in tensors.values():
        total += int(array.ravel().view(np.uint32).sum(dtype=np.uint64))
    return total % 2**64
