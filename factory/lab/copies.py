"""What it costs to load data to a device: hipMalloc and hipMemcpy, timed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from factory.device import Device
from factory.lab.figures import Picture, picture
from factory.lab.gauges import SIMULATED
from factory.lab.machines import COLOURS
from factory.lab.svg import PAPER, QUIET, box, duration, pair, quantity, word
from factory.lab.svg import picture as drawing
from factory.language import Text

TRIES = 7  # the fastest of them counts

TITLE = Text("デバイスへ運ぶのにかかる時間", "What it takes to load data to the device")
HEADS = (
    Text("運ぶもの", "what is loaded"),
    Text("大きさ", "size"),
    Text("場所をとる", "find room"),
    Text("運ぶ", "copy"),
    Text("速さ", "rate"),
)
SAYS = Text(
    "{name} は {bytes}。hipMalloc {malloc}、hipMemcpy {copy}", "{name}: {bytes}, hipMalloc {malloc}, hipMemcpy {copy}"
)
UNITS = Text("バイト、時間(棒は hipMemcpy)、1 秒あたりのバイト", "bytes, time (bars: hipMemcpy), bytes a second")
FASTEST = Text("{tries} 回のうち、いちばん速かった時間です。", "The fastest of {tries} tries.")


@dataclass(frozen=True)
class Cost:
    """What one array cost to load: bytes, and milliseconds of hipMalloc and hipMemcpy."""

    nbytes: int
    malloc: float
    copy: float


def measure_copies(device: Device, arrays: Mapping[Text | str, np.ndarray]) -> dict[Text | str, Cost]:
    """Load each array to new memory of the device a few times, and keep the fastest times; nothing stays there."""
    return {name: _measure(device, np.ascontiguousarray(array)) for name, array in arrays.items()}


def _measure(device: Device, host: np.ndarray) -> Cost:
    hip, malloc, copy = device.hip, [], []
    for _ in range(TRIES):
        pointer = hip.malloc(host.nbytes, "copy_costs")
        malloc.append(_last(device))
        hip.memcpy(pointer, host, host.nbytes)
        copy.append(_last(device))
        hip.free(pointer)
    return Cost(host.nbytes, min(malloc), min(copy))


def _last(device: Device) -> float:
    return list(device.timeline)[-1].milliseconds


def copy_costs(device: Device, arrays: Mapping[Text | str, np.ndarray]) -> Picture:
    """How long hipMalloc and hipMemcpy take for each of some NumPy arrays, by their names."""
    enabled = device.timeline.enabled
    device.timeline.enabled = True
    try:
        costs = measure_copies(device, arrays)
    finally:
        device.timeline.enabled = enabled
    told = {
        name: {"bytes": quantity(cost.nbytes, "B"), "malloc": _time(cost.malloc), "copy": _time(cost.copy)}
        for name, cost in costs.items()
    }
    said = [SAYS.format(name=name, **words) for name, words in told.items()]
    note = FASTEST.format(tries=TRIES)
    if device.wing == "simulator":
        note = Text(note.ja + SIMULATED.ja, f"{note.en} {SIMULATED.en}")
    return picture(
        _rows(costs),
        TITLE,
        Text("。".join(one.ja for one in said) + "。", "; ".join(one.en for one in said) + "."),
        units=UNITS,
        evidence="measured",
        note=note,
    )


def _rows(costs: Mapping[Text | str, Cost]) -> str:
    """A row for each array; the longest bar is the slowest copy."""
    height = 56 + 44 * len(costs)
    places = ((16, "start"), (310, "end"), (400, "end"), (490, "end"), (764, "end"))
    parts = [box(0, 0, 780, height, PAPER, 12)]
    parts += [pair(head, x, 28, 12, anchor, QUIET) for head, (x, anchor) in zip(HEADS, places, strict=True)]
    longest = max(cost.copy for cost in costs.values()) or 1.0
    for row, (name, cost) in enumerate(costs.items()):
        y = 72 + 44 * row
        title = Text(*name) if isinstance(name, tuple) else Text(name, name)
        rate = cost.nbytes / cost.copy * 1000 if cost.copy else None
        parts += [
            pair(title, 16, y, 14, "start", font_weight=700),
            word(quantity(cost.nbytes, "B"), 310, y, 14, "end"),
            word(_time(cost.malloc), 400, y, 14, "end"),
            word(_time(cost.copy), 490, y, 14, "end", font_weight=700),
            box(504, y - 13, max(170 * cost.copy / longest, 2), 16, COLOURS["HIP"], 3),
            word(quantity(rate, "B/s"), 764, y, 13, "end", QUIET),
        ]
    return drawing(780, height, *parts)


def _time(milliseconds: float) -> str:
    """A time, also one well under a microsecond."""
    return duration(milliseconds) if milliseconds >= 0.00095 else f"{milliseconds * 1000:.1f} µs"
