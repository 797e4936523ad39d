"""Another process for what may bring its own down: what it says arrives, and every end has its words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from factory.child import Child

SAY = "from factory.child import say\n"


def test_messages_arrive_whatever_else_is_printed() -> None:
    child = Child(f"{SAY}print('a library', end='')\nsay({{'n': 1}})\nsay([None, 'あ', 2.5])", 30)
    assert (list(child), child.death) == ([{"n": 1}, [None, "あ", 2.5]], None)


@pytest.mark.parametrize(
    ("code", "words"),
    [("import os; os.abort()", "SIGABRT"), ("import os; os._exit(3)", "3"), ("raise ValueError('no kernels')", "ValueError: no kernels")],
)  # fmt: skip
def test_an_end_that_is_no_good_one_is_told_after_what_was_said(code: str, words: str) -> None:
    child = Child(f"{SAY}say(1)\n{code}", 30)
    assert list(child) == [1]
    assert child.death is not None and all(words in text for text in child.death)


def test_one_that_says_nothing_more_is_stopped() -> None:
    child = Child(f"{SAY}import os, time\nsay(os.getpid())\ntime.sleep(600)", 2)
    (process,) = child
    assert child.death is not None and "2 seconds" in child.death.en
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_leaving_the_messages_stops_it() -> None:
    messages = iter(Child(f"{SAY}import os, time\nsay(os.getpid())\ntime.sleep(600)", 600))
    process = next(messages)
    messages.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_what_happens_after_the_end_is_not_held_against_it() -> None:
    child = Child(f"{SAY}import atexit, os\natexit.register(os.abort)\nsay(1)", 30)
    assert (list(child), child.death) == ([1], None)
    child = Child(f"{SAY}import atexit, os\natexit.register(os.abort)\nsay(1)\nraise ValueError('before the end')", 30)
    assert list(child) == [1] and child.death is not None


def test_what_was_written_to_standard_error_can_be_read_as_it_goes(tmp_path: Path) -> None:
    read = tmp_path / "read"
    child = Child(f"{SAY}import os, sys\nos.write(2, b'first')\nsay(1)\nwhile not os.path.exists({str(read)!r}): pass\n"
                  "os.write(2, b'x' * 9000 + b'last')", 30)  # fmt: skip
    for _ in child:
        assert child.complaints() == "first"
        read.touch()
    rest = child.complaints()
    assert child.death is None and len(rest) == 4000 and rest.endswith("xlast")


ROCBLAS = """rocBLAS error: Cannot read TensileLibrary.dat: No such file or directory for GPU arch : gfx1036
 List of available TensileLibrary Files :
"/opt/rocm/lib/rocblas/library/TensileLibrary_lazy_gfx1030.dat"
"""
CPP = """terminate called after throwing an instance of 'std::runtime_error'
  what():  no device
"""
GPU = """Memory access fault by GPU node-1 (Agent handle: 0x1) on address 0x1000. Reason: Page not present.
GPU core dump failed
"""


@pytest.mark.parametrize(
    ("written", "why"),
    [(ROCBLAS, "for GPU arch : gfx1036"), (CPP, "no device"), (GPU, "Memory access fault by GPU"), ("left\n", "left")],
)
def test_of_what_a_library_writes_before_it_aborts_the_reason_is_told(written: str, why: str) -> None:
    child = Child(f"import os\nos.write(2, {written.encode()!r})\nos.abort()", 30)
    assert list(child) == [] and child.death is not None
    assert "SIGABRT: " in child.death.en and why in child.death.en and len(child.death.en.splitlines()) == 1
