"""The factory floor: one run's timeline as a factory line, each station lit by its share of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.lab import gauges, machines
from factory.lab.figures import Picture, display_picture
from factory.lab.figures import picture as figure
from factory.lab.gauges import Share, shares, simulated
from factory.lab.machines import COLOURS, DARK, STEEL
from factory.lab.svg import (
    BLUE,
    PAPER,
    QUIET,
    YELLOW,
    box,
    disc,
    dots,
    line,
    pair,
    percent,
    picture,
    quantity,
    tag,
    word,
    wrapped,
)
from factory.language import Text
from factory.timeline import Command, Timeline

if TYPE_CHECKING:
    from factory.device import Device

WIDTH, HEIGHT = 960, 628
WALL, GROUND, GALLERY, BELT = "#eaf1f6", "#f3ecdd", 146, 438
PLACES = {"rocBLAS": (146, 190), "MIOpen": (362, 190), "kernels": (578, 172)}  # left edge and width
# The belt runs for a few seconds, and not at all for a reader who asked for less motion.
MOTION = (
    "@media (prefers-reduced-motion:no-preference){.factory-moving{animation:factory-belt 1s linear 8}}"
    "@keyframes factory-belt{to{stroke-dashoffset:-28}}"
)

WORDS = {
    "title": Text("工場の流れ", "The factory floor"),
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
    "empty": Text("まだ何も動いていません", "nothing has run yet"),
}


def layers(timeline: Timeline) -> int:
    """How many different layers the timeline saw."""
    return len({command.layer for command in timeline if command.layer is not None})


def floor(timeline: Timeline, goes_in: str = "", comes_out: str = "") -> str:
    """The factory floor as SVG, in both languages; what went in and came out can stand on the line in a few words."""
    by_station, commands = shares(timeline), list(timeline)
    depth = layers(timeline)
    return picture(
        WIDTH,
        HEIGHT,
        tag("style", MOTION),
        _hall(),
        _gallery(by_station["HIP"]),
        gauges.board(by_station),
        _ends(commands, goes_in, comes_out),
        *(_cable(x + width / 2) for x, width in PLACES.values()),
        _machine("rocBLAS", by_station["rocBLAS"], "2"),
        _machine("MIOpen", by_station["MIOpen"], "3"),
        _machine("kernels", by_station["kernels"], ""),
        _belt(),
        _loop(depth),
        _legend(by_station),
    )


def floor_picture(source: Device | Timeline, goes_in: str = "", comes_out: str = "") -> Picture:
    """The factory floor of a device, or of a timeline alone, as a figure with its text alternative."""
    timeline = source if isinstance(source, Timeline) else source.timeline
    return figure(
        floor(timeline, goes_in, comes_out),
        WORDS["title"],
        describe(timeline),
        evidence="measured",
        note=simulated(source),
    )


def show_floor(source: Device | Timeline, goes_in: str = "", comes_out: str = "") -> None:
    """Show the factory floor of a device's timeline; what went in and came out can stand on it in a few words."""
    display_picture(floor_picture(source, goes_in, comes_out))


def describe(timeline: Timeline) -> Text:
    """The floor in words: what a reader who cannot see it should know."""
    by_station = shares(timeline)
    count = sum(share.count for share in by_station.values())
    if not count:
        return Text("工場の見取り図。まだ何も動いていません。", "The factory floor; nothing has run yet.")
    order = sorted(by_station.items(), key=lambda item: -item[1].of_time)
    parts = [f"{station} {percent(share.of_time)}" for station, share in order if share.count]
    return Text(
        f"工場の見取り図。入力、rocBLAS、MIOpen、自作の小さな道具(kernels)、出力がベルトでつながり、{layers(timeline)} 層くり返します。"
        f"命令は {count:,} 回。時間の割合は {'、'.join(parts)}。",
        f"The factory floor: a belt joins input, rocBLAS, MIOpen, our own kernels and output, and repeats for "
        f"{layers(timeline)} layers. {count:,} commands. Shares of the time: {', '.join(parts)}.",
    )


def _hall() -> str:
    seams = "".join(f"M{x} {HEIGHT - 6} L{480 + (x - 480) * 0.86:g} 466" for x in range(60, 960, 84))
    tiles = line(seams, "#e6dcc6", 1.5)
    shutter = line("M776 338 h164 m0 9 h-164 m0 9 h164 m0 9 h-164", "#b9c8d4", 2)
    return (
        box(0, 0, WIDTH, HEIGHT, GROUND, 18)
        + tag("path", d=f"M0 452 V18 a18 18 0 0 1 18 -18 H{WIDTH - 18} a18 18 0 0 1 18 18 V452 z", fill=WALL)
        + tiles
        + box(768, 322, 180, 130, STEEL, 8)
        + box(776, 330, 164, 122, "#d3dfe8", 3)
        + shutter
    )


def _gallery(share: Share) -> str:
    """The manager's gallery over the line: memory on the shelf, the office, the plate and the numbers."""
    return (
        "".join(box(x, GALLERY + 10, 8, BELT - GALLERY - 10, STEEL, 0, opacity=0.5) for x in (345, 561))
        + machines.shelf(46, GALLERY, 180)
        + pair(WORDS["memory"], 136, 46, 13, fill=QUIET, font_weight=600)
        + machines.office(276, GALLERY - 108)
        + gauges.plate("HIP", 462, 58, 190, 66)
        + gauges.panel(664, 58, 270, share, COLOURS["HIP"])
        + box(24, GALLERY, WIDTH - 48, 12, DARK, 6)
        + dots(40, GALLERY + 6, WIDTH - 36, 40, 2.5, STEEL)
    )


def _cable(x: float) -> str:
    """A cable from the manager to a machine, with an order on its way down."""
    return (
        line(f"M{x} {GALLERY + 12} v26", COLOURS["HIP"], 2.5, stroke_dasharray="1 6")
        + box(x - 8, GALLERY + 15, 16, 12, PAPER, 2, stroke=COLOURS["HIP"], stroke_width=1.5)
        + line(f"M{x - 4} {GALLERY + 19} h8 m-8 4 h5", COLOURS["HIP"], 1.5)
    )


def _machine(station: str, share: Share, step: str) -> str:
    y, (x, width) = 200, PLACES[station]
    art = {"rocBLAS": machines.press, "MIOpen": machines.window, "kernels": machines.tools}[station]
    return tag(
        "g",
        machines.body(x, y, width, BELT - y, COLOURS[station], share.lit, share.count > 0),
        gauges.plate(station, x + 12, y + 62, width - 24, 54),
        art(x + 12, y + 120, width - 24),
        gauges.panel(x + 12, y + 168, width - 24, share, COLOURS[station]),
        machines.number(x + 4, y + 6, step) if step else "",
    )


def _ends(commands: list[Command], goes_in: str, comes_out: str) -> str:
    """Both ends of the line: the hopper of step 1 and the truck of step 5, with what they moved."""

    def end(step: int, x: float, y: float, width: float) -> str:
        mine = [command for command in commands if command.step == step]
        carried = sum(command.bytes for command in mine)
        name = WORDS["input" if step == 1 else "output"]
        return (
            machines.number(x + 16, y, str(step))
            + pair(name, x + 40, y + 5, 15, "start", font_weight=700)
            + box(x, y + 22, width, 22, PAPER, 8)
            + gauges.ticket(x + 11, y + 33)
            + word(quantity(len(mine)), x + 21, y + 37, 11.5, "start", font_weight=700)
            + gauges.load(x + width - 64, y + 33)
            + word(quantity(carried, "B"), x + width - 5, y + 37, 11.5, "end", font_weight=700)
        )

    return (
        machines.hopper(28, 262)
        + end(1, 20, 190, 112)
        + _note(goes_in)
        + tag("g", machines.truck(0, 0), transform="translate(776 452) scale(0.9)")
        + end(5, 768, 272, 180)
        + _cargo(comes_out)
    )


def _note(text: str) -> str:
    """What goes in, on a paper over the hopper."""
    if not text:
        return ""
    lines = wrapped(text, 9.6, 3)
    top = 336 - 7 * len(lines)
    paper = box(26, top, 108, 8 + 14 * len(lines), PAPER, 6, stroke=STEEL, stroke_width=1.5)
    return paper + "".join(word(line, 80, top + 15 + 14 * row, 10.5, font_weight=600) for row, line in enumerate(lines))


def _cargo(text: str) -> str:
    """What comes out, on the side of the truck."""
    lines = wrapped(text, 6.5, 1)
    size = 15
    if "".join(lines) != text:
        lines, size = wrapped(text, 9.2, 4), 11
    first = 408 + size * 0.35 - (len(lines) - 1) * 6.5
    return "".join(word(line, 829, first + 13 * row, size, font_weight=700) for row, line in enumerate(lines))


def _belt() -> str:
    """The belt from the hopper to the truck, with what travels on it."""
    rollers = dots(50, BELT + 12, 751, 28, 7, STEEL) + dots(50, BELT + 12, 751, 28, 2.5, DARK)
    legs = "".join(box(x, BELT + 22, 10, 20, DARK) for x in (60, 736))
    goods = (
        machines.crate(38, BELT, "あ")
        + machines.crate(76, BELT, "A")
        + machines.crate(112, BELT, "12")
        + machines.sheets(336, BELT)
        + machines.sheets(552, BELT)
    )
    moving = line(f"M44 {BELT + 2.5} H748", STEEL, 2.5, stroke_dasharray="14 14", class_="factory-moving")
    return goods + legs + box(30, BELT, 730, 24, DARK, 12) + rollers + moving


def _loop(depth: int) -> str:
    """Step 4: the belt back, from the last machine to the first."""
    path = f"M748 {BELT + 30} v34 q0 18 -18 18 H158 q-18 0 -18 -18 v-26"
    arrows = "".join(line(f"M{x} {BELT + 75} l-8 7 l8 7", PAPER, 3) for x in (226, 286, 610, 670))
    text = WORDS["repeat"].format(layers=depth) if depth else WORDS["once"]
    plate = (
        box(338, BELT + 59, 222, 46, PAPER, 12, stroke=DARK, stroke_width=2)
        + pair(text, 459, BELT + 87, 14.5, font_weight=700)
        + machines.number(340, BELT + 82, "4")
    )
    return line(path, STEEL, 16) + arrows + tag("path", d=f"M123 {BELT + 54} h34 l-17 -24 z", fill=STEEL) + plate


def _legend(by_station: dict[str, Share]) -> str:
    """What the signs mean, and where the times come from."""
    y, drawn = HEIGHT - 35, [box(24, HEIGHT - 58, WIDTH - 48, 46, PAPER, 12)]
    if not any(share.count for share in by_station.values()):
        return drawn[0] + pair(WORDS["empty"], WIDTH / 2, y + 5, 14, font_weight=700)
    for icon, name, x in ((gauges.clock, "time", 52), (gauges.ticket, "calls", 136), (gauges.load, "bytes", 260)):
        drawn += [icon(x, y), pair(WORDS[name], x + 12, y + 4, 11.5, "start")]
    drawn += [
        box(446, y - 5, 15, 9, YELLOW, 3, stroke=DARK, stroke_width=1),
        pair(WORDS["lamps"], 468, y + 4, 11.5, "start"),
    ]
    drawn += [disc(694, y, 6, BLUE), pair(WORDS["measured"], 707, y + 4, 11.5, "start")]
    return "".join(drawn)
