"""Depthwise convolution with the channels last: each tap a multiply-add of long rows.

Every channel has filters of its own, so nothing is shared and GEMM has nothing to gain. What counts is the length of
the rows, because starting one costs NumPy as much as some 200 products.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import ITERATOR, Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import Phase, clear_outside, largest_divisor, phases, span, steps_of

SUMS = 512 * 1024  # bytes of sums at a time: they stay in the L2 cache while the taps add up
BAND = 1024 * 1024  # bytes of input at a time, for the same reason
L1 = 48 * 1024  # bytes of a core's L1 cache
ROW = 1024  # elements of a row of weights: they and the sums of one row fit the L1 cache


class Depthwise(Solver):
    """What depthwise solvers share: groups == C, K = multiplier x C, and einsum, which may fill buffers of its own."""

    algorithm = "Direct"
    hidden = ITERATOR

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        if problem.groups != problem.c or problem.c == 1:
            return Text(
                f"depthwise ではありません(チャンネル {problem.c}、グループ {problem.groups})。"
                "2 つが等しく、1 より大きいときだけ使えます。",
                f"It is not depthwise ({problem.c} channels, {problem.groups} groups); both must be equal and above 1.",
            )
        return None


class DepthwiseChannelsLast(Depthwise):
    """Sums over taps of rows (W', K), for a block of output rows at a time.

    The padded input rows of a block are copied to (rows, phases, steps, K), columns split into the phases of the
    stride so that rows have no gaps; weights are repeated for some pixels, (R, S, pixels, K). Workspace, in float32:
    these two, the block's sums (twice with a stride), and NumPy's buffers.
    """

    name = "DepthwiseChannelsLast"
    idea = Text(
        "チャンネルごとに別のフィルターを使うので、行列のかけ算にまとめても得になりません。\n"
        "チャンネルが隣どうしに並ぶ形(channels-last)に、入力を一度だけ並べ替えます。\n"
        "すると 1 つのタップが、長い列どうしのかけ算と足し算になります。",
        "Each channel has its own filter, so turning it into a matrix multiplication gains nothing.\n"
        "The input is rearranged once so that the channels lie side by side (channels last).\n"
        "Each tap then is a multiplication and an addition of long rows.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, found = problem, _columns(problem)
        repeat = largest_divisor(p.out_w, ROW // p.k)
        row = len(found) * steps_of(found, p.out_w) * p.k
        rows = max(1, min(SUMS // (4 * p.out_w * p.k), (BAND // (4 * row) - p.window[0]) // p.stride[0] + 1))
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
        pixels = image[:, rows.inputs, columns.inputs].transpose(1, 2, 0)[..., None]
        for some in _few_channels(p):
            channels[rows.steps, place, columns.steps, some] = pixels[:, :, some]


def _few_channels(problem: ConvolutionProblem) -> list[slice]:
    """Channels in parts whose rows of pixels stay in the L1 cache while the copy goes through them side by side."""
    row = 4 * problem.w
    count = problem.c if problem.c * row <= L1 else max(16, L1 // 4 // row)
    return [slice(first, first + count) for first in range(0, problem.c, count)]


def _rows(problem: ConvolutionProblem, found: tuple[Phase, ...], source: Floats, shape: Shape) -> Iterator[Floats]:
    """For each phase a view (rows, W' / repeat, repeat K, R, S of the phase) of the rows that its taps meet."""
    p = problem
    row, _, pixel, element = source.strides
    for place, phase in enumerate(found):
        yield as_strided(
            source[:, place, phase.offset :],
            (*shape, p.r, phase.number),
            (row * p.stride[0], shape[2] * element, element, row * p.dilation[0], pixel * phase.spacing),
        )
