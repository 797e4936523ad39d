"""The HIP room, the manager: memory, copies, streams, events and launches on a real GPU, through hip-python.

Everything of the device runs in one stream; only a learner makes more. No wait is left to HIP: all ask again and
again, so that a keyboard interrupt works and a stream that never ends is told.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import numpy as np

from factory.errors import FactoryError, InvalidPointer, LibraryError, OutOfDeviceMemory, ShapeError, UseAfterFree
from factory.memory import Allocation, Ledger, host_bytes
from factory.problem import check_sizes
from factory.rocm import libraries
from factory.rocm.events import Events, Span
from factory.rocm.staging import Staging
from factory.timeline import Timeline

_NON_BLOCKING = 1  # hipStreamNonBlocking: no hidden order with the null stream
_NO_DEVICE = 100


class _Here(threading.local):
    """Which device HIP takes this thread to mean."""

    index = -1


_here = _Here()


class Stream:
    """A queue of work on the GPU; commands of one stream run in order."""

    def __init__(self, number: int, handle: Any) -> None:
        self.number = number
        self.handle = handle

    def __repr__(self) -> str:
        return f"<Stream {self.number}>"


class Event:
    """What `event_record` marks a point of a stream with; recorded again, it marks another."""

    __slots__ = ("_events", "handle", "recorded")

    def __init__(self, events: Events) -> None:
        self._events = events
        self.handle = events.take()
        self.recorded = False

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._events.free.append(self.handle)

    def __repr__(self) -> str:
        return f"<Event, {'recorded' if self.recorded else 'not recorded'}>"


def count() -> int:
    """How many AMD GPUs HIP sees; 0 where it sees none. Raises LibraryError where there is no HIP."""
    api = libraries.Checked(libraries.bindings()[0], "hipError_t", "hipGetErrorString", "-")
    status, number = api.raw("hipGetDeviceCount")()
    libraries.one_runtime()
    if status == _NO_DEVICE:
        return 0
    libraries.check("hipGetDeviceCount", status, api.words, api.gpu)
    return int(number)


def order(first: int = 0) -> list[int]:
    """The GPUs from number `first` on, as they are best tried: cards before a processor's own graphics, which may be
    number 0, and for which rocBLAS may have no kernels (https://github.com/ROCm/legacy-rocm-build/issues/3015)."""
    numbers = range(first, count())
    api = libraries.Checked(libraries.bindings()[0], "hipError_t", "hipGetErrorString", "-")
    return sorted(numbers, key=lambda number: bool(api.hipGetDeviceProperties(number).integrated))


def described(properties: Any) -> tuple[str, str, int]:
    """What a driver says of a GPU: architecture ("gfx90a"), name, compute units.

    A system may know no name: https://github.com/ROCm/legacy-rocm-build/issues/1778. From gfx10 on, whose waves have 32
    lanes, HIP counts work-group processors, of two compute units each: https://github.com/ROCm/hip/issues/3767.
    """
    arch = properties.gcnArchName.partition(":")[0]
    pairs = properties.warpSize == 32 and os.environ.get("GPU_ENABLE_WGP_MODE") != "0"
    return arch, properties.name or arch, properties.multiProcessorCount * (2 if pairs else 1)


class Hip:
    """The HIP calls by their names without "hip", in snake case. A pointer is an int; host memory a NumPy array.

    Waits give up after `patience` seconds, with a LibraryError that names the call.
    """

    def __init__(self, index: int = 0) -> None:
        number = count()
        if not 0 <= index < number:
            raise LibraryError("no_gpu", index=index, count=number)
        self._module, _ = libraries.bindings()
        self.index = index
        self.api = libraries.Checked(self._module, "hipError_t", "hipGetErrorString", f"GPU {index}")
        self.properties = self.api.hipGetDeviceProperties(index)
        self.arch, self.name, self.compute_units = described(self.properties)
        self.api.gpu = f"{self.arch}, GPU {index}"
        self.ledger = Ledger()
        self.timeline = Timeline(self._elapsed)
        self.after_wait: Callable[[], None] = lambda: None
        self._closed = False
        self.enter()
        self._capacity = self.mem_get_info()[1]
        with ExitStack() as undo:
            self._events = Events(self.api, self._module)
            undo.callback(self._events.close)
            self._streams: list[Stream] = []
            undo.callback(self._destroy_streams)
            self.stream_create()
            self._staging = Staging(self.api, self._events, self._module.hipMemcpyKind)
            undo.callback(self._staging.close)
            self.closing = undo.pop_all()  # what the rooms put on it is undone at the end, the last first

    @property
    def patience(self) -> float:
        """How many seconds a wait lasts before it gives up."""
        return self._events.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._events.patience = seconds

    @property
    def stream(self) -> Any:
        """The handle of the device's own stream."""
        return self._streams[0].handle

    # Memory

    def malloc(self, nbytes: int, name: str = "hipMalloc", *, asked: int | None = None) -> int:
        """hipMalloc: the address of `nbytes` new bytes, whose content is whatever was there.

        The caller gives them back by `free` (with `asked`, an array's block, the pool does). Raises
        OutOfDeviceMemory where the GPU has no room, when the pool has made some.
        """
        self.enter()
        check_sizes("hipMalloc", None, nbytes=nbytes)
        try:
            return self._allocate(nbytes, name, asked)
        except OutOfDeviceMemory:
            pass  # a second try inside the handler would show a learner two errors
        self.ledger.make_room()
        return self._allocate(nbytes, name, asked)

    def _allocate(self, nbytes: int, name: str, asked: int | None) -> int:
        start = perf_counter()
        try:
            pointer = int(self.api.hipMalloc(nbytes)) if nbytes <= self._capacity else 0
        except LibraryError as error:
            if error.code != self._module.hipError_t.hipErrorOutOfMemory:
                raise
            pointer = 0
        if not pointer:
            ledger, free = self.ledger, self.mem_get_info()[0]
            key = "others" if free < nbytes else "piece"
            if nbytes > self._capacity - ledger.reserved:  # all that this program could have
                key = "device"
            raise OutOfDeviceMemory(
                key, name=name, asked=asked or nbytes, in_use=ledger.in_use, reserved=ledger.reserved,
                total=self._capacity, free=free,
            )  # fmt: skip
        self.ledger.add(pointer, nbytes if asked is None else asked, nbytes, name, asked is not None)
        self._record("hipMalloc", f"{nbytes:,} bytes", nbytes, start)
        return pointer

    def free(self, pointer: int) -> None:
        """hipFree: give back what malloc gave; waits for all work first. Raises DoubleFree or InvalidPointer."""
        line = self.ledger.freeable(pointer, "hipFree")
        self._open()
        try:
            self.device_synchronize()
        except FactoryError:
            if not self._events.gave_up:  # work that broke off, and not a wait without end, in which hipFree would join
                self._give_back(line)
            raise
        self._give_back(line)

    def _give_back(self, line: Allocation) -> None:
        start = perf_counter()
        self.api.hipFree(line.pointer)
        self.ledger.remove(line.pointer)
        self._record("hipFree", f"{line.reserved:,} bytes", 0, start)

    def mem_get_info(self) -> tuple[int, int]:
        """hipMemGetInfo: free and total bytes of the device."""
        self.enter()
        free, total = self.api.hipMemGetInfo()
        return int(free), int(total)

    def memset(self, pointer: int, value: int, nbytes: int, stream: Stream | None = None) -> None:
        """hipMemsetAsync: set `nbytes` bytes to `value` (0 to 255)."""
        check_sizes("hipMemset", None, nbytes=nbytes)
        if not isinstance(value, int) or not 0 <= value <= 255:
            raise ShapeError("number", call="hipMemset", name="value", want="0, ..., 255", got=value)
        self.ledger.locate(pointer, nbytes, "hipMemset")
        handle = self._queue("hipMemset", stream).handle
        self.launch(
            "HIP", "hipMemset", f"{nbytes:,} bytes", 0, nbytes,
            lambda: self.api.hipMemsetAsync(pointer, value, nbytes, handle), stream,
        )  # fmt: skip

    def memcpy(self, target: int | np.ndarray, source: int | np.ndarray, nbytes: int) -> None:
        """hipMemcpy in any of its four directions, told by which side is a pointer and which a NumPy array.

        Done when it returns, after all earlier work of the device. Raises InvalidPointer where either side is not
        `nbytes` of memory that may be read or written.
        """
        for stream in self._streams[1:]:
            self._events.wait_for_stream("hipMemcpy", stream.handle)
        self._copy("hipMemcpy", target, source, nbytes, None)
        self._events.wait_for_stream("hipMemcpy", self.stream)
        self.after_wait()

    def memcpy_async(
        self, target: int | np.ndarray, source: int | np.ndarray, nbytes: int, stream: Stream | None = None
    ) -> None:
        """hipMemcpyAsync: as memcpy, in a stream's order. What comes from the host is staged at the call, so that it
        may be changed at once; what goes to the host is waited for, as HIP does where the host's memory can be moved."""
        self._copy("hipMemcpyAsync", target, source, nbytes, stream)

    def _copy(
        self, call: str, target: int | np.ndarray, source: int | np.ndarray, nbytes: int, stream: Stream | None
    ) -> None:
        check_sizes(call, None, nbytes=nbytes)
        handle = self._queue(call, stream).handle
        kinds = self._module.hipMemcpyKind
        to = target if isinstance(target, int) else host_bytes(call, target, nbytes, True)
        data = source if isinstance(source, int) else host_bytes(call, source, nbytes, False)
        for pointer in (to, data):
            if isinstance(pointer, int):
                self.ledger.locate(pointer, nbytes, call)
        words = {True: "device", False: "host"}
        direction = f"{words[isinstance(source, int)]} to {words[isinstance(target, int)]}, {nbytes:,} bytes"

        def work() -> None:
            if isinstance(to, int):
                if isinstance(data, int):
                    self.api.hipMemcpyAsync(to, data, nbytes, kinds.hipMemcpyDeviceToDevice, handle)
                else:
                    self._staging.upload(to, data, handle)
            elif isinstance(data, int):
                self._staging.download(to, data, handle)
            else:
                self._events.wait_for_stream(call, handle)
                self.api.hipMemcpy(to, data, nbytes, kinds.hipMemcpyHostToHost)

        self.launch("HIP", call, direction, 0, nbytes, work, stream)

    # Launches

    def launch(
        self, station: str, call: str, problem: object, operations: int, nbytes: int, work: Callable[[], object],
        stream: Stream | None = None,
    ) -> None:  # fmt: skip
        """Hand work to a stream, between two events while the timeline is on, and enter it in the timeline."""
        self.enter()
        queue = self._streams[0] if stream is None else self._queue(call, stream)
        events = self._events
        events.last = call
        if not self.timeline.enabled:
            work()
            return
        span = events.begin(queue.handle)
        try:
            work()
            events.end(span, queue.handle)
        except BaseException:
            events.drop(span)
            raise
        self.timeline.record(station, call, problem, operations, nbytes, span, span)

    def timed(self, work: Callable[[], object]) -> float:
        """Milliseconds that work takes in the device's own stream; nothing of it shows in the timeline."""
        span = self._events.begin(self.stream)
        try:
            work()
            self._events.end(span, self.stream)
        except BaseException:
            self._events.drop(span)
            raise
        return self._events.milliseconds(span)

    def _record(self, call: str, sizes: str, nbytes: int, start: float) -> None:
        """Enter what the host waited for: its time is the host's."""
        if self.timeline.enabled:
            span = Span(milliseconds=(perf_counter() - start) * 1e3)
            self.timeline.record("HIP", call, sizes, 0, nbytes, span, span)

    def _elapsed(self, start: Span, _: Span) -> float:
        return self._events.milliseconds(start)

    # Streams and events

    def stream_create(self) -> Stream:
        """hipStreamCreateWithFlags(hipStreamNonBlocking)."""
        self.enter()
        self._streams.append(Stream(len(self._streams), self.api.hipStreamCreateWithFlags(_NON_BLOCKING)))
        return self._streams[-1]

    def stream_destroy(self, stream: Stream) -> None:
        """hipStreamDestroy, after its work is done."""
        queue = self._queue("hipStreamDestroy", stream)
        self.stream_synchronize(queue)
        if queue is not self._streams[0]:
            self.api.hipStreamDestroy(queue.handle)
            self._streams.remove(queue)

    def stream_query(self, stream: Stream | None = None) -> bool:
        """hipStreamQuery: whether all its work is done."""
        return self._events.idle(self._queue("hipStreamQuery", stream).handle)

    def stream_synchronize(self, stream: Stream | None = None) -> None:
        """Wait for all work of a stream, as hipStreamSynchronize does."""
        call = "hipStreamSynchronize"
        self._events.wait_for_stream(call, self._queue(call, stream).handle)
        self.after_wait()

    def stream_wait_event(self, stream: Stream | None, event: Event) -> None:
        """hipStreamWaitEvent: what comes later in the stream starts after the point that the event marks now."""
        queue = self._queue("hipStreamWaitEvent", stream)
        if event.recorded:
            self.api.hipStreamWaitEvent(queue.handle, event.handle, 0)

    def _queue(self, call: str, stream: Stream | None) -> Stream:
        """The stream, or the device's own; InvalidPointer for one that is not (or no longer) this device's."""
        self._open()
        if stream is None:
            return self._streams[0]
        if stream not in self._streams:
            raise InvalidPointer("stream", call=call, got=repr(stream))
        return stream

    def _destroy_streams(self) -> None:
        with ExitStack() as everything:
            while self._streams:
                everything.callback(self.api.hipStreamDestroy, self._streams.pop().handle)

    def event_create(self) -> Event:
        """hipEventCreate."""
        self.enter()
        return Event(self._events)

    def event_record(self, event: Event, stream: Stream | None = None) -> None:
        """hipEventRecord: the event is passed once all work now in the stream is done."""
        queue = self._queue("hipEventRecord", stream)
        self._events.mark(event.handle, queue.handle)
        event.recorded = True

    def event_query(self, event: Event) -> bool:
        """hipEventQuery: whether the event was passed."""
        self._open()
        return event.recorded and self._events.passed(event.handle)

    def event_synchronize(self, event: Event) -> None:
        """Wait until the event was passed, as hipEventSynchronize does."""
        self._open()
        if event.recorded:
            self._events.wait("hipEventSynchronize", event.handle)
            self.after_wait()

    def event_elapsed_time(self, start: Event, stop: Event) -> float:
        """hipEventElapsedTime: milliseconds between two events; LibraryError where one was not passed yet."""
        for name, event in (("start", start), ("stop", stop)):
            if not self.event_query(event):
                code = self._module.hipError_t.hipErrorNotReady
                raise LibraryError(
                    "not_ready", call="hipEventElapsedTime", name=name, code=int(code), meaning=self.api.words(code),
                    gpu=self.api.gpu,
                )  # fmt: skip
        return float(self.api.hipEventElapsedTime(start.handle, stop.handle))

    def device_synchronize(self) -> None:
        """Wait for all work of all streams, as hipDeviceSynchronize does."""
        self._open()
        for stream in self._streams:
            self._events.wait_for_stream("hipDeviceSynchronize", stream.handle)
        self.after_wait()

    def close(self) -> None:
        """Give the streams, events and buffers back, and refuse everything from now on."""
        if not self._closed:
            self._closed = True
            # What never ends cannot be destroyed either.
            if not self._events.gave_up or all(self._events.idle(stream.handle) for stream in self._streams):
                self.closing.close()

    def enter(self) -> None:
        """Make HIP take this thread to mean this device; before all that is made on it. Raises UseAfterFree after
        close."""
        self._open()
        if _here.index != self.index:
            self.api.hipSetDevice(self.index)
            _here.index = self.index

    def _open(self) -> None:
        if self._closed:
            raise UseAfterFree("closed")
