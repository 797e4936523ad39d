"""Every argument of every call of rocBLAS, as it arrived there."""

from __future__ import annotations

import ml_dtypes  # noqa: F401, gives NumPy the name bfloat16
import numpy as np
import pytest
from models import SHAPES, random_llama

from factory.models import LanguageModel

TYPES = {
    "float32": ("f32_r", "f32_r", "f32_r"), "float16": ("f16_r", "f16_r", "f32_r"),
    "bfloat16": ("bf16_r", "bf16_r", "f32_r"), "int8": ("i8_r", "i_r32", "i_r32"),
}  # fmt: skip
M, N, K, BATCH = 5, 7, 11, 3


def asked(given):
    return ",".join(given.values())


@pytest.mark.parametrize("transposed", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("dtype", TYPES)
def test_one_product(device, logged, dtype, transposed, prove):
    flip_a, flip_b = (letter == "T" for letter in transposed)
    operand, result, sums = TYPES[dtype]
    a = device.empty((K, M + 2) if flip_a else (M, K + 2), dtype)[:, : M if flip_a else K]
    b = device.empty((N, K + 3) if flip_b else (K, N + 3), dtype)[:, : K if flip_b else N]
    c = device.empty((M, N + 4), "int32" if dtype == "int8" else dtype)[:, :N]
    device.gemm(a, b, flip_a, flip_b, alpha=2.0, beta=3.0, out=c)
    (call,) = logged("rocblas_gemm_ex")
    # Row by row, C = op(A) op(B) is what its transpose, op(B)' op(A)', is column by column.
    assert asked(call.given) == (
        f"{transposed[1]},{transposed[0]},{N},{M},{K},2,{b.pointer:#x},{operand},{(K if flip_b else N) + 3},"
        f"{a.pointer:#x},{operand},{(M if flip_a else K) + 2},3,{c.pointer:#x},{result},{N + 4},{c.pointer:#x},{result},"
        f"{N + 4},{sums},0,0,none,atomics_not_allowed"
    )
    prove("arguments of rocBLAS", len(call.given))


@pytest.mark.parametrize("shared", ["neither", "a", "b"])
@pytest.mark.parametrize("transposed", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_batch(device, logged, dtype, transposed, shared, prove):
    flip_a, flip_b = (letter == "T" for letter in transposed)
    operand, result, sums = TYPES[dtype]
    a = device.empty((K, M) if flip_a else (M, K), dtype) if shared == "a" else device.empty(
        (BATCH, K, M) if flip_a else (BATCH, M, K), dtype)  # fmt: skip
    b = device.empty((N, K) if flip_b else (K, N), dtype) if shared == "b" else device.empty(
        (BATCH, N, K) if flip_b else (BATCH, K, N), dtype)  # fmt: skip
    c = device.empty((BATCH, M + 1, N), "int32" if dtype == "int8" else dtype)[:, :M]
    device.gemm(a, b, flip_a, flip_b, out=c)
    (call,) = logged("rocblas_gemm_strided_batched_ex")
    of_b = f"{b.pointer:#x},{operand},{K if flip_b else N},{0 if shared == 'b' else K * N}"
    of_a = f"{a.pointer:#x},{operand},{M if flip_a else K},{0 if shared == 'a' else M * K}"
    of_c = f"{c.pointer:#x},{result},{N},{(M + 1) * N}"
    assert asked(call.given) == (
        f"{transposed[1]},{transposed[0]},{N},{M},{K},1,{of_b},{of_a},0,{of_c},{of_c},{BATCH},{sums},0,0,none,"
        "atomics_not_allowed"
    )
    prove("arguments of rocBLAS", len(call.given))


def test_a_handle_works_in_the_devices_stream_and_without_atomics(opening, logged, prove):
    with opening() as device:
        a, stream = device.empty((2, 2)), int(device.hip.stream)
        device.gemm(a, a)
    calls = logged()
    assert [call.function for call in calls] == [
        "rocblas_create_handle", "rocblas_set_stream", "rocblas_set_atomics_mode", "rocblas_gemm_ex",
        "rocblas_destroy_handle",
    ]  # fmt: skip
    assert calls[1].given["0"] == f"{stream:#x}" and calls[2].given["0"] == "atomics_not_allowed"
    prove("arguments of rocBLAS", 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_model_asks_for_is_what_the_timeline_shows(device, logged, shape, prove):
    model = LanguageModel(device, random_llama(shape))
    device.timeline.clear()
    model.logits(np.array([1, 2, 3, 4, 5]))
    calls = logged("rocblas_gemm_ex", "rocblas_gemm_strided_batched_ex")
    shown = [command for command in device.timeline if command.station == "rocBLAS"]
    assert len(calls) == len(shown) > 0
    for call, command in zip(calls, shown, strict=True):
        p, given = command.problem, [*call.given.values()]
        assert call.function == p.call
        assert given[:5] == ["NT"[p.transpose_a], "NT"[p.transpose_b], str(p.m), str(p.n), str(p.k)]
        ends = [str(number) for number in (p.lda, p.ldb, p.ldc)]
        if p.batch > 1:
            assert [given[8], given[12], given[17]] == ends and given[23] == str(p.batch)
            assert [int(given[place]) for place in (9, 13, 18)] == [p.stride_a, p.stride_b, p.stride_c]
        else:
            assert [given[8], given[11], given[15]] == ends
        prove("arguments of rocBLAS", len(given))
