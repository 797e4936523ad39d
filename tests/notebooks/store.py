"""Run notebooks and store their outputs, in both languages: `python tests/notebooks/store.py notebooks/*.ipynb`.

FACTORY_LANG=both makes plain text hold both languages, and widget state is left out, since it would carry one
reader's choice of language to the next.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

REPOSITORY = Path(__file__).resolve().parents[2]


def store(path: Path) -> None:
    """Run one notebook in its folder and write it back with its outputs."""
    notebook = nbformat.read(path, 4)
    os.environ["FACTORY_LANG"] = "both"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        store(Path(name).resolve())
        print("stored", name)
