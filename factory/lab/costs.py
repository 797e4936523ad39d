"""What layers cost: the time of each, measured here, and the memory that a model of so many layers needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from factory.device import Device
from factory.lab.figures import Picture, picture
from factory.lab.plots import figure
from factory.language import Text
from factory.models.llama import LanguageModel
from factory.timeline import Command

_SIZE = 4  # bytes of a float32

TITLE = Text("層を増やすと、時間とメモリはどう増える?", "More layers: what becomes of time and memory?")
SAYS = Text(
    "層の数ごとの時間(トークン {tokens} 個): {times}。重みのメモリ: {memory}。",
    "Time by the number of layers (tokens: {tokens}): {times}. Memory of the weights: {memory}.",
)
UNITS = Text("時間は ms、メモリは MB(100 万バイト)", "time in ms, memory in MB (1 million bytes)")
LAYERS = Text("層の数", "layers")
TIME = Text("時間 (ms)", "time (ms)")
MEMORY = Text("重みのメモリ (MB)", "memory of the weights (MB)")
NOTE = Text(
    "● は、ここで測った時間です(シミュレーターの時間は、GPU の時間ではありません)。◇ は、形から計算したメモリです。",
    "● is the time taken here (a simulator's times are not a GPU's), ◇ is memory, computed from the shapes.",
)


@dataclass(frozen=True)
class LayerCosts:
    """What a language model costs by its number of layers.

    layer_ms: milliseconds of each layer in one pass of so many tokens; end_ms: of all that every depth pays, the
    embedding before the first layer and the guess after the last. Bytes: layer_bytes of one layer's weights, end_bytes
    of the embedding, the final norm and the output matrix, cache_bytes of one layer's keys and values for one token.
    """

    tokens: int
    layer_ms: tuple[float, ...]
    end_ms: float
    layer_bytes: int
    end_bytes: int
    cache_bytes: int

    @property
    def layers(self) -> int:
        """How many layers the model has."""
        return len(self.layer_ms)

    def milliseconds(self, layers: int) -> float:
        """A pass through the first layers, with both ends; the sum of what was measured."""
        return self.end_ms + sum(self.layer_ms[:layers])

    def weights(self, layers: int) -> int:
        """Bytes of the weights of so many layers, with both ends."""
        return self.end_bytes + layers * self.layer_bytes

    def cache(self, layers: int, tokens: int | None = None) -> int:
        """Bytes of keys and values of so many layers, for the tokens of the pass or for `tokens`."""
        return layers * self.cache_bytes * (self.tokens if tokens is None else tokens)


def measure_layers(model: LanguageModel, ids: Sequence[int], repeats: int = 3) -> LayerCosts:
    """Run ids through a model a few times, and keep the shortest time of each layer."""
    passes = [_times(model, ran(model.device, lambda: model.logits(ids))) for _ in range(repeats)]
    config = model.config
    weights = sum(array.nbytes for array in model.weights())
    shapes = config.shapes().items()
    layer = sum(_SIZE * int(np.prod(shape)) for name, shape in shapes if name.startswith("layers.0."))
    return LayerCosts(
        tokens=len(ids),
        layer_ms=tuple(min(times) for times in zip(*(layers for layers, _ in passes), strict=True)),
        end_ms=min(ends for _, ends in passes),
        layer_bytes=layer,
        end_bytes=weights - layer * config.layers,
        cache_bytes=2 * config.kv_heads * config.head_width * _SIZE,
    )


def ran(device: Device, work: Callable[[], Any]) -> list[Command]:
    """The commands that a piece of work gave a device, in order; the timeline keeps all that it had."""
    timeline = device.timeline
    enabled, timeline.enabled = timeline.enabled, True
    before = next(reversed(list(timeline)), None)
    try:
        work()
    finally:
        timeline.enabled = enabled
    fresh: list[Command] = []
    for command in reversed(list(timeline)):
        if command is before:
            break
        fresh.append(command)
    return fresh[::-1]


def _times(model: LanguageModel, commands: Sequence[Command]) -> tuple[list[float], float]:
    """Milliseconds of each layer, and of what is in none."""
    layers, ends = [0.0] * model.layers, 0.0
    for command in commands:
        if command.layer:
            layers[command.layer - 1] += command.milliseconds
        else:
            ends += command.milliseconds
    return layers, ends


def growth_plot(costs: LayerCosts) -> Picture:
    """Time and memory against the number of layers, as they were measured and computed: two fields side by side."""
    numbers = list(range(1, costs.layers + 1))
    times = list(accumulate(costs.layer_ms, initial=costs.end_ms))[1:]
    memory = [costs.weights(k) / 1e6 for k in numbers]

    def draw() -> Any:
        made, (left, right) = figure(9, 3.2, 1, 2)
        every = max(len(numbers) // 20, 1)
        left.plot(numbers, times, marker="o", markevery=every, markersize=4)
        right.plot(numbers, memory, color="#b34700", marker="D", markerfacecolor="white", markevery=every, markersize=4)
        for axes, name in ((left, TIME), (right, MEMORY)):
            axes.set_xlabel(str(LAYERS))
            axes.set_ylabel(str(name))
            axes.set_xlim(0, costs.layers * 1.02)
            axes.set_ylim(0, None)
        return made

    shown = sorted({1, *(max(costs.layers * part // 4, 1) for part in (1, 2, 3, 4))})
    said = SAYS.format(tokens=costs.tokens, times=_listed(shown, times, "ms"), memory=_listed(shown, memory, "MB"))
    return picture(draw, TITLE, said, units=UNITS, evidence=("measured", "estimated"), note=NOTE)


def _listed(shown: Sequence[int], values: Sequence[float], unit: str) -> Text:
    """The values at some numbers of layers: "1 layer 2.8 ms, 50 layers 13.4 ms"."""
    pairs = [(layers_text(k), f"{values[k - 1]:.3g} {unit}") for k in shown]
    return Text(
        "、".join(f"{name.ja} {value}" for name, value in pairs),
        ", ".join(f"{name.en} {value}" for name, value in pairs),
    )


def layers_text(count: int) -> Text:
    """So many layers, in words."""
    return Text(f"{count} 層", f"{count} layer{'' if count == 1 else 's'}")
