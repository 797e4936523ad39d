"""Two streams: one writes, the other reads, and an event between them; what really ran, drawn on one clock."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

import factory
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, GREEN, INK, ORANGE, PAPER, QUIET, VERMILION, box, duration, line, pair, tag, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text

COUNT = 4_000_000  # float32 numbers: 16 MB, so that a copy takes long enough to see
WAIT = Text("ストリーム B に、イベントを待たせる", "let stream B wait for the event")
TITLE = Text("2 本のストリームとイベント", "Two streams and an event")
NOTE = Text(
    "シミュレーターの働き手は 1 人なので、仕事は重なりません。GPU では、2 本のストリームが同時に進むことがあります。",
    "The simulator has 1 worker, so nothing overlaps; on a GPU two streams may run at the same time.",
)
SAY = {
    True: Text(
        "A が {write} かけて書き、旗が立つ。B は旗を待ってから {read} かけて読み、{got} を得た。",
        "A writes for {write} and raises the flag; B waits for it, then reads for {read} and gets {got}.",
    ),
    False: Text(
        "B が待たずに先に {read} かけて読み、{got} を得た。A はそのあと {write} かけて書いた。",
        "B does not wait: it reads first, for {read}, and gets {got}; A writes after that, for {write}.",
    ),
}
LANES = (Text("ストリーム A", "stream A"), Text("ストリーム B", "stream B"))
JOBS = (Text("1, 2, 3, 4 を書く", "write 1, 2, 3, 4"), Text("読む", "read"))
FLAG = Text("イベント", "event")
RESULT = {
    True: Text("✔ B が読んだ数: {got}", "✔ B read {got}"),
    False: Text("✖ B が読んだ数: {got}(A が書く前の数)", "✖ B read {got} (what was there before A wrote)"),
}
TIME = Text("時間(ms)", "time (ms)")


@dataclass(frozen=True)
class Race:
    """What two streams did: start and stop of each one's job in milliseconds, and the numbers that B read."""

    waited: bool
    write: tuple[float, float]
    read: tuple[float, float]
    got: tuple[float, ...]


def race(wait: bool) -> Race:
    """Stream A writes 1, 2, 3, 4 (over and over, 16 MB) where zeros stood, and stream B reads it back.

    With `wait`, B waits for an event that A records after writing. The simulator holds work back until something waits
    for it (`delay=True`), so that without it B always reads too early, where a GPU would only sometimes.
    """
    with factory.open("simulator", delay=True) as device:
        hip, nbytes = device.hip, 4 * COUNT
        store = device.array(np.zeros(COUNT, np.float32), name="store")
        source = np.tile(np.arange(1, 5, dtype=np.float32), COUNT // 4)
        back = np.full(COUNT, -1, np.float32)
        a, b = hip.stream_create(), hip.stream_create()
        marks = [hip.event_create() for _ in range(4)]
        device.synchronize()
        hip.event_record(marks[0], a)
        hip.memcpy_async(store.pointer, source, nbytes, a)
        hip.event_record(marks[1], a)
        if wait:
            hip.stream_wait_event(b, marks[1])
        hip.event_record(marks[2], b)
        hip.memcpy_async(back, store.pointer, nbytes, b)
        hip.event_record(marks[3], b)
        hip.stream_synchronize(b)
        got = tuple(float(value) for value in back[:4])
        device.synchronize()
        first = marks[0] if wait else marks[2]
        times = [hip.event_elapsed_time(first, mark) for mark in marks]
    return Race(wait, (times[0], times[1]), (times[2], times[3]), got)


def race_picture(run: Race) -> Picture:
    """Both streams on one clock, the event's flag, and what B read."""
    got = ", ".join(f"{value:g}" for value in run.got)
    said = SAY[run.waited].format(
        write=duration(run.write[1] - run.write[0]), read=duration(run.read[1] - run.read[0]), got=got
    )
    return picture(_race_svg(run, got), TITLE, said, units=TIME, evidence="measured", note=NOTE)


def stream_box() -> widgets.Widget:
    """A box to tick: B waits for A's event, or does not; each time the two streams really run."""
    ticked = widgets.Checkbox(False, indent=False, layout={"width": "auto"})
    bind(ticked, description=WAIT)
    return live(lambda wait: race_picture(race(wait)), wait=ticked)


def _race_svg(run: Race, got: str) -> str:
    left, room, lanes = 130, 580, (72, 154)
    end = max(run.write[1], run.read[1])
    scale = room / (end or 1)
    axis = lanes[1] + 58
    step = _nice(end / 5)
    drawn = [box(0, 0, 760, 300, "#f6f8fa", 12)]
    for name, y in zip(LANES, lanes, strict=True):
        drawn.append(pair(name, 16, y + 24, 15, "start", font_weight=700))
        drawn.append(line(f"M{left} {y + 19} h{room + 14} m-7 -6 l7 6 l-7 6", "#9aa8b5", 2))
    for (start, stop), name, y, colour in zip((run.write, run.read), JOBS, lanes, (BLUE, ORANGE), strict=True):
        x, wide = left + scale * start, max(scale * (stop - start), 4)
        drawn.append(box(x, y, wide, 38, colour, 6, stroke=INK, stroke_width=1.5))
        fits = wide > 130
        middle = (x + wide / 2) if fits else (x - 8 if x > left + 150 else x + wide + 8)
        anchor = "middle" if fits else ("end" if x > left + 150 else "start")
        fill = PAPER if fits and colour == BLUE else INK
        drawn.append(pair(name, middle, y + 24, 14, anchor, fill, font_weight=700))
    flag = left + scale * run.write[1]
    drawn += [
        line(f"M{flag} {lanes[0] + 38} V{lanes[0] - 30}", GREEN, 3),
        tag("path", d=f"M{flag} {lanes[0] - 32} l-26 9 l26 9 z", fill=GREEN),
        pair(FLAG, flag - 32, lanes[0] - 20, 13, "end", "#00674b", font_weight=700),
    ]
    if run.waited:
        y = lanes[1] + 19
        drawn.append(
            line(f"M{flag} {lanes[0] + 40} V{lanes[1] - 8} m-6 -8 l6 8 l6 -8", GREEN, 3, stroke_dasharray="4 6")
        )
        drawn.append(line(f"M{left + 4} {y} H{flag - 4}", PAPER, 6, stroke_dasharray="1 10"))
    for tick in range(int(end / step) + 1):
        x = left + scale * step * tick
        drawn += [line(f"M{x} {axis} v6", QUIET, 1.5), word(f"{step * tick:g}", x, axis + 22, 12, fill=QUIET)]
    drawn.append(line(f"M{left} {axis} h{room}", QUIET, 1.5))
    drawn.append(pair(TIME, 16, axis + 22, 12, "start", QUIET))
    right = run.got == (1, 2, 3, 4)
    drawn.append(
        pair(RESULT[right].format(got=got), left, 278, 17, "start", "#00674b" if right else VERMILION, font_weight=700)
    )
    return drawing(760, 300, *drawn)


def _nice(step: float) -> float:
    """A step for an axis near this one: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(step, 1e-9)))
    return float(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step))
