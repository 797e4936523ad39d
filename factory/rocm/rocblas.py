"""The rocBLAS room, the matrix specialist: GEMM by the real library, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_uint32, c_void_p
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from factory.errors import LibraryError
from factory.problem import GemmProblem
from factory.rocm import libraries
from factory.rocm.hip import Hip

_OPERATION = {False: 111, True: 112}  # rocblas_operation_none, rocblas_operation_transpose
_F16, _F32, _I8, _I32, _BF16 = 150, 151, 160, 162, 168  # rocblas_datatype_*_r
# dtype of a problem: the types of its operands, of its result, and of the sums
_TYPES = {
    "float32": (_F32, _F32, _F32), "float16": (_F16, _F16, _F32), "bfloat16": (_BF16, _BF16, _F32),
    "int8": (_I8, _I32, _I32),
}  # fmt: skip
_NO_ATOMICS = 0  # rocblas_atomics_not_allowed: the same numbers in every run
_STANDARD, _NO_SOLUTION, _NO_FLAGS = 0, 0, 0
_PLANS = 16384  # kept; a prompt of every length has its own

_HEAD = (c_void_p, c_int, c_int, c_int32, c_int32, c_int32, c_void_p)  # handle, operations, m, n, k, alpha
_MATRIX = (c_void_p, c_int, c_int32)  # pointer, type, leading dimension
_STRIDED = (*_MATRIX, c_int64)
_TAIL = (c_int, c_int, c_int32, c_uint32)  # type of the sums, algorithm, solution, flags
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "rocblas_create_handle": (POINTER(c_void_p),),
    "rocblas_destroy_handle": (c_void_p,),
    "rocblas_set_stream": (c_void_p, c_void_p),
    "rocblas_set_atomics_mode": (c_void_p, c_int),
    "rocblas_status_to_string": (c_int,),
    "rocblas_gemm_ex": (*_HEAD, *_MATRIX, *_MATRIX, c_void_p, *_MATRIX, *_MATRIX, *_TAIL),
    "rocblas_gemm_strided_batched_ex": (
        *_HEAD, *_STRIDED, *_STRIDED, c_void_p, *_STRIDED, *_STRIDED, c_int32, *_TAIL,
    ),
}  # fmt: skip


class _Plan(NamedTuple):
    """A product but for its pointers and scalars: function, arguments in order, and the bytes of each matrix."""

    problem: GemmProblem  # kept, so that its id stays its own
    call: str
    function: Callable[..., int]
    head: tuple[int, ...]
    of_a: tuple[int, ...]
    of_b: tuple[int, ...]
    of_c: tuple[int, ...]
    tail: tuple[int, ...]
    whole: bool
    span_a: int
    span_b: int
    span_c: int


class Rocblas:
    """rocBLAS's GEMM, column-major as the library has it.

    The library is loaded by the first product. `refused` holds the types that failed when they were tried on this GPU,
    each with its error.
    """

    def __init__(self, hip: Hip, refused: Mapping[str, LibraryError] | None = None) -> None:
        self._hip = hip
        self.refused = refused or {}
        self._plans: dict[int, _Plan] = {}  # by id, since hashing a problem takes longer than all the rest

    def gemm(self, problem: GemmProblem, a: int, b: int, c: int, alpha: float = 1.0, beta: float = 0.0) -> None:
        """rocblas_gemm_ex, or rocblas_gemm_strided_batched_ex for a batch: C = alpha op(A) op(B) + beta C.

        a, b and c are device pointers to column-major matrices as `problem` says; with beta 0, C is not read.
        float16 and bfloat16 are multiplied and added up in float32, int8 exactly.
        """
        plan = self._plans.get(id(problem)) or self._plan(problem)
        call = plan.call
        locate = self._hip.ledger.locate
        locate(a, plan.span_a, call)
        locate(b, plan.span_b, call)
        locate(c, plan.span_c, call)
        scale, add = _scalar(plan.whole, alpha), _scalar(plan.whole, beta)

        def work() -> None:
            status = plan.function(
                *plan.head, scale, a, *plan.of_a, b, *plan.of_b, add, c, *plan.of_c, c, *plan.of_c, *plan.tail
            )
            if status:
                self._check(call, status)

        self._hip.launch("rocBLAS", call, problem, problem.operations, problem.nbytes, work)

    def _plan(self, p: GemmProblem) -> _Plan:
        """What does not change from one product of a problem to the next."""
        if p.dtype in self.refused:
            error = self.refused[p.dtype]
            raise LibraryError(error.key, **error.fields)
        operand, result, sums = _TYPES[p.dtype]
        of_a: tuple[int, ...] = (operand, p.lda)
        of_b: tuple[int, ...] = (operand, p.ldb)
        of_c: tuple[int, ...] = (result, p.ldc)
        tail: tuple[int, ...] = (sums, _STANDARD, _NO_SOLUTION, _NO_FLAGS)
        function = self._library.rocblas_gemm_ex
        if p.batch > 1:
            function = self._library.rocblas_gemm_strided_batched_ex
            of_a, of_b, of_c = (*of_a, p.stride_a), (*of_b, p.stride_b), (*of_c, p.stride_c)
            tail = (p.batch, *tail)
        head = (self._handle, _OPERATION[p.transpose_a], _OPERATION[p.transpose_b], p.m, p.n, p.k)
        spans = (layout.span for layout in p.layouts)
        plan = _Plan(p, p.call, function, head, of_a, of_b, of_c, tail, p.dtype == "int8", *spans)
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[id(p)] = plan
        return plan

    @cached_property
    def _library(self) -> SimpleNamespace:
        library = libraries.load("rocblas", _FUNCTIONS)
        library.rocblas_status_to_string.restype = c_char_p
        return library

    @cached_property
    def _handle(self) -> int:
        """A handle bound to the device's stream."""
        self._hip.enter()
        handle = c_void_p()
        self._check("rocblas_create_handle", self._library.rocblas_create_handle(ctypes.byref(handle)))
        self._hip.closing.callback(self._call, "rocblas_destroy_handle", handle.value)
        self._call("rocblas_set_stream", handle.value, int(self._hip.stream))
        self._call("rocblas_set_atomics_mode", handle.value, _NO_ATOMICS)
        assert handle.value
        return handle.value

    def _call(self, name: str, *arguments: Any) -> None:
        function: Callable[..., int] = getattr(self._library, name)
        self._check(name, function(*arguments))

    def _check(self, call: str, status: int) -> None:
        libraries.check(call, status, self._words, self._hip.api.gpu)

    def _words(self, status: int) -> str:
        return str(self._library.rocblas_status_to_string(status).decode())


@lru_cache(maxsize=256)
def _scalar(whole: bool, value: float) -> Any:
    """A pointer to a number in the host's memory, of the type of the sums."""
    return ctypes.byref(c_int32(int(value)) if whole else c_float(value))
