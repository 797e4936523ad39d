"""One inference goes down a factory line: HIP, rocBLAS and MIOpen on an AMD GPU, or a simulator of the three.

import factory
device = factory.open()
c = device.gemm(device.array(a), device.array(b)).numpy()
"""

import warnings

from factory.array import DeviceArray
from factory.device import Device, LeakWarning
from factory.errors import (
    DoubleFree,
    FactoryError,
    FactoryWarning,
    InvalidPointer,
    LibraryError,
    ModelError,
    OutOfDeviceMemory,
    ShapeError,
    Unsupported,
    UseAfterFree,
)
from factory.language import Text, at_least
from factory.problem import ConvolutionProblem, Found, GemmProblem, Solution

__version__ = "0.1.0"

__all__ = [
    "ConvolutionProblem",
    "Device",
    "DeviceArray",
    "DoubleFree",
    "FactoryError",
    "Found",
    "GemmProblem",
    "GpuWarning",
    "InvalidPointer",
    "LeakWarning",
    "LibraryError",
    "ModelError",
    "OutOfDeviceMemory",
    "ShapeError",
    "Solution",
    "Text",
    "Unsupported",
    "UseAfterFree",
    "open",
]

_INSTEAD = Text(
    "AMD GPU が使えないので、かわりにシミュレーターを開きます。わけ: {why}",
    "The AMD GPU cannot be used, so the simulator opens instead. Why: {why}",
)


class GpuWarning(FactoryWarning):
    """An AMD GPU is there and does not work, so that the simulator was opened."""


def open(
    wing: str | None = None, *, index: int = 0, gpu: str | None = None, memory: int | None = None, delay: bool = False
) -> Device:
    """Open a device: the first AMD GPU that works, else the simulator; or the one of "rocm" and "simulator" named.

    index is the GPU, counted from 0 as HIP does, or the first of those to try, cards before a processor's own graphics.
    The simulator can be told to be a `gpu` ("gfx900"), whose memory and solver support it then shows (never its speed),
    to have `memory` bytes, and to hold work back until something waits for it (`delay`); whoever tells one of these
    asks for the simulator. Where there is an AMD GPU that does not work, a warning says why, and the simulator opens;
    without ROCm or hip-python none is seen (`python -m factory doctor` tells). Raises Unsupported for a wing or GPU
    that is not known, LibraryError where "rocm" was named and does not work.
    """
    from factory import gpus, simulator

    told = gpu is not None or memory is not None or delay
    if wing not in (None, "rocm", "simulator"):
        raise Unsupported("wing", got=repr(wing))
    if type(index) is not int or index < 0:
        raise ShapeError("number", call="open", name="index", want=at_least(0), got=repr(index))
    if wing == "rocm":
        if told:
            raise Unsupported("simulator_only")
        from factory import rocm

        real = rocm.Rocm(index)
        return Device(real, real.gpu)
    if wing is None and not told:
        from factory import rocm

        try:
            found = rocm.first(index)
        except FactoryError as error:
            warnings.warn(GpuWarning(_INSTEAD.format(why=error.text)), stacklevel=2)
        else:
            if found:
                return Device(found, found.gpu)
    profile = gpus.find(gpu) if gpu is not None else None
    return Device(simulator.Simulator(profile, memory, delay), profile)
