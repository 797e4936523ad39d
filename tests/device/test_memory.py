"""Device memory: who has what, the pool behind it, and the typed error for every way to get a pointer wrong."""

from __future__ import annotations

import gc
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from oracle import calls, numbers

import factory
from factory import DoubleFree, InvalidPointer, LeakWarning, OutOfDeviceMemory, ShapeError, UseAfterFree

MIB = 2**20
HERE = Path(__file__).name


def line_number():
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def only(device):
    """The one allocation that lives."""
    (allocation,) = device.memory.live()
    return allocation


# A pointer is a pointer


def test_a_device_pointer_is_an_int_and_never_a_numpy_array(device):
    x = device.array(numbers((2, 3)), "x")
    assert type(x.pointer) is int and not isinstance(x, np.ndarray)
    with pytest.raises(InvalidPointer) as caught:
        np.asarray(x)
    assert ".numpy()" in caught.value.text.en and ".numpy()" in caught.value.text.ja
    with pytest.raises(InvalidPointer):
        np.ones((2, 3), np.float32) + x


def test_addresses_of_two_devices_differ(device):
    with factory.open("simulator") as other:
        ours, theirs = device.hip.malloc(64), other.hip.malloc(64)
        assert ours != theirs
        with pytest.raises(InvalidPointer) as caught:
            device.hip.memset(theirs, 0, 64)
        assert caught.value.key == "foreign"
        other.hip.free(theirs)
        device.hip.free(ours)


# Double free and use after free


def test_double_free_of_an_array_names_it_and_where_it_was_made(device):
    x = device.array(numbers(5), "weights")
    at = line_number() - 1
    x.free()
    with pytest.raises(DoubleFree) as caught:
        x.free()
    assert caught.value.name == "weights" and caught.value.where == f"{HERE}:{at}"
    assert "weights" in caught.value.text.ja and "weights" in caught.value.text.en


def test_use_after_free_of_an_array_is_caught_in_every_call(device):
    x, y = device.array(numbers((4, 4)), "gone"), device.array(numbers((4, 4)), "here")
    x.free()
    uses = (
        lambda: x.pointer, x.numpy, lambda: x.write(numbers((4, 4))), lambda: device.gemm(x, y),
        lambda: device.gemm(y, y, out=x), lambda: device.activate(x, "relu"), lambda: device.add(y, x),
        lambda: device.copy(x), lambda: device.softmax(y, out=x),
    )  # fmt: skip
    for use in uses:
        with pytest.raises(UseAfterFree) as caught:
            use()
        assert caught.value.name == "gone"


def test_use_after_free_through_a_view_is_caught(device):
    x = device.array(numbers((4, 6)), "x")
    views = [x[1:3], x.T, x.reshape(24), x[0]]
    x.free()
    for view in views:
        with pytest.raises(UseAfterFree):
            view.numpy()
        with pytest.raises(DoubleFree):
            view.free()


def test_freeing_a_view_frees_the_array(device):
    x = device.array(numbers((4, 6)))
    x[1:3].free()
    with pytest.raises(UseAfterFree):
        x.numpy()
    assert device.memory.in_use == 0


def test_a_stale_array_stays_stale_when_the_pool_gave_its_block_to_another(device):
    x = device.array(numbers(100), "old")
    x.free()
    y = device.array(numbers(100, seed=1), "new")
    with pytest.raises(UseAfterFree) as caught:
        x.numpy()
    assert caught.value.name == "old"
    with pytest.raises(DoubleFree):
        x.free()
    del x
    gc.collect()
    assert np.array_equal(y.numpy(), numbers(100, seed=1)) and device.memory.in_use == 400


def test_a_raw_pointer_freed_twice_is_a_double_free(device):
    pointer = device.hip.malloc(100, "mine")
    device.hip.free(pointer)
    with pytest.raises(DoubleFree) as caught:
        device.hip.free(pointer)
    assert caught.value.name == "mine" and caught.value.where.startswith(HERE)


def test_a_raw_pointer_used_after_free_is_caught_also_in_its_middle(device):
    pointer = device.hip.malloc(100, "mine")
    device.hip.free(pointer)
    for at in (pointer, pointer + 50):
        with pytest.raises(UseAfterFree) as caught:
            device.hip.memset(at, 0, 10)
        assert caught.value.name == "mine"


def test_the_raw_pointer_of_a_block_that_waits_in_the_pool_is_stale(device):
    x = device.array(np.arange(100, dtype=np.uint8), "pooled")
    pointer = x.pointer
    assert x.numpy()[7] == 7
    x.free()
    for at, nbytes in ((pointer, 100), (pointer, 4), (pointer + 8, 4)):
        with pytest.raises(UseAfterFree) as caught:
            device.hip.memcpy(np.empty(100, np.uint8), at, nbytes)
        assert caught.value.name == "pooled"
    with pytest.raises(DoubleFree):
        device.hip.free(pointer)


def test_a_pointer_is_still_named_after_thousands_of_later_allocations(device):
    first = device.hip.malloc(64, "first")
    device.hip.free(first)
    for _ in range(2000):
        device.hip.free(device.hip.malloc(64, "later"))
    with pytest.raises(UseAfterFree) as caught:
        device.hip.memset(first, 0, 1)
    assert caught.value.name == "first"


# Foreign, out-of-range, interior pointers


@pytest.mark.parametrize("pointer", [0, 1, -8, 2**64, 0xDEAD_BEEF])
def test_a_foreign_pointer_is_refused(device, pointer):
    for call in (
        lambda: device.hip.free(pointer), lambda: device.hip.memset(pointer, 0, 4),
        lambda: device.hip.memcpy(np.empty(4, np.uint8), pointer, 4),
        lambda: device.hip.memcpy(pointer, np.empty(4, np.uint8), 4),
    ):  # fmt: skip
        with pytest.raises(InvalidPointer) as caught:
            call()
        assert caught.value.key == "foreign" and caught.value.pointer == pointer


@pytest.mark.parametrize("pointer", [None, "0x10", 1.5, [1]])
def test_what_is_no_address_at_all_is_refused(device, pointer):
    for call in (
        lambda: device.hip.free(pointer), lambda: device.hip.memset(pointer, 0, 4),
        lambda: device.hip.memcpy(pointer, np.empty(4, np.uint8), 4),
    ):  # fmt: skip
        with pytest.raises(InvalidPointer):
            call()


def test_an_access_over_the_end_is_refused_and_says_how_far(device):
    pointer = device.hip.malloc(100, "hundred")
    for offset, nbytes in ((0, 101), (60, 41), (99, 2)):
        with pytest.raises(InvalidPointer) as caught:
            device.hip.memset(pointer + offset, 0, nbytes)
        assert (caught.value.key, caught.value.name) == ("range", "hundred")
        assert (caught.value.offset, caught.value.nbytes, caught.value.size) == (offset, nbytes, 100)
    device.hip.memset(pointer + 60, 0, 40)
    with pytest.raises(InvalidPointer):  # just behind the end
        device.hip.memset(pointer + 100, 0, 1)
    device.hip.free(pointer)


@pytest.mark.parametrize("nbytes", [1, 4095, 4096, 4097, 8191])
def test_a_page_that_nobody_owns_lies_behind_each_allocation(simulator, nbytes):
    first, second = simulator.hip.malloc(nbytes), simulator.hip.malloc(nbytes)
    for offset in (nbytes, nbytes + 1, nbytes + 64, nbytes + 4095):
        with pytest.raises(InvalidPointer):
            simulator.hip.memset(first + offset, 0, 1)
    simulator.hip.free(first)
    simulator.hip.free(second)


def test_the_slack_that_the_pool_reserves_is_out_of_range_too(device):
    x = device.array(np.zeros(10, np.uint8), "ten")
    assert device.memory.reserved > 10
    with pytest.raises(InvalidPointer) as caught:
        device.hip.memset(x.pointer, 0, 11)
    assert caught.value.key == "range" and caught.value.size == 10


def test_free_takes_no_interior_pointer(device):
    pointer = device.hip.malloc(100, "hundred")
    with pytest.raises(InvalidPointer) as caught:
        device.hip.free(pointer + 4)
    assert caught.value.key == "interior" and caught.value.base == pointer
    device.hip.free(pointer)


def test_hip_free_does_not_take_the_memory_of_an_array(device):
    x = device.array(numbers(8), "array")
    with pytest.raises(InvalidPointer) as caught:
        device.hip.free(x.pointer)
    assert caught.value.key == "pool" and caught.value.name == "array"
    assert np.array_equal(x.numpy(), numbers(8))


def test_an_array_of_another_device_is_refused_by_name(device):
    with factory.open("simulator") as other:
        x, y = device.array(numbers((2, 2)), "ours"), other.array(numbers((2, 2)), "theirs")
        for call in (lambda: device.gemm(x, y), lambda: device.add(x, x, out=y), lambda: device.read(y)):
            with pytest.raises(InvalidPointer) as caught:
                call()
            assert (caught.value.key, caught.value.name) == ("device", "theirs")


def test_a_numpy_array_is_no_device_array_and_the_error_says_how_to_copy_it(device):
    x, host = device.array(numbers((2, 2))), numbers((2, 2))
    for call in (lambda: device.gemm(x, host), lambda: device.gemm(x, x, out=host), lambda: device.softmax(host),
                 lambda: device.add(x, x, out=host), lambda: device.copy([1, 2])):  # fmt: skip
        with pytest.raises(InvalidPointer) as caught:
            call()
        assert "device.array()" in caught.value.text.ja and "device.array()" in caught.value.text.en


# Who owns what


def test_an_array_that_nobody_holds_is_freed_at_the_next_look(device):
    x = device.array(numbers(1000))
    assert device.memory.in_use == 4000
    del x
    gc.collect()
    assert device.memory.in_use == 0 and device.memory.live() == []


def test_a_finaliser_only_queues_and_the_next_call_empties_the_queue(device):
    x = device.array(numbers(1000))
    block = x.pointer
    commands = len(device.timeline)
    del x
    gc.collect()
    assert len(device.timeline) == commands  # nothing was given to HIP by the finaliser
    assert device.empty(1000).pointer == block  # the next call took the block back, and gave it out again


def test_views_keep_their_owner_alive(device):
    data = numbers((4, 6))
    x = device.array(data)
    view = x[1:3].T
    del x
    gc.collect()
    assert device.memory.in_use == data.nbytes
    assert np.array_equal(view.numpy(), data[1:3].T)
    del view
    gc.collect()
    assert device.memory.in_use == 0


def test_a_view_is_alive_as_long_as_one_of_many_is(device):
    x = device.array(numbers((8, 8)))
    views = [x[i] for i in range(8)]
    del x
    while views:
        assert device.memory.in_use == 256
        views.pop()
    gc.collect()
    assert device.memory.in_use == 0


def test_an_array_that_only_a_cycle_holds_is_collected(device):
    cycle = [device.array(numbers(10))]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert device.memory.in_use == 0


def test_with_frees_an_array_at_its_end_and_an_early_free_is_fine(device):
    with device.array(numbers(10)) as x:
        assert device.memory.in_use == 40
    assert device.memory.in_use == 0
    with pytest.raises(UseAfterFree):
        x.numpy()
    with device.array(numbers(10)) as y:
        y.free()


def test_with_frees_an_array_when_the_block_fails(device):
    with pytest.raises(KeyboardInterrupt), device.array(numbers(10)) as x:
        raise KeyboardInterrupt
    assert device.memory.in_use == 0 and "freed" in repr(x)


def test_raw_memory_lives_until_its_caller_frees_it(device):
    pointer = device.hip.malloc(100, "raw")
    gc.collect()
    assert device.memory.in_use == 100 and only(device).name == "raw"
    device.hip.free(pointer)
    assert device.memory.in_use == 0


# The ledger


def test_the_ledger_knows_name_bytes_file_and_line(device):
    x = device.array(numbers((3, 5)), "weights")
    at = line_number() - 1
    allocation = only(device)
    assert (allocation.name, allocation.nbytes, allocation.pointer) == ("weights", 60, x.pointer)
    assert allocation.where == f"{HERE}:{at}" and allocation.state == "live"
    assert "weights" in repr(allocation) and allocation.where in repr(allocation)


def test_the_line_is_the_one_that_asked_also_for_a_result_and_for_raw_memory(device):
    x = device.array(numbers((2, 2)))
    y = device.gemm(x, x)
    at = line_number() - 1
    pointer = device.hip.malloc(16)
    x.free()
    lines = {allocation.pointer: allocation.where for allocation in device.memory.live()}
    assert lines == {y.pointer: f"{HERE}:{at}", pointer: f"{HERE}:{at + 2}"}
    device.hip.free(pointer)


def test_the_line_of_a_block_from_the_pool_is_that_of_its_new_user(device):
    device.empty(10, name="first").free()
    second = device.empty(10, name="second")
    at = line_number() - 1
    assert only(device).where == f"{HERE}:{at}" and only(device).name == "second"
    second.free()


def test_a_script_beside_the_package_is_named_even_if_its_name_begins_like_it(device):
    script = str(Path(factory.__file__).parent) + "_demo.py"
    scope = {"device": device}
    exec(compile("\n\nx = device.empty(4)", script, "exec"), scope)
    assert only(device).where == "factory_demo.py:3"


def test_a_notebook_cell_is_called_one(device):
    scope = {"device": device}
    exec(compile("\nx = device.empty(4)", "/tmp/ipykernel_123/456.py", "exec"), scope)
    with pytest.raises(ShapeError):
        scope["x"].reshape(5)
    scope["x"].free()
    with pytest.raises(UseAfterFree) as caught:
        scope["x"].numpy()
    assert "notebook cell, line 2" in caught.value.text.en
    assert "ノートブックのセルの 2 行目" in caught.value.text.ja


def test_live_is_in_order_of_address_and_adds_up_to_in_use(device):
    arrays = [device.empty(10 * (i + 1)) for i in range(5)]
    pointer = device.hip.malloc(7)
    live = device.memory.live()
    assert [allocation.pointer for allocation in live] == sorted([a.pointer for a in arrays] + [pointer])
    assert sum(allocation.nbytes for allocation in live) == device.memory.in_use == 4 * 150 + 7
    device.hip.free(pointer)


def test_peak_is_the_most_that_was_in_use(device):
    x, y = device.empty(1000), device.empty(500)
    assert device.memory.peak == 6000
    y.free()
    z = device.empty(250)
    assert device.memory.peak == 6000 and device.memory.in_use == 5000
    x.free()
    z.free()
    big = device.empty(2000)
    assert device.memory.peak == 8000
    big.free()


def test_in_use_is_what_was_asked_for_and_reserved_what_was_taken_from_hip(device):
    x = device.empty(3, "uint8")
    free, total = device.hip.mem_get_info()
    assert device.memory.in_use == 3 <= device.memory.reserved
    x.free()
    assert device.memory.in_use == 0 < device.memory.reserved
    device.memory.trim()
    assert device.memory.reserved == 0
    assert device.hip.mem_get_info()[1] == total and device.hip.mem_get_info()[0] >= free


# The pool


def test_the_pool_gives_a_freed_block_out_again_without_asking_hip(device):
    x = device.empty(1000)
    block = x.pointer
    x.free()
    device.timeline.clear()
    y = device.empty(990)
    assert y.pointer == block and calls(device, "hipMalloc") == []


def test_trim_gives_cached_blocks_back_to_hip(device):
    arrays = [device.empty(size) for size in (10, 1000, 100_000)]
    kept = device.empty(7)
    for array in arrays:
        array.free()
    device.timeline.clear()
    device.memory.trim()
    assert len(calls(device, "hipFree")) == 3
    assert device.memory.in_use == 28 and kept.numpy().shape == (7,)
    device.memory.trim()
    assert len(calls(device, "hipFree")) == 3


def test_two_living_arrays_never_share_memory(device):
    rng = np.random.default_rng(0)
    live = []
    for step in range(300):
        if live and rng.random() < 0.45:
            array, data = live.pop(rng.integers(len(live)))
            assert np.array_equal(array.numpy(), data)
            array.free()
        else:
            data = np.full(int(rng.integers(1, 5000)), step % 251, np.uint8)
            live.append((device.array(data), data))
    spans = sorted((array.pointer, array.pointer + array.nbytes) for array, _ in live)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert device.memory.in_use == sum(data.nbytes for _, data in live)
    for array, data in live:
        assert np.array_equal(array.numpy(), data)


def test_steady_state_asks_hip_for_no_memory_synchronises_nowhere_and_copies_nothing_back(device, monkeypatch):
    w = device.array(numbers((64, 64)), "w")
    problem = factory.ConvolutionProblem(1, 8, 12, 12, 8, 3, 3, pad=(1, 1))
    image, filters = device.array(numbers(problem.x_shape)), device.array(numbers(problem.w_shape))

    def token(seed):
        x = device.array(numbers((5, 64), seed=seed))
        for _ in range(3):
            x = device.add(device.gemm(device.activate(x, "logistic"), w), x)
        y = device.convolve(image, filters, problem)
        return device.softmax(x), device.pool(y, "max", (2, 2))

    result = token(0)
    result = token(1)  # while the first result is still held
    device.timeline.clear()
    waits = []
    wait = device.hip.device_synchronize
    monkeypatch.setattr(device.hip, "device_synchronize", lambda: (waits.append(1), wait()))
    in_use = device.memory.in_use
    for seed in range(2, 6):
        result = token(seed)
    assert waits == [] and device.memory.in_use == in_use
    assert {"hipMalloc", "hipFree"}.isdisjoint(command.call for command in device.timeline)
    assert not any("to host" in command.sizes for command in device.timeline if command.station == "HIP")
    assert [array.numpy().shape for array in result] == [(5, 64), (1, 8, 6, 6)]


def test_a_hundred_repeats_leave_memory_in_use_unchanged(device):
    w = device.array(numbers((32, 32)), "w")

    def answer(seed):
        x = device.array(numbers((4, 32), seed=seed))
        return device.softmax(device.gemm(x, w)).numpy()

    answer(0)
    gc.collect()
    in_use, reserved = device.memory.in_use, device.memory.reserved
    for seed in range(100):
        answer(seed)
    assert (device.memory.in_use, device.memory.reserved) == (in_use, reserved) and in_use == w.nbytes


# Out of memory


def test_out_of_memory_says_asked_in_use_and_total_and_is_a_memory_error(device):
    x = device.empty(MIB, "uint8", name="x")
    device.memory.limit = 4 * MIB
    with pytest.raises(OutOfDeviceMemory) as caught:
        device.empty(4 * MIB, "uint8", name="too much")
    error = caught.value
    assert isinstance(error, MemoryError)
    assert (error.asked, error.in_use, error.total, error.name) == (4 * MIB, MIB, 4 * MIB, "too much")
    for text in error.text:
        assert "4,194,304" in text and "1,048,576" in text and "too much" in text
    assert device.memory.in_use == x.nbytes


def test_before_it_is_out_of_memory_the_pool_is_emptied(device):
    device.memory.limit = 4 * MIB
    blocks = [device.empty(MIB, "uint8") for _ in range(4)]
    for block in blocks:
        block.free()
    assert device.memory.reserved == 4 * MIB
    big = device.empty(3 * MIB, "uint8")  # no cached block is large enough
    assert device.memory.reserved == 3 * MIB == big.nbytes


def test_before_it_is_out_of_memory_what_only_a_cycle_holds_is_collected(device):
    device.memory.limit = 4 * MIB
    gc.collect()
    gc.disable()
    try:
        cycle = [device.empty(3 * MIB, "uint8")]
        cycle.append(cycle)
        del cycle
        assert device.empty(2 * MIB, "uint8").nbytes == 2 * MIB
    finally:
        gc.enable()


def test_it_tries_again_once_and_no_more(device, monkeypatch):
    device.memory.limit = MIB
    trims = []
    trim = device.memory.trim
    monkeypatch.setattr(device.memory, "trim", lambda: (trims.append(1), trim()))
    with pytest.raises(OutOfDeviceMemory):
        device.empty(2 * MIB, "uint8")
    assert len(trims) == 1


def test_raw_malloc_too_empties_the_pool_before_it_is_out_of_memory(device):
    total = device.hip.mem_get_info()[1]
    with factory.open("simulator", memory=8 * MIB) as small:
        small.empty(6 * MIB, "uint8").free()
        pointer = small.hip.malloc(6 * MIB)
        with pytest.raises(OutOfDeviceMemory) as caught:
            small.hip.malloc(3 * MIB)
        assert (caught.value.asked, caught.value.in_use, caught.value.total) == (3 * MIB, 6 * MIB, 8 * MIB)
        small.hip.free(pointer)
    assert device.hip.mem_get_info()[1] == total


def test_the_last_byte_can_be_had_although_the_pool_rounds_up(device):
    device.memory.limit = 104_857
    with pytest.raises(OutOfDeviceMemory):
        device.empty(104_858, "uint8")
    x = device.array(np.full(104_857, 7, np.uint8))
    assert device.memory.in_use == device.memory.reserved == device.memory.limit
    with pytest.raises(OutOfDeviceMemory):
        device.empty(1, "uint8")
    x.free()
    assert device.empty(104_857, "uint8").numpy().shape == (104_857,)


def test_out_of_memory_says_what_rounding_up_cost(device):
    device.memory.limit = 10 * 104_857
    arrays = [device.empty(104_857, "uint8") for _ in range(9)]
    with pytest.raises(OutOfDeviceMemory) as caught:
        device.empty(104_857, "uint8")
    error = caught.value
    assert error.in_use == 9 * 104_857 < error.reserved == device.memory.reserved
    assert error.asked + error.reserved > error.total and all(f"{error.reserved:,}" in text for text in error.text)
    assert len(arrays) == 9


def test_after_out_of_memory_work_goes_on_and_the_limit_can_be_raised(device):
    x = device.array(numbers((64, 64)))
    device.memory.limit = 2 * x.nbytes - 1
    with pytest.raises(OutOfDeviceMemory):
        device.gemm(x, x)
    assert device.memory.in_use == x.nbytes
    device.memory.limit = device.hip.mem_get_info()[1]
    assert device.gemm(x, x).shape == (64, 64)


def test_a_limit_is_a_number_from_0_up_and_never_over_the_device(device):
    total = device.hip.mem_get_info()[1]
    assert device.memory.limit == total
    device.memory.limit = 1e6
    assert device.memory.limit == 1_000_000
    device.memory.limit = float("inf")
    assert device.memory.limit == total
    for wrong in (-1, float("nan"), "1 GB", None):
        with pytest.raises(ShapeError):
            device.memory.limit = wrong
    device.memory.limit = 0
    with pytest.raises(OutOfDeviceMemory):
        device.empty(1)


def test_10_gb_asked_of_an_8_gb_device():
    with factory.open("simulator", memory=8 * 2**30) as device:
        assert device.memory.limit == 8 * 2**30 == device.hip.mem_get_info()[0]
        with pytest.raises(OutOfDeviceMemory) as caught:
            device.empty((10, 2**30), "uint8", name="ten")
        assert (caught.value.asked, caught.value.in_use, caught.value.total) == (10 * 2**30, 0, 8 * 2**30)
        with pytest.raises(OutOfDeviceMemory) as caught:
            device.hip.malloc(10 * 2**30)
        assert caught.value.key == "device" and caught.value.asked == 10 * 2**30
        assert device.memory.in_use == device.memory.reserved == 0


def test_a_size_beyond_any_computer_is_out_of_memory_and_no_crash(device):
    for size in (2**50, 2**62, 2**70, 10**30):
        with pytest.raises(OutOfDeviceMemory):
            device.empty(size, "uint8")
        with pytest.raises(OutOfDeviceMemory):
            device.hip.malloc(size)
    assert device.memory.in_use == 0


def test_when_this_computer_is_out_of_memory_the_error_says_so(monkeypatch):
    with factory.open("simulator", memory=2**60) as device:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=200 * MIB, total=2**34))
        with pytest.raises(OutOfDeviceMemory) as caught:
            device.empty(300 * MIB, "uint8", name="x")
        assert (caught.value.key, caught.value.free, caught.value.asked) == ("host", 200 * MIB, 300 * MIB)
        assert isinstance(caught.value, MemoryError)
        assert device.memory.in_use == device.memory.reserved == 0


def test_when_numpy_has_no_memory_it_is_out_of_memory_too(monkeypatch):
    import factory.simulator.hip as hip

    def refuse(*_, **__):
        raise MemoryError

    with factory.open("simulator") as device:
        x = device.array(numbers(4))
        with monkeypatch.context() as patch:
            patch.setattr(hip.np, "empty", refuse)
            with pytest.raises(OutOfDeviceMemory) as caught:
                device.hip.malloc(1000)
        assert caught.value.key == "host" and np.array_equal(x.numpy(), numbers(4))


@pytest.mark.parametrize("size", [0, -1, -(2**40), 1.5, "8", None, True, False, float("nan")])
def test_malloc_takes_whole_sizes_from_1_up(device, size):
    with pytest.raises(ShapeError) as caught:
        device.hip.malloc(size)
    assert caught.value.key == "size"
    assert device.memory.in_use == 0


# When something breaks off in the middle


def broken(error):
    def fail(*_, **__):
        raise error("in the middle")

    return fail


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_in_use_is_exact_after_an_exception_in_the_middle_of_a_call(device, monkeypatch, error):
    x = device.array(numbers((8, 8)))
    image = device.array(numbers((1, 2, 5, 5)))
    filters = device.array(numbers((2, 2, 3, 3)))
    problem = factory.ConvolutionProblem(1, 2, 5, 5, 2, 3, 3)
    solution = factory.Solution(device.find(problem)[0].solver, "", None, 4096, "measured")
    attempts = [
        (device.rocblas, "gemm", lambda: device.gemm(x, x)),
        (device.miopen, "activation_forward", lambda: device.activate(x, "relu")),
        (device.miopen, "softmax_forward", lambda: device.softmax(x)),
        (device.miopen, "convolution_forward", lambda: device.convolve(image, filters, problem, solution)),
        (device.kernels, "copy", lambda: device.copy(x)),
        (device.kernels, "copy", lambda: x.T.numpy()),
        (device.hip, "memcpy_async", lambda: device.array(numbers(5))),
        (device.hip, "memcpy", lambda: x.numpy()),
    ]
    in_use = device.memory.in_use
    for room, method, attempt in attempts:
        with monkeypatch.context() as patch:
            patch.setattr(room, method, broken(error))
            with pytest.raises(error) as caught:
                attempt()
        assert device.memory.in_use == in_use, method  # although a notebook, as `caught`, keeps the traceback
        del caught
    device.gemm(x, x).free()
    assert device.memory.in_use == in_use


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_in_use_is_exact_after_a_solver_or_a_kernel_breaks_off(error, monkeypatch):
    import factory.simulator.kernels as kernels
    import factory.simulator.miopen as miopen

    with factory.open("simulator") as device:
        problem = factory.ConvolutionProblem(1, 3, 9, 9, 4, 3, 3)
        image, filters = device.array(numbers(problem.x_shape)), device.array(numbers(problem.w_shape))
        ids = device.array(np.array([0, 2], np.int32))
        table = device.array(numbers((3, 4)))
        in_use = device.memory.in_use
        for solution in device.find(problem):
            with monkeypatch.context() as patch:
                patch.setattr(miopen._BY_NAME[solution.solver], "run", broken(error))
                with pytest.raises(error):
                    device.convolve(image, filters, problem, solution)
            gc.collect()
            assert device.memory.in_use == in_use, solution.solver
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "_gather", broken(error))
            with pytest.raises(error):
                device.gather(table, ids)
        gc.collect()
        assert device.memory.in_use == in_use
        assert device.gather(table, ids).numpy().shape == (2, 4)


def test_in_use_is_exact_after_work_that_was_held_back_breaks_off(delayed):
    table, ids = delayed.array(numbers((3, 4))), delayed.array(np.array([0, 9], np.int32))
    in_use = delayed.memory.in_use
    rows = delayed.gather(table, ids)
    with pytest.raises(ShapeError):
        rows.numpy()
    del rows
    gc.collect()
    assert delayed.memory.in_use == in_use
    assert np.array_equal(table.numpy(), numbers((3, 4)))


def test_trim_survives_work_that_breaks_off(delayed):
    table, ids = delayed.array(numbers((3, 4))), delayed.array(np.array([0, 9], np.int32))
    spare = [delayed.empty(1000 * (i + 1)) for i in range(3)]
    rows = delayed.gather(table, ids)
    for array in spare:
        array.free()
    with pytest.raises(ShapeError):
        delayed.memory.trim()
    rows.free()
    again = [delayed.array(numbers(1000 * (i + 1))) for i in range(3)]
    assert all(np.array_equal(array.numpy(), numbers(array.shape)) for array in again)
    delayed.memory.trim()
    assert len(delayed.memory.live()) == 5


def test_hip_free_gives_the_memory_back_even_if_the_last_work_breaks_off(device):
    table, ids = device.array(numbers((3, 4))), device.array(np.array([7], np.int32))
    raw, in_use = device.hip.malloc(64), device.memory.in_use
    with pytest.raises(ShapeError):
        try:
            device.gather(table, ids)
        finally:
            device.hip.free(raw)
    gc.collect()
    assert device.memory.in_use == in_use - 64
    with pytest.raises(DoubleFree):
        device.hip.free(raw)
    assert np.array_equal(table.numpy(), numbers((3, 4)))


# The end


def test_what_still_lives_at_close_is_reported_as_a_leak_with_where_it_was_asked_for():
    device = factory.open("simulator")
    kept = device.array(numbers(10), "an array is no leak")
    device.hip.malloc(123, "forgotten")
    at = line_number() - 1
    device.hip.free(device.hip.malloc(5, "remembered"))
    with pytest.warns(LeakWarning) as caught:
        leaks = device.close()
    assert [(leak.name, leak.nbytes, leak.where) for leak in leaks] == [("forgotten", 123, f"{HERE}:{at}")]
    (warning,) = caught
    assert "forgotten" in str(warning.message) and f"{HERE}:{at}" in str(warning.message)
    assert warning.filename == __file__
    del kept


def test_a_device_closed_twice_is_fine_and_reports_a_leak_once():
    device = factory.open("simulator")
    device.hip.malloc(8)
    with pytest.warns(LeakWarning):
        assert len(device.close()) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert device.close() == []


def test_a_closed_device_and_its_arrays_refuse_everything_clearly(device):
    hip, host = device.hip, np.zeros(8, np.uint8)
    with device:
        x = device.array(numbers((2, 2)), "x")
        raw = x.pointer
        device.gather(x, device.array(np.array([1, 0], np.int32))).numpy()
        event, never, stream = hip.event_create(), hip.event_create(), hip.stream_create()
        hip.event_record(event)
        hip.event_synchronize(event)
    uses = (
        lambda: device.array(numbers(2)), lambda: device.empty(2), x.numpy, lambda: device.gemm(x, x), lambda: x.pointer,
        lambda: x.write(numbers((2, 2))), lambda: hip.malloc(8), lambda: hip.memset(raw, 0, 4), lambda: hip.stream_create(),
        lambda: device.find(factory.ConvolutionProblem(1, 1, 3, 3, 1, 1, 1)), device.synchronize, device.memory.trim,
        hip.device_synchronize, hip.mem_get_info, hip.stream_query, hip.stream_synchronize,
        lambda: hip.stream_query(stream), lambda: hip.stream_destroy(stream), lambda: hip.stream_wait_event(None, event),
        hip.event_create, lambda: hip.event_record(event), lambda: hip.event_query(event),
        lambda: hip.event_query(never), lambda: hip.event_synchronize(event), lambda: hip.event_synchronize(never),
        lambda: hip.event_elapsed_time(event, event), lambda: hip.memcpy(host, host.copy(), 8),
        lambda: hip.memcpy_async(host, host.copy(), 8),
    )  # fmt: skip
    for use in uses:
        with pytest.raises(UseAfterFree):
            use()
    with pytest.raises(DoubleFree):
        x.free()
    assert device.memory.in_use == device.memory.reserved == 0 and "closed" in repr(device)


def test_an_array_that_outlives_its_device_is_no_trouble():
    with factory.open("simulator") as device:
        x = device.array(numbers((2, 2)))
    del x
    gc.collect()
    assert device.memory.live() == [] and device.memory.in_use == 0


def test_close_gives_everything_back_even_if_the_last_work_breaks_off():
    device = factory.open("simulator", delay=True)
    device.gather(device.array(numbers((3, 4))), device.array(np.array([7], np.int32)))
    with pytest.raises(ShapeError):
        device.close()
    assert device.memory.in_use == device.memory.reserved == 0
    assert device.close() == []
    with pytest.raises(UseAfterFree):
        device.empty(3)
