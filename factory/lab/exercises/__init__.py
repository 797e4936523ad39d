"""The exercises of every notebook, each with its test, its hints by the kind of mistake, and its solution."""

from __future__ import annotations

from factory.lab.checks import Exercise
from factory.lab.exercises import (
    notebook_00,
    notebook_01,
    notebook_02,
    notebook_03,
    notebook_04,
    notebook_05,
    notebook_06,
)

NOTEBOOKS = (notebook_00, notebook_01, notebook_02, notebook_03, notebook_04, notebook_05, notebook_06)
EXERCISES: dict[str, Exercise] = {exercise.name: exercise for book in NOTEBOOKS for exercise in book.EXERCISES}
