"""The exercises of notebook 05."""

from __future__ import annotations

from factory.lab.checks import Exercise

EXERCISES: tuple[Exercise, ...] = ()
