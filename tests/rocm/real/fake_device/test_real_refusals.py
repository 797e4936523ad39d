"""A GPU that is there and cannot be used is refused with one clear error, whatever it does to a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import factory
from factory.errors import LibraryError
try:
    factory.open("rocm")
except LibraryError as error:
    print(error.key, error)
"""


def opened(tmp_path, arch):
    """What opening says on a GPU of some kind that does nothing."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True,
        env={**os.environ, "EMULATED_GFX": arch, "XDG_CACHE_HOME": str(tmp_path), "FACTORY_LANG": "en"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_gpu_that_computes_nothing_is_found_out(tmp_path):
    assert opened(tmp_path, "gfx900").startswith("wrong hipModuleLaunchKernel gave a wrong result in a trial on gfx900")


def test_a_gpu_that_hiprtc_dies_of_takes_no_one_along(tmp_path):
    said = opened(tmp_path, "gfx9999")
    assert said.startswith("died hiprtcCompileProgram") and "on gfx9999" in said


@pytest.mark.parametrize("arch", ["", "sm_90"])
def test_a_gpu_with_a_strange_name_never_reaches_hiprtc(tmp_path, arch):
    assert opened(tmp_path, arch).startswith("arch")
