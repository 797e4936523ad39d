from factory.simulator.solvers.depthwise import DepthwiseChannelsLast, DepthwisePlanes
from factory.simulator.solvers.direct import Direct
from factory.simulator.solvers.gemm import Gemm1x1, GemmIm2col
from factory.simulator.solvers.implicit import ImplicitGemm
from factory.simulator.solvers.solver import Solver, Workspace

SOLVERS: tuple[Solver, ...] = (Direct(), Gemm1x1(), GemmIm2col(), ImplicitGemm(), DepthwiseChannelsLast(), DepthwisePlanes())
__all__ = ["SOLVERS", "Solver", "Workspace"]
