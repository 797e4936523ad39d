"""The exercises of notebooks 03 and 04: the folded answers are right, and each foreseen mistake gets its own hint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from factory import lab
from factory.lab.costs import LayerCosts
from factory.lab.exercises import EXERCISES, notebook_03, notebook_04
from factory.lab.lens import Lens
from factory.problem import Found, Solution

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FOUND = Found(
    [
        Solution("WinogradF4x4", "Winograd", 1.0, 0, "measured"),
        Solution("ImplicitGemm", "ImplicitGEMM", 1.5, 0, "measured"),
        Solution("Direct", "Direct", 40.0, 0, "measured"),
    ],
    {},
)
LENS = Lens(
    "p", ((("a", 0.5),),) * 4, "b", (0.1, 0.2, 0.6, 0.9), (9, 4, 1, 1), 10, LayerCosts(1, (1.0,) * 4, 1.0, 1, 1, 1)
)
GIVEN: dict[str, dict[str, object]] = {"steps_in": {"found": FOUND}, "first_layer": {"lens": LENS}}
TRIES = {
    "sobel_window": ["200", -200, 50, 100, 150, 420, 7],
    "steps_in": [7, "Fft", "winogradf4x4", "Direct"],
    "cache_bytes": [None, 1536, 46080, 1536000, 1536 * 1030, 5],
    "first_layer": ["3", 5, 2, 4],
}


@pytest.mark.parametrize("name", TRIES)
def test_solution_is_right_and_each_mistake_has_its_hint(name: str) -> None:
    exercise, given = EXERCISES[name], GIVEN.get(name, {})
    assert lab.check(name, eval(exercise.solution, dict(given)), **given)
    seen = [lab.check(name, answer, **given) for answer in TRIES[name]]
    assert not any(seen) and [verdict.text for verdict in seen] == list(exercise.hints.values())


def test_a_word_that_is_never_first_is_answered_by_0() -> None:
    never = Lens("p", LENS.guesses, "b", LENS.chances, (9, 4, 2, 3), 10, LENS.costs)
    assert lab.check("first_layer", 0, lens=never) and not lab.check("first_layer", 4, lens=never)


@pytest.mark.parametrize("book", [notebook_03, notebook_04], ids=["03", "04"])
def test_folded_answer_in_the_notebook_is_the_solution(book: object) -> None:
    number = book.__name__[-2:]  # type: ignore[attr-defined]
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    folded = re.findall(r"^(.+?)\s+# (\w+)$", text, re.MULTILINE)
    expected = {(exercise.solution, exercise.name) for exercise in book.EXERCISES}  # type: ignore[attr-defined]
    assert set(folded) == expected and len(folded) == 2 * len(expected)
