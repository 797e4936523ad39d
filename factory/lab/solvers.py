"""The race of `find`: its solvers side by side, the idea of each, who steps in when some are taken away, which GPU
has which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from factory import gpus
from factory.device import Device
from factory.lab.figures import Html, Picture, both, picture
from factory.lab.svg import BLUE, INK, PAPER, QUIET, SKY, box, duration, line, pair, quantity, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.problem import ConvolutionProblem, Found, Solution
from factory.simulator.solvers import SOLVERS

TITLE = Text("solver の競走", "The race of the solvers")
HEADS = (
    Text("solver", "solver"),
    Text("時間", "time"),
    Text("最速の何倍", "times the fastest"),
    Text("作業用メモリ", "workspace"),
)
FIRST = Text("最速", "winner")
STEPS_IN = Text("代わりに走る", "steps in")
AWAY = Text("使えない", "closed")
NOBODY = Text("走れる solver が 1 つも残っていません", "not a single solver is left")
UNITS = Text("時間、作業用メモリのバイト数", "time; bytes of workspace")
HERE = Text(
    "ここで測った時間です。シミュレーターの時間は、GPU の時間ではありません。途中が切れた棒は、本当はもっと長い棒です。",
    "Timed here; a simulator's times are not a GPU's. A bar with a gap is longer than it is drawn.",
)
RAN = Text("{solver} は {ms}、作業用メモリ {bytes}", "{solver} {ms}, workspace {bytes}")
CLOSED = Text("使えないもの: {names}", "closed: {names}")

SOLVER = Text("solver", "solver")
ALGORITHM = Text("やり方の種類", "algorithm")
IDEA = Text("考え方", "the idea")
WHY = Text("外れた理由", "why it was dropped")

ALLOWED = Text("{algorithm} を使ってよい", "{algorithm} may be used")
LIMIT = Text("作業用メモリの上限:", "Limit of the workspace:")
NO_LIMIT = Text("なし", "none")

GPU = Text("GPU", "GPU")
ALGORITHMS = ("Winograd", "ImplicitGEMM", "FFT", "GEMM", "Direct")
SIGNS = {
    (True, True): ("○", "#00674b", Text("float32 も float16 も", "float32 and float16")),
    (True, False): ("△", "#8a4b00", Text("float32 だけ", "float32 alone")),
    (False, True): ("□", "#8a4b00", Text("float16 だけ", "float16 alone")),
    (False, False): ("×", "#a32a00", Text("なし", "none")),
}
SOURCE = Text(
    "MIOpen 3.4.0 のソースコードを読んで作った表です。畳み込みの大きさによっては、○ でも使えないことがあります。",
    "Made from the source code of MIOpen 3.4.0. Even a ○ may not take every size of convolution.",
)

_SOLVERS = {solver.name: solver for solver in SOLVERS}
_LONGEST = 6.0  # times the fastest: the longest bar that is drawn whole
_LEFT, _BAR, _ROW, _TOP = 206, 236, 44, 48


def solver_race(found: Found, full: Found | None = None) -> Picture:
    """A bar for each solver that find raced, fastest first.

    `full` is what was found before some were taken away: those stay in the picture, struck out, and the times are
    compared with its fastest.
    """
    everyone = list(full if full is not None else found)
    left = {solution.solver for solution in found}
    said = [
        RAN.format(solver=one.solver, ms=duration(one.milliseconds), bytes=quantity(one.workspace, "B"))
        for one in everyone
        if one.solver in left
    ] or [NOBODY]
    away = ", ".join(one.solver for one in everyone if one.solver not in left)
    closed = [CLOSED.format(names=away)] if away else []
    told = Text(
        *("; ".join(getattr(one, code) for one in (*said, *closed)) + end for code, end in (("ja", "。"), ("en", ".")))
    )
    kinds = sorted({one.evidence for one in everyone}, reverse=True)
    return picture(_race_svg(everyone, left), TITLE, told, units=UNITS, evidence=kinds, note=HERE)


def _race_svg(everyone: Sequence[Solution], left: set[str]) -> str:
    height = _TOP + _ROW * len(everyone) + (10 if left else 44)
    fastest = (everyone[0].milliseconds or 1.0) if everyone else 1.0
    longest = min(max((one.milliseconds or 0.0) for one in everyone) / fastest, _LONGEST) if everyone else 1.0
    parts = [box(0, 0, 780, height, PAPER, 12)]
    places = ((16, "start"), (534, "end"), (650, "end"), (764, "end"))
    parts += [pair(head, x, 28, 12, anchor, QUIET) for head, (x, anchor) in zip(HEADS, places, strict=True)]
    leader = next((one.solver for one in everyone if one.solver in left), None)
    for row, one in enumerate(everyone):
        y, runs, leads = _TOP + _ROW * row, one.solver in left, one.solver == leader
        times = (one.milliseconds or 0.0) / fastest
        length = max(_BAR * min(times, _LONGEST) / longest, 3.0)
        ink = INK if runs else QUIET
        if leads:
            parts.append(box(8, y - 3, 764, _ROW - 4, "#eef6fc", 8, stroke=BLUE, stroke_width=2))
        parts += [
            word(one.solver, 16, y + 16, 15, "start", ink, font_weight=700 if runs else 400),
            word(one.algorithm, 16, y + 32, 11.5, "start", QUIET),
            box(_LEFT, y + 8, length, 20, (BLUE if leads else SKY) if runs else "none", 4,
                stroke=None if runs else QUIET, stroke_dasharray=None if runs else "4 4"),
            _gap(_LEFT + length - 40, y) if times > _LONGEST else "",
            word(duration(one.milliseconds), 534, y + 23, 15, "end", ink, font_weight=700 if runs else 400),
            word("×1" if times == 1 else f"×{times:.2f}" if times < 9.95 else f"×{times:.0f}", 650, y + 23, 14, "end", ink),
            word(quantity(one.workspace, "B"), 764, y + 23, 14, "end", ink),
        ]  # fmt: skip
        if not runs:
            parts += [
                line(f"M14 {y + 11} H{26 + 8.6 * len(one.solver):.0f}", QUIET, 1.5),
                pair(AWAY, _LEFT + length + 8, y + 22, 12, "start", QUIET),
            ]
        elif leads:
            sign = FIRST if row == 0 else STEPS_IN
            parts.append(pair(sign, _LEFT + length + 8, y + 22, 12.5, "start", BLUE, font_weight=700))
    if not left:
        parts.append(pair(NOBODY, 390, height - 18, 16, fill="#a32a00", font_weight=700))
    return drawing(780, height, *parts)


def _gap(x: float, y: float) -> str:
    """A gap across a bar that is longer than it is drawn."""
    return line(f"M{x:.1f} {y + 32} l8 -28", PAPER, 7, stroke_linecap="butt")


def solver_ideas(found: Found) -> Html:
    """The idea of each solver that ran, fastest first, as a table."""
    known = [_SOLVERS[one.solver] for one in found if one.solver in _SOLVERS]
    rows = [(one.name, one.algorithm, Text(*(text.replace("\n", "") if code == "ja" else text.replace("\n", " ")
             for code, text in zip(("ja", "en"), one.idea, strict=True)))) for one in known]  # fmt: skip
    return _table((SOLVER, ALGORITHM, IDEA), rows)


def dropped_table(found: Found) -> Html:
    """Each solver that find dropped, with the reason, as a table."""
    rows = [(name, _SOLVERS[name].algorithm if name in _SOLVERS else "", why) for name, why in found.dropped.items()]
    return _table((SOLVER, ALGORITHM, WHY), rows)


def _table(heads: Sequence[Text], rows: Sequence[tuple[str, str, Text]]) -> Html:
    head = "".join(f'<th scope="col" style="text-align:left">{both(one)}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left;white-space:nowrap">{name}</th>'
        f'<td style="text-align:left">{algorithm}</td><td style="text-align:left">{both(words, "div")}</td></tr>'
        for name, algorithm, words in rows
    )
    plain = Text(*("\n".join(f"{name}: {getattr(words, code)}" for name, _, words in rows) for code in ("ja", "en")))
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", plain)


def race_box(device: Device, problem: ConvolutionProblem) -> widgets.Widget:
    """A box to tick for each algorithm and a limit of the workspace, and who runs then; nothing is raced twice."""
    full = device.find(problem)
    boxes: dict[str, Any] = {}
    for algorithm in dict.fromkeys(one.algorithm for one in full):
        boxes[algorithm] = bind(widgets.Checkbox(True, indent=False), description=ALLOWED.format(algorithm=algorithm))
    limits = [(quantity(size, "B"), size) for size in sorted({0, *(one.workspace for one in full)})]
    limit = widgets.SelectionSlider(options=[("-", -1)])
    limit.layout.width = "min(38em, 100%)"
    bind(limit, description=LIMIT, options=[*limits, (NO_LIMIT, -1)])
    limit.value = -1

    def draw(limit: int, **allowed: bool) -> Picture:
        without = [algorithm for algorithm, kept in allowed.items() if not kept]
        return solver_race(device.find(problem, None if limit < 0 else limit, without), full)

    return live(draw, **boxes, limit=limit)


def algorithm_table() -> Html:
    """Which of MIOpen's forward algorithms each GPU has, for float32 and float16."""
    head = "".join(
        f'<th scope="col" style="text-align:{side}">{one}</th>'
        for one, side in ((both(GPU), "left"), *((name, "center") for name in ALGORITHMS))
    )
    rows, told = [], []
    for gpu in gpus.GPUS.values():
        signs = [
            SIGNS[algorithm in gpu.algorithms["float32"], algorithm in gpu.algorithms["float16"]]
            for algorithm in ALGORITHMS
        ]
        rows.append(
            f'<tr><th scope="row" style="text-align:left">{gpu.arch} <span style="font-weight:400">{gpu.name}</span></th>'
            + "".join(f'<td style="text-align:center;color:{ink}"><b>{sign}</b></td>' for sign, ink, _ in signs)
            + "</tr>"
        )
        listed = ", ".join(f"{one} {sign[0]}" for one, sign in zip(ALGORITHMS, signs, strict=True))
        told.append(f"{gpu.arch} ({gpu.name}): {listed}")
    shown = {sign for row in rows for sign in "○△□×" if sign in row}
    legend = [(sign, words) for sign, _, words in SIGNS.values() if sign in shown]
    key = Text(
        "、".join(f"{sign} {words.ja}" for sign, words in legend),
        ", ".join(f"{sign} {words.en}" for sign, words in legend),
    )
    caption = Text(f"{key.ja}。{SOURCE.ja}", f"{key.en}. {SOURCE.en}")
    return Html(
        f'<table><caption style="text-align:left;caption-side:bottom">{both(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
        Text("\n".join([*told, caption.ja]), "\n".join([*told, caption.en])),
    )
