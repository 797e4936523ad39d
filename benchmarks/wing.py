"""What a call of the rocm wing adds to the bare call of the library, over the double of the libraries (no GPU), in CPU
time: with the timeline off, and with it on, where the bare call too stands between two events whose time is read."""

from __future__ import annotations

import ctypes
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time

import numpy as np

import factory
from benchmarks.race import Row, best, race
from factory.problem import GemmProblem

COUNT = 2000
AIM = "<= 5"


def rows() -> Iterator[Row]:
    """A product, one of our kernels, a softmax and a memset, each of a few numbers."""
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "rocm"))
    import double

    if double.compiler() is None:
        print("!!! no g++ here, so the rocm wing is not measured", file=sys.stderr)
        return
    loaded = double.Double(double.build(double.headers()))
    with tempfile.TemporaryDirectory() as cache, loaded.present(Path(cache)), factory.open("rocm") as device:
        pairs = _pairs(device)
        for device.timeline.enabled in (False, True):
            for what, (wing, bare) in pairs.items():
                calls = {"wing": wing, "bare": _timed(bare, device.hip.stream) if device.timeline.enabled else bare}
                seconds = race({who: _repeated(call) for who, call in calls.items()}, rounds=25, clock=thread_time)
                added = (min(seconds["wing"]) - min(seconds["bare"])) / COUNT * 1e6
                name = f"{what} adds to the bare call" + ", both timed" * device.timeline.enabled
                yield Row(name, added, "us", AIM, best(seconds) + f" for {COUNT}")


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    return lambda: [call() for _ in range(COUNT)]


def _timed(call: Callable[[], object], stream: object) -> Callable[[], object]:
    """A call between two events, and the reading of its time."""
    from hip import hip

    start, stop = hip.hipEventCreate()[1], hip.hipEventCreate()[1]

    def timed() -> None:
        hip.hipEventRecord(start, stream)
        call()
        hip.hipEventRecord(stop, stream)
        hip.hipEventQuery(stop)
        hip.hipEventElapsedTime(start, stop)

    return timed


def _pairs(device: factory.Device) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """By name: the wing's call, and the same one straight to hip-python or ctypes, its arguments made beforehand."""
    from hip import hip

    x, y = device.array(np.ones((2, 2), np.float32)), device.empty((2, 2))
    rocblas, miopen, kernels, stream = device.rocblas, device.miopen, device.kernels, device.hip.stream
    problem = GemmProblem(2, 2, 2, False, False, 2, 2, 2)
    for once in (device.gemm(x, x), device.softmax(x), device.copy(x)):
        once.free()
    one, zero = ctypes.byref(ctypes.c_float(1)), ctypes.byref(ctypes.c_float(0))
    a, b = x.pointer, y.pointer
    plan = rocblas._plan(problem)
    product = (*plan.head, one, a, *plan.of_a, a, *plan.of_b, zero, b, *plan.of_c, b, *plan.of_c, *plan.tail)
    library = miopen._library
    softmax, handle, tensor = (
        library.functions.miopenSoftmaxForward_V2,
        library.handle,
        library.tensor((2, 2, 1, 1), "float32"),
    )
    copy = kernels._functions["copy_32"]
    return {
        "rocblas.gemm": (
            lambda: rocblas.gemm(problem, a, a, b),
            lambda: plan.function(*product),
        ),
        "miopen.softmax_forward": (
            lambda: miopen.softmax_forward(x, y), lambda: softmax(handle, one, tensor, a, zero, tensor, b, 1, 0),
        ),
        "kernels.copy": (
            lambda: kernels.copy(x, y),
            lambda: hip.hipModuleLaunchKernel(copy, 1, 1, 1, 256, 1, 1, 0, stream, None, kernels._extra),
        ),
        "hip.memset": (lambda: device.hip.memset(b, 0, 16), lambda: hip.hipMemsetAsync(b, 0, 16, stream)),
    }  # fmt: skip
