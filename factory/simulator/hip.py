"""The simulator's HIP room, the manager: memory, copies, streams, events and launches, in this computer's memory.

An address is an integer that was never given out before; behind each stands a NumPy buffer that nobody outside this
wing sees. Work runs at once, or, with `delay`, only when something waits for it, so that a missing wait shows.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
from itertools import count
from time import perf_counter

import numpy as np
import psutil

from factory.errors import InvalidPointer, LibraryError, OutOfDeviceMemory, ShapeError, UseAfterFree
from factory.layout import Layout
from factory.memory import Allocation, Ledger, host_bytes
from factory.problem import check_sizes
from factory.timeline import Timeline

_PAGE = 4096
_SPACES = count(0x7F00_0000_0000, 1 << 40)  # each device its own addresses, so that another's pointer is seen
_ALIGNMENT = 64  # a cache line, and the widest vector load
_WORTH_ASKING = 64 << 20  # below this, asking the computer for its free memory costs more than it saves


class Stream:
    """A queue of work; commands of one stream run in order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: deque[Callable[[], None]] = deque()

    def __repr__(self) -> str:
        return f"<Stream {self.number}, {len(self.waiting)} waiting>"


class Point:
    """A place in a stream's queue, and the second at which it was passed, once it was."""

    __slots__ = ("seconds", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.seconds: float | None = None

    def passed(self) -> None:
        """Note that the stream has come here."""
        self.seconds = perf_counter()

    def reach(self) -> None:
        """Do the stream's work up to here."""
        while self.seconds is None and self.stream.waiting:
            self.stream.waiting.popleft()()


class Event:
    """What `event_record` marks a point of a stream with; recorded again, it marks another."""

    __slots__ = ("point",)

    def __init__(self) -> None:
        self.point: Point | None = None

    def __repr__(self) -> str:
        state = "not recorded" if self.point is None else "waiting" if self.point.seconds is None else "passed"
        return f"<Event, {state}>"


def _bytes(nbytes: int) -> Layout:
    """So many bytes in a row."""
    return Layout.of_packed((nbytes,), np.dtype(np.uint8))


def _is_mapped(host: np.ndarray) -> bool:
    """Whether a host array is a read-only window on a file, whose pages can be shared instead of copied."""
    base: object = host
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


class Hip:
    """The HIP calls by their names without "hip", in snake case. A pointer is an int; host memory a NumPy array."""

    def __init__(self, capacity: int, delay: bool = False) -> None:
        self.ledger = Ledger()
        self.timeline = Timeline(self._elapsed)
        self._capacity = capacity
        self._delay = delay
        self._buffers: dict[int, np.ndarray] = {}
        self._mapped: dict[int, tuple[object, np.ndarray]] = {}  # base: its ledger line, the file's pages
        # base: the last array that was seen there whole, so that a weight or buffer is not measured out every time
        self._windows: dict[int, tuple[Allocation, Layout, np.ndarray]] = {}
        self._next = next(_SPACES)
        self._streams = [Stream(0)]
        self._closed = False

    # Memory

    def malloc(self, nbytes: int, name: str = "hipMalloc", *, asked: int | None = None) -> int:
        """hipMalloc: the address of `nbytes` new bytes, whose content is whatever was there.

        The caller gives them back by `free` (with `asked`, an array's block, the pool does). Raises
        OutOfDeviceMemory over the device's capacity, or over what this computer has free, when the pool has made room.
        """
        self._open()
        check_sizes("hipMalloc", None, nbytes=nbytes)
        try:
            return self._allocate(nbytes, name, asked)
        except OutOfDeviceMemory:
            pass  # a second try inside the handler would show a learner two errors
        self.ledger.make_room()
        return self._allocate(nbytes, name, asked)

    def _allocate(self, nbytes: int, name: str, asked: int | None) -> int:
        fields = {
            "name": name, "asked": asked or nbytes, "in_use": self.ledger.in_use, "reserved": self.ledger.reserved,
            "total": self._capacity,
        }  # fmt: skip
        if self.ledger.reserved + nbytes > self._capacity:
            raise OutOfDeviceMemory("device", **fields)
        start = perf_counter()
        if nbytes > _WORTH_ASKING and nbytes > (free := psutil.virtual_memory().available):
            raise OutOfDeviceMemory("host", free=free, **fields)
        try:
            raw = np.empty(nbytes + _ALIGNMENT, np.uint8)
        except MemoryError:
            raise OutOfDeviceMemory("host", free=psutil.virtual_memory().available, **fields) from None
        first = -raw.ctypes.data % _ALIGNMENT
        pointer = self._next
        self._next += (nbytes // _PAGE + 2) * _PAGE  # a page nobody owns lies between any two
        self._buffers[pointer] = raw[first : first + nbytes]
        self.ledger.add(pointer, nbytes if asked is None else asked, nbytes, name, asked is not None)
        self._record("hipMalloc", f"{nbytes:,} bytes", nbytes, start)
        return pointer

    def free(self, pointer: int) -> None:
        """hipFree: give back what malloc gave; waits for all work first. Raises DoubleFree or InvalidPointer."""
        line = self.ledger.freeable(pointer, "hipFree")
        self._open()
        try:
            self.device_synchronize()
        finally:  # also where the last work breaks off
            self._give_back(line)

    def _give_back(self, line: Allocation) -> None:
        pointer, start = line.pointer, perf_counter()
        self.ledger.remove(pointer)
        self._mapped.pop(pointer, None)
        self._windows.pop(pointer, None)
        del self._buffers[pointer]
        self._record("hipFree", f"{line.reserved:,} bytes", 0, start)

    def mem_get_info(self) -> tuple[int, int]:
        """hipMemGetInfo: free and total bytes of the device."""
        self._open()
        return self._capacity - self.ledger.reserved, self._capacity

    def memset(self, pointer: int, value: int, nbytes: int, stream: Stream | None = None) -> None:
        """hipMemset: set `nbytes` bytes to `value` (0 to 255)."""
        check_sizes("hipMemset", None, nbytes=nbytes)
        if not isinstance(value, int) or not 0 <= value <= 255:
            raise ShapeError("number", call="hipMemset", name="value", want="0, ..., 255", got=value)
        target = self.view(pointer, _bytes(nbytes), "hipMemset", write=True)

        def work() -> None:
            target[...] = value

        self.launch("HIP", "hipMemset", f"{nbytes:,} bytes", 0, nbytes, work, stream)

    def memcpy(self, target: int | np.ndarray, source: int | np.ndarray, nbytes: int) -> None:
        """hipMemcpy in any of its four directions, told by which side is a pointer and which a NumPy array.

        Done when it returns, after all earlier work of the device. Raises InvalidPointer where either side is not
        `nbytes` of memory that may be read or written.
        """
        self.device_synchronize()
        self._copy("hipMemcpy", target, source, nbytes, None)
        self.device_synchronize()

    def memcpy_async(
        self, target: int | np.ndarray, source: int | np.ndarray, nbytes: int, stream: Stream | None = None
    ) -> None:
        """hipMemcpyAsync: as memcpy, in a stream's order. What comes from the host is staged at the call, so that it
        may be changed at once; what goes to the host is there after the stream was waited for."""
        self._copy("hipMemcpyAsync", target, source, nbytes, stream)

    def _copy(
        self, call: str, target: int | np.ndarray, source: int | np.ndarray, nbytes: int, stream: Stream | None
    ) -> None:
        check_sizes(call, None, nbytes=nbytes)
        words = {True: "device", False: "host"}
        direction = f"{words[isinstance(source, int)]} to {words[isinstance(target, int)]}, {nbytes:,} bytes"
        if isinstance(target, int) and isinstance(source, np.ndarray) and self._share(target, source, nbytes):
            start = perf_counter()
            self._record(call, f"{direction}, pages shared with the file", nbytes, start)
            return
        flat = _bytes(nbytes)
        to = (
            self.view(target, flat, call, write=True)
            if isinstance(target, int)
            else host_bytes(call, target, nbytes, True)
        )
        if isinstance(source, int):
            data = self.view(source, flat, call)
        else:
            data = host_bytes(call, source, nbytes, False)
            if self._delay:
                data = data.copy()

        def work() -> None:
            to[...] = data

        self.launch("HIP", call, direction, 0, nbytes, work, stream)

    def _share(self, pointer: int, host: np.ndarray, nbytes: int) -> bool:
        """Let a whole allocation read a file's pages in place; they are copied when it is first written."""
        if self._delay or host.nbytes != nbytes or not host.flags.c_contiguous or not _is_mapped(host):
            return False
        line = self.ledger.locate(pointer, nbytes, "hipMemcpy")
        if (line.pointer, line.nbytes) != (pointer, nbytes):
            return False
        self._windows.pop(pointer, None)
        self._mapped[pointer] = line, host.reshape(-1).view(np.uint8)
        return True

    def view(self, pointer: int, layout: Layout, call: str, *, write: bool = False) -> np.ndarray:
        """The elements behind a pointer, for this wing's rooms alone; raises where they are not all in one live
        allocation."""
        window = self._windows.get(pointer) if type(pointer) is int else None
        if window and window[1] is layout and window[0].state == "live" and not (write and pointer in self._mapped):
            return window[2]
        line = self.ledger.locate(pointer, layout.span, call)
        base = line.pointer
        buffer = self._buffers[base]
        if self._mapped and base in self._mapped:
            owner, pages = self._mapped[base]
            if owner is line and not write:
                buffer = pages
            else:
                del self._mapped[base]
                self._windows.pop(base, None)
                if owner is line:
                    buffer[: len(pages)] = pages
        array: np.ndarray = np.ndarray(layout.shape, layout.dtype, buffer, pointer - base, layout.byte_strides)
        if pointer == base:
            self._windows[base] = line, layout, array
        return array

    # Launches

    def launch(
        self, station: str, call: str, problem: object, operations: int, nbytes: int, work: Callable[[], None],
        stream: Stream | None = None,
    ) -> None:  # fmt: skip
        """Hand work to a stream, and enter it in the timeline."""
        queue = self._queue(call, stream)
        if not self._delay:
            start = perf_counter()
            work()
            stop = perf_counter()
            if self.timeline.enabled:
                self.timeline.record(station, call, problem, operations, nbytes, start, stop)
            return
        begin, end = Point(queue), Point(queue)
        queue.waiting.extend((begin.passed, work, end.passed))
        if self.timeline.enabled:
            self.timeline.record(station, call, problem, operations, nbytes, begin, end)

    def _record(self, call: str, sizes: str, nbytes: int, start: float) -> None:
        if self.timeline.enabled:
            self.timeline.record("HIP", call, sizes, 0, nbytes, start, perf_counter())

    @staticmethod
    def _elapsed(start: float | Point, stop: float | Point) -> float:
        """Milliseconds between two marks of the timeline: seconds, or with `delay` points, which it waits for."""
        if isinstance(stop, Point):
            stop.reach()
        first, last = (mark.seconds if isinstance(mark, Point) else mark for mark in (start, stop))
        return 0.0 if first is None or last is None else (last - first) * 1e3

    # Streams and events

    def stream_create(self) -> Stream:
        """hipStreamCreate."""
        self._open()
        self._streams.append(Stream(len(self._streams)))
        return self._streams[-1]

    def stream_destroy(self, stream: Stream) -> None:
        """hipStreamDestroy, after its work is done."""
        queue = self._queue("hipStreamDestroy", stream)
        self.stream_synchronize(queue)
        if queue is not self._streams[0]:
            self._streams.remove(queue)

    def stream_query(self, stream: Stream | None = None) -> bool:
        """hipStreamQuery: whether all its work is done."""
        return not self._queue("hipStreamQuery", stream).waiting

    def stream_synchronize(self, stream: Stream | None = None) -> None:
        """hipStreamSynchronize: wait for all work of a stream."""
        waiting = self._queue("hipStreamSynchronize", stream).waiting
        while waiting:
            waiting.popleft()()

    def stream_wait_event(self, stream: Stream | None, event: Event) -> None:
        """hipStreamWaitEvent: what comes later in the stream starts after the point that the event marks now."""
        queue = self._queue("hipStreamWaitEvent", stream)
        if event.point is not None and event.point.seconds is None:
            queue.waiting.append(event.point.reach)

    def _queue(self, call: str, stream: Stream | None) -> Stream:
        """The stream, or the null stream; InvalidPointer for one that is not (or no longer) this device's."""
        self._open()
        if stream is None:
            return self._streams[0]
        if stream not in self._streams:
            raise InvalidPointer("stream", call=call, got=repr(stream))
        return stream

    def event_create(self) -> Event:
        """hipEventCreate."""
        self._open()
        return Event()

    def event_record(self, event: Event, stream: Stream | None = None) -> None:
        """hipEventRecord: the event is passed once all work now in the stream is done."""
        queue = self._queue("hipEventRecord", stream)
        event.point = Point(queue)
        if self._delay:
            queue.waiting.append(event.point.passed)
        else:
            event.point.passed()

    def event_query(self, event: Event) -> bool:
        """hipEventQuery: whether the event was passed."""
        self._open()
        return event.point is not None and event.point.seconds is not None

    def event_synchronize(self, event: Event) -> None:
        """hipEventSynchronize: wait until the event was passed."""
        self._open()
        if event.point is not None:
            event.point.reach()

    def event_elapsed_time(self, start: Event, stop: Event) -> float:
        """hipEventElapsedTime: milliseconds between two events; LibraryError where one was not passed yet."""
        self._open()
        seconds = []
        for name, event in (("start", start), ("stop", stop)):
            if event.point is None or event.point.seconds is None:
                raise LibraryError(
                    "not_ready", call="hipEventElapsedTime", name=name, code=600, meaning="hipErrorNotReady",
                    gpu="simulator",
                )  # fmt: skip
            seconds.append(event.point.seconds)
        return (seconds[1] - seconds[0]) * 1e3

    def device_synchronize(self) -> None:
        """hipDeviceSynchronize: wait for all work of all streams."""
        self._open()
        for stream in self._streams:
            self.stream_synchronize(stream)

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def _open(self) -> None:
        if self._closed:
            raise UseAfterFree("closed")
