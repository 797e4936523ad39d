"""A stream that never ends is given up after a time and named, and an interrupt comes through while one waits."""

from __future__ import annotations

import _thread
import threading
from time import perf_counter

import numpy as np
import pytest

import factory
from factory import LibraryError
from factory.rocm.events import PATIENCE

ONES = np.ones((4, 4), np.float32)
# what waits: the call that the error names, and the one that was handed over last
GEMM = "rocblas_gemm_ex"
WAITS = {
    "numpy": ("hipMemcpyAsync", "hipMemcpy", lambda d, x: x.numpy()),
    "synchronize": ("hipDeviceSynchronize", GEMM, lambda d, x: d.synchronize()),
    "stream": ("hipStreamSynchronize", GEMM, lambda d, x: d.hip.stream_synchronize()),
    "copy": ("hipMemcpyAsync", "hipMemcpy", lambda d, x: d.hip.memcpy(np.empty(64, np.uint8), x.pointer, 64)),
    "trim": ("hipDeviceSynchronize", GEMM, lambda d, x: d.memory.trim()),
    "time": ("hipEventElapsedTime", GEMM, lambda d, x: d.timeline[-1].milliseconds),
    "free": ("hipDeviceSynchronize", GEMM, lambda d, x: d.hip.free(d.hip.malloc(8))),
}


@pytest.fixture
def endless(rocm_double):
    """A device with work in its stream that never ends, until the test is over."""
    before = rocm_double.live
    with factory.open("rocm") as device:
        x = device.array(ONES)
        device.activate(x, "relu")
        device.synchronize()
        rocm_double.set(hang=True)
        device.hip.patience = 0.2
        device.gemm(x, x)
        yield device, x
        rocm_double.set(hang=False)
    assert rocm_double.live == before  # it ended after all, and everything could be given back


def test_a_wait_lasts_a_minute_unless_told():
    assert PATIENCE == 60


@pytest.mark.filterwarnings("ignore::factory.LeakWarning")  # of what could not be freed
@pytest.mark.parametrize("how", WAITS)
def test_a_wait_for_what_never_ends_gives_up_and_names_the_call(endless, how):
    device, x = endless
    call, last, wait = WAITS[how]
    start = perf_counter()
    with pytest.raises(LibraryError) as caught:
        wait(device, x)
    error = caught.value
    assert error.key == "timeout" and 0.2 <= perf_counter() - start < 10
    assert error.call == call and error.last == last
    assert all(call in text and last in text and "0.2" in text for text in error.text)


def test_once_given_up_nothing_waits_so_long_again(endless):
    device, x = endless
    with pytest.raises(LibraryError):
        device.synchronize()
    device.hip.patience = 60
    start = perf_counter()
    for _ in range(3):
        with pytest.raises(LibraryError):
            x.numpy()
    assert perf_counter() - start < 30


def test_a_stream_that_ends_after_all_is_waited_for_again(endless, rocm_double):
    device, x = endless
    with pytest.raises(LibraryError):
        device.synchronize()
    rocm_double.set(hang=False)
    device.synchronize()
    assert np.array_equal(device.gemm(x, x).numpy(), ONES @ ONES)


def test_a_device_whose_work_never_ends_is_closed_quickly(rocm_double):
    device = factory.open("rocm")
    x = device.array(ONES)
    rocm_double.set(hang=True)
    device.hip.patience = 0.2
    device.gemm(x, x)
    start = perf_counter()
    with pytest.raises(LibraryError) as caught:
        device.close()
    assert caught.value.key == "timeout" and perf_counter() - start < 5
    with pytest.raises(factory.UseAfterFree):
        device.empty(3)
    rocm_double.set(hang=False)
    with factory.open("rocm") as again:
        assert np.array_equal(again.array(ONES).numpy(), ONES)


def test_an_interrupt_comes_through_while_one_waits(rocm_double):
    with factory.open("rocm") as device:
        x = device.array(ONES)
        rocm_double.set(hang=True)
        y = device.gemm(x, x)
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        start = perf_counter()
        with pytest.raises(KeyboardInterrupt):
            y.numpy()
        assert perf_counter() - start < 10
        timer.join()
        rocm_double.set(hang=False)
        assert np.array_equal(y.numpy(), ONES @ ONES)  # the device goes on
