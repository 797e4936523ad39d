"""Computers as learners have them: no ROCm, no GPU, two ROCm's, one without kernels for the GPU, a home that cannot be
written, two notebooks at once. Each gives one clear message, and where nobody insisted on a GPU the simulator opens."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import factory

# What each program begins with: say how opening went, in one line.
OPEN = """
import warnings
import numpy as np
import factory
from factory import FactoryError
def opened(wing=None, **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            device = factory.open(wing, **options)
            print(wing, "->", device.wing)
        except FactoryError as error:
            print(wing, "->", type(error).__name__, error.key, "|", error)
            device = None
    for warning in said:
        print(type(warning.message).__name__, "|", warning.message)
    return device
"""
WORK = """
ones = np.ones((4, 4), np.float32)
x = device.array(ones)
image, filters = device.array(np.ones((1, 2, 6, 6), np.float32)), device.array(np.ones((3, 2, 3, 3), np.float32))
print("gemm", np.array_equal(device.gemm(x, x).numpy(), ones @ ones))
print("kernel", np.array_equal(device.copy(x.T).numpy(), ones))
print("convolution", device.convolve(image, filters).numpy().min() == 18)
"""


def lines(ended):
    """What a child said on its standard output; it must have ended well, and said nothing else."""
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout.splitlines()


@pytest.fixture
def without_system_rocm():
    """These computers have no ROCm; where the system's loader knows one, hip-python would find that."""
    if ctypes.util.find_library("amdhip64"):
        pytest.skip("there is a ROCm on this computer")


def test_no_rocm(child, tmp_path, without_system_rocm):
    got = lines(child(OPEN + "opened(); opened('rocm')", ROCM_PATH=str(tmp_path)))
    assert got[0] == "None -> simulator" and got[1].startswith("rocm -> LibraryError absent |") and len(got) == 2
    assert "libamdhip64.so" in got[1] and "simulator" in got[1]


def test_no_gpu(child):
    got = lines(child(OPEN + "opened(); opened('rocm')", DOUBLE_DEVICES="0"))
    assert got[0] == "None -> simulator" and got[1].startswith("rocm -> LibraryError no_gpu |") and len(got) == 2


def test_a_gpu_that_is_not_there(rocm_double):
    for index in (1, 7):
        with pytest.raises(factory.LibraryError) as caught:
            factory.open("rocm", index=index)
        assert (caught.value.key, caught.value.index, caught.value.count) == ("no_gpu", index, 1)


def test_the_first_gpu_that_works_is_opened(child):
    got = lines(child(OPEN + "device = opened()" + WORK + "print(device.gpu.arch, device.gpu.name)"))
    assert got[0] == "None -> rocm" and got[1:4] == ["gemm True", "kernel True", "convolution True"]
    assert got[4].startswith("gfx900") and "not a GPU" in got[4]


@pytest.mark.parametrize("arch", ["gfx906", "gfx90a:sramecc+:xnack-", "gfx1100", "gfx1036"])
def test_gpus_of_other_kinds_known_or_not(child, arch):
    got = lines(child(OPEN + "device = opened('rocm')" + WORK + "print(device.gpu.arch)", DOUBLE_ARCH=arch))
    assert got == ["rocm -> rocm", "gemm True", "kernel True", "convolution True", arch.partition(":")[0]]


def test_an_architecture_with_a_strange_name_never_reaches_hiprtc(child):
    got = lines(child(OPEN + "opened('rocm')", DOUBLE_ARCH="gfx9999x"))
    assert got[0].startswith("rocm -> LibraryError arch |") and "'gfx9999x'" in got[0]


def test_two_hip_runtimes_in_one_process(child, rocm_double, tmp_path):
    other = shutil.copy(rocm_double.path / "lib" / "libamdhip64.so", tmp_path)
    brought = f"import ctypes; ctypes.CDLL({str(other)!r})\n"
    got = lines(child(brought + OPEN + "opened('rocm'); opened()"))
    assert got[0].startswith("rocm -> LibraryError two_runtimes |") and got[1] == "None -> simulator"
    assert got[2].startswith("GpuWarning |") and len(got) == 3
    for line in (got[0], got[2]):
        assert str(other) in line and str(rocm_double.path) in line and "ROCM_PATH" in line


def test_a_rocm_without_code_for_the_gpu(child, tmp_path):
    """hipErrorNoBinaryForGpu, in the process that tries the GPU beforehand."""
    environment = {"DOUBLE_FAIL": "hipModuleLoadData:0:209", "XDG_CACHE_HOME": str(tmp_path)}
    got = lines(child(OPEN + "opened('rocm'); opened()", **environment))
    assert got[0].startswith("rocm -> LibraryError status | hipModuleLoadData returned error 209")
    assert got[1] == "None -> simulator" and got[2].startswith("GpuWarning |") and "209" in got[2]


@pytest.mark.parametrize(("call", "step"), [("rocblas_gemm_ex", "float32"), ("hiprtcCompileProgram", "")])
def test_a_library_that_ends_the_process_ends_another_one(child, tmp_path, call, step):
    environment = {"DOUBLE_FAIL": f"{call}:0:-1", "XDG_CACHE_HOME": str(tmp_path)}
    got = lines(child(OPEN + "opened('rocm'); opened()", **environment))
    assert got[0].startswith("rocm -> LibraryError died |") and call in got[0] and step in got[0]
    assert "SIGABRT" in got[0] and got[1] == "None -> simulator" and "SIGABRT" in got[2]


def test_a_type_that_rocblas_lacks_is_refused_and_the_others_work(child, tmp_path):
    """The third product that is tried beforehand is bfloat16's."""
    program = OPEN + "device = opened('rocm')" + WORK + """
import ml_dtypes
y = device.array(np.ones((4, 4), ml_dtypes.bfloat16))
for x in (y, device.array(ones.astype(np.float16))):
    try:
        print(device.gemm(x, x).dtype)
    except FactoryError as error:
        print(error)
"""  # fmt: skip
    got = lines(child(program, DOUBLE_FAIL="rocblas_gemm_ex:3:2", XDG_CACHE_HOME=str(tmp_path)))
    assert got[:2] == ["rocm -> rocm", "gemm True"] and got[5] == "float16"
    assert got[4].startswith("rocblas_gemm_ex returned error 2 (rocblas_status_not_implemented)")


def test_a_wrong_result_in_the_trial_is_told(child, tmp_path, rocm_double):
    """A rocBLAS that adds wrongly: the trial computes, and compares."""
    program = """
from factory.rocm import trial
from factory.rocm.hip import Hip
hip = Hip(0)
place = trial.Place(hip.malloc(8), trial.Layout.of_packed((2,), trial.DTYPES["float32"]))
hip.memcpy(place.pointer, trial.np.array([16, 15], "float32"), 8)
try:
    trial.compare("rocblas_gemm_ex(float32)", hip, trial.read(hip, place), trial.np.full(2, 16))
except trial.LibraryError as error:
    print(error.key, error)
"""
    (got,) = lines(child(program))
    assert got.startswith("wrong rocblas_gemm_ex(float32)") and "15" in got and "16" in got


@pytest.mark.parametrize(("library", "opens"), [("MIOpen", True), ("rocblas", False), ("hiprtc", False)])
def test_a_rocm_with_one_library_missing_names_it(child, rocm_double, tmp_path, without_system_rocm, library, opens):
    shutil.copytree(rocm_double.path, tmp_path / "rocm", symlinks=True)
    for file in (tmp_path / "rocm" / "lib").glob(f"lib{library}.so*"):
        file.unlink()
    program = OPEN + """
device = opened('rocm')
if device:
    x = device.array(np.ones((4, 4), np.float32))
    print(device.gemm(x, x).numpy().max())
    try:
        device.activate(x, "relu")
    except FactoryError as error:
        print(error.key, error)
"""  # fmt: skip
    got = lines(child(program, ROCM_PATH=str(tmp_path / "rocm"), XDG_CACHE_HOME=str(tmp_path)))
    assert got[0] == "rocm -> rocm" if opens else got[0].startswith("rocm -> LibraryError absent |")
    assert library in got[-1] and "absent" in got[-1] and len(got) == (3 if opens else 1)


@pytest.mark.parametrize("found", ["6.4.4", "7.2.2.562.43", None])
def test_an_old_hip_python_or_none(child, found):
    program = f"""
from importlib import metadata
real, found = metadata.version, {found!r}
def version(name):
    if name == "hip-python" and found is None:
        raise metadata.PackageNotFoundError(name)
    return found if name == "hip-python" else real(name)
metadata.version = version
"""
    got = lines(child(program + OPEN + "opened('rocm'); opened()"))
    assert got[0].startswith("rocm -> LibraryError bindings |") and got[1:] == ["None -> simulator"]
    assert "hip-python>=10" in got[0] and (found or "hip-python") in got[0]


@pytest.mark.parametrize("code", ["raise OSError('bad ELF')", ""])
def test_a_hip_python_that_is_damaged(child, tmp_path, code):
    (tmp_path / "hip").mkdir()
    for name, text in {"__init__": "", "hip": code, "hiprtc": ""}.items():
        (tmp_path / "hip" / f"{name}.py").write_text(text)
    got = lines(child(OPEN + "opened('rocm'); opened()", PYTHONPATH=str(tmp_path)))
    assert got[0].startswith("rocm -> LibraryError bindings |") and got[1:] == ["None -> simulator"]


def test_a_home_that_cannot_be_written(child, tmp_path):
    """Nothing is kept, everything works; not even root can make a folder below a file."""
    (tmp_path / "file").write_text("in the way")
    nowhere = str(tmp_path / "file" / "home")
    environment = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "XDG_CONFIG_HOME": nowhere}
    got = lines(child(OPEN + "device = opened('rocm')" + WORK + "device.close()", **environment))
    assert got == ["rocm -> rocm", "gemm True", "kernel True", "convolution True"]
    assert (tmp_path / "file").read_text() == "in the way"


def test_what_is_kept_stays_in_the_users_cache_and_serves_the_next_process(child, tmp_path, rocm_double):
    count = f"""
import ctypes
double = ctypes.CDLL({str(rocm_double.path / "lib" / "libamdhip64.so")!r})
print([double.double_calls(name) for name in (b"hiprtcCompileProgram", b"miopenFindConvolutionForwardAlgorithm")])
"""
    environment = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for _ in range(2):
        got = lines(child(OPEN + "device = opened('rocm')" + WORK + count, **environment))
    assert got[1:4] == ["gemm True", "kernel True", "convolution True"]
    assert got[4].startswith("[0,")  # compiled by the process that tried the GPU, and never again
    assert not (tmp_path / "home").exists()
    kept = tmp_path / "cache" / "inference-factory" / "rocm"
    assert {folder.name for folder in kept.iterdir()} >= {"kernels", "miopen-db", "trials"}
    (database,) = (kept / "miopen-db").glob("*.ufdb.txt")
    assert "GemmFwdRest:" in database.read_text()


def test_kernels_that_were_kept_and_are_damaged_are_compiled_again(child, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    lines(child(OPEN + "device = opened('rocm')" + WORK, **environment))
    for damage in (lambda content: content[:-100], lambda content: b"x" + content[1:]):
        (kept,) = (tmp_path / "inference-factory" / "rocm" / "kernels").iterdir()
        kept.write_bytes(damage(kept.read_bytes()))
        got = lines(child(OPEN + "device = opened('rocm')" + WORK, **environment))
        assert got == ["rocm -> rocm", "gemm True", "kernel True", "convolution True"]


def test_two_processes_at_once(rocm_double, tmp_path):
    import os

    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", OPEN + "device = opened('rocm')" + WORK]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        said, complaints = process.communicate(timeout=120)
        assert (process.returncode, complaints) == (0, "")
        assert said.splitlines() == ["rocm -> rocm", "gemm True", "kernel True", "convolution True"]
    kept = list((tmp_path / "inference-factory" / "rocm" / "kernels").iterdir())
    assert len(kept) == 1 and kept[0].name.startswith("gfx900-")


def test_an_interpreter_that_ends_with_an_open_device_ends_quietly(child):
    for end in ("", "view = x[1:]; device.hip.malloc(100)", "raise SystemExit(0)"):
        assert lines(child(OPEN + "device = opened('rocm')" + WORK + end))[-1] == "convolution True"


def test_a_device_serves_another_thread_of_the_process(device, rocm_double):
    x, results = device.array(np.eye(4, dtype=np.float32)), []
    before = rocm_double.calls("hipSetDevice")
    thread = threading.Thread(target=lambda: results.append(device.gemm(x, x).numpy()))
    thread.start()
    thread.join(60)
    assert np.array_equal(results[0], np.eye(4)) and rocm_double.calls("hipSetDevice") == before + 1


def test_the_simulators_settings_are_not_for_a_gpu(rocm_double):
    for told in ({"gpu": "gfx900"}, {"memory": 2**20}, {"delay": True}):
        with pytest.raises(factory.Unsupported):
            factory.open("rocm", **told)
        with factory.open(**told) as device:
            assert device.wing == "simulator"
