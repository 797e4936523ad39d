"""Every notebook in a real JupyterLab: it runs, both languages can be read, figures have names, no label is cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab_browser import REPOSITORY, LabPage

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))

# What can be seen of each language in the cells' text (not in code).
SEEN = """code => [...document.querySelectorAll(`.jp-RenderedMarkdown div[lang=${code}]`)]
    .filter(part => getComputedStyle(part).display !== 'none').length"""
# Pictures in outputs that can be seen and have no words; the sheet to draw on has them above it.
NAMELESS = """() => [...document.querySelectorAll('.jp-OutputArea :is(img, [role=img], canvas)')]
    .filter(one => one.getClientRects().length && !(one.alt || one.getAttribute('aria-label') || one.closest('.factory-pad')?.innerText))
    .map(one => one.outerHTML.slice(0, 200))"""
# How many labels of controls and buttons are not seen whole.
CUT = """() => [...document.querySelectorAll('.jp-OutputArea :is(.widget-label, .jupyter-button)')]
    .filter(one => one.scrollWidth > one.clientWidth).length"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_follows_the_switch(name: str, lab: Callable[[str], LabPage]) -> None:
    opened = lab(f"notebooks/{name}").run_all()
    assert opened.cell_errors() == []
    opened.page.wait_for_selector(".factory-language button")
    for code, other in (("en", "ja"), ("ja", "en")):
        opened.switch(code)
        opened.page.wait_for_selector(f".factory-language.factory-{code}")
        opened.page.wait_for_function(f"() => ({SEEN})('{other}') === 0")
        assert opened.page.evaluate(SEEN, code) > 5
        assert opened.page.evaluate(NAMELESS) == []
        opened.page.wait_for_function(f"() => ({CUT})() === 0")
    opened.switch("both")
    opened.page.wait_for_function(f"() => ({SEEN})('ja') > 5 && ({SEEN})('en') > 5")
    opened.page.wait_for_function(f"() => ({CUT})() === 0")
    assert opened.page.locator(".factory-bug").count() == 0
    assert opened.console == []
