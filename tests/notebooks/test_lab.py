"""The lab's own promises: what follows the switch, what a figure carries, what the floor says, what a check answers."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import factory
from factory import Text, lab, language
from factory.lab import __main__ as launcher
from factory.lab import gauges, page, plots, svg
from factory.lab.exercises import EXERCISES, notebook_00
from factory.lab.glossary import TERMS
from factory.timeline import STATIONS, Timeline

REPOSITORY = Path(__file__).resolve().parents[2]


class Jam(factory.FactoryError):
    """An error of the tests' own, so that no sentence of the package's is written down twice."""

    sentences = {"belt": Text("ベルトが {n} 回つまりました。", "The belt jammed {n} times.")}


DEPTH = Text("深さ {n}", "depth {n}")


@pytest.fixture(autouse=True)
def japanese(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start in Japanese, with the remembered choice in a folder of the test's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("FACTORY_LANG", raising=False)
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    before = language.current()
    lab.use("ja")
    yield
    lab.use(before)


@pytest.fixture
def timeline() -> Timeline:
    """A run of two layers on the simulator: copies, products, activations, and one kernel."""
    with factory.open("simulator") as device:
        with device.timeline.at(step=1):
            x = device.array(np.ones((4, 8), np.float32), name="x")
            w = device.array(np.ones((8, 8), np.float32), name="w")
        for layer in (1, 2):
            with device.timeline.at(step=2, layer=layer):
                x = device.gemm(x, w)
                x = device.gemm(x, w)
            with device.timeline.at(step=3, layer=layer):
                x = device.activate(x, "relu")
        with device.timeline.at(step=5):
            x.numpy()
        return device.timeline


def test_import_loads_no_matplotlib() -> None:
    code = "import sys, factory.lab; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
    code = "import sys, factory; sys.exit('ipywidgets' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


# The switch


def test_choice_is_remembered_and_the_bar_shows_it() -> None:
    bar = lab.language_bar()
    buttons = bar.children[0]
    assert "factory-ja" in bar._dom_classes
    buttons.value = "en"
    assert language.current() == lab.state.code == "en"
    assert language.remembered_in().read_text() == "en"
    assert "factory-en" in bar._dom_classes and "factory-ja" not in bar._dom_classes
    lab.use("both")
    assert buttons.value == "both"


def test_bound_widgets_follow_the_switch_and_keep_their_choice() -> None:
    slider = lab.bind(ipywidgets.IntSlider(), description=Text("層の数", "layers"), tooltip=Text("動かす", "move"))
    choice = lab.bind(ipywidgets.Dropdown(), options=[(Text("層", "layer"), 1), (Text("形", "shape"), 2)])
    choice.value = 2
    moved: list[int] = []
    lab.live(lambda chosen: moved.append(chosen), chosen=choice)
    assert (slider.description, choice.options[1]) == ("層の数", ("形", 2))
    lab.use("en")
    assert (slider.description, slider.tooltip, choice.options) == ("layers", "move", (("layer", 1), ("shape", 2)))
    assert choice.value == 2 and moved == [2, 2]  # drawn once at first and once for the switch
    lab.use("both")
    assert slider.description == "層の数 / layers"


def test_live_follows_controls_and_the_switch_and_survives_errors() -> None:
    slider = ipywidgets.IntSlider(1, 0, 9)

    def draw(n: int, unit: str) -> str:
        print("printed", 10 // n)
        if n == 3:
            raise Jam("belt", n=n)
        return f"<p>{DEPTH.format(n=n)} {unit}</p>"

    drawn = lab.live(draw, n=slider, unit="m")
    assert "<p>深さ 1 m</p>" in drawn.view.value and "printed 10" in drawn.view.value
    slider.value = 2
    assert "深さ 2" in drawn.view.value
    lab.use("en")
    assert "depth 2" in drawn.view.value
    slider.value = 3
    assert "factory-error" in drawn.view.value and "The belt jammed 3 times." in drawn.view.value
    slider.value = 0
    assert "factory-bug" in drawn.view.value and "ZeroDivisionError" in drawn.view.value
    slider.value = 4
    assert "depth 4" in drawn.view.value and "factory-bug" not in drawn.view.value
    drawn.close()
    slider.value = 5
    assert "depth 4" in drawn.view.value


def test_cell_that_runs_again_lets_go_of_what_it_drew_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from factory.lab import switch

    calls: list[str] = []
    for count in (1, 2):
        monkeypatch.setattr(switch, "_this_cell", lambda count=count: ("cell", count))
        lab.live(lambda: calls.append("first"))
        lab.live(lambda: calls.append("second"))
    calls.clear()
    lab.use("en")
    assert calls == ["first", "second"]


# Figures


def images(html: str) -> dict[str, str]:
    """The images in a piece of HTML: their SVG (or PNG header) by their alternative text."""
    found = re.findall(r'<img[^>]* alt="([^"]*)" src="data:image/[a-z+]+;base64,([^"]+)"', html)
    return {alternative: base64.b64decode(data).decode("utf-8", "replace") for alternative, data in found}


def test_stored_drawing_is_images_with_their_words_and_no_loose_labels() -> None:
    drawing = svg.picture(100, 50, svg.pair(Text("層", "layer"), 50, 25))
    shown = lab.picture(drawing, Text("題", "Title"), Text("層の絵", "a layer"), units="ms", evidence="recorded")
    html = shown._repr_mimebundle_()["text/html"]
    assert "<svg" not in html and "<text" not in html
    found = images(html)
    assert set(found) == {"層の絵 / a layer", "層の絵", "a layer"}
    assert "[lang=en],.sep{display:none}" in found["層の絵"] and 'width="100" height="50"' in found["層の絵"]
    caption = re.sub("<[^>]*>", "", html)
    assert "題 / Title" in caption and "単位 / units: ms" in caption and "■ 記録 / recorded" in caption
    assert "層の絵\na layer" in shown._repr_mimebundle_()["text/plain"]
    assert 'role="img" aria-label="層の絵"' in shown.inline() and "<svg" in shown.inline()


def test_plot_is_drawn_for_each_language_and_leaves_the_language_alone() -> None:
    spoken: list[str] = []

    def draw() -> object:
        figure, axes = lab.figure(3, 2)
        axes.plot([1, 2], label=str(Text("線", "line")))
        axes.set_xlabel(Text("層", "layer"))
        spoken.append(axes.get_xlabel())
        return figure

    shown = lab.picture(draw, Text("題", "Title"), Text("線", "a line"))
    assert spoken == []
    assert len(images(shown.html())) == 3
    assert spoken == ["層 / layer", "層", "layer"] and language.current() == "ja"


def test_plots_write_japanese_and_many_points_become_a_png(recwarn: pytest.WarningsRecorder) -> None:
    figure, axes = lab.figure()
    axes.set_title("推論の流れ")
    axes.plot(range(10))
    assert plots.address(figure).startswith("data:image/svg+xml")
    axes.scatter(np.arange(2000), np.arange(2000))
    assert plots.address(figure).startswith("data:image/png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_pyplot_figure_is_not_shown_twice() -> None:
    import matplotlib.pyplot as pyplot

    made = pyplot.figure()
    lab.picture(made, "title", "description")
    assert made.number not in pyplot.get_fignums()


def test_unknown_evidence_is_refused() -> None:
    with pytest.raises(ValueError, match="measured, recorded, estimated"):
        lab.picture("<svg/>", "title", "description", evidence="guessed")


# The floor and the ledger


def test_floor_says_what_the_timeline_holds(timeline: Timeline) -> None:
    root = ElementTree.fromstring(lab.floor(timeline, "日本の首都は?", "東京"))
    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    count = {station: total.count for station, total in timeline.by_station().items()}
    assert (count["rocBLAS"], count["MIOpen"], count["kernels"]) == (4, 2, 0)
    for number in count.values():
        assert str(number) in words or number == 0
    assert {"2 層くり返す", "repeat for 2 layers", "日本の首都は?", "東京", "お休み中", "resting"} <= set(words)
    assert str(len(timeline)) in words
    pairs = [group for group in root.iter() if group.get("class") == "factory-pair"]
    assert pairs and all([text.get("lang") for text in group] == ["ja", "en"] for group in pairs)


def test_shares_add_up_and_lamps_count_fifths_of_the_time(timeline: Timeline) -> None:
    shares = gauges.shares(timeline)
    for name in ("of_time", "of_calls", "of_bytes"):
        assert sum(getattr(share, name) for share in shares.values()) == pytest.approx(1)
    lit = {part: gauges.Share(1, 1, 1.0, part, 0, 0).lit for part in (0.0, 0.01, 0.2, 0.21, 0.88, 1.0)}
    assert lit == {0.0: 0, 0.01: 1, 0.2: 1, 0.21: 2, 0.88: 5, 1.0: 5}


def test_empty_floor_sleeps() -> None:
    drawn = lab.floor(Timeline(lambda start, stop: 0.0))
    assert "まだ何も動いていません" in drawn and "nan" not in drawn.lower()


def test_simulators_times_are_not_passed_off_as_a_gpus() -> None:
    with factory.open("simulator") as device:
        device.array(np.ones(4, np.float32))
        html = lab.floor_picture(device).html()
    assert "GPU の時間ではありません" in html and "not of a GPU" in html and "実測" in html


def test_table_gives_the_last_or_the_slowest_commands(timeline: Timeline) -> None:
    last = lab.timeline_table(timeline, last=2).html
    assert (
        last.count("<tr>") == 3
        and list(timeline)[-1].call in last
        and f'<td style="text-align:right;white-space:nowrap">{len(timeline)}<' in last
    )
    slowest = max(timeline, key=lambda command: command.milliseconds)
    assert slowest.call in lab.timeline_table(timeline, last=1, slowest=True).html


@pytest.mark.parametrize("by", ["time", "calls", "bytes"])
def test_bars_name_every_station(timeline: Timeline, by: str) -> None:
    bars = lab.station_bars(timeline, by)
    assert all(station in str(bars.description) for station in STATIONS)


@pytest.mark.parametrize(
    ("number", "unit", "written"),
    [
        (0, "B", "0 B"), (999, "B", "999 B"), (1500, "B", "1.5 kB"), (999_999, "B", "1.0 MB"), (2.5e9, "", "2.5 G"),
        (12_345, "", "12,345"), (123_456, "", "123 k"), (None, "B", "-"), (7e18, "B", "7000 PB"),
    ],
)  # fmt: skip
def test_quantities_read_well(number: float | None, unit: str, written: str) -> None:
    assert svg.quantity(number, unit) == written


def test_durations_and_shares_read_well() -> None:
    assert [svg.duration(time) for time in (0.0004, 0.9999, 12.34, 169.9, 999.96, 123456, None)] == [
        "0 µs", "1.0 ms", "12.3 ms", "170 ms", "1.00 s", "123 s", "-"]  # fmt: skip
    assert [svg.percent(share) for share in (0, 0.001, 0.005, 0.876, 1)] == ["0 %", "<1 %", "0 %", "88 %", "100 %"]


@pytest.mark.parametrize(
    ("text", "room", "lines", "wanted"),
    [
        ("東京", 6.5, 1, ["東京"]),
        ("The capital of Japan is Tokyo.", 9.2, 4, ["The capital of", "Japan is Tokyo."]),
        ("日本の首都は東京です。", 4, 2, ["日本の首", "都は東…"]),
        ("Donaudampfschifffahrt", 6, 3, ["Donaudampf", "schifffahr", "t"]),
        ("", 5, 2, []),
    ],
)
def test_text_is_wrapped_by_words_and_characters(text: str, room: float, lines: int, wanted: list[str]) -> None:
    assert svg.wrapped(text, room, lines) == wanted


# Checks and the glossary


def test_solutions_are_right(timeline: Timeline) -> None:
    class Device:
        pass

    device = Device()
    device.timeline = timeline  # type: ignore[attr-defined]
    ids = [5, 6, 7]
    given = {"busiest_station": {"timeline": timeline}, "token_count": {"ids": ids}}
    for exercise in notebook_00.EXERCISES:
        name = exercise.name
        answer = eval(exercise.solution, {"device": device, "ids": ids})
        assert lab.check(name, answer, **given.get(name, {})), name


def test_every_hint_is_reached(timeline: Timeline) -> None:
    busy = Timeline(lambda start, stop: stop - start)
    busy.record("rocBLAS", "gemm", "", 0, 0, 0.0, 5.0)
    for _ in range(2):
        busy.record("MIOpen", "relu", "", 0, 0, 0.0, 1.0)
    empty = Timeline(lambda start, stop: 0.0)
    tries = {
        "busiest_station": [(7, busy), ("GPU", busy), ("HIP", empty), ("rocBLAS", busy), ("HIP", busy)],
        "token_count": [("three", [1]), (9, [1]), (0, [1])],
        "weights_change": [("推論", None), ("both", None)],
    }
    names = {"busiest_station": "timeline", "token_count": "ids"}
    for name, answers in tries.items():
        hints = EXERCISES[name].hints
        seen = [lab.check(name, answer, **({names[name]: given} if name in names else {})) for answer, given in answers]
        assert [verdict.text for verdict in seen] == list(hints.values())
        assert not any(seen)
    assert lab.check("busiest_station", " miopen ", timeline=busy)


@pytest.mark.parametrize("answer", [..., None, [], object(), float("nan"), "", True, "🙂"])
@pytest.mark.parametrize("name", [*EXERCISES, "no such exercise"])
def test_no_answer_makes_an_error(name: str, answer: object) -> None:
    verdict = lab.check(name, answer)
    assert not verdict and verdict.text.ja and verdict.text.en
    assert 'lang="ja"' in verdict._repr_mimebundle_()["text/html"]


def test_terms_have_one_name_each_and_keep_to_the_glossary() -> None:
    for names in ([term.name.ja for term in TERMS.values()], [term.name.en for term in TERMS.values()]):
        assert len(names) == len(set(names))
    assert list(TERMS)[:8] == ["ROCm", "gfx900", "MIOpen", "rocBLAS", "solver", "capability", "fallback", "perf_db"]
    assert lab.term("token").name == Text("トークン", "token")
    assert "層" in lab.glossary_table("layer").html and "GPU メモリ" not in lab.glossary_table("layer").html
    with pytest.raises(KeyError, match="no term 'tokne'"):
        lab.term("tokne")


# Errors in a cell


def run(*cells: str, tags: tuple[str, ...] = ()) -> list[nbformat.NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[-1].metadata["tags"] = list(tags)
    NotebookClient(notebook, timeout=60).execute()
    return list(notebook.cells[-1].outputs)


BEFORE = """import factory
from factory import lab
lab.install_error_display()
class Jam(factory.FactoryError):
    sentences = {"belt": lab.Text("ベルトが {n} 回つまりました。", "The belt jammed {n} times.")}"""
RAISING = """def start(times):
    raise Jam("belt", n=times)

start(3)"""


def test_factory_error_is_a_box_and_one_line_and_an_error_for_the_tests() -> None:
    box, error = run(BEFORE, RAISING, tags=("raises-exception",))
    assert 'lang="ja"' in box.data["text/html"] and "The belt jammed 3 times." in box.data["text/html"]
    assert (error.output_type, error.ename) == ("error", "Jam")
    assert error.traceback == ['Jam  In[2] line 2: raise Jam("belt", n=times)']
    with pytest.raises(CellExecutionError, match="Jam"):
        run(BEFORE, RAISING)


def test_other_errors_keep_their_traceback() -> None:
    (error,) = run(BEFORE, "1 / 0", tags=("raises-exception",))
    assert error.ename == "ZeroDivisionError" and len(error.traceback) > 1


def test_what_a_live_function_displays_is_in_its_picture() -> None:
    cell = """from factory import lab
from IPython.display import HTML, display
box = lab.live(lambda: display(HTML("<i>displayed</i>")))
assert "<i>displayed</i>" in box.view.value
box"""
    (output,) = run(cell)
    assert output.data["text/html"] == "<i>displayed</i>"


# The launcher


def test_launcher_allows_root_only_to_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, allowed in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user, raising=False)
        assert ("--allow-root" in launcher.command([])[0]) == allowed


def test_launcher_adds_a_folder_and_passes_its_arguments_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/learner/own")
    words, environment, _ = launcher.command(["--no-browser", "mine.ipynb"])
    assert words[1:] == ["-m", "jupyterlab", "--custom-css", "--no-browser", "mine.ipynb"]
    folder, own = environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert own == "/learner/own" and Path(folder).is_relative_to(tmp_path)
    css = Path(folder, "custom", "custom.css").read_text()
    assert "[lang=en]" in css
    monkeypatch.setenv(page.FOLDER, folder)
    lab.use("en")
    assert Path(folder, "custom", "custom.css").read_text() != css


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "inference-factory").write_text("a file, where the folder should be")
    assert (page.write_folder("ja") / "custom" / "custom.css").exists()
    lab.use("en")
    assert language.current() == "en"


def test_launcher_leads_to_the_first_notebook_unless_another_is_named() -> None:
    assert launcher.command([])[0][-1] == f"--LabApp.default_url=/lab/tree/{launcher.FIRST}"
    assert launcher.command(["mine.ipynb"])[0][-1] == "mine.ipynb"
