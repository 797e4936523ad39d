"""Depthwise convolution of large pictures: each tap shifts a whole plane, taken as one long row."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.depthwise import Depthwise
from factory.simulator.solvers.solver import Floats, Shape, Workspace
from factory.simulator.solvers.taps import Phase, phases, span, steps_of

BLOCK = 512 * 1024  # bytes of planes and their sums at a time: they stay in the L2 cache


class DepthwisePlanes(Depthwise):
    """Sums over taps of padded planes, one weight for each, for a few channels at a time.

    A tap shifts a plane (rows x columns, one long row) by r rows and s columns at once; sums that run over the right
    edge are left out at the end. Planes are split into the phases of the stride. Workspace, in float32: the planes of
    a block of channels, its sums H' x columns (twice with a stride), and NumPy's buffers.
    """

    name = "DepthwisePlanes"
    idea = Text(
        "チャンネルの画像 1 枚を、余白ごと 1 本の長い列とみなします。\n"
        "フィルターのタップは、その列全体をずらして重みを掛け、足すだけになります。\n"
        "右端をはみ出した和は最後に捨てます。大きい画像に向いています。",
        "The picture of one channel, padding included, is taken as one long row.\n"
        "A tap of the filter then shifts that row, multiplies it by one weight and adds it.\n"
        "Sums that run over the right edge are dropped at the end. It suits large pictures.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, (down, across) = problem, _both(problem)
        height, width = steps_of(down, p.out_h), steps_of(across, p.out_w)
        plane = height * width + width - p.out_w  # the last tap of a row runs beyond the last pixel
        sums = p.k // p.c * p.out_h * width
        channels = min(p.c, max(1, BLOCK // (4 * (len(down) * len(across) * plane + sums))))
        block = (channels, len(down), len(across), plane)
        out = (channels, p.k // p.c, p.out_h * width)
        return (block, out) if len(down) * len(across) == 1 else (block, out, out)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        p = problem
        planes, *sums = (workspace.take(shape) for shape in self.buffers(p))
        weights = w.reshape(p.c, p.k // p.c, p.r, p.s)
        targets = y.reshape(p.n, p.c, p.k // p.c, p.out_h, p.out_w)
        columns = sums[0].shape[2] // p.out_h
        planes[...] = 0
        for image, target in zip(x, targets, strict=True):
            for first in range(0, p.c, len(planes)):
                some = slice(first, min(p.c, first + len(planes)))
                parts = [part[: some.stop - first] for part in sums]
                _add_taps(p, image[some], weights[some], planes[: some.stop - first], parts)
                target[some] = parts[0].reshape(*target[some].shape[:3], columns)[..., : p.out_w]


def _both(problem: ConvolutionProblem) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
    vertical = phases(problem.r, problem.stride[0], problem.dilation[0])
    return vertical, phases(problem.s, problem.stride[1], problem.dilation[1])


def _add_taps(problem: ConvolutionProblem, image: Floats, weights: Floats, planes: Floats, sums: list[Floats]) -> None:
    """Sum all taps of some channels into sums[0] (C, multiplier, H' x columns), by way of their padded planes."""
    p, (down, across) = problem, _both(problem)
    height, width = steps_of(down, p.out_h), steps_of(across, p.out_w)
    for i, vertical in enumerate(down):
        rows = span(vertical.start, p.stride[0], height, p.pad[0], p.h)
        for j, horizontal in enumerate(across):
            columns = span(horizontal.start, p.stride[1], width, p.pad[1], p.w)
            plane = planes[:, i, j]
            pixels = plane[:, : height * width].reshape(-1, height, width)
            pixels[:, rows.steps, columns.steps] = image[:, rows.inputs, columns.inputs]
            part = sums[bool(i or j)]
            # Order "F" keeps the long axis innermost; left to itself einsum takes the taps of a row instead.
            np.einsum(
                "crsp,cmrs->pmc",
                _shifted(plane, width, vertical, horizontal, part.shape[2]),
                weights[:, :, vertical.taps, horizontal.taps],
                out=part.T,
                order="F",
            )
            if i or j:
                np.add(sums[0], part, out=sums[0])


def _shifted(plane: Floats, width: int, vertical: Phase, horizontal: Phase, length: int) -> Floats:
    """A view (C, R, S, length) of planes shifted by each tap of a phase. No copy."""
    channel, element = plane.strides
    return as_strided(
        plane[:, vertical.offset * width + horizontal.offset :],
        (len(plane), vertical.number, horizontal.number, length),
        (channel, vertical.spacing * width * element, horizontal.spacing * element, element),
    )
