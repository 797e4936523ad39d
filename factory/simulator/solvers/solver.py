"""What every convolution solver of the simulator is: a name, an idea, a workspace figure that is true, and a run."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from factory.language import Text
from factory.problem import ConvolutionProblem

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

ALIGNMENT = 64  # bytes: a cache line, and one AVX-512 register
LARGEST_WORKSPACE = 2**30
ITERATOR = 3 * 8192 * 4  # bytes of the buffers that a NumPy function of three operands may take for itself

NEEDS_TOO_MUCH = Text(
    "作業用メモリ(workspace)が {workspace:,} バイトも必要なので、試しません(上限 {limit:,} バイト)。",
    "It would need {workspace:,} bytes of workspace, so it is not tried (the limit is {limit:,} bytes).",
)


class Workspace:
    """Device memory that the caller took from the pool for one run; a solver carves its temporaries from it.

    `memory` is a one-dimensional uint8 array. Carving costs no page fault, which a fresh array does for every 4 KiB.
    """

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self._base: int = memory.ctypes.data
        self.taken = 0

    def take(self, shape: Shape, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """A C-contiguous array on a 64-byte boundary, its content undefined; ValueError where too little is left."""
        start = -(-(self._base + self.taken) // ALIGNMENT) * ALIGNMENT - self._base
        end = start + prod(shape) * np.dtype(dtype).itemsize
        if end > self._memory.size:
            raise ValueError(f"a solver carves {end:,} bytes from a workspace of {self._memory.size:,}")
        self.taken = end
        return self._memory[start:end].view(dtype).reshape(shape)

    @staticmethod
    def room(*shapes: Shape) -> int:
        """Bytes that float32 arrays of these shapes take, wherever the memory starts; 0 for none."""
        aligned = sum(-(-4 * prod(shape) // ALIGNMENT) * ALIGNMENT for shape in shapes)
        return aligned + ALIGNMENT if shapes else 0


class Solver:
    """One way to compute a convolution. Subclasses set the first three attributes and write `run` and `buffers`.

    name is unique, algorithm one of MIOpen's five ("Direct", "GEMM", "ImplicitGEMM", "Winograd", "FFT"), idea the
    way it works in at most three lines, hidden the bytes that NumPy takes of its own accord during a run.
    """

    name: str
    algorithm: str
    idea: Text
    hidden: int = 0

    def refuses(self, problem: ConvolutionProblem) -> Text | None:
        """Why this algorithm cannot do the problem; None where it can."""
        return None

    def hopeless(self, problem: ConvolutionProblem) -> Text | None:
        """Why `find` need not time it though it could do the problem; None where it is worth timing."""
        workspace = self.workspace(problem)
        if workspace > LARGEST_WORKSPACE:
            return NEEDS_TOO_MUCH.format(workspace=workspace, limit=LARGEST_WORKSPACE)
        return None

    def buffers(self, problem: ConvolutionProblem) -> tuple[Shape, ...]:
        """Shapes of the float32 temporaries that `run` takes from its workspace, in order."""
        return ()

    def workspace(self, problem: ConvolutionProblem) -> int:
        """Bytes that `run` needs besides x, w and y."""
        return Workspace.room(*self.buffers(problem)) + self.hidden

    def run(self, problem: ConvolutionProblem, x: Floats, w: Floats, y: Floats, workspace: Workspace) -> None:
        """Write the whole of y (N, K, H', W') from x (N, C, H, W) and w (K, C / groups, R, S).

        All are float32 and C-contiguous; the problem's own dtype does not matter here. The problem must be one that
        this solver does not refuse, and the workspace a new one of `workspace(problem)` bytes.
        """
        raise NotImplementedError


def workspace_of(solver: Solver, problem: ConvolutionProblem) -> int:
    """Bytes that a solver needs in the problem's own dtype: 16-bit types are computed on float32 copies."""
    need = solver.workspace(problem)
    if problem.dtype != "float32":
        need += Workspace.room(problem.x_shape, problem.w_shape, problem.y_shape)
    return need


def convolve(
    solver: Solver, problem: ConvolutionProblem, x: NDArray[Any], w: NDArray[Any], y: NDArray[Any], workspace: Workspace
) -> None:
    """Run a solver on arrays of the problem's own dtype, with a workspace of `workspace_of` bytes."""
    if problem.dtype == "float32":
        solver.run(problem, x, w, y, workspace)
        return
    x32, w32, y32 = (workspace.take(array.shape) for array in (x, w, y))
    x32[...] = x
    w32[...] = w
    solver.run(problem, x32, w32, y32, workspace)
    y[...] = y32
