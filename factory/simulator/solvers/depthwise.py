"""Depthwise convolutions: every channel has filters of its own, so nothing is shared and GEMM has nothing to gain.

Both solvers read the input in long rows, because what NumPy does for each row costs as much as some 200 products.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import ITERATOR, Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import Phase, aligned, clear_outside, largest_divisor, phases, span, steps_of

BLOCK = 256 * 1024  # bytes of sums at a time: they stay in the L2 cache while the taps add up
BAND = 1024 * 1024  # bytes of input at a time, for the same reason
ROW = 2048  # elements of a row that share one row of weights


class Depthwise(Solver):
    """What both solvers share: groups == C, and K = multiplier x C."""

    algorithm = "Direct"
    hidden = ITERATOR

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        if problem.groups != problem.c or problem.c == 1:
            return Text(
                f"depthwise ではありません(チャネル {problem.c}、グループ {problem.groups})。"
                "2 つが等しく、1 より大きいときだけ使えます。",
                f"It is not depthwise ({problem.c} channels, {problem.groups} groups); this needs both equal and above 1.",
            )
        return None


class DepthwiseChannelsLast(Depthwise):
    """Sums over taps of rows (W', K), the input copied once to (H, phases, W, K) with its padding.

    Every tap is one multiply-add of long rows. Columns are split into the phases of the stride, so that rows have no
    gaps; weights are repeated for `repeat` pixels. Workspace, in float32: the copy, the weights R S repeat K, and
    sums of a block of output rows, twice with a stride.
    """

    name = "DepthwiseChannelsLast"
    idea = Text(
        "チャネルごとに別のフィルターを使うので、行列の掛け算にまとめても得になりません。\n"
        "チャネルが隣どうしに並ぶ形(channels-last)に、入力を一度だけ並べ替えます。\n"
        "すると 1 つのタップが、長い列どうしの掛け算と足し算になります。",
        "Each channel has its own filter, so turning it into a matrix multiplication gains nothing.\n"
        "The input is rearranged once so that the channels lie side by side (channels last).\n"
        "Each tap then is a multiplication and an addition of long rows.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, found = problem, _columns(problem)
        repeat = largest_divisor(p.out_w, ROW // p.k)
        row = len(found) * steps_of(found, p.out_w) * p.k
        rows = max(1, min(BLOCK // (4 * p.out_w * p.k), (BAND // (4 * row) - p.window[0]) // p.stride[0] + 1))
        rows = -(-p.out_h // -(-p.out_h // rows))  # blocks of one size
        band = ((rows - 1) * p.stride[0] + p.window[0], len(found), steps_of(found, p.out_w), p.k)
        weights = (p.r, p.s, repeat, p.k)
        sums = (rows, p.out_w // repeat, repeat * p.k)
        return (band, weights, sums) if len(found) == 1 else (band, weights, sums, sums)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        p, found = problem, _columns(problem)
        band, weights, *sums = (workspace.take(shape) for shape in self.buffers(p))
        weights[...] = w.transpose(2, 3, 1, 0)  # (R, S, 1, K): the pixels of a row share them
        flat = weights.reshape(p.r, p.s, -1)
        for image, target in zip(x, y, strict=True):
            for row in range(0, p.out_h, sums[0].shape[0]):
                rows = min(sums[0].shape[0], p.out_h - row)
                source = band[: (rows - 1) * p.stride[0] + p.window[0]]
                _to_channels_last(p, found, image, row * p.stride[0], source)
                parts = [part[:rows] for part in sums]
                for phase, window in zip(found, _rows(p, found, source, parts[0].shape), strict=True):
                    part = parts[phase is not found[0]]
                    np.einsum("iqprs,rsp->iqp", window, flat[:, phase.taps], out=part)
                    if part is not parts[0]:
                        np.add(parts[0], part, out=parts[0])
                pixels = parts[0].reshape(rows, p.out_w, p.k)
                target[:, row : row + rows] = pixels.transpose(2, 0, 1)


def _columns(problem: ConvolutionProblem) -> tuple[Phase, ...]:
    return phases(problem.s, problem.stride[1], problem.dilation[1])


def _to_channels_last(
    problem: ConvolutionProblem, found: tuple[Phase, ...], image: Floats, first: int, out: Floats
) -> None:
    """Copy padded rows `first` and on of one image (C, H, W) to (rows, phases, steps, K), each channel as often as it
    has filters."""
    p = problem
    rows = span(first, 1, out.shape[0], p.pad[0], p.h)
    channels = out.reshape(*out.shape[:3], p.c, p.k // p.c)
    for place, phase in enumerate(found):
        columns = span(phase.start, p.stride[1], out.shape[2], p.pad[1], p.w)
        clear_outside(channels[:, place].transpose(2, 3, 0, 1), rows.steps, columns.steps)
        pixels = image[:, rows.inputs, columns.inputs]
        channels[rows.steps, place, columns.steps] = pixels.transpose(1, 2, 0)[..., None]


def _rows(problem: ConvolutionProblem, found: tuple[Phase, ...], source: Floats, shape: Shape) -> Iterator[Floats]:
    """For each phase a view (rows, W' / repeat, repeat K, R, S of the phase) of the rows that its taps meet."""
    p = problem
    row, _, pixel, element = source.strides
    for place, phase in enumerate(found):
        yield as_strided(
            source[:, place, phase.offset :],
            (*shape, p.r, phase.count),
            (row * p.stride[0], shape[2] * element, element, row * p.dilation[0], pixel * phase.spacing),
        )


class DepthwisePlanes(Depthwise):
    """Sums over taps of whole planes (H' W), one weight a plane, for a few channels at a time.

    A padded plane is one long row: a tap shifts it by r rows and s columns at once, and the few sums that run over
    the right edge are left out at the end. Planes are split into the phases of the stride. Workspace, in float32:
    planes and sums of a block of channels, twice the sums with a stride.
    """

    name = "DepthwisePlanes"
    idea = Text(
        "チャネルの画像 1 枚を、余白ごと 1 本の長い列とみなします。\n"
        "フィルターのタップは、その列全体をずらして重みを掛け、足すだけになります。\n"
        "右端をはみ出した和は最後に捨てます。大きい画像に向いています。",
        "The picture of one channel, padding included, is taken as one long row.\n"
        "A tap of the filter then shifts that row, multiplies it by one weight and adds it.\n"
        "Sums that run over the right edge are dropped at the end. It suits large pictures.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, (down, across) = problem, _both(problem)
        height, width = steps_of(down, p.out_h), steps_of(across, p.out_w)
        beyond = max(phase.offset + (phase.count - 1) * phase.spacing for phase in across)
        plane = aligned(height * width + beyond)
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
        planes[...] = 0
        for image, target in zip(x, targets, strict=True):
            for first in range(0, p.c, planes.shape[0]):
                some = slice(first, first + planes.shape[0])
                self._block(p, image[some], weights[some], target[some], planes, sums)

    def _block(
        self, problem: ConvolutionProblem, image: Floats, weights: Floats, target: Floats, planes: Floats,
        sums: list[Floats],
    ) -> None:  # fmt: skip
        p, (down, across) = problem, _both(problem)
        height, width = steps_of(down, p.out_h), steps_of(across, p.out_w)
        count = len(image)
        parts = [part[:count] for part in sums]
        channel, *_, element = planes.strides
        for i, vertical in enumerate(down):
            rows = span(vertical.start, p.stride[0], height, p.pad[0], p.h)
            for j, horizontal in enumerate(across):
                columns = span(horizontal.start, p.stride[1], width, p.pad[1], p.w)
                plane = planes[:count, i, j]
                pixels = plane[:, : height * width].reshape(count, height, width)
                pixels[:, rows.steps, columns.steps] = image[:, rows.inputs, columns.inputs]
                shifts = width * vertical.spacing * element, horizontal.spacing * element
                window = as_strided(
                    plane[:, vertical.offset * width + horizontal.offset :],
                    (count, vertical.count, horizontal.count, parts[0].shape[2]),
                    (channel, *shifts, element),
                )
                part = parts[bool(i or j)]
                # Order "F" keeps the long axis innermost; left to itself einsum takes the taps of a row instead.
                np.einsum(
                    "crsp,cmrs->pmc", window, weights[:, :, vertical.taps, horizontal.taps], out=part.T, order="F"
                )
                if i or j:
                    np.add(parts[0], part, out=parts[0])
        target[...] = parts[0].reshape(*target.shape[:3], width)[..., : p.out_w]


def _both(problem: ConvolutionProblem) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
    vertical = phases(problem.r, problem.stride[0], problem.dilation[0])
    return vertical, phases(problem.s, problem.stride[1], problem.dilation[1])
