"""The simulator's MIOpen room, the specialist for convolution and activation.

Convolutions are done by the solvers of `solvers/`; `find` really races those that apply. What is left of MIOpen
(activation, softmax, pooling, batch norm, tensor operations) is a formula each, computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from factory.errors import Unsupported
from factory.gpus import Gpu
from factory.language import Text
from factory.layout import Layout, Tensor
from factory.problem import DTYPES, ConvolutionCall, ConvolutionProblem, Found, Pair, Solution
from factory.simulator.find import out_of_the_race, race
from factory.simulator.find_db import FindDb
from factory.simulator.hip import Hip
from factory.simulator.solvers import SOLVERS, Solver, Workspace, convolve, workspace_of

_BY_NAME = {solver.name: solver for solver in SOLVERS}

_NOT_ON_GPU = Text(
    "{gpu} の MIOpen には、{dtype} を {algorithm} で計算する solver がありません。",
    "MIOpen has no {algorithm} solver for {dtype} on {gpu}.",
)


class Miopen:
    """MIOpen's forward calls. Arrays are anything with a pointer and a layout (MIOpen: a tensor descriptor)."""

    def __init__(self, hip: Hip, gpu: Gpu | None = None) -> None:
        self._hip = hip
        self._gpu = gpu
        self._db = FindDb()

    # Convolution

    def find(self, problem: ConvolutionProblem) -> Found:
        """miopenFindConvolutionForwardAlgorithm: solvers that apply, fastest first (ties by name), and why others
        were dropped. Times are CPU time on one thread of this computer; what was found once is remembered."""
        dropped = {
            solver.name: reason
            for solver in SOLVERS
            if (reason := self._refuses(solver, problem) or out_of_the_race(solver, problem))
        }
        applicable = [solver for solver in SOLVERS if solver.name not in dropped]
        times = dict(self._db.get(problem) or {})
        if any(solver.name not in times for solver in applicable):
            raced = race(problem, applicable)
            times = {name: (ms, workspace_of(_BY_NAME[name], problem)) for name, ms in raced.items()}
            self._db.put(problem, times)
        order = sorted((times[solver.name][0], solver.name) for solver in applicable)
        solutions = [
            Solution(name, _BY_NAME[name].algorithm, ms, workspace_of(_BY_NAME[name], problem), "measured")
            for ms, name in order
        ]
        return Found(solutions, dropped)

    def convolution_forward(
        self, problem: ConvolutionProblem, solver: str, x: int, w: int, y: int, workspace: int, workspace_bytes: int
    ) -> None:
        """miopenConvolutionForwardImmediate by one solver, on device pointers; the workspace is the caller's.

        Raises Unsupported where the solver is not known or does not apply.
        """
        chosen = _BY_NAME.get(solver)
        if chosen is None:
            known = ", ".join(_BY_NAME)
            raise Unsupported("mode", call="miopenConvolutionForwardImmediate", got=repr(solver), known=known)
        if reason := self._refuses(chosen, problem):
            raise Unsupported("solution", solver=solver, reason=reason)
        call = "miopenConvolutionForwardImmediate"
        need = workspace_of(chosen, problem)
        if workspace_bytes < need:
            raise Unsupported("workspace", solver=solver, need=need, got=workspace_bytes)
        dtype = DTYPES[problem.dtype]
        source, weights = (
            self._hip.view(at, Layout.of_packed(shape, dtype), call)
            for at, shape in ((x, problem.x_shape), (w, problem.w_shape))
        )
        target = self._hip.view(y, Layout.of_packed(problem.y_shape, dtype), call, write=True)
        space = (
            self._hip.view(workspace, Layout.of_packed((need,), DTYPES["uint8"]), call, write=True)
            if need
            else _NOTHING
        )

        def work() -> None:
            convolve(chosen, problem, source, weights, target, Workspace(space))

        sizes = ConvolutionCall(problem, solver)
        self._hip.launch("MIOpen", call, sizes, problem.operations, problem.nbytes, work)

    def _refuses(self, solver: Solver, problem: ConvolutionProblem) -> Text | None:
        reason = solver.refuses(problem)
        if reason is None and self._gpu and solver.algorithm not in self._gpu.algorithms[problem.dtype]:
            reason = _NOT_ON_GPU.format(gpu=self._gpu.arch, dtype=problem.dtype, algorithm=solver.algorithm)
        return reason

    # Activation and the rest

    def activation_forward(self, mode: str, alpha: float, beta: float, gamma: float, x: Tensor, y: Tensor) -> None:
        """miopenActivationForward with one of MIOpen's modes, its name in lower case."""
        function = _ACTIVATIONS[mode]
        a, b, g = np.float32(alpha), np.float32(beta), np.float32(gamma)
        self._launch("miopenActivationForward", (x,), y, 1, lambda x, y: function(x, y, a, b, g))

    def softmax_forward(self, x: Tensor, y: Tensor) -> None:
        """miopenSoftmaxForward_V2 along the last axis, by the accurate algorithm."""
        self._launch("miopenSoftmaxForward_V2", (x,), y, 4, _softmax)

    def pooling_forward(self, mode: str, window: Pair, pad: Pair, stride: Pair, x: Tensor, y: Tensor) -> None:
        """miopenPoolingForward: "max", "average" (padding not counted) or "average_inclusive"."""

        def work(x: np.ndarray, y: np.ndarray) -> None:
            _pool(mode, window, pad, stride, x, y)

        self._launch("miopenPoolingForward", (x,), y, window[0] * window[1], work)

    def batch_normalization_forward_inference(
        self, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, y: Tensor
    ) -> None:
        """miopenBatchNormalizationForwardInference, spatial: one scale, bias, mean and variance for a channel."""

        def work(x: np.ndarray, s: np.ndarray, b: np.ndarray, m: np.ndarray, v: np.ndarray, y: np.ndarray) -> None:
            # The mean goes first, as in MIOpen: where it is large, scaling x before would lose the digits that count.
            np.subtract(x, m[:, None, None], out=y)
            y *= (s / np.sqrt(v + np.float32(epsilon)))[:, None, None]
            y += b[:, None, None]

        self._launch("miopenBatchNormalizationForwardInference", (x, scale, bias, mean, variance), y, 3, work)

    def op_tensor(self, operation: str, a: Tensor, b: Tensor, y: Tensor) -> None:
        """miopenOpTensor: "add" or "multiply", element by element; b of size 1 in a dimension serves for all."""
        self._launch("miopenOpTensor", (a, b), y, 1, {"add": _add, "multiply": _multiply}[operation])

    def _launch(
        self, call: str, inputs: tuple[Tensor, ...], y: Tensor, operations: int, work: Callable[..., object]
    ) -> None:
        """Launch a formula on the arrays behind the pointers; `operations` is counted for each element of y."""
        arrays = [self._hip.view(tensor.pointer, tensor.layout, call) for tensor in inputs]
        target = self._hip.view(y.pointer, y.layout, call, write=True)
        nbytes = y.layout.nbytes + sum(tensor.layout.nbytes for tensor in inputs)

        @np.errstate(all="ignore")  # a GPU tells nobody of an overflow either
        def run() -> None:
            if target.dtype == np.float32:
                work(*arrays, target)
            else:
                wide = np.empty(target.shape, np.float32)
                work(*(array.astype(np.float32) for array in arrays), wide)
                target[...] = wide

        self._hip.launch("MIOpen", call, y.layout, operations * y.layout.elements, nbytes, run)


_NOTHING = np.empty(0, np.uint8)


Array = np.ndarray
Activation = Callable[[Array, Array, np.float32, np.float32, np.float32], object]


def _logistic(x: Array, y: Array, *_: np.float32) -> None:
    np.exp(np.negative(x, out=y), out=y)  # inf gives the right limit, 0
    np.add(y, np.float32(1), out=y)
    np.reciprocal(y, out=y)


def _power(x: Array, y: Array, alpha: np.float32, beta: np.float32, gamma: np.float32) -> None:
    np.multiply(x, beta, out=y)
    np.add(y, alpha, out=y)
    none = y <= _NO_BASE
    np.power(y, gamma, out=y)
    y[none] = 0


def _tanh(x: Array, y: Array, alpha: np.float32, beta: np.float32, _: np.float32) -> None:
    np.tanh(np.multiply(x, alpha, out=y), out=y)
    np.multiply(y, beta, out=y)


def _elu(x: Array, y: Array, alpha: np.float32, *_: np.float32) -> None:
    negative = alpha * np.expm1(np.minimum(x, 0))
    np.copyto(y, np.where(x > 0, x, negative))


_ZERO = np.float32(0)
_NO_BASE = np.float32(1e-6)  # up to here MIOpen calls the base of a power 0, and the result too
_ACTIVATIONS: dict[str, Activation] = {
    "pasthru": lambda x, y, *_: np.copyto(y, x),
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": lambda x, y, *_: np.maximum(x, _ZERO, out=y),
    "softrelu": lambda x, y, *_: np.logaddexp(x, _ZERO, out=y),
    "abs": lambda x, y, *_: np.abs(x, out=y),
    "power": _power,
    "clippedrelu": lambda x, y, a, *_: np.clip(x, _ZERO, a, out=y),
    "leakyrelu": lambda x, y, a, *_: np.copyto(y, np.where(x > 0, x, a * x)),
    "elu": _elu,
}


def _softmax(x: Array, y: Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
    np.exp(y, out=y)
    np.divide(y, y.sum(axis=-1, keepdims=True), out=y)


def _add(a: Array, b: Array, y: Array) -> None:
    np.add(a, b, out=y)


def _multiply(a: Array, b: Array, y: Array) -> None:
    np.multiply(a, b, out=y)


def _pool(mode: str, window: Pair, pad: Pair, stride: Pair, x: Array, y: Array) -> None:
    """Go over the window's cells, each a strided view of the input and a part of the output that it reaches."""
    y[...] = -np.inf if mode == "max" else 0
    count = np.zeros(y.shape[2:], np.float32)
    for i in range(window[0]):
        rows, from_rows = _reach(i - pad[0], stride[0], x.shape[2], y.shape[2])
        for j in range(window[1]):
            columns, from_columns = _reach(j - pad[1], stride[1], x.shape[3], y.shape[3])
            cells, part = x[:, :, from_rows, from_columns], y[:, :, rows, columns]
            if mode == "max":
                np.maximum(part, cells, out=part)
            else:
                part += cells
                count[rows, columns] += 1
    if mode == "average":
        y /= count
    elif mode == "average_inclusive":
        y /= np.float32(window[0] * window[1])


def _reach(shift: int, stride: int, size: int, outputs: int) -> tuple[slice, slice]:
    """Outputs whose cell at input index (output x stride + shift) is no padding, and the inputs that they meet."""
    first = max(0, -(shift // stride))
    many = max(0, min(outputs - 1, (size - 1 - shift) // stride) + 1 - first)
    start = first * stride + shift
    return slice(first, first + many), slice(start, start + many * stride, stride)
