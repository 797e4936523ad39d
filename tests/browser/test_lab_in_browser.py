"""The lab in a real JupyterLab: the switch, what follows it, figures and their names, errors, the launcher."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_browser import LabPage, lab_server

HEADING = '# 1. <span lang="ja">工場</span><span class="sep"> / </span><span lang="en">Factory</span>'
PASSAGE = '<div lang="ja">\n\n日本語の**文**です。\n\n</div>\n<div lang="en">\n\nAn English **sentence**.\n\n</div>'
START = """import factory
from factory import lab
from factory.timeline import Timeline
class Jam(factory.FactoryError):
    sentences = {"belt": lab.Text("ベルトが {n} 回つまりました。", "The belt jammed {n} times.")}
lab.language_bar()"""
TIMELINE = """timeline = Timeline(lambda start, stop: stop - start)
for layer in range(4):
    with timeline.at(step=2, layer=layer):
        timeline.record("rocBLAS", "rocblas_gemm_ex", "8 x 8 x 8", 1024, 768, 0.0, 2.0)
lab.show_floor(timeline, "日本の首都は?", "東京")"""
LIVE = """import ipywidgets
slider = lab.bind(ipywidgets.IntSlider(1, 1, 5), description=lab.Text("層の数", "layers"))
def draw(layers):
    if layers == 3:
        raise Jam("belt", n=layers)
    if layers == 4:
        1 / 0
    return lab.picture(f"<svg viewBox='0 0 90 40'><text x='9' y='20'><tspan lang='ja'>深さ {layers}</tspan>"
                       f"<tspan lang='en'>depth {layers}</tspan></text></svg>",
                       lab.Text("深さ", "Depth"), lab.Text(f"{layers} 層の絵", f"a drawing of {layers} layers"))
lab.live(draw, layers=slider)"""
PLOT = """def plot():
    figure, axes = lab.figure(5, 2)
    axes.plot([1, 2, 3])
    axes.set_xlabel(lab.Text("層", "layer"))
    return figure
lab.show(plot, lab.Text("折れ線", "A line"), lab.Text("右上がりの線", "a line that rises"), units="ms",
         evidence="measured")"""
ERROR = """jams = 7
raise Jam("belt", n=jams)"""


@pytest.fixture
def page(lab: Callable[[str], LabPage], write: Callable[..., str]) -> LabPage:
    opened = lab(write("sample.ipynb", (HEADING,), (PASSAGE,), START, TIMELINE, LIVE, PLOT, ERROR)).run_all()
    # A kernel of an earlier test may have remembered another choice.
    opened.switch("ja")
    opened.page.wait_for_selector(".factory-language.factory-ja")
    return opened


def seen(page: LabPage, text: str) -> bool:
    return page.page.locator(".jp-Notebook").get_by_text(text, exact=True).first.is_visible()


def test_switch_changes_text_figures_and_errors_at_once(page: LabPage) -> None:
    japanese = ["日本語の文です。", "工場の流れ", "折れ線", "深さ 1"]
    english = ["An English sentence.", "The factory floor", "A line", "depth 1"]
    assert [seen(page, text) for text in japanese + english] == [True] * 4 + [False] * 4
    assert page.page.get_by_text("ベルトが 7 回つまりました。").first.is_visible()
    start = time.perf_counter()
    page.switch("en")
    page.page.get_by_text("An English sentence.").wait_for()
    assert time.perf_counter() - start < 2  # ample: the answer is a style rule
    assert [seen(page, text) for text in japanese + english] == [False] * 4 + [True] * 4
    assert page.page.get_by_text("The belt jammed 7 times.").first.is_visible()
    page.page.locator(".widget-label", has_text="layers").first.wait_for()
    page.switch("both")
    page.page.get_by_text("日本語の文です。").wait_for()
    assert all(seen(page, text) for text in japanese + english)
    assert page.console == []


def test_figures_have_their_name_in_the_language_that_is_on(page: LabPage) -> None:
    images = page.page.locator(".jp-Notebook")
    assert images.get_by_role("img", name="工場の見取り図").is_visible()
    assert images.get_by_role("img", name="右上がりの線").is_visible()
    assert images.get_by_role("img", name="1 層の絵").is_visible()
    page.switch("en")
    images.get_by_role("img", name="a line that rises").wait_for()
    images.get_by_role("img", name="a drawing of 1 layers").wait_for()
    assert images.get_by_role("img", name="The factory floor").is_visible()
    assert images.get_by_role("img", name="右上がりの線").count() == 0
    assert "実測" in images.inner_text() or "measured" in images.inner_text()


def test_live_follows_its_control_and_survives_errors(page: LabPage) -> None:
    handle = page.page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    page.page.get_by_text("深さ 2").wait_for()
    handle.press("ArrowRight")
    page.page.locator(".jupyter-widgets .factory-error", has_text="ベルトが 3 回つまりました。").wait_for()
    handle.press("ArrowRight")
    page.page.locator(".factory-bug", has_text="ZeroDivisionError").wait_for()
    handle.press("ArrowRight")
    page.page.get_by_text("深さ 5").wait_for()
    assert page.console == []


def test_factory_error_is_one_sentence_and_a_line_and_still_an_error(page: LabPage) -> None:
    assert [words.split(":")[0] for words in page.cell_errors()] == ["Jam"]
    error = next(output for output in page.outputs() if output["output_type"] == "error")
    assert error["traceback"] == ["Jam  In[5] line 2: " + ERROR.splitlines()[1]]
    assert error["evalue"] == "ベルトが 7 回つまりました。"


def test_choice_is_remembered_by_the_next_kernel(page: LabPage) -> None:
    page.switch("en")
    page.page.get_by_text("An English sentence.").wait_for()
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.run_all()
    page.page.wait_for_selector(".factory-language.factory-en")
    assert not seen(page, "日本語の文です。")


def test_untrusted_notebook_shows_its_stored_figures(
    lab: Callable[[str], LabPage], write: Callable[..., str], root: Path
) -> None:
    from nbclient import NotebookClient

    path = root / write("stored.ipynb", START, TIMELINE, PLOT, LIVE)
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=120).execute()
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
    opened = lab("stored.ipynb").page
    for name in ("The factory floor", "工場の見取り図", "a line that rises", "右上がりの線"):
        image = opened.locator(".jp-Notebook").get_by_role("img", name=name)
        assert image.evaluate("image => image.naturalWidth") > 300, name
    words = opened.locator(".jp-Notebook .jp-OutputArea").all_inner_texts()
    assert "rocBLAS" not in "".join(words)  # the labels of a drawing do not spill into the page
    assert "Error displaying widget" not in "".join(words)
    assert "Run this cell for the buttons" in "".join(words)


def test_launcher_shows_one_language_before_any_cell_has_run_and_keeps_the_learners_settings(
    root: Path, write: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    path = write("before.ipynb", (HEADING,), (PASSAGE,), START)
    own = tmp_path / "config"
    (own / "custom").mkdir(parents=True)
    (own / "custom" / "custom.css").write_text("/* the learner's own */")
    (own / "jupyter_server_config.py").write_text(
        "c = get_config()\nc.ServerApp.tornado_settings = {'headers': {'X-Own': 'kept'}}\n"
    )
    before = sorted(file.read_text() for file in own.rglob("*.*"))
    news = {"@jupyterlab/apputils-extension/notification": {"checkForUpdates": False}}  # the rest is up to the launcher
    with lab_server(root, ("-m", "factory.lab", path), news, tmp_path, FACTORY_LANG="ja") as (base, _):
        with urllib.request.urlopen(base + "/custom/custom.css") as answer:
            assert answer.headers["X-Own"] == "kept"
            assert b"the learner's own" in answer.read()
        opened = LabPage(context, base).open(path)
        opened.page.get_by_text("日本語の文です。").wait_for()
        assert not seen(opened, "An English sentence.")
        assert opened.page.locator("html").get_attribute("lang") == "ja-JP"  # JupyterLab speaks Japanese too
        opened.run_all()
        assert opened.page.locator(".Toastify__toast").count() == 0  # nothing asks whether Jupyter's news are wanted
        opened.switch("en")
        opened.page.get_by_text("An English sentence.").wait_for()
        assert not seen(opened, "日本語の文です。")
        opened.open(path)  # a fresh page starts in the language chosen last
        opened.page.get_by_text("An English sentence.").wait_for()
        assert not seen(opened, "日本語の文です。")
        opened.close()
        assert sorted(file.read_text() for file in own.rglob("*.*") if file.suffix in (".css", ".py")) == before
