"""The timeline: one Command a line, saying what ran, at which station, on what sizes, how long, by what evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

STATIONS = ("HIP", "rocBLAS", "MIOpen", "kernels")
KEPT = 100_000  # commands kept one by one; older ones live on in the totals


class Command:
    """One library call: a copy, an allocation, a matrix product, a kernel.

    step and layer are what `timeline.at` said (None outside it), station is one of STATIONS, call the library
    function that the real wing makes, sizes its sizes in words, operations its floating-point operations, bytes what
    it reads and writes, milliseconds its time and evidence where that time comes from.
    """

    __slots__ = ("_elapsed", "_milliseconds", "_start", "_stop", "bytes", "call", "layer", "operations", "problem",
                 "station", "step")  # fmt: skip

    def __init__(
        self,
        step: int | None,
        layer: int | None,
        station: str,
        call: str,
        problem: object,
        operations: int,
        nbytes: int,
        start: Any,
        stop: Any,
        elapsed: Callable[[Any, Any], float],
    ) -> None:
        self.step = step
        self.layer = layer
        self.station = station
        self.call = call
        self.problem = problem
        self.operations = operations
        self.bytes = nbytes
        self._start = start
        self._stop = stop
        self._elapsed = elapsed
        self._milliseconds: float | None = None

    @property
    def sizes(self) -> str:
        """The sizes it worked on, in words."""
        return str(self.problem)

    @property
    def milliseconds(self) -> float:
        """How long it ran; waits until it has."""
        if self._milliseconds is None:
            self._milliseconds = self._elapsed(self._start, self._stop)
            self._start = self._stop = None  # a GPU event goes back to its pool
        return self._milliseconds

    @property
    def evidence(self) -> str:
        """Always "measured": a command on the timeline has run here."""
        return "measured"

    def __repr__(self) -> str:
        place = "".join(
            f" {name} {value}" for name, value in (("step", self.step), ("layer", self.layer)) if value is not None
        )
        return f"<{self.station}{place}: {self.call} {self.sizes}, {self.milliseconds:.3f} ms>"


@dataclass
class Totals:
    """Sums over commands: how many, floating-point operations, bytes, milliseconds."""

    count: int = 0
    operations: int = 0
    bytes: int = 0
    milliseconds: float = 0.0

    def add(self, command: Command) -> None:
        """Count one more command."""
        self.count += 1
        self.operations += command.operations
        self.bytes += command.bytes
        self.milliseconds += command.milliseconds


class Timeline:
    """The commands of one device, oldest first; it keeps the last 100,000, and totals of all since `clear`."""

    def __init__(self, elapsed: Callable[[Any, Any], float]) -> None:
        self.enabled = True
        self.step: int | None = None
        self.layer: int | None = None
        self._elapsed = elapsed
        self._commands: deque[Command] = deque()
        self._dropped: dict[str, Totals] = {}

    def record(
        self, station: str, call: str, problem: object, operations: int, nbytes: int, start: Any, stop: Any
    ) -> None:
        """Add a command that ran between two marks of the device's clock; `problem` says its sizes as a string."""
        commands = self._commands
        if len(commands) >= KEPT:
            oldest = commands.popleft()
            self._dropped.setdefault(oldest.station, Totals()).add(oldest)
        step = self.step
        if step is None and self.layer is not None:  # inside a layer the station tells the step
            step = 2 if station == "rocBLAS" else 3
        commands.append(
            Command(step, self.layer, station, call, problem, operations, nbytes, start, stop, self._elapsed)
        )

    @contextmanager
    def at(self, step: int | None = None, layer: int | None = None) -> Iterator[None]:
        """Mark what runs inside with a step of the line (1 to 5) and a layer; what is not given stays as it was.

        With a layer and no step, matrix products count as step 2 and everything else as step 3.
        """
        before = self.step, self.layer
        if step is not None:
            self.step = step
        if layer is not None:
            self.layer = layer
        try:
            yield
        finally:
            self.step, self.layer = before

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Enter nothing meanwhile."""
        before, self.enabled = self.enabled, False
        try:
            yield
        finally:
            self.enabled = before

    def by_station(self) -> dict[str, Totals]:
        """Totals of everything since the last `clear`, station by station."""
        totals = {station: Totals() for station in STATIONS}
        for station, dropped in self._dropped.items():
            totals[station] = Totals(dropped.count, dropped.operations, dropped.bytes, dropped.milliseconds)
        for command in list(self._commands):
            totals[command.station].add(command)
        return totals

    def clear(self) -> None:
        """Forget all commands and totals."""
        self._commands.clear()
        self._dropped.clear()

    def __iter__(self) -> Iterator[Command]:
        return iter(list(self._commands))

    def __len__(self) -> int:
        return len(self._commands)

    def __getitem__(self, index: int | slice) -> Command | list[Command]:
        return list(self._commands)[index]
