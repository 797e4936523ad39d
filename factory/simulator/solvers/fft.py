"""Convolution by the fast Fourier transform, whose cost hardly depends on the size of the filter."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import span

BLOCK = 2 * 1024 * 1024  # bytes of padded filters or groups at a time

# What one step costs here, in nanoseconds; only for telling the hopeless from the rest.
POINT, PRODUCT, GEMM, DEPTHWISE = 2.0, 0.6, 0.03, 0.15
HOPELESS = 5.0

TOO_MANY = Text(
    "変換とかけ算の見積もりが、定義どおりの計算の約 {times} 倍になるので試しません。"
    "FFT が得意なのは、フィルターが大きく、チャンネルが少ないときです。",
    "Its transforms and products are estimated at {times} times the plain computation, so it is not tried. FFT is "
    "good at large filters and few channels.",
)


@dataclass(frozen=True)
class Plan:
    """Sizes of one run: the transform, how many groups at a time, and how many filters of each group."""

    height: int
    width: int
    groups: int
    filters: int

    @property
    def frequencies(self) -> int:
        """Complex values of one spectrum; the other half of a real signal's is its mirror image."""
        return self.height * (self.width // 2 + 1)


class Fft(Solver):
    """Spectra of input and filter multiplied at each frequency, summed over channels, and transformed back.

    Spectra lie frequency first, so that the sum over channels is one small GEMM (K / groups, C / groups) @
    (C / groups, N) a frequency. Groups, or filters where there is one group, are done in blocks. Workspace, for g
    groups and k filters of each at a time and a transform of P points: 4 P g (C' N + k C') bytes of padded input and
    filters, 8 F g (C' N + k C' + 2 k N) of spectra and 4 P g k N of output, C' = C / groups and F about P / 2. The
    arrays that SciPy returns are among them. (Mathieu, Henaff & LeCun, "Fast Training of Convolutional Networks
    through FFTs", 2013.)
    """

    name = "Fft"
    algorithm = "FFT"
    idea = Text(
        "画像とフィルターを FFT で周波数の形に直すと、畳み込みは周波数ごとのかけ算になります。\n"
        "掛けたあと、逆 FFT で画像に戻します。\n"
        "手間はフィルターの大きさにほとんどよらないので、大きいフィルターで速くなります。",
        "Once FFT has turned picture and filter into frequencies, a convolution is a product at each frequency.\n"
        "An inverse FFT brings the picture back.\n"
        "The work hardly depends on the filter's size, so it is fast for large ones.",
    )

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        if (problem.r, problem.s) == (1, 1):
            return Text(
                "フィルターが 1x1 です。FFT で減らせる計算がありません。",
                "The filter is 1x1, which leaves FFT nothing to save.",
            )
        return None

    def hopeless(self, problem: ConvolutionProblem) -> Text | None:
        p, plan = problem, _plan(problem)
        filters = p.k * p.c // p.groups
        points = plan.height * plan.width * (p.n * p.c + filters + p.n * p.k)
        own = POINT * points + PRODUCT * plan.frequencies * p.n * filters
        plain = p.operations / 2 * (DEPTHWISE if p.groups == p.c else GEMM)
        if own > HOPELESS * plain:
            return TOO_MANY.format(times=f"{own / plain:.0f}")
        return super().hopeless(p)

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, plan = problem, _plan(problem)
        inputs = p.c // p.groups
        size = (plan.height, plan.width, plan.groups)
        half = (plan.height, plan.width // 2 + 1, plan.groups)
        return (*size, inputs, p.n), (*size, plan.filters, inputs), (*half, plan.filters, p.n, 2)

    def workspace(self, problem: ConvolutionProblem) -> int:
        p, plan = problem, _plan(problem)
        spectrum = 8 * plan.frequencies * plan.groups
        source = spectrum * p.c // p.groups * p.n
        filters = spectrum * p.c // p.groups * plan.filters
        # The inverse transform of two axes works on a copy of its spectra.
        output = (spectrum + 4 * plan.height * plan.width * plan.groups) * plan.filters * p.n
        return super().workspace(p) + source + max(filters, output)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        p, plan = problem, _plan(problem)
        places = [workspace.take(shape) for shape in self.buffers(p)]
        images = x.reshape(p.n, p.groups, -1, p.h, p.w).transpose(3, 4, 1, 2, 0)
        weights = w.reshape(p.groups, p.k // p.groups, -1, p.r, p.s).transpose(3, 4, 0, 1, 2)
        targets = y.reshape(p.n, p.groups, p.k // p.groups, p.out_h, p.out_w).transpose(3, 4, 1, 2, 0)
        for group in range(0, p.groups, plan.groups):
            groups = slice(group, min(p.groups, group + plan.groups))
            source = _forward(_padded(p, plan, images[:, :, groups], places[0]))
            for k in range(0, p.k // p.groups, plan.filters):
                filters = slice(k, min(p.k // p.groups, k + plan.filters))
                self._block(p, plan, source, weights[:, :, groups, filters], targets[:, :, groups, filters], places)
            del source  # before the next one is made

    def _block(
        self, problem: ConvolutionProblem, plan: Plan, source: NDArray[np.complex64], weights: Floats,
        target: Floats, places: list[Floats],
    ) -> None:  # fmt: skip
        p = problem
        filters = _forward(_placed(p, plan, weights, places[1]))
        shape = (*filters.shape[:-1], p.n)
        products = places[2].reshape(-1)[: 2 * prod(shape)].view(np.complex64).reshape(shape)
        if p.c == p.groups:
            np.multiply(filters, source, out=products)
        else:
            np.matmul(filters, source, out=products)
        del filters
        pixels = fft.irfft2(products, s=(plan.height, plan.width), axes=(0, 1), workers=1)
        rows, columns = ((out - 1) * step + 1 for out, step in zip((p.out_h, p.out_w), p.stride, strict=True))
        target[...] = pixels[: rows : p.stride[0], : columns : p.stride[1]]


def _plan(problem: ConvolutionProblem) -> Plan:
    p = problem
    height, width = (
        int(fft.next_fast_len((out - 1) * step + window, real=True))
        for out, step, window in zip((p.out_h, p.out_w), p.stride, p.window, strict=True)
    )
    inputs, filters = p.c // p.groups, p.k // p.groups
    room = BLOCK // (4 * height * width)
    if p.groups > 1:
        return Plan(height, width, max(1, min(p.groups, room // (inputs * max(filters, p.n)))), filters)
    return Plan(height, width, 1, max(1, min(filters, room // inputs)))


def _forward(pixels: Floats) -> NDArray[np.complex64]:
    return fft.rfft2(pixels, axes=(0, 1), workers=1)


def _padded(problem: ConvolutionProblem, plan: Plan, images: Floats, place: Floats) -> Floats:
    """Images (H, W, g, C', N) with their padding and with zeros up to the transform's size."""
    shape = (plan.height, plan.width, *images.shape[2:])
    out = place.reshape(-1)[: prod(shape)].reshape(shape)
    rows = span(0, 1, plan.height, problem.pad[0], problem.h)
    columns = span(0, 1, plan.width, problem.pad[1], problem.w)
    out[...] = 0
    out[rows.steps, columns.steps] = images[rows.inputs, columns.inputs]
    return out


def _placed(problem: ConvolutionProblem, plan: Plan, weights: Floats, place: Floats) -> Floats:
    """Filters (R, S, g, k, C') at negative coordinates, which wrap around: so the product is a correlation."""
    shape = (plan.height, plan.width, *weights.shape[2:])
    out = place.reshape(-1)[: prod(shape)].reshape(shape)
    out[...] = 0
    for r in range(problem.r):
        for s in range(problem.s):
            out[-r * problem.dilation[0], -s * problem.dilation[1]] = weights[r, s]
    return out
