"""The manager: copies in four directions, streams and events in order, and work that is held back until a wait."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from oracle import calls, numbers

import factory
from factory import InvalidPointer, LibraryError, ShapeError, UseAfterFree

BYTES = np.arange(100, dtype=np.uint8)


@pytest.fixture
def raw(device):
    """Two raw allocations of 100 bytes."""
    pointers = [device.hip.malloc(100, name) for name in ("first", "second")]
    yield pointers
    for pointer in pointers:
        device.hip.free(pointer)


def content(device, pointer, nbytes=100):
    """What lies behind a pointer, by a synchronous copy."""
    host = np.empty(nbytes, np.uint8)
    device.hip.memcpy(host, pointer, nbytes)
    return host


# Copies


def test_four_directions_of_memcpy(device, raw):
    first, second = raw
    back, again = np.zeros(100, np.uint8), np.zeros(100, np.uint8)
    device.hip.memcpy(first, BYTES, 100)
    device.hip.memcpy(second, first, 100)
    device.hip.memcpy(back, second, 100)
    device.hip.memcpy(again, back, 100)
    assert np.array_equal(again, BYTES)
    directions = [command.sizes.partition(",")[0] for command in calls(device, "hipMemcpy")]
    assert directions == ["host to device", "device to device", "device to host", "host to host"]
    assert all(command.bytes == 100 and command.station == "HIP" for command in calls(device, "hipMemcpy"))


def test_a_copy_takes_part_of_an_allocation_from_any_byte_on(device, raw):
    first, second = raw
    device.hip.memcpy(first, BYTES, 100)
    device.hip.memset(second, 255, 100)
    device.hip.memcpy(second + 13, first + 40, 7)
    want = np.full(100, 255, np.uint8)
    want[13:20] = BYTES[40:47]
    assert np.array_equal(content(device, second), want)
    host = np.zeros(10, np.uint8)
    device.hip.memcpy(host, first + 90, 4)  # fewer bytes than the host array has
    assert host.tolist() == [90, 91, 92, 93, 0, 0, 0, 0, 0, 0]


def test_memset_sets_bytes(device, raw):
    device.hip.memset(raw[0], 7, 100)
    device.hip.memset(raw[0] + 10, 0, 5)
    assert content(device, raw[0]).tolist() == [7] * 10 + [0] * 5 + [7] * 85
    for value in (-1, 256, 1.5, "7"):
        with pytest.raises(ShapeError):
            device.hip.memset(raw[0], value, 100)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int32", ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4), (1, 2, 1, 3, 1)])
def test_an_array_comes_back_as_it_went_in(device, dtype, shape):
    data = (np.random.default_rng(0).standard_normal(shape) * 50).astype(dtype)
    x = device.array(data)
    back = x.numpy()
    assert (back.shape, back.dtype) == (data.shape, data.dtype) == (x.shape, x.dtype)
    assert np.asarray(back).tobytes() == data.tobytes() and x.nbytes == data.nbytes
    back += np.ones((), dtype)  # a copy of its own: the device's array does not change
    assert x.numpy().tobytes() == data.tobytes()


def test_numbers_that_are_none_come_back_too(device):
    data = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    assert device.array(data).numpy().tobytes() == data.tobytes()


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[::-1], np.s_[:, :, 1], np.s_[1]])
def test_a_host_array_with_gaps_is_packed_on_its_way_up(device, view):
    data = numbers((4, 6, 3))[view]
    assert np.array_equal(device.array(data).numpy(), data)
    fortran = np.asfortranarray(numbers((4, 6)))
    assert np.array_equal(device.array(fortran).numpy(), fortran)


def test_a_read_only_host_array_can_be_uploaded_but_not_written_to(device, raw):
    frozen = BYTES.copy()
    frozen.flags.writeable = False
    device.hip.memcpy(raw[0], frozen, 100)
    for copy in (device.hip.memcpy, device.hip.memcpy_async):
        with pytest.raises(InvalidPointer) as caught:
            copy(frozen, raw[0], 100)
        assert caught.value.key == "host" and "writeable" in caught.value.text.en
    device.hip.memset(raw[0], 0, 100)
    device.synchronize()
    assert np.array_equal(frozen, BYTES)


@pytest.mark.parametrize("copy", ["memcpy", "memcpy_async"])
def test_a_copy_never_goes_over_the_end_of_either_side(device, raw, copy):
    call = getattr(device.hip, copy)
    small = np.zeros(99, np.uint8)
    for target, source in ((small, raw[0]), (raw[0], small), (np.zeros(200, np.uint8), small)):
        with pytest.raises(InvalidPointer) as caught:
            call(target, source, 100)
        assert caught.value.key == "host" and "99 bytes" in caught.value.got
    big = np.zeros(101, np.uint8)
    for target, source in ((big, raw[0]), (raw[0], big), (raw[0], raw[1])):
        with pytest.raises(InvalidPointer) as caught:
            call(target, source, 101)
        assert caught.value.key == "range"
    assert not small.any() and not big.any()


def test_a_host_array_with_gaps_is_refused_by_raw_copies(device, raw):
    gaps = np.zeros((20, 10), np.uint8)[:, ::2]
    for target, source in ((gaps, raw[0]), (raw[0], gaps)):
        with pytest.raises(InvalidPointer) as caught:
            device.hip.memcpy(target, source, 100)
        assert caught.value.key == "host"


@pytest.mark.parametrize("wrong", [None, [1, 2, 3], b"bytes", bytearray(100), "text", 3.5, np.float32(1)])
def test_what_is_neither_a_pointer_nor_a_numpy_array_is_refused(device, raw, wrong):
    for target, source in ((wrong, raw[0]), (raw[0], wrong)):
        with pytest.raises(InvalidPointer):
            device.hip.memcpy(target, source, 2)


def test_an_array_of_python_objects_is_never_overwritten(device, raw):
    objects = np.array([{"a": 1}] * 20, dtype=object)
    for target, source in ((objects, raw[0]), (raw[0], objects)):
        with pytest.raises(InvalidPointer):
            device.hip.memcpy(target, source, 100)
    assert objects[19] == {"a": 1}


@pytest.mark.parametrize("nbytes", [0, -1, -100, 1.0, "8", None, True])
def test_sizes_of_copies_are_whole_numbers_from_1_up(device, raw, nbytes):
    host = np.zeros(100, np.uint8)
    for call in (
        lambda: device.hip.memcpy(raw[0], host, nbytes), lambda: device.hip.memcpy(host, raw[0], nbytes),
        lambda: device.hip.memcpy(raw[0], raw[1], nbytes), lambda: device.hip.memcpy(host, host, nbytes),
        lambda: device.hip.memset(raw[0], 0, nbytes),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "size"


def test_write_takes_the_shape_and_dtype_of_the_array_and_nothing_else(device):
    x = device.array(numbers((2, 3)), "x")
    x.write(numbers((2, 3), seed=1))
    assert np.array_equal(x.numpy(), numbers((2, 3), seed=1))
    x[1].write(np.zeros(3, np.float32))
    assert np.array_equal(x.numpy()[1], np.zeros(3)) and np.array_equal(x.numpy()[0], numbers((2, 3), seed=1)[0])
    for data, key in (
        (numbers((3, 2)), "shape"), (numbers(6), "shape"), (numbers((2, 3)).astype(np.float64), "dtypes"),
        (numbers((2, 3)).astype(np.float16), "dtypes"), (np.zeros((2, 3), np.int32), "dtypes"), ("text", "dtypes"),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            x.write(data)
        assert caught.value.key == key
    with pytest.raises(ShapeError) as caught:
        x[:, 1].write(np.zeros(2, np.float32))
    assert caught.value.key == "packed"
    assert np.array_equal(x.numpy()[1], np.zeros(3))


def test_what_comes_from_the_host_is_staged_at_the_call(device, raw):
    host = BYTES.copy()
    device.hip.memcpy_async(raw[0], host, 100)
    host[:] = 0
    assert np.array_equal(content(device, raw[0]), BYTES)
    data = numbers(50)
    x = device.array(data)
    data[:] = 0
    y = device.empty(50)
    y.write(numbers(50, seed=1))
    assert np.array_equal(x.numpy(), numbers(50)) and np.array_equal(y.numpy(), numbers(50, seed=1))


def test_mem_get_info_counts_what_was_asked_of_hip(device):
    before, total = device.hip.mem_get_info()
    pointer = device.hip.malloc(2**24)
    during, same = device.hip.mem_get_info()
    assert same == total and 2**24 <= before - during < 2**25  # HIP takes whole pages, and counts in KiB
    device.hip.free(pointer)
    after, same = device.hip.mem_get_info()
    assert same == total and after > during


# Files mapped into memory


@pytest.fixture
def file(tmp_path):
    """A file of a thousand float32 numbers."""
    path = tmp_path / "weights.bin"
    numbers(1000).tofile(path)
    return path


def mapped(path, mode="r"):
    return np.memmap(path, np.float32, mode, shape=(1000,))


def poke(path, index, value):
    """Change one number in the file, through another mapping."""
    other = np.memmap(path, np.float32, "r+", shape=(1000,))
    other[index] = value
    other.flush()


def test_a_read_only_file_in_memory_is_not_copied_on_its_way_up(simulator, file):
    x = simulator.array(mapped(file))
    assert np.array_equal(x.numpy(), numbers(1000))
    poke(file, 3, 42)
    assert x.numpy()[3] == 42  # the very pages
    assert "pages shared with the file" in calls(simulator, "hipMemcpyAsync")[0].sizes
    assert simulator.memory.in_use == 4000


@pytest.mark.parametrize("at", [0, 100])
@pytest.mark.parametrize(
    "change",
    [
        lambda device, part: device.hip.memset(part.pointer, 0, 8),
        lambda device, part: device.hip.memcpy(part.pointer, np.zeros(2, np.float32), 8),
        lambda device, part: part.write(np.zeros(2, np.float32)),
        lambda device, part: device.multiply(part, device.array(np.zeros(1, np.float32)), out=part),
    ],
)
def test_its_pages_are_copied_when_it_is_first_written_and_the_file_never_changes(simulator, file, change, at):
    before = file.read_bytes()
    x = simulator.array(mapped(file))
    want = numbers(1000)
    assert np.array_equal(x.numpy(), want)
    change(simulator, x[at : at + 2])
    want[at : at + 2] = 0
    assert np.array_equal(x.numpy(), want)
    assert file.read_bytes() == before
    poke(file, 500, 42)
    assert np.array_equal(x.numpy(), want)  # no longer the file's pages


def test_an_array_may_be_written_from_one_file_after_another(simulator, file, tmp_path):
    other = tmp_path / "other.bin"
    (-numbers(1000)).tofile(other)
    x = simulator.array(mapped(file))
    for path, sign in ((other, -1), (file, 1), (other, -1)):
        x.write(mapped(path))
        assert np.array_equal(x.numpy(), sign * numbers(1000))
        assert np.array_equal(x[10:20].numpy(), sign * numbers(1000)[10:20])
        simulator.activate(x[0:1], "pasthru", out=x[0:1])  # a write that changes nothing
        assert np.array_equal(x.numpy(), sign * numbers(1000))


def test_every_operation_computes_on_a_file_in_memory_and_leaves_it_alone(device, file):
    before = file.read_bytes()
    x = device.array(mapped(file)).reshape(20, 50)
    data = numbers(1000).reshape(20, 50)
    assert np.allclose(device.gemm(x, x, transpose_b=True).numpy(), data @ data.T, atol=1e-4)
    assert np.array_equal(device.activate(x, "relu").numpy(), np.maximum(data, 0))
    assert np.array_equal(x[3:5].numpy(), data[3:5]) and np.array_equal(x.T.numpy(), data.T)
    device.activate(x, "abs", out=x)
    assert np.array_equal(x.numpy(), np.abs(data))
    assert file.read_bytes() == before


def test_an_upload_of_a_file_keeps_its_place_in_the_order(device, file):
    x = device.array(np.zeros(1000, np.float32))
    x.write(mapped(file))
    device.activate(x[:10], "abs", out=x[:10])
    want = numbers(1000)
    want[:10] = np.abs(want[:10])
    assert np.array_equal(x.numpy(), want)


def test_a_reused_block_never_shows_a_file_that_was_mapped_there(simulator, file):
    old = simulator.array(np.full(1000, 7, np.float32))
    block = old.pointer
    old.free()
    simulator.array(mapped(file)).free()
    for size in (1000, 999, 901):
        new = simulator.empty(size)
        assert new.pointer == block
        assert not np.isin(new.numpy(), numbers(1000)).any()
        new.free()
    again = simulator.array(np.arange(1000, dtype=np.float32))
    assert np.array_equal(again.numpy(), np.arange(1000))


def test_a_raw_block_that_was_mapped_and_freed_is_gone(simulator, file):
    pointer = simulator.hip.malloc(4000)
    simulator.hip.memcpy(pointer, mapped(file), 4000)
    assert np.array_equal(content(simulator, pointer, 4000).view(np.float32), numbers(1000))
    simulator.hip.free(pointer)
    with pytest.raises(UseAfterFree):
        content(simulator, pointer, 4000)


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_a_file_in_memory_that_can_be_written_is_copied(simulator, file, mode):
    host = mapped(file, mode)
    locked = host[:]
    locked.flags.writeable = False  # a window that is read-only on one that is not
    x, y = simulator.array(host), simulator.array(locked)
    host[:] = 0
    assert np.array_equal(x.numpy(), numbers(1000)) and np.array_equal(y.numpy(), numbers(1000))


def test_a_part_of_a_file_or_of_an_array_is_uploaded_right(device, file):
    host = mapped(file)
    assert np.array_equal(device.array(host[10:20]).numpy(), numbers(1000)[10:20])
    assert np.array_equal(device.array(host[::3]).numpy(), numbers(1000)[::3])
    x = device.array(np.zeros(1000, np.float32))
    x[10:20].write(host[10:20])
    want = np.zeros(1000, np.float32)
    want[10:20] = numbers(1000)[10:20]
    assert np.array_equal(x.numpy(), want)
    x.write(host)
    assert np.array_equal(x.numpy(), numbers(1000))
    x.write(np.ones(1000, np.float32))
    assert np.array_equal(x.numpy(), np.ones(1000))


# Streams and events, on every wing


def test_commands_of_one_stream_run_in_order(device, raw):
    stream = device.hip.stream_create()
    host = np.zeros(100, np.uint8)
    device.hip.memcpy_async(raw[0], BYTES, 100, stream)
    device.hip.memcpy_async(raw[1], raw[0], 100, stream)
    device.hip.memset(raw[0], 9, 100, stream)
    device.hip.memcpy_async(host, raw[1], 100, stream)
    device.hip.stream_synchronize(stream)
    assert np.array_equal(host, BYTES) and content(device, raw[0]).tolist() == [9] * 100
    assert device.hip.stream_query(stream)
    device.hip.stream_destroy(stream)


def test_a_stream_waits_for_an_event_of_another(device, raw):
    one, two = device.hip.stream_create(), device.hip.stream_create()
    event, host = device.hip.event_create(), np.zeros(100, np.uint8)
    device.hip.memset(raw[0], 1, 100)
    device.synchronize()
    device.hip.memcpy_async(raw[0], BYTES, 100, one)
    device.hip.event_record(event, one)
    device.hip.stream_wait_event(two, event)
    device.hip.memcpy_async(host, raw[0], 100, two)
    device.hip.stream_synchronize(two)
    assert np.array_equal(host, BYTES)
    for stream in (one, two):
        device.hip.stream_destroy(stream)


def test_a_wait_is_for_the_point_that_the_event_marked_then_though_it_is_recorded_again(device, raw):
    one, two = device.hip.stream_create(), device.hip.stream_create()
    event, host = device.hip.event_create(), np.zeros(100, np.uint8)
    device.hip.memset(raw[0], 1, 100)
    device.synchronize()
    device.hip.memcpy_async(raw[0], BYTES, 100, one)
    device.hip.event_record(event, one)
    device.hip.stream_wait_event(two, event)
    device.hip.memcpy_async(host, raw[0], 100, two)
    device.hip.event_record(event, two)
    device.hip.event_synchronize(event)
    assert np.array_equal(host, BYTES)
    for stream in (one, two):
        device.hip.stream_destroy(stream)


def test_a_synchronous_copy_comes_after_all_work_of_all_streams(device, raw):
    stream, host = device.hip.stream_create(), np.zeros(100, np.uint8)
    device.hip.memset(raw[0], 1, 100)
    device.synchronize()
    device.hip.memcpy_async(raw[0], BYTES, 100, stream)
    device.hip.memcpy(host, raw[0], 100)
    assert np.array_equal(host, BYTES)
    device.hip.stream_destroy(stream)


def test_three_streams_hand_work_round(device):
    pointers = [device.hip.malloc(100) for _ in range(4)]
    device.hip.memcpy(pointers[0], BYTES, 100)
    streams = [device.hip.stream_create() for _ in range(3)]
    before = None
    for stream, source, target in zip(streams, pointers, pointers[1:], strict=False):
        if before is not None:
            device.hip.stream_wait_event(stream, before)
        device.hip.memcpy_async(target, source, 100, stream)
        before = device.hip.event_create()
        device.hip.event_record(before, stream)
    device.hip.event_synchronize(before)
    assert np.array_equal(content(device, pointers[3]), BYTES)
    for stream in streams:
        device.hip.stream_destroy(stream)
    for pointer in pointers:
        device.hip.free(pointer)


def test_elapsed_time_between_events_is_milliseconds_from_0_up(device):
    x = device.array(numbers((200, 200)))
    events = [device.hip.event_create() for _ in range(3)]
    for event in events:
        device.hip.event_record(event)
        device.gemm(x, x)
    device.hip.event_synchronize(events[2])
    one, both = (device.hip.event_elapsed_time(events[0], stop) for stop in events[1:])
    assert 0 <= one <= both < 1e5
    assert device.hip.event_query(events[2])


def test_an_event_that_was_never_recorded_has_no_time(device):
    start, stop = device.hip.event_create(), device.hip.event_create()
    device.hip.event_record(start)
    device.synchronize()
    for first, second in ((start, stop), (stop, start)):
        with pytest.raises(LibraryError) as caught:
            device.hip.event_elapsed_time(first, second)
        error = caught.value
        assert error.call == "hipEventElapsedTime" and isinstance(error.code, int)
        assert str(error.code) in error.text.ja and str(error.code) in error.text.en
        assert error.meaning in error.text.en and error.gpu in error.text.ja


def test_a_stream_that_was_destroyed_or_is_another_devices_is_refused(device, raw):
    gone = device.hip.stream_create()
    device.hip.stream_destroy(gone)
    with factory.open("simulator") as other:
        foreign = other.hip.stream_create()
        for stream in (gone, foreign, "stream", 7):
            for call in (
                lambda s=stream: device.hip.memset(raw[0], 0, 1, s), lambda s=stream: device.hip.stream_synchronize(s),
                lambda s=stream: device.hip.stream_destroy(s), lambda s=stream: device.hip.stream_query(s),
                lambda s=stream: device.hip.event_record(device.hip.event_create(), s),
                lambda s=stream: device.hip.memcpy_async(raw[0], BYTES, 100, s),
            ):  # fmt: skip
                with pytest.raises(InvalidPointer) as caught:
                    call()
                assert caught.value.key == "stream"


def test_reading_an_array_waits_for_what_computes_it(device):
    x = device.array(numbers((30, 30)))
    y = x
    for _ in range(5):
        y = device.gemm(device.activate(y, "tanh", alpha=1, beta=1), x)
    want = numbers((30, 30)).astype(np.float64)
    data = want
    for _ in range(5):
        data = np.tanh(data) @ want
    assert np.linalg.norm(y.numpy() - data) <= 1e-5 * np.linalg.norm(data)


# Work that is held back


def test_work_is_held_back_until_something_waits(delayed):
    x = delayed.array(numbers((4, 4)))
    delayed.synchronize()
    assert delayed.hip.stream_query()
    y = delayed.activate(x, "relu")
    assert not delayed.hip.stream_query()
    delayed.synchronize()
    assert delayed.hip.stream_query()
    assert np.array_equal(y.numpy(), np.maximum(numbers((4, 4)), 0))


def test_a_missing_wait_shows(delayed):
    pointer = delayed.hip.malloc(100)
    delayed.hip.memcpy(pointer, BYTES, 100)
    host = np.zeros(100, np.uint8)
    delayed.hip.memcpy_async(host, pointer, 100)
    assert not host.any()  # read too early
    delayed.hip.stream_synchronize()
    assert np.array_equal(host, BYTES)
    delayed.hip.free(pointer)


def test_a_missing_wait_between_streams_shows(delayed):
    pointer = delayed.hip.malloc(100)
    delayed.hip.memset(pointer, 1, 100)
    delayed.synchronize()
    one, two = delayed.hip.stream_create(), delayed.hip.stream_create()
    host = np.zeros(100, np.uint8)
    delayed.hip.memcpy_async(pointer, BYTES, 100, one)
    delayed.hip.memcpy_async(host, pointer, 100, two)  # nothing says that it comes after
    delayed.hip.stream_synchronize(two)
    assert host.tolist() == [1] * 100 and not delayed.hip.stream_query(one)
    delayed.synchronize()
    assert np.array_equal(content(delayed, pointer), BYTES)
    delayed.hip.free(pointer)


def test_an_event_is_passed_when_the_work_before_it_is_done_and_not_earlier(delayed):
    pointer, event, start = delayed.hip.malloc(100), delayed.hip.event_create(), delayed.hip.event_create()
    host = np.zeros(100, np.uint8)
    delayed.hip.event_record(start)
    delayed.hip.memcpy_async(pointer, BYTES, 100)
    delayed.hip.memcpy_async(host, pointer, 100)
    delayed.hip.event_record(event)
    delayed.hip.memset(pointer, 0, 100)
    assert not delayed.hip.event_query(event)
    with pytest.raises(LibraryError) as caught:
        delayed.hip.event_elapsed_time(start, event)
    assert (caught.value.code, caught.value.key) == (600, "not_ready")
    delayed.hip.event_synchronize(event)
    assert delayed.hip.event_query(event) and np.array_equal(host, BYTES)
    assert not delayed.hip.stream_query()  # what came after the event still waits
    assert delayed.hip.event_elapsed_time(start, event) >= 0
    delayed.hip.free(pointer)


def test_an_event_recorded_twice_is_passed_at_its_second_point(delayed):
    event, host = delayed.hip.event_create(), np.zeros(100, np.uint8)
    delayed.hip.event_record(event)
    delayed.hip.memcpy_async(host, BYTES, 100)
    other = delayed.hip.event_create()
    delayed.hip.event_record(other)
    delayed.hip.event_record(event)
    delayed.hip.event_synchronize(event)
    assert np.array_equal(host, BYTES) and delayed.hip.event_query(event)


def test_destroying_a_stream_and_freeing_memory_wait_for_the_work(delayed):
    stream, host = delayed.hip.stream_create(), np.zeros(100, np.uint8)
    delayed.hip.memcpy_async(host, BYTES, 100, stream)
    delayed.hip.stream_destroy(stream)
    assert np.array_equal(host, BYTES)
    pointer, host = delayed.hip.malloc(100), np.zeros(100, np.uint8)
    delayed.hip.memcpy_async(pointer, BYTES, 100)
    delayed.hip.memcpy_async(host, pointer, 100)
    delayed.hip.free(pointer)
    assert np.array_equal(host, BYTES)


def test_an_array_may_be_freed_while_work_on_it_is_held_back(delayed):
    x = delayed.array(numbers(1000))
    y = delayed.activate(x, "relu")
    x.free()
    z = delayed.array(np.full(1000, -5, np.float32))  # the pool gives the block out again
    assert np.array_equal(y.numpy(), np.maximum(numbers(1000), 0))
    assert np.array_equal(z.numpy(), np.full(1000, -5))


def test_a_failure_of_held_back_work_is_raised_at_the_wait_and_the_rest_goes_on(delayed):
    table, wrong = delayed.array(numbers((3, 4))), delayed.array(np.array([1, -1], np.int32))
    delayed.gather(table, wrong)
    after = delayed.activate(table, "abs")
    with pytest.raises(ShapeError) as caught:
        delayed.synchronize()
    assert (caught.value.key, caught.value.got, caught.value.last) == ("ids", -1, 2)
    assert np.array_equal(after.numpy(), np.abs(numbers((3, 4))))
