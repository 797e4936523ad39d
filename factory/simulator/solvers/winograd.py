"""Winograd's minimal filtering for 3x3 filters: fewer multiplications, paid for by additions and some accuracy.

F(m x m, 3x3) computes m x m outputs of a tile from a x a inputs, a = m + 2, by a x a products instead of 9 m m:
Y = A^T [(G w G^T) * (B^T d B)] A (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import pad_band

BLOCK = 4 * 1024 * 1024  # bytes of transformed tiles at a time
FEWEST = 64  # tiles of a block at least, so that each GEMM has work enough
FILTERS = 2 * 1024 * 1024  # bytes of transformed filters at a time, where all tiles are one block


@dataclass(frozen=True)
class Transforms:
    """The three matrices of F(m x m, 3x3) as rows, and their two-dimensional forms as Kronecker products."""

    m: int
    b: tuple[tuple[float, ...], ...]
    g: tuple[tuple[float, ...], ...]
    a: tuple[tuple[float, ...], ...]

    @property
    def points(self) -> int:
        """Products of a tile and channel: a x a."""
        return (self.m + 2) ** 2

    @cached_property
    def of_input(self) -> Floats:
        """(a a, a a): B^T d B of a flattened tile d."""
        return _twice(self.b)

    @cached_property
    def of_filter(self) -> Floats:
        """(a a, 9): G w G^T of a flattened filter."""
        return _twice(self.g)

    @cached_property
    def of_output(self) -> Floats:
        """(m m, a a): A^T M A of a flattened tile of products."""
        return _twice(self.a)


def _twice(rows: tuple[tuple[float, ...], ...]) -> Floats:
    matrix = np.array(rows, np.float64)
    return np.kron(matrix, matrix).astype(np.float32)


F2 = Transforms(
    2,
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
F4 = Transforms(
    4,
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)


class Winograd(Solver):
    """a a GEMMs (K, C) @ (C, tiles), each transform one GEMM with a Kronecker product.

    Tiles are done in blocks of tile rows with all filters at once; where one block holds all tiles, filters are done
    in blocks instead, so that a large transformed filter never leaves the cache. Workspace, in float32, for k filters
    and T tiles at a time: a a k C + a a C T + max(a a C, m m k) T + a a k T, and the padded input rows.
    """

    algorithm = "Winograd"

    def __init__(self, name: str, transforms: Transforms, idea: Text) -> None:
        self.name = name
        self.transforms = transforms
        self.idea = idea

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        p = problem
        if (p.r, p.s) != (3, 3):
            return Text(
                f"フィルターが {p.r}x{p.s} です。3x3 のときだけ使えます。",
                f"The filter is {p.r}x{p.s}; this needs 3x3.",
            )
        if p.stride != (1, 1):
            return Text(
                f"ストライドが {p.stride[0]},{p.stride[1]} です。1 のときだけ使えます。",
                f"The stride is {p.stride[0]},{p.stride[1]}; this needs 1.",
            )
        if p.dilation != (1, 1):
            return Text(
                f"dilation が {p.dilation[0]},{p.dilation[1]} です。1 のときだけ使えます。",
                f"The dilation is {p.dilation[0]},{p.dilation[1]}; this needs 1.",
            )
        if p.groups != 1:
            return Text(
                f"グループが {p.groups} つに分かれています。1 つのときだけ使えます。",
                f"There are {p.groups} groups; this needs one.",
            )
        return None

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        p, t = problem, self.transforms
        down, across = -(-p.out_h // t.m), -(-p.out_w // t.m)
        rows = max(BLOCK // (4 * t.points * (p.c + p.k) * across), -(-FEWEST // across))
        rows = min(rows, p.n * down)
        rows = -(-p.n * down // -(-p.n * down // rows))  # blocks of one size
        filters = p.k if rows < p.n * down else min(p.k, max(8, FILTERS // (4 * t.points * p.c)))
        band = (p.c, min(rows, down) * t.m + 2, across * t.m + 2)
        tiles = rows * across
        return (
            (t.points, filters, p.c),
            band,
            (t.points, p.c, tiles),
            (max(t.points * p.c, t.m * t.m * filters) * tiles,),
            (t.points, filters, tiles),
        )

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        p, t = problem, self.transforms
        filters, band, transformed, scratch, products = (workspace.take(shape) for shape in self.buffers(p))
        across = -(-p.out_w // t.m)
        rows = transformed.shape[2] // across
        weights = w.reshape(-1, 9).T
        for k in range(0, p.k, filters.shape[1]):
            some = slice(k, min(p.k, k + filters.shape[1]))
            u = _part(filters, (t.points, some.stop - some.start, p.c))
            np.matmul(t.of_filter, weights[:, some.start * p.c : some.stop * p.c], out=u.reshape(t.points, -1))
            for pieces in self._blocks(p, rows):
                tiles = sum(piece.rows for piece in pieces) * across
                v = _part(transformed, (t.points, p.c, tiles))
                if k == 0:
                    d = _part(scratch, v.shape)
                    self._gather(p, pieces, x, band, d)
                    np.matmul(t.of_input, d.reshape(t.points, -1), out=v.reshape(t.points, -1))
                m = _part(products, (t.points, some.stop - some.start, tiles))
                np.matmul(u, v, out=m)
                out = _part(scratch, (t.m * t.m, *m.shape[1:]))
                np.matmul(t.of_output, m.reshape(t.points, -1), out=out.reshape(t.m * t.m, -1))
                self._scatter(p, pieces, out, y[:, some])

    def _blocks(self, problem: ConvolutionProblem, rows: int) -> Iterator[list[Piece]]:
        """The tile rows of all images in blocks, each a list of pieces of one image."""
        down = -(-problem.out_h // self.transforms.m)
        for start in range(0, problem.n * down, rows):
            end = min(problem.n * down, start + rows)
            yield [
                Piece(n, max(start, n * down) - n * down, min(end, (n + 1) * down) - max(start, n * down))
                for n in range(start // down, -(-end // down))
            ]

    def _gather(self, problem: ConvolutionProblem, pieces: list[Piece], x: Floats, band: Floats, d: Floats) -> None:
        """Write the overlapping a x a tiles of the input to d (a a, C, tiles)."""
        m, across = self.transforms.m, -(-problem.out_w // self.transforms.m)
        a, first = m + 2, 0
        for piece in pieces:
            source = band[:, : piece.rows * m + 2]
            pad_band(problem, x[piece.image], piece.first * m, source)
            channel, row, column = source.strides
            tiles = as_strided(
                source, (a, a, problem.c, piece.rows, across), (row, column, channel, row * m, column * m)
            )
            last = first + piece.rows * across
            d[:, :, first:last].reshape(tiles.shape)[...] = tiles
            first = last

    def _scatter(self, problem: ConvolutionProblem, pieces: list[Piece], out: Floats, y: Floats) -> None:
        """Write the m x m outputs of each tile, out (m m, K, tiles), to their places in y (N, K, H', W')."""
        m, across = self.transforms.m, -(-problem.out_w // self.transforms.m)
        first = 0
        for piece in pieces:
            last = first + piece.rows * across
            tiles = out[:, :, first:last].reshape(m, m, -1, piece.rows, across)
            target = y[piece.image, :, piece.first * m : (piece.first + piece.rows) * m]
            for i in range(m):
                for j in range(m):
                    pixels = target[:, i::m, j::m]
                    pixels[...] = tiles[i, j, :, : pixels.shape[1], : pixels.shape[2]]
            first = last


@dataclass(frozen=True)
class Piece:
    """Some tile rows of one image, `rows` from `first` on."""

    image: int
    first: int
    rows: int


def _part(space: Floats, shape: Shape) -> Floats:
    """The start of a buffer as a contiguous array of this shape."""
    return space.reshape(-1)[: prod(shape)].reshape(shape)


WINOGRAD_F2 = Winograd(
    "WinogradF2x2",
    F2,
    Text(
        "3x3 フィルター専用の、かけ算を減らす計算です。出力 2x2 のタイルに、36 回ではなく 16 回のかけ算で足ります。\n"
        "入力とフィルターを先に変換し、掛けたあと、逆の変換で出力に戻します。\n"
        "そのぶん、変換の足し算と作業用メモリが増えます。",
        "Saves multiplications, for 3x3 filters only: a 2x2 tile of output takes 16 of them instead of 36.\n"
        "Input and filter are transformed first, multiplied, and transformed back.\n"
        "The price is the transforms' additions, and workspace.",
    ),
)
WINOGRAD_F4 = Winograd(
    "WinogradF4x4",
    F4,
    Text(
        "WinogradF2x2 より大きい 4x4 のタイルを使います。かけ算は 144 回から 36 回に減ります。\n"
        "変換に大きさの違う係数(1/24 から 8 まで)が混ざるので、丸め誤差が少し大きくなります。\n"
        "速さと正確さの取り引きです。",
        "Takes larger tiles than WinogradF2x2, 4x4: 36 multiplications instead of 144.\n"
        "Its transforms mix coefficients of different size (1/24 to 8), so rounding errors grow a little.\n"
        "It trades accuracy for speed.",
    ),
)
