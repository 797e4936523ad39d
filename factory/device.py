"""Device: four workers, one memory, one timeline. It checks every request once, so that a wing gets right ones."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from factory.array import DeviceArray
from factory.errors import FactoryWarning, InvalidPointer, ShapeError, Unsupported, UseAfterFree
from factory.gpus import Gpu
from factory.language import Text
from factory.layout import Layout, Shape
from factory.memory import Allocation, Memory
from factory.problem import (
    DTYPES,
    ConvolutionProblem,
    Found,
    Pair,
    Solution,
    check_dtype,
    check_pair,
    check_sizes,
    pooled_shape,
)
from factory.requests import (
    agreed_convolution,
    check_float,
    check_number,
    check_position,
    check_scalars,
    plan_gemm,
    plan_rotary,
)

ACTIVATIONS = ("pasthru", "logistic", "tanh", "relu", "softrelu", "abs", "power", "clippedrelu", "leakyrelu", "elu")
POOLINGS = ("max", "average", "average_inclusive")
_LEAK = Text(
    "{name} の {nbytes:,} バイトが解放されないまま残りました(確保した場所: {where})。",
    "{nbytes:,} bytes of {name} were never freed (allocated at {where}).",
)


class LeakWarning(FactoryWarning):
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
        try:
            self.memory = Memory(wing.hip)
        except BaseException:
            wing.hip.close()
            raise
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
        return self._hand_over(None, made, self.write, made, host)

    def empty(self, shape: int | Sequence[int], dtype: Any = "float32", *, name: str = "") -> DeviceArray:
        """An array whose content is whatever was in that memory."""
        self._check_open()
        try:
            sizes = tuple(shape)  # type: ignore[arg-type]
        except TypeError:
            sizes = (shape,)  # type: ignore[assignment]
        check_sizes("array", None, **{f"shape[{axis}]": size for axis, size in enumerate(sizes)})
        return self._new(tuple(map(operator.index, sizes)), check_dtype("array", dtype, DTYPES), name)

    def _new(self, shape: Shape, dtype: np.dtype, name: str = "") -> DeviceArray:
        layout = Layout.of_packed(shape, dtype)
        return DeviceArray(self, self.memory.allocate(layout.nbytes, name or "array"), 0, layout, name)

    def write(self, target: DeviceArray, data: np.ndarray) -> None:
        """Copy a NumPy array of the same shape and dtype into a packed array."""
        self._mine("write", target)
        host = np.asarray(data)
        if host.dtype != target.dtype:
            raise ShapeError("dtypes", call="write", a=target.dtype.name, b=str(host.dtype))
        if host.shape != target.shape:
            raise ShapeError("shape", call="write", name="data", want=target.shape, got=host.shape)
        self._packed("write", "array", target)
        self.hip.memcpy_async(target.pointer, np.ascontiguousarray(host), target.nbytes)

    def read(self, array: DeviceArray) -> np.ndarray:
        """Wait for an array, and copy it to the host."""
        self._mine("read", array)
        if not array.packed:
            with self.copy(array) as packed:
                return self.read(packed)
        host = np.empty(array.shape, array.dtype)
        self.hip.memcpy(host, array.pointer, array.nbytes)
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
        if out is not None:
            self._mine("gemm", out)
        target = None if out is None else out.layout
        problem, shape = plan_gemm(a.layout, b.layout, bool(transpose_a), bool(transpose_b), target)
        if alpha != 1 or beta != 0:
            check_scalars(problem, alpha, beta, out)
        result = self._out("gemm", out, shape, DTYPES[problem.result], a, b)
        return self._hand_over(
            out, result, self.rocblas.gemm, problem, b.pointer, a.pointer, result.pointer, alpha, beta
        )

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
        if workspace_limit is not None:
            check_number("find", "workspace_limit", workspace_limit, least=0)
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
        miopenConvolutionForwardImmediate, with its workspace from this device's memory.
        """
        self._mine("convolve", x, w)
        planned = agreed_convolution(x.layout, w.layout, problem, pad, stride, dilation, groups)
        self._packed("convolve", "x", x)
        self._packed("convolve", "w", w)
        if solution is not None and not isinstance(solution, Solution):
            raise ShapeError("number", call="convolve", name="solution", want="Solution", got=repr(solution))
        chosen = solution or self._best.get(planned) or self._choose(planned)
        need = chosen.workspace
        space = self._new((need,), DTYPES["uint8"], "workspace") if need else None
        try:
            result = self._out("convolve", out, planned.y_shape, x.dtype, x, w)
            self._packed("convolve", "out", result)
            return self._hand_over(
                out, result, self.miopen.convolution_forward, planned, chosen.solver,
                x.pointer, w.pointer, result.pointer, space.pointer if space else 0, need,
            )  # fmt: skip
        finally:
            if space:
                space.free()  # back to the pool: the stream's order keeps it from being reused too early

    def activate(
        self, x: DeviceArray, mode: str, alpha: float = 0.0, beta: float = 0.0, gamma: float = 0.0,
        out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """An activation by MIOpen's name in lower case; out may be x. miopenActivationForward.

        pasthru x; logistic 1 / (1 + exp(-x)); tanh beta tanh(alpha x); relu max(0, x); softrelu log(1 + exp(x));
        abs |x|; power (alpha + beta x)^gamma, and 0 where the base is not positive; clippedrelu min(alpha, max(0, x));
        leakyrelu x if x > 0, else alpha x; elu x if x > 0, else alpha (exp(x) - 1). As in MIOpen, alpha, beta and
        gamma are 0 unless given.
        """
        self._mine("activate", x)
        if mode not in ACTIVATIONS:
            raise Unsupported("mode", call="activate", got=repr(mode), known=", ".join(ACTIVATIONS))
        check_float("activate", x)
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            check_number("activate", name, value)
        result = self._elementwise("activate", out, x)
        return self._hand_over(out, result, self.miopen.activation_forward, mode, alpha, beta, gamma, x, result)

    def softmax(self, x: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """exp(x) over its sum along the last axis, stably; out may be x. miopenSoftmaxForward_V2 (accurate)."""
        self._mine("softmax", x)
        check_float("softmax", x)
        result = self._elementwise("softmax", out, x)
        return self._hand_over(out, result, self.miopen.softmax_forward, x, result)

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
        check_float("pool", x)
        window = check_pair("pool", "window", window, least=1)
        pad = check_pair("pool", "pad", pad, least=0)
        stride = window if stride is None else check_pair("pool", "stride", stride, least=1)
        result = self._out("pool", out, pooled_shape(x.shape, window, pad, stride), x.dtype, x)
        return self._hand_over(out, result, self.miopen.pooling_forward, mode, window, pad, stride, x, result)

    def batch_norm(
        self, x: DeviceArray, scale: DeviceArray, bias: DeviceArray, mean: DeviceArray, variance: DeviceArray,
        epsilon: float, out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """scale (x - mean) / sqrt(variance + epsilon) + bias, channel by channel; x (N, C, H, W), the others (C,).

        miopenBatchNormalizationForwardInference, spatial; out may be x.
        """
        vectors = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
        self._mine("batch_norm", x, *vectors.values())
        check_float("batch_norm", x)
        check_number("batch_norm", "epsilon", epsilon, least=0)
        if x.ndim != 4:
            raise ShapeError("shape", call="batch_norm", name="x", want="(N, C, H, W)", got=x.shape)
        for name, vector in vectors.items():
            if vector.shape != (x.shape[1],):
                raise ShapeError("shape", call="batch_norm", name=name, want=(x.shape[1],), got=vector.shape)
        result = self._elementwise("batch_norm", out, x, *vectors.values())
        return self._hand_over(
            out,
            result,
            self.miopen.batch_normalization_forward_inference,
            x,
            scale,
            bias,
            mean,
            variance,
            epsilon,
            result,
        )

    def add(self, a: DeviceArray, b: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """a + b; where b has size 1 it serves for all of a. out may be a or b. miopenOpTensor."""
        return self._op_tensor("add", a, b, out)

    def multiply(self, a: DeviceArray, b: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """a b, element by element; where b has size 1 it serves for all of a. out may be a or b. miopenOpTensor."""
        return self._op_tensor("multiply", a, b, out)

    def _op_tensor(self, call: str, a: DeviceArray, b: DeviceArray, out: DeviceArray | None) -> DeviceArray:
        self._mine(call, a, b)
        check_float(call, a)
        fits = b.ndim <= a.ndim and all(
            size in (1, full) for size, full in zip(b.shape, a.shape[a.ndim - b.ndim :], strict=True)
        )
        if not fits:
            raise ShapeError("broadcast", call=call, a=a.shape, b=b.shape)
        result = self._elementwise(call, out, a, b)
        return self._hand_over(out, result, self.miopen.op_tensor, call, a, b, result)

    # Our own kernels

    def rms_norm(
        self, x: DeviceArray, weight: DeviceArray, epsilon: float, out: DeviceArray | None = None
    ) -> DeviceArray:
        """x / sqrt(mean of x^2 + epsilon) * weight, row by row; x (T, C), weight (C,)."""
        self._mine("rms_norm", x, weight)
        check_float("rms_norm", x)
        check_number("rms_norm", "epsilon", epsilon, least=0)
        if x.ndim != 2:
            raise ShapeError("shape", call="rms_norm", name="x", want="(T, C)", got=x.shape)
        if weight.shape != x.shape[1:]:
            raise ShapeError("shape", call="rms_norm", name="weight", want=x.shape[1:], got=weight.shape)
        result = self._elementwise("rms_norm", out, x, weight)
        return self._hand_over(out, result, self.kernels.rms_norm, x, weight, result, epsilon)

    def rotary_cache(
        self,
        qkv: DeviceArray,
        cos: DeviceArray,
        sin: DeviceArray,
        keys: DeviceArray,
        values: DeviceArray,
        position: int = 0,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        """Turn queries and keys by their positions (rotary embedding, half-split), and append to the cache.

        qkv (T, H + 2 K, D) holds each token's queries, keys and values; keys and values (K, positions, D) receive
        this call's rows from `position` on; the turned queries (H, T, D) are returned. cos and sin (positions, D/2).
        """
        call = "rotary_cache"
        self._mine(call, qkv, cos, sin, keys, values)
        position = check_position(call, position)
        shape = plan_rotary(qkv.layout, cos.layout, sin.layout, keys.layout, values.layout)
        end = position + shape[1]
        for name, array in (("keys", keys), ("values", values), ("cos", cos), ("sin", sin)):
            if array.shape[-2] < end:
                want = (*array.shape[:-2], f">= {end}", array.shape[-1])
                raise ShapeError("shape", call=call, name=name, want=want, got=array.shape)
        for name, cache, others in (("keys", keys, (qkv, cos, sin, values)), ("values", values, (qkv, cos, sin))):
            if any(cache.overlaps(other) for other in others):
                raise ShapeError("alias", call=call, name=name)
        queries = self._out(call, out, shape, qkv.dtype, qkv, cos, sin, keys, values)
        return self._hand_over(out, queries, self.kernels.rotary_cache, qkv, cos, sin, queries, keys, values, position)

    def silu_gate(self, gate_up: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """SiLU of the left half of each row times the right half; gate_up (T, 2F), the result (T, F)."""
        self._mine("silu_gate", gate_up)
        check_float("silu_gate", gate_up)
        if gate_up.ndim != 2 or gate_up.shape[1] % 2:
            raise ShapeError("shape", call="silu_gate", name="gate_up", want="(T, 2n)", got=gate_up.shape)
        shape = (gate_up.shape[0], gate_up.shape[1] // 2)
        result = self._out("silu_gate", out, shape, gate_up.dtype, gate_up)
        return self._hand_over(out, result, self.kernels.silu_gate, gate_up, result)

    def gather(self, table: DeviceArray, ids: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """Rows of a table by number: table (V, C), ids int32 (T,), the result (T, C)."""
        self._mine("gather", table)
        self._mine("gather", ids)
        if ids.dtype != np.int32:
            raise ShapeError("dtype", call="gather", got=ids.dtype, want="int32", known="int32")
        for name, array, dimensions, want in (("table", table, 2, "(V, C)"), ("ids", ids, 1, "(T,)")):
            if array.ndim != dimensions:
                raise ShapeError("shape", call="gather", name=name, want=want, got=array.shape)
        result = self._out("gather", out, (ids.shape[0], table.shape[1]), table.dtype, table, ids)
        return self._hand_over(out, result, self.kernels.gather, table, ids, result)

    def causal_softmax(
        self, scores: DeviceArray, scale: float, position: int = 0, out: DeviceArray | None = None
    ) -> DeviceArray:
        """Softmax of scale x scores over what a token may see: scores (H, T, S), token t sees s <= position + t."""
        self._mine("causal_softmax", scores)
        check_float("causal_softmax", scores)
        check_number("causal_softmax", "scale", scale)
        position = check_position("causal_softmax", position)
        if scores.ndim != 3 or scores.shape[2] < position + 1:
            raise ShapeError(
                "shape", call="causal_softmax", name="scores", want=f"(H, T, > {position})", got=scores.shape
            )
        result = self._elementwise("causal_softmax", out, scores)
        return self._hand_over(out, result, self.kernels.causal_softmax, scores, result, scale, position)

    def copy(self, source: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
        """The elements of a view, packed; or written to `out`, whatever the strides of either."""
        self._mine("copy", source)
        result = self._out("copy", out, source.shape, source.dtype, source)
        return self._hand_over(out, result, self.kernels.copy, source, result)

    def pad(self, x: DeviceArray, sides: Sequence[int], out: DeviceArray | None = None) -> DeviceArray:
        """x (N, C, H, W) with zeros around it: sides are (top, bottom, left, right), each 0 or more."""
        self._mine("pad", x)
        if x.ndim != 4:
            raise ShapeError("shape", call="pad", name="x", want="(N, C, H, W)", got=x.shape)
        try:
            top, bottom, left, right = map(operator.index, sides)
        except (TypeError, ValueError):
            top = bottom = left = right = -1
        if min(top, bottom, left, right) < 0:
            raise ShapeError(
                "number", call="pad", name="sides", want="(top, bottom, left, right) >= 0", got=repr(sides)
            )
        n, c, h, w = x.shape
        result = self._out("pad", out, (n, c, h + top + bottom, w + left + right), x.dtype, x)
        return self._hand_over(out, result, self.kernels.pad, x, result, top, left)

    # The device itself

    def synchronize(self) -> None:
        """Wait for everything that was handed over. hipDeviceSynchronize."""
        self.hip.device_synchronize()

    def close(self) -> list[Allocation]:
        """Give all memory back; what raw hipMallocs left is returned, and reported by a LeakWarning."""
        if self._closed:
            return []
        self._closed = True
        try:
            self.synchronize()
        finally:  # also where the last work breaks off, or memory is not taken back
            try:
                leaks = self.memory.close()
            finally:
                self.hip.close()
        for leak in leaks:
            text = _LEAK.format(name=leak.name, nbytes=leak.nbytes, where=leak.where)
            warnings.warn(LeakWarning(text), stacklevel=2)
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
        """All arrays are this device's, alive, and share a dtype."""
        self._check_open()
        first = arrays[0]
        for array in arrays:
            if not isinstance(array, DeviceArray):
                raise InvalidPointer("not_array", call=call, got=type(array).__name__)
            if array.device is not self:
                raise InvalidPointer("device", call=call, name=array.name or repr(array))
            if not array.alive:
                raise array.stale()
            if array.dtype is not first.dtype and array.dtype != first.dtype:
                raise ShapeError("dtypes", call=call, a=first.dtype.name, b=array.dtype.name)

    def _packed(self, call: str, name: str, array: DeviceArray) -> None:
        if not array.packed:
            raise ShapeError("packed", call=call, name=name, shape=array.shape, strides=array.strides)

    def _out(
        self, call: str, out: DeviceArray | None, shape: Shape, dtype: np.dtype, *inputs: DeviceArray
    ) -> DeviceArray:
        """`out` as it was given, checked, or a new array; it overlaps no input."""
        if out is None:
            return self._new(shape, dtype)
        self._mine(call, out)
        if out.shape != shape or out.dtype != dtype:
            raise ShapeError("out", call=call, want=shape, dtype=dtype.name, got=out.shape, got_dtype=out.dtype.name)
        for array in inputs:
            if out.overlaps(array):
                raise ShapeError("alias", call=call, name=array.name or repr(array))
        return out

    def _hand_over(
        self, out: DeviceArray | None, result: DeviceArray, work: Callable[..., None], *request: Any
    ) -> DeviceArray:
        """Hand a request to a worker; a new result does not outlive a failure, whoever keeps the traceback."""
        try:
            work(*request)
        except BaseException:
            if out is None:
                result.free()
            raise
        return result

    def _elementwise(self, call: str, out: DeviceArray | None, x: DeviceArray, *others: DeviceArray) -> DeviceArray:
        """`out` as it was given, checked, or a new array, shaped as x; it may be x or another input, whole."""
        if out is None:
            return self._new(x.shape, x.dtype)
        self._mine(call, out)
        return self._out(call, out, x.shape, x.dtype, *(array for array in (x, *others) if not out.same(array)))

    def _choose(self, problem: ConvolutionProblem) -> Solution:
        return self._best.setdefault(problem, self.find(problem).best)
