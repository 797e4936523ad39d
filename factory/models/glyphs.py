"""Digits and hiragana on a Device: GlyphReader tells which character a drawing shows.

`normalise` brings a drawing of any size to the one form that the models of this module were trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from factory.array import DeviceArray
from factory.device import Device
from factory.errors import ModelError
from factory.models.safetensors_file import open_with_metadata
from factory.models.vision import open_picture
from factory.problem import ConvolutionProblem

DIGITS = "0123456789"
HIRAGANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
CHARACTERS = DIGITS + HIRAGANA
ALPHABETS = {"all": CHARACTERS, "digits": DIGITS, "hiragana": HIRAGANA}
SIDE = 28
"""Pixels of a normalised drawing, both ways, as in MNIST."""

_WEIGHTS = Path(__file__).parent.parent / "data" / "glyph_reader.safetensors"
_INK = 22 / 28  # the longest side of the ink, of the picture's side
_FAINT = 0.2  # of the brightest pixel: less is no ink, only its soft edge


def normalise(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A drawing as float32 (side, side) in 0..1: its ink 22/28 of the side long, its centre of mass in the middle.

    image is uint8 or float (H, W), bright ink on a black ground, of any size, and in floats of any brightness. Where
    nothing is drawn all is 0. Raises ModelError for other shapes and types, NaN, and dark ink on a bright ground.
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", centre their digits the same way.
    """
    pixels = _levels(image)
    if not pixels.any():
        return np.zeros((side, side), np.float32)
    rows, columns = (np.flatnonzero((pixels > _FAINT).any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    ink = pixels[top : rows[-1] + 1, left : columns[-1] + 1]
    height, width = ink.shape
    window = max(height, width) / _INK
    margin = math.ceil(2 * max(1, window / side)) + 1  # what the bicubic filter sees of its surroundings
    ground = np.zeros((math.ceil(window) + 2 * margin,) * 2, np.float32)  # in floats it overshoots uncut
    starts, places = [], []
    for length, weights in ((height, ink.sum(1, dtype=np.float64)), (width, ink.sum(0, dtype=np.float64))):
        centre = float(weights @ (np.arange(length) + 0.5) / weights.sum())
        start = min(max(centre, length - window / 2), window / 2) - window / 2  # so that all ink stays inside
        places.append(margin + math.floor(-start))
        starts.append(places[-1] + start)
    (row, column), (y, x) = places, starts
    ground[row : row + height, column : column + width] = ink
    box = (x, y, x + window, y + window)
    scaled = Image.fromarray(ground).resize((side, side), Image.Resampling.BICUBIC, box)
    return np.clip(np.asarray(scaled), 0, 1)


def _levels(image: np.ndarray) -> np.ndarray:
    """A drawing as float32 (H, W), its brightest pixel 1, or all 0 where there is no ink."""
    drawn = isinstance(image, np.ndarray) and (image.dtype == np.uint8 or image.dtype.kind == "f")
    if not drawn or image.ndim != 2 or not image.size:
        got = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ModelError("drawing", got=got)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ModelError("not_finite", what="image")
    brightest = image.max()
    if brightest <= 0:
        return np.zeros(image.shape, np.float32)
    pixels = np.clip(image / brightest, 0, 1).astype(np.float32)
    if np.median(np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))) > 0.5:
        raise ModelError("dark_ink")
    return pixels


def load_drawing(path: Any) -> np.ndarray:
    """A picture file of one character as uint8 (H, W), its ink bright: pen on paper, or chalk on a board.

    The ground is what most of the picture's edge shows. Raises ModelError for what is no picture.
    """
    grey = np.asarray(open_picture(path).convert("L"), np.int16)
    edge = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    return np.abs(grey - np.int16(np.median(edge))).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (K, C, 3, 3) that keeps the size, its bias, ReLU, and a halving where `halved` is an array.

    Results always go to the same arrays, so that reading asks for no memory.
    """

    weight: DeviceArray
    bias: DeviceArray  # (K, 1, 1)
    problem: ConvolutionProblem
    result: DeviceArray  # (1, K, H, W)
    halved: DeviceArray | None  # (1, K, H / 2, W / 2)

    @property
    def out(self) -> DeviceArray:
        return self.result if self.halved is None else self.halved


class GlyphReader:
    """A small convolutional network that reads a drawing, every operation through a Device. characters: its classes."""

    def __init__(self, device: Device, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        self.device = device
        self.characters = metadata.get("characters", "")
        if self.characters != CHARACTERS:
            raise ModelError("not_format", path=_WEIGHTS.name, format="glyph reader", why=repr(self.characters))
        halvings = metadata.get("halved after layers", "").split()
        with device.timeline.at(step=1):
            self._drawing = device.array(np.zeros((1, 1, SIDE, SIDE), np.float32), name="drawing")
            self._layers: list[Layer] = []
            shape = self._drawing.shape
            while f"convolution{self.layers + 1}.weight" in tensors:
                number = str(self.layers + 1)
                self._layers.append(_layer(device, tensors, number, shape, halved=number in halvings))
                shape = self._layers[-1].out.shape
            inputs, classes = math.prod(shape), len(self.characters)
            self._weight = put(device, _WEIGHTS, tensors, "classifier.weight", (classes, inputs))
            self._bias = put(device, _WEIGHTS, tensors, "classifier.bias", (classes,))
            self._scores = device.empty((1, classes), name="scores")

    @classmethod
    def load(cls, device: Device) -> GlyphReader:
        """Load the package's reader onto a device, and let `find` race its convolutions' solvers (once a computer)."""
        reader = cls(device, *open_with_metadata(_WEIGHTS))
        for problem in reader.problems():
            device.find(problem)
        return reader

    @property
    def layers(self) -> int:
        """How many convolutions it has, each with its activation."""
        return len(self._layers)

    def weights(self) -> Iterator[DeviceArray]:
        """All weights on the device, in order; each carries its name."""
        for layer in self._layers:
            yield from (layer.weight, layer.bias)
        yield from (self._weight, self._bias)

    def problems(self) -> Iterator[ConvolutionProblem]:
        """The convolutions of one drawing, in order."""
        for layer in self._layers:
            yield layer.problem

    def read(self, image: np.ndarray, alphabet: str = "all") -> list[tuple[str, float]]:
        """The characters of an alphabet with their probabilities, best first; nothing where nothing is drawn.

        image is uint8 or float (H, W), bright ink on a black ground, of any size. alphabet is "all", "digits" or
        "hiragana". Raises ModelError for another alphabet, and for images that `normalise` refuses.
        """
        if not isinstance(alphabet, str) or alphabet not in ALPHABETS:
            raise ModelError("alphabet", got=repr(alphabet), known=", ".join(map(repr, ALPHABETS)))
        drawing = normalise(image)
        if not drawing.any():
            return []
        letters = ALPHABETS[alphabet]
        first = self.characters.index(letters[0])
        scores = self._compute(drawing)[:, first : first + len(letters)]
        with self.device.timeline.at(step=5):
            chances = self.device.softmax(scores, out=scores).numpy()[0]
        return [(letters[i], float(chances[i])) for i in np.argsort(-chances, kind="stable")]

    def scores(self, drawing: np.ndarray) -> np.ndarray:
        """The network's scores of all classes, float32 (56,), for a drawing that `normalise` made."""
        return self._compute(drawing).numpy()[0]

    def _compute(self, drawing: np.ndarray) -> DeviceArray:
        """The scores (1, 56) on the device, in an array that the next drawing uses again."""
        device = self.device
        with device.timeline.at(step=1):
            device.write(self._drawing, drawing[None, None])
        x = self._drawing
        for index, layer in enumerate(self._layers):
            with device.timeline.at(layer=index + 1):
                y = device.convolve(x, layer.weight, layer.problem, out=layer.result)
                device.add(y, layer.bias, out=y)
                device.activate(y, "relu", out=y)
                x = y if layer.halved is None else device.pool(y, "max", (2, 2), out=layer.halved)
        with device.timeline.at(step=5):
            device.gemm(x.reshape(1, -1), self._weight, transpose_b=True, out=self._scores)
            return device.add(self._scores, self._bias, out=self._scores)


def _layer(device: Device, tensors: dict[str, np.ndarray], number: str, shape: tuple[int, ...], halved: bool) -> Layer:
    """A layer for inputs of a shape (1, C, H, W)."""
    _, c, h, w = shape
    k = tensors[f"convolution{number}.weight"].shape[0]
    return Layer(
        put(device, _WEIGHTS, tensors, f"convolution{number}.weight", (k, c, 3, 3)),
        put(device, _WEIGHTS, tensors, f"convolution{number}.bias", (k,)).reshape(k, 1, 1),
        ConvolutionProblem(1, c, h, w, k, 3, 3, (1, 1)),
        device.empty((1, k, h, w), name=f"result {number}"),
        device.empty((1, k, h // 2, w // 2), name=f"halved {number}") if halved else None,
    )


def put(device: Device, file: Path, tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> DeviceArray:
    """A weight of a file in the package, on the device in float32; kept in float16 it takes half the room.

    Raises ModelError, with the file's name, for a weight that is missing, of another shape or type, or not finite.
    """
    found = tensors.get(name)
    if found is None or found.shape != shape or found.dtype != np.float16:
        got = "missing" if found is None else f"{found.shape} {found.dtype}"
        raise ModelError("tensor", path=file.name, name=name, want=f"{shape} float16", got=got)
    if not np.isfinite(found).all():
        raise ModelError("not_finite", what=name)
    return device.array(found.astype(np.float32), name=name)
