"""The ledger: a timeline's commands line by line, and its stations side by side as bars."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from factory.lab.figures import Html, Picture, both, mark, picture
from factory.lab.gauges import JOBS, shares, simulated
from factory.lab.machines import COLOURS
from factory.lab.svg import PAPER, QUIET, box, duration, pair, percent, quantity, word
from factory.lab.svg import picture as drawing
from factory.language import Text
from factory.timeline import STATIONS, Timeline

if TYPE_CHECKING:
    from factory.device import Device

HEADS = (
    Text("番号", "no."),
    Text("ステップ", "step"),
    Text("層", "layer"),
    Text("持ち場", "station"),
    Text("命令", "command"),
    Text("大きさ", "sizes"),
    Text("計算の回数", "operations"),
    Text("読み書き", "bytes"),
    Text("時間", "time"),
    Text("根拠", "evidence"),
)
SHOWN = Text("全部で {all:,} 行のうち {some:,} 行です。", "{some:,} of {all:,} lines.")
BY = {
    "time": Text("時間", "time"),
    "calls": Text("命令の回数", "commands"),
    "bytes": Text("読み書きした量", "bytes read and written"),
}
SHARE_OF = Text("持ち場ごとの{what}", "{what} by station")


def timeline_table(timeline: Timeline, last: int = 12, slowest: bool = False) -> Html:
    """The last commands of a timeline as a table, or its slowest, each with its number on the timeline."""
    commands = list(enumerate(timeline, 1))
    chosen = sorted(commands, key=lambda item: -item[1].milliseconds)[:last] if slowest else commands[-last:]
    rows = []
    for number, command in chosen:
        rows.append(
            "<tr>"
            + "".join(
                _cell(text, "right") for text in (f"{number:,}", str(command.step or ""), str(command.layer or ""))
            )
            + _cell(command.station)
            + _cell(f"<code>{escape(command.call)}</code>")
            + _cell(escape(command.sizes))
            + _cell(quantity(command.operations), "right")
            + _cell(quantity(command.bytes, "B"), "right")
            + _cell(duration(command.milliseconds), "right")
            + _cell(mark(command.evidence))
            + "</tr>"
        )
    head = "".join(f'<th scope="col" style="text-align:left;white-space:nowrap">{both(name)}</th>' for name in HEADS)
    caption = SHOWN.format(some=len(chosen), all=len(commands))
    plain = "\n".join(f"{number} {command!r}" for number, command in chosen)
    return Html(
        f'<div style="overflow-x:auto"><table><caption style="text-align:left">{both(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>",
        plain,
    )


def _cell(inside: str, side: str = "left") -> str:
    whole = ";white-space:nowrap" if side == "right" else ""  # a number keeps its unit beside it
    return f'<td style="text-align:{side}{whole}">{inside}</td>'


def station_bars(source: Device | Timeline, by: str = "time") -> Picture:
    """Bars of each station's "time", "calls" or "bytes", with their numbers, for a device or a timeline alone."""
    timeline = source if isinstance(source, Timeline) else source.timeline
    if by not in BY:
        raise ValueError(f"by={by!r} is none of {', '.join(BY)}")
    rows, said = [], []
    for row, (station, share) in enumerate((station, shares(timeline)[station]) for station in STATIONS):
        part = {"time": share.of_time, "calls": share.of_calls, "bytes": share.of_bytes}[by]
        amount = {
            "time": duration(share.milliseconds),
            "calls": quantity(share.count),
            "bytes": quantity(share.bytes, "B"),
        }[by]
        y = 16 + 48 * row
        rows += [
            word(station, 20, y + 14, 15, "start", font_weight=700),
            pair(JOBS[station], 20, y + 32, 11, "start", QUIET),
            box(190, y + 2, 420, 26, "#e3e8ed", 5),
            box(190, y + 2, max(420 * part, 2), 26, COLOURS[station], 5) if share.count else "",
            word(percent(part), 662, y + 20, 15, "end", font_weight=700),
            word(amount, 742, y + 20, 13, "end", QUIET),
        ]
        said.append(f"{station} {percent(part)} ({amount})")
    what = SHARE_OF.format(what=BY[by])
    listed = Text(f"{what.ja}: {'、'.join(said)}。", f"{what.en}: {', '.join(said)}.")
    return picture(
        drawing(760, 212, box(0, 0, 760, 212, PAPER, 12), *rows),
        what,
        listed,
        evidence="measured" if by == "time" else (),
        note=simulated(source) if by == "time" else None,
    )
