"""The exercises of notebooks 02 and 06: the folded answers are right, and each foreseen mistake gets its own hint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import factory
from factory import lab
from factory.lab.exercises import EXERCISES, notebook_02, notebook_06

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
TRIES = {
    "product_operations": ["48", 24, 8, 18, 40, 7],
    "leading_dimension": [None, 5, 35, 1, 9],
    "still_in_use": [True, 5000, 4000, 0, 77],
    "time_floor": ["10 ms", 0.01, 100, 3],
}


@pytest.mark.parametrize("name", TRIES)
def test_solution_is_right_and_each_mistake_has_its_hint(name: str) -> None:
    exercise = EXERCISES[name]
    assert lab.check(name, eval(exercise.solution))
    seen = [lab.check(name, answer) for answer in TRIES[name]]
    assert not any(seen) and [verdict.text for verdict in seen] == list(exercise.hints.values())


@pytest.mark.parametrize("book", [notebook_02, notebook_06], ids=["02", "06"])
def test_folded_answer_in_the_notebook_is_the_solution(book: object) -> None:
    number = book.__name__[-2:]  # type: ignore[attr-defined]
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    folded = re.findall(r"^(.+?)\s+# (\w+)$", text, re.MULTILINE)
    expected = {(exercise.solution, exercise.name) for exercise in book.EXERCISES}  # type: ignore[attr-defined]
    assert set(folded) == expected and len(folded) == 2 * len(expected)


def test_answers_agree_with_the_device() -> None:
    with factory.open("simulator") as device:
        a, b = device.empty((2, 3)), device.empty((3, 4))
        device.gemm(a, b)
        operations = list(device.timeline)[-1].operations
        assert lab.check("product_operations", operations)
        assert lab.check("leading_dimension", device.empty((5, 7)).strides[0])
    with factory.open("simulator") as device:
        first, second = device.hip.malloc(4000), device.hip.malloc(1000)
        device.hip.free(first)
        assert lab.check("still_in_use", device.memory.in_use)
        device.hip.free(second)
