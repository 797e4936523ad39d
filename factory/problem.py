"""What a GEMM or a convolution is asked to do: sizes, floating-point operations, bytes, output shape; and the
solutions that find knows of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import ml_dtypes
import numpy as np

from factory.errors import ShapeError, Unsupported
from factory.language import Text
from factory.layout import Layout

Pair = tuple[int, int]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS: dict[str, np.dtype] = {
    "float32": np.dtype("float32"), "float16": np.dtype("float16"), "bfloat16": BFLOAT16
}  # fmt: skip
DTYPES: dict[str, np.dtype] = {
    **FLOATS, "int8": np.dtype("int8"), "uint8": np.dtype("uint8"), "int32": np.dtype("int32")
}  # fmt: skip
LARGEST_INT = 2**31 - 1  # rocBLAS and MIOpen count sizes in 32-bit integers


def check_sizes(call: str, most: int | None = LARGEST_INT, /, **sizes: object) -> None:
    """Raise ShapeError for a size that is no whole number from 1 up, or over `most` (what the libraries can count)."""
    for name, size in sizes.items():
        try:
            whole = index(size)  # type: ignore[arg-type]
        except TypeError:
            whole = 0
        if whole < 1 or isinstance(size, bool):
            raise ShapeError("size", call=call, name=name, got=size)
        if most is not None and whole > most:
            raise ShapeError("overflow", call=call, got=whole)


def check_pair(call: str, name: str, pair: Any, least: int) -> Pair:
    """The (vertical, horizontal) pair of whole numbers; ShapeError where it is none, or one is under `least`."""
    try:
        first, second = pair
        both = (index(first), index(second))
    except (TypeError, ValueError):
        first = second = True
        both = (0, 0)
    if min(both) < least or isinstance(first, bool) or isinstance(second, bool):
        raise ShapeError("number", call=call, name=name, want=f"(int, int) >= {least}", got=repr(pair))
    if max(both) > LARGEST_INT:
        raise ShapeError("overflow", call=call, got=max(both))
    return both


def check_dtype(call: str, dtype: object, known: dict[str, np.dtype]) -> np.dtype:
    """The NumPy dtype of a name or dtype; ShapeError, saying what to convert to, where it is not in `known`."""
    try:
        found = BFLOAT16 if isinstance(dtype, str) and dtype == "bfloat16" else np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):  # what NumPy raises for what is no dtype
        found = None
    names = ", ".join(known)
    if found is None or found.name not in known:
        if found is not None and found.kind in "iu" and "int32" in known:
            raise ShapeError("integers", call=call, got=found, known=names)
        raise ShapeError("dtype", call=call, got=dtype if found is None else found, want="float32", known=names)
    if not found.isnative:
        raise ShapeError("dtype", call=call, got=found.str, want=found.name, known=names)
    return known[found.name]


@dataclass(frozen=True)
class GemmProblem:
    """C = alpha op(A) op(B) + beta C for `batch` matrices, column-major, as rocBLAS is asked.

    op(A) is m x k, op(B) is k x n, C is m x n. A leading dimension is the number of elements from one column to the
    next, a stride the number from one matrix of the batch to the next (0: the same matrix for all). int8 operands
    give an int32 result; all others keep their type and add up in float32.
    """

    m: int
    n: int
    k: int
    transpose_a: bool
    transpose_b: bool
    lda: int
    ldb: int
    ldc: int
    batch: int = 1
    stride_a: int = 0
    stride_b: int = 0
    stride_c: int = 0
    dtype: str = "float32"

    @property
    def result(self) -> str:
        """The dtype of C."""
        return "int32" if self.dtype == "int8" else self.dtype

    @cached_property
    def operations(self) -> int:
        """Multiplications and additions: 2 m n k for each matrix of the batch."""
        return 2 * self.m * self.n * self.k * self.batch

    @cached_property
    def nbytes(self) -> int:
        """Bytes of both operands and the result, each counted once."""
        a = self.m * self.k * (self.batch if self.stride_a else 1)
        b = self.k * self.n * (self.batch if self.stride_b else 1)
        c = self.m * self.n * self.batch
        return (a + b) * DTYPES[self.dtype].itemsize + c * DTYPES[self.result].itemsize

    @cached_property
    def layouts(self) -> tuple[Layout, Layout, Layout]:
        """Layouts of op(A), op(B) and C, transposed: what a row-major reader sees from their first elements on."""

        def layout(rows: int, columns: int, leading: int, stride: int, transposed: bool, dtype: str) -> Layout:
            strides = (1, leading) if transposed else (leading, 1)
            if self.batch == 1:
                return Layout.of((columns, rows), strides, DTYPES[dtype])
            return Layout.of((self.batch, columns, rows), (stride, *strides), DTYPES[dtype])

        return (
            layout(self.m, self.k, self.lda, self.stride_a, self.transpose_a, self.dtype),
            layout(self.k, self.n, self.ldb, self.stride_b, self.transpose_b, self.dtype),
            layout(self.m, self.n, self.ldc, self.stride_c, False, self.result),
        )

    @property
    def call(self) -> str:
        """The rocBLAS function that does this."""
        return "rocblas_gemm_strided_batched_ex" if self.batch > 1 else "rocblas_gemm_ex"

    def __str__(self) -> str:
        batch = f" batch={self.batch}" if self.batch > 1 else ""
        ops = "NT"[self.transpose_a] + "NT"[self.transpose_b]
        return f"{ops} m={self.m} n={self.n} k={self.k}{batch} {self.dtype}"


@dataclass(frozen=True)
class ConvolutionProblem:
    """One convolution (a cross-correlation, as in MIOpen) of x (n, c, h, w) with w (k, c / groups, r, s).

    pad, stride and dilation are (vertical, horizontal), symmetric padding as MIOpen has it; dtype is "float32",
    "float16" or "bfloat16". Raises ShapeError for sizes that do not fit, Unsupported for a direction or layout other
    than "forward" and "NCHW".
    """

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    pad: Pair = (0, 0)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: str = "float32"
    direction: str = "forward"
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        call = "ConvolutionProblem"
        if self.direction != "forward":
            raise Unsupported("direction", got=repr(self.direction))
        if self.layout != "NCHW":
            raise Unsupported("tensor_layout", got=repr(self.layout))
        sizes = {name: getattr(self, name) for name in ("n", "c", "h", "w", "k", "r", "s", "groups")}
        check_sizes(call, **sizes)
        whole: dict[str, Any] = {name: index(size) for name, size in sizes.items()}  # NumPy's integers overflow
        for name in ("pad", "stride", "dilation"):
            whole[name] = check_pair(call, name, getattr(self, name), least=0 if name == "pad" else 1)
        for name, value in whole.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "dtype", check_dtype(call, self.dtype, FLOATS).name)
        if self.c % self.groups or self.k % self.groups:
            raise ShapeError("convolution", x=self.x_shape, w=self.w_shape, c=self.c, groups=self.groups)
        if min(self.out_h, self.out_w) < 1:
            raise ShapeError("window", call=call, window=self.window, x=self.x_shape, pad=self.pad)
        for shape in (self.x_shape, self.w_shape, self.y_shape):
            if np.prod(shape, dtype=object) > LARGEST_INT:
                raise ShapeError("overflow", call=call, got=shape)

    @property
    def window(self) -> Pair:
        """Height and width that the filter spans, dilation included."""
        return (self.r - 1) * self.dilation[0] + 1, (self.s - 1) * self.dilation[1] + 1

    @property
    def out_h(self) -> int:
        """Rows of the output."""
        return (self.h + 2 * self.pad[0] - self.window[0]) // self.stride[0] + 1

    @property
    def out_w(self) -> int:
        """Columns of the output."""
        return (self.w + 2 * self.pad[1] - self.window[1]) // self.stride[1] + 1

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input: N, C, H, W."""
        return self.n, self.c, self.h, self.w

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Shape of the filter: K, C / groups, R, S."""
        return self.k, self.c // self.groups, self.r, self.s

    @cached_property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output: N, K, H', W'."""
        return self.n, self.k, self.out_h, self.out_w

    @cached_property
    def operations(self) -> int:
        """Multiplications and additions of the definition, whichever algorithm does it: 2 N K H' W' (C / groups) R S."""
        return 2 * self.n * self.k * self.out_h * self.out_w * (self.c // self.groups) * self.r * self.s

    @cached_property
    def nbytes(self) -> int:
        """Bytes of input, filter and output, each counted once."""
        elements = sum(int(np.prod(shape)) for shape in (self.x_shape, self.w_shape, self.y_shape))
        return elements * DTYPES[self.dtype].itemsize

    def __str__(self) -> str:
        text = f"{self.c}x{self.h}x{self.w} -> {self.k} by {self.r}x{self.s}"
        for name, plain in (("pad", (0, 0)), ("stride", (1, 1)), ("dilation", (1, 1))):
            pair = getattr(self, name)
            if pair != plain:
                text += f" {name} {pair[0]}" if pair[0] == pair[1] else f" {name} {pair[0]},{pair[1]}"
        if self.groups > 1:
            text += f" groups {self.groups}"
        return f"{text} n={self.n} {self.dtype}"


class ConvolutionCall:
    """A convolution as the timeline shows it: the problem, and the solver that did it."""

    __slots__ = ("problem", "solver")

    def __init__(self, problem: ConvolutionProblem, solver: str) -> None:
        self.problem = problem
        self.solver = solver

    def __str__(self) -> str:
        return f"{self.problem} {self.solver}"


def pooled_shape(shape: tuple[int, ...], window: Pair, pad: Pair, stride: Pair) -> tuple[int, ...]:
    """Output shape of a pooling of (N, C, H, W); ShapeError where the window does not fit."""
    if len(shape) != 4:
        raise ShapeError("shape", call="pool", name="x", want="(N, C, H, W)", got=shape)
    if pad[0] >= window[0] or pad[1] >= window[1]:
        raise ShapeError("number", call="pool", name="pad", want=f"(int, int) < {window}", got=pad)
    out = [(size + 2 * p - k) // s + 1 for size, k, p, s in zip(shape[2:], window, pad, stride, strict=True)]
    if min(out) < 1:
        raise ShapeError("window", call="pool", window=window, x=shape, pad=pad)
    return (*shape[:2], *out)


@dataclass(frozen=True)
class Solution:
    """One way to do a convolution on this device.

    milliseconds is its time by `evidence` ("measured", "recorded" or "estimated"; None where there is no time at
    all), workspace the bytes of device memory that it needs besides input, filter and output.
    """

    solver: str
    algorithm: str
    milliseconds: float | None
    workspace: int
    evidence: str


class Found(Sequence[Solution]):
    """What find knows of a problem: its solutions, fastest first, and why each other solver was dropped."""

    def __init__(self, solutions: Iterable[Solution], dropped: Mapping[str, Text]) -> None:
        self._solutions = tuple(solutions)
        self.dropped = dict(dropped)

    @property
    def best(self) -> Solution:
        """The fastest. Raises Unsupported, with the reason of each solver that was dropped, where none is left."""
        if not self._solutions:
            ja = "".join(f"{solver}: {why.ja}" for solver, why in self.dropped.items())
            en = " ".join(f"{solver}: {why.en}" for solver, why in self.dropped.items())
            raise Unsupported("no_solver", reasons=Text(ja, en))
        return self._solutions[0]

    def without(self, names: Collection[str], workspace_limit: int | None = None) -> Found:
        """The same without some solvers or algorithms, and without those that need more workspace."""
        dropped = dict(self.dropped)
        kept = []
        for solution in self:
            if solution.solver in names or solution.algorithm in names:
                dropped[solution.solver] = _TAKEN_AWAY
            elif workspace_limit is not None and solution.workspace > workspace_limit:
                dropped[solution.solver] = _OVER_LIMIT.format(need=solution.workspace, limit=workspace_limit)
            else:
                kept.append(solution)
        return Found(kept, dropped)

    def __getitem__(self, index: Any) -> Any:
        return self._solutions[index]

    def __len__(self) -> int:
        return len(self._solutions)

    def __repr__(self) -> str:
        lines = [f"{s.solver:<22}{s.algorithm:<14}{_milliseconds(s)}{s.workspace:>14,} B  {s.evidence}" for s in self]
        lines += [f"{solver:<22}- {reason}" for solver, reason in self.dropped.items()]
        return "\n".join(lines)


def _milliseconds(solution: Solution) -> str:
    return f"{'-':>10}   " if solution.milliseconds is None else f"{solution.milliseconds:>10.3f} ms"


_TAKEN_AWAY = Text("without で外しました。", "taken away by `without`.")
_OVER_LIMIT = Text(
    "作業用メモリが {need:,} バイト必要で、上限 {limit:,} バイトを超えます。",
    "needs {need:,} bytes of workspace, over the limit of {limit:,}.",
)
