"""Rendered glyphs, which the reader and the painter train on."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from factory.models import glyphs
from training.glyphs import fonts, render

LARGE = 2 * glyphs.SIDE
"""Pixels of the drawings that are distorted before they are brought to a model's size."""


@dataclass(frozen=True)
class Glyphs:
    """N drawings, normalised by `factory.models.glyphs.normalise`."""

    images: np.ndarray  # uint8 (N, 28, 28)
    large: np.ndarray  # uint8 (N, 56, 56), the same at twice the size
    labels: np.ndarray  # int64 (N,), index in CHARACTERS
    families: np.ndarray  # str (N,), name of the fonts.Family
    styles: np.ndarray  # int64 (N,), index in render.STYLES

    def __getitem__(self, chosen: np.ndarray) -> Glyphs:
        """The drawings that a mask or indices choose."""
        return Glyphs(*(array[chosen] for array in vars(self).values()))

    def __len__(self) -> int:
        return len(self.labels)


def load() -> Glyphs:
    """All glyphs of all fonts, rendered once and kept in the user's cache folder; fonts are fetched from Debian."""
    sources = (fonts, render, glyphs.normalise, glyphs._levels)
    version = hashlib.sha256("".join(map(inspect.getsource, sources)).encode()).hexdigest()[:16]
    path = fonts.CACHE / f"glyphs-{version}.npz"
    if not path.exists():
        made = make((family.name, file) for family in (*fonts.JAPANESE, *fonts.LATIN) for file in fonts.fetch(family))
        scratch = fonts.CACHE / f"scratch-{os.getpid()}.npz"
        np.savez_compressed(scratch, **vars(made))
        for old in fonts.CACHE.glob("glyphs-*.npz"):
            old.unlink(missing_ok=True)
        scratch.replace(path)
    with np.load(path) as kept:
        return Glyphs(**kept)


def make(files: Iterable[tuple[str, Path]]) -> Glyphs:
    """Render font files, each given with the name of its family."""
    rows = []
    for family, file in tqdm(files, desc="Rendering fonts", leave=False, delay=1):
        for label, style, ink in render.render(file):
            rows.append((_normalised(ink, glyphs.SIDE), _normalised(ink, LARGE), label, family, style))
    images, large, labels, families, styles = zip(*rows, strict=True)
    return Glyphs(np.array(images), np.array(large), np.array(labels), np.array(families), np.array(styles))


def _normalised(ink: np.ndarray, side: int) -> np.ndarray:
    return np.rint(glyphs.normalise(ink, side) * 255).astype(np.uint8)
