"""The MIOpen room, the specialist for convolution and activation, by the real library.

MIOpen gets packed arrays alone: a view with gaps is packed on its way in, and its result spread on the way out, by our
copy kernel. So is bfloat16, which MIOpen 3.4 has for convolutions alone, turned into float32 and back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_float
from typing import Any

import numpy as np

from factory.layout import Layout, Place, Shape, Tensor
from factory.problem import BFLOAT16, ConvolutionProblem, Found, Pair
from factory.rocm.convolutions import Convolutions
from factory.rocm.hip import Hip
from factory.rocm.kernels import Kernels
from factory.rocm.miopen_library import MiopenLibrary

_MODES = {
    name: number
    for number, name in enumerate(
        ("pasthru", "logistic", "tanh", "relu", "softrelu", "abs", "power", "clippedrelu", "leakyrelu", "elu")
    )
}  # miopenActivationMode_t
_POOLINGS = {"max": 0, "average": 1, "average_inclusive": 2}  # miopenPoolingMode_t
_OPERATIONS = {"add": 0, "multiply": 1}  # miopenTensorOp_t
_ACCURATE, _CHANNEL = 1, 1  # miopenSoftmaxAlgorithm_t, miopenSoftmaxMode_t
_SPATIAL = 1  # miopenBatchNormMode_t: one scale for a channel
_ONE, _ZERO = (ctypes.byref(c_float(value)) for value in (1, 0))
_FLOAT32 = np.dtype(np.float32)

Run = Callable[..., int]  # a call of the library on pointers: the inputs' and the output's


class Miopen:
    """MIOpen's forward calls. Arrays are anything with a pointer and a layout (MIOpen: a tensor descriptor)."""

    def __init__(self, hip: Hip, kernels: Kernels) -> None:
        self._hip = hip
        self._kernels = kernels
        self._library = MiopenLibrary(hip)
        self._convolutions = Convolutions(hip, self._library)
        self._runs: dict[tuple[Any, ...], Run] = {}  # calls but for their pointers, by what they were planned for
        self._rooms: dict[str, tuple[int, int]] = {}  # pointers and bytes

    # Convolution

    def find(self, problem: ConvolutionProblem) -> Found:
        """miopenFindConvolutionForwardAlgorithm and immediate mode: solvers that apply, fastest first (ties by name),
        and why others were dropped. Times are this GPU's own; what was found once is remembered."""
        return self._convolutions.find(problem)

    def convolution_forward(
        self, problem: ConvolutionProblem, solver: str, x: int, w: int, y: int, workspace: int, workspace_bytes: int
    ) -> None:
        """miopenConvolutionForwardImmediate by one solver, on device pointers; the workspace is the caller's.

        Raises Unsupported where the solver is not known or does not apply.
        """
        self._convolutions.forward(problem, solver, x, w, y, workspace, workspace_bytes)

    # Activation and the rest

    def activation_forward(self, mode: str, alpha: float, beta: float, gamma: float, x: Tensor, y: Tensor) -> None:
        """miopenActivationForward with one of MIOpen's modes, its name in lower case."""
        key = ("activation", mode, alpha, beta, gamma, x.layout)
        run = self._runs.get(key) or self._keep(key, self._activation(mode, alpha, beta, gamma, x.layout))
        self._launch("miopenActivationForward", (x,), y, 1, run)

    def _activation(self, mode: str, alpha: float, beta: float, gamma: float, layout: Layout) -> Run:
        library, tensor = self._library, self._tensor(layout)
        function, handle = library.functions.miopenActivationForward, library.handle
        descriptor = library.activation(_MODES[mode], alpha, beta, gamma)
        return lambda x, y: function(handle, descriptor, _ONE, tensor, x, _ZERO, tensor, y)

    def softmax_forward(self, x: Tensor, y: Tensor) -> None:
        """miopenSoftmaxForward_V2 along the last axis, by the accurate algorithm."""
        key = ("softmax", x.layout)
        self._launch(
            "miopenSoftmaxForward_V2", (x,), y, 4, self._runs.get(key) or self._keep(key, self._softmax(x.layout))
        )  # fmt: skip

    def _softmax(self, layout: Layout) -> Run:
        library = self._library
        function, handle = library.functions.miopenSoftmaxForward_V2, library.handle
        columns = layout.shape[-1] if layout.shape else 1
        tensor = library.tensor((layout.elements // columns, columns, 1, 1), _computed(layout).name)
        # By instance would mean the same. But in float32 that is done by MIOpenSoftmaxAttn.cpp (3.4 and newer), where
        # the first wave may write its part of the sum before the others have read the maximum from the same place.
        return lambda x, y: function(handle, _ONE, tensor, x, _ZERO, tensor, y, _ACCURATE, _CHANNEL)

    def pooling_forward(self, mode: str, window: Pair, pad: Pair, stride: Pair, x: Tensor, y: Tensor) -> None:
        """miopenPoolingForward: "max", "average" (padding not counted) or "average_inclusive"."""
        key = ("pooling", mode, window, pad, stride, x.layout, y.layout)
        run = self._runs.get(key) or self._keep(key, self._pooling(mode, window, pad, stride, x.layout, y.layout))
        self._launch("miopenPoolingForward", (x,), y, window[0] * window[1], run)

    def _pooling(self, mode: str, window: Pair, pad: Pair, stride: Pair, x: Layout, y: Layout) -> Run:
        library, of_x, of_y = self._library, self._tensor(x), self._tensor(y)
        function, handle = library.functions.miopenPoolingForward, library.handle
        descriptor = library.pooling(_POOLINGS[mode], window, pad, stride)
        # Without a backward pass to come it needs no workspace.
        return lambda x, y: function(handle, descriptor, _ONE, of_x, x, _ZERO, of_y, y, False, None, 0)

    def batch_normalization_forward_inference(
        self, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, y: Tensor
    ) -> None:
        """miopenBatchNormalizationForwardInference, spatial: one scale, bias, mean and variance for a channel."""
        key = ("batch norm", epsilon, x.layout)
        run = self._runs.get(key) or self._keep(key, self._batch_normalization(epsilon, x.layout))
        # Whatever x is, MIOpen takes the channels' numbers in float32.
        vectors = (scale, bias, mean, variance)
        self._launch("miopenBatchNormalizationForwardInference", (x,), y, 3, run, vectors)

    def _batch_normalization(self, epsilon: float, layout: Layout) -> Run:
        library, tensor = self._library, self._tensor(layout)
        function, handle = library.functions.miopenBatchNormalizationForwardInference, library.handle
        vector = library.normalized(layout.shape, _computed(layout).name, _SPATIAL)
        return lambda x, scale, bias, mean, variance, y: function(
            handle, _SPATIAL, _ONE, _ZERO, tensor, x, tensor, y, vector, scale, bias, mean, variance, epsilon
        )

    def op_tensor(self, operation: str, a: Tensor, b: Tensor, y: Tensor) -> None:
        """miopenOpTensor: "add" or "multiply", element by element; b of size 1 in a dimension serves for all."""
        key = (operation, a.layout, b.layout)
        if len(a.layout.shape) > 4 and b.layout.shape != a.layout.shape:  # more dimensions than the descriptor has
            b = _repeated(b, a.layout.shape)
        run = self._runs.get(key) or self._keep(key, self._op_tensor(operation, a.layout, b.layout))
        self._launch("miopenOpTensor", (a, b), y, 1, run)

    def _op_tensor(self, operation: str, a: Layout, b: Layout) -> Run:
        library, of_a, of_b = self._library, self._tensor(a), self._tensor(b)
        function, handle, number = library.functions.miopenOpTensor, library.handle, _OPERATIONS[operation]
        return lambda a, b, y: function(handle, number, _ONE, of_a, a, _ONE, of_b, b, _ZERO, of_a, y)

    def _keep(self, key: tuple[Any, ...], run: Run) -> Run:
        self._runs[key] = run
        return run

    def _tensor(self, layout: Layout) -> int:
        return self._library.tensor(layout.shape, _computed(layout).name)

    def _launch(
        self, call: str, inputs: Sequence[Tensor], y: Tensor, operations: int, run: Run, vectors: Sequence[Tensor] = ()
    ) -> None:
        """Hand a call to the library on packed arrays; `operations` is counted for each element of y. The vectors,
        further inputs, are taken in float32."""
        layout = y.layout
        dtype = _computed(layout)
        target = y.pointer
        locate = self._hip.ledger.locate
        locate(target, layout.span, call)
        nbytes = layout.nbytes
        pointers = []
        for number, tensor in enumerate((*inputs, *vectors)):
            its, pointer = tensor.layout, tensor.pointer
            locate(pointer, its.span, call)
            nbytes += its.nbytes
            wanted = dtype if number < len(inputs) else _FLOAT32
            if not its.packed or its.dtype != wanted:
                pointer = self._packed(f"input {number}", tensor, wanted).pointer
            pointers.append(pointer)
        place = None
        if not layout.packed or layout.dtype != dtype:
            place = self._room("output", Layout.of_packed(layout.shape, dtype))
            target = place.pointer

        def work() -> None:
            if status := run(*pointers, target):
                self._library.check(call, status)

        self._hip.launch("MIOpen", call, layout, operations * layout.elements, nbytes, work)
        if place:
            self._kernels.copy(place, y)

    def _packed(self, slot: str, tensor: Tensor, dtype: np.dtype) -> Tensor:
        """A packed copy of an array, in a type, good until the slot's next use."""
        place = self._room(slot, Layout.of_packed(tensor.layout.shape, dtype))
        self._kernels.copy(tensor, place)
        return place

    def _room(self, slot: str, layout: Layout) -> Place:
        """Device memory of this room's own, that grows with what is asked: one stream keeps one use after the other."""
        pointer, size = self._rooms.get(slot, (0, 0))
        if size < layout.nbytes:
            if size:
                self._hip.ledger.locate(pointer, size, "hipFree").owned = False
                self._hip.free(self._rooms.pop(slot)[0])
            pointer = self._hip.malloc(layout.nbytes, f"MIOpen, {slot}", asked=layout.nbytes)
            self._rooms[slot] = pointer, layout.nbytes
        return Place(pointer, layout)


def _computed(layout: Layout) -> np.dtype:
    """The type in which MIOpen does an array: bfloat16, which it lacks here, in float32."""
    return _FLOAT32 if layout.dtype == BFLOAT16 else layout.dtype


def _repeated(tensor: Tensor, shape: Shape) -> Place:
    """An array as a view of a larger shape, its sizes of 1 repeated."""
    layout = tensor.layout
    missing = len(shape) - len(layout.shape)
    pairs = zip(layout.shape, layout.strides, strict=True)
    strides = (*[0] * missing, *(0 if size == 1 else stride for size, stride in pairs))
    return Place(tensor.pointer, Layout.of(shape, strides, layout.dtype))
