"""One suite for both wings: `device` is each of them in turn, both also with their work held back. The rocm wing
stands on the double of the ROCm libraries."""

from __future__ import annotations

import gc

import pytest

import factory
from factory import language

WINGS = ("simulator", "simulator-delay", "rocm", "rocm-delay")


@pytest.fixture(scope="session", autouse=True)
def quick_collections():
    """Keep what was imported so far out of every gc.collect(), of which these tests do many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def english(monkeypatch):
    """Each test starts in English, whatever another one switched to."""
    monkeypatch.setattr(language, "_current", "en")


@pytest.fixture(params=WINGS)
def device(request):
    """A device of each wing; a test that leaves raw memory behind fails, on the double also one that leaves an event."""
    wing, _, delay = request.param.partition("-")
    if wing == "simulator":
        opened = factory.open("simulator", delay=bool(delay))
        yield opened
        assert opened.close() == []
        return
    double = request.getfixturevalue("rocm_double")
    double.set(hold=bool(delay))
    before = double.live
    opened = factory.open("rocm")
    yield opened
    assert opened.close() == [] and double.live == before


@pytest.fixture
def simulator():
    """The simulator alone, for what only it can show."""
    opened = factory.open("simulator")
    yield opened
    assert opened.close() == []


@pytest.fixture
def delayed():
    """The simulator that holds work back until something waits."""
    opened = factory.open("simulator", delay=True)
    yield opened
    assert opened.close() == []
