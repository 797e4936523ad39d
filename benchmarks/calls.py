"""What a Device adds: gemm against plain NumPy, the cost of a call, the time of an import, the first answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import factory
from benchmarks.race import Row, best, faster, race

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "00_what_is_inference.ipynb"


def rows() -> Iterator[Row]:
    """gemm, the call, the import, notebook 00."""
    random = np.random.default_rng(0)
    with factory.open("simulator") as device:
        for size in (256, 512, 1024, 2048):
            a, b = (random.standard_normal((size, size), np.float32) for _ in range(2))
            c, (da, db) = np.empty_like(a), (device.array(a), device.array(b))
            dc = device.empty((size, size))
            repeats = max(1, 2**29 // size**3)
            seconds = race(
                {
                    "ours": lambda n=repeats, x=da, y=db, z=dc: [device.gemm(x, y, out=z) for _ in range(n)],
                    "NumPy": lambda n=repeats, x=a, y=b, z=c: [np.matmul(x, y, out=z) for _ in range(n)],
                },
                rounds=15,
            )
            yield Row(f"gemm {size} against NumPy", faster(seconds, "ours", "NumPy"), "x as fast", ">= 0.97")
        small, out = np.ones((2, 2), np.float32), np.empty((2, 2), np.float32)
        ds, do = device.array(small), device.empty((2, 2))
        count = 5000
        seconds = race(
            {
                "gemm": lambda: [device.gemm(ds, ds, out=do) for _ in range(count)],
                "matmul": lambda: [np.matmul(small, small, out=out) for _ in range(count)],
            }
        )
        added = min(seconds["gemm"]) - min(seconds["matmul"])
        yield Row("a Device call adds", added / count * 1e6, "us", "<= 10", best(seconds) + f" for {count}")
    yield Row("import factory, NumPy and SciPy aside", _import_seconds(), "s", "<= 0.2")
    if NOTEBOOK.exists():
        yield Row("first answer in notebook 00", _first_answer(), "s", "<= 10", "kernel start included")


def _import_seconds() -> float:
    """Seconds of `import factory` in a new process that has imported NumPy, over five."""
    script = (
        "import numpy, time; start = time.perf_counter(); import factory, sys; took = time.perf_counter() - start;"
        "assert not {'matplotlib', 'ipywidgets', 'torch', 'hip'} & set(sys.modules); print(took)"
    )
    return median(float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(5))


def _first_answer() -> float:
    """Seconds from the start of Run All, kernel start included, to the end of the cell that answers."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(book, timeout=300, resources={"metadata": {"path": folder}})
        start = perf_counter()
        with client.setup_kernel():
            for index, cell in enumerate(book.cells):
                client.execute_cell(cell, index)
                if "model.answer(" in cell.source and cell.cell_type == "code":
                    return perf_counter() - start
    raise RuntimeError("notebook 00 asks the model nothing")
