"""How well weights of the reader read: what is kept out of its training, and what torch makes of a drawing."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional as f

from factory.models import glyphs as model
from training import glyphs
from training.glyphs import strokes

HELD_OUT = ("klee", "seto", "kiloji", "maruberi", "dejima", "aoyagi", "comic-neue", "humor-sans")
"""Families that the first run never sees: pencil, felt pen, print, brush, and two Latin hands."""
HELD_OUT_MNIST = 1000
HALVED = (1, 2, 4)
"""Numbers of the layers after which the picture is halved."""
PENS = (3, 5, 9)
"""Widths of the pens that KanjiVG's strokes are drawn by, in its units of 1/109 of the picture."""
_ORDER = 5  # seed of the order in which MNIST's digits are parted


def scores(tensors: dict[str, np.ndarray], drawings: np.ndarray) -> np.ndarray:
    """What torch computes in float32 from shipped weights: (N, 56), for normalised drawings (N, 28, 28) in 0..1."""
    weights = {name: torch.from_numpy(np.asarray(tensor, np.float32)) for name, tensor in tensors.items()}
    y = torch.from_numpy(np.asarray(drawings, np.float32))[:, None]
    for number in range(1, len(weights) // 2):  # the last two are the classifier's
        weight, bias = (weights[f"convolution{number}.{part}"] for part in ("weight", "bias"))
        y = f.relu(f.conv2d(y, weight, bias, padding=1))
        y = f.max_pool2d(y, 2) if number in HALVED else y
    return f.linear(y.flatten(1), weights["classifier.weight"], weights["classifier.bias"]).numpy()


def right(tensors: dict[str, np.ndarray], drawings: np.ndarray, labels: np.ndarray, classes: int = 56) -> np.ndarray:
    """Which drawings are read rightly, where only the first classes may be the answer."""
    return np.asarray(scores(tensors, drawings)[:, :classes].argmax(1) == labels)


def percent(hits: np.ndarray) -> float:
    return round(100 * float(hits.mean()), 2)


def figures(tensors: dict[str, np.ndarray], held_out: glyphs.Glyphs | None = None) -> dict[str, float]:
    """Per cent read rightly: of fonts kept out of the training, if any, and of what is never trained on."""
    made: dict[str, float] = {}
    if held_out is not None and len(held_out):
        hits = right(tensors, held_out.images / np.float32(255), held_out.labels)
        made["families held out"] = percent(hits)
        made |= {f"  {name}": percent(hits[held_out.families == name]) for name in HELD_OUT}
    for name, (drawings, labels) in foreign().items():
        made[name] = percent(right(tensors, drawings, labels))
        if labels.max() < len(model.DIGITS):
            made[f"{name}, digits only"] = percent(right(tensors, drawings, labels, len(model.DIGITS)))
    return made


def misread(tensors: dict[str, np.ndarray], across: int = 24) -> Image.Image:
    """What is misread of scikit-learn's digits, with the digits switch on: each over the wrong answer, ink black."""
    drawings, labels = normalised(strokes.small_digits())
    answers = scores(tensors, drawings)[:, : len(model.DIGITS)].argmax(1)
    tiles = []
    for drawing, answer in zip(drawings[answers != labels], answers[answers != labels], strict=True):
        tile = Image.new("L", (2 * model.SIDE, 3 * model.SIDE), "white")
        tile.paste(Image.fromarray((255 - 255 * drawing).astype(np.uint8)).resize((2 * model.SIDE,) * 2))
        ImageDraw.Draw(tile).text((model.SIDE, 2.5 * model.SIDE), f"{answer}?", "black", anchor="mm", font_size=20)
        tiles.append(tile)
    sheet = Image.new("L", (across * 2 * model.SIDE, -(-len(tiles) // across) * 3 * model.SIDE), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % across * tile.width, index // across * tile.height))
    return sheet


def foreign() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Normalised drawings that no run is trained on, and their classes."""
    return {
        "MNIST held out": normalised(mnist_parts()[1]),
        "scikit-learn 8x8": normalised(strokes.small_digits()),
        **{f"KanjiVG, pen {width}": normalised(strokes.kanjivg(width)) for width in PENS},
    }


def normalised(drawings: strokes.Drawings, side: int = model.SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Foreign drawings, (N, side, side) in 0..1, and their classes."""
    pictures, labels = drawings
    return np.stack([model.normalise(picture, side) for picture in pictures]), labels


def mnist_parts() -> tuple[strokes.Drawings, strokes.Drawings]:
    """MNIST's 5,000 digits: the 4,000 that are trained on, and the 1,000 that no run sees."""
    pictures, labels = strokes.mnist()
    order = np.random.default_rng(_ORDER).permutation(len(labels))
    parts = (order[HELD_OUT_MNIST:], order[:HELD_OUT_MNIST])
    trained, held_out = (([pictures[i] for i in part], labels[part]) for part in parts)
    return trained, held_out
