"""The factory floor: one run's timeline as a factory line, each station lit by its share of the work."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from factory.lab import machines
from factory.lab.machines import COLOURS, DARK, GLASS, SHADE, STEEL
from factory.lab.svg import (
    INK,
    PAPER,
    QUIET,
    YELLOW,
    box,
    disc,
    duration,
    line,
    pair,
    percent,
    picture,
    quantity,
    tag,
    word,
)
from factory.language import Text
from factory.timeline import Command, Timeline

WIDTH, HEIGHT = 960, 628
WALL, GROUND, GALLERY, BELT = "#eaf1f6", "#f3ecdd", 146, 438
PLACES = {"rocBLAS": (146, 190), "MIOpen": (362, 190), "kernels": (578, 172)}  # left edge and width
# The belt runs for a few seconds, and not at all for a reader who asked for less motion.
MOTION = ("@media (prefers-reduced-motion:no-preference){.factory-moving{animation:factory-belt 1s linear 8}}"
          "@keyframes factory-belt{to{stroke-dashoffset:-28}}")

JOBS = {
    "HIP": Text("工場の管理者", "the factory manager"),
    "rocBLAS": Text("行列のかけ算", "matrix multiplication"),
    "MIOpen": Text("畳み込みと活性化", "convolution, activation"),
    "kernels": Text("自作の小さな道具", "small tools of our own"),
}
WORDS = {
    "input": Text("入力", "Input"),
    "output": Text("出力", "Output"),
    "memory": Text("GPU メモリ", "GPU memory"),
    "repeat": Text("{layers} 層くり返す", "repeat for {layers} layers"),
    "once": Text("層ごとにくり返す", "repeat at every layer"),
    "time": Text("時間", "time"),
    "calls": Text("命令の回数", "commands"),
    "bytes": Text("読み書きした量", "bytes read and written"),
    "lamps": Text("時間 20 % ごとに 1 つ点灯", "one lit for each 20 % of time"),
    "measured": Text("実測(いま、ここで測った時間)", "measured (a time taken here, now)"),
    "all": Text("合計", "total"),
    "resting": Text("お休み中", "resting"),
    "empty": Text("まだ何も動いていません", "nothing has run yet"),
}


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
        sum(getattr(total, name) for total in totals.values()) for name in ("milliseconds", "count", "bytes"))
    return {
        station: Share(total.count, total.bytes, total.milliseconds, total.milliseconds / time if time else 0.0,
                       total.count / calls if calls else 0.0, total.bytes / moved if moved else 0.0)
        for station, total in totals.items()
    }


def layers(timeline: Timeline) -> int:
    """How many different layers the timeline saw."""
    return len({command.layer for command in timeline if command.layer is not None})


def floor(timeline: Timeline, goes_in: str = "", comes_out: str = "") -> str:
    """The factory floor as SVG, in both languages; what went in and came out can stand on the line in a few words."""
    by_station, commands = shares(timeline), list(timeline)
    depth = layers(timeline)
    return picture(
        WIDTH, HEIGHT,
        tag("style", MOTION),
        _hall(),
        _gallery(by_station["HIP"]),
        _board(by_station),
        _ends(commands, goes_in, comes_out),
        *(_cable(x + width / 2) for x, width in PLACES.values()),
        _machine("rocBLAS", by_station["rocBLAS"], "2"),
        _machine("MIOpen", by_station["MIOpen"], "3"),
        _machine("kernels", by_station["kernels"], ""),
        _belt(),
        _loop(depth),
        _legend(by_station),
    )


def describe(timeline: Timeline) -> Text:
    """The floor in words: what a reader who cannot see it should know."""
    by_station = shares(timeline)
    count = sum(share.count for share in by_station.values())
    if not count:
        return Text("工場の見取り図。まだ何も動いていません。", "The factory floor; nothing has run yet.")
    order = sorted(by_station.items(), key=lambda item: -item[1].of_time)
    parts = [f"{station} {percent(share.of_time)}" for station, share in order if share.count]
    return Text(
        f"工場の見取り図。入力、rocBLAS、MIOpen、自作カーネル、出力がベルトでつながり、{layers(timeline)} 層くり返します。"
        f"命令は {count:,} 回。時間の割合は {'、'.join(parts)}。",
        f"The factory floor: a belt joins input, rocBLAS, MIOpen, our kernels and output, and repeats for "
        f"{layers(timeline)} layers. {count:,} commands. Shares of the time: {', '.join(parts)}.",
    )


def _hall() -> str:
    tiles = "".join(line(f"M{x} {HEIGHT - 6} L{480 + (x - 480) * 0.86} 466", "#e6dcc6", 1.5) for x in range(60, 960, 84))
    shutter = "".join(line(f"M776 {y} h164", "#b9c8d4", 2) for y in range(338, 366, 9))
    return (box(0, 0, WIDTH, HEIGHT, GROUND, 18) + tag(
        "path", d=f"M0 452 V18 a18 18 0 0 1 18 -18 H{WIDTH - 18} a18 18 0 0 1 18 18 V452 z", fill=WALL) + tiles
        + box(768, 322, 180, 130, STEEL, 8) + box(776, 330, 164, 122, "#d3dfe8", 3) + shutter)


def _gallery(share: Share) -> str:
    """The manager's gallery over the line: memory on the shelf, the office, the plate and the numbers."""
    return (
        "".join(box(x, GALLERY + 10, 8, BELT - GALLERY - 10, STEEL, 0, opacity=0.5) for x in (345, 561))
        + machines.shelf(46, GALLERY, 180) + pair(WORDS["memory"], 136, 46, 13, fill=QUIET, font_weight=600)
        + machines.office(276, GALLERY - 108)
        + _plate("HIP", 462, 58, 190, 66) + _panel(664, 58, 270, share, COLOURS["HIP"])
        + box(24, GALLERY, WIDTH - 48, 12, DARK, 6)
        + "".join(disc(x, GALLERY + 6, 2.5, STEEL) for x in range(40, WIDTH - 30, 40))
    )


def _cable(x: float) -> str:
    """A cable from the manager to a machine, with an order on its way down."""
    return line(f"M{x} {GALLERY + 12} v26", COLOURS["HIP"], 2.5, stroke_dasharray="1 6") + box(
        x - 8, GALLERY + 15, 16, 12, PAPER, 2, stroke=COLOURS["HIP"], stroke_width=1.5) + line(
        f"M{x - 4} {GALLERY + 19} h8 m-8 4 h5", COLOURS["HIP"], 1.5)


def _machine(station: str, share: Share, step: str) -> str:
    y, (x, width) = 200, PLACES[station]
    art = {"rocBLAS": machines.press, "MIOpen": machines.window, "kernels": machines.tools}[station]
    return tag(
        "g",
        machines.body(x, y, width, BELT - y, COLOURS[station], share.lit, share.count > 0),
        _plate(station, x + 12, y + 62, width - 24, 54),
        art(x + 12, y + 120, width - 24),
        _panel(x + 12, y + 168, width - 24, share, COLOURS[station]),
        machines.number(x + 4, y + 6, step) if step else "",
    )


def _plate(station: str, x: float, y: float, width: float, height: float) -> str:
    """A name on a white plate, and its job in plain words below."""
    middle, centre = x + width / 2, y + height / 2
    return (box(x, y, width, height, PAPER, 8) + word(station, middle, centre - 5, 18, font_weight=800)
            + pair(JOBS[station], middle, centre + 14.5, 11.5, fill=QUIET))


def _panel(x: float, y: float, width: float, share: Share, colour: str) -> str:
    """Three bars with their numbers: time, commands, bytes."""
    if not share.count:
        return box(x, y, width, 66, PAPER, 8) + pair(WORDS["resting"], x + width / 2, y + 38, 13, fill=QUIET)
    rows = (
        (_clock, share.of_time, duration(share.milliseconds)),
        (_ticket, share.of_calls, quantity(share.count)),
        (_load, share.of_bytes, quantity(share.bytes, "B")),
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


def _board(by_station: dict[str, Share]) -> str:
    """The board on the wall: the whole run in three numbers."""
    time, count, moved = (
        sum(getattr(share, name) for share in by_station.values()) for name in ("milliseconds", "count", "bytes"))
    x, y = 768, 172
    return (box(x, y, 180, 66, GLASS, 10, stroke=STEEL, stroke_width=3) + pair(
        WORDS["all"], x + 14, y + 27, 11.5, "start", SHADE) + _clock(x + 62, y + 22, YELLOW) + word(
        duration(time) if count else "-", x + 76, y + 30, 21, "start", YELLOW, font_weight=800)
        + _ticket(x + 19, y + 50, SHADE) + word(quantity(count), x + 31, y + 54, 12.5, "start", PAPER, font_weight=600)
        + _load(x + 88, y + 50, SHADE) + word(
            quantity(moved, "B"), x + 101, y + 54, 12.5, "start", PAPER, font_weight=600))


def _clock(x: float, y: float, colour: str = INK) -> str:
    return disc(x, y, 6, "none", stroke=colour, stroke_width=1.6) + line(f"M{x} {y - 3.5} v3.5 h2.5", colour, 1.4)


def _ticket(x: float, y: float, colour: str = INK) -> str:
    return box(x - 5, y - 6, 10, 12, "none", 2, stroke=colour, stroke_width=1.6) + line(
        f"M{x - 2} {y - 2} h4 m-4 4 h4", colour, 1.3)


def _load(x: float, y: float, colour: str = INK) -> str:
    return box(x - 6, y - 5, 12, 10, "none", 1.5, stroke=colour, stroke_width=1.6) + line(
        f"M{x - 6} {y - 1} h12", colour, 1.3)


def _ends(commands: list[Command], goes_in: str, comes_out: str) -> str:
    """Both ends of the line: the hopper of step 1 and the truck of step 5, with what they moved."""
    def end(step: int, x: float, y: float, width: float) -> str:
        mine = [command for command in commands if command.step == step]
        carried = sum(command.bytes for command in mine)
        name = WORDS["input" if step == 1 else "output"]
        return (machines.number(x + 16, y, str(step)) + pair(name, x + 40, y + 5, 15, "start", font_weight=700)
                + box(x, y + 22, width, 22, PAPER, 8) + _ticket(x + 11, y + 33)
                + word(quantity(len(mine)), x + 21, y + 37, 11.5, "start", font_weight=700)
                + _load(x + width - 64, y + 33)
                + word(quantity(carried, "B"), x + width - 5, y + 37, 11.5, "end", font_weight=700))

    asked = box(26, 329, 108, 22, PAPER, 6, stroke=STEEL, stroke_width=1.5) + word(
        _cut(goes_in, 11), 80, 345, 12, font_weight=600) if goes_in else ""
    return (machines.hopper(28, 262) + end(1, 20, 190, 112) + asked
            + tag("g", machines.truck(0, 0), transform="translate(776 452) scale(0.9)") + end(5, 768, 272, 180)
            + word(_cut(comes_out, 8), 829, 413, 15, font_weight=700))


def _cut(text: str, most: int) -> str:
    """The text in at most so many wide characters; a Latin letter counts for half of one."""
    room, kept = 2 * most, ""
    for character in " ".join(text.split()):
        room -= 1 if character.isascii() else 2
        if room < 0:
            return kept.rstrip() + "…"
        kept += character
    return kept


def _belt() -> str:
    """The belt from the hopper to the truck, with what travels on it."""
    rollers = "".join(disc(x, BELT + 12, 7, STEEL) + disc(x, BELT + 12, 2.5, DARK) for x in range(50, 760, 28))
    legs = "".join(box(x, BELT + 22, 10, 20, DARK) for x in (60, 736))
    goods = (machines.crate(38, BELT, "あ") + machines.crate(76, BELT, "A") + machines.crate(112, BELT, "12")
             + machines.sheets(336, BELT) + machines.sheets(552, BELT))
    moving = line(f"M44 {BELT + 2.5} H748", STEEL, 2.5, stroke_dasharray="14 14", class_="factory-moving")
    return goods + legs + box(30, BELT, 730, 24, DARK, 12) + rollers + moving


def _loop(depth: int) -> str:
    """Step 4: the belt back, from the last machine to the first."""
    path = f"M748 {BELT + 30} v34 q0 18 -18 18 H158 q-18 0 -18 -18 v-26"
    arrows = "".join(line(f"M{x} {BELT + 75} l-8 7 l8 7", PAPER, 3) for x in (226, 286, 610, 670))
    text = WORDS["repeat"].format(layers=depth) if depth else WORDS["once"]
    plate = box(338, BELT + 59, 222, 46, PAPER, 12, stroke=DARK, stroke_width=2) + pair(
        text, 459, BELT + 87, 14.5, font_weight=700) + machines.number(340, BELT + 82, "4")
    return line(path, STEEL, 16) + arrows + tag(
        "path", d=f"M123 {BELT + 54} h34 l-17 -24 z", fill=STEEL) + plate


def _legend(by_station: dict[str, Share]) -> str:
    """What the signs mean, and where the times come from."""
    y, drawn = HEIGHT - 35, [box(24, HEIGHT - 58, WIDTH - 48, 46, PAPER, 12)]
    if not any(share.count for share in by_station.values()):
        return drawn[0] + pair(WORDS["empty"], WIDTH / 2, y + 5, 14, font_weight=700)
    for icon, name, x in ((_clock, "time", 52), (_ticket, "calls", 136), (_load, "bytes", 260)):
        drawn += [icon(x, y), pair(WORDS[name], x + 12, y + 4, 11.5, "start")]
    drawn += [box(446, y - 5, 15, 9, YELLOW, 3, stroke=DARK, stroke_width=1), pair(
        WORDS["lamps"], 468, y + 4, 11.5, "start")]
    drawn += [disc(694, y, 6, INK), pair(WORDS["measured"], 707, y + 4, 11.5, "start")]
    return "".join(drawn)
