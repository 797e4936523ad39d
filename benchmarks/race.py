"""Two or more ways of doing the same work, measured in turn so that a busy computer slows them alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Row:
    """One line of the report: what was compared, the figure, its unit, and the aim it is held against."""

    what: str
    figure: float
    unit: str
    aim: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what:<58}{self.figure:>8.2f} {self.unit:<10}{self.aim:<24}{self.detail}"


def race(runners: dict[str, Callable[[], object]], rounds: int = 7, clock: Callable[[], float] = perf_counter) -> dict:
    """Seconds of every round of each runner, in alternating rounds after one to warm up."""
    for run in runners.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return seconds


def faster(seconds: dict[str, list[float]], ours: str, peer: str) -> float:
    """How many times as fast ours is as the peer: the median of the ratios of each round."""
    return median(b / a for a, b in zip(seconds[ours], seconds[peer], strict=True))


def best(seconds: dict[str, list[float]]) -> str:
    """The least time of each runner, in words."""
    return ", ".join(f"{name} {min(times) * 1e3:.2f} ms" for name, times in seconds.items())
