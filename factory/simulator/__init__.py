"""The simulator: the same four rooms as the real wing, on NumPy and this computer's memory."""

from __future__ import annotations

import psutil

from factory.gpus import Gpu
from factory.problem import check_sizes
from factory.simulator.hip import Hip
from factory.simulator.kernels import Kernels
from factory.simulator.miopen import Miopen
from factory.simulator.rocblas import Rocblas


class Simulator:
    """One simulated GPU: `gpu` sets its memory and which algorithms MIOpen has; its times are this computer's own.

    memory is in bytes; without it and without a gpu, the device has as much as this computer.
    """

    name = "simulator"

    def __init__(self, gpu: Gpu | None = None, memory: int | None = None, delay: bool = False) -> None:
        if memory is not None:
            check_sizes("open", None, memory=memory)
        capacity = memory or (gpu.memory if gpu else psutil.virtual_memory().total)
        self.hip = Hip(capacity, delay)
        self.rocblas = Rocblas(self.hip)
        self.miopen = Miopen(self.hip, gpu)
        self.kernels = Kernels(self.hip)
