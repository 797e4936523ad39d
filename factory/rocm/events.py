"""Events of HIP, and waiting for them: times of commands, and waits that poll, so that a keyboard interrupt works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from math import nan
from time import perf_counter, sleep
from typing import Any

from factory.errors import LibraryError
from factory.rocm.libraries import Checked, check

PATIENCE = 60.0  # seconds
_AGAIN = 0.05  # seconds of a wait after one that gave up
_SPIN = 200e-6  # seconds of asking again at once; most work of a small model is done by then
_PENDING = 512  # commands whose times were not read yet, from which on the oldest are read and their events used again
# And from which on the oldest is waited for: an event that was recorded may hold one of the 4096 signals that the
# driver gives a process, without which HIP makes no further stream (https://github.com/ROCm/mori/pull/491).
_MOST = 1536


class Span:
    """The time that a command took: two events, then milliseconds; nan where they could not be read at close."""

    __slots__ = ("milliseconds", "start", "stop")

    def __init__(self, start: Any = None, stop: Any = None, milliseconds: float | None = None) -> None:
        self.start = start
        self.stop = stop
        self.milliseconds = milliseconds


class Events:
    """The events of one device, used again and again.

    patience is how many seconds a wait lasts before it gives up, last the command that was handed over last.
    """

    def __init__(self, api: Checked, module: Any) -> None:
        self.free: list[Any] = []
        self._made: list[Any] = []
        self.patience = PATIENCE
        self.gave_up = False
        self.last = "-"
        self._api = api
        self._record = api.raw("hipEventRecord")
        self._event_query = api.raw("hipEventQuery")
        self._stream_query = api.raw("hipStreamQuery")
        self._done = module.hipError_t.hipSuccess
        self._not_ready = module.hipError_t.hipErrorNotReady
        self._pending: deque[Span] = deque()

    def take(self) -> Any:
        """An event that nobody uses; it goes back by `free.append`."""
        if not self.free:
            self._made.append(self._api.hipEventCreate())
            return self._made[-1]
        return self.free.pop()

    # Times

    def begin(self, stream: Any) -> Span:
        """A span that starts where the stream's work ends now."""
        if len(self._pending) >= _PENDING:
            self._read_oldest()
        span = Span(self.free.pop() if self.free else self.take())
        try:
            self.mark(span.start, stream)
        except LibraryError:
            self.drop(span)
            raise
        return span

    def end(self, span: Span, stream: Any) -> None:
        """The span ends where the stream's work ends now."""
        span.stop = self.free.pop() if self.free else self.take()
        self.mark(span.stop, stream)
        self._pending.append(span)

    def mark(self, event: Any, stream: Any) -> None:
        """hipEventRecord: the event is passed once all work now in the stream is done."""
        status = self._record(event, stream)[0]
        if status is not self._done:
            check("hipEventRecord", status, self._api.words, self._api.gpu)

    def drop(self, span: Span) -> None:
        """Take a span's events back."""
        self.free += [event for event in (span.start, span.stop) if event is not None]
        span.start = span.stop = None

    def milliseconds(self, span: Span) -> float:
        """How long a span was; waits for its end."""
        if span.milliseconds is None:
            self.wait("hipEventElapsedTime", span.stop)
            return self._read(span)
        return span.milliseconds

    def _read(self, span: Span) -> float:
        """The time of a span that is over; its events go back."""
        # HIP may say a little less than nothing: https://github.com/ROCm/rocm-systems/pull/9375
        span.milliseconds = took = max(0.0, float(self._api.hipEventElapsedTime(span.start, span.stop)))
        self.free += span.start, span.stop
        span.start = span.stop = None
        return took

    def _read_oldest(self) -> None:
        """Read the times of the oldest commands as far as they are over; with very many, of one at least."""
        oldest = self._pending[0]
        if len(self._pending) >= _MOST and oldest.milliseconds is None:
            self.wait(self.last, oldest.stop)
        for _ in range(_PENDING // 2):
            span = self._pending[0]
            if span.milliseconds is None:
                if not self.passed(span.stop):
                    return
                self._read(span)
            self._pending.popleft()

    # Waits

    def passed(self, event: Any) -> bool:
        """Whether the stream has come to an event that was recorded."""
        return self._is_done("hipEventQuery", self._event_query, event)

    def idle(self, stream: Any) -> bool:
        """Whether all work of a stream is done."""
        return self._is_done("hipStreamQuery", self._stream_query, stream)

    def _is_done(self, call: str, query: Callable[..., tuple[Any, ...]], handle: Any) -> bool:
        (status,) = query(handle)
        if status is self._done:
            return True
        if status is not self._not_ready:
            check(call, status, self._api.words, self._api.gpu)
        return False

    def wait(self, call: str, event: Any) -> None:
        """Wait for an event."""
        self._poll(call, self.passed, event)

    def wait_for_stream(self, call: str, stream: Any) -> None:
        """Wait for all work of a stream."""
        self._poll(call, self.idle, stream)

    def _poll(self, call: str, done: Callable[[Any], bool], handle: Any) -> None:
        """Ask until it is done; LibraryError after `patience` seconds, and soon when a wait gave up before."""
        if done(handle):
            return
        patience = min(_AGAIN, self.patience) if self.gave_up else self.patience
        start = perf_counter()
        while not done(handle):
            waited = perf_counter() - start
            if waited > patience:
                self.gave_up = True
                raise LibraryError(
                    "timeout", call=call, code=int(self._not_ready), meaning=self._api.words(self._not_ready),
                    gpu=self._api.gpu, seconds=self.patience, last=self.last,
                )  # fmt: skip
            if waited > _SPIN:
                sleep(min(1e-3, waited / 10))
        self.gave_up = False

    def close(self) -> None:
        """Read the times that are still out, and destroy all events, whoever holds them.

        A time that cannot be read is nan from now on; the first such failure is raised when all is done.
        """
        with ExitStack() as everything:  # one that cannot be destroyed does not keep the others
            while self._made:
                everything.callback(self._api.hipEventDestroy, self._made.pop())
            everything.callback(self.free.clear)
            self._read_all()

    def _read_all(self) -> None:
        failure: BaseException | None = None
        while self._pending:
            span = self._pending.popleft()
            try:
                self.milliseconds(span)
            except BaseException as error:  # an interrupt too: no span may keep an event that is destroyed next
                failure = failure or error
                span.milliseconds = nan
                self.drop(span)
        if failure:
            raise failure
