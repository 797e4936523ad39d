"""Any library call may fail, at any use: the error names it, nothing leaks, and the process and the next device live."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import factory
from factory import ConvolutionProblem, FactoryError, LibraryError, OutOfDeviceMemory, ShapeError
from factory.rocm import compiler, hip
from factory.rocm.miopen_library import _FUNCTIONS as MIOPEN
from factory.rocm.rocblas import _FUNCTIONS as ROCBLAS

HIP = (
    "hipGetDeviceCount", "hipSetDevice", "hipGetDeviceProperties", "hipRuntimeGetVersion", "hipMemGetInfo", "hipMalloc",
    "hipFree", "hipHostMalloc", "hipHostFree", "hipHostGetDevicePointer", "hipMemcpyAsync", "hipMemcpy",
    "hipMemsetAsync", "hipStreamCreateWithFlags", "hipStreamDestroy", "hipStreamQuery", "hipStreamWaitEvent",
    "hipEventCreate", "hipEventRecord", "hipEventQuery", "hipEventElapsedTime", "hipEventDestroy", "hipModuleLoadData",
    "hipModuleGetFunction", "hipModuleLaunchKernel", "hipModuleUnload",
)  # fmt: skip
HIPRTC = (
    "hiprtcVersion", "hiprtcCreateProgram", "hiprtcCompileProgram", "hiprtcGetCodeSize", "hiprtcGetCode",
    "hiprtcDestroyProgram",
)  # fmt: skip
WORDS = {"rocblas_status_to_string", "miopenGetErrorString"}  # give no status
CALLS = (*HIP, *HIPRTC, *(name for name in (*ROCBLAS, *MIOPEN) if name not in WORDS))
# What find goes on without, so many times: a solver that fails is dropped, and where Find 1.0 fails, immediate mode
# lists what it knows without.
FORGIVEN = {
    "miopenFindConvolutionForwardAlgorithm": 1, "miopenConvolutionForwardCompileSolution": 3,
    "miopenConvolutionForwardImmediate": 2,
}  # fmt: skip
# Once these have failed, what they should have given back is still there, and no more than that.
GIVING_BACK = {
    "hipFree",
    "hipHostFree",
    "hipStreamDestroy",
    "hipEventDestroy",
    "hipModuleUnload",
    "rocblas_destroy_handle",
    *(name for name in MIOPEN if name.startswith("miopenDestroy")),
    "hipStreamQuery",  # hipFree waits first, and where it cannot know that the GPU is done, the memory stays
}
PROBLEM = ConvolutionProblem(1, 2, 6, 6, 3, 3, 3, pad=(1, 1))


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def open_and_work():
    """Open a device, ask each library call of it at least once, and close it."""
    with factory.open("rocm") as device:
        x, w = device.array(numbers(6, 6), "x"), device.array(numbers(6), "w")
        batch, image = device.array(numbers(2, 6, 6)), device.array(numbers(*PROBLEM.x_shape))
        filters, two = device.array(numbers(*PROBLEM.w_shape)), device.array(np.ones(2, np.float32))
        y = device.add(device.gemm(x, x), device.rms_norm(x, w, 1e-5))
        device.gemm(batch, batch)
        device.softmax(device.activate(y, "tanh", 1.0, 1.0)).numpy()
        device.pool(
            device.batch_norm(device.convolve(image, filters, PROBLEM), *[two_of_3(device)] * 4, 1e-3), "max", (2, 2)
        )
        device.gather(x, device.array(np.array([1, 5], np.int32)))
        hip, host = device.hip, np.zeros(8, np.uint8)
        stream, event = hip.stream_create(), hip.event_create()
        hip.memset(x.pointer, 0, 4, stream)
        hip.event_record(event, stream)
        hip.stream_wait_event(None, event)
        hip.memcpy(host, host.copy(), 8)
        hip.mem_get_info()
        hip.stream_destroy(stream)
        assert two.numpy().sum() == 2 and all(command.milliseconds >= 0 for command in device.timeline)


def two_of_3(device):
    return device.array(np.ones(3, np.float32))


@pytest.fixture
def fresh(rocm_double, monkeypatch):
    """The double after everything was done once, so that the process that tries a GPU beforehand has no more to say."""
    open_and_work()
    rocm_double.defaults()
    return rocm_double


def as_new(name, monkeypatch):
    """Forget what this process or an earlier one keeps, so that the call is made."""
    if name in HIPRTC:
        monkeypatch.setattr(compiler, "_read", lambda file: None)
    hip._here.index = -1


def test_the_work_asks_every_call(fresh, monkeypatch):
    as_new("hiprtcVersion", monkeypatch)
    open_and_work()
    assert [name for name in CALLS if not fresh.calls(name)] == []


@pytest.mark.filterwarnings("ignore::factory.LeakWarning")  # where hipFree fails in the middle of find
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_is_named_and_leaves_nothing(fresh, monkeypatch, name):
    as_new(name, monkeypatch)
    open_and_work()
    last = fresh.calls(name)
    for nth in sorted({1, min(2, last), last}):
        before = fresh.live
        fresh.defaults()
        as_new(name, monkeypatch)
        code = 999 if name in HIP else 6
        fresh.fail(name, code, nth)
        if nth <= FORGIVEN.get(name, 0):
            open_and_work()
        else:
            with pytest.raises(LibraryError) as caught:
                open_and_work()
            error = caught.value
            assert error.call == name and error.code == code, str(error)
            assert name in error.text.ja and name in error.text.en and str(code) in error.text.ja
            del caught, error
        gc.collect()
        assert fresh.live - before <= (name in GIVING_BACK), (nth, fresh.reason)
    monkeypatch.undo()
    before = fresh.live
    open_and_work()
    assert fresh.live == before


@pytest.mark.parametrize(
    "name",
    ["hipGetDeviceCount", "hipMalloc", "hipMemcpyAsync", "rocblas_gemm_ex", "miopenActivationForward", "hipEventQuery"],
)
def test_a_status_that_no_header_knows_is_an_error_too(fresh, name):
    before = fresh.live
    fresh.fail(name, 12345)
    with pytest.raises(LibraryError) as caught:
        open_and_work()
    assert (caught.value.call, caught.value.code) == (name, 12345) and "12345" in caught.value.text.en
    del caught
    gc.collect()
    assert fresh.live == before


# In the middle of the work of a device that goes on


OPERATIONS = {
    "hipMemcpyAsync": lambda d, x: d.array(numbers(3)),
    "rocblas_gemm_ex": lambda d, x: d.gemm(x, x),
    "miopenActivationForward": lambda d, x: d.activate(x, "relu"),
    "miopenSoftmaxForward_V2": lambda d, x: d.softmax(x),
    "miopenOpTensor": lambda d, x: d.add(x, x),
    "hipModuleLaunchKernel": lambda d, x: d.copy(x.T),
    "hipEventRecord": lambda d, x: d.copy(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_device_goes_on_after_a_call_that_failed(device, rocm_double, name):
    x = device.array(numbers(4, 4), "x")
    OPERATIONS[name](device, x).free()
    in_use, commands = device.memory.in_use, len(device.timeline)
    for code in (1, 6):
        rocm_double.fail(name, code)
        with pytest.raises(LibraryError) as caught:
            OPERATIONS[name](device, x)
        assert caught.value.call == name and device.memory.in_use == in_use
    assert len(device.timeline) == commands  # what was not done is not on it
    OPERATIONS[name](device, x)
    assert np.array_equal(x.numpy(), numbers(4, 4))


def test_out_of_memory_is_tried_once_more_and_then_told(device, rocm_double):
    spare = device.empty(5000)
    spare.free()
    rocm_double.fail("hipMalloc", 2)
    asked = rocm_double.calls("hipMalloc")
    x = device.array(numbers(3000), "x")  # the second try goes well
    assert rocm_double.calls("hipMalloc") == asked + 2
    rocm_double.fail("hipMalloc", 2, nth=0)
    with pytest.raises(OutOfDeviceMemory) as caught:
        device.empty(10_000, name="too much")
    error = caught.value
    assert (error.name, error.asked, error.in_use, error.total) == ("too much", 40_000, 12_000, 8 * 2**30)
    assert rocm_double.calls("hipMalloc") == asked + 4 and np.array_equal(x.numpy(), numbers(3000))


def test_a_gpu_with_little_memory_has_that_limit(rocm_double):
    before = rocm_double.live
    rocm_double.set(memory=2**20)
    with factory.open("rocm") as device:
        assert device.memory.limit == 2**20
        x = device.empty(200_000)
        with pytest.raises(OutOfDeviceMemory):
            device.empty(200_000)
        x.free()
        assert device.empty(200_000).nbytes == 800_000
    assert rocm_double.live == before


def test_after_a_kernel_fault_every_call_says_so_and_close_gives_up_quietly(rocm_double):
    device = factory.open("rocm")
    x = device.array(numbers(4, 4))
    rocm_double.fail("hipModuleLaunchKernel", 700, nth=0)  # hipErrorIllegalAddress, as after a fault
    for name in ("hipMemcpyAsync", "hipEventRecord", "hipStreamQuery", "hipMalloc", "hipFree"):
        rocm_double.fail(name, 700, nth=0)
    for call in (lambda: device.copy(x), lambda: x.numpy(), lambda: device.array(numbers(3)), device.synchronize):
        with pytest.raises(LibraryError) as caught:
            call()
        assert caught.value.code == 700
    with pytest.raises(FactoryError):
        device.close()
    rocm_double.defaults()
    with pytest.raises(factory.UseAfterFree):
        device.empty(3)
    with factory.open("rocm") as again:
        assert np.array_equal(again.array(numbers(4)).numpy(), numbers(4))


def test_a_time_that_cannot_be_read_at_close_is_nan_and_the_others_are_read(rocm_double):
    before = rocm_double.live
    device = factory.open("rocm")
    x = device.array(numbers(4, 4))
    device.synchronize()
    device.timeline.clear()
    for _ in range(5):
        device.copy(x)
    device.synchronize()
    rocm_double.fail("hipEventElapsedTime", 999, nth=3)
    with pytest.raises(LibraryError) as caught:
        device.close()
    assert caught.value.call == "hipEventElapsedTime" and rocm_double.live == before
    asked = rocm_double.calls("hipEventQuery"), rocm_double.calls("hipEventElapsedTime")
    copies = [command for command in device.timeline if "copy" in command.call]
    assert len(copies) == 5 and sum(np.isnan(command.milliseconds) for command in copies) == 1
    # All was read before the events were destroyed.
    assert (rocm_double.calls("hipEventQuery"), rocm_double.calls("hipEventElapsedTime")) == asked


def test_a_convolution_after_a_wrong_id_leaves_no_memory_behind(device):
    image, filters = device.array(numbers(*PROBLEM.x_shape)), device.array(numbers(*PROBLEM.w_shape))
    table, ids = device.array(numbers(3, 4)), device.array(np.array([7], np.int32))
    in_use = device.memory.in_use
    device.gather(table, ids)
    with pytest.raises(ShapeError):
        device.convolve(image, filters, PROBLEM)
    gc.collect()
    assert device.memory.in_use == in_use
    assert device.convolve(image, filters, PROBLEM).numpy().shape == PROBLEM.y_shape


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("rocblas_create_handle", lambda d, x, y, ids: d.gemm(x, x, out=y)),
        ("miopenCreateWithStream", lambda d, x, y, ids: d.activate(x, "relu", out=y)),
        ("hipModuleLoadData", lambda d, x, y, ids: d.copy(x.T, out=y)),
        ("hipHostMalloc", lambda d, x, y, ids: d.gather(x, ids, out=y)),
    ],
)
def test_of_two_gpus_the_right_one_is_set_before_anything_is_made_on_it(rocm_double, monkeypatch, made, use):
    monkeypatch.setenv("DOUBLE_DEVICES", "2")  # for the process that tries the second GPU
    rocm_double.set(devices=2)
    with factory.open("rocm", index=0) as first, factory.open("rocm", index=1) as second:
        x, y = first.array(numbers(4, 4)), first.empty((4, 4))
        ids = first.array(np.arange(4, dtype=np.int32))
        second.array(numbers(4))
        before = rocm_double.calls(made)
        rocm_double.fail("hipSetDevice", 999)
        with pytest.raises(LibraryError) as caught:
            use(first, x, y, ids)
        assert caught.value.call == "hipSetDevice" and rocm_double.calls(made) == before
        use(first, x, y, ids)
        assert rocm_double.calls(made) == before + 1
