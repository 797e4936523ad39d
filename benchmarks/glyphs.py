"""The glyph reader and painter against torch (eager, float32), on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from threadpoolctl import threadpool_limits

import factory
from benchmarks.race import Row, best, faster, race
from factory.models import GlyphPainter, GlyphReader
from factory.models.glyphs import normalise
from factory.models.painter import NOISE, time_features

CANVAS = 280
"""Pixels of a side of what a learner draws on."""
CHARACTER = "あ"
"""What the painter paints."""


def rows() -> Iterator[Row]:
    """A drawing through the reader's network, the whole way from a canvas to the answers, and a picture painted."""
    with factory.open("simulator") as device, threadpool_limits(1, "blas"):
        reader = GlyphReader.load(device)
        drawing = normalise(_drawn())
        runners: dict[str, Callable[[], object]] = {"ours": lambda: reader.scores(drawing)}
        try:
            runners["torch"] = _torch_reader(reader, drawing)
        except ImportError:
            pass
        else:
            seconds = race(runners, rounds=51)
            what = "glyph reader's network against torch, 1 thread"
            yield Row(what, faster(seconds, "ours", "torch"), "x as fast", "", best(seconds))
        canvas = _drawn()
        whole = race({"read": lambda: reader.read(canvas)}, rounds=51)
        what = f"glyph reader, from {CANVAS} x {CANVAS} pixels to the answers"
        yield Row(what, 1e3 * min(whole["read"]), "ms", "")
        painter = GlyphPainter.load(device)
        runners = {"ours": lambda: painter.draw(CHARACTER)}
        with suppress(ImportError):
            runners["torch"] = _torch_painter(painter)
        seconds = race(runners, rounds=15)
        if "torch" in seconds:
            what = "glyph painter, a picture in 10 steps, against torch, 1 thread"
            yield Row(what, faster(seconds, "ours", "torch"), "x as fast", "", best(seconds))
        yield Row("glyph painter, a picture in 10 steps", min(seconds["ours"]), "s", "< 0.3")


def _drawn() -> np.ndarray:
    """A ring, as a learner might draw a 0."""
    y, x = np.mgrid[:CANVAS, :CANVAS] / CANVAS - 0.5
    return np.asarray(255 * (np.abs(np.hypot(1.4 * x, y) - 0.38) < 0.03), np.uint8)


def _torch_reader(reader: GlyphReader, drawing: np.ndarray) -> Callable[[], object]:
    import torch
    from torch.nn import functional as f

    torch.set_num_threads(1)
    *layers, weight, bias = (torch.from_numpy(array.numpy()) for array in reader.weights())
    halved = [layer.halved is not None for layer in reader._layers]
    convolutions = list(zip(layers[::2], layers[1::2], halved, strict=True))
    x = torch.from_numpy(drawing)[None, None]

    def run() -> np.ndarray:
        with torch.no_grad():
            y = x
            for w, b, halve in convolutions:
                y = f.relu(f.conv2d(y, w, b.flatten(), padding=1))
                y = f.max_pool2d(y, 2) if halve else y
            return f.linear(y.flatten(), weight, bias).numpy()

    np.testing.assert_allclose(run(), reader.scores(drawing), rtol=1e-3, atol=1e-3)
    return run


def _torch_painter(painter: GlyphPainter) -> Callable[[], object]:
    """The trained network, both halves of the guidance as one batch, as ours has them."""
    import torch
    from torch.nn import functional as f

    from training.painter import NOBODY, Network

    torch.set_num_threads(1)
    network = Network()
    network.load_state_dict({array.name: torch.from_numpy(array.numpy()) for array in painter.weights()})
    classes = torch.tensor([painter.characters.index(CHARACTER), NOBODY])

    def run() -> np.ndarray:
        noise = NOISE + NOISE * np.random.default_rng(0).standard_normal((1, 1, 28, 28), np.float32)
        x = f.pixel_unshuffle(torch.from_numpy(noise), 2)
        with torch.no_grad():
            for step in range(10):
                time = torch.from_numpy(time_features([step / 10] * 2))
                asked, without = network(x.expand(2, -1, -1, -1), time, classes)
                x = x + (without + 2 * (asked - without)) / 10
        return f.pixel_shuffle(x, 2)[0, 0].clamp(0, 1).numpy()

    np.testing.assert_allclose(run(), painter.draw(CHARACTER), atol=1e-3)
    return run
