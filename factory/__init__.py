"""One inference goes down a factory line: HIP, rocBLAS and MIOpen on an AMD GPU, or a simulator of the three.

import factory
device = factory.open()
c = device.gemm(device.array(a), device.array(b)).numpy()
"""

from factory.array import DeviceArray
from factory.device import Device, LeakWarning
from factory.errors import (
    DoubleFree,
    FactoryError,
    InvalidPointer,
    LibraryError,
    ModelError,
    OutOfDeviceMemory,
    ShapeError,
    Unsupported,
    UseAfterFree,
)
from factory.language import Text
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


def open(
    wing: str | None = None, *, index: int = 0, gpu: str | None = None, memory: int | None = None, delay: bool = False
) -> Device:
    """Open a device: the first AMD GPU that works, else the simulator; or the one of "rocm" and "simulator" named.

    The rocm wing is still to come: until then this opens the simulator. index chooses among several GPUs. The simulator can be told to be a `gpu` ("gfx900"), whose memory and solver
    support it then shows (never its speed), to have `memory` bytes, and to hold work back until something waits for
    it (`delay`). Raises Unsupported for a wing or GPU that is not there.
    """
    from factory import gpus, simulator

    if wing not in (None, "rocm", "simulator"):
        raise Unsupported("wing", got=repr(wing))
    if wing == "rocm":
        raise Unsupported("rocm")
    profile = gpus.find(gpu) if gpu is not None else None
    return Device(simulator.Simulator(profile, memory, delay), profile)
