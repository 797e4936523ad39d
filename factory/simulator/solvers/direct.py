"""The naive solver: the definition of a convolution, one tap and one channel at a time."""

from __future__ import annotations

import numpy as np

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers.solver import ITERATOR, Floats, Shape, Solver, Workspace
from factory.simulator.solvers.taps import span

SLOW = Text(
    "計算が {operations:,} 回もあり、定義どおりの Direct では遅すぎるので試しません(上限 {limit:,} 回)。",
    "It is {operations:,} operations, too slow for Direct, which follows the definition (tried up to {limit:,}).",
)
LIMIT = 200_000_000


class Direct(Solver):
    """y[k] += w[k, c, r, s] * x[c] shifted by (r, s): a multiplication and an addition for each c, r and s.

    Workspace: one product, 4 N K H' W' bytes, and NumPy's buffers. It sums one channel after another, so its rounding
    error grows with C.
    """

    name = "Direct"
    algorithm = "Direct"
    hidden = ITERATOR
    idea = Text(
        "定義どおりに計算します。フィルターの 1 つの重みと、ずらした入力を掛け、出力に足します。\n"
        "これをすべての重みでくり返します。\n"
        "どんな畳み込みもできますが、同じデータを何度もメモリから読むので遅い方法です。",
        "Follows the definition: one weight of the filter times the shifted input, added to the output.\n"
        "It repeats this for every weight.\n"
        "It can do any convolution, but reads the same data from memory again and again, so it is slow.",
    )

    def hopeless(self, problem: ConvolutionProblem) -> Text | None:
        if problem.operations > LIMIT:
            return SLOW.format(operations=problem.operations, limit=LIMIT)
        return super().hopeless(problem)

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        return (problem.y_shape,)

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        p, g = problem, problem.groups
        (space,) = (workspace.take(shape) for shape in self.buffers(p))
        shape = (p.n, g, p.k // g, p.out_h, p.out_w)
        products, sums = space.reshape(shape), y.reshape(shape)
        inputs = x.reshape(p.n, g, 1, p.c // g, p.h, p.w)
        weights = w.reshape(g, p.k // g, p.c // g, p.r, p.s, 1, 1)
        y[...] = 0
        for r in range(p.r):
            rows = span(r * p.dilation[0], p.stride[0], p.out_h, p.pad[0], p.h)
            for s in range(p.s):
                columns = span(s * p.dilation[1], p.stride[1], p.out_w, p.pad[1], p.w)
                product = products[..., rows.steps, columns.steps]
                target = sums[..., rows.steps, columns.steps]
                for c in range(p.c // g):
                    np.multiply(inputs[..., c, rows.inputs, columns.inputs], weights[:, :, c, r, s], out=product)
                    np.add(target, product, out=target)
