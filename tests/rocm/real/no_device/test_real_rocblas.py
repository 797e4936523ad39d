"""The real rocBLAS on a machine without a GPU, through the wing."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from factory.errors import LibraryError
from factory.problem import GemmProblem
from factory.rocm.rocblas import Rocblas

WORDS = (
    "success", "invalid_handle", "not_implemented", "invalid_pointer", "invalid_size", "memory_error", "internal_error",
    "perf_degraded", "size_query_mismatch", "size_increased", "size_unchanged", "invalid_value", "continue",
    "check_numerics_fail", "excluded_from_build", "arch_mismatch",
)  # fmt: skip


@pytest.fixture
def rocblas():
    """The room on a device that is not there."""
    with ExitStack() as closing:
        ledger = SimpleNamespace(locate=lambda *_: None)
        hip = SimpleNamespace(api=SimpleNamespace(gpu="no GPU"), closing=closing, stream=0, ledger=ledger, enter=int)
        yield Rocblas(hip)


def test_every_function_of_the_wing_is_there_and_every_status_has_its_word(rocblas, prove):
    said = [rocblas._words(status).removeprefix("rocblas_status_") for status in range(len(WORDS))]
    assert tuple(said) == WORDS
    prove("status texts", len(WORDS))


def test_a_handle_is_refused_cleanly(rocblas):
    with pytest.raises(LibraryError) as error:
        rocblas.gemm(GemmProblem(1, 1, 1, False, False, 1, 1, 1), 0, 0, 0)
    assert error.value.fields == {
        "call": "rocblas_create_handle", "code": 6, "meaning": "rocblas_status_internal_error", "gpu": "no GPU"
    }  # fmt: skip


@pytest.mark.parametrize("call", ["rocblas_gemm_ex", "rocblas_gemm_strided_batched_ex", "rocblas_set_stream",
                                  "rocblas_set_atomics_mode", "rocblas_destroy_handle"])  # fmt: skip
def test_no_handle_is_an_invalid_handle(rocblas, call):
    function = getattr(rocblas._library, call)
    nothing = [0 if kind in (ctypes.c_int, ctypes.c_int32, ctypes.c_int64, ctypes.c_uint32) else None
               for kind in function.argtypes]  # fmt: skip
    with pytest.raises(LibraryError, match=f"{call} returned error 1 .rocblas_status_invalid_handle."):
        rocblas._call(call, *nothing)
