"""What `doctor` tries on HIP, hiprtc, rocBLAS and MIOpen, in a process that they may bring down.

Each probe gives facts as (name, value), the first ones before anything can go wrong. What is computed is small whole
numbers, so that the right answer is exact.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_char_p, c_size_t
from pathlib import Path
from typing import Any

import numpy as np

from factory.child import say
from factory.errors import LibraryError
from factory.gpus import GPUS
from factory.layout import Layout, Place
from factory.problem import ConvolutionProblem
from factory.rocm import compiler, libraries, trial
from factory.rocm.hip import Hip, count, described, order
from factory.rocm.kernels import Kernels
from factory.rocm.miopen import Miopen

Facts = Iterator[tuple[str, Any]]
TYPES = ("float32", "float16", "bfloat16", "int8")
STEPS = ("HIP", "hiprtc", "rocBLAS", *(f"rocBLAS {dtype}" for dtype in TYPES), "MIOpen")
_SHORT = {"HIP": "amdhip64", "hiprtc": "hiprtc", "rocBLAS": "rocblas", "MIOpen": "MIOpen"}


def run(steps: Sequence[str], nth: int) -> None:
    """Probe one after the other, on the GPU that comes nth when GPUs are tried, and say (step, fact, value) for all
    that is found; with "trying" it starts."""
    for step in steps:
        say((step, "trying", True))
        library, _, dtype = step.partition(" ")
        try:
            if not dtype:
                say((step, "path", libraries.where(_SHORT[library])))
            for name, value in _multiply(nth, dtype) if dtype else _PROBES[library](nth):
                say((step, name, value))
        except LibraryError as error:
            say((step, "error", (error.key, error.fields)))
        except Exception as error:  # a fault of ours or of hip-python is a fact, too
            say((step, "fault", f"{type(error).__name__}: {error}"))


def _hip(nth: int) -> Facts:
    number = count()
    yield "path", _file("amdhip64")
    hip, _ = libraries.bindings()
    api = libraries.Checked(hip, "hipError_t", "hipGetErrorString", "-")
    version = api.hipRuntimeGetVersion()
    yield "version", f"{version // 10_000_000}.{version // 100_000 % 100}.{version % 100_000}"
    gpus = [api.hipGetDeviceProperties(i) for i in range(number)]
    yield "gpus", [described(gpu) for gpu in gpus]
    if number:
        index = order()[nth]
        yield "index", index
        opened = Hip(index)
        source, back = np.arange(1000, dtype=np.int32), np.zeros(1000, np.int32)
        pointer = opened.malloc(source.nbytes)
        opened.memcpy(pointer, source, source.nbytes)
        opened.memcpy(back, pointer, source.nbytes)
        trial.compare("hipMemcpy", opened, back, source)
        opened.free(pointer)
        opened.close()
        yield "ran", "memory"


def _hiprtc(nth: int) -> Facts:
    _, module = libraries.bindings()
    checked = libraries.Checked(module, "hiprtcResult", "hiprtcGetErrorString", "-")
    yield "version", ".".join(map(str, checked.hiprtcVersion()))
    yield "path", _file("hiprtc")
    hip = _open(nth) if count() else None
    arch = hip.arch if hip else next(iter(GPUS))
    compiler.code_object(arch, arch)
    yield "compiled", arch
    if hip:
        trial.attempt(hip, trial.KERNELS)
        yield "ran", "kernels"


def _rocblas(nth: int) -> Facts:
    text, size = ctypes.create_string_buffer(256), c_size_t()
    library = libraries.load(
        "rocblas",
        {
            "rocblas_get_version_string_size": (POINTER(c_size_t),),
            "rocblas_get_version_string": (c_char_p, c_size_t),
        },
    )
    path = _file("rocblas")
    yield "path", path
    library.rocblas_get_version_string_size(ctypes.byref(size))
    library.rocblas_get_version_string(text, len(text))
    yield "version", text.value.decode(errors="replace").rstrip(".")
    if count():
        named = os.environ.get("ROCBLAS_TENSILE_LIBPATH")
        folders = [Path(named)] if named else [*Path(path).parent.glob("rocblas/**/library")]
        arch = _open(nth).arch
        of_gpu = re.compile(rf"{arch}(?![0-9a-f])")
        files = [file.name for folder in folders for file in folder.glob("*") if of_gpu.search(file.name)]
        # A fallback is made for every GPU alike; what has the type in its name and is none was tuned for this one.
        tuned = [name for name in files if "_Type_" in name and "fallback" not in name]
        yield "kernels", len(files)
        yield "tuned", len(tuned)


def _multiply(nth: int, dtype: str) -> Facts:
    if count():
        trial.attempt(_open(nth), dtype)
        yield "ran", dtype


def _miopen(nth: int) -> Facts:
    numbers = [c_size_t() for _ in range(3)]
    library = libraries.load("MIOpen", {"miopenGetVersion": (POINTER(c_size_t),) * 3})
    path = _file("MIOpen")
    yield "path", path
    library.miopenGetVersion(*map(ctypes.byref, numbers))
    yield "version", ".".join(str(number.value) for number in numbers)
    if not count():
        return
    hip = _open(nth)
    yield "records", _records(path, hip.arch, hip.properties.multiProcessorCount)
    miopen = Miopen(hip, Kernels(hip))
    x, y = _ones(hip, (1, 1, 4, 4)), _ones(hip, (1, 1, 4, 4))
    miopen.activation_forward("logistic", 0.0, 0.0, 0.0, x, y)
    miopen.activation_forward("relu", 0.0, 0.0, 0.0, x, y)
    trial.compare("miopenActivationForward", hip, trial.read(hip, y), np.ones(y.layout.shape, np.float32))
    yield "ran", "activation"
    problem = ConvolutionProblem(1, 4, 8, 8, 4, 3, 3, (1, 1))
    found = miopen.find(problem)
    yield "solvers", [solution.solver for solution in found]
    best = found.best
    x, w, y = (_ones(hip, shape) for shape in (problem.x_shape, problem.w_shape, problem.y_shape))
    workspace = hip.malloc(best.workspace) if best.workspace else 0
    miopen.convolution_forward(problem, best.solver, x.pointer, w.pointer, y.pointer, workspace, best.workspace)
    seen = np.convolve(np.ones(8), np.ones(3), "same")  # cells of the window that lie in the picture
    want = np.broadcast_to(4 * np.outer(seen, seen), y.layout.shape)
    got = trial.read(hip, y)
    trial.compare("miopenConvolutionForwardImmediate", hip, got.round(3), want)  # Winograd's sums are not exact
    yield "ran", "convolution"


_PROBES: dict[str, Callable[[int], Facts]] = {"HIP": _hip, "hiprtc": _hiprtc, "rocBLAS": _rocblas, "MIOpen": _miopen}


def _open(nth: int) -> Hip:
    return Hip(order()[nth])


def _ones(hip: Hip, shape: tuple[int, ...]) -> Place:
    host = np.ones(shape, np.float32)
    made = Place(hip.malloc(host.nbytes), Layout.of_packed(shape, host.dtype))
    hip.memcpy(made.pointer, host, host.nbytes)
    return made


def _file(short: str) -> str:
    """The file of a library that is loaded; what it would be looked for as, where the system does not tell."""
    return next(iter(libraries.loaded(short)), libraries.where(short))


def _records(path: str, arch: str, units: int) -> list[str]:
    """Files of an installed MIOpen that were made for this GPU: find-db, tuned parameters, compiled kernels."""
    named = os.environ.get("MIOPEN_SYSTEM_DB_PATH")
    folder = Path(named) if named else Path(path).resolve().parent.parent / "share" / "miopen" / "db"
    starts = (f"{arch}.", f"{arch}_{units}.", f"{arch}{units:x}.")  # of any size, or of this number of compute units
    return sorted(file.name for file in folder.glob("*") if file.name.startswith(starts))
