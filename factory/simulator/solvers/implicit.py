"""The implicit GEMM: im2col of one tile at a time, so that the columns never leave the cache."""

from __future__ import annotations

from math import prod

import numpy as np

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.gemm import by_groups, filter_matrix
from factory.simulator.solvers.solver import Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import band_shape, largest_divisor, pad_band, windows

TILE = 512 * 1024  # bytes of columns at a time: they and the filter fit an L2 cache of 1 or 2 MiB
FEWEST = 64  # columns of a tile at least: each tile reads the whole filter
PIXELS = 224  # columns at a time of a 1x1
SMALL = 1_000_000  # m n k up to which OpenBLAS takes kernels that do not pack their operands first


class ImplicitGemm(Solver):
    """GemmIm2col over tiles of output rows; a 1x1 needs no columns and is tiled in place.

    Workspace: the columns of a tile (about 512 KiB, one output row at least) and the padded input rows that it
    meets: 4 C (R S rows W' + band rows x band columns) bytes. On GPUs the tile is built in shared memory (cuDNN,
    Chetlur et al. 2014; MIOpen's ImplicitGEMM solvers).
    """

    name = "ImplicitGemm"
    algorithm = "ImplicitGEMM"
    idea = Text(
        "im2col の大きな行列を、全部は作りません。\n"
        "出力の数行ぶん(タイル)だけパッチを並べ、すぐに GEMM に渡し、同じ場所を使い回します。\n"
        "パッチがキャッシュの中に収まるので、メモリも時間も節約できます。",
        "The large matrix of im2col is never made as a whole.\n"
        "Patches for a few output rows (a tile) are laid out, go to GEMM at once, and their place is used again.\n"
        "They stay in the cache, which saves memory and time.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p = problem
        if _pointwise(p):
            return ()
        rows = max(TILE // (4 * p.c * p.r * p.s * p.out_w), -(-FEWEST // p.out_w))
        rows = -(-p.out_h // -(-p.out_h // rows))  # tiles of one size
        columns = (p.c, p.r, p.s, rows, p.out_w)
        return (columns, band_shape(p, rows)) if any(p.pad) else (columns,)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        if _pointwise(problem):
            _run_pointwise(problem, x, w, y)
            return
        p = problem
        tile, *bands = (workspace.take(shape) for shape in self.buffers(p))
        matrix = filter_matrix(p, w)
        for image, target in zip(x, y, strict=True):
            out = by_groups(p, target, p.out_h * p.out_w)
            for row in range(0, p.out_h, tile.shape[3]):
                rows = min(tile.shape[3], p.out_h - row)
                source = image[:, row * p.stride[0] :]
                if bands:
                    source = bands[0][:, : band_shape(p, rows)[1]]
                    pad_band(p, image, row * p.stride[0], source)
                shape = (*tile.shape[:3], rows, p.out_w)
                columns = tile.reshape(-1)[: prod(shape)].reshape(shape)
                columns[...] = windows(p, source, rows)
                pixels = slice(row * p.out_w, (row + rows) * p.out_w)
                np.matmul(matrix, by_groups(p, columns, rows * p.out_w), out=out[..., pixels])


def _pointwise(problem: ConvolutionProblem) -> bool:
    """Whether the input is the matrix of columns as it stands."""
    p = problem
    return (p.r, p.s, *p.pad, *p.stride) == (1, 1, 0, 0, 1, 1)


def _run_pointwise(problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats) -> None:
    """One batched GEMM over tiles of PIXELS columns and of as many filters as keep each tile SMALL."""
    p, g, pixels = problem, problem.groups, problem.h * problem.w
    inputs, filters = p.c // g, p.k // g
    some = largest_divisor(filters, SMALL // (inputs * min(pixels, PIXELS)))
    some = some if some >= 8 else filters
    weights = w.reshape(g, filters // some, 1, some, inputs)
    source, target = x.reshape(p.n, g, 1, inputs, pixels), y.reshape(p.n, g, filters // some, some, pixels)
    for columns in (slice(0, pixels - pixels % PIXELS), slice(pixels - pixels % PIXELS, pixels)):
        size = columns.stop - columns.start
        if size:
            width = min(size, PIXELS)
            left = source[..., columns].reshape(*source.shape[:-1], -1, width)
            out = target[..., columns].reshape(*target.shape[:-1], -1, width)
            np.matmul(weights, np.moveaxis(left, -2, -3), out=np.moveaxis(out, -2, -3))
