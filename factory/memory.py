"""Device memory: the ledger of what is allocated, by whom, and the pool that gives freed blocks out again.

The ledger sits under the HIP room and sees every hipMalloc and hipFree. The memory of a device sits above that room:
it serves arrays from cached blocks, so that a loop in steady state asks HIP for nothing.
"""

from __future__ import annotations

import gc
import os
import sys
from bisect import bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import ExitStack
from numbers import Real
from pathlib import Path
from types import FrameType
from typing import Protocol

import numpy as np

from factory.errors import DoubleFree, InvalidPointer, OutOfDeviceMemory, ShapeError, UseAfterFree
from factory.language import Text, at_least

_PACKAGE = str(Path(__file__).parent) + os.sep
_GONE_KEPT = 10_000  # freed allocations remembered, so that a stale pointer can be named
_CELL = Text("ノートブックのセルの {line} 行目", "notebook cell, line {line}")


class Allocation:
    """One line of the ledger: address, bytes asked for, bytes reserved, name, whether an array owns it, and where.

    state is "live", "cached" (in the pool, nobody may touch it) or "freed".
    """

    __slots__ = ("_frame", "name", "nbytes", "owned", "pointer", "reserved", "state")

    def __init__(self, pointer: int, nbytes: int, reserved: int, name: str, owned: bool, frame: tuple[str, int]):
        self.pointer = pointer
        self.nbytes = nbytes
        self.reserved = reserved
        self.name = name
        self.owned = owned
        self.state = "live"
        self._frame = frame

    @property
    def where(self) -> str | Text:
        """File and line that asked for it."""
        file, line = self._frame
        if "ipykernel_" in file:  # Jupyter compiles each cell as a file of its own
            return _CELL.format(line=line)
        return f"{Path(file).name}:{line}"

    def __repr__(self) -> str:
        return f"<{self.name} at {self.pointer:#x}: {self.nbytes:,} bytes, {self.state}, {self.where}>"


def caller() -> tuple[str, int]:
    """File and line of the nearest frame outside this package (a full traceback would cost 8 microseconds)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame else ("", 0)


class Ledger:
    """Every allocation that HIP made and has not taken back, by address; bytes in use, their peak, and reserved.

    make_room is what hipMalloc does before it gives up: the pool above, where there is one, gives back what it can.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Allocation] = {}
        self._sorted: list[int] = []
        self._gone: OrderedDict[int, Allocation] = OrderedDict()
        self.in_use = 0
        self.reserved = 0
        self.peak = 0
        self.make_room: Callable[[], None] = lambda: None

    def add(self, pointer: int, nbytes: int, reserved: int, name: str, owned: bool) -> Allocation:
        """Enter what hipMalloc has just given."""
        insort(self._sorted, pointer)
        self.reserved += reserved
        return self._enter(Allocation(pointer, nbytes, reserved, name, owned, caller()))

    def retire(self, line: Allocation) -> None:
        """Move a line to the pool: HIP keeps the memory reserved, and nobody may touch it."""
        line.state = "cached"
        self.in_use -= line.nbytes

    def lend(self, cached: Allocation, nbytes: int, name: str) -> Allocation:
        """Give a cached allocation to a new array."""
        cached.state = "freed"
        return self._enter(Allocation(cached.pointer, nbytes, cached.reserved, name, True, caller()))

    def remove(self, pointer: int) -> None:
        """Strike out what goes back by hipFree."""
        line = self._lines.pop(pointer)
        del self._sorted[bisect_right(self._sorted, pointer) - 1]
        self.reserved -= line.reserved
        if line.state == "live":
            self.in_use -= line.nbytes
        line.state = "freed"
        self._gone[pointer] = line
        if len(self._gone) > _GONE_KEPT:
            self._gone.popitem(last=False)

    def lines(self) -> list[Allocation]:
        """All allocations that HIP holds, cached ones too, by address."""
        return [self._lines[pointer] for pointer in self._sorted]

    def locate(self, pointer: int, nbytes: int, call: str) -> Allocation:
        """The allocation that holds `nbytes` from `pointer` on; UseAfterFree or InvalidPointer where none does."""
        if not isinstance(pointer, int):
            raise InvalidPointer("not_pointer", call=call, got=repr(pointer))
        line = self._lines.get(pointer)
        if line is not None and line.state == "live" and 0 <= nbytes <= line.nbytes:
            return line  # nearly always
        line = line or self._around(pointer)
        if line is None:
            for gone in reversed(self._gone.values()):
                if gone.pointer <= pointer < gone.pointer + gone.reserved:
                    raise UseAfterFree("freed", name=gone.name, pointer=pointer, where=gone.where)
            raise InvalidPointer("foreign", call=call, pointer=pointer)
        if line.state != "live":
            raise UseAfterFree("freed", name=line.name, pointer=pointer, where=line.where)
        offset = pointer - line.pointer
        if nbytes < 0 or offset + nbytes > line.nbytes:
            raise InvalidPointer("range", call=call, name=line.name, offset=offset, nbytes=nbytes, size=line.nbytes)
        return line

    def freeable(self, pointer: int, call: str) -> Allocation:
        """The raw allocation that starts at `pointer`; DoubleFree or InvalidPointer where there is none to free."""
        if not isinstance(pointer, int):
            raise InvalidPointer("not_pointer", call=call, got=repr(pointer))
        line = self._lines.get(pointer)
        gone = self._gone.get(pointer) if line is None else line
        if gone is not None and gone.state != "live":
            raise DoubleFree("freed", name=gone.name, pointer=pointer, where=gone.where)
        if line is None:
            inside = self._around(pointer)
            if inside is None:
                raise InvalidPointer("foreign", call=call, pointer=pointer)
            raise InvalidPointer("interior", call=call, pointer=pointer, name=inside.name, base=inside.pointer)
        if line.owned:
            raise InvalidPointer("pool", call=call, pointer=pointer, name=line.name)
        return line

    def _enter(self, line: Allocation) -> Allocation:
        self._lines[line.pointer] = line
        self._gone.pop(line.pointer, None)
        self.in_use += line.nbytes
        if self.in_use > self.peak:
            self.peak = self.in_use
        return line

    def _around(self, pointer: int) -> Allocation | None:
        position = bisect_right(self._sorted, pointer) - 1
        if position < 0:
            return None
        line = self._lines[self._sorted[position]]
        return line if pointer < line.pointer + line.reserved else None


def host_bytes(call: str, array: object, nbytes: int, write: bool) -> np.ndarray:
    """The first `nbytes` of a host array as bytes; InvalidPointer where it is not contiguous, too small, or read-only
    and to be written. hip-python checks none of this."""
    got = f"{type(array).__name__}"
    if isinstance(array, np.ndarray):
        got = f"{array.shape} {array.dtype}, {array.nbytes:,} bytes"
        whole = array.flags.c_contiguous and not array.dtype.hasobject
        if whole and array.nbytes >= nbytes and (array.flags.writeable or not write):
            return array.reshape(-1).view(np.uint8)[:nbytes]
    need = f" (>= {nbytes:,} bytes{', writeable' if write else ''})"
    raise InvalidPointer("host", call=call, need=need, got=got)


class HipMemory(Protocol):
    """What the pool needs of a HIP room."""

    ledger: Ledger

    def malloc(self, nbytes: int, name: str = "", *, asked: int | None = None) -> int:
        """hipMalloc; with `asked`, for an array that wants that many of the bytes."""

    def free(self, pointer: int) -> None:
        """hipFree."""

    def device_synchronize(self) -> None:
        """hipDeviceSynchronize."""

    def mem_get_info(self) -> tuple[int, int]:
        """hipMemGetInfo: free and total bytes."""


class Block:
    """An array's hold on its memory: shared by its views, queued for the pool when the last of them is gone."""

    __slots__ = ("_queue", "line")

    def __init__(self, line: Allocation, queue: deque[Allocation]) -> None:
        self.line = line
        self._queue = queue

    def __del__(self) -> None:
        # A finaliser may run anywhere, also in the middle of another call: it only queues.
        if self.line.state == "live":
            self._queue.append(self.line)


def _size_class(nbytes: int) -> int:
    """Bytes that a block of the pool really takes: multiples of 512 up to 8 KiB, then eight sizes to a doubling."""
    step = max(512, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


class Memory:
    """The memory of one device as its arrays see it: a caching pool over hipMalloc, with a ledger and a limit."""

    def __init__(self, hip: HipMemory) -> None:
        self._hip = hip
        self._ledger = hip.ledger
        self._cached: dict[int, list[Allocation]] = {}
        self._queue: deque[Allocation] = deque()
        self._limit = hip.mem_get_info()[1]
        self._ledger.make_room = self._make_room

    @property
    def in_use(self) -> int:
        """Bytes that live arrays and raw hipMallocs asked for."""
        self.drain()
        return self._ledger.in_use

    @property
    def reserved(self) -> int:
        """Bytes taken from HIP: in use, rounded up, and cached for the next array."""
        self.drain()
        return self._ledger.reserved

    @property
    def peak(self) -> int:
        """The most that was ever in use."""
        return self._ledger.peak

    @property
    def limit(self) -> int:
        """The most bytes that arrays may reserve; lower it to see what running out of memory looks like.

        More than the device has counts as all of it. Raises ShapeError for what is no number from 0 up.
        """
        return self._limit

    @limit.setter
    def limit(self, nbytes: float) -> None:
        if not isinstance(nbytes, Real) or not nbytes >= 0:
            raise ShapeError("number", call="memory.limit", name="limit", want=at_least(0), got=repr(nbytes))
        self._limit = int(min(nbytes, self._hip.mem_get_info()[1]))

    def live(self) -> list[Allocation]:
        """What is allocated now, by address: name, bytes, and where it was asked for."""
        self.drain()
        return [line for line in self._ledger.lines() if line.state == "live"]

    def trim(self) -> None:
        """Give all cached blocks back to HIP."""
        self.drain()
        self._hip.device_synchronize()  # what fails there must fail before a block is on its way
        for blocks in self._cached.values():
            while blocks:
                self._hip.free(self._disown(blocks.pop()))
        self._cached.clear()

    def allocate(self, nbytes: int, name: str) -> Block:
        """Room for `nbytes`, from the pool where it has some.

        Raises OutOfDeviceMemory where there is none, even after collecting what nobody holds and emptying the pool.
        """
        if self._queue:
            self.drain()
        reserved = _size_class(nbytes)
        blocks = self._cached.get(reserved)
        line = self._ledger.lend(blocks.pop(), nbytes, name) if blocks else self._ask(nbytes, reserved, name)
        return Block(line, self._queue)

    def release(self, block: Block) -> None:
        """Give an array's block back to the pool now; DoubleFree if that was done before."""
        line = block.line
        if line.state != "live":
            raise DoubleFree("freed", name=line.name, pointer=line.pointer, where=line.where)
        self._cache(line)

    def drain(self) -> None:
        """Take back the blocks of arrays that nobody holds any more."""
        while self._queue:
            line = self._queue.popleft()
            if line.state == "live":
                self._cache(line)

    def close(self) -> list[Allocation]:
        """Give everything back to HIP once all work is done; what raw hipMallocs left behind is returned as leaks."""
        self.drain()
        self._hip.device_synchronize()
        lines = self._ledger.lines()
        leaks = [line for line in lines if not line.owned]
        self._cached.clear()
        with ExitStack() as everything:  # one that cannot be given back does not keep the others
            for line in reversed(lines):
                everything.callback(self._hip.free, self._disown(line))
        return leaks

    def _cache(self, line: Allocation) -> None:
        self._ledger.retire(line)
        self._cached.setdefault(line.reserved, []).append(line)

    def _disown(self, line: Allocation) -> int:
        """Make an array's or cached line raw, so that hipFree takes it."""
        if line.state == "cached":
            line = self._ledger.lend(line, 0, line.name)
        line.owned = False
        return line.pointer

    def _ask(self, nbytes: int, reserved: int, name: str) -> Allocation:
        ledger = self._ledger
        if ledger.reserved + reserved > self._limit:
            self._make_room()
            left = self._limit - ledger.reserved
            if nbytes > left:
                raise OutOfDeviceMemory(
                    "device", name=name, asked=nbytes, in_use=ledger.in_use, reserved=ledger.reserved, total=self._limit
                )
            reserved = min(reserved, left)  # rounding up must not cost the last bytes
        return ledger.locate(self._hip.malloc(reserved, name, asked=nbytes), nbytes, "hipMalloc")

    def _make_room(self) -> None:
        """Collect what nobody holds, and empty the pool."""
        gc.collect()
        self.trim()
