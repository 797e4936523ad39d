"""The sheet of notebook 00 in a real JupyterLab: a character drawn by mouse and one drawn by keyboard are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab_browser import LabPage

NOTEBOOK = "notebooks/00_what_is_inference.ipynb"
STROKES = (((70, 60), (170, 60), (110, 200)),)  # a seven


@pytest.fixture
def page(lab: Callable[[str], LabPage]) -> LabPage:
    return lab(NOTEBOOK).run_all()


def answers(page: LabPage) -> Any:
    """The picture of the recogniser's answers."""
    return page.page.locator('[role=img][aria-label^="書かれた字"]')


def test_characters_are_read_while_they_are_drawn(page: LabPage) -> None:
    assert page.cell_errors() == []
    page.switch("ja")
    sheet = page.page.locator("canvas").last
    sheet.scroll_into_view_if_needed()
    corner = sheet.bounding_box()
    mouse = page.page.mouse
    page.page.get_by_role("radio", name="数字").or_(page.page.get_by_role("button", name="数字")).first.click()
    (first, *rest) = STROKES[0]
    mouse.move(corner["x"] + first[0], corner["y"] + first[1])
    mouse.down()
    for x, y in rest:
        mouse.move(corner["x"] + x, corner["y"] + y, steps=8)
    answers(page).wait_for()  # the pen is still down
    mouse.up()
    page.page.locator('[role=img][aria-label^="書かれた字と、モデルの答え。7 "]').wait_for()
    sheet.focus()
    for key in ("Delete", *["ArrowUp"] * 6, " ", *["ArrowDown"] * 12, " "):
        page.page.keyboard.press(key)
    page.page.locator('[role=img][aria-label^="書かれた字と、モデルの答え。1 "]').wait_for()
    page.page.keyboard.press("Tab")
    page.page.wait_for_function("() => document.activeElement.textContent.includes('1 画もどす')")
    assert page.console == []
