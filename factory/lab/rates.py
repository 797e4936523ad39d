"""How fast a product goes: operations a second against size, and what reading many tokens at once saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
from threadpoolctl import threadpool_limits

from factory.device import Device
from factory.lab.figures import Picture, picture
from factory.lab.plots import figure
from factory.lab.svg import BLUE, PAPER, QUIET, SKY, box, duration, pair, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.timeline import Command

SIZES = (16, 32, 64, 128, 256, 512, 1024)
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

HERE = Text(
    "このコンピューターのシミュレーターの速さ(1 スレッド)です。GPU の速さではありません。",
    "The speed of the simulator on this computer (1 thread), not of a GPU.",
)
RATE = Text("GFLOP/s(1 秒間の計算の回数 ÷ 10 億)", "GFLOP/s (operations in a second / 1 billion)")
RATE_AXIS = Text("速さ (GFLOP/s)", "rate (GFLOP/s)")
SIZE_AXIS = Text("行列の大きさ n", "size n of the matrix")
RATES = Text("大きいほど速い? 行列の大きさと速さ", "Is bigger faster? Rate against size")
MANY = Text("行列 × 行列 (n×n)·(n×n)", "matrix × matrix (n×n)·(n×n)")
ONE = Text("1 行 × 行列 (1×n)·(n×n)", "one row × matrix (1×n)·(n×n)")
RATES_SAY = Text("{what}の速さ: {points}。", "Rate of {what}: {points}.")

TOKENS_AT_ONCE = Text("いっぺんに読むトークンの数:", "Tokens read at once:")
PER_TOKEN = Text("1 トークンあたりの時間", "Time for each token")
PER_TOKEN_SAY = Text(
    "{k}×{n} の行列で {m} トークンをいっぺんに計算: 全部で {whole}、1 トークンあたり {each}、1 バイトあたり {intensity} 回の計算。",
    "Tokens at once through a matrix of {k}×{n}: {m}. {whole} in all, {each} for each token, {intensity} operations a "
    "byte.",
)
HEADS = (
    Text("トークン", "tokens"),
    Text("1 トークンあたり", "each token"),
    Text("全部で", "in all"),
    Text("計算 / バイト", "operations / byte"),
)
UNITS = Text("時間は各行に書いた単位、計算の回数はかけ算とたし算の合計",
             "times as written in each row; operations are multiplications and additions")  # fmt: skip


@dataclass(frozen=True)
class GemmRate:
    """One product (m, k) times (k, n) that ran here: its time in milliseconds, operations and bytes."""

    m: int
    n: int
    k: int
    milliseconds: float
    operations: int
    bytes: int

    @property
    def gflops(self) -> float:
        """Operations a second, in billions."""
        return self.operations / self.milliseconds / 1e6

    @property
    def intensity(self) -> float:
        """Operations for each byte of both operands and the result."""
        return self.operations / self.bytes


def gemm_rate(device: Device, m: int, n: int, k: int, repeats: int = 5) -> GemmRate:
    """Run a product of (m, k) and (k, n) in float32 on a device, and keep the shortest time.

    It runs `repeats` times at least, and on for some 20 ms. The simulator computes on one thread here: where other
    programs hold a processor, two threads wait for each other, and a curve would show that instead of the size.
    """
    random = np.random.default_rng(0)
    with (
        device.array(random.standard_normal((m, k), np.float32), name="a") as a,
        device.array(random.standard_normal((k, n), np.float32), name="b") as b,
        device.empty((m, n), name="c") as c,
        threadpool_limits(1, user_api="blas"),
    ):
        before = device.timeline.enabled
        device.timeline.enabled = True
        try:
            device.gemm(a, b, out=c)
            shortest, spent, count = _last(device), 0.0, 1
            while count < repeats or (spent < 20 and count < 20 * repeats):
                device.gemm(a, b, out=c)
                command = _last(device)
                shortest = min(shortest, command, key=lambda command: command.milliseconds)
                spent, count = spent + command.milliseconds, count + 1
        finally:
            device.timeline.enabled = before
        return GemmRate(m, n, k, max(shortest.milliseconds, 1e-6), shortest.operations, shortest.bytes)


def _last(device: Device) -> Command:
    """The command that was handed over last."""
    return list(device.timeline)[-1]


def gemm_rates(device: Device, sizes: Sequence[int] = SIZES, rows: int | None = None) -> list[GemmRate]:
    """Products of n x n matrices for each size n; with `rows`, of only so many rows with an n x n matrix."""
    return [gemm_rate(device, rows or n, n, n) for n in sizes]


def rate_plot(square: Sequence[GemmRate], one_row: Sequence[GemmRate]) -> Picture:
    """Rate against size, both axes logarithmic: whole matrices, and one row at a time."""

    def draw() -> Any:
        made, axes = figure(8, 3.6)
        for rates, name, marker in ((square, MANY, "o"), (one_row, ONE, "s")):
            axes.plot([rate.k for rate in rates], [rate.gflops for rate in rates], marker=marker, label=str(name))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks([rate.k for rate in square], [str(rate.k) for rate in square])
        axes.set_xlabel(str(SIZE_AXIS))
        axes.set_ylabel(str(RATE_AXIS))
        axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        axes.legend(loc="lower right")
        return made

    said = [
        RATES_SAY.format(what=name, points=", ".join(f"n={rate.k}: {rate.gflops:.3g} GFLOP/s" for rate in rates))
        for rates, name in ((square, MANY), (one_row, ONE))
    ]
    description = Text("".join(one.ja for one in said), " ".join(one.en for one in said))
    return picture(draw, RATES, description, units=RATE, evidence="measured", note=HERE)


def tokens_picture(rates: Sequence[GemmRate], chosen: int) -> Picture:
    """A bar of the time for each token, for every number of tokens measured so far; one of them is chosen."""
    rate = next(rate for rate in rates if rate.m == chosen)
    said = PER_TOKEN_SAY.format(
        m=rate.m, k=rate.k, n=rate.n, whole=duration(rate.milliseconds), each=duration(rate.milliseconds / rate.m),
        intensity=f"{rate.intensity:.1f}",
    )  # fmt: skip
    return picture(_tokens_svg(rates, chosen), PER_TOKEN, said, units=UNITS, evidence="measured", note=HERE)


def tokens_box(device: Device, k: int, n: int) -> widgets.Widget:
    """A slider of how many tokens go through a matrix of (k, n) at once; each place is measured when it is reached.

    A single token is measured at the start, to compare with.
    """
    slider = widgets.SelectionSlider(options=TOKENS, value=32)
    slider.layout.width = "min(36em, 100%)"
    bind(slider, description=TOKENS_AT_ONCE)
    seen = {1: gemm_rate(device, 1, n, k)}

    def drawn(m: int) -> Picture:
        if m not in seen:
            seen[m] = gemm_rate(device, m, n, k)
        return tokens_picture(list(seen.values()), m)

    return live(drawn, m=slider)


def _tokens_svg(rates: Sequence[GemmRate], chosen: int) -> str:
    by_tokens = {rate.m: rate for rate in rates}
    rows = [m for m in TOKENS if m in by_tokens] + [m for m in by_tokens if m not in TOKENS]
    longest = max(rate.milliseconds / rate.m for rate in rates)
    left, room, high, top = 96, 310, 30, 56
    waiting = [m for m in TOKENS if m not in by_tokens]
    width, height = 760, top + high * (len(rows) + len(waiting)) + 12
    drawn = [box(0, 0, width, height, "#f6f8fa", 12)]
    for head, x, anchor in zip(HEADS, (80, left, 580, 740), ("end", "start", "end", "end"), strict=True):
        drawn.append(pair(head, x, 28, 13, anchor, QUIET, font_weight=700))
    for row, m in enumerate(sorted({*rows, *waiting})):
        y = top + high * row
        if m not in by_tokens:
            drawn += [word(str(m), 80, y + 20, 15, "end", QUIET), word("?", left + 10, y + 20, 15, "start", QUIET)]
            continue
        rate, now = by_tokens[m], m == chosen
        each = rate.milliseconds / rate.m
        bar = max(room * each / longest, 2)
        drawn += [
            box(8, y + 1, width - 16, high - 2, PAPER, 6, stroke=BLUE, stroke_width=2) if now else "",
            word(str(m), 80, y + 20, 15, "end", font_weight=800 if now else 400),
            box(left, y + 6, bar, 18, BLUE if now else SKY, 4),
            word(duration(each), left + bar + 8, y + 20, 14, "start", font_weight=800 if now else 400),
            word(duration(rate.milliseconds), 580, y + 20, 14, "end"),
            word(f"{rate.intensity:.1f}", 740, y + 20, 14, "end", "#00674b" if rate.intensity >= 8 else QUIET),
        ]
    return drawing(width, height, *drawn)
