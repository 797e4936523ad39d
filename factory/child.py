"""Another Python process, for what may bring down the one it runs in: what it says as it goes, and how it ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from factory.language import Text

_MARK = "\x1efactory: "  # libraries write to standard output as well
_SIGNAL = Text("シグナル {name} で止まりました{last}", "stopped by the signal {name}{last}")
_EXIT = Text("終了コード {code} で終わりました{last}", "ended with exit status {code}{last}")
_SLOW = Text("{seconds:g} 秒待っても答えません", "no answer in {seconds:g} seconds")


def say(message: Any) -> None:
    """In the other process: hand over a message (whatever JSON can hold; other things become text)."""
    print(f"\n{_MARK}{json.dumps(message, default=str)}", flush=True)


class Child:
    """A process that runs Python code; iterating over it starts it, and gives its messages as they come.

    `death` is then how it ended, None where it ended well. It is stopped where it says nothing for `seconds`, and
    where the iteration is left.
    """

    def __init__(self, code: str, seconds: float) -> None:
        self.death: Text | None = None
        self._code = code
        self._seconds = seconds

    def __iter__(self) -> Iterator[Any]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-c", self._code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=complaints, env=environment, encoding="utf-8", errors="replace",
                )  # fmt: skip
            except OSError as error:
                self.death = Text(str(error), str(error))
                return
            lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
            reader.start()
            try:
                while (line := lines.get(timeout=self._seconds)) is not None:
                    if line.startswith(_MARK):
                        yield json.loads(line[len(_MARK) :])
                process.wait(self._seconds)
            except (queue.Empty, subprocess.TimeoutExpired):
                self.death = _SLOW.format(seconds=self._seconds)
            finally:
                process.kill()
                process.wait()
            if self.death is None and process.returncode:
                complaints.seek(0)
                self.death = _ending(process.returncode, complaints.read().decode(errors="replace"))


def _pass_on(lines: Any, to: queue.SimpleQueue[str | None]) -> None:
    with lines:
        for line in lines:
            to.put(line)
    to.put(None)


def _ending(code: int, complaints: str) -> Text:
    """How a process ended, with the last line that it wrote to standard error."""
    last = "".join(f": {line.strip()}" for line in complaints.strip().splitlines()[-1:])
    if code > 0:
        return _EXIT.format(code=code, last=last)
    return _SIGNAL.format(name=signal.Signals(-code).name, last=last)
