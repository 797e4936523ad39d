"""The models on a device against the same models on the simulator: the same tokens, classes and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

import factory
from factory import models
from factory.device import Device
from factory.prove.checks import Cases, Check, Outcome, compare

LANGUAGE_MODELS = ("tiny", "smollm2")
PROMPT = "Once upon a time there was a little"
TOKENS = 16
_CLOSE = 1e-3  # relative L2 of what a whole network gives: every layer adds its own rounding


def checks() -> Iterator[Check]:
    """Each model that this project has or finds installed."""
    for name in LANGUAGE_MODELS:
        yield Check("models", f"language model {name}", partial(_language, name))
    yield Check("models", "image classifier", _classifier)
    yield Check("models", "glyph reader", _reader)
    yield Check("models", "glyph painter", _painter)


def _both(stack: ExitStack, load: Any, device: Device) -> tuple[Any, Any]:
    """A model on the device and on a simulator."""
    simulator = stack.enter_context(factory.open("simulator"))
    return load(device), load(simulator)


def _same(got: list[Any], want: list[Any]) -> Outcome:
    """How many of a list differ."""
    differ = sum(a != b for a, b in zip(got, want, strict=True)) if len(got) == len(want) else max(len(got), len(want))
    return {"error": float(differ), "limit": 0.0}


def _language(name: str, device: Device) -> Cases:
    with ExitStack() as stack:
        load = partial(models.LanguageModel.load, name=name, progress=False)
        real, simulated = _both(stack, load, device)
        ids = simulated.tokenizer.encode(PROMPT)

        def tokens() -> Outcome:
            return _same(*(list(model.generate(ids, TOKENS, stop=())) for model in (real, simulated)))

        yield "logits", lambda: compare(real.logits(ids), simulated.logits(ids), _CLOSE)
        yield f"{TOKENS} tokens", tokens
        real.free()


def _classifier(device: Device) -> Cases:
    with ExitStack() as stack:
        real, simulated = _both(stack, partial(models.ImageClassifier.load, progress=False), device)

        def logits(path: Any) -> Outcome:
            x = simulated.prepare(path)
            return compare(real.logits(x), simulated.logits(x), _CLOSE)

        def first_class(path: Any) -> Outcome:
            return _same(*([model.classify(path, 1)[0][0]] for model in (real, simulated)))

        for name, path in models.PHOTOS.items():
            yield f"logits of {name}", partial(logits, path)
            yield f"first class of {name}", partial(first_class, path)


def _reader(device: Device) -> Cases:
    across = np.hypot(*np.mgrid[-14:14, -14:14])
    ring, bar = ((across > 6) & (across < 9)).astype(np.float32), np.zeros((28, 28), np.float32)
    bar[4:24, 13:16] = 1
    with ExitStack() as stack:
        real, simulated = _both(stack, models.GlyphReader.load, device)

        def read(drawing: np.ndarray) -> Outcome:
            got, want = real.read(drawing), simulated.read(drawing)
            if got[0][0] != want[0][0]:
                raise AssertionError(f"it read {got[0][0]} instead of {want[0][0]}")
            chances = dict(got)
            return compare([chances[character] for character, _ in want], [chance for _, chance in want], _CLOSE)

        for name, drawing in (("a ring", ring), ("a bar", bar)):
            yield name, partial(read, drawing)


def _painter(device: Device) -> Cases:
    with ExitStack() as stack:
        real, simulated = _both(stack, partial(models.GlyphPainter.load, progress=False), device)

        def drawn(character: str) -> Outcome:
            return compare(real.draw(character, steps=4), simulated.draw(character, steps=4), _CLOSE)

        for character in ("3", "あ"):
            yield f"a picture of {character}", partial(drawn, character)
