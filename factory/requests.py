"""What a Device is asked, planned and checked: a request that is wrong raises here, one that is right is planned once."""

from __future__ import annotations

import operator
from functools import lru_cache

import numpy as np

from factory.array import DeviceArray
from factory.errors import ShapeError
from factory.language import Text, at_least
from factory.layout import Layout, Shape
from factory.problem import (
    DTYPES,
    FLOATS,
    LARGEST_INT,
    ConvolutionProblem,
    GemmProblem,
    Pair,
    check_dtype,
    check_pair,
    check_sizes,
)

_FLOAT_DTYPES = frozenset(FLOATS.values())
_LARGEST_FLOAT = float(np.finfo(np.float32).max)  # scalars go to the libraries in float32
_FINITE = Text("有限の数", "a finite number")


@lru_cache(maxsize=16384)
def plan_gemm(
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


def check_scalars(problem: GemmProblem, alpha: float, beta: float, out: DeviceArray | None) -> None:
    for name, value in (("alpha", alpha), ("beta", beta)):
        check_number("gemm", name, value)
        if problem.dtype == "int8" and int(value) != value:
            raise ShapeError("gemm_integer", alpha=alpha, beta=beta)
        if problem.dtype == "int8" and abs(value) > LARGEST_INT:
            raise ShapeError("overflow", call="gemm", got=value)
    if beta != 0 and out is None:
        raise ShapeError("gemm_beta", beta=beta)


@lru_cache(maxsize=4096)
def plan_rotary(qkv: Layout, cos: Layout, sin: Layout, keys: Layout, values: Layout) -> Shape:
    """The shape (H, T, D) of the turned queries."""
    call = "rotary_cache"
    check_dtype(call, qkv.dtype, FLOATS)
    if len(qkv.shape) != 3 or qkv.shape[2] % 2 or len(keys.shape) != 3 or qkv.shape[1] <= 2 * keys.shape[0]:
        raise ShapeError("shape", call=call, name="qkv", want="(T, H + 2 K, 2 n)", got=qkv.shape)
    (tokens, heads, width), shared = qkv.shape, keys.shape[0]
    for name, layout, front, last in (
        ("keys", keys, (shared,), width), ("values", values, (shared,), width),
        ("cos", cos, (), width // 2), ("sin", sin, (), width // 2),
    ):  # fmt: skip
        *before, _, after = layout.shape if len(layout.shape) > 1 else (0, 0)
        if (tuple(before), after) != (front, last):
            raise ShapeError("shape", call=call, name=name, want=(*front, "positions", last), got=layout.shape)
    return heads - 2 * shared, tokens, width


def agreed_convolution(
    x: Layout, w: Layout, problem: ConvolutionProblem | None, pad: Pair, stride: Pair, dilation: Pair, groups: int
) -> ConvolutionProblem:
    """The problem that was given, if it fits the arrays and what else was said, or the one that the arrays make."""
    if problem is None:
        pad = check_pair("convolve", "pad", pad, least=0)
        stride = check_pair("convolve", "stride", stride, least=1)
        dilation = check_pair("convolve", "dilation", dilation, least=1)
        check_sizes("convolve", groups=groups)
        return _plan_convolution(x, w, pad, stride, dilation, groups)
    if not isinstance(problem, ConvolutionProblem):
        raise ShapeError("number", call="convolve", name="problem", want="ConvolutionProblem", got=repr(problem))
    said, asked = (problem.pad, problem.stride, problem.dilation, problem.groups), (pad, stride, dilation, groups)
    if asked not in (said, ((0, 0), (1, 1), (1, 1), 1)):
        raise ShapeError("number", call="convolve", name="pad, stride, dilation, groups", want=said, got=asked)
    for name, layout, shape in (("x", x, problem.x_shape), ("w", w, problem.w_shape)):
        if layout.shape != shape:
            raise ShapeError("shape", call="convolve", name=name, want=shape, got=layout.shape)
        if layout.dtype.name != problem.dtype:
            raise ShapeError("dtypes", call="convolve", a=problem.dtype, b=layout.dtype.name)
    return problem


@lru_cache(maxsize=4096)
def _plan_convolution(x: Layout, w: Layout, pad: Pair, stride: Pair, dilation: Pair, groups: int) -> ConvolutionProblem:
    for name, layout in (("x", x), ("w", w)):
        if len(layout.shape) != 4:
            raise ShapeError("shape", call="convolve", name=name, want="(N, C, H, W)", got=layout.shape)
    (n, c, h, width), (k, c_group, r, s) = x.shape, w.shape
    if c_group * groups != c:
        raise ShapeError("convolution", x=x.shape, w=w.shape, c=c, groups=groups)
    return ConvolutionProblem(n, c, h, width, k, r, s, pad, stride, dilation, groups, x.dtype.name)


def check_number(call: str, name: str, value: float, least: float = -_LARGEST_FLOAT) -> None:
    try:
        fits = least <= value <= _LARGEST_FLOAT
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ShapeError("number", call=call, name=name, want=_FINITE if least < 0 else ">= 0", got=repr(value))


def check_position(call: str, position: int) -> int:
    try:
        whole = operator.index(position)
    except TypeError:
        whole = -1
    if whole < 0 or isinstance(position, bool):
        raise ShapeError("number", call=call, name="position", want=at_least(0), got=repr(position))
    return whole


def check_float(call: str, array: DeviceArray) -> None:
    if array.dtype not in _FLOAT_DTYPES:
        check_dtype(call, array.dtype, FLOATS)
