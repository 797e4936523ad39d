"""A device of the rocm wing on one GPU that does nothing, and what rocBLAS and MIOpen were asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from library_log import Call, parse

import factory
from factory import Device
from factory.rocm import trial


@pytest.fixture(scope="module")
def opening() -> Iterator[Callable[[], Device]]:
    """Opens a device without its trial, which would see that nothing is computed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "refused", lambda hip: {})
        yield lambda: factory.open("rocm")


@pytest.fixture(scope="module")
def device(opening: Callable[[], Device]) -> Iterator[Device]:
    """One device for a module's tests: MIOpen compiles its kernels anew for the next one."""
    opened = opening()
    yield opened
    assert opened.close() == []


@pytest.fixture
def logged(capfd) -> Callable[..., list[Call]]:
    """logged(name, ...): the calls since it was asked last, of some functions or of all, MIOpen's first."""
    products = Path(os.environ["ROCBLAS_LOG_TRACE_PATH"])

    def calls(*functions: str) -> list[Call]:
        found = parse(capfd.readouterr().err + products.read_text())
        os.truncate(products, 0)
        return [call for call in found if call.function in functions or not functions]

    products.touch()
    calls()
    return calls


@pytest.fixture(scope="session")
def assembler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What MIOpen takes for an assembler when it asks for its version, and which assembles nothing."""
    script = tmp_path_factory.mktemp("assembler") / "assembler"
    script.write_text('#!/bin/sh\ncase "$*" in *--version*) echo "clang version 21.1.8" ;; *) exit 1 ;; esac\n')
    script.chmod(0o755)
    return script
