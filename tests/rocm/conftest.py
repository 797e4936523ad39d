"""For the tests of the rocm wing: a device on the double, and other processes that see the double too."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

import factory
from factory import language


@pytest.fixture(scope="session", autouse=True)
def quick_collections():
    """Keep what was imported so far out of every gc.collect(), of which these tests do many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def english(monkeypatch):
    """Each test starts in English, whatever another one switched to."""
    monkeypatch.setattr(language, "_current", "en")


@pytest.fixture
def device(rocm_double):
    """A device of the rocm wing; a test that leaves anything behind in HIP fails."""
    before = rocm_double.live
    opened = factory.open("rocm")
    yield opened
    assert opened.close() == [] and rocm_double.live == before


@pytest.fixture
def child(rocm_double):
    """child(program, NAME=value, ...): a Python program in another process, with additions to its environment."""

    def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
