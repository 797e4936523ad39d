"""The real HIP on a machine without a GPU, through the wing: versions, words, and errors that are clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import factory
from factory import rocm
from factory.errors import LibraryError
from factory.rocm import doctor, libraries
from factory.rocm.hip import count

NO_DEVICE = 100
# What the wing asks of HIP of a device that is not there.
CALLS = {
    "hipSetDevice": (0,), "hipGetDeviceProperties": (0,), "hipMalloc": (64,), "hipFree": (None,), "hipMemGetInfo": (),
    "hipHostMalloc": (64, 0), "hipHostFree": (None,), "hipStreamCreateWithFlags": (1,), "hipStreamQuery": (None,),
    "hipEventCreate": (), "hipMemsetAsync": (None, 0, 64, None), "hipModuleLoadData": (bytes(64),),
}  # fmt: skip


@pytest.fixture
def api():
    hip, _ = libraries.bindings()
    return libraries.Checked(hip, "hipError_t", "hipGetErrorString", "no GPU")


def test_there_is_no_gpu_and_all_of_this_is_said_kindly():
    assert count() == 0
    assert rocm.first() is None
    with pytest.raises(LibraryError, match=r"no AMD GPU number 0 \(0 found"):
        factory.open("rocm")
    with factory.open() as device:
        assert device.wing == "simulator"


def test_one_runtime_serves_all_libraries():
    for short in ("rocblas", "MIOpen"):
        libraries.load(short, {})
    count()
    (runtime,) = libraries.runtimes()
    assert re.fullmatch(r"libamdhip64\.so\.6\.4\.\d+", Path(runtime).name)


def test_what_a_library_lacks_is_named():
    with pytest.raises(LibraryError, match=r"rocblas could not be loaded.*rocblas_nothing"):
        libraries.load("rocblas", {"rocblas_nothing": ()})
    with pytest.raises(LibraryError, match="nosuch could not be loaded"):
        libraries.load("nosuch", {})


@pytest.mark.parametrize("call", CALLS)
def test_each_call_is_refused_by_name_code_and_text(api, call, prove):
    with pytest.raises(LibraryError) as error:
        getattr(api, call)(*CALLS[call])
    assert error.value.fields == {
        "call": call, "code": NO_DEVICE, "gpu": "no GPU",
        "meaning": "hipErrorNoDevice: no ROCm-capable device is detected",
    }  # fmt: skip
    prove("errors of HIP", 1)


@pytest.mark.parametrize(
    ("code", "said"),
    [(1, "hipErrorInvalidValue: invalid argument"), (2, "hipErrorOutOfMemory: out of memory"),
     (400, "hipErrorInvalidHandle: invalid resource handle"), (600, "hipErrorNotReady: device not ready"),
     (700, "hipErrorIllegalAddress: an illegal memory access was encountered")],
)  # fmt: skip
def test_a_code_is_given_in_hips_own_words(api, code, said):
    assert api.words(code) == said


def test_the_doctor_reads_every_version_and_what_stands_in_its_way():
    facts = doctor.examine()
    assert [facts[library]["version"] for library in ("HIP", "hiprtc", "rocBLAS", "MIOpen")] == [
        "6.4.43484", "9.0", "4.4.1", "3.4.0"
    ]  # fmt: skip
    assert facts["HIP"]["gpus"] == [] and facts["hiprtc"]["compiled"] == "gfx900"
    for library in ("HIP", "hiprtc", "rocBLAS", "MIOpen"):
        assert Path(facts[library]["path"]).is_file()
        assert not {"error", "fault", "died"} & set(facts[library]), facts[library]
    levels = {found.library: found.level for found in doctor.findings(facts)}
    assert levels == {"HIP": None, "hiprtc": doctor.BUILDABLE, "rocBLAS": None, "MIOpen": None}
