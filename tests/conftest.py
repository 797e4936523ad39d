"""For all tests, notebooks included: nothing of the user's is touched, and what was skipped is said aloud."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.append(str(Path(__file__).parent / "rocm"))  # the double of the ROCm libraries
import double

PEERS = ("torch", "transformers", "accelerate", "onnx", "onnxruntime", "efficientnet_lite_pytorch")
# What a skip's reason starts with, and what one line at the end says of all such skips.
GROUPS = {
    "peers": "that compare with torch, transformers or another peer (make peers installs them)",
    "browser": "in a browser (there is no Chromium here)",
    "models": "on a real model (it is not installed)",
    "double": "of the rocm wing over the double (there is no g++ or no hip-python here)",
    "emulated": "on an emulated GPU (TINYGRAD names no checkout, or pip install '.[emulated]' is missing)",
    "real": "on the real libraries of ROCm (python tools/rocm_libraries.py unpacks them, or says why it cannot)",
}
_IMPORT = re.compile(rf"could not import '({'|'.join(PEERS)})[.']")


def pytest_configure(config: pytest.Config) -> None:
    """Send what the package remembers to a folder of this run's; the kernels of notebooks inherit it.

    The unpacked models stay where they are: SmolLM2 takes seconds to unpack.
    """
    folder = tempfile.mkdtemp(prefix="factory-tests-")
    ours = {
        "FACTORY_FIND_DB": str(Path(folder) / "find-db.txt"),
        "FACTORY_LANG": "en",
        "XDG_CONFIG_HOME": folder,  # the remembered language
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(restore)
    # What a shell without job control runs in the background starts deaf to Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """peer("torch"): a package that the tests compare with, or the test is skipped, and counted at the end."""

    def import_or_skip(name: str) -> ModuleType:
        module: ModuleType = pytest.importorskip(name, reason=f"peers: {name} is not installed (make peers)")
        return module

    return import_or_skip


@pytest.fixture(scope="session")
def loaded_double() -> double.Double:
    """The double of HIP, hiprtc, rocBLAS and MIOpen in this process, or the test is skipped, and counted at the end."""
    if double.compiler() is None:
        pytest.skip("double: there is no g++")
    pytest.importorskip("hip", reason="double: hip-python is not installed")
    try:
        return double.Double(double.build(double.headers()))
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr, pytrace=False)


@pytest.fixture(scope="session")
def double_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run keeps what the rocm wing compiles and finds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def rocm_double(loaded_double: double.Double, double_cache: Path) -> Iterator[double.Double]:
    """The double as the one GPU of this process and its children, for one test."""
    with loaded_double.present(double_cache) as present:
        yield present


def _group(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Which of the GROUPS a skip belongs to."""
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if _IMPORT.match(reason):
        return "peers"
    if "browser" in getattr(report, "keywords", ()):
        return "browser"
    return next((name for name in GROUPS if reason.startswith(f"{name}:")), None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """One loud line for each group of skipped tests, after all other lines."""
    yield
    skipped = Counter(_group(report) for report in terminalreporter.stats.get("skipped", []))
    for name, what in GROUPS.items():
        if skipped[name]:
            terminalreporter.write_line(f"!!! Tests not run: {skipped[name]} {what}", red=True, bold=True)
    if double.compiler() and double.headers() is None:
        what = "the double stands on declarations of our own, so no signature of ROCm was checked (no headers here)"
        terminalreporter.write_line(f"!!! {what}", red=True, bold=True)
