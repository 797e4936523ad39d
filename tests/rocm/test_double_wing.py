"""What the rocm wing does beside the contract that both wings share: large copies in pieces, arrays of more dimensions
than a library's descriptor has, find without the room to run, times that are read late, and odd callers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import factory
from factory import ConvolutionProblem, LibraryError, OutOfDeviceMemory
from factory.rocm import compiler, convolutions, events, kernels, libraries, rocblas
from factory.rocm.hip import described

MIB = 2**20
PROBLEM = ConvolutionProblem(1, 8, 40, 40, 8, 3, 3, pad=(1, 1))


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("hold", [False, True])
def test_an_array_larger_than_all_pinned_buffers_goes_up_and_comes_back(device, rocm_double, hold):
    rocm_double.set(hold=hold)
    data = np.random.default_rng(0).integers(0, 256, 23 * MIB + 5, np.uint8)
    x = device.array(data)
    assert rocm_double.calls("hipHostMalloc") <= 4
    data_before = data.copy()
    data[:] = 0  # it was staged at the call
    assert np.array_equal(x.numpy(), data_before) and rocm_double.calls("hipHostMalloc") <= 4


def test_more_dimensions_than_miopen_has(device):
    x, row = numbers(2, 3, 4, 2, 3), numbers(3, 1, 2, 1)
    a, b = device.array(x), device.array(row)
    assert np.allclose(device.add(a, b).numpy(), x + row)
    assert np.allclose(device.multiply(a, a).numpy(), x * x)
    assert np.array_equal(device.activate(a, "abs").numpy(), np.abs(x))


def test_a_copy_of_more_dimensions_than_one_launch_walks(device):
    shape = (2, 3, 2, 1, 2, 3, 2, 2, 2, 2)
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    axes = (9, 0, 7, 2, 3, 8, 5, 1, 6, 4)
    assert np.array_equal(device.copy(device.array(data).transpose(axes)).numpy(), data.transpose(axes))


def test_a_copy_of_more_elements_than_one_launch_has(device, rocm_double, monkeypatch):
    kernels._copy.cache_clear()
    monkeypatch.setattr(kernels, "_LARGEST_COPY", 100)
    data = numbers(7, 50, 3)
    launches = rocm_double.calls("hipModuleLaunchKernel")
    assert np.array_equal(device.copy(device.array(data).transpose(2, 0, 1)).numpy(), data.transpose(2, 0, 1))
    assert rocm_double.calls("hipModuleLaunchKernel") - launches > 10
    kernels._copy.cache_clear()


def test_memory_that_the_desktop_has_is_told_where_it_is_missed(rocm_double):
    rocm_double.set(memory=64 * MIB, others=40 * MIB)
    with factory.open("rocm") as device:
        free, total = device.hip.mem_get_info()  # what an earlier test's GPU never finished with is gone as well
        assert device.memory.limit == total == 64 * MIB and 23 * MIB < free <= 24 * MIB
        held = device.empty(8 * MIB, "uint8")
        for ask in (lambda: device.empty(30 * MIB, "uint8"), lambda: device.hip.malloc(30 * MIB)):
            with pytest.raises(OutOfDeviceMemory) as caught:
                ask()
            error = caught.value
            assert (error.key, error.asked, error.free, error.total) == ("others", 30 * MIB, free - 8 * MIB, total)
            assert error.in_use == held.nbytes and all(f"{error.free:,}" in text for text in error.text)
        with pytest.raises(OutOfDeviceMemory) as caught:
            device.hip.malloc(60 * MIB)  # too much, whoever else is there
        assert caught.value.key == "device"
        rocm_double.set(piece=10 * MIB)  # as where HIP gives no more than a part of the memory at a time
        with pytest.raises(OutOfDeviceMemory) as caught:
            device.empty(12 * MIB, "uint8")
        assert caught.value.key == "piece" and device.empty(10 * MIB, "uint8").shape == (10 * MIB,)


@pytest.mark.parametrize("arch", ["gfx90a", "gfx1030", "gfx1201"])
def test_compute_units_are_counted_as_the_makers_tables_do(rocm_double, arch):
    rocm_double.set(arch=arch)  # 64 compute units each, which HIP counts in pairs from gfx10 on
    with factory.open("rocm") as device:
        assert device.gpu.compute_units == 64
        assert device.gpu.peaks["float32"] == 64 * device.gpu.rates["float32"].per_clock * device.gpu.clock


def test_a_gpu_whose_name_the_system_does_not_know_has_that_of_its_kind(monkeypatch):
    said = SimpleNamespace(gcnArchName="gfx1100", name="", warpSize=32, multiProcessorCount=48)
    assert described(said) == ("gfx1100", "gfx1100", 96)
    monkeypatch.setenv("GPU_ENABLE_WGP_MODE", "0")
    assert described(said) == ("gfx1100", "gfx1100", 48)


def test_find_without_the_room_to_run_tells_what_there_is_and_no_times(rocm_double):
    rocm_double.set(memory=60_000)  # x, w and y take over 100,000 bytes
    with factory.open("rocm") as device:
        found = device.find(PROBLEM)
        assert {s.solver for s in found} >= {"ConvDirectNaiveConvFwd", "GemmFwdRest"}
        assert {(s.milliseconds, s.evidence) for s in found} == {(None, "estimated")}
        assert device.memory.in_use == 0


def test_find_needs_no_more_room_than_its_hungriest_solver(rocm_double):
    rocm_double.set(memory=700_000)  # x, w and y and 460,800 bytes of workspace, once
    with factory.open("rocm") as device:
        found = device.find(PROBLEM)
        assert "GemmFwdRest" in {s.solver for s in found} and all(s.evidence == "measured" for s in found)


def test_a_solver_that_finds_no_room_is_dropped_with_the_reason(device, monkeypatch):
    malloc, asked = device.hip.malloc, []

    def full_in_the_race(nbytes, name="hipMalloc", **more):
        asked.append(nbytes)
        if nbytes == 460_800 and asked.count(nbytes) > 1:
            raise OutOfDeviceMemory("device", name=name, asked=nbytes, in_use=0, reserved=0, total=0, free=0)
        return malloc(nbytes, name, **more)

    monkeypatch.setattr(device.hip, "malloc", full_in_the_race)
    found = device.find(PROBLEM)
    assert "460,800" in found.dropped["GemmFwdRest"].en and "ConvDirectNaiveConvFwd" in {s.solver for s in found}


def test_find_measures_here_what_miopen_offers(device, rocm_double):
    found = device.find(PROBLEM)
    ran = rocm_double.calls("miopenConvolutionForwardImmediate")
    assert ran >= 2 * len(found) and all(s.milliseconds > 0 for s in found)
    assert {s.solver: s.workspace for s in found}["GemmFwdRest"] == 4 * 8 * 3 * 3 * 40 * 40
    device.find(PROBLEM)
    assert rocm_double.calls("miopenConvolutionForwardImmediate") == ran
    assert not any(command.station == "MIOpen" for command in device.timeline)  # trying is no command of the learner's


def test_a_long_race_ends_after_its_first_turn(device, rocm_double, monkeypatch):
    monkeypatch.setattr(convolutions, "_ENOUGH", 0.0)
    found = device.find(PROBLEM)
    assert rocm_double.calls("miopenConvolutionForwardImmediate") == len(found)


def test_what_fails_in_a_race_and_is_no_solvers_fault_is_told(device, rocm_double):
    rocm_double.fail("hipEventRecord", 1)
    with pytest.raises(LibraryError, match="hipEventRecord"):
        device.find(PROBLEM)
    assert device.memory.in_use == 0 and all(s.evidence == "measured" for s in device.find(PROBLEM))


def test_more_shapes_than_are_kept_are_asked_again(device, monkeypatch):
    monkeypatch.setattr(rocblas, "_PLANS", 2)
    for size in (2, 3, 4, 5, 2):
        x = numbers(size, size)
        assert np.allclose(device.gemm(device.array(x), device.array(x)).numpy(), x @ x, atol=1e-6)
        assert len(device.rocblas._plans) <= 2


def test_times_are_read_when_they_are_over_and_not_waited_for(device, rocm_double):
    x, y = device.array(numbers(2, 2)), device.empty((2, 2))
    device.copy(x, out=y)
    rocm_double.set(hang=True)
    for _ in range(events._PENDING + 50):
        device.copy(x, out=y)  # nothing of it has ended, and handing over waits for none
    rocm_double.set(hang=False)
    device.synchronize()
    for _ in range(10):
        device.copy(x, out=y)
    assert all(command.milliseconds >= 0 for command in device.timeline)


def test_a_time_that_hip_gives_as_less_than_nothing_is_nothing(device, rocm_double):
    x = device.array(numbers(2, 2))
    rocm_double.set(skew=1e9)
    device.copy(x)
    assert device.timeline[-1].milliseconds == 0 and device.timeline.by_station()["kernels"].milliseconds == 0
    assert all(solution.milliseconds == 0 for solution in device.find(PROBLEM))


def test_a_gpu_that_falls_behind_is_waited_for_before_the_drivers_signals_are_used_up(device, rocm_double):
    x, y = device.array(numbers(2, 2)), device.empty((2, 2))
    device.copy(x, out=y)
    rocm_double.set(hang=True)
    device.hip.patience = 0.1
    with pytest.raises(LibraryError, match="hipModuleLaunchKernel"):
        for _ in range(events._MOST + 1):
            device.copy(x, out=y)
    assert events._MOST < rocm_double.calls("hipEventCreate") <= 2 * events._MOST + 2 < 4096
    rocm_double.set(hang=False)
    device.synchronize()
    assert all(command.milliseconds >= 0 for command in device.timeline[:9])  # the next in turn are read already
    device.copy(x, out=y)
    assert all(command.milliseconds >= 0 for command in device.timeline)


def test_streams_and_events_say_what_they_are(device):
    event = device.hip.event_create()
    assert "not recorded" in repr(event) and "Stream 1" in repr(device.hip.stream_create())
    device.hip.event_record(event)
    assert "not" not in repr(event) and device.hip.patience == events.PATIENCE


def test_a_kernel_that_cannot_be_kept_runs_all_the_same(rocm_double, tmp_path):
    def full(*_):
        raise OSError("no space left on device")

    # A context of its own: `monkeypatch` is undone after the double has put its environment back, and would spoil it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        patch.setattr(compiler.os, "replace", full)
        with factory.open("rocm") as device:
            kept = tmp_path / "inference-factory" / "rocm" / "kernels"
            for file in kept.iterdir():  # what the process that tries the GPU beforehand could keep
                file.unlink()
            assert np.array_equal(device.copy(device.array(numbers(3, 4)).T).numpy(), numbers(3, 4).T)
            assert list(kept.iterdir()) == []


def test_what_hip_python_does_not_have_or_take_is_told(device):
    with pytest.raises(LibraryError) as caught:
        device.hip.api.hipDoesNotExist()
    assert caught.value.key == "absent" and "hipDoesNotExist" in caught.value.text.en
    with pytest.raises(ValueError):  # hip-python's own: no status
        device.hip.api.hipMemcpy(
            np.zeros((4, 4))[:, ::2], np.zeros(8), 8, device.hip._module.hipMemcpyKind.hipMemcpyHostToHost
        )


def test_where_the_process_cannot_be_looked_at_one_runtime_is_taken_for_granted(device, monkeypatch):
    def nowhere(path, *_, **__):
        raise FileNotFoundError(path)

    assert len(libraries.runtimes()) == 1
    monkeypatch.setattr(libraries.Path, "read_text", nowhere)
    assert libraries.runtimes() == []
    libraries.one_runtime()
