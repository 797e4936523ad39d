"""Convolutions through MIOpen: find, which tries what the library offers on this GPU, and one solver's run.

MIOpen's Find 1.0 measures, and remembers in MIOpen's own database; immediate mode then lists the solvers that it knows
for the problem. The times that immediate mode gives may be old ones, or no times at all, so that each solver on its
list is run and timed here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from ctypes import c_int, c_size_t
from functools import cache
from typing import NamedTuple

from factory.errors import LibraryError, OutOfDeviceMemory, Unsupported
from factory.gpus import solvers, table
from factory.language import Text
from factory.layout import Layout
from factory.problem import DTYPES, ConvolutionCall, ConvolutionProblem, Found, Solution
from factory.rocm.hip import Hip
from factory.rocm.miopen_library import AlgorithmTime, MiopenLibrary, SolutionTime

CALL = "miopenConvolutionForwardImmediate"
_ALGORITHMS = {0: "GEMM", 1: "Direct", 2: "FFT", 3: "Winograd", 5: "ImplicitGEMM"}  # miopenConvFwdAlgorithm_t
_ROUNDS = 5
_ENOUGH = 300.0  # milliseconds of racing one problem after which no further round starts

_NOT_OFFERED = Text(
    "MIOpen はこの畳み込みに、この solver を挙げませんでした。",
    "MIOpen does not offer it for this convolution.",
)
_GAVE_UP = Text(
    "MIOpen はこの solver を用意するか動かす途中で失敗しました({call}: {meaning})。",
    "MIOpen failed to prepare or to run it ({call}: {meaning}).",
)


class _Offer(NamedTuple):
    """What immediate mode offers: the solver's number, and the bytes of workspace that it needs."""

    name: str
    algorithm: str
    solver: int
    workspace: int


class _Operands(NamedTuple):
    """Descriptors of w, x, the convolution and y, in the order of most of MIOpen's calls."""

    w: int
    x: int
    convolution: int
    y: int


class _Known(NamedTuple):
    """What a search found, and what a run needs: offers by solver, descriptors, bytes of x, w and y."""

    found: Found
    offers: dict[str, _Offer]
    operands: _Operands
    sizes: tuple[int, ...]


_NO_TIMES: dict[str, float] = {}


class Convolutions:
    """The convolutions of one device; what was found is kept as long as it is open."""

    def __init__(self, hip: Hip, library: MiopenLibrary) -> None:
        self._hip = hip
        self._library = library
        self._known: dict[ConvolutionProblem, _Known] = {}

    def find(self, problem: ConvolutionProblem) -> Found:
        """Solvers that MIOpen offers, fastest first (ties by name), and why others were dropped."""
        return (self._known.get(problem) or self._search(problem)).found

    def forward(
        self, problem: ConvolutionProblem, solver: str, x: int, w: int, y: int, workspace: int, workspace_bytes: int
    ) -> None:
        """Run one solver that was found."""
        known = self._known.get(problem) or self._search(problem)
        offer = known.offers.get(solver)
        if offer is None or solver in known.found.dropped:
            if solver in known.found.dropped:
                raise Unsupported("solution", solver=solver, reason=known.found.dropped[solver])
            raise Unsupported("mode", call=CALL, got=repr(solver), known=", ".join(known.offers))
        if workspace_bytes < offer.workspace:
            raise Unsupported("workspace", solver=solver, need=offer.workspace, got=workspace_bytes)
        for pointer, nbytes in zip((x, w, y), known.sizes, strict=True):
            self._hip.ledger.locate(pointer, nbytes, CALL)
        if offer.workspace:
            self._hip.ledger.locate(workspace, offer.workspace, CALL)

        def work() -> None:
            self._run(known.operands, x, w, y, workspace, offer)

        call = ConvolutionCall(problem, solver)
        self._hip.launch("MIOpen", CALL, call, problem.operations, problem.nbytes, work)

    def _run(self, operands: _Operands, x: int, w: int, y: int, workspace: int, offer: _Offer) -> None:
        of_w, of_x, convolution, of_y = operands
        library = self._library
        status = library.functions.miopenConvolutionForwardImmediate(
            library.handle, of_w, w, of_x, x, convolution, of_y, y, workspace or None, offer.workspace, offer.solver
        )
        if status:
            library.check(CALL, status)

    # The search

    def _search(self, problem: ConvolutionProblem) -> _Known:
        tensor = self._library.tensor
        shapes, dtype = (problem.x_shape, problem.w_shape, problem.y_shape), problem.dtype
        x, w, y = (tensor(shape, dtype) for shape in shapes)
        operands = _Operands(w, x, self._library.convolution(problem), y)
        sizes = tuple(Layout.of_packed(shape, DTYPES[dtype]).nbytes for shape in shapes)
        dropped: dict[str, Text] = {}
        with ExitStack() as borrowed:
            borrowed.enter_context(self._hip.timeline.paused())
            offers, times = self._measure(operands, sizes, borrowed, dropped)
        found = [
            Solution(o.name, o.algorithm, times[o.name], o.workspace, "measured") for o in offers if o.name in times
        ]
        found.sort(key=lambda solution: (solution.milliseconds, solution.solver))
        if times is _NO_TIMES:  # in MIOpen's own order
            found = [Solution(o.name, o.algorithm, None, o.workspace, "estimated") for o in offers]
        for name in _solvers(self._hip.arch, dtype):
            if not any(solution.solver == name for solution in found):
                dropped.setdefault(name, _NOT_OFFERED)
        known = _Known(Found(found, dropped), {offer.name: offer for offer in offers}, operands, sizes)
        if times is not _NO_TIMES:  # else the next search may find the memory to measure in
            self._known[problem] = known
        return known

    def _measure(
        self, operands: _Operands, sizes: Sequence[int], borrowed: ExitStack, dropped: dict[str, Text]
    ) -> tuple[list[_Offer], Mapping[str, float]]:
        """What MIOpen offers, and the times that it took here; without times where memory is too short for a run."""
        try:
            pointers = [self._borrow(nbytes, borrowed) for nbytes in sizes]
            self._find(operands, pointers)
        except OutOfDeviceMemory:
            return self._offer(operands), _NO_TIMES
        offers = self._offer(operands)
        return offers, self._race(operands, pointers, offers, dropped)

    def _borrow(self, nbytes: int, borrowed: ExitStack) -> int:
        """Device memory of zeros for a while."""
        pointer = self._hip.malloc(nbytes, "find")
        borrowed.callback(self._hip.free, pointer)
        self._hip.memset(pointer, 0, nbytes)
        return pointer

    def _find(self, operands: _Operands, pointers: Sequence[int]) -> None:
        """Find 1.0, for what it leaves in MIOpen's database. It fails as a whole where one solver fails to compile;
        then immediate mode offers what it knows without."""
        library = self._library
        need = c_size_t()
        library.call("miopenConvolutionForwardGetWorkSpaceSize", library.handle, *operands, ctypes.byref(need))
        x, w, y = pointers
        count, times = c_int(), (AlgorithmTime * len(_ALGORITHMS))()
        with ExitStack() as borrowed:
            space = self._borrow(need.value, borrowed) if need.value else None
            with suppress(LibraryError):
                library.call(
                    "miopenFindConvolutionForwardAlgorithm", library.handle, operands.x, x, operands.w, w,
                    operands.convolution, operands.y, y, len(times), ctypes.byref(count), times, space, need.value, False,
                )  # fmt: skip

    def _offer(self, operands: _Operands) -> list[_Offer]:
        """What immediate mode lists."""
        count = c_size_t()
        self._library.call(
            "miopenConvolutionForwardGetSolutionCount", self._library.handle, *operands, ctypes.byref(count)
        )  # fmt: skip
        listed = (SolutionTime * max(count.value, 1))()
        self._library.call(
            "miopenConvolutionForwardGetSolution", self._library.handle, *operands, count.value, ctypes.byref(count),
            listed,
        )  # fmt: skip
        return [
            _Offer(_name(s.solver), _ALGORITHMS.get(s.algorithm, str(s.algorithm)), s.solver, s.workspace)
            for s in listed[: count.value]
        ]  # fmt: skip

    def _race(
        self, operands: _Operands, pointers: Sequence[int], offers: list[_Offer], dropped: dict[str, Text]
    ) -> dict[str, float]:
        """The least of several times of each solver, in milliseconds; what fails is dropped with the reason."""
        best: dict[str, float] = {}
        spent = 0.0
        for turn in range(1 + _ROUNDS):
            for offer in offers:
                if offer.name in dropped:
                    continue
                try:
                    took = self._time(operands, pointers, offer, first=turn == 0)
                except (LibraryError, OutOfDeviceMemory) as error:
                    dropped[offer.name] = _why(error)
                    best.pop(offer.name, None)
                    continue
                spent += took
                # The first turn warms up, and counts only where it leaves no time for another.
                best[offer.name] = took if turn < 2 else min(best[offer.name], took)
            if spent > _ENOUGH:
                break
        return best

    def _time(self, operands: _Operands, pointers: Sequence[int], offer: _Offer, first: bool) -> float:
        """Milliseconds of one run of a solver, which is compiled before its first."""
        library = self._library
        x, w, y = pointers
        if first:
            library.call("miopenConvolutionForwardCompileSolution", library.handle, *operands, offer.solver)
        with ExitStack() as borrowed:
            space = self._borrow(offer.workspace, borrowed) if offer.workspace else 0
            return self._hip.timed(lambda: self._run(operands, x, w, y, space, offer))


def _why(error: LibraryError | OutOfDeviceMemory) -> Text:
    """Why a solver is dropped; what is no matter of the solver's own is raised again."""
    if isinstance(error, OutOfDeviceMemory):
        return error.text
    if error.key != "status" or not str(error.call).startswith("miopen"):
        raise error
    return _GAVE_UP.format(call=error.call, meaning=error.meaning)


@cache
def _names() -> dict[int, str]:
    return {int(row["id"]): row["solver"] for row in table()}


def _name(solver: int) -> str:
    return _names().get(solver, f"solver {solver}")


def _solvers(arch: str, dtype: str) -> list[str]:
    """Solvers that MIOpen has for a GPU and a type, where the GPU is known."""
    try:
        return [solver.name for solver in solvers(arch, dtype)]
    except Unsupported:
        return []
