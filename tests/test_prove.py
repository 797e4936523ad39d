"""prove: every check can pass and can fail, nothing ends it early, and its report is one that others can read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import factory
from factory import ConvolutionProblem, Device
from factory.prove import Proof, all_checks, checks, models, times
from factory.records import find_db

ROOT = Path(__file__).resolve().parent.parent
STATIONS = ("HIP", "rocBLAS", "kernels", "MIOpen", "models", "times")


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "factory", "prove", *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, encoding="utf-8", timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([environment.pop("before", ""), str(ROOT)]), **environment},
    )  # fmt: skip


def report_of(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def report_of_the_broken(program: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """What is printed, and the report, of the checks of softmax where a program that runs before them breaks it."""
    (folder / "sitecustomize.py").write_text(program)
    (folder / "out").mkdir()
    ran = run("--device", "simulator", "--only", "softmax", cwd=folder / "out", before=str(folder))
    assert ran.returncode == 1
    return ran.stdout, report_of(folder / "out")


def proved(only: str, wing: str = "rocm") -> Proof:
    proof = Proof({"wing": wing}, only)
    proof.run()
    return proof


# The checks


@pytest.fixture(scope="module")
def simulator():
    with factory.open("simulator") as device:
        yield device


NUMERIC = list(checks.checks())


@pytest.mark.parametrize("check", NUMERIC, ids=lambda check: check.label)
def test_each_check_passes_on_the_simulator_and_fails_where_numbers_are_wrong(
    check: checks.Check, simulator: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = list(check.cases(simulator))
    assert len({label for label, _ in cases}) == len(cases) > 0
    right = [case() for _, case in cases]
    assert all(outcome.get("error", 0) <= outcome.get("limit", 0) for outcome in right)
    read, memcpy = Device.read, type(simulator.hip).memcpy

    def wrong(host: np.ndarray) -> None:
        flat = host.reshape(-1)
        flat[-1:] = (
            np.logical_not(flat[-1:]) + np.abs(flat).max() // 4 * 2 if flat.dtype == np.uint8 else flat[-1:] * 2 + 99
        )

    def wrong_read(device: Device, array: Any) -> np.ndarray:
        host = read(device, array)
        wrong(host)
        return host

    def wrong_copy(hip: Any, target: Any, source: Any, nbytes: int) -> None:
        memcpy(hip, target, source, nbytes)
        if isinstance(target, np.ndarray):
            wrong(target)

    monkeypatch.setattr(Device, "read", wrong_read)
    monkeypatch.setattr(type(simulator.hip), "memcpy", wrong_copy)
    for (label, case), outcome in zip(check.cases(simulator), right, strict=True):
        if "error" in outcome:
            try:
                assert not case()["error"] <= outcome["limit"], label
            except AssertionError as error:
                assert "was overwritten" in str(error)  # what lies around a result is looked at, too


def test_an_error_that_does_not_come_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="DoubleFree was not raised"):
        checks._raised(factory.DoubleFree, lambda: None)


def test_nothing_is_compared_with_infinity() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(AssertionError, match="NaN or infinity"):
            checks.compare(np.array([1, bad], np.float32), np.ones(2))
    with pytest.raises(AssertionError, match="shape"):
        checks.compare(np.ones(2, np.float32), np.ones((1, 2)))


def test_every_operation_of_a_device_and_every_type_is_checked() -> None:
    labels = [check.label for check in all_checks()]
    assert len(set(labels)) == len(labels)
    assert {label.partition(":")[0] for label in labels} == set(STATIONS)
    text = " ".join(labels)
    for dtype in ("float32", "float16", "bfloat16", "int8"):
        assert all(f"rocBLAS: gemm {dtype} {ops}" in labels for ops in ("NN", "NT", "TN", "TT"))
    for name in (*factory.device.ACTIVATIONS, *factory.device.POOLINGS, "softmax", "batch_norm", "add", "multiply", "rms_norm",
                 "rotary_cache", "silu_gate", "gather", "causal_softmax", "copy", "pad", "smollm2", "tiny", "painter"):  # fmt: skip
        assert name in text
    operations = {"gemm", "convolve", "activate", "pool"} | set(re.findall(r"(?:kernels|MIOpen): (\w+)", text))
    missing = {"array", "empty", "write", "read", "find", "synchronize", "close"}  # part of all the others
    public = {name for name, value in vars(Device).items() if callable(value) and not name.startswith("_")}
    assert public - operations - missing == set()


def test_the_convolution_that_they_are_held_against_is_scipys() -> None:
    import scipy.signal

    problem = ConvolutionProblem(1, 2, 7, 6, 3, 3, 2, (1, 1), dtype="float32")
    x, w = checks.numbers(problem.x_shape), checks.numbers(problem.w_shape, seed=1)
    padded = np.pad(x[0].astype(float), ((0, 0), (1, 1), (1, 1)))
    want = [
        sum(scipy.signal.correlate2d(padded[c], w[k, c].astype(float), "valid") for c in range(2)) for k in range(3)
    ]
    assert np.allclose(checks.convolved(problem, x, w)[0], want)


# Where there is no GPU


@pytest.mark.parametrize("language", ["ja", "en"])
def test_without_a_gpu_it_says_so_in_one_line_and_offers_the_simulator(language: str, tmp_path: Path) -> None:
    ran = run(cwd=tmp_path, FACTORY_LANG=language, ROCM_PATH="/nowhere")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert "python -m factory prove --device simulator" in ran.stderr
    assert ("There is no AMD GPU that works" if language == "en" else "使える AMD GPU がありません") in ran.stderr
    assert list(tmp_path.iterdir()) == []


MISTAKES = {
    "no such check": ("--device", "simulator", "--only", "nonsense"),
    "no such GPU": ("--device", "gfx1"),
    "no such folder": ("--device", "simulator", "--out", "nowhere/report.json"),
    "an option that is none": ("--all",),
}


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_takes_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path, FACTORY_LANG="both")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)


def test_on_the_simulator_all_of_a_kind_is_run_and_written_down_and_no_gpu_is_claimed(tmp_path: Path) -> None:
    ran = run("--device", "simulator", "--only", "float16", "--out", "here.json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = report_of(tmp_path)
    assert report["device"]["wing"] == "simulator" and report["device"]["gpu"] is None
    assert "simulator" in report["measured_on"] and report["libraries"] == {}
    assert (report["failed"], report["not_looked_at"]) == (0, 0) and report["passed"] == len(report["results"]) > 50
    assert {result["check"] for result in report["results"]} == {check.label for check in all_checks("float16")} | {
        "HIP: memory"
    }
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("rocBLAS: 72 passed, 0 failed") and "shows nothing of a GPU" in lines[-1]
    assert "here.json" in lines[-1]
    timed = [result for result in report["results"] if result["check"].startswith("times: gemm")]
    assert timed[0]["milliseconds"] > 0 and timed[0]["operations"] >= 2 * 256**3
    assert "/root" not in json.dumps(report) and str(Path.home()) not in json.dumps(report)
    found = find_db.parse(report["find_db"])
    assert found.skipped == 0 and len(found.solutions) == len(report["find_db"]) == 7
    assert found.get(ConvolutionProblem(1, 64, 56, 56, 64, 3, 3, (1, 1), dtype="float16"))


def test_it_can_play_a_gpu_and_still_claims_none() -> None:
    proof = Proof({"wing": "simulator", "gpu": "gfx900"}, "HIP: order")
    proof.run()
    assert not proof.failed and proof.device["gpu"]["arch"] == "gfx900"
    assert "simulator" in proof.measured_on and "simulator" in proof.file_name()
    assert "shows nothing of a GPU" in [text.en for text in proof.summary("x")][-1]


def test_a_model_that_is_not_here_is_no_failure(monkeypatch: pytest.MonkeyPatch, simulator: Device) -> None:
    from factory.errors import ModelError
    from factory.prove import PASSED, SKIPPED, _failure, _judged

    assert _judged(_failure(ModelError("install", model="SmolLM2", command="pip")))["outcome"] == SKIPPED
    assert _judged(_failure(ModelError("tensor", path="a", name="b", want="c", got="d")))["outcome"] != PASSED


def test_ctrl_c_leaves_a_report_of_what_was_done(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "factory", "prove", "--device", "simulator", "--out", "part.json"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "part.json").exists():  # it is saved after each check
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, complaints = process.communicate(timeout=60)
    assert (process.returncode, out, complaints) == (130, "", "Stopped.\n")
    report = report_of(tmp_path)
    assert report["not_looked_at"] > 0 and report["failed"] == 0 and report["passed"] == len(report["results"]) > 0


# On the double of a GPU, which is a program on this computer's processor


@pytest.mark.parametrize("only", ["HIP", "rocBLAS", "kernels", "MIOpen", "glyph"])
def test_on_the_double_everything_passes(only: str, rocm_double) -> None:  # type: ignore[no-untyped-def]
    proof = proved(only)
    assert not proof.failed, [result for result in proof.results if result["outcome"] == "failed"]
    assert len(proof.results) > len(all_checks(only))
    assert proof.device["gpu"]["name"] == "double (a CPU, not a GPU)" and "not a GPU" in proof.measured_on


def test_the_report_names_the_gpu_and_the_versions_and_hides_the_home_folder(
    rocm_double, tmp_path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    proof = proved("find 64x56x56")
    monkeypatch.setenv("HOME", str(ROOT))
    proof.write(str(tmp_path / proof.file_name()))
    report = report_of(tmp_path)
    assert list(tmp_path.glob("prove-gfx900-*.json"))
    assert str(ROOT) not in json.dumps(report)
    assert report["device"]["gpu"]["arch"] == "gfx900" and report["packages"]["hip-python"]
    assert {name: one["version"] for name, one in report["libraries"].items()} == {
        "HIP": "6.4.43484", "hiprtc": "0.0", "rocBLAS": "0.0.0.double", "MIOpen": "0.0.0"
    }  # fmt: skip
    found = find_db.parse(report["find_db"])
    solutions = found.get(ConvolutionProblem(1, 64, 56, 56, 64, 3, 3, (1, 1)))
    assert "GemmFwdRest" in [solution.solver for solution in solutions]
    assert "README" in [text.en for text in proof.summary("x")][-1]


def test_a_call_that_fails_is_written_down_and_the_rest_goes_on(rocm_double, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DOUBLE_FAIL", "miopenSoftmaxForward_V2:2:7")
    proof = proved("softmax")
    assert proof.failed and proof.left == 0
    outcomes = {(result["check"], result["case"]): result for result in proof.results}
    softmax = [outcomes["MIOpen: softmax", dtype] for dtype in ("float32", "float16", "bfloat16")]
    # The second call of each process fails: after a failure there is a new process, whose first call is right.
    assert [result["outcome"] for result in softmax] == ["passed", "failed", "passed"]
    assert "miopenSoftmaxForward_V2" in softmax[1]["exception"]
    assert outcomes["kernels: causal_softmax", "float32"]["outcome"] == "passed"
    (line,) = [text.en for text in proof.summary("x") if text.en.startswith("failed")]
    assert "MIOpen: softmax, float16" in line and "miopenSoftmaxForward_V2" in line


def test_where_a_processors_own_graphics_come_first_the_card_is_proved_and_named(rocm_double, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name, value in (("DEVICES", "2"), ("ARCH", "gfx1036,gfx1100"), ("WITHOUT", "gfx1036")):
        monkeypatch.setenv(f"DOUBLE_{name}", value)
    proof, said = Proof({"wing": "rocm"}, "gemm float32 NN"), []
    proof.run(announce=said.append)
    assert not proof.failed and proof.opens["index"] == 1 and proof.device["gpu"]["arch"] == "gfx1100"
    for text in said[0]:
        assert "0: gfx1036" in text and "1: gfx1100" in text and "HIP_VISIBLE_DEVICES" in text
    report = proof.report()
    assert len(said) == 1 and len(report["gpus"]) == 2 and report["libraries"]["rocBLAS"]["level"] is not None
    assert report["device"]["driver"]["multiProcessorCount"] == 32 and report["device"]["gpu"]["compute_units"] == 64


def test_a_type_that_rocblas_lacks_is_not_here_and_no_failure(rocm_double, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where nothing tells yet that all types work
    monkeypatch.setenv("DOUBLE_FAIL", "rocblas_gemm_ex:4:2")  # the fourth product that is tried is int8's
    proof = proved("gemm int8")
    assert not proof.failed
    lacking = [result for result in proof.results if result["outcome"] == "skipped"]
    assert len(lacking) >= 4 and all("not_implemented" in result["missing"] for result in lacking)
    monkeypatch.setenv("DOUBLE_FAIL", "rocblas_gemm_ex:4:6")
    proof = proved("rocBLAS: gemm int8")
    failed = [result for result in proof.results if result["outcome"] == "failed"]
    assert len(failed) == 4 and all("internal_error" in result["exception"] for result in failed)


def test_the_report_has_the_settings_and_no_folder_of_the_users(simulator: Device, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name, value in (("HSA_OVERRIDE_GFX_VERSION", "10.3.0"), ("MIOPEN_USER_DB_PATH", "/data/somebody"),
                        ("ROCM_PATH", "/opt/rocm-6.4"), ("AMD_LOG_LEVEL", "3"), ("AMD_TOKEN", "secret")):  # fmt: skip
        monkeypatch.setenv(name, value)
    proof = proved("HIP: order", "simulator")
    settings = proof.report()["environment"]
    assert (settings["HSA_OVERRIDE_GFX_VERSION"], settings["AMD_LOG_LEVEL"]) == ("10.3.0", "3")
    assert (settings["MIOPEN_USER_DB_PATH"], settings["ROCM_PATH"]) == ("(a path)", "/opt/rocm-6.4")
    assert "AMD_TOKEN" not in settings and all(result["seconds"] >= 0 for result in proof.results)


def test_a_convolutions_solvers_come_in_one_order_whatever_their_times(simulator: Device) -> None:
    convolutions = [check for check in checks.checks() if check.label.startswith("MIOpen: convolve")]
    orders = [[label for label, _ in check.cases(simulator)] for check in convolutions]
    assert all(order == sorted(order) for order in orders) and max(map(len, orders)) > 2


def test_a_convolution_without_a_solver_is_a_failure(simulator: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "find", lambda problem: ())
    check = next(check for check in checks.checks() if check.label.startswith("MIOpen: convolve"))
    with pytest.raises(AssertionError, match="no solver"):
        list(check.cases(simulator))


def test_an_error_of_another_library_is_none_of_rocblas_that_lacks_something() -> None:
    fields = {"code": 2, "meaning": "words", "gpu": "gfx900"}
    assert "missing" in checks.lacking(factory.LibraryError("status", call="rocblas_gemm_ex", **fields))
    assert "exception" in checks.lacking(factory.LibraryError("status", call="hipMalloc", **fields))


def test_a_wall_clock_runs_without_marks_around_each_command(simulator: Device) -> None:
    enabled: list[bool] = []
    x = simulator.array(np.ones((8, 8), np.float32))
    timed = times._both_clocks(simulator, lambda: (enabled.append(simulator.timeline.enabled), simulator.gemm(x, x)), 2)
    assert enabled == [False, True] and timed["wall_milliseconds"] > 0
    assert timed["milliseconds"] == sum(timed["by_station"].values()) > 0


TALKING = """
import os
from factory.device import Device
def softmax(*_):
    os.write(2, b"MIOpen(HIP): Error: no such kernel")
    raise ValueError("wrong")
Device.softmax = softmax
"""


def test_what_a_library_wrote_about_a_failure_is_in_the_report(tmp_path: Path) -> None:
    results = report_of_the_broken(TALKING, tmp_path)[1]["results"]
    for result in results:
        assert ("Error: no such kernel" in result.get("stderr", "")) == (result["outcome"] == "failed")
    assert sum(result["outcome"] == "failed" for result in results) == 3


DYING = """
import os
from factory.device import Device
def softmax(*_): os.abort()
Device.softmax = softmax
"""


def test_what_brings_its_process_down_is_written_down_and_the_rest_goes_on(tmp_path: Path) -> None:
    printed, report = report_of_the_broken(DYING, tmp_path)
    assert (report["passed"], report["failed"], report["not_looked_at"]) == (4, 3, 0)
    assert all("SIGABRT" in result["exception"] for result in report["results"] if result["outcome"] == "failed")
    assert printed.count("failed: MIOpen: softmax") == 3


def test_a_gpu_that_does_not_come_back_ends_it_with_what_there_is(tmp_path: Path) -> None:
    flag = tmp_path / "once"
    (tmp_path / "sitecustomize.py").write_text(
        DYING + f"import factory\nopened = factory.open\ndef open(*_, **options):\n"
        f"    if os.path.exists({str(flag)!r}): os._exit(7)\n    from pathlib import Path\n    Path({str(flag)!r}).touch()\n"
        f"    return opened(*_, **options)\nfactory.open = open\n"
    )
    (tmp_path / "out").mkdir()
    ran = run("--device", "simulator", "--only", "softmax", cwd=tmp_path / "out", before=str(tmp_path))
    assert ran.returncode == 1 and "It ended early; not looked at: 1" in ran.stdout
    report = report_of(tmp_path / "out")
    assert report["results"][-1]["case"] == "opened again" and "7" in report["results"][-1]["exception"]
    assert report["passed"] == 3 and report["not_looked_at"] == 1


def test_the_language_models_are_compared_token_by_token(simulator: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models._same([1, 2, 3], [1, 2, 3])["error"] == 0
    assert models._same([1, 2, 3], [1, 9, 3])["error"] == 1
    assert models._same([1, 2], [1, 2, 3])["error"] == 3
