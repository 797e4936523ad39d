"""The race of find: the solvers that apply run in turn on the same numbers, and the least CPU time of each counts."""

from __future__ import annotations

from collections.abc import Sequence
from time import thread_time

import numpy as np
import psutil
from threadpoolctl import ThreadpoolController

from factory.language import Text
from factory.problem import DTYPES, ConvolutionProblem
from factory.simulator.solvers import Solver, Workspace, convolve, workspace_of

_ROUNDS = 5
_ENOUGH = 0.3  # seconds of racing one problem after which no further round starts
_WORTH_ASKING = 64 << 20  # bytes of workspace below which this computer's free memory is no question
_HOPELESS = 4.0  # times the best so far: a solver that far behind runs no second time

_NO_ROOM = Text(
    "作業用メモリが {need:,} バイト必要で、このコンピューターの空き {free:,} バイトに入りません。",
    "needs {need:,} bytes of workspace, and this computer has {free:,} free.",
)

_threads: ThreadpoolController | None = None


def out_of_the_race(solver: Solver, problem: ConvolutionProblem) -> Text | None:
    """Why a solver that applies is not raced; None where it is."""
    reason = solver.hopeless(problem)
    need = workspace_of(solver, problem)
    if reason is None and need > _WORTH_ASKING and need > (free := psutil.virtual_memory().available) // 2:
        reason = _NO_ROOM.format(need=need, free=free)
    return reason


def race(problem: ConvolutionProblem, solvers: Sequence[Solver]) -> dict[str, float]:
    """Milliseconds of CPU time on one thread that each solver took.

    CPU time, alternating rounds and the minimum keep other programs on the computer out of the result.
    """
    global _threads
    _threads = _threads or ThreadpoolController()
    random = np.random.default_rng(0)
    dtype = DTYPES[problem.dtype]
    x, w = (random.standard_normal(shape, np.float32).astype(dtype) for shape in (problem.x_shape, problem.w_shape))
    y = np.empty(problem.y_shape, dtype)
    space = np.empty(max((workspace_of(solver, problem) for solver in solvers), default=0), np.uint8)
    best: dict[str, float] = {}
    with _threads.limit(limits=1, user_api="blas"):
        began = thread_time()
        for turn in range(_ROUNDS):
            fastest = min(best.values(), default=0.0)
            for solver in solvers:
                if turn and best[solver.name] > _HOPELESS * fastest:
                    continue
                carved = Workspace(space[: workspace_of(solver, problem)])
                start = thread_time()
                convolve(solver, problem, x, w, y, carved)
                seconds = thread_time() - start
                best[solver.name] = min(best.get(solver.name, seconds), seconds)
            if thread_time() - began > _ENOUGH:
                break
    return {name: seconds * 1e3 for name, seconds in best.items()}
