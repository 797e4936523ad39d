"""What the wing knows of rocBLAS and MIOpen by number (types of arguments, layouts, enums) is what ROCm's headers say."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from ctypes import c_bool, c_double, c_float, c_int, c_int64, c_size_t, c_uint32, c_uint64

import pytest
import real_rocm

from factory.rocm import convolutions, hip, miopen, miopen_library, rocblas

# How a compiler is asked for the kind of an argument, for each type that the wing has; all others are pointers.
KINDS = {
    c_int: "whole<4>", c_int64: "whole<8>", c_uint32: "whole<4>", c_uint64: "whole<8>", c_size_t: "whole<8>",
    c_bool: "same<bool>", c_float: "same<float>", c_double: "same<double>",
}  # fmt: skip
CHECKS = """
#include <hip/hip_runtime_api.h>
#include <miopen/miopen.h>
#include <rocblas/rocblas.h>
#include <cstddef>
#include <tuple>
#include <type_traits>
template <int bytes> struct whole {
  template <class T> static constexpr bool is = (std::is_integral_v<T> || std::is_enum_v<T>) && sizeof(T) == bytes;
};
template <class U> struct same { template <class T> static constexpr bool is = std::is_same_v<T, U>; };
struct pointer { template <class T> static constexpr bool is = std::is_pointer_v<T>; };
template <class... Kinds> struct arguments {
  template <class R, class... A> static constexpr bool of(R (*)(A...)) {
    if constexpr (sizeof...(A) == sizeof...(Kinds)) return sizeof(R) >= 4 && (Kinds::template is<A> && ...);
    else return false;
  }
};
"""
LAYOUTS = {
    "miopenConvAlgoPerf_t": (
        miopen_library.AlgorithmTime, {"algorithm": "fwd_algo", "time": "time", "memory": "memory"},
    ),
    "miopenConvSolution_t": (
        miopen_library.SolutionTime,
        {"time": "time", "workspace": "workspace_size", "solver": "solution_id", "algorithm": "algorithm"},
    ),
}  # fmt: skip
ENUMS = {
    "hipStreamNonBlocking": hip._NON_BLOCKING, "hipErrorNoDevice": hip._NO_DEVICE,
    "rocblas_operation_none": rocblas._OPERATION[False], "rocblas_operation_transpose": rocblas._OPERATION[True],
    "rocblas_datatype_f16_r": rocblas._F16, "rocblas_datatype_f32_r": rocblas._F32,
    "rocblas_datatype_i8_r": rocblas._I8, "rocblas_datatype_i32_r": rocblas._I32,
    "rocblas_datatype_bf16_r": rocblas._BF16, "rocblas_atomics_not_allowed": rocblas._NO_ATOMICS,
    "rocblas_gemm_algo_standard": rocblas._STANDARD, "rocblas_gemm_flags_none": rocblas._NO_FLAGS,
    "miopenHalf": miopen_library._DTYPES["float16"], "miopenFloat": miopen_library._DTYPES["float32"],
    "miopenBFloat16": miopen_library._DTYPES["bfloat16"], "miopenConvolution": miopen_library._CONVOLUTION,
    "miopenIndexUint32": miopen_library._INDEX_UINT32,
    **{f"miopenActivation{name.upper()}": number for name, number in miopen._MODES.items()},
    "miopenPoolingMax": miopen._POOLINGS["max"], "miopenPoolingAverage": miopen._POOLINGS["average"],
    "miopenPoolingAverageInclusive": miopen._POOLINGS["average_inclusive"],
    "miopenTensorOpAdd": miopen._OPERATIONS["add"], "miopenTensorOpMul": miopen._OPERATIONS["multiply"],
    "MIOPEN_SOFTMAX_ACCURATE": miopen._ACCURATE, "MIOPEN_SOFTMAX_MODE_CHANNEL": miopen._CHANNEL,
    "miopenBNSpatial": miopen._SPATIAL,
    **{f"miopenConvolutionFwdAlgo{name}": number for number, name in convolutions._ALGORITHMS.items()},
}  # fmt: skip


def of_functions():
    for name, types in {**rocblas._FUNCTIONS, **miopen_library._FUNCTIONS}.items():
        kinds = ", ".join(KINDS.get(kind, "pointer") for kind in types)
        yield f"static_assert(arguments<{kinds}>::of(&{name}));"


def of_layouts():
    for name, (structure, fields) in LAYOUTS.items():
        yield f"static_assert(sizeof({name}) == {ctypes.sizeof(structure)});"
        for ours, theirs in fields.items():
            field = getattr(structure, ours)
            yield f"static_assert(offsetof({name}, {theirs}) == {field.offset});"
            yield f"static_assert(sizeof({name}::{theirs}) == {field.size});"


def of_enums():
    for name, number in ENUMS.items():
        yield f"static_assert(int({name}) == {number});"


def complaints(lines):
    """What g++ says of some checks."""
    ended = subprocess.run(
        ["g++", "-std=c++17", "-w", "-fsyntax-only", "-D__HIP_PLATFORM_AMD__", f"-I{real_rocm.headers()}", "-xc++", "-"],
        input=CHECKS + "\n".join(lines), capture_output=True, text=True,
    )  # fmt: skip
    return [line for line in ended.stderr.splitlines() if "error" in line]


@pytest.fixture(scope="module", autouse=True)
def with_headers():
    if not (real_rocm.headers() and shutil.which("g++")):
        pytest.skip(real_rocm.MISSING)


@pytest.mark.parametrize("checks", [of_functions, of_layouts, of_enums])
def test_the_headers_say_the_same(checks):
    lines = [*checks()]
    assert lines and complaints(lines) == []


def test_a_wrong_type_would_show():
    name, types = next(iter(miopen_library._FUNCTIONS.items()))
    wrong = [
        f"static_assert(arguments<{kinds}>::of(&{name}));" for kinds in ("pointer", "whole<8>", "", "whole<4>, pointer")
    ]
    assert types == (c_int,) and len(complaints(wrong)) == len(wrong)
