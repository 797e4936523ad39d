"""doctor: what it finds on computers of every kind, in both languages, and that nothing it meets brings it down.

The GPUs here are the double's, which is a program on this computer's processor, or files that look like one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import real_rocm

from factory.language import Text
from factory.rocm import doctor

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("HIP", "hiprtc", "rocBLAS", "MIOpen")


class Report:
    """What `python -m factory doctor` printed: each thing by its name, with its mark and all its words."""

    def __init__(self, language: str = "en", python: str = sys.executable, **environment: str) -> None:
        ran = subprocess.run(
            [python, "-m", "factory", "doctor"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", timeout=300, env={**os.environ, "FACTORY_LANG": language, **environment},
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
        self.text = ran.stdout
        self.marks: dict[str, str] = {}
        self._words: dict[str, str] = {}
        for line in ran.stdout.splitlines():
            if line.startswith("["):
                name, _, rest = line[5:].partition("  ")
                self.marks[name], self._words[name] = line[:4], rest.strip()
            else:
                self._words[name] += " " + line.strip()

    def __getitem__(self, name: str) -> str:
        return self._words[name]


def is_japanese(text: str) -> bool:
    return any("ぁ" <= letter <= "鿿" for letter in text)


# Without ROCm


@pytest.mark.parametrize("language", ["ja", "en", "both"])
def test_it_tells_what_is_here_and_succeeds(language: str) -> None:
    text = Report(language, ROCM_PATH="/nowhere").text
    for word in (
        "Python",
        "NumPy",
        "BLAS",
        "SmolLM2",
        "EfficientNet-Lite0",
        "JupyterLab",
        "ipywidgets",
        "hip-python",
        *LIBRARIES,
    ):
        assert word in text
    assert is_japanese(text) == (language != "en")
    assert ("the simulator only" in text) == (language != "ja")
    assert ("シミュレーターだけ" in text) == (language != "en")
    assert str(ROOT / "factory") in text


def test_without_rocm_each_library_is_simply_not_there_and_the_simulator_does_the_work() -> None:
    report = Report(ROCM_PATH="/nowhere")
    for library in LIBRARIES:
        assert (report.marks[library], report[library]) == ("[--]", "not found; the simulator does not need it.")
    assert "the simulator" in report["Computes on"] and 'factory.open("simulator"' in report["What to do next"]
    assert "[!!]" not in [report.marks[name] for name in (*LIBRARIES, "AMD GPU", "Computes on")]


def test_it_sees_another_factory(tmp_path: Path) -> None:
    (tmp_path / "factory").mkdir()
    (tmp_path / "factory" / "__init__.py").touch()
    (tmp_path / "factory_boy-3.3.3.dist-info").mkdir()
    (tmp_path / "factory_boy-3.3.3.dist-info" / "METADATA").write_text("Name: factory_boy\nVersion: 3.3.3\n")
    assert "factory_boy" not in Report().text
    said = Report(PYTHONPATH=str(tmp_path))["The name factory"]
    assert "factory_boy 3.3.3" in said and str(tmp_path / "factory") in said


HIP = {
    "no runtime": ("def hipGetDeviceCount(): raise RuntimeError('failed to dlopen')", "not found"),
    "an import that fails": ("raise ImportError('no such symbol')", "no such symbol"),
    "a library that aborts": ("import os\ndef hipGetDeviceCount(): os.abort()", "SIGABRT"),
    "a library that leaves": ("import os\ndef hipGetDeviceCount(): os._exit(3)", "exit status 3"),
    "a library that gives up": ("def hipGetDeviceCount(): raise SystemExit(4)", "exit status 4"),
    "a library that talks": ("def hipGetDeviceCount(): print('rocm: hello', end=''); return 100, 0", "hipRuntimeGetVersion"),
    "nonsense": ("def hipGetDeviceCount(): print('}{'); return 'many', None", "Error"),
}  # fmt: skip


@pytest.mark.parametrize("case", HIP)
def test_it_survives_whatever_hip_python_does(case: str, tmp_path: Path) -> None:
    code, said = HIP[case]
    (tmp_path / "hip").mkdir()
    for name in ("__init__", "hiprtc"):
        (tmp_path / "hip" / f"{name}.py").touch()
    (tmp_path / "hip" / "hip.py").write_text(
        "import enum\nclass hipError_t(enum.IntEnum):\n    hipSuccess = 0\n    hipErrorNoDevice = 100\n"
        f"def hipGetErrorString(error): return error, 'words'\n{code}\n"
    )
    report = Report(PYTHONPATH=str(tmp_path))
    assert said in report["HIP"]
    assert "simulator" in report["Computes on"]


def test_an_old_hip_python_is_told_how_to_renew(tmp_path: Path) -> None:
    (tmp_path / "hip_python-9.9.dist-info").mkdir()
    (tmp_path / "hip_python-9.9.dist-info" / "METADATA").write_text("Name: hip-python\nVersion: 9.9\n")
    report = Report(PYTHONPATH=str(tmp_path))
    assert "hip-python 9.9" in report["HIP"] and "pip install 'hip-python>=10'" in report["HIP"]
    assert "hip-python 10 or newer" in report["MIOpen"]


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        report = Report(**{name: str(tmp_path / "file" / "deeper")})
        assert report.marks["Kept in"] == "[!!]"
        assert str(tmp_path / "file" / "deeper") in report["Kept in"] and name in report["Kept in"]


# What the system says of GPUs


@pytest.fixture
def computer(tmp_path: Path) -> Path:
    """The root of a computer with a graphics card of AMD's, without its driver."""
    for number, (vendor, kind) in enumerate((("0x8086", "0x030000"), ("0x1002", "0x040300"), ("0x1002", "0x030000"))):
        device = tmp_path / "sys" / "bus" / "pci" / "devices" / f"0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    return tmp_path


def add_driver(root: Path) -> None:
    (root / "dev" / "dri").mkdir(parents=True)
    for name in ("kfd", "dri/renderD128", "dri/card0"):
        (root / "dev" / name).touch()


def no_facts(**of_hip: object) -> dict[str, dict[str, object]]:
    return {**{step: {} for step in doctor.probes.STEPS}, "HIP": of_hip}


ABSENT = ("absent", {"library": "rocm.bindings.hip", "why": "no such file"})


def test_a_computer_without_an_amd_gpu_needs_nothing(tmp_path: Path, computer: Path) -> None:
    assert doctor.hardware(tmp_path / "empty").state == "none"
    shutil.rmtree(computer / "sys/bus/pci/devices/0000:02:00.0")  # what is left of AMD's is its sound
    assert doctor.hardware(computer).state == "none"
    text = doctor.advice(no_facts(error=ABSENT), doctor.hardware(computer))
    assert "nothing is missing" in text.en and "足りないものはありません" in text.ja


def test_a_gpu_without_its_driver_is_seen(computer: Path) -> None:
    seen = doctor.hardware(computer)
    assert seen.state == "no_driver"
    for text in doctor.gpu_text(no_facts(), seen):
        assert "/dev/kfd" in text
    for text in doctor.advice(no_facts(), seen):
        assert "--device=/dev/kfd" in text and "amdgpu" in text


@pytest.mark.parametrize("name", ["kfd", "dri/renderD128"])
def test_a_gpu_that_may_not_be_opened_names_the_file_and_its_group(
    computer: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_driver(computer)
    denied = computer / "dev" / name
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != denied)
    seen = doctor.hardware(computer)
    assert (seen.state, seen.file, seen.group) == ("denied", f"/dev/{name}", denied.group())
    for text in doctor.gpu_text(no_facts(), seen):
        assert f"/dev/{name}" in text and denied.group() in text
    for text in doctor.advice(no_facts(), seen):
        assert "usermod -aG render,video" in text


def test_a_system_that_tells_little_is_taken_as_it_is(computer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (computer / "sys/bus/pci/devices/0000:02:00.0/vendor").unlink()
    assert doctor.hardware(computer).state == "none"
    add_driver(computer)
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    def nameless(path: Path) -> str:
        raise KeyError(path.stat().st_gid)

    monkeypatch.setattr(Path, "group", nameless)
    assert doctor.hardware(computer).group == str((computer / "dev" / "kfd").stat().st_gid)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert doctor.hardware(computer).state == "elsewhere"
    for text in doctor.gpu_text(no_facts(), doctor.Hardware("elsewhere")):
        assert "Linux" in text


def test_a_gpu_with_its_driver_and_no_rocm_is_told_to_install_it(computer: Path) -> None:
    add_driver(computer)
    seen = doctor.hardware(computer)
    assert seen.state == "ready"
    for text in doctor.advice(no_facts(error=ABSENT), seen):
        assert "https://rocm.docs.amd.com/projects/install-on-linux/" in text


def test_a_gpu_that_hip_does_not_see_may_be_hidden(computer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_driver(computer)
    seen, facts = doctor.hardware(computer), no_facts(version="6.4.1", gpus=[])
    for name in doctor._HIDING:
        monkeypatch.delenv(name, raising=False)
    assert "VISIBLE" not in doctor.gpu_text(facts, seen).en
    for name in ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "-1")
    for text in doctor.gpu_text(facts, seen):
        assert "HIP_VISIBLE_DEVICES, CUDA_VISIBLE_DEVICES" in text
    assert "rocminfo" in doctor.advice(facts, seen).ja


def test_without_hip_python_a_gpu_is_told_to_get_it(computer: Path) -> None:
    add_driver(computer)
    facts = no_facts(error=("bindings", {"oldest": 10, "found": "no package"}))
    assert "pip install 'hip-python>=10'" in doctor.advice(facts, doctor.hardware(computer)).ja


# With ROCm: the double's


@pytest.fixture
def report(rocm_double):
    """report(language, NAME=value, ...): a report on a computer with the double as its ROCm."""
    return Report


def level(report: Report, library: str) -> int:
    return int(report[library].partition(" of 0 to 4")[0].rpartition("(")[2])


def test_libraries_that_work_are_runnable_and_prove_comes_next(report, rocm_double) -> None:
    said = report()
    assert "a CPU, not a GPU" in said["AMD GPU"]
    for library, words in {
        "HIP": ("6.4.43484", "took memory"), "hiprtc": ("compiled this course's kernels for gfx900", "were right"),
        "rocBLAS": ("0.0.0.double", "float32, float16, bfloat16, int8"), "MIOpen": ("convolution rightly", "no records"),
    }.items():  # fmt: skip
        assert said.marks[library] == "[ok]" and level(said, library) == doctor.RUNNABLE
        assert str(rocm_double.path) in said[library]
        assert all(word in said[library] for word in words)
    assert "gfx900" in said["Computes on"] and "python -m factory prove" in said["What to do next"]
    assert "not AMD's own" in said["Levels of support"]


def test_the_report_is_whole_in_japanese(report) -> None:
    said = report("ja")
    for library in LIBRARIES:
        assert "対応の段階: 実行できる(0 から 4 のうち 2)" in said[library]
    assert "python -m factory prove" in said["次にすること"]


def test_what_is_tuned_for_a_gpu_makes_it_optimized(report, tmp_path: Path) -> None:
    tensile, records = tmp_path / "library", tmp_path / "db"
    tensile.mkdir()
    records.mkdir()
    for name in ("Type_SS_Contraction_l_Ailk_Bljk_Cijk_Dijk_fallback_gfx900.hsaco", "lazy_gfx900.dat",
                 "Type_HH_Contraction_l_Ailk_Bljk_Cijk_Dijk_gfx90a.co"):  # fmt: skip
        (tensile / f"TensileLibrary_{name}").touch()
    (records / "gfx900_56.HIP.fdb.txt").touch()  # of a card with other units than the double's 64
    folders = {"ROCBLAS_TENSILE_LIBPATH": str(tensile), "MIOPEN_SYSTEM_DB_PATH": str(records)}
    said = report(**folders)
    assert (level(said, "rocBLAS"), level(said, "MIOpen")) == (doctor.RUNNABLE, doctor.RUNNABLE)
    assert "kernel files for gfx900: 2, of which tuned for it: 0" in said["rocBLAS"]
    (tensile / "TensileLibrary_Type_SS_Contraction_l_Ailk_Bljk_Cijk_Dijk_gfx900.co").touch()
    (records / "gfx900_64.HIP.fdb.txt").touch()
    said = report(**folders)
    assert (level(said, "rocBLAS"), level(said, "MIOpen")) == (doctor.OPTIMIZED, doctor.OPTIMIZED)
    assert "kernel files for gfx900: 3, of which tuned for it: 1" in said["rocBLAS"]
    assert "gfx900_64.HIP.fdb.txt" in said["MIOpen"] and "gfx900_56" not in said["MIOpen"]


def test_a_gpu_in_amds_matrix_is_officially_recommended(report) -> None:
    said = report(DOUBLE_ARCH="gfx1100")
    for library in LIBRARIES:
        assert level(said, library) == doctor.RECOMMENDED and doctor.MATRIX in said[library]


@pytest.mark.parametrize(
    ("version", "arch", "recommended"),
    [
        ("5.7.3", "gfx90a", False), ("6.0.1", "gfx90a", True), ("6.3.4", "gfx1201", False), ("6.4.5", "gfx1201", True),
        ("6.4.5", "gfx950", False), ("7.0.0", "gfx950", True), ("7.15.1", "gfx950", True), ("7.15.1", "gfx900", False),
    ],
)  # fmt: skip
def test_the_matrix_goes_by_the_installed_release(version: str, arch: str, recommended: bool) -> None:
    facts = no_facts(version=version, path="/x", gpus=[[arch, "a card", 64]], ran="memory")
    hip = doctor.findings(facts)[0]
    assert hip.level == (doctor.RECOMMENDED if recommended else doctor.RUNNABLE)


def test_rocm_without_a_gpu_gets_no_level_but_for_what_compiles(report) -> None:
    said = report(DOUBLE_DEVICES="0")
    assert level(said, "hiprtc") == doctor.BUILDABLE
    for library in ("HIP", "rocBLAS", "MIOpen"):
        assert "not to be told without a GPU" in said[library]
    assert "the simulator only" in said["Computes on"]


def test_a_call_that_fails_is_named_with_its_library(report) -> None:
    said = report(DOUBLE_FAIL="hipMalloc:0:1")
    assert said.marks["HIP"] == "[!!]" and "hipMalloc" in said["HIP"] and level(said, "HIP") == doctor.UNSUPPORTED
    said = report(DOUBLE_FAIL="miopenActivationForward:0:7")
    assert said.marks["MIOpen"] == "[!!]" and "miopenActivationForward" in said["MIOpen"]
    assert said.marks["rocBLAS"] == "[ok]"
    assert "MIOpen" in said["What to do next"] and 'gpu="gfx900"' in said["What to do next"]


def test_kernels_that_are_there_and_did_not_run_can_be_built_upon() -> None:
    facts = no_facts(version="6.4.5", path="/x", gpus=[["gfx900", "a card", 64]], ran="memory")
    facts["rocBLAS"] = {"path": "/x", "version": "4.4.1", "kernels": 3, "tuned": 1}
    facts["MIOpen"] = {"path": "/x", "version": "3.4.0", "records": []}
    _, _, rocblas, miopen = doctor.findings(facts)
    assert (rocblas.level, miopen.level) == (doctor.BUILDABLE, doctor.UNSUPPORTED)


def fake(path: Path, source: str, soname: str, *flags: str) -> None:
    """A library of a few lines of C."""
    command = ["gcc", "-shared", "-fPIC", "-w", "-o", str(path), f"-Wl,-soname,{soname}", "-x", "c", "-", *flags]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.fixture
def rocm(rocm_double, tmp_path: Path) -> Path:
    """A folder with the double's libraries, some of which a test replaces."""
    lib = tmp_path / "rocm" / "lib"
    lib.mkdir(parents=True)
    for file in (rocm_double.path / "lib").iterdir():
        (lib / file.name).symlink_to(file)
    (lib / "librocblas.so").unlink()
    return lib.parent


ROCBLAS = """
#include <stdio.h>
#include <stdlib.h>
int rocblas_get_version_string_size(size_t *size) { *size = 6; return 0; }
int rocblas_get_version_string(char *text, size_t size) { snprintf(text, size, "4.4.1."); return 0; }
int rocblas_create_handle(void **handle) { *handle = handle; return 0; }
int rocblas_destroy_handle(void *handle) { return 0; }
int rocblas_set_stream(void *handle, void *stream) { return 0; }
int rocblas_set_atomics_mode(void *handle, int mode) { return 0; }
const char *rocblas_status_to_string(int status) { return "rocblas_status_of_a_test"; }
int rocblas_gemm_ex() {
  fputs("rocBLAS error: Cannot read TensileLibrary.dat\\n List of available Files :\\n\\"gfx90a.dat\\"\\n", stderr);
  abort();
}
int rocblas_gemm_strided_batched_ex() { return rocblas_gemm_ex(); }
"""


def test_a_rocblas_without_kernels_for_the_gpu_does_not_take_the_report_with_it(report, rocm: Path) -> None:
    fake(rocm / "lib" / "librocblas.so", ROCBLAS, "librocblas.so.4")
    said = report(ROCM_PATH=str(rocm))
    assert said.marks["rocBLAS"] == "[!!]" and level(said, "rocBLAS") == doctor.UNSUPPORTED
    assert (
        "4.4.1" in said["rocBLAS"] and said["rocBLAS"].count("SIGABRT: rocBLAS error: Cannot read TensileLibrary") == 4
    )
    assert said.marks["HIP"] == said.marks["hiprtc"] == said.marks["MIOpen"] == "[ok]"
    assert "rocBLAS" in said["What to do next"] and doctor.MATRIX in said["What to do next"]
    assert "simulator" in said["Computes on"] and "rocblas_gemm_ex(float32)" in said["Computes on"]


def test_where_a_processors_own_graphics_come_first_the_card_is_looked_at(report, tmp_path: Path) -> None:
    # A cache of its own: another test may have found that the same GPU works.
    both = {"DOUBLE_DEVICES": "2", "DOUBLE_ARCH": "gfx1036,gfx1100", "XDG_CACHE_HOME": str(tmp_path)}
    # Where neither works, it is still the card that is told of.
    assert "gfx1100" in report(**both, DOUBLE_FAIL="rocblas_gemm_ex:0:-1")["rocBLAS"]
    both["DOUBLE_WITHOUT"] = "gfx1036"
    said = report(**both)
    assert [said.marks[name] for name in (*LIBRARIES, "AMD GPU")] == ["[ok]"] * 5
    assert "0: gfx1036" in said["AMD GPU"] and "1: gfx1100" in said["AMD GPU"] and "number 1 is used" in said["AMD GPU"]
    assert "gfx1100" in said["rocBLAS"] and "gfx1100" in said["Computes on"]
    assert "python -m factory prove" in said["What to do next"]
    said = report(**{**both, "DOUBLE_ARCH": "gfx1036"})  # neither works
    assert said.marks["rocBLAS"] == "[!!]" and "for GPU arch : gfx1036" in said["rocBLAS"]
    assert "simulator" in said["Computes on"]
    said = report(**{**both, "DOUBLE_ARCH": "gfx1031,gfx1100", "DOUBLE_WITHOUT": "gfx1031"})  # two cards, one works
    assert (
        said.marks["rocBLAS"] == "[ok]" and "number 1 is used" in said["AMD GPU"] and "gfx1100" in said["Computes on"]
    )


def test_two_hip_runtimes_are_refused_with_both_names(report, rocm: Path) -> None:
    other = rocm.parent / "other"
    other.mkdir()
    fake(other / "libamdhip64.so.7", "int other_runtime(void) { return 0; }", "libamdhip64.so.7")
    fake(
        rocm / "lib" / "librocblas.so", "int other_runtime(void);" + ROCBLAS.replace("*size = 6", "*size = other_runtime()"),
        "librocblas.so.4", f"-Wl,-rpath,{other}", "-x", "none", str(other / "libamdhip64.so.7"),
    )  # fmt: skip
    said = report(ROCM_PATH=str(rocm))
    assert said.marks["rocBLAS"] == "[!!]"
    assert "libamdhip64.so.7" in said["rocBLAS"] and "ROCM_PATH" in said["rocBLAS"]
    assert "one ROCm" in said["What to do next"]


def test_a_library_that_is_missing_from_a_rocm_is_told(report, rocm: Path) -> None:
    said = report(ROCM_PATH=str(rocm))
    assert (said.marks["rocBLAS"], said["rocBLAS"]) == ("[--]", "not found; the simulator does not need it.")
    assert "install ROCm" in said["What to do next"]


def test_the_real_libraries_without_a_gpu_are_known_and_hiprtc_compiles(tmp_path: Path) -> None:
    if real_rocm.folder() is None:
        pytest.skip(real_rocm.MISSING)
    said = Report(python=str(real_rocm.python(tmp_path)))
    versions = {"HIP": "6.4.43484", "hiprtc": "9.0", "rocBLAS": "4.4.1", "MIOpen": "3.4.0"}
    for library, version in versions.items():
        assert said.marks[library] == "[ok]" and said[library].startswith(f"{version} {real_rocm.folder()}")
    assert level(said, "hiprtc") == doctor.BUILDABLE and "gfx900" in said["hiprtc"]
    assert "not to be told" in said["HIP"] and "not to be told" in said["MIOpen"]


def test_sentences_for_others_are_plain_data(rocm_double) -> None:
    from factory.doctor import machine

    all_of_it = json.loads(json.dumps(machine()))
    assert all_of_it["index"] == 0 and "gfx900" in all_of_it["gpus"][0]
    found = all_of_it["libraries"]
    assert list(found) == list(LIBRARIES) and all(one["level"] == doctor.RUNNABLE for one in found.values())
    assert found["rocBLAS"]["version"] == "0.0.0.double"


def test_every_sentence_is_filled_in_alike_in_both_languages() -> None:
    import string

    def fields(sentence: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    for text in (*doctor.TEXTS.values(), *doctor.LEVELS):
        assert isinstance(text, Text) and fields(text.ja) == fields(text.en)
