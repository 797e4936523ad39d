"""Fixtures of the browser tests: one JupyterLab server and one Chromium for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_browser import REPOSITORY, LabPage, browser_context, lab_server, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every browser test by one loud line where this machine cannot run them."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.browser)
    lacking = missing() if here else None
    if lacking:
        skip = pytest.mark.skip(reason=f"*** NO BROWSER TEST WAS RUN: this machine lacks {lacking} ***")
        for item in here:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the server shows: a copy of the notebooks, so that a run never changes the originals."""
    folder = tmp_path_factory.mktemp("course")
    if (REPOSITORY / "notebooks").exists():
        shutil.copytree(REPOSITORY / "notebooks", folder / "notebooks")
    return folder


@pytest.fixture(scope="session")
def server(root: Path) -> Iterator[str]:
    """A JupyterLab whose learner chose Japanese."""
    with lab_server(root, LANG="ja_JP.UTF-8") as (base, _):
        yield base


@pytest.fixture(scope="session")
def context() -> Iterator[Any]:
    with browser_context() as opened:
        yield opened


@pytest.fixture
def lab(server: str, context: Any) -> Iterator[Callable[[str], LabPage]]:
    """Open a notebook by its path under `root`; its tab and its kernel are gone after the test."""
    pages: list[LabPage] = []

    def open_notebook(path: str) -> LabPage:
        pages.append(LabPage(context, server))
        return pages[-1].open(path)

    yield open_notebook
    for page in pages:
        page.close()


@pytest.fixture
def write(root: Path) -> Callable[..., str]:
    """Write a notebook of the given cells (code as str, Markdown as (str,)) under `root`, and give its path."""

    def write_notebook(name: str, *cells: str | tuple[str]) -> str:
        made = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        )
        made.cells = [
            nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else nbformat.v4.new_markdown_cell(cell[0])
            for cell in cells
        ]
        nbformat.write(made, root / name)
        return name

    return write_notebook
