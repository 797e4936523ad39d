"""Where the taps of a filter fall on the input: strided views, padded bands, and phases of a stride.

All functions work on one axis or one image. A padded coordinate counts from the first row (or column) of padding.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import NamedTuple

from numpy.lib.stride_tricks import as_strided

from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import Floats, Shape


class Span(NamedTuple):
    """Which of `count` steps, `step` apart from padded coordinate `start` on, lie on the input: from `first` to `end`.

    `source` is the input coordinate of the first of them. Where none does, first == end.
    """

    first: int
    end: int
    source: int
    step: int

    @property
    def steps(self) -> slice:
        """The steps that meet the input."""
        return slice(self.first, self.end)

    @property
    def inputs(self) -> slice:
        """The input coordinates that they meet."""
        return slice(self.source, self.source + (self.end - self.first) * self.step, self.step)


def span(start: int, step: int, count: int, pad: int, size: int) -> Span:
    """The steps start, start + step, ... (padded coordinates, `count` of them) that meet an input of this size."""
    first = min(count, max(0, -(-(pad - start) // step)))
    end = min(count, max(first, (pad + size - 1 - start) // step + 1))
    return Span(first, end, start + first * step - pad, step)


def clear_outside(target: Floats, rows: slice, columns: slice) -> None:
    """Zero the last two axes of an array outside these rows and columns: only the padding, not the whole."""
    target[..., : rows.start, :] = 0
    target[..., rows.stop :, :] = 0
    target[..., rows, : columns.start] = 0
    target[..., rows, columns.stop :] = 0


def pad_band(problem: ConvolutionProblem, image: Floats, first: int, band: Floats) -> None:
    """Copy padded rows `first` and on of one image (C, H, W) into a band (C, rows, columns), zeros around it."""
    rows = span(first, 1, band.shape[1], problem.pad[0], problem.h)
    columns = span(0, 1, band.shape[2], problem.pad[1], problem.w)
    clear_outside(band, rows.steps, columns.steps)
    band[:, rows.steps, columns.steps] = image[:, rows.inputs, columns.inputs]


def windows(problem: ConvolutionProblem, band: Floats, rows: int) -> Floats:
    """A view of (C, R, S, rows, W'): what each tap sees for the band's first output rows. No copy."""
    channel, row, column = band.strides
    shape = (band.shape[0], problem.r, problem.s, rows, problem.out_w)
    taps = row * problem.dilation[0], column * problem.dilation[1]
    steps = row * problem.stride[0], column * problem.stride[1]
    return as_strided(band, shape, (channel, *taps, *steps))


def band_shape(problem: ConvolutionProblem, rows: int) -> Shape:
    """Shape (C, rows of input, columns) of the padded band that `rows` output rows need."""
    height = (rows - 1) * problem.stride[0] + problem.window[0]
    width = (problem.out_w - 1) * problem.stride[1] + problem.window[1]
    return problem.c, height, width


class Phase(NamedTuple):
    """The taps of one axis that meet the same phase of the stride, evenly spaced there.

    With stride 2 a filter's even taps only ever meet even padded coordinates and its odd taps odd ones. Split into
    phases, the input is read without gaps: tap u of a phase's `number` meets step i + offset + u * spacing for output
    i. The phase's steps begin at padded coordinate `start`.
    """

    start: int
    taps: slice
    number: int
    offset: int
    spacing: int


@cache
def phases(size: int, stride: int, dilation: int) -> tuple[Phase, ...]:
    """The phases of a filter axis of `size` taps; one alone where the stride is 1."""
    common = gcd(stride, dilation)
    step = stride // common
    found = []
    for tap in range(min(size, step)):
        offset, start = divmod(tap * dilation, stride)
        found.append(Phase(start, slice(tap, None, step), -(-(size - tap) // step), offset, dilation // common))
    return tuple(found)


def steps_of(found: tuple[Phase, ...], out: int) -> int:
    """How many steps of each phase `out` outputs meet, at most."""
    return max(out + phase.offset + (phase.number - 1) * phase.spacing for phase in found)


@cache
def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is not above the limit; at least 1."""
    return next(d for d in range(max(1, min(number, limit)), 0, -1) if number % d == 0)
