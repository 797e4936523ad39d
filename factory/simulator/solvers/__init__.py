"""The convolution solvers of the simulator's MIOpen room: real algorithms, so that `find` has something to find."""

from __future__ import annotations

from factory.simulator.solvers.depthwise import DepthwiseChannelsLast
from factory.simulator.solvers.direct import Direct
from factory.simulator.solvers.fft import Fft
from factory.simulator.solvers.gemm import Gemm1x1, GemmIm2col
from factory.simulator.solvers.implicit import ImplicitGemm
from factory.simulator.solvers.planes import DepthwisePlanes
from factory.simulator.solvers.solver import Solver, Workspace, convolve, workspace_of
from factory.simulator.solvers.winograd import WINOGRAD_F2, WINOGRAD_F4

SOLVERS: tuple[Solver, ...] = (
    Direct(),
    Gemm1x1(),
    GemmIm2col(),
    ImplicitGemm(),
    WINOGRAD_F2,
    WINOGRAD_F4,
    Fft(),
    DepthwiseChannelsLast(),
    DepthwisePlanes(),
)

__all__ = ["SOLVERS", "Solver", "Workspace", "convolve", "workspace_of"]
