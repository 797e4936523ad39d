"""The gauges of the factory floor: what each station did and its share of the whole, as plates, bars and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from factory.lab.machines import GLASS, SHADE, STEEL
from factory.lab.svg import INK, PAPER, QUIET, YELLOW, box, disc, duration, line, pair, percent, quantity, word
from factory.language import Text
from factory.timeline import Timeline

if TYPE_CHECKING:
    from factory.device import Device

JOBS = {
    "HIP": Text("工場の管理者", "the factory manager"),
    "rocBLAS": Text("行列のかけ算", "matrix multiplication"),
    "MIOpen": Text("畳み込みと活性化", "convolution, activation"),
    "kernels": Text("自作の小さな道具", "small tools of our own"),
}
RESTING = Text("お休み中", "resting")
TOTAL = Text("合計", "total")
SIMULATED = Text(
    "時間は、このコンピューターで動くシミュレーターのものです。GPU の時間ではありません。",
    "Times are of the simulator on this computer, not of a GPU.",
)


@dataclass(frozen=True)
class Share:
    """What one station did, and its share of the whole in time, commands and bytes (each from 0 to 1)."""

    count: int
    bytes: int
    milliseconds: float
    of_time: float
    of_calls: float
    of_bytes: float

    @property
    def lit(self) -> int:
        """How many of five lamps are on: one for each fifth of the time that was begun."""
        return min(5, ceil(5 * self.of_time - 1e-9)) if self.count else 0


def shares(timeline: Timeline) -> dict[str, Share]:
    """Each station's work and its share of the whole."""
    totals = timeline.by_station()
    time, calls, moved = (
        sum(getattr(total, name) for total in totals.values()) for name in ("milliseconds", "count", "bytes")
    )
    return {
        station: Share(
            total.count,
            total.bytes,
            total.milliseconds,
            total.milliseconds / time if time else 0.0,
            total.count / calls if calls else 0.0,
            total.bytes / moved if moved else 0.0,
        )
        for station, total in totals.items()
    }


def simulated(source: Device | Timeline) -> Text | None:
    """What must stand beside the times of a simulator; None beside those of a GPU, or of a timeline alone."""
    return None if isinstance(source, Timeline) or source.wing != "simulator" else SIMULATED


def plate(station: str, x: float, y: float, width: float, height: float) -> str:
    """A name on a white plate, and its job in plain words below."""
    middle, centre = x + width / 2, y + height / 2
    return (
        box(x, y, width, height, PAPER, 8)
        + word(station, middle, centre - 5, 18, font_weight=800)
        + pair(JOBS[station], middle, centre + 14.5, 11.5, fill=QUIET)
    )


def panel(x: float, y: float, width: float, share: Share, colour: str) -> str:
    """Three bars with their numbers: time, commands, bytes."""
    if not share.count:
        return box(x, y, width, 66, PAPER, 8) + pair(RESTING, x + width / 2, y + 38, 13, fill=QUIET)
    rows = (
        (clock, share.of_time, duration(share.milliseconds)),
        (ticket, share.of_calls, quantity(share.count)),
        (load, share.of_bytes, quantity(share.bytes, "B")),
    )
    drawn, length = [box(x, y, width, 66, PAPER, 8)], width - 124
    for row, (icon, part, amount) in enumerate(rows):
        top = y + 6 + 18.5 * row
        drawn += [
            icon(x + 12, top + 8),
            box(x + 23, top + 3, length, 10, "#e3e8ed", 3),
            box(x + 23, top + 3, max(length * part, 2), 10, colour, 3),
            word(percent(part), x + length + 61, top + 12, 12, "end", font_weight=700),
            word(amount, x + width - 6, top + 12, 11, "end", QUIET),
        ]
    return "".join(drawn)


def board(by_station: dict[str, Share]) -> str:
    """The board on the wall: the whole run in three numbers."""
    time, count, moved = (
        sum(getattr(share, name) for share in by_station.values()) for name in ("milliseconds", "count", "bytes")
    )
    x, y = 768, 172
    return (
        box(x, y, 180, 66, GLASS, 10, stroke=STEEL, stroke_width=3)
        + pair(TOTAL, x + 14, y + 27, 11.5, "start", SHADE)
        + clock(x + 62, y + 22, YELLOW)
        + word(duration(time) if count else "-", x + 76, y + 30, 21, "start", YELLOW, font_weight=800)
        + ticket(x + 19, y + 50, SHADE)
        + word(quantity(count), x + 31, y + 54, 12.5, "start", PAPER, font_weight=600)
        + load(x + 88, y + 50, SHADE)
        + word(quantity(moved, "B"), x + 101, y + 54, 12.5, "start", PAPER, font_weight=600)
    )


def clock(x: float, y: float, colour: str = INK) -> str:
    return disc(x, y, 6, "none", stroke=colour, stroke_width=1.6) + line(f"M{x} {y - 3.5} v3.5 h2.5", colour, 1.4)


def ticket(x: float, y: float, colour: str = INK) -> str:
    return box(x - 5, y - 6, 10, 12, "none", 2, stroke=colour, stroke_width=1.6) + line(
        f"M{x - 2} {y - 2} h4 m-4 4 h4", colour, 1.3
    )


def load(x: float, y: float, colour: str = INK) -> str:
    return box(x - 6, y - 5, 12, 10, "none", 1.5, stroke=colour, stroke_width=1.6) + line(
        f"M{x - 6} {y - 1} h12", colour, 1.3
    )
