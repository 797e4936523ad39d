"""Glyphs of a font as drawings: as they are, and as a round pen would draw their strokes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.morphology import skeletonize

from factory.models.glyphs import CHARACTERS

STYLES = ("print", "thin pen", "thick pen")
_LONGEST = 168  # pixels of the ink's longest side
_RADII = (6.1, 11.5)  # of the pens: 0.8 and 1.5 pixels of a normalised drawing


def render(path: Path) -> Iterator[tuple[int, int, np.ndarray]]:
    """(class, style, drawing) for every character that a font has; the drawing is uint8, its ink 168 pixels long."""
    with TTFont(path, fontNumber=0, lazy=True) as font:
        known = font.getBestCmap()
        empty = {name for name in known.values() if name == ".notdef"}
    for label, character in enumerate(CHARACTERS):
        if ord(character) in known and known[ord(character)] not in empty:
            ink = _ink(path, character)
            if ink is not None:
                yield label, 0, ink
                for style, radius in enumerate(_RADII, start=1):
                    yield label, style, _pen(ink, radius)


def _ink(path: Path, character: str) -> np.ndarray | None:
    """The glyph with room around it; None where the font draws nothing, as subsets of fonts may."""
    size = 150.0
    for _ in range(2):  # the second time at the size that the first one asked for
        font = ImageFont.truetype(str(path), size)
        left, top, right, bottom = font.getbbox(character)
        if min(right - left, bottom - top) < 1:
            return None
        size *= _LONGEST / max(right - left, bottom - top)
    room = 24
    picture = Image.new("L", (round(right - left) + 2 * room, round(bottom - top) + 2 * room))
    ImageDraw.Draw(picture).text((room - left, room - top), character, 255, font=font)
    ink = np.asarray(picture)
    return ink if ink.any() else None


def _pen(ink: np.ndarray, radius: float) -> np.ndarray:
    """The glyph's skeleton drawn anew by a round pen: print becomes what a hand with a mouse or a pencil draws."""
    smooth = ndimage.gaussian_filter(np.asarray(ink, np.float32) / 255, 1.5)
    bones = skeletonize(smooth > 0.25)
    distance = ndimage.distance_transform_edt(~bones)
    return (np.clip(radius + 0.5 - distance, 0, 1) * 255).astype(np.uint8)
