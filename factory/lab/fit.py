"""Does it fit, does it flow: a model's bytes against each GPU's memory, and the least time to carry them once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import ipywidgets as widgets

from factory.errors import ShapeError
from factory.gpus import GPUS, Gpu
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, PAPER, QUIET, SKY, VERMILION, box, duration, pair, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text

GIB = 2**30
BYTES = {"float32": 4, "float16": 2, "int8": 1}
TITLE = Text("入る? 流れる? 重み {gib} GiB のモデル", "Does it fit, does it flow? A model of {gib} GiB of weights")
FORMULA = Text(
    "1 トークンの時間の下限 = 重みのバイト数 ÷ 帯域。実際はこれより長くかかり、KV キャッシュの場所も要ります。",
    "Least time for 1 token = bytes of weights / bandwidth. The real time is longer, and the KV cache needs room too.",
)
UNITS = Text(
    "メモリは GiB(2 の 30 乗バイト)、帯域は GB/s", "memory in GiB (2 to the power of 30 bytes), bandwidth in GB/s"
)
HEADS = (
    Text("入る? 重みがメモリに占める割合", "fits? the weights' share of the memory"),
    Text("帯域", "bandwidth"),
    Text("下限 / トークン", "least / token"),
)
FITS, NOT = Text("✔ 入る", "✔ fits"), Text("✖ 入らない", "✖ does not fit")
SAY_FITS = Text("{gpu} は入る(メモリの {share})、下限 {floor}", "{gpu} fits ({share} of memory), at least {floor}")
SAY_NOT = Text("{gpu} には入らない", "{gpu} does not fit")
SAY = Text("1 トークンの時間の下限。{all}。", "Least time for 1 token. {all}.")
COUNT = Text("重みの数(B = 10 億個):", "Weights (B = 1 billion):")
TYPE = Text("1 個の型:", "Type of each:")


@dataclass(frozen=True)
class Fit:
    """A model on a GPU: its share of the memory, whether it fits, and the least milliseconds to read it all once."""

    gpu: Gpu
    share: float
    fits: bool
    floor: float


def fit(nbytes: int, gpus: Iterable[Gpu] = tuple(GPUS.values())) -> list[Fit]:
    """What so many bytes of weights mean for each GPU; floor = bytes / bandwidth, estimated, never measured.

    A language model reads each weight once for a token. Raises ShapeError for a size that is not from 1 up.
    """
    if not nbytes >= 1:
        raise ShapeError("size", call="fit", name="nbytes", got=nbytes)
    return [Fit(gpu, nbytes / gpu.memory, nbytes <= gpu.memory, nbytes / gpu.bandwidth * 1e3) for gpu in gpus]


def fit_picture(nbytes: int, gpus: Iterable[Gpu] = tuple(GPUS.values())) -> Picture:
    """Each GPU with its memory, filled as far as the weights go, and the least time for a token."""
    fits = fit(nbytes, gpus)
    told = [
        (SAY_FITS if one.fits else SAY_NOT).format(gpu=one.gpu, share=_share(one.share), floor=duration(one.floor))
        for one in fits
    ]
    said = SAY.format(all=Text("、".join(one.ja for one in told), ", ".join(one.en for one in told)))
    title = TITLE.format(gib=_gib(nbytes))
    return picture(_fit_svg(fits), title, said, units=UNITS, evidence="estimated", note=FORMULA)


def fit_box(weights: int) -> widgets.Widget:
    """The learner's own model: how many weights, of which type; it starts with so many in float32."""
    count = widgets.BoundedFloatText(round(weights / 1e9, 3), min=0.001, max=2000, step=0.5)
    kind = widgets.Dropdown(options=list(BYTES))
    for widget, text in ((count, COUNT), (kind, TYPE)):
        widget.layout.width = "min(22em, 100%)"
        bind(widget, description=text)
    return live(lambda billions, dtype: fit_picture(round(billions * 1e9) * BYTES[dtype]), billions=count, dtype=kind)


def _gib(nbytes: float) -> str:
    gib = nbytes / GIB
    return f"{gib:.2f}" if gib < 10 else f"{gib:,.0f}"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def _fit_svg(fits: list[Fit]) -> str:
    top, high, left, room = 56, 44, 190, 230
    height = top + high * len(fits) + 8
    drawn = [
        box(0, 0, 760, height, "#f6f8fa", 12),
        word("GPU", 20, 30, 13, "start", QUIET, font_weight=700),
    ]
    for head, x, anchor in zip(HEADS, (left, 630, 744), ("start", "end", "end"), strict=True):
        drawn.append(pair(head, x, 30, 13, anchor, QUIET, font_weight=700))
    for row, one in enumerate(fits):
        y = top + high * row
        colour = BLUE if one.fits else VERMILION
        drawn += [
            box(8, y, 744, high - 4, PAPER, 6),
            word(one.gpu.arch, 20, y + 17, 15, "start", font_weight=700),
            word(one.gpu.name, 20, y + 33, 11, "start", QUIET),
            box(left, y + 8, room, 24, "#e3e8ed", 4, stroke=QUIET, stroke_width=1),
            box(left, y + 8, max(min(room * one.share, room), 2), 24, SKY if one.fits else "#f6c9ac", 4),
            word(f"{one.gpu.memory / GIB:g} GiB", left + room - 8, y + 25, 13, "end"),
            word(_share(one.share), left + 10, y + 25, 13, "start", font_weight=700),
            pair(FITS if one.fits else NOT, left + room + 10, y + 25, 13, "start", colour, font_weight=700),
            word(f"{one.gpu.bandwidth / 1e9:,.0f} GB/s", 630, y + 25, 13, "end"),
            word(duration(one.floor) if one.fits else "-", 744, y + 25, 14, "end", font_weight=700),
        ]
    return drawing(760, height, *drawn)
