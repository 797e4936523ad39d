"""The manager's shelf: a device's memory as one bar, and below it what lies there, by whom, from which line."""

from __future__ import annotations

from factory.device import Device
from factory.lab.figures import Picture, picture
from factory.lab.machines import CARD
from factory.lab.svg import INK, PAPER, QUIET, box, line, pair, tag, word
from factory.lab.svg import picture as drawing
from factory.language import Text
from factory.memory import Allocation

MOST = 8  # lines shown one by one
TITLE = Text("GPU メモリの棚", "The shelf of GPU memory")
SAY = Text(
    "全部で {limit:,} バイト。使用中 {in_use:,} バイト({names})、プールがとってあるのは {cached:,} バイト、空きは {free:,} バイト。",
    "{limit:,} bytes in all: {in_use:,} in use ({names}), {cached:,} kept by the pool, {free:,} free.",
)
NOTHING = Text("なし", "none")
UNITS = Text("バイト", "bytes")
KEYS = (
    Text("使用中", "in use"),
    Text("切り上げたすき間", "rounding up"),
    Text("プール(次の配列のために残す)", "pool (kept for the next array)"),
    Text("空き", "free"),
)
MORE = Text("ほかに {count} 個、{nbytes:,} バイト", "{count} more, {nbytes:,} bytes")

_HATCH = tag(
    "defs",
    tag(
        "pattern",
        box(0, 0, 8, 8, "#dfe6ec"),
        line("M-2 2 l4 -4 M0 8 l8 -8 M6 10 l4 -4", "#8fa1b3", 1.5),
        id="shelf-pool",
        width=8,
        height=8,
        patternUnits="userSpaceOnUse",
    ),
)
_LEFT, _ROOM = 20, 720


def memory_picture(device: Device) -> Picture:
    """A device's memory: what is in use, what the pool keeps, what is free, and a line for each live allocation."""
    live = device.memory.live()
    lines = device.hip.ledger.lines()
    in_use, reserved, limit = device.memory.in_use, device.memory.reserved, device.memory.limit
    cached = sum(line.reserved for line in lines if line.state == "cached")
    named = [f"{line.name} {line.nbytes:,}" for line in live[:MOST]] + (["..."] if len(live) > MOST else [])
    names = Text("、".join(named), ", ".join(named)) if named else NOTHING
    said = SAY.format(limit=limit, in_use=in_use, names=names, cached=cached, free=max(limit - reserved, 0))
    return picture(_shelf_svg(lines, live, limit), TITLE, said, units=UNITS)


def _shelf_svg(lines: list[Allocation], live: list[Allocation], limit: int) -> str:
    rows = live[:MOST]
    height = 128 + 30 * (len(rows) + (len(live) > MOST)) + 10
    scale = _ROOM / max(limit, 1)
    drawn = [_HATCH, box(0, 0, 760, height, "#f6f8fa", 12), box(_LEFT, 40, _ROOM, 44, PAPER, 0)]
    x = float(_LEFT)
    for entry in lines:
        wide = entry.reserved * scale
        used = entry.nbytes * scale if entry.state == "live" else 0.0
        if entry.state == "live":
            drawn.append(box(x + used, 40, wide - used, 44, "#f3dcc7", 0))
            drawn.append(box(x, 40, max(used, 1.5), 44, CARD, 0, stroke=INK, stroke_width=1))
            if used > 7.5 * len(entry.name) + 6:
                drawn.append(word(entry.name, x + used / 2, 67, 13, fill=INK, font_weight=700))
        else:
            drawn.append(box(x, 40, max(wide, 1.5), 44, "url(#shelf-pool)", 0, stroke=QUIET, stroke_width=1))
        x += wide
    drawn.append(box(_LEFT, 40, _ROOM, 44, "none", 4, stroke=INK, stroke_width=2))
    drawn += [word("0", _LEFT, 32, 12, "start", QUIET), word(f"{limit:,}", _LEFT + _ROOM, 32, 12, "end", QUIET)]
    fills = (CARD, "#f3dcc7", "url(#shelf-pool)", PAPER)
    for key, fill, at in zip(KEYS, fills, (20, 120, 300, 620), strict=True):
        drawn += [box(at, 96, 18, 14, fill, 3, stroke=QUIET, stroke_width=1), pair(key, at + 25, 108, 12, "start")]
    for row, entry in enumerate(rows):
        y = 128 + 30 * row
        drawn.append(box(_LEFT, y, _ROOM, 26, PAPER, 5))
        drawn.append(word(entry.name, _LEFT + 12, y + 18, 14, "start", font_weight=700))
        drawn.append(word(f"{entry.nbytes:,}", 330, y + 18, 14, "end"))
        drawn.append(word(f"{entry.pointer:#x}", 520, y + 18, 12.5, "end", QUIET, font_family="monospace"))
        where = entry.where if isinstance(entry.where, Text) else Text(entry.where, entry.where)
        drawn.append(pair(where, 540, y + 17, 11, "start", QUIET))
    if len(live) > MOST:
        rest = live[MOST:]
        more = MORE.format(count=len(rest), nbytes=sum(entry.nbytes for entry in rest))
        drawn.append(pair(more, _LEFT + 12, 128 + 30 * len(rows) + 18, 13, "start", QUIET))
    return drawing(760, height, *drawn)
