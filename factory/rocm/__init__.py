"""The wing of real GPUs: the same four rooms as the simulator, on HIP, rocBLAS and MIOpen."""

from __future__ import annotations

from dataclasses import replace

from factory.errors import FactoryError, LibraryError, Unsupported
from factory.gpus import Gpu, find
from factory.rocm import trial
from factory.rocm.hip import Hip, order
from factory.rocm.kernels import Kernels
from factory.rocm.miopen import Miopen
from factory.rocm.rocblas import Rocblas

_DRIVER = "hipGetDeviceProperties"


class Rocm:
    """One AMD GPU, counted from 0 as HIP does; `gpu` is what its driver says, and what is known of its kind.

    Raises LibraryError where there is no such GPU, or where HIP, hiprtc or rocBLAS do not work on it.
    """

    name = "rocm"

    def __init__(self, index: int = 0) -> None:
        self.hip = Hip(index)
        try:
            self.gpu = _described(self.hip)
            self.rocblas = Rocblas(self.hip, trial.refused(self.hip))
            self.kernels = Kernels(self.hip)
            self.miopen = Miopen(self.hip, self.kernels)
        except BaseException:
            self.hip.close()
            raise


def first(index: int = 0) -> Rocm | None:
    """The first AMD GPU that works, of those from number `index` on, cards before a processor's own graphics; None
    where there is none. Raises the first one's error where none works."""
    try:
        numbers = order(index)
    except LibraryError as error:
        if error.key in ("absent", "bindings"):  # no ROCm here
            return None
        raise
    failure: FactoryError | None = None
    for each in numbers:
        try:
            return Rocm(each)
        except FactoryError as error:
            failure = failure or error
    if failure:
        raise failure
    return None


def _described(hip: Hip) -> Gpu:
    """What the driver says of a GPU; what it does not say is from the table of its kind, where that is known."""
    arch, properties = hip.arch, hip.properties
    said = {
        "name": hip.name, "compute_units": hip.compute_units,
        "clock": properties.clockRate * 1e3, "memory": properties.totalGlobalMem, "wave": properties.warpSize,
    }  # fmt: skip
    pages = dict.fromkeys(said, _DRIVER)
    try:
        known = find(arch)
    except Unsupported:
        # Two bits a clock on each pin, as hipDeviceProp_t's memoryClockRate has it.
        pin = 2e3 * properties.memoryClockRate
        return Gpu(arch=arch, bus=properties.memoryBusWidth, pin=pin, pages=pages, **said)
    return replace(known, **said, pages={**known.pages, **pages}, note=None)
