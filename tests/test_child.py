"""Another process for what may bring its own down: what it says arrives, and every end has its words."""

from __future__ import annotations

import os

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
