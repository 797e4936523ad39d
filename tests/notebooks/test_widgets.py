"""Every widget of every notebook can be moved through its values, and every button pressed, without an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
START = "import ipywidgets\nfrom factory import lab"


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel finds the package, and the switch remembers its choice in a folder of the test's."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("FACTORY_LANG", "ja")


def run(notebook: Any, folder: Path) -> list[str]:
    """Run a notebook and move its widgets; the errors that buttons and Output widgets kept to themselves."""
    notebook.cells.append(nbformat.v4.new_code_cell((HERE / "move_widgets.py").read_text("utf-8")))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute()
    kept = [output for state in client.widget_state.values() for output in state.get("outputs", ()) or ()]
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in (*kept, *notebook.cells[-1].outputs)
        if output["output_type"] == "error"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_widgets_of_notebook(path: Path) -> None:
    assert run(nbformat.read(path, 4), path.parent) == []


def sample(*cells: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (START, *cells)])


def test_good_widgets_pass(tmp_path: Path) -> None:
    cells = (
        "lab.language_bar()",
        "slider = ipywidgets.IntSlider(1, 1, 5)\nlab.live(lambda n: 1 / n, n=slider)",
        'which = lab.bind(ipywidgets.Dropdown(), options=[(lab.Text("層", "layer"), 1), (lab.Text("形", "shape"), 2)])\n'
        "lab.live(lambda which: str(which), which=which)",
        'lab.live(lambda text: text.upper(), text=ipywidgets.Text("a"))',
    )
    assert run(sample(*cells), tmp_path) == []


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("lab.live(lambda n: 1 / (n - 3), n=ipywidgets.IntSlider(1, 1, 5))", "ZeroDivisionError"),
        ("lab.live(lambda n: 1 / n, n=ipywidgets.IntSlider(0, 0, 1))", "ZeroDivisionError"),
        ("box = ipywidgets.Checkbox()\nbox.observe(lambda change: missing, 'value')\nbox", "NameError"),
    ],
)
def test_broken_widgets_are_found(cell: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match=words):
        run(sample(cell), tmp_path)


def test_broken_button_is_found(tmp_path: Path) -> None:
    cell = "button = ipywidgets.Button()\nbutton.on_click(lambda _: missing)\nbutton"
    assert run(sample(cell), tmp_path) == ["NameError: name 'missing' is not defined"]


def test_error_in_an_output_widget_is_found(tmp_path: Path) -> None:
    cell = "out = ipywidgets.interactive_output(lambda n: 1 / (n - 2), {'n': ipywidgets.IntSlider(1, 1, 3)})\nout"
    assert run(sample(cell), tmp_path) == ["ZeroDivisionError: division by zero"]
