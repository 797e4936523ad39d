"""For the tests on the real libraries of ROCm, which run in another Python (real_rocm.python): pytest collects them
here as it does all others, a pytest in that Python runs them, and its reports become theirs.

no_device/ is what a machine without a GPU answers. fake_device/ has a HIP runtime with one GPU that does nothing, under
the real rocBLAS and MIOpen: what they are told, and what they make of it, is real, and no result is.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import real_rocm

HERE = Path(__file__).parent
CHILD = "FACTORY_TEST_REPORTS"  # in the other Python: the file descriptor to which its reports go
SECONDS = 600
# One GPU that does nothing, and all calls logged: rocBLAS's to a file, MIOpen's to standard error.
FAKE = {"EMULATED_GFX": "gfx900", "EMULATED_LAUNCHES": "none", "MIOPEN_ENABLE_LOGGING": "1", "ROCBLAS_LAYER": "1"}


class Elsewhere:
    """A pytest in another Python that runs some of this session's tests, in their order."""

    def __init__(self, items: Sequence[pytest.Item], python: Path, environment: dict[str, str], log: Path) -> None:
        self._config = items[0].config
        self._log = log
        self._last = items[-1]
        self._died = ""
        reading, writing = os.pipe()
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={self._config.rootpath}"]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, *(item.nodeid for item in items)], cwd=self._config.rootpath, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, pass_fds=(writing,),
                env={**os.environ, **environment, CHILD: str(writing)},
            )  # fmt: skip
        os.close(writing)
        self._lines = os.fdopen(reading)
        self._config.add_cleanup(self._process.kill)

    def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """What it says of a test; a failure where it died before it could, or as it ended."""
        for line in self._lines:
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            if report.nodeid == item.nodeid:
                if report.skipped and isinstance(report.longrepr, list):  # JSON has no tuples
                    report.longrepr = tuple(report.longrepr)
                yield report
                if report.when == "teardown":
                    if item is self._last and self._end() not in (0, 1):
                        yield self._failure(item)
                    return
        self._end()
        yield self._failure(item)

    def _end(self) -> int:
        try:
            return self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _failure(self, item: pytest.Item) -> pytest.TestReport:
        last = "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])
        text = f"The tests' other Python ended with {self._process.returncode}. The last that it said:\n{last}"
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")


elsewhere: dict[Path, Elsewhere] = {}
proved: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ours go last: between them and the others nothing that pytest has set up is passed on."""
    items.sort(key=_ours)


def _ours(item: pytest.Item) -> bool:
    return HERE in item.path.parents


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report what the other Python says of a test."""
    if not _ours(item) or CHILD in os.environ:
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        hook.pytest_runtest_logreport(report=report)
        if report.when == "call" and report.passed:
            for name, count in report.user_properties:
                proved[name] += count
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item) -> Iterator[pytest.TestReport]:
    if not _possible(item):
        path, line, _ = item.location
        reason = (path, (line or 0) + 1, f"Skipped: {real_rocm.MISSING}")
        return iter([pytest.TestReport(item.nodeid, item.location, {}, "skipped", reason, "setup")])
    return _elsewhere(item).reports(item)


def _possible(item: pytest.Item) -> bool:
    """Whether the libraries that a test needs are unpacked: all of them, or HIP and hiprtc for our kernels."""
    return bool(real_rocm.hip() if item.path.name == "test_real_kernels.py" else real_rocm.folder())


def _elsewhere(item: pytest.Item) -> Elsewhere:
    """The other Python for the folder that a test stands in, started for its first one."""
    folder = item.path.parent
    if folder not in elsewhere:
        fake = folder.name == "fake_device"
        passing = tempfile.TemporaryDirectory(prefix="factory-real-", ignore_cleanup_errors=True)
        item.config.add_cleanup(passing.cleanup)
        work = Path(passing.name)
        for name in ("cache", "runtime", "python"):
            (work / name).mkdir()
        runtime = real_rocm.build_runtime(work / "runtime") if fake else None
        python = real_rocm.python(work / "python", runtime)
        items = [other for other in item.session.items if other.path.parent == folder and _possible(other)]
        environment = {
            "XDG_CACHE_HOME": str(work / "cache"),
            "ROCBLAS_LOG_TRACE_PATH": str(work / "rocblas"),
            **(FAKE if fake else {}),
        }
        elsewhere[folder] = Elsewhere(items, python, environment, work / "log")
    return elsewhere[folder]


class Reporter:
    """In the other Python: sends each report to the one that started it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._file = os.fdopen(int(os.environ[CHILD]), "w", buffering=1)
        os.set_inheritable(self._file.fileno(), False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._file.write(json.dumps(data) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    if CHILD in os.environ:
        config.pluginmanager.register(Reporter(config))


@pytest.fixture
def prove(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """prove("calls", 3): count something that a test has proved, for the line at the end."""
    return record_property


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line of what was proved."""
    if proved:
        counts = ", ".join(f"{count} {name}" for name, count in proved.items())
        terminalreporter.write_line(f"On the real libraries of ROCm 6.4, without a GPU: {counts}")
