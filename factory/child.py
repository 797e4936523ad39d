"""Another Python process, for what may bring down the one it runs in: what it says as it goes, and how it ended."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from factory.language import Text

_MARK = "\x1efactory: "  # libraries write to standard output as well
_END = "\x1efactory end"
_LEAVING = 10.0  # seconds that a process has for its exit, and the system to take one away that was killed
_MOST = 4000  # bytes of complaints that are passed on
# Of what a library writes as it ends the process, the line that says why: rocBLAS without kernels for a GPU goes on
# with a list of files (https://github.com/ROCm/legacy-rocm-build/issues/3015).
_TELLING = re.compile(r"\b(error|exception|fault|what\(\))", re.IGNORECASE)
_SIGNAL = Text("シグナル {name} で止まりました{last}", "stopped by the signal {name}{last}")
_EXIT = Text("終了コード {code} で終わりました{last}", "ended with exit status {code}{last}")
_SLOW = Text("{seconds:g} 秒待っても答えません", "no answer in {seconds:g} seconds")


def say(message: Any) -> None:
    """In the other process: hand over a message (whatever JSON can hold; other things become text)."""
    print(f"\n{_MARK}{json.dumps(message, default=str)}", flush=True)


def end() -> None:
    """In the other process: all is done. How it goes down from here is no matter of ours."""
    print(f"\n{_END}", flush=True)


class Child:
    """A process that runs Python code; iterating over it starts it, and gives its messages as they come.

    `death` is then how it ended, None where it came to the end of its code: HIP may crash while a process exits
    (https://github.com/ROCm/AMDMIGraphX/issues/4792), which says nothing of what was done. It is stopped where it says
    nothing for `seconds`, and where the iteration is left.
    """

    def __init__(self, code: str, seconds: float) -> None:
        self.death: Text | None = None
        self._code = f"{code}\nfrom factory.child import end\nend()"
        self._seconds = seconds
        self._errors: Path | None = None
        self._complaints = ""

    def complaints(self) -> str:
        """What it has written to standard error so far; the end of it where that is much."""
        if self._errors and self._errors.exists():
            with self._errors.open("rb") as written:
                written.seek(max(0, written.seek(0, os.SEEK_END) - _MOST))
                self._complaints = written.read().decode(errors="replace")
        return self._complaints

    def __iter__(self) -> Iterator[Any]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._errors = Path(folder) / "stderr"
            try:
                with self._errors.open("wb") as errors:
                    process = subprocess.Popen(
                        [sys.executable, "-c", self._code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=errors, env=environment, encoding="utf-8", errors="replace",
                    )  # fmt: skip
            except OSError as error:
                self.death = Text(str(error), str(error))
                return
            lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
            reader.start()
            ended = False
            try:
                while not ended and (line := lines.get(timeout=self._seconds)) is not None:
                    if line.startswith(_MARK):
                        yield json.loads(line[len(_MARK) :])
                    ended = line.startswith(_END)
                process.wait(_LEAVING if ended else self._seconds)
            except (queue.Empty, subprocess.TimeoutExpired):
                if not ended:
                    self.death = _SLOW.format(seconds=self._seconds)
            finally:
                process.kill()
                with suppress(subprocess.TimeoutExpired):  # one that waits for a GPU inside the system cannot be killed
                    process.wait(_LEAVING)
                complaints = self.complaints()
            if self.death is None and process.returncode and not ended:
                self.death = _ending(process.returncode, complaints)


def _pass_on(lines: Any, to: queue.SimpleQueue[str | None]) -> None:
    with lines:
        for line in lines:
            to.put(line)
    to.put(None)


def _ending(code: int, complaints: str) -> Text:
    """How a process ended, with the line of its complaints that says most: for an exception of Python's the last."""
    lines = complaints.strip().splitlines()
    telling = [line for line in lines if code < 0 and _TELLING.search(line)] or lines
    last = "".join(f": {line.strip()}" for line in telling[-1:])
    if code > 0:
        return _EXIT.format(code=code, last=last)
    return _SIGNAL.format(name=signal.Signals(-code).name, last=last)
