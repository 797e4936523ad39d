"""Notebook 04 in a real JupyterLab: the layer slider moves by keyboard, and its picture follows, in both languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab_browser import LabPage

NOTEBOOK = "notebooks/04_repeat_across_layers.ipynb"


@pytest.fixture
def page(lab: Callable[[str], LabPage]) -> LabPage:
    opened = lab(NOTEBOOK).run_all()
    opened.switch("ja")
    opened.page.wait_for_selector(".factory-language.factory-ja")
    return opened


def sliders(page: LabPage) -> Any:
    """The handles of the notebook's sliders: layers of the tiny model, of SmolLM2, of the photo, of the tower."""
    return page.page.locator(".widget-slider .noUi-handle")


def picture(page: LabPage, name: str) -> Any:
    """A picture that can be seen, by the words it starts with."""
    return page.page.locator(f'[role=img][aria-label^="{name}"]')


def test_layer_slider_by_keyboard_in_both_languages(page: LabPage) -> None:
    assert page.cell_errors() == []
    handle = sliders(page).nth(1)
    handle.focus()
    picture(page, "30 層まで: ␣Tokyo").wait_for()
    handle.press("ArrowLeft")
    picture(page, "29 層まで: ␣capital").wait_for()
    assert picture(page, "30 層まで").count() == 0
    handle.press("Home")
    picture(page, "1 層まで").wait_for()
    page.switch("en")
    picture(page, "After 1 layer:").wait_for()
    handle.focus()
    handle.press("End")
    picture(page, "After 30 layers: ␣Tokyo").wait_for()
    assert page.console == []


def test_tiny_model_climbs_its_ladder_by_keyboard(page: LabPage) -> None:
    handle = sliders(page).nth(0)
    handle.focus()
    handle.press("Home")
    ladder = page.page.locator('[role=img][aria-label^="層の数ごとの答え"]')
    ladder.wait_for()
    assert "6 層:「日本の首都は東京です。」" in ladder.get_attribute("aria-label")
    question = page.page.locator(".widget-text input").first
    question.fill("バナナは何色ですか?")
    question.press("Enter")
    page.page.locator('[role=img][aria-label*="6 層:「バナナの色は黄色です。」"]').wait_for()
    page.switch("en")
    page.page.locator('[role=img][aria-label^="The answers by the number of layers"]').wait_for()
    assert page.console == []


def test_own_prompt_photo_and_tower_answer(page: LabPage) -> None:
    line = page.page.locator(".widget-text input").nth(1)
    line.fill("The opposite of hot is")
    line.press("Enter")
    word = page.page.locator(".widget-text input").nth(2)
    word.fill("cold")
    word.press("Enter")
    picture(page, "30 層まで: ␣cold").wait_for()
    photo = sliders(page).nth(2)
    photo.focus()
    photo.press("End")
    picture(page, "写真と、18 層目の特徴マップ").wait_for()
    tower = sliders(page).nth(3)
    tower.focus()
    tower.press("End")
    picture(page, "200 層の塔").wait_for()
    assert page.page.locator(".factory-bug, .factory-error").locator("visible=true").count() == 1  # 31 layers
    assert page.console == []
