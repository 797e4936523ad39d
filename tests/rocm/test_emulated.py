"""The real rocBLAS, MIOpen and hiprtc, and their own kernels and ours, on a GPU that an emulator pretends: what the
device suite asks of a GPU, all at once. It proves arguments, layouts and numbers; of time and order it proves nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import real_rocm

HERE = Path(__file__).parent
TESTS = HERE.parent
GPUS = ("gfx906", "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1201")  # gfx900 runs everything
# What no part of this runs, and why.
NOT_EMULATED = {
    "gfx1030": "the emulator does not know RDNA2",
    "rocBLAS and MIOpen on a GPU other than gfx900": "rocBLAS's kernels were unpacked for it alone (others are up to 2 GB)",
    "Winograd and composable kernels": "Debian's MIOpen was built without them",
    "work that is held back, waits without end, faults": "launches are done when a call returns; the double has those",
    "waves of a block side by side": "each runs to its next barrier, the first one first",
}


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """A Python whose GPU is emulated; EMULATED_GFX says which."""
    checkout = os.environ.get("TINYGRAD", "")
    if not (Path(checkout) / "test" / "mockgpu" / "amd" / "emu.py").is_file():
        pytest.skip("emulated: TINYGRAD names no checkout of tinygrad")
    if real_rocm.folder() is None:
        pytest.skip(real_rocm.MISSING)
    for needed in ("msgpack", "elftools", "zstandard"):
        pytest.importorskip(needed, reason=f"emulated: {needed} is not installed")
    runtime = real_rocm.build_runtime(tmp_path_factory.mktemp("runtime"))
    return real_rocm.python(tmp_path_factory.mktemp("python"), runtime)


@pytest.fixture
def tell(request, capsys):
    """tell(line): a line on the terminal, also of a test that passes."""
    write = request.config.pluginmanager.get_plugin("terminalreporter").write_line

    def told(line: str) -> None:
        with capsys.disabled():
            write(line)

    return told


@pytest.fixture
def suite(python, tmp_path_factory, tell):
    """suite(GPU, FILE, ...): run test files there; the line that tells how it went."""
    cache = tmp_path_factory.getbasetemp() / "emulated-cache"

    def run(gfx: str, *files: Path, examples: int = 0) -> str:
        environment = {
            **os.environ, "EMULATED_GFX": gfx, "EMULATED_EXAMPLES": str(examples), "XDG_CACHE_HOME": str(cache),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (HERE / "emulated", HERE, TESTS / "device", real_rocm.ROOT))),
        }  # fmt: skip
        environment.pop("PYTEST_CURRENT_TEST", None)
        command = [python, "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", *files]
        ended = subprocess.run(command, env=environment, cwd=real_rocm.ROOT, capture_output=True, text=True)
        told = re.findall(r"^EMULATED .*", ended.stdout, re.MULTILINE)
        assert ended.returncode == 0 and told, ended.stdout[-6000:] + ended.stderr[-2000:]
        tell(told[-1])
        return told[-1]

    return run


def passed(line: str) -> int:
    """How many tests passed."""
    found = re.search(r"(\d+) passed", line)
    return int(found[1]) if found else 0


def test_the_device_suite_on_gfx900(suite, tell):
    for what, why in NOT_EMULATED.items():
        tell(f"Not emulated: {what} ({why})")
    files = sorted((TESTS / "device").glob("test_*.py"))
    line = suite("gfx900", *files)
    assert passed(line) > 580 and "2 xfailed" in line


@pytest.mark.parametrize("gfx", GPUS)
def test_every_kernel_of_ours_on(suite, gfx):
    assert passed(suite(gfx, TESTS / "device" / "test_kernels.py", examples=6)) > 50


def test_a_language_model_says_the_same_as_on_the_simulator(suite):
    assert passed(suite("gfx900", HERE / "emulated" / "case_models.py")) == 4
