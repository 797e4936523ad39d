"""Convolutions as matrix multiplications over the whole image: 1x1, and im2col."""

from __future__ import annotations

import numpy as np

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import band_shape, pad_band, windows


def by_groups(problem: ConvolutionProblem, array: Floats, columns: int) -> Floats:
    """(..., columns) as the operand of a GEMM: (rows, columns), or (groups, rows of a group, columns)."""
    return array.reshape(-1, columns) if problem.groups == 1 else array.reshape(problem.groups, -1, columns)


def filter_matrix(problem: ConvolutionProblem, w: Floats) -> Floats:
    """w as a matrix (K, C R S), one for each group. No copy."""
    return by_groups(problem, w, problem.c // problem.groups * problem.r * problem.s)


class Gemm1x1(Solver):
    """y (K, H' W') = w (K, C) @ x (C, H W) for each image and group; a stride first gathers the pixels that count.

    Workspace: none with stride 1, else the gathered pixels of one image, 4 C H' W' bytes.
    """

    name = "Gemm1x1"
    algorithm = "GEMM"
    idea = Text(
        "1x1 の畳み込みは、画素ごとにチャンネルを混ぜる計算です。これはそのまま行列のかけ算です。\n"
        "(K x C) の重みと (C x 画素数) の入力を、並べ替えずに GEMM に渡します。\n"
        "余分なメモリはいりません(ストライドがあるときだけ、使う画素を集めます)。",
        "A 1x1 convolution mixes the channels of each pixel, which is a matrix multiplication as it stands.\n"
        "The weights (K x C) and the input (C x pixels) go to GEMM without rearranging.\n"
        "It needs no extra memory (only a stride makes it gather the pixels that count).",
    )

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        if (problem.r, problem.s) != (1, 1):
            return Text(
                f"フィルターが {problem.r}x{problem.s} です。1x1 のときだけ使えます。",
                f"The filter is {problem.r}x{problem.s}; this needs 1x1.",
            )
        if problem.pad != (0, 0):
            return Text(
                "パディングがあります。パディングなしのときだけ使えます。", "There is padding; this needs none."
            )
        return None

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        return () if problem.stride == (1, 1) else ((problem.c, problem.out_h, problem.out_w),)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        pixels = problem.out_h * problem.out_w
        gathered = [workspace.take(shape) for shape in self.buffers(problem)]
        matrix = filter_matrix(problem, w)
        for source, target in zip(x, y, strict=True):
            if gathered:
                gathered[0][...] = source[:, :: problem.stride[0], :: problem.stride[1]]
                source = gathered[0]
            np.matmul(matrix, by_groups(problem, source, pixels), out=by_groups(problem, target, pixels))


class GemmIm2col(Solver):
    """y (K, H' W') = w (K, C R S) @ columns (C R S, H' W') for each image, the columns written out in full.

    Workspace: the columns of one image, 4 C R S H' W' bytes, and with padding the padded image. The way of Caffe
    (Chellapilla et al., "High performance convolutional neural networks for document processing", 2006).
    """

    name = "GemmIm2col"
    algorithm = "GEMM"
    idea = Text(
        "出力の画素ごとに、フィルターが見る範囲(パッチ)を 1 列に並べます。これを im2col といいます。\n"
        "すると畳み込みは、速い GEMM 1 回になります。\n"
        "そのかわり、入力の R x S 倍の大きさの行列をメモリに置きます。",
        "For each output pixel, what the filter sees (a patch) is laid out as one column: this is im2col.\n"
        "The convolution then is one fast GEMM.\n"
        "The price is a matrix in memory R x S times as large as the input.",
    )

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        columns = (problem.c, problem.r, problem.s, problem.out_h, problem.out_w)
        return (columns, band_shape(problem, problem.out_h)) if any(problem.pad) else (columns,)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        pixels = problem.out_h * problem.out_w
        columns, *padded = (workspace.take(shape) for shape in self.buffers(problem))
        matrix = filter_matrix(problem, w)
        for source, target in zip(x, y, strict=True):
            if padded:
                pad_band(problem, source, 0, padded[0])
                source = padded[0]
            columns[...] = windows(problem, source, problem.out_h)
            np.matmul(matrix, by_groups(problem, columns, pixels), out=by_groups(problem, target, pixels))
