"""The shelf shows what the ledger holds; a leak is shown where it is made, every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import factory
from factory import Device, lab

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def device() -> Iterator[Device]:
    with factory.open("simulator", memory=16384) as opened:
        yield opened


def test_shelf_says_what_the_memory_says(device: Device) -> None:
    kept = device.array(np.ones(1100, np.float32), name="weights")
    freed = device.array(np.ones(500, np.float32), name="tokens")
    assert "6,400 in use (weights 4,400, tokens 2,000)" in lab.memory_picture(device).description.en
    freed.free()
    said = lab.memory_picture(device).description.en
    free = 16384 - device.memory.reserved
    assert "4,400 in use (weights 4,400)" in said and f"2,048 kept by the pool, {free:,} free" in said
    assert kept.alive


def test_empty_and_full_shelves_are_drawn(device: Device) -> None:
    assert "なし" in lab.memory_picture(device).description.ja
    arrays = [device.empty(8, name=f"array {i}") for i in range(12)]
    picture = lab.memory_picture(device)
    assert "4 more, 128 bytes" in picture.drawing and "array 7" in picture.drawing and "array 8" not in picture.drawing
    assert len(arrays) == 12


def test_raw_memory_and_its_line_are_shown(device: Device) -> None:
    pointer = device.hip.malloc(1000, "raw <room>")
    drawn = lab.memory_picture(device).drawing
    assert "raw &lt;room&gt;" in drawn and f"{pointer:#x}" in drawn and "test_lab_shelf.py" in drawn
    device.hip.free(pointer)


def test_leak_is_a_box_in_both_languages_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    leak = 'leaky = factory.open("simulator")\npointer = leaky.hip.malloc(7, "forgotten")\nleaks = leaky.close()'
    cells = ["import factory\nfrom factory import lab\nlab.install_error_display()", leak, leak]
    cells.append("import warnings\nlab.install_error_display()\nwarnings.warn('something else', stacklevel=1)")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60).execute()
    for cell in notebook.cells[1:3]:
        (shown,) = cell.outputs
        assert "forgotten の 7 バイト" in shown.data["text/html"] and "7 bytes of forgotten" in shown.data["text/html"]
        assert "LeakWarning" in shown.data["text/html"]
    (usual,) = notebook.cells[3].outputs
    assert usual.name == "stderr" and "UserWarning: something else" in usual.text
