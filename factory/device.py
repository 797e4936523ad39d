"""Device: four workers, one memory, one timeline. It checks every request once, so that a wing gets right ones."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Collection, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np

from factory.array import DeviceArray
from factory.errors import InvalidPointer, ShapeError, Unsupported, UseAfterFree
from factory.gpus import Gpu
from factory.layout import Layout, Shape
from factory.memory import Allocation, Memory
from factory.problem import (
    DTYPES,
    FLOATS,
    LARGEST_INT,
    ConvolutionProblem,
    Found,
    GemmProblem,
    Pair,
    Solution,
    check_dtype,
    check_sizes,
    pooled_shape,
)

ACTIVATIONS = ("pasthru", "logistic", "tanh", "relu", "softrelu", "abs", "power", "clippedrelu", "leakyrelu", "elu")
POOLINGS = ("max", "average", "average_inclusive")


class LeakWarning(UserWarning):
    """Memory that was asked of HIP and never given back, reported when the device closes."""


class Device:
    """A GPU, or the simulator of one, opened by `factory.open`.

    hip, rocblas, miopen and kernels are its workers, `memory` what is allocated, `timeline` what ran. Every operation
    that makes an array takes `out=`, and raises ShapeError for shapes and types that do not go together,
    UseAfterFree for freed arrays and OutOfDeviceMemory where there is no room.
    """

    def __init__(self, wing: Any, gpu: Gpu | None) -> None:
        self.wing: str = wing.name
        self.gpu = gpu
        self.hip = wing.hip
        self.rocblas = wing.rocblas
        self.miopen = wing.miopen
        self.kernels = wing.kernels
        self.timeline = wing.hip.timeline
        self.memory = Memory(wing.hip)
        self._best: dict[ConvolutionProblem, Solution] = {}
        self._closed = False

    @property
    def label(self) -> str:
        """The device in a few words."""
        return self.wing if self.gpu is None else f"{self.wing}, {self.gpu.arch}"

    # Arrays and copies

    def array(self, data: np.ndarray, name: str = "") -> DeviceArray:
        """Copy a NumPy array to the device, in its own dtype (float64 and other wide types are refused)."""
        host = np.asarray(data)
        made = self.empty(host.shape, host.dtype, name=name)
        self.write(made, host)
        return made

    def empty(self, shape: int | Sequence[int], dtype: Any = "float32", *, name: str = "") -> DeviceArray:
        """An array whose content is whatever was in that memory."""
        self._check_open()
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        layout = _plan_array(sizes, dtype)
        return DeviceArray(self, self.memory.allocate(layout.nbytes, name or "array"), 0, layout, name)

    def write(self, target: DeviceArray, data: np.ndarray) -> None:
        """Copy a NumPy array of the same shape and dtype into a packed array."""
        self._mine("write", target)
        host = np.asarray(data)
        if host.dtype != target.dtype:
            raise ShapeError("dtypes", call="write", a=target.dtype.name, b=host.dtype.name)
        if host.shape != target.shape:
            raise ShapeError("shape", call="write", name="data", want=target.shape, got=host.shape)
        self._packed("write", "array", target)
        self.hip.memcpy_async(target.pointer, np.ascontiguousarray(host), target.nbytes)

    def read(self, array: DeviceArray) -> np.ndarray:
        """Wait for an array, and copy it to the host."""
        self._mine("read", array)
        source = array if array.packed else self.copy(array)
        host = np.empty(array.shape, array.dtype)
        self.hip.memcpy(host, source.pointer, array.nbytes)
        return host

    # rocBLAS

    def gemm(
        self, a: DeviceArray, b: DeviceArray, transpose_a: bool = False, transpose_b: bool = False,
        alpha: float = 1.0, beta: float = 0.0, out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """out = alpha op(a) op(b) + beta out, row-major; op transposes where asked.

        a is (M, K), b (K, N), out (M, N) (before transposing), or 3-D with a batch in front, where a batch of 1 or a
        2-D operand serves for all. int8 gives int32; other types keep theirs and add up in float32. Strided views are
        taken where BLAS takes them; nothing is copied. rocblas_gemm_ex and its strided-batched form.
        """
        self._mine("gemm", a, b)
        problem, shape = _plan_gemm(a.layout, b.layout, bool(transpose_a), bool(transpose_b), out and out.layout)
        if alpha != 1 or beta != 0:
            _check_scalars(problem, alpha, beta, out)
        result = self._out("gemm", out, shape, DTYPES[problem.result], a, b)
        self.rocblas.gemm(problem, b.pointer, a.pointer, result.pointer, alpha, beta)
        return result

    # MIOpen

    def find(
        self, problem: ConvolutionProblem, workspace_limit: int | None = None, without: Collection[str] = ()
    ) -> Found:
        """Solutions of a convolution on this device, fastest first, and in `.dropped` why others fell away.

        `without` takes solvers or algorithms by name; it and `workspace_limit` (bytes) filter what was found, and
        what was found is remembered. miopenFindConvolutionForwardAlgorithm.
        """
        self._check_open()
        if not isinstance(problem, ConvolutionProblem):
            raise ShapeError("number", call="find", name="problem", want="ConvolutionProblem", got=repr(problem))
        if workspace_limit is not None and workspace_limit < 0:
            raise ShapeError("number", call="find", name="workspace_limit", want=">= 0", got=workspace_limit)
        found: Found = self.miopen.find(problem)
        names = (without,) if isinstance(without, str) else tuple(without)
        return found.without(names, workspace_limit) if names or workspace_limit is not None else found

    def convolve(
        self, x: DeviceArray, w: DeviceArray, problem: ConvolutionProblem | None = None,
        solution: Solution | None = None, *, pad: Pair = (0, 0), stride: Pair = (1, 1), dilation: Pair = (1, 1),
        groups: int = 1, out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """Convolve x (N, C, H, W) with w (K, C / groups, R, S), as MIOpen does: a cross-correlation.

        Without a problem the shapes and the keywords say it; without a solution the best that `find` knows is taken.
        miopenConvolutionForward, with its workspace from this device's memory.
        """
        self._mine("convolve", x, w)
        planned = _plan_convolution(x.layout, w.layout, pad, stride, dilation, groups) if problem is None else problem
        if problem is not None:
            for name, array, shape in (("x", x, problem.x_shape), ("w", w, problem.w_shape)):
                if array.shape != shape:
                    raise ShapeError("shape", call="convolve", name=name, want=shape, got=array.shape)
                if array.dtype.name != problem.dtype:
                    raise ShapeError("dtypes", call="convolve", a=problem.dtype, b=array.dtype.name)
        self._packed("convolve", "x", x)
        self._packed("convolve", "w", w)
        result = self._out("convolve", out, planned.y_shape, x.dtype, x, w)
        chosen = solution or self._best.get(planned) or self._choose(planned)
        space = self.empty(chosen.workspace, "uint8", name="workspace") if chosen.workspace else None
        try:
            self.miopen.convolution_forward(
                planned, chosen.solver, x.pointer, w.pointer, result.pointer, space.pointer if space else 0,
                chosen.workspace,
            )  # fmt: skip
        finally:
            if space:
                space.free()  # back to the pool: the stream's order keeps it from being reused too early
        return result

    def activate(
        self, x: DeviceArray, mode: str, alpha: float = 0.0, beta: float = 0.0, gamma: float = 0.0,
        out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """An activation by MIOpen's name in lower case; out may be x. miopenActivationForward.

        pasthru x; logistic 1 / (1 + exp(-x)); tanh beta tanh(alpha x); relu max(0, x); softrelu log(1 + exp(x));
        abs |x|; power (alpha + beta x)^gamma; clippedrelu min(alpha, max(0, x)); leakyrelu x if x > 0, else alpha x;
        elu x if x > 0, else alpha (exp(x) - 1). As in MIOpen, alpha, beta and gamma are 0 unless given.
        """
        self._mine("activate", x)
        if mode not in ACTIVATIONS:
            raise Unsupported("mode", call="activate", got=repr(mode), known=", ".join(ACTIVATIONS))
        _check_float("activate", x)
        result = self._elementwise("activate", out, x)
        self.miopen.activation_forward(mode, alpha, beta, gamma, x, result)
        return result

    def softmax(self, x: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """exp(x) over its sum along the last axis, stably; out may be x. miopenSoftmaxForward_V2 (accurate)."""
        self._mine("softmax", x)
        _check_float("softmax", x)
        result = self._elementwise("softmax", out, x)
        self.miopen.softmax_forward(x, result)
        return result

    def pool(
        self, x: DeviceArray, mode: str, window: Pair, pad: Pair = (0, 0), stride: Pair | None = None,
        out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """The "max" or "average" of each window of x (N, C, H, W); stride is the window unless given.

        "average" leaves padding out of the count, "average_inclusive" counts it. miopenPoolingForward.
        """
        self._mine("pool", x)
        if mode not in POOLINGS:
            raise Unsupported("mode", call="pool", got=repr(mode), known=", ".join(POOLINGS))
        _check_float("pool", x)
        steps = window if stride is None else stride
        shape = pooled_shape(x.shape, window, pad, steps)
        result = self._out("pool", out, shape, x.dtype, x)
        self.miopen.pooling_forward(mode, tuple(window), tuple(pad), tuple(steps), x, result)
        return result

    def batch_norm(
        self, x: DeviceArray, scale: DeviceArray, bias: DeviceArray, mean: DeviceArray, variance: DeviceArray,
        epsilon: float, out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """scale (x - mean) / sqrt(variance + epsilon) + bias, channel by channel; x (N, C, H, W), the others (C,).

        miopenBatchNormalizationForwardInference, spatial; out may be x.
        """
        vectors = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
        self._mine("batch_norm", x, *vectors.values())
        _check_float("batch_norm", x)
        if x.ndim != 4:
            raise ShapeError("shape", call="batch_norm", name="x", want="(N, C, H, W)", got=x.shape)
        for name, vector in vectors.items():
            if vector.shape != (x.shape[1],):
                raise ShapeError("shape", call="batch_norm", name=name, want=(x.shape[1],), got=vector.shape)
        result = self._elementwise("batch_norm", out, x)
        self.miopen.batch_normalization_forward_inference(x, scale, bias, mean, variance, epsilon, result)
        return result

    def add(self, a: DeviceArray, b: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """a + b; where b has size 1 it serves for all of a. out may be a. miopenOpTensor."""
        return self._op_tensor("add", a, b, out)

    def multiply(self, a: DeviceArray, b: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """a b, element by element; where b has size 1 it serves for all of a. out may be a. miopenOpTensor."""
        return self._op_tensor("multiply", a, b, out)

    def _op_tensor(self, call: str, a: DeviceArray, b: DeviceArray, out: DeviceArray | None) -> DeviceArray:
        self._mine(call, a, b)
        _check_float(call, a)
        fits = b.ndim <= a.ndim and all(
            size in (1, full) for size, full in zip(b.shape, a.shape[a.ndim - b.ndim :], strict=True)
        )
        if not fits:
            raise ShapeError("broadcast", call=call, a=a.shape, b=b.shape)
        result = self._elementwise(call, out, a)
        if out is not None and out is not a and out.overlaps(b) and out.layout != b.layout:
            raise ShapeError("alias", call=call, name="b")
        self.miopen.op_tensor(call, a, b, result)
        return result

    # Our own kernels

    def rms_norm(
        self, x: DeviceArray, weight: DeviceArray, epsilon: float, out: DeviceArray | None = None
    ) -> DeviceArray:
        """x / sqrt(mean of x^2 + epsilon) * weight, row by row; x (T, C), weight (C,)."""
        self._mine("rms_norm", x, weight)
        if x.ndim != 2 or weight.shape != x.shape[1:]:
            raise ShapeError("shape", call="rms_norm", name="weight", want=x.shape[1:], got=weight.shape)
        result = self._elementwise("rms_norm", out, x)
        self.kernels.rms_norm(x, weight, result, epsilon)
        return result

    def rotary(
        self, x: DeviceArray, cos: DeviceArray, sin: DeviceArray, position: int = 0, out: DeviceArray | None = None
    ) -> DeviceArray:
        """Rotary embedding, half-split, of x (H, T, D) at positions from `position` on; cos and sin (positions, D/2)."""
        self._mine("rotary", x, cos, sin)
        if x.ndim != 3 or x.shape[2] % 2:
            raise ShapeError("shape", call="rotary", name="x", want="(H, T, 2n)", got=x.shape)
        for name, table in (("cos", cos), ("sin", sin)):
            if table.ndim != 2 or table.shape[1] * 2 != x.shape[2] or not 0 <= position <= len(table) - x.shape[1]:
                want = f"(>= {position + x.shape[1]}, {x.shape[2] // 2})"
                raise ShapeError("shape", call="rotary", name=name, want=want, got=table.shape)
        result = self._out("rotary", out, x.shape, x.dtype, x, cos, sin)
        self.kernels.rotary(x, cos, sin, result, position)
        return result

    def silu_gate(self, gate_up: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """SiLU of the left half of each row times the right half; gate_up (T, 2F), the result (T, F)."""
        self._mine("silu_gate", gate_up)
        if gate_up.ndim != 2 or gate_up.shape[1] % 2:
            raise ShapeError("shape", call="silu_gate", name="gate_up", want="(T, 2n)", got=gate_up.shape)
        shape = (gate_up.shape[0], gate_up.shape[1] // 2)
        result = self._out("silu_gate", out, shape, gate_up.dtype, gate_up)
        self.kernels.silu_gate(gate_up, result)
        return result

    def gather(self, table: DeviceArray, ids: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """Rows of a table by number: table (V, C), ids int32 (T,), the result (T, C)."""
        self._mine("gather", table)
        self._mine("gather", ids)
        if ids.dtype != np.int32:
            raise ShapeError("dtype", call="gather", got=ids.dtype, want="int32", known="int32")
        if table.ndim != 2 or ids.ndim != 1:
            raise ShapeError("shape", call="gather", name="ids", want="(T,)", got=ids.shape)
        result = self._out("gather", out, (ids.shape[0], table.shape[1]), table.dtype, table, ids)
        self.kernels.gather(table, ids, result)
        return result

    def causal_softmax(
        self, scores: DeviceArray, scale: float, position: int = 0, out: DeviceArray | None = None
    ) -> DeviceArray:
        """Softmax of scale x scores over what a token may see: scores (H, T, S), token t sees s <= position + t."""
        self._mine("causal_softmax", scores)
        if scores.ndim != 3 or position < 0 or scores.shape[2] < position + 1:
            raise ShapeError(
                "shape", call="causal_softmax", name="scores", want=f"(H, T, > {position})", got=scores.shape
            )
        result = self._elementwise("causal_softmax", out, scores)
        self.kernels.causal_softmax(scores, result, scale, position)
        return result

    def copy(self, source: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """The elements of a view, packed; or written to `out`, whatever the strides of either."""
        self._mine("copy", source)
        result = self._out("copy", out, source.shape, source.dtype, source, packed=False)
        self.kernels.copy(source, result)
        return result

    def pad(self, x: DeviceArray, sides: Sequence[int], out: DeviceArray | None = None) -> DeviceArray:
        """x (N, C, H, W) with zeros around it: sides are (top, bottom, left, right), each 0 or more."""
        self._mine("pad", x)
        if x.ndim != 4 or len(sides) != 4 or min(sides) < 0:
            raise ShapeError("number", call="pad", name="sides", want="(top, bottom, left, right) >= 0", got=sides)
        top, bottom, left, right = map(operator.index, sides)
        n, c, h, w = x.shape
        result = self._out("pad", out, (n, c, h + top + bottom, w + left + right), x.dtype, x)
        self.kernels.pad(x, result, top, left)
        return result

    # The device itself

    def synchronize(self) -> None:
        """Wait for everything that was handed over. hipDeviceSynchronize."""
        self.hip.device_synchronize()

    def close(self) -> list[Allocation]:
        """Give all memory back; what raw hipMallocs left is returned, and reported by a LeakWarning."""
        if self._closed:
            return []
        self.synchronize()
        self._closed = True
        leaks = self.memory.close()
        self.hip.close()
        for leak in leaks:
            warnings.warn(
                f"leak / 解放もれ: {leak.name}, {leak.nbytes:,} bytes, {leak.where}", LeakWarning, stacklevel=2
            )
        return leaks

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        used = "closed" if self._closed else f"{self.memory.in_use:,} of {self.memory.limit:,} bytes in use"
        return f"<Device {self.label}, {used}>"

    def _check_open(self) -> None:
        if self._closed:
            raise UseAfterFree("closed")

    def _mine(self, call: str, *arrays: DeviceArray) -> None:
        """All arrays are this device's (and the floats among them share a dtype)."""
        self._check_open()
        first = arrays[0]
        for array in arrays:
            if not isinstance(array, DeviceArray):
                raise InvalidPointer("not_array", call=call, got=type(array).__name__)
            if array.device is not self:
                raise InvalidPointer("device", call=call, name=array.name or repr(array))
            if array.dtype is not first.dtype and array.dtype != first.dtype:
                raise ShapeError("dtypes", call=call, a=first.dtype.name, b=array.dtype.name)

    def _packed(self, call: str, name: str, array: DeviceArray) -> None:
        if not array.packed:
            raise ShapeError("packed", call=call, name=name, shape=array.shape, strides=array.strides)

    def _out(
        self, call: str, out: DeviceArray | None, shape: Shape, dtype: np.dtype, *inputs: DeviceArray,
        packed: bool = True,
    ) -> DeviceArray:  # fmt: skip
        """`out` as it was given, checked, or a new array; it overlaps no input."""
        if out is None:
            return self.empty(shape, dtype)
        self._mine(call, out)
        if out.shape != shape or out.dtype != dtype:
            raise ShapeError("out", call=call, want=shape, dtype=dtype.name, got=out.shape, got_dtype=out.dtype.name)
        for array in inputs:
            if out.overlaps(array):
                raise ShapeError("alias", call=call, name=array.name or "input")
        return out

    def _elementwise(self, call: str, out: DeviceArray | None, x: DeviceArray) -> DeviceArray:
        """`out` as it was given, checked, or a new array; it may be x itself."""
        same = out is not None and out.layout == x.layout and out._block is x._block and out._offset == x._offset
        return self._out(call, out, x.shape, x.dtype, *(() if same else (x,)))

    def _choose(self, problem: ConvolutionProblem) -> Solution:
        found = self.find(problem)
        if not found:
            reasons = "; ".join(f"{solver}: {reason}" for solver, reason in found.dropped.items())
            raise Unsupported("no_solver", reasons=reasons)
        return self._best.setdefault(problem, found[0])


@lru_cache(maxsize=4096)
def _plan_array(shape: Shape, dtype: Any) -> Layout:
    """The layout of a new array."""
    kind = check_dtype("array", dtype, DTYPES)
    check_sizes("array", None, **{f"shape[{axis}]": size for axis, size in enumerate(shape)})
    return Layout.of_packed(tuple(map(operator.index, shape)), kind)


@lru_cache(maxsize=16384)
def _plan_gemm(
    a: Layout, b: Layout, transpose_a: bool, transpose_b: bool, out: Layout | None
) -> tuple[GemmProblem, Shape]:
    """What rocBLAS is asked for a row-major product: the transposes of b and a, in this order."""
    shape_a, shape_b, dtype = a.shape, b.shape, a.dtype
    known = {**FLOATS, "int8": DTYPES["int8"]}
    check_dtype("gemm", dtype, known)
    if not {len(shape_a), len(shape_b)} <= {2, 3}:
        raise ShapeError("gemm_dimensions", a=shape_a, b=shape_b)
    m, k = shape_a[-2:][:: -1 if transpose_a else 1]
    rows, n = shape_b[-2:][:: -1 if transpose_b else 1]
    if k != rows:
        raise ShapeError("gemm_inner", a=shape_a, b=shape_b, columns=k, rows=rows)
    batches = {shape[0] for shape in (shape_a, shape_b) if len(shape) == 3} - {1}
    if len(batches) > 1:
        raise ShapeError("gemm_batch", a=shape_a, b=shape_b)
    batch = batches.pop() if batches else 1
    shape = (batch, m, n) if 3 in (len(shape_a), len(shape_b)) else (m, n)
    lda, stride_a, flip_a = _leading("a", a)
    ldb, stride_b, flip_b = _leading("b", b)
    ldc, stride_c = n, m * n
    if out is not None and out.shape == shape:
        ldc, stride_c, flipped = _leading("out", out)
        if flipped:
            raise ShapeError("layout", call="gemm", name="out", shape=out.shape, strides=out.strides)
    if max(m, n, k, batch, lda, ldb, ldc) > LARGEST_INT:
        raise ShapeError("overflow", call="gemm", got=max(m, n, k, batch, lda, ldb, ldc))
    problem = GemmProblem(
        m=n, n=m, k=k, transpose_a=transpose_b ^ flip_b, transpose_b=transpose_a ^ flip_a, lda=ldb, ldb=lda, ldc=ldc,
        batch=batch, stride_a=stride_b, stride_b=stride_a, stride_c=stride_c if batch > 1 else 0, dtype=dtype.name,
    )  # fmt: skip
    return problem, shape


def _leading(name: str, layout: Layout) -> tuple[int, int, bool]:
    """Leading dimension, batch stride (0: one matrix for all), and whether the memory holds the transpose."""
    shape, strides = layout.shape, layout.strides
    (rows, columns), (down, across) = shape[-2:], strides[-2:]
    stride = strides[0] if len(shape) == 3 and shape[0] > 1 else 0
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return (down if rows > 1 else columns), stride, False
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return (across if columns > 1 else rows), stride, True
    raise ShapeError("layout", call="gemm", name=name, shape=shape, strides=strides)


def _check_scalars(problem: GemmProblem, alpha: float, beta: float, out: DeviceArray | None) -> None:
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not isfinite(value):
            raise ShapeError("number", call="gemm", name=name, want="finite", got=value)
    if beta != 0 and out is None:
        raise ShapeError("gemm_beta", beta=beta)
    if problem.dtype == "int8" and (int(alpha), int(beta)) != (alpha, beta):
        raise ShapeError("gemm_integer", alpha=alpha, beta=beta)


@lru_cache(maxsize=4096)
def _plan_convolution(x: Layout, w: Layout, pad: Pair, stride: Pair, dilation: Pair, groups: int) -> ConvolutionProblem:
    for name, layout in (("x", x), ("w", w)):
        if len(layout.shape) != 4:
            raise ShapeError("shape", call="convolve", name=name, want="(N, C, H, W)", got=layout.shape)
    (n, c, h, width), (k, c_group, r, s) = x.shape, w.shape
    if isinstance(groups, int) and groups > 0 and c_group * groups != c:
        raise ShapeError("convolution", x=x.shape, w=w.shape, c=c, groups=groups)
    return ConvolutionProblem(n, c, h, width, k, r, s, pad, stride, dilation, groups, x.dtype.name)


def _check_float(call: str, array: DeviceArray) -> None:
    if array.dtype.name not in FLOATS:
        check_dtype(call, array.dtype, FLOATS)
