"""What find has measured, kept between sessions: a text file like MIOpen's own user find-db.

One record a line: the problem, the setting it was measured in, and each solver's milliseconds and workspace. A line
that cannot be read is skipped, and a file that cannot be read or written is no error: find then measures again.
"""

from __future__ import annotations

import json
import os
import platform
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import scipy

from factory.problem import ConvolutionProblem

Times = dict[str, tuple[float, int]]  # solver: milliseconds, workspace in bytes

_VERSION = 2  # of the solvers: raise it when one of them changes, and what was measured counts no more


def path() -> Path:
    """The file: FACTORY_FIND_DB, or find-db.txt in the user's cache folder."""
    named = os.environ.get("FACTORY_FIND_DB")
    return Path(named) if named else Path(platformdirs.user_cache_dir("inference-factory")) / "find-db.txt"


@cache
def setting() -> str:
    """What a time depends on besides the problem: processor, NumPy, SciPy, BLAS, threads, and our solvers."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    parts = (
        _processor(), f"numpy {np.__version__}", f"scipy {scipy.__version__}", f"{blas.get('name')} {blas.get('version')}",
        "1 thread", f"solvers {_VERSION}",
    )  # fmt: skip
    return ", ".join(parts).replace("\t", " ")


class FindDb:
    """The records of this setting, in memory and on disk."""

    def __init__(self) -> None:
        self._times: dict[str, Times] | None = None

    def get(self, problem: ConvolutionProblem) -> Times | None:
        """What was measured for a problem, or None."""
        if self._times is None:
            self._times = _read()
        return self._times.get(str(problem))

    def put(self, problem: ConvolutionProblem, times: Times) -> None:
        """Remember a measurement, and add it to the file where that can be written."""
        self.get(problem)
        assert self._times is not None
        self._times[str(problem)] = times
        line = "\t".join((str(problem), setting(), json.dumps(times)))
        try:
            path().parent.mkdir(parents=True, exist_ok=True)
            # One write of one line in append mode: two processes at once do not tear each other's records.
            with open(path(), "a", encoding="utf-8") as file:
                file.write(f"\n{line}\n" if _unfinished(path()) else f"{line}\n")
        except OSError:
            pass


def _unfinished(file: Path) -> bool:
    """Whether the file ends in the middle of a line, as after a crash."""
    with open(file, "rb") as f:
        f.seek(0, os.SEEK_END)
        if f.tell() == 0:
            return False
        f.seek(-1, os.SEEK_END)
        return f.read(1) != b"\n"


def _read() -> dict[str, Times]:
    try:
        lines = path().read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, Times] = {}
    for line in lines:
        problem, _, rest = line.partition("\t")
        measured_in, _, record = rest.partition("\t")
        if measured_in != setting():
            continue
        try:
            times = {str(solver): (float(ms), int(bytes_)) for solver, (ms, bytes_) in json.loads(record).items()}
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
        if times and all(isfinite(ms) and ms >= 0 and bytes_ >= 0 for ms, bytes_ in times.values()):
            found[problem] = times
    return found


def _processor() -> str:
    """The processor's name, from the system where it tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
