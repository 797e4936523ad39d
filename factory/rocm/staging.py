"""Copies between the host and the device through a ring of pinned buffers, the only host memory a GPU reads at speed."""

from __future__ import annotations

import ctypes
from collections import deque
from contextlib import ExitStack
from typing import Any

import numpy as np

from factory.rocm.events import Events
from factory.rocm.libraries import Checked

_SLOTS = 4
_BYTES = 4 << 20


class _Slot:
    """One pinned buffer, and the event that says when the GPU is done with it."""

    def __init__(self, pinned: Any, event: Any) -> None:
        self.pinned = pinned
        self.address = int(pinned)
        self.event = event
        self.held = False  # what the GPU put there was not fetched yet
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * _BYTES).from_address(self.address))


class Staging:
    """While the GPU copies one buffer, the host fills or empties the next. Buffers are made as they are needed."""

    def __init__(self, api: Checked, events: Events, kinds: Any) -> None:
        self._api = api
        self._events = events
        self._kinds = kinds
        self._ring: deque[_Slot] = deque()

    def upload(self, pointer: int, data: np.ndarray, stream: Any) -> None:
        """Copy bytes to the device in a stream's order; `data` may be changed as soon as this returns."""
        for start in range(0, len(data), _BYTES):
            part = data[start : start + _BYTES]
            slot = self._next()
            slot.bytes[: len(part)] = part
            self._hand_over(pointer + start, slot.address, len(part), self._kinds.hipMemcpyHostToDevice, slot, stream)

    def download(self, data: np.ndarray, pointer: int, stream: Any) -> None:
        """Copy bytes from the device once the stream's work is done, and wait for them."""
        under_way: deque[tuple[_Slot, np.ndarray]] = deque()
        for start in range(0, len(data), _BYTES):
            if len(under_way) == _SLOTS:
                self._land(*under_way.popleft())
            part = data[start : start + _BYTES]
            slot = self._next()
            self._hand_over(slot.address, pointer + start, len(part), self._kinds.hipMemcpyDeviceToHost, slot, stream)
            slot.held = True
            under_way.append((slot, part))
        while under_way:
            self._land(*under_way.popleft())

    def _land(self, slot: _Slot, part: np.ndarray) -> None:
        self._events.wait("hipMemcpyAsync", slot.event)
        part[...] = slot.bytes[: len(part)]
        slot.held = False

    def _hand_over(self, target: int, source: int, nbytes: int, kind: Any, slot: _Slot, stream: Any) -> None:
        self._api.hipMemcpyAsync(target, source, nbytes, kind, stream)
        self._api.hipEventRecord(slot.event, stream)

    def _next(self) -> _Slot:
        """A buffer that is free, a new one while there are few, or else the oldest once the GPU is done with it."""
        ring = self._ring
        if not ring or ((ring[0].held or not self._events.passed(ring[0].event)) and len(ring) < _SLOTS):
            event = self._events.take()
            try:
                ring.appendleft(_Slot(self._api.hipHostMalloc(_BYTES, 0), event))
            except BaseException:
                self._events.free.append(event)
                raise
        else:
            self._events.wait("hipMemcpyAsync", ring[0].event)
        ring.rotate(-1)
        return ring[-1]

    def close(self) -> None:
        """Give the buffers back."""
        with ExitStack() as everything:
            while self._ring:
                slot = self._ring.pop()
                self._events.free.append(slot.event)
                everything.callback(self._api.hipHostFree, slot.pinned)
