"""The simulator's rocBLAS room, the matrix specialist: GEMM by NumPy's BLAS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from factory.errors import LibraryError
from factory.problem import GemmProblem
from factory.simulator.hip import Hip

_EXACT_IN_FLOAT32 = 2**24 // (128 * 128)  # so many products of two int8 add up in float32 without rounding


class Rocblas:
    """rocBLAS's GEMM, column-major as the library has it."""

    def __init__(self, hip: Hip) -> None:
        self._hip = hip
        self.refused: Mapping[str, LibraryError] = {}  # types that the device lacks: a processor has all

    def gemm(self, problem: GemmProblem, a: int, b: int, c: int, alpha: float = 1.0, beta: float = 0.0) -> None:
        """rocblas_gemm_ex, or rocblas_gemm_strided_batched_ex for a batch: C = alpha op(A) op(B) + beta C.

        a, b and c are device pointers to column-major matrices as `problem` says; with beta 0, C is not read.
        float16 and bfloat16 are multiplied and added up in float32, int8 exactly.
        """
        layout_a, layout_b, layout_c = problem.layouts
        view = self._hip.view
        call = problem.call
        # A column-major matrix is the transpose of the same memory read row by row, so the product of the
        # transposes in the other order writes C where it belongs, and BLAS takes every operand as it is.
        left = view(b, layout_b, call)
        right = view(a, layout_a, call)
        out = view(c, layout_c, call, write=True)

        def work() -> None:
            if alpha == 1 and beta == 0 and problem.dtype == "float32":
                np.matmul(left, right, out=out)
            else:
                _scaled(left, right, out, alpha, beta)

        self._hip.launch("rocBLAS", call, problem, problem.operations, problem.nbytes, work)


@np.errstate(all="ignore")  # a GPU tells nobody of an overflow either
def _scaled(left: np.ndarray, right: np.ndarray, out: np.ndarray, alpha: float, beta: float) -> None:
    """out = alpha left @ right + beta out, computed in float32 (int8: exactly)."""
    if left.dtype == np.int8:
        exact = np.float32 if left.shape[-1] <= _EXACT_IN_FLOAT32 else np.float64
        product = np.rint(left.astype(exact) @ right.astype(exact)).astype(np.int32)
        product *= np.int32(alpha)
        out[...] = product if beta == 0 else product + out * np.int32(beta)
        return
    product = np.matmul(left, right, dtype=np.float32)
    if alpha != 1:
        product *= np.float32(alpha)
    if beta == 1:
        np.add(product, out, out=out, casting="same_kind")
    elif beta != 0:
        product += np.multiply(out, np.float32(beta), dtype=np.float32)
        out[...] = product
    else:
        out[...] = product
