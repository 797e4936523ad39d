"""`python -m factory prove`: checks everything on a device, and writes down how it went, for whoever has the GPU.

The checks run in another process. One that brings it down, or after which a library may be in disorder, is written
down, and a new process goes on with the next.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from tqdm.auto import tqdm

import factory
from factory import doctor
from factory.child import Child, say
from factory.device import Device
from factory.errors import FactoryError, LibraryError, ModelError
from factory.language import Text
from factory.prove import checks, models, times
from factory.prove.checks import Check, Outcome

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_SECONDS = 1800.0  # for one case; MIOpen may compile and try many kernels in it
_OPENING = {"check": "HIP: device", "case": "opened again"}
_PACKAGES = ("numpy", "scipy", "ml_dtypes", "hip-python")
_PROPERTIES = ("gcnArchName", "integrated", "multiProcessorCount", "memoryClockRate", "memoryBusWidth", "l2CacheSize")
# What may change how the libraries work:
# https://rocm.docs.amd.com/projects/HIP/en/latest/reference/env_variables.html and those of rocBLAS and MIOpen.
_SETTINGS = re.compile(
    r"(HSA|HIP|HIPBLASLT|ROCR|ROC|ROCM|ROCBLAS|TENSILE|MIOPEN|GPU)_\w+|CUDA_VISIBLE_DEVICES"
    r"|AMD_(LOG_LEVEL|SERIALIZE_\w+|DIRECT_DISPATCH)"
)
_KERNEL_DRIVER = Path("/sys/module/amdgpu/version")  # there where it did not come with the kernel

_SUMMARY = Text(
    "{station}: 成功 {passed}、失敗 {failed}、ここにないもの {skipped}{worst}",
    "{station}: {passed} passed, {failed} failed, {skipped} not here{worst}",
)
_WORST = Text(
    "。許される誤差にいちばん近いもの: {error:.1e}(限度 {limit:.0e})",
    "; nearest to its limit: {error:.1e} of {limit:.0e}",
)
_FAILURE = Text("失敗: {check}、{case}: {why}", "failed: {check}, {case}: {why}")
_ERROR = Text("誤差 {error:.2e}(限度 {limit:.0e})", "an error of {error:.2e}, where {limit:.0e} is allowed")
_UNFINISHED = Text("途中で終わりました。調べなかった項目: {count}", "It ended early; not looked at: {count}")
_BEGINS = Text(
    "{device} で {count} 項目を調べます。MIOpen ははじめての畳み込みのたびにカーネルをコンパイルするので、1 つの項目に何分もかかる"
    "ことがあります。{others}",
    "{count} checks on {device}. MIOpen compiles kernels for every convolution that is new to it, so that a single check "
    "may take minutes.{others}",
)
_OTHERS = Text(
    " HIP から見える GPU: {all}。ほかの GPU を調べるには、環境変数 HIP_VISIBLE_DEVICES にその番号を指定してください。",
    " HIP sees {all}; for another GPU set HIP_VISIBLE_DEVICES to its number.",
)
_WRITTEN = Text(
    "報告書: {path}({device} の結果)。プロジェクトに送ってください。送り方は README にあります。",
    "Report: {path}, of {device}. Please send it to the project; the README says how.",
)
_NOT_SENT = Text(
    "報告書: {path}。シミュレーターの結果なので、GPU については何も示していません。",
    "Report: {path}. It comes from the simulator, and shows nothing of a GPU.",
)


class ProofError(FactoryError):
    """There is nothing to prove anything on, or no such check."""

    sentences = {
        "device": Text(
            "使える AMD GPU がありません({why})。同じ検査は python -m factory prove --device simulator でも動きます。",
            "There is no AMD GPU that works ({why}). python -m factory prove --device simulator runs the same checks.",
        ),
        "only": Text("名前に {got} を含む検査はありません。", "No check has {got} in its name."),
    }


def all_checks(only: str = "") -> list[Check]:
    """Every check whose station and name, as "rocBLAS: gemm int8 NN", contain a text."""
    found = [check for part in (checks, models, times) for check in part.checks()]
    return [check for check in found if only.lower() in check.label.lower()]


# In the other process


def work(opens: dict[str, Any], only: str, start: Sequence[int]) -> None:
    """Run the cases from number start[1] of check start[0] on, and say what came out of each."""
    try:
        device = factory.open(**opens)
    except FactoryError as error:
        say({"refused": list(error.text)})
        return
    say({"device": _description(device)})
    selected = all_checks(only)
    for index in range(start[0], len(selected)):
        _run(device, selected[index], index, start[1] if index == start[0] else 0)
    name = {"check": "HIP: memory", "case": "given back at the end"}
    say({"trying": name, "number": len(selected), "at": (len(selected), 0)})
    say({**name, "error": float(len(device.close())), "limit": 0.0})


def _run(device: Device, check: Check, index: int, first: int) -> None:
    """The cases of one check. After an error of a library this process ends: what comes next would fail as well."""
    with closing(check.cases(device)) as cases:
        number = 0
        while True:
            name = {"check": check.label, "case": "to begin with"}
            say({"trying": name, "number": index, "at": (index + 1, 0)})
            try:
                found = next(cases, None)
                if found is None:
                    return
                label, case = found
                number += 1
                if number <= first:
                    continue
                name["case"] = label
                say({"trying": name, "number": index, "at": (index, number)})
                outcome = case()
            except Exception as error:
                outcome = _failure(error)
                if isinstance(error, LibraryError):
                    say({**name, **outcome})
                    os._exit(0)  # without waiting for a GPU that may never answer
            say({**name, **outcome})


def _failure(error: Exception) -> Outcome:
    """What an exception says, in English: the report goes to others."""
    if isinstance(error, ModelError) and error.key in ("install", "missing"):
        return {"missing": error.text.en}
    text = error.text.en if isinstance(error, FactoryError) else str(error)
    return {"exception": f"{type(error).__name__}: {text}"}


def _description(device: Device) -> dict[str, Any]:
    gpu = (
        {name: value for name, value in asdict(device.gpu).items() if name not in ("rates", "pages", "note")}
        if device.gpu
        else None
    )
    described = {"wing": device.wing, "label": device.label, "gpu": gpu, "memory": device.memory.limit}
    if device.wing == "rocm":
        said = {name: getattr(device.hip.properties, name) for name in _PROPERTIES}
        described["driver"] = {**said, "free": device.hip.mem_get_info()[0]}
    return described


# In the process that was asked


@dataclass
class Proof:
    """What came out: the device, an outcome for each case, and how many checks were not looked at."""

    opens: dict[str, Any]
    only: str = ""
    device: dict[str, Any] = field(default_factory=dict)
    results: list[Outcome] = field(default_factory=list)
    left: int = 0
    gpus: list[str] = field(default_factory=list)
    libraries: dict[str, Any] = field(default_factory=dict)

    def run(
        self, progress: bool = False, save: Callable[[], None] = lambda: None,
        announce: Callable[[Text], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Run all checks, and save after each; on a GPU, announce on which. The first GPU that works is taken, and no
        other on the way. Raises ProofError where there is no device, or no check of that name."""
        labels = [check.label for check in all_checks(self.only)]
        if not labels:
            raise ProofError("only", got=repr(self.only))
        if self.opens["wing"] == "rocm":
            with tqdm(disable=not progress, leave=False, bar_format="{desc}") as bar:
                machine = doctor.machine(bar.set_description)
            self.opens = {**self.opens, "index": machine["index"]}
            self.gpus, self.libraries = machine["gpus"], machine["libraries"]
        at, number, self.left = [0, 0], 0, len(labels)
        with tqdm(total=len(labels), disable=not progress, delay=2, unit="check", dynamic_ncols=True) as bar:
            while self.left:
                before, trying = list(at), None
                code = f"from factory import prove; prove.work({self.opens!r}, {self.only!r}, {at!r})"
                child, began = Child(code, _SECONDS), perf_counter()
                for message in child:
                    if "refused" in message:
                        self._refuse(Text(*message["refused"]))
                    if "device" in message and not self.device:
                        self.device = message["device"]
                        self._announce(len(labels), announce)
                    if "check" in message:
                        self._note(message, began, child)
                    if "at" in message:
                        at, trying, began = message["at"], message["trying"], perf_counter()
                        self.left = len(labels) - at[0]
                        bar.set_description(trying["check"])
                        if message["number"] > number:
                            bar.update(message["number"] - number)
                            number = message["number"]
                            save()
                if child.death and not self.device:
                    self._refuse(child.death)
                if child.death:
                    self._note({**(trying or _OPENING), "exception": child.death.en}, began, child)
                if at == before:  # the device does not open any more
                    break
            bar.update(len(labels) - self.left - number)

    def _announce(self, count: int, announce: Callable[[Text], None]) -> None:
        if self.device["wing"] == "rocm":
            numbered = ", ".join(f"{index}: {gpu}" for index, gpu in enumerate(self.gpus))
            others = _OTHERS.format(all=numbered) if len(self.gpus) > 1 else ""
            announce(_BEGINS.format(device=self.measured_on, count=count, others=others))

    def _note(self, result: Outcome, began: float, child: Child) -> None:
        """Keep an outcome; with a failure also what the libraries have said in that process."""
        judged = {**_judged(result), "seconds": round(perf_counter() - began, 2)}
        if judged["outcome"] == FAILED:
            judged["stderr"] = child.complaints()
        self.results.append(judged)

    def _refuse(self, why: Text) -> None:
        """The device does not open: there is nothing to prove, or, later on, nothing more."""
        if not self.device:
            raise ProofError("device", why=Text(why.ja.rstrip("。"), why.en.rstrip(".")))
        self.results.append({**_OPENING, "outcome": FAILED, "exception": why.en})

    @property
    def failed(self) -> bool:
        """Whether anything failed, or was not looked at."""
        return self.left > 0 or any(result["outcome"] == FAILED for result in self.results)

    def report(self) -> dict[str, Any]:
        """All of it as JSON takes it; nobody's home folder is named."""
        return {
            "report": "inference-factory prove", "factory": factory.__version__,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(), "platform": platform.platform(),
            "packages": {name: _version(name) for name in _PACKAGES}, "environment": _settings(),
            "kernel_driver": _KERNEL_DRIVER.read_text().strip() if _KERNEL_DRIVER.exists() else None,
            "measured_on": self.measured_on, "gpus": self.gpus, "opened": self.opens, "device": self.device,
            "libraries": self.libraries,
            **_counts(self.results), "not_looked_at": self.left, "only": self.only, "results": self.results,
            "find_db": [result["find_db"] for result in self.results if "find_db" in result],
        }  # fmt: skip

    @property
    def measured_on(self) -> str:
        """Where the times come from."""
        gpu = self.device["gpu"]
        if self.device["wing"] == "rocm":
            return f"{gpu['arch']} ({gpu['name']})"
        return f"the simulator on this computer's processor ({platform.processor() or platform.machine()})"

    def file_name(self) -> str:
        """A name for the report: the device's, and the day's."""
        name = self.device["gpu"]["arch"] if self.device["wing"] == "rocm" else "simulator"
        return f"prove-{name}-{datetime.now():%Y%m%d}.json"

    def write(self, path: str) -> None:
        """Write the report. Raises OSError where that cannot be."""
        text = json.dumps(self.report(), ensure_ascii=False, indent=1)
        if Path.home().name:  # not the root of all folders, as in some containers
            text = text.replace(str(Path.home()), "~")
        Path(path).write_text(text + "\n", "utf-8")

    def summary(self, path: str) -> Iterator[Text]:
        """The report in a few lines."""
        for station in dict.fromkeys(result["check"].partition(":")[0] for result in self.results):
            own = [result for result in self.results if result["check"].startswith(f"{station}:")]
            limited = [(one["error"], one["limit"]) for one in own if one.get("limit")]
            error, limit = max(limited, key=lambda pair: pair[0] / pair[1], default=(0.0, 0.0))
            worst = _WORST.format(error=error, limit=limit) if limited else ""
            yield _SUMMARY.format(station=station, worst=worst, **_counts(own))
        for result in self.results:
            if result["outcome"] == FAILED:
                yield _FAILURE.format(check=result["check"], case=result["case"], why=_why(result))
        if self.left:
            yield _UNFINISHED.format(count=self.left)
        if self.device["wing"] == "rocm":
            yield _WRITTEN.format(path=path, device=self.measured_on)
        else:
            yield _NOT_SENT.format(path=path)


def _judged(result: Outcome) -> Outcome:
    """An outcome with what it is worth. An error that is no number passes no limit."""
    if "missing" in result:
        return {**result, "outcome": SKIPPED}
    good = "exception" not in result and result.get("error", 0.0) <= result.get("limit", 0.0)
    return {**result, "outcome": PASSED if good else FAILED}


def _counts(results: Sequence[Outcome]) -> dict[str, int]:
    return {outcome: sum(one["outcome"] == outcome for one in results) for outcome in (PASSED, FAILED, SKIPPED)}


def _why(result: Outcome) -> Any:
    if "error" in result:
        return _ERROR.format(error=result["error"], limit=result["limit"])
    return result["exception"]


def _settings() -> dict[str, str]:
    """What is set in the environment for the libraries. Of a folder that is not the system's, not which."""
    return {
        name: value if "/" not in value or value.startswith(("/opt/", "/usr/")) else "(a path)"
        for name, value in sorted(os.environ.items())
        if _SETTINGS.fullmatch(name)
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
