"""What may bring a whole process down is tried in another one first: compiling our kernels for the GPU, and rocBLAS on
each type. (A library without kernels for a GPU may end the process instead of returning a status.)

What all went well is remembered, for these very libraries, so that a device opens at once the next time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from factory.child import Child, say
from factory.errors import LibraryError
from factory.layout import Layout, Place
from factory.problem import DTYPES, GemmProblem
from factory.rocm import compiler, libraries
from factory.rocm.hip import Hip
from factory.rocm.kernels import Kernels
from factory.rocm.rocblas import Rocblas

KERNELS = "kernels"
STEPS = (KERNELS, "float32", "float16", "bfloat16", "int8")
_CALLS = {KERNELS: "hiprtcCompileProgram"}
_SIZE = 16
_SECONDS = 600  # for one step; a GPU's first kernels may be compiled in it


def refused(hip: Hip) -> dict[str, LibraryError]:
    """The types that rocBLAS does not do on this GPU, each with the error that it gave.

    Raises the error where our kernels do not run, or rocBLAS does no float32.
    """
    folder = libraries.cache_folder("trials")
    file = folder and folder / _key(hip)
    if file and file.exists():
        return {}
    failed = _try(hip)
    for step in (KERNELS, "float32"):
        if step in failed:
            raise failed[step]
    if file and not failed:
        file.touch()
    return failed


def _key(hip: Hip) -> str:
    """What a result holds for: this GPU, these libraries, these kernels."""
    facts: list[Any] = [hip.arch, hip.properties.name, hip.api.hipRuntimeGetVersion(), compiler.SOURCE.read_bytes()]
    facts.append(os.environ.get("ROCBLAS_TENSILE_LIBPATH"))
    for short in ("amdhip64", "hiprtc", "rocblas"):
        path = libraries.where(short)
        facts.append(path)
        if os.path.exists(path):
            facts += [os.path.getsize(path), os.path.getmtime(path)]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _try(hip: Hip) -> dict[str, LibraryError]:
    """Errors by step; after a step that brings its process down, another goes on with the next."""
    left, failed = list(STEPS), {}
    while left:
        process = Child(f"from factory.rocm import trial; trial.run({hip.index}, {left!r})", _SECONDS)
        for step, error in process:
            left.remove(step)
            if error:
                failed[step] = LibraryError(error[0], **error[1])
        if process.death is None or not left:
            break
        died = left.pop(0)
        call = _CALLS.get(died, f"rocblas_gemm_ex({died})")
        failed[died] = LibraryError("died", call=call, code=None, meaning=process.death, gpu=hip.api.gpu)
        if died == KERNELS:
            break
    return failed


def run(index: int, steps: Sequence[str]) -> None:
    """The other process: try each step, and say at once how it went."""
    hip = Hip(index)
    for step in steps:
        try:
            attempt(hip, step)
            error = None
        except LibraryError as caught:
            error = caught.key, caught.fields
        say((step, error))


def attempt(hip: Hip, step: str) -> None:
    """Try one step in this process. Raises LibraryError where it fails, if the process lives."""
    _try_kernels(hip, Kernels(hip)) if step == KERNELS else _try_gemm(hip, Rocblas(hip), step)


def _try_kernels(hip: Hip, kernels: Kernels) -> None:
    """Turn a small matrix over."""
    source = np.arange(_SIZE * _SIZE, dtype=np.float32).reshape(_SIZE, _SIZE)
    packed = Layout.of_packed(source.shape, source.dtype)
    x, y = (Place(hip.malloc(source.nbytes), packed) for _ in range(2))
    hip.memcpy(x.pointer, source, source.nbytes)
    kernels.copy(Place(x.pointer, Layout.of(packed.shape, packed.strides[::-1], packed.dtype)), y)
    compare("hipModuleLaunchKernel", hip, read(hip, y), source.T)


def _try_gemm(hip: Hip, rocblas: Rocblas, dtype: str) -> None:
    """Multiply two matrices of ones, and a batch of two."""
    problem = GemmProblem(_SIZE, _SIZE, _SIZE, False, True, _SIZE, _SIZE, _SIZE, dtype=dtype)
    each = _SIZE * _SIZE
    batch = GemmProblem(
        _SIZE, _SIZE, _SIZE, False, True, _SIZE, _SIZE, _SIZE, batch=2, stride_a=each, stride_c=each, dtype=dtype
    )
    ones = np.ones((2, _SIZE, _SIZE), DTYPES[dtype])
    result = Layout.of_packed(ones.shape, DTYPES[problem.result])
    x, y = hip.malloc(ones.nbytes), Place(hip.malloc(result.nbytes), result)
    hip.memcpy(x, ones, ones.nbytes)
    one = Layout.of_packed(ones.shape[1:], DTYPES[problem.result])
    for call, asked, layout in (("rocblas_gemm_ex", problem, one), ("rocblas_gemm_strided_batched_ex", batch, result)):
        hip.memset(y.pointer, 0, result.nbytes)
        rocblas.gemm(asked, x, x, y.pointer)
        compare(f"{call}({dtype})", hip, read(hip, Place(y.pointer, layout)), np.full(layout.shape, _SIZE))


def read(hip: Hip, place: Place) -> np.ndarray:
    """A packed tensor of the GPU's memory."""
    host = np.empty(place.layout.shape, place.layout.dtype)
    hip.memcpy(host, place.pointer, host.nbytes)
    return host


def compare(call: str, hip: Hip, got: np.ndarray, want: np.ndarray) -> None:
    """Raise LibraryError, with the first number that differs, where a call gave anything but what is wanted."""
    wrong = got != want.astype(got.dtype)
    if wrong.any():
        raise LibraryError("wrong", call=call, gpu=hip.api.gpu, want=float(want[wrong][0]), got=float(got[wrong][0]))
