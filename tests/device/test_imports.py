"""The house: imports run down only, and importing the package touches no GPU library and draws nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import factory

PACKAGE = Path(factory.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
GPU_LIBRARIES = {"hip", "rocm", "torch", "onnx", "onnxruntime", "transformers"}
HEAVY = {"scipy", "gguf", "tokenizers", "huggingface_hub", "PIL"}
DRAWING = {"matplotlib", "matplotlib_fontja", "ipywidgets", "IPython"}


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path):
    """Everything that a module imports anywhere in it, by full name; `if TYPE_CHECKING` is not run, and left out."""
    tree = ast.parse(path.read_text("utf-8"))
    checked = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body
        for inner in ast.walk(child)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name):
    """Which floor of the house a module of the package lives on; higher numbers may import lower ones."""
    _, _, rest = name.partition(".")
    first = rest.partition(".")[0]
    floors = {
        "lab": 5, "prove": 4, "models": 4, "device": 3, "requests": 2, "array": 2, "simulator": 1, "rocm": 1, "records": 1,
    }  # fmt: skip
    return floors.get(first, 0 if first else 3)  # `factory` itself opens devices; what is left serves all


def ours(names):
    return {name for name in names if name == "factory" or name.startswith("factory.")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_down_only(path):
    name = name_of(path)
    if name in ("factory", "factory.__main__", "factory.doctor"):  # the doors of the house
        return
    for imported in ours(imports_of(path)):
        assert room(imported) <= room(name), f"{name} imports {imported}"
    assert not any(imported.startswith("factory.__main__") for imported in imports_of(path))


@pytest.mark.parametrize("path", [p for p in MODULES if room(name_of(p)) == 1], ids=name_of)
def test_a_wing_knows_nothing_above_it_and_not_the_other(path):
    above = ("factory.device", "factory.array", "factory.models", "factory.lab")
    own = name_of(path).split(".")[1]
    other = {"simulator": "factory.rocm", "rocm": "factory.simulator"}.get(own)
    for imported in ours(imports_of(path)):
        assert imported != "factory" and not imported.startswith(above), imported
        assert other is None or not imported.startswith(other)


@pytest.mark.parametrize("path", [p for p in MODULES if room(name_of(p)) == 4], ids=name_of)
def test_a_model_computes_through_a_device_and_nothing_else(path):
    for imported in ours(imports_of(path)):
        assert not imported.startswith(("factory.simulator", "factory.rocm", "factory.lab")), imported


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_lab_draws(path):
    if not name_of(path).startswith("factory.lab"):
        assert not {imported.partition(".")[0] for imported in imports_of(path)} & DRAWING


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_rocm_wing_and_the_doctor_know_gpu_libraries(path):
    if not name_of(path).startswith(("factory.rocm", "factory.doctor")):
        assert not {imported.partition(".")[0] for imported in imports_of(path)} & {"hip", "rocm", "torch"}


def loaded_by(program):
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return {name.partition(".")[0] for name in ended.stdout.split()}


def test_importing_the_package_loads_no_gpu_library_and_nothing_that_draws():
    loaded = loaded_by("import factory")
    assert {"factory", "numpy"} <= loaded
    assert not loaded & (GPU_LIBRARIES | DRAWING | HEAVY)


def test_importing_the_models_loads_none_either():
    loaded = loaded_by("import factory.models")
    assert not loaded & (GPU_LIBRARIES | DRAWING)


def test_opening_the_simulator_loads_none_either():
    loaded = loaded_by("import factory; factory.open('simulator').close()")
    assert not loaded & (GPU_LIBRARIES | DRAWING)
