"""Feature maps: what the first filters of a real network see in a photo, and what is left of it at each depth."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from factory.array import DeviceArray
from factory.lab.boxes import NAMES, OWN, PHOTO
from factory.lab.figures import Picture, picture
from factory.lab.svg import PAPER, box, raster
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.vision import PHOTOS, ImageClassifier

STEM = Text(
    "EfficientNet-Lite0 の最初の層: {count} 枚のフィルターと、その特徴マップ",
    "The first layer of EfficientNet-Lite0: {count} filters and their feature maps",
)
STEM_SAY = Text(
    "特徴マップが {count} 枚。大きさは {height}×{width}。左下の小さな絵は、その特徴マップを作った 3×3 のフィルター。",
    "Feature maps, {count} of them, each {height}×{width}. The small image in a corner is the filter of 3×3 that made it.",
)
BRIGHT = Text(
    "黄色は大きな数、紺色は小さな数です(1 枚ごとに合わせています)。",
    "Yellow is large and dark blue small, each map on a scale of its own.",
)
DEPTH = Text(
    "{layer} 層目({name}): {height}×{width} の特徴マップが {count:,} 枚(うち {shown} 枚)",
    "Layer {layer} ({name}): {count:,} feature maps of {height}×{width} ({shown} of them)",
)
DEPTH_SAY = Text(
    "写真と、{layer} 層目の特徴マップ。{count:,} 枚のうち、明るさの差が大きい {shown} 枚。大きさは {height}×{width}。",
    "The photo, and feature maps after layer {layer}: of {count:,}, the {shown} with the largest contrast. "
    "Each is {height}×{width}.",
)
LAYER = Text("層:", "Layer:")

Photo = Path | str | bytes
_SHOWN = 12  # maps of one layer in a drawing
# Cividis: five of its colours; it reads the same to every kind of colour vision (Nunez et al. 2018).
_CIVIDIS = np.array([(0, 34, 78), (66, 78, 108), (124, 123, 120), (187, 175, 113), (254, 232, 56)], np.float64)


@dataclass(frozen=True)
class Maps:
    """The feature maps (K, H, W) that one layer of a network made of a photo."""

    name: str
    values: np.ndarray

    @property
    def strongest(self) -> list[int]:
        """The maps by their spread, largest first."""
        return [int(index) for index in np.argsort(-self.values.std(axis=(1, 2)), kind="stable")]


def feature_maps(classifier: ImageClassifier, photo: Photo) -> list[Maps]:
    """The output of every layer of the network for one photo, in order; photo is a file, or its bytes."""
    found: list[Maps] = []

    def keep(index: int, name: str, y: DeviceArray) -> None:
        found.append(Maps(name, y.numpy()[0]))

    classifier.logits(_prepared(classifier, photo), on_layer=keep)
    return found


def _prepared(classifier: ImageClassifier, photo: Photo) -> np.ndarray:
    return classifier.prepare(io.BytesIO(photo) if isinstance(photo, bytes) else photo)


def stem_picture(classifier: ImageClassifier, photo: Photo) -> Picture:
    """All feature maps of the first layer, each with the filter that made it."""
    maps = feature_maps(classifier, photo)[0]
    filters = classifier.blocks[0].convolutions[0].weight.numpy()
    count, height, width = maps.values.shape
    columns, side, step = 8, 90, 96
    rows = -(-count // columns)
    parts = [box(0, 0, columns * step + 6, rows * step + 6, PAPER, 12)]
    for index in range(count):
        x, y = 6 + index % columns * step, 6 + index // columns * step
        parts += [
            raster(_coloured(_halved(maps.values[index])), x, y, side, side),
            box(x - 1, y + side - 32, 33, 33, PAPER),
            raster(_filter_image(filters[index]), x, y + side - 31, 31, 31),
        ]
    said = STEM_SAY.format(count=count, height=height, width=width)
    return picture(
        drawing(columns * step + 6, rows * step + 6, *parts), STEM.format(count=count), said, note=BRIGHT,
        evidence="measured",
    )  # fmt: skip


def depth_maps_picture(classifier: ImageClassifier, photo: Photo, layer: int) -> Picture:
    """The photo beside the feature maps after one layer, counted from 1."""
    return _maps_picture(_prepared(classifier, photo), feature_maps(classifier, photo), layer)


def feature_box(classifier: ImageClassifier) -> widgets.Widget:
    """A choice of photos, and of one's own, and a slider of the layers; each photo goes through the network once."""

    @lru_cache(maxsize=4)
    def seen(photo: Photo) -> tuple[np.ndarray, list[Maps]]:
        return _prepared(classifier, photo), feature_maps(classifier, photo)

    chosen = widgets.Dropdown()
    bind(chosen, description=PHOTO, options=[(NAMES.get(name, name), name) for name in PHOTOS])
    chosen.value = "cat"
    own = widgets.FileUpload(accept="image/*", multiple=False, layout={"width": "max-content"})
    bind(own, description=OWN)
    slider = widgets.IntSlider(2, 1, classifier.layers, layout={"width": "min(34em, 100%)"})
    bind(slider, description=LAYER)

    def draw(name: str, upload: Any, layer: int) -> Picture:
        return _maps_picture(*seen(bytes(upload[0]["content"]) if upload else PHOTOS[name]), layer)

    return live(draw, name=chosen, upload=own, layer=slider)


def _maps_picture(tensor: np.ndarray, maps: list[Maps], layer: int) -> Picture:
    here = maps[layer - 1]
    (count, height, width), chosen = here.values.shape, here.strongest[:_SHOWN]
    pixels = np.rint(tensor[0] * 128 + 127).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    parts = [box(0, 0, 780, 432, PAPER, 12), raster(Image.fromarray(pixels).resize((180, 180)), 12, 12)]
    for place, index in enumerate(chosen):
        x, y = 218 + place % 4 * 138, 12 + place // 4 * 138
        parts.append(raster(_coloured(here.values[index]), x, y, 132, 132))
    told = {
        "layer": layer, "name": here.name, "count": count, "height": height, "width": width, "shown": len(chosen)
    }  # fmt: skip
    return picture(
        drawing(780, 432, *parts), DEPTH.format(**told), DEPTH_SAY.format(**told), note=BRIGHT, evidence="measured"
    )


def _halved(values: np.ndarray) -> np.ndarray:
    """A map at half its size, each number the mean of four, so that a small drawing stays small."""
    height, width = (size // 2 for size in values.shape)
    return values[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))


def _coloured(values: np.ndarray) -> Image.Image:
    """A map as an image in 64 colours, its smallest value dark and its largest bright."""
    low, high = float(values.min()), float(values.max())
    levels = ((values - low) * (63 / (high - low or 1.0))).astype(np.uint8)
    made = Image.fromarray(levels, "P")
    places = np.linspace(0, 1, len(_CIVIDIS))
    colours = [np.interp(np.linspace(0, 1, 64), places, _CIVIDIS[:, channel]) for channel in range(3)]
    made.putpalette(np.stack(colours, axis=1).astype(np.uint8).tobytes())
    return made


def _filter_image(weights: np.ndarray) -> Image.Image:
    """A filter (3, R, S) as colours: grey is 0."""
    largest = float(np.abs(weights).max()) or 1.0
    return Image.fromarray((127.5 + 127.5 * weights / largest).astype(np.uint8).transpose(1, 2, 0).copy())
