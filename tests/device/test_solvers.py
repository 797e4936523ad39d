"""The simulator's convolution solvers keep their promises: right numbers, true workspace figures, reasons in words."""

from __future__ import annotations

import importlib.util
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import threadpool_limits

from factory.language import Text
from factory.problem import ConvolutionProblem
from factory.simulator.solvers import SOLVERS, Solver, Workspace

TORCH = importlib.util.find_spec("torch") is not None
BY_NAME = {solver.name: solver for solver in SOLVERS}
ALGORITHMS = {"Direct", "GEMM", "ImplicitGEMM", "Winograd", "FFT"}
LOOSER = {"Direct", "WinogradF4x4"}  # sums one by one, and large coefficients: their errors grow with channels
MOST_OPERATIONS = 6_000_000


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small problems wait for a second thread longer than they compute."""
    with threadpool_limits(1):
        yield


def tolerance(solver: Solver) -> float:
    return 6e-6 if solver.name in LOOSER else 2e-6


def sizes(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(sizes(low, high), sizes(low, high))


@st.composite
def problems(draw: st.DrawFn, channels: int = 512) -> ConvolutionProblem:
    """Small problems of every kind: dense, grouped, depthwise with multipliers, 1x1, and 3x3 for Winograd."""
    kind = draw(st.sampled_from(["any", "grouped", "depthwise", "pointwise", "3x3", "3x3"]))
    stride = dilation = (1, 1)
    groups = 1
    if kind == "pointwise":
        r = s = 1
        pad, stride = draw(st.sampled_from([(0, 0), (0, 0), (1, 2)])), draw(pairs(1, 3))
    elif kind == "3x3":
        r = s = 3
        pad = draw(pairs(0, 2))
    else:
        r, s = draw(pairs(1, 7))
        pad, stride, dilation = draw(pairs(0, 3)), draw(pairs(1, 3)), draw(pairs(1, 2))
    if kind == "depthwise":
        c = groups = draw(sizes(2, channels))
        k = c * draw(sizes(1, 3))
    elif kind == "grouped":
        groups = draw(sizes(2, 8))
        c, k = groups * draw(sizes(1, channels // 16)), groups * draw(sizes(1, channels // 16))
    else:
        c, k = draw(st.sampled_from([1, 2, 3, 8, 17, 64, 200, channels])), draw(sizes(1, 96))
    least = [max(1, (taps - 1) * step + 1 - 2 * edge) for taps, step, edge in zip((r, s), dilation, pad, strict=True)]
    largest = 40 if c <= 64 else 14
    h, w = (draw(sizes(low, max(low, largest))) for low in least)
    problem = ConvolutionProblem(draw(sizes(1, 3)), c, h, w, k, r, s, pad, stride, dilation, groups)
    assume(problem.operations <= MOST_OPERATIONS)
    return problem


def operands(problem: ConvolutionProblem) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(problem.operations)
    return random.standard_normal(problem.x_shape, np.float32), random.standard_normal(problem.w_shape, np.float32)


def by_numpy(problem: ConvolutionProblem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The definition in float64: every window of the padded input, against the filter."""
    p = problem
    (top, left), (rows, columns) = p.pad, p.window
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, top), (left, left)))
    windows = sliding_window_view(padded, (rows, columns), (2, 3))
    windows = windows[:, :, :: p.stride[0], :: p.stride[1], :: p.dilation[0], :: p.dilation[1]]
    windows = windows.reshape(p.n, p.groups, p.c // p.groups, *windows.shape[2:])
    filters = w.astype(np.float64).reshape(p.groups, p.k // p.groups, p.c // p.groups, p.r, p.s)
    return np.einsum("ngcijrs,gkcrs->ngkij", windows, filters, optimize=True).reshape(p.y_shape)


def by_torch(problem: ConvolutionProblem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    import torch

    p = problem
    double = torch.from_numpy(x).double(), torch.from_numpy(w).double()
    return torch.nn.functional.conv2d(*double, None, p.stride, p.pad, p.dilation, p.groups).numpy()


def run(solver: Solver, problem: ConvolutionProblem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One run with a workspace and an output full of NaN, so that nothing is read before it is written."""
    y = np.full(problem.y_shape, np.nan, np.float32)
    workspace = np.full(solver.workspace(problem), 0xFF, np.uint8)
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        solver.run(problem, x, w, y, Workspace(workspace))
    assert y.dtype == np.float32
    return y


def check(problem: ConvolutionProblem, want: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    before = x.copy(), w.copy()
    # A few outputs may cancel by chance, so they count for no less than standard normal operands make them on average.
    few = min(want.size, 64) * problem.c // problem.groups * problem.r * problem.s
    scale = max(np.linalg.norm(want), np.sqrt(few))
    for solver in SOLVERS:
        if solver.refuses(problem) is None and solver.hopeless(problem) is None:
            error = np.linalg.norm(run(solver, problem, x, w) - want) / scale
            assert error <= tolerance(solver), f"{solver.name}: relative error {error:.2e} on {problem}"
    assert np.array_equal(before[0], x) and np.array_equal(before[1], w), "a solver wrote to its input"


@pytest.mark.skipif(not TORCH, reason="torch, the outside oracle, is not installed")
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_every_solver_agrees_with_torch_in_float64(problem: ConvolutionProblem) -> None:
    x, w = operands(problem)
    check(problem, by_torch(problem, x, w), x, w)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(channels=96))
def test_every_solver_agrees_with_the_definition_in_float64(problem: ConvolutionProblem) -> None:
    x, w = operands(problem)
    check(problem, by_numpy(problem, x, w), x, w)


LARGER = [
    ConvolutionProblem(2, 512, 7, 7, 512, 3, 3, pad=(1, 1)),
    ConvolutionProblem(1, 64, 56, 56, 64, 3, 3, pad=(1, 1)),
    ConvolutionProblem(1, 512, 14, 14, 512, 3, 3, pad=(1, 1)),
    ConvolutionProblem(1, 3, 225, 225, 32, 3, 3, stride=(2, 2)),
    ConvolutionProblem(1, 24, 56, 56, 144, 1, 1),
    ConvolutionProblem(1, 96, 113, 113, 96, 3, 3, stride=(2, 2), groups=96),
    ConvolutionProblem(1, 240, 28, 28, 240, 5, 5, pad=(2, 2), groups=240),
    ConvolutionProblem(2, 16, 56, 56, 16, 31, 31, pad=(15, 15), groups=16),
    ConvolutionProblem(1, 8, 96, 96, 8, 15, 15, pad=(7, 7)),
]


@pytest.mark.parametrize("problem", LARGER, ids=str)
def test_problems_of_several_tiles_and_blocks_agree_too(problem: ConvolutionProblem) -> None:
    x, w = operands(problem)
    check(problem, (by_torch if TORCH else by_numpy)(problem, x, w), x, w)


def keeps_within_its_workspace(solver: Solver, problem: ConvolutionProblem) -> None:
    x, w = operands(problem)
    y = np.empty(problem.y_shape, np.float32)
    workspace = Workspace(np.zeros(solver.workspace(problem), np.uint8))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        solver.run(problem, x, w, y, workspace)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    took = workspace.taken + peak - before
    promise = solver.workspace(problem)
    assert took <= promise + 64 * 1024, f"{solver.name} took {took:,} bytes and promised {promise:,} on {problem}"


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_a_run_takes_no_more_memory_than_the_workspace_figure(problem: ConvolutionProblem) -> None:
    for solver in SOLVERS:
        if solver.refuses(problem) is None and solver.hopeless(problem) is None:
            keeps_within_its_workspace(solver, problem)


@pytest.mark.parametrize("problem", LARGER, ids=str)
def test_large_runs_keep_to_the_workspace_figure_too(problem: ConvolutionProblem) -> None:
    for solver in SOLVERS:
        if solver.refuses(problem) is None and solver.hopeless(problem) is None:
            keeps_within_its_workspace(solver, problem)


REFUSED = {
    "Gemm1x1": [dict(r=3, s=3), dict(r=1, s=1, pad=(1, 0))],
    "WinogradF2x2": [
        dict(r=5, s=3), dict(r=3, s=3, stride=(2, 1)), dict(r=3, s=3, dilation=(1, 2)), dict(r=3, s=3, groups=4),
    ],
    "WinogradF4x4": [dict(r=1, s=1), dict(r=3, s=3, groups=2)],
    "Fft": [dict(r=1, s=1)],
    "DepthwiseChannelsLast": [dict(r=3, s=3), dict(r=3, s=3, groups=4)],
    "DepthwisePlanes": [dict(r=3, s=3), dict(r=3, s=3, groups=2)],
}  # fmt: skip


@pytest.mark.parametrize(("name", "change"), [(name, change) for name in REFUSED for change in REFUSED[name]])
def test_a_solver_that_does_not_apply_says_why_in_both_languages(name: str, change: dict) -> None:
    reason = BY_NAME[name].refuses(ConvolutionProblem(1, 8, 12, 12, 16, **change))
    assert isinstance(reason, Text)
    assert reason.ja and reason.en and reason.ja != reason.en
    assert "{" not in reason.ja + reason.en


@settings(max_examples=200, deadline=None)
@given(problems())
def test_the_general_solvers_refuse_nothing(problem: ConvolutionProblem) -> None:
    for name in ("Direct", "GemmIm2col", "ImplicitGemm"):
        assert BY_NAME[name].refuses(problem) is None
    assert BY_NAME["ImplicitGemm"].hopeless(problem) is None


HOPELESS = [
    ("Direct", ConvolutionProblem(1, 256, 56, 56, 256, 3, 3)),
    ("GemmIm2col", ConvolutionProblem(1, 256, 224, 224, 8, 7, 7, pad=(3, 3))),
    ("Fft", ConvolutionProblem(1, 512, 14, 14, 512, 3, 3, pad=(1, 1))),
]


@pytest.mark.parametrize(("name", "problem"), HOPELESS)
def test_a_solver_too_slow_or_too_large_to_race_says_so(name: str, problem: ConvolutionProblem) -> None:
    reason = BY_NAME[name].hopeless(problem)
    assert isinstance(reason, Text)
    assert reason.ja and reason.en and "{" not in reason.ja + reason.en
    assert BY_NAME["ImplicitGemm"].hopeless(problem) is None


def test_each_solver_has_a_name_of_its_own_and_its_idea_in_three_lines() -> None:
    assert len(BY_NAME) == len(SOLVERS)
    for solver in SOLVERS:
        assert solver.algorithm in ALGORITHMS
        for sentence in solver.idea:
            assert 0 < sentence.count("\n") + 1 <= 3


def test_a_1x1_without_stride_needs_no_workspace() -> None:
    problem = ConvolutionProblem(1, 64, 14, 14, 32, 1, 1)
    assert BY_NAME["Gemm1x1"].workspace(problem) == BY_NAME["ImplicitGemm"].workspace(problem) == 0


def test_winograd_trades_accuracy_for_multiplications() -> None:
    problem = ConvolutionProblem(1, 256, 16, 16, 32, 3, 3, pad=(1, 1))
    x, w = operands(problem)
    want = by_numpy(problem, x, w)
    small, large = (
        np.linalg.norm(run(BY_NAME[name], problem, x, w) - want) for name in ("WinogradF2x2", "WinogradF4x4")
    )
    assert small < large


@pytest.mark.parametrize("offset", range(0, 64, 4))
def test_a_workspace_carves_on_64_byte_boundaries_wherever_it_starts(offset: int) -> None:
    shapes = [(3, 5), (1,), (7, 2, 2)]
    memory = np.zeros(Workspace.room(*shapes) + offset, np.uint8)[offset:]
    workspace = Workspace(memory)
    arrays = [workspace.take(shape) for shape in shapes]
    for array in arrays:
        assert array.ctypes.data % 64 == 0 and array.flags.c_contiguous and array.dtype == np.float32
        assert np.shares_memory(array, memory)
    assert not any(np.shares_memory(a, b) for a in arrays for b in arrays if a is not b)
    with pytest.raises(ValueError, match="workspace"):
        workspace.take((100,))
