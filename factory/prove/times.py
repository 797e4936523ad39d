"""How long things take on a device: by events on a GPU, by the clock on the simulator. Nothing is right or wrong here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from time import perf_counter

import numpy as np

from factory import models
from factory.device import Device
from factory.problem import FLOATS, ConvolutionProblem
from factory.prove.checks import Cases, Check, Outcome, lacking, numbers
from factory.prove.models import LANGUAGE_MODELS, PROMPT
from factory.records import find_db

_ROUNDS = 5
_LONG = 5.0  # milliseconds: a size is doubled until one run takes as long
_LARGEST = 8192
_COPIED = 2**26  # bytes
_TOKENS = 16

# Layers of ResNet-50, which MIOpen's own find-db has as well: c, h, k, r, pad, stride.
_LAYERS = (
    (3, 224, 64, 7, 3, 2), (64, 56, 64, 1, 0, 1), (64, 56, 64, 3, 1, 1), (128, 28, 128, 3, 1, 1),
    (256, 14, 256, 3, 1, 1), (512, 7, 512, 3, 1, 1), (512, 7, 2048, 1, 0, 1),
)  # fmt: skip


def checks() -> Iterator[Check]:
    """What is timed."""
    yield Check("times", "copies", _copies)
    for dtype in (*FLOATS, "int8"):
        yield Check("times", f"gemm {dtype}", partial(_gemm, dtype))
    for dtype in ("float32", "float16"):
        for c, h, k, r, pad, stride in _LAYERS:
            problem = ConvolutionProblem(1, c, h, h, k, r, r, (pad, pad), (stride, stride), dtype=dtype)
            yield Check("times", f"find {problem}", partial(_find, problem))
    for name in LANGUAGE_MODELS:
        yield Check("times", f"language model {name}", partial(_language, name))
    yield Check("times", "image classifier", _classifier)


def _best(device: Device, work: Callable[[], object]) -> float:
    """Milliseconds of the last command of some work, the least of several runs after one to warm up."""
    work()
    best = float("inf")
    for _ in range(_ROUNDS):
        device.timeline.clear()
        work()
        best = min(best, [command.milliseconds for command in device.timeline][-1])
    return best


def _both_clocks(device: Device, work: Callable[[], object], count: int = 1) -> Outcome:
    """Milliseconds of each of `count` pieces of work that has a result to wait for: on this computer's clock, and, run
    again, command by command. The events around each command take a time of their own, so the first run has none."""
    with device.timeline.paused():
        start = perf_counter()
        work()
        seconds = perf_counter() - start
    device.timeline.clear()
    work()
    by_station = {name: totals.milliseconds / count for name, totals in device.timeline.by_station().items()}
    return {
        "milliseconds": sum(by_station.values()),
        "wall_milliseconds": 1e3 * seconds / count,
        "by_station": by_station,
    }


def _copies(device: Device) -> Cases:
    host, back = np.zeros(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)

    def timed(work: Callable[[int], object]) -> Outcome:
        with device.empty(_COPIED, "uint8") as array:
            return {"milliseconds": _best(device, lambda: work(array.pointer)), "bytes": _COPIED}

    yield "to the device", partial(timed, lambda pointer: device.hip.memcpy(pointer, host, _COPIED))
    yield "to the host", partial(timed, lambda pointer: device.hip.memcpy(back, pointer, _COPIED))


def _gemm(dtype: str, device: Device) -> Cases:
    def timed() -> Outcome:
        size, taken = 128, 0.0
        while taken < _LONG and size < _LARGEST:
            size *= 2
            with device.array(numbers((size, size), dtype)) as a, device.gemm(a, a) as c:
                taken = _best(device, partial(device.gemm, a, a, out=c))
        return {"milliseconds": taken, "operations": 2 * size**3, "sizes": f"{size} x {size} x {size}"}

    refused = device.rocblas.refused.get(dtype)
    yield "square", partial(lacking, refused) if refused else timed


def _find(problem: ConvolutionProblem, device: Device) -> Cases:
    def found() -> Outcome:
        solutions = device.find(problem)
        if any(solution.milliseconds is None for solution in solutions):
            return {"missing": "there was too little memory for MIOpen to measure in"}
        dropped: dict[str, list[str]] = {}
        for solver, reason in solutions.dropped.items():
            dropped.setdefault(reason.en, []).append(solver)
        return {"find_db": find_db.line(problem, solutions), "dropped": dropped}

    yield "solvers", found


def _language(name: str, device: Device) -> Cases:
    model = models.LanguageModel.load(device, name, progress=False)
    ids = model.tokenizer.encode(PROMPT)

    def timed() -> Outcome:
        with closing(model.generate(ids, 2 * _TOKENS + 1, stop=())) as tokens:  # type: ignore[type-var]
            next(tokens)  # the prompt's, and what is compiled or loaded with it
            return _both_clocks(device, lambda: [next(tokens) for _ in range(_TOKENS)], _TOKENS)

    yield "a token", timed
    model.free()


def _classifier(device: Device) -> Cases:
    model = models.ImageClassifier.load(device, progress=False)
    x = model.prepare(next(iter(models.PHOTOS.values())))

    def timed() -> Outcome:
        model.logits(x)
        return _both_clocks(device, lambda: model.logits(x))

    yield "a photo", timed
