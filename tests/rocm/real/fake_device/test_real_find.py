"""Convolutions from end to end: MIOpen's Find, what it leaves in its database, immediate mode, and each solver's run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from library_log import same, shown

from factory import ConvolutionProblem
from factory.records import find_db
from factory.rocm import miopen_library, rocblas

PROBLEMS = {
    "3x3": (ConvolutionProblem(2, 4, 9, 8, 6, 3, 3, (1, 1)), {85: 0, 91: 4 * 9 * 9 * 8 * 4}),
    "1x1": (ConvolutionProblem(2, 4, 9, 8, 6, 1, 1, dtype="float16"), {85: 0, 88: 0}),
    "of groups": (
        ConvolutionProblem(2, 4, 9, 8, 6, 3, 2, (2, 1), (1, 2), (2, 1), 2, "bfloat16"), {85: 0, 91: 4 * 6 * 9 * 5 * 2}
    ),
}  # fmt: skip
NAMES = {85: "ConvDirectNaiveConvFwd", 88: "GemmFwd1x1_0_1", 91: "GemmFwdRest"}


def described(p):
    """The descriptors of a problem, as MIOpen writes them."""
    pairs = ", ".join(f"{{{first}, {second}}}" for first, second in (p.pad, p.stride, p.dilation))
    groups = f", {p.groups}" if p.groups > 1 else ""
    return {
        "wDesc": shown(*p.w_shape), "xDesc": shown(*p.x_shape), "yDesc": shown(*p.y_shape),
        "convDesc": f"conv2d, miopenConvolution, miopenPaddingDefault, {pairs}{groups}",
    }  # fmt: skip


def workspace_of(device, p):
    """What MIOpen says that a search takes."""
    library, need = device.miopen._library, ctypes.c_size_t()
    x, w, y = (library.tensor(shape, p.dtype) for shape in (p.x_shape, p.w_shape, p.y_shape))
    of_five = (library.handle, w, x, library.convolution(p), y)
    library.call("miopenConvolutionForwardGetWorkSpaceSize", *of_five, ctypes.byref(need))
    return need.value


@pytest.mark.parametrize("name", PROBLEMS)
def test_find_asks_rightly_and_hears_what_miopen_has(device, logged, name, prove):
    problem, solvers = PROBLEMS[name]
    need = workspace_of(device, problem)
    logged()
    found = device.find(problem)
    calls = logged()
    assert {solution.solver: solution.workspace for solution in found} == {
        NAMES[i]: need for i, need in solvers.items()
    }
    assert {solution.evidence for solution in found} == {"measured"}
    want = {"handle": f"stream: {int(device.hip.stream):#x}, device_id: 0", **described(problem)}
    for function, more in {
        "miopenConvolutionForwardGetWorkSpaceSize": {},
        "miopenFindConvolutionForwardAlgorithm": {
            "requestAlgoCount": 5, "workSpaceSize": need, "exhaustiveSearch": 0
        },
        "miopenConvolutionForwardGetSolutionCount": {},
        "miopenConvolutionForwardGetSolution": {"maxSolutionCount": len(solvers)},
    }.items():  # fmt: skip
        (given,) = (call.given for call in calls if call.function == function)
        prove("arguments of MIOpen", same(given, {**want, **more}))
    compiled = [call.given for call in calls if call.function == "miopenConvolutionForwardCompileSolution"]
    assert {int(given["solution_id"]) for given in compiled} == set(solvers)
    for given in compiled:
        prove("arguments of MIOpen", same(given, want))


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_solver_is_run_on_the_arrays_that_were_given(device, logged, name, prove):
    problem, solvers = PROBLEMS[name]
    x, w = device.empty(problem.x_shape, problem.dtype), device.empty(problem.w_shape, problem.dtype)
    for solution in device.find(problem):
        logged()
        y = device.convolve(x, w, problem, solution)
        calls = logged()
        (given,) = (call.given for call in calls if call.function == "miopenConvolutionForwardImmediate")
        (number,) = (number for number, name in NAMES.items() if name == solution.solver)
        want = {
            "handle": f"stream: {int(device.hip.stream):#x}, device_id: 0", **described(problem), "x": x.pointer,
            "w": w.pointer, "y": y.pointer, "workSpaceSize": solution.workspace, "solution_id": number,
        }  # fmt: skip
        assert (given["workSpace"] == "nullptr") == (solvers[number] == 0)
        prove("arguments of MIOpen", same(given, want))
        if number == 91:  # im2col, then one product an image and group: its own use of rocBLAS ends in our result
            products = [call.given for call in calls if call.function.startswith("rocblas_gemm")]
            assert products[0]["6"] == given["workSpace"] and f"{y.pointer:#x}" in products[0].values()


def test_what_was_found_stands_in_miopens_own_database(device):
    problem, solvers = PROBLEMS["3x3"]
    device.find(problem)
    (file,) = Path(os.environ["MIOPEN_USER_DB_PATH"]).glob("gfx900_56.HIP.3_4_0_*.ufdb.txt")
    kept = {solution.solver: solution.workspace for solution in find_db.read(file).get(problem)}
    assert kept == {NAMES[number]: need for number, need in solvers.items()}


# Of a MIOpen that thinks it has an assembler, but whose Winograd sources are not there, as in Debian's.
BROKEN = """
import factory
from factory import ConvolutionProblem
from factory.rocm import trial
trial.refused = lambda hip: {}
device = factory.open("rocm")
found = device.find(ConvolutionProblem(8, 64, 56, 56, 64, 3, 3, (1, 1)))
print([solution.solver for solution in found])
print(found.dropped["ConvBinWinogradRxSf2x3g1"])
device.close()
"""


def test_where_find_fails_as_a_whole_immediate_mode_still_knows_some(tmp_path, assembler):
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True,
        env={**os.environ, "MIOPEN_EXPERIMENTAL_GCN_ASM_PATH": str(assembler), "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "miopenFindConvolutionForwardAlgorithm" in ended.stderr and "Failed to load kernel source" in ended.stderr
    solvers, dropped = ended.stdout.splitlines()
    assert {"ConvDirectNaiveConvFwd", "GemmFwdRest"} <= set(eval(solvers))
    assert dropped.startswith("MIOpen failed to prepare or to run it (miopenConvolutionForwardCompileSolution")


def test_no_call_of_the_wing_is_left_out(device, opening, logged):
    logged()
    problem, _ = PROBLEMS["3x3"]
    x, w, vector = device.empty(problem.x_shape), device.empty(problem.w_shape), device.empty((4,))
    device.softmax(x)
    device.batch_norm(x, vector, vector, vector, vector, 1e-5)
    device.add(x, x)
    device.find(replace(problem, n=1))
    device.convolve(x, w, problem)
    with opening() as other:  # whose closing shows, too
        small, matrix = other.empty((1, 1, 2, 2)), other.empty((2, 3, 3))
        other.gemm(matrix, matrix)
        other.gemm(matrix[0], matrix[0])
        calls = logged()  # rocBLAS's log starts anew with MIOpen's own handle
        other.activate(small, "relu")
        other.pool(small, "max", (2, 2))
        other.miopen._library.convolution(problem)
    seen = {call.function.removesuffix("Inference_V2") for call in calls + logged()}
    # These log nothing: the words for a status, and MIOpen's handle.
    silent = {"rocblas_status_to_string", "miopenGetErrorString", "miopenCreateWithStream", "miopenDestroy"}
    ours = {*rocblas._FUNCTIONS, *miopen_library._FUNCTIONS} - silent
    assert {name.removesuffix("Inference") for name in ours} - seen == set()
