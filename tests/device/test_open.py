"""Opening a device: which wing, which GPU, how much memory; and the names on the package's one screen."""

from __future__ import annotations

import warnings

import numpy as np
import psutil
import pytest
from oracle import numbers

import factory
from factory import Device, ShapeError, Unsupported, gpus
from factory.memory import Memory
from factory.simulator.hip import Hip
from factory.simulator.kernels import Kernels
from factory.simulator.miopen import Miopen
from factory.simulator.rocblas import Rocblas
from factory.timeline import Timeline


def test_without_an_amd_gpu_the_simulator_opens():
    with factory.open() as device:
        assert isinstance(device, Device) and device.wing in ("rocm", "simulator")
        if device.wing == "simulator":
            assert device.gpu is None and device.memory.limit == psutil.virtual_memory().total


def test_a_device_has_four_workers_one_memory_and_one_timeline(device):
    for worker in ("hip", "rocblas", "miopen", "kernels", "memory", "timeline"):
        assert getattr(device, worker) is not None
    assert device.wing in repr(device) and "bytes in use" in repr(device)


@pytest.mark.parametrize("arch", gpus.GPUS)
def test_a_simulator_told_to_be_a_gpu_has_its_memory_and_its_label(arch):
    with factory.open("simulator", gpu=arch) as device:
        assert device.gpu is gpus.GPUS[arch] and device.wing == "simulator"
        assert device.memory.limit == gpus.GPUS[arch].memory == device.hip.mem_get_info()[1]
        assert arch in repr(device) and "simulator" in repr(device)  # never passed off as the GPU itself
        assert np.array_equal(device.array(numbers(4)).numpy(), numbers(4))


def test_memory_said_goes_before_the_gpus():
    with factory.open("simulator", gpu="gfx900", memory=2**20) as device:
        assert device.memory.limit == 2**20 and device.gpu.arch == "gfx900"
        with pytest.raises(factory.OutOfDeviceMemory):
            device.empty(2**20)


@pytest.mark.parametrize("memory", [0, -1, 1.5, "8 GB", True, False, float("nan"), [1]])
def test_memory_is_a_whole_number_of_bytes_from_1_up(memory):
    with pytest.raises(ShapeError) as caught:
        factory.open("simulator", memory=memory)
    assert caught.value.name == "memory"


@pytest.mark.parametrize("wing", ["cuda", "ROCM", "", 3])
def test_an_unknown_wing_is_refused_with_the_known_ones(wing):
    with pytest.raises(Unsupported) as caught:
        factory.open(wing)
    assert repr(wing) in caught.value.text.ja and '"simulator"' in caught.value.text.en


@pytest.mark.parametrize("index", [-1, 1.0, "1", None, True])
def test_a_gpu_is_asked_for_by_a_whole_number_from_0_up(index):
    for wing in (None, "rocm"):
        with pytest.raises(ShapeError) as caught:
            factory.open(wing, index=index)
        assert caught.value.name == "index"


@pytest.mark.parametrize("option", [{"gpu": "gfx900"}, {"memory": 2**20}, {"delay": True}])
def test_only_the_simulator_is_told_what_to_be(option):
    with pytest.raises(Unsupported) as caught:
        factory.open("rocm", **option)
    assert caught.value.key == "simulator_only"
    with factory.open(**option) as device:
        assert device.wing == "simulator"


@pytest.mark.parametrize("gpu", ["gfx9999", "", "Radeon", 900])
def test_an_unknown_gpu_is_refused_with_the_known_ones(gpu):
    with pytest.raises(Unsupported) as caught:
        factory.open("simulator", gpu=gpu)
    assert "gfx900" in caught.value.text.ja and repr(gpu) in caught.value.text.en


def test_two_devices_are_two(device):
    with factory.open("simulator") as other:
        x, y = device.array(numbers(4)), other.array(numbers(4, seed=1))
        assert x.pointer != y.pointer and device.memory.in_use == other.memory.in_use == 16
        assert np.array_equal(x.numpy(), numbers(4)) and np.array_equal(y.numpy(), numbers(4, seed=1))
        assert not any(command.station == "rocBLAS" for command in other.timeline)


def test_with_closes_a_device_also_when_the_block_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError), factory.open("simulator") as device:
            x = device.array(numbers(4))
            raise RuntimeError
    with pytest.raises(factory.UseAfterFree):
        x.numpy()


def test_every_public_name_is_there_and_said():
    assert set(factory.__all__) <= set(dir(factory)) and factory.__all__ == sorted(factory.__all__)
    for name in factory.__all__:
        assert getattr(factory, name).__doc__, name
    assert factory.__version__


def test_every_public_method_of_a_device_and_an_array_says_what_it_does():
    for kind in (Device, factory.DeviceArray, factory.Found, Memory, Timeline, Hip, Rocblas, Miopen, Kernels):
        for name, member in vars(kind).items():
            if not name.startswith("_") and callable(member):
                assert member.__doc__, (kind.__name__, name)


def test_every_operation_that_makes_an_array_takes_out():
    import inspect

    for name in ("gemm", "convolve", "activate", "softmax", "pool", "batch_norm", "add", "multiply", "rms_norm",
                 "rotary_cache", "silu_gate", "gather", "causal_softmax", "copy", "pad"):  # fmt: skip
        assert inspect.signature(getattr(Device, name)).parameters["out"].default is None, name
