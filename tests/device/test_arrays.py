"""DeviceArray: a shape, a dtype and a pointer, with NumPy's views and none of its data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import FLOATS, numbers

from factory import DeviceArray, InvalidPointer, ShapeError

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_an_array_says_shape_dtype_bytes_name_and_where_it_lives(device):
    x = device.array(numbers((2, 3), "float16"), name="weights")
    assert (x.shape, x.dtype, x.nbytes, x.size, x.ndim, len(x)) == ((2, 3), np.float16, 12, 6, 2, 2)
    assert (x.name, x.strides, x.packed, x.device) == ("weights", (3, 1), True, device)
    assert isinstance(x, DeviceArray)
    for part in ("weights", "(2, 3)", "float16", f"{x.pointer:#x}", device.wing):
        assert part in repr(x)
    x.free()
    assert "freed" in repr(x)


def test_an_array_without_dimensions_is_one_number(device):
    x = device.array(np.float32(3.5))
    assert (x.shape, x.size, x.nbytes, x.numpy().item()) == ((), 1, 4, 3.5)
    assert device.activate(x, "relu").numpy().item() == 3.5
    assert x and x.reshape(1, 1).shape == (1, 1)
    with pytest.raises(TypeError):
        len(x)
    with pytest.raises(ShapeError):
        x[0]


@pytest.mark.parametrize("shape", [5, (5,), [2, 3], (), np.int64(4), np.array([2, 3]), (np.int32(2), 3), range(1, 4)])
def test_empty_takes_any_way_to_say_a_shape(device, shape):
    assert device.empty(shape).shape == np.empty(shape).shape
    assert all(type(size) is int for size in device.empty(shape).shape)


@pytest.mark.parametrize(
    "shape", [0, -1, (2, 0), (3, -1), 2.0, (2.0, 3), True, (True, 2), None, "3", (None,), float("nan"), ((1, 2), 3)]
)
def test_a_shape_of_anything_but_whole_numbers_from_1_up_is_refused(device, shape):
    for known in ((1,), (2,), (2, 3), (1, 2), (3, 1)):
        device.empty(known)  # an equal shape that was fine before changes nothing
    with pytest.raises(ShapeError) as caught:
        device.empty(shape)
    assert caught.value.key == "size" and isinstance(caught.value, ValueError)
    with pytest.raises(ShapeError):
        device.array(np.empty((0, 3), np.float32))


@pytest.mark.parametrize("dtype", [*FLOATS, *FLOATS.values(), np.float32, "int8", "uint8", np.int32, "f4"])
def test_dtypes_are_said_by_name_or_as_numpys(device, dtype):
    assert device.empty(3, dtype).dtype == FLOATS.get(dtype if isinstance(dtype, str) else "", dtype)


@pytest.mark.parametrize(
    "dtype",
    ["float64", float, int, "int64", "complex64", bool, object, "U3", "text", None, 7, [("a", "f4")], ["x"], ">f4"],
)
def test_any_other_dtype_is_refused_with_what_to_convert_to(device, dtype):
    with pytest.raises(ShapeError) as caught:
        device.empty(3, dtype)
    assert '.astype("float32")' in caught.value.text.ja and '.astype("float32")' in caught.value.text.en
    assert "bfloat16" in caught.value.text.en


def test_whole_numbers_are_told_of_both_ways(device):
    with pytest.raises(ShapeError) as caught:
        device.array(np.array([1, 2, 3]))
    assert '.astype("int32")' in caught.value.text.ja and '.astype("int32")' in caught.value.text.en
    assert "int64" in caught.value.text.ja


@pytest.mark.parametrize("data", [None, "text", [1.0, 2.0], [[1, 2], [3]], {"a": 1}, object()])
def test_what_is_no_array_of_a_known_type_is_refused(device, data):
    with pytest.raises((ShapeError, ValueError)):
        device.array(data)
    assert device.memory.in_use == 0


def test_a_device_array_is_not_uploaded_again(device):
    with pytest.raises(InvalidPointer) as caught:
        device.array(device.array(numbers(3), "x"))
    assert caught.value.key == "on_device" and caught.value.name == "x"


# Views


slices = st.builds(slice, *(st.one_of(st.none(), st.integers(-7, 7)),) * 2, st.one_of(st.none(), st.integers(1, 4)))
parts = st.one_of(st.integers(-7, 7), slices)


@many
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), place=st.lists(parts, min_size=1, max_size=4),
       bare=st.booleans())  # fmt: skip
def test_indexing_is_numpys_or_refused(device, shape, place, bare):
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    index = place[0] if bare else tuple(place)
    try:
        want = data[index]
    except IndexError:
        want = np.empty(0)
    x = device.array(data)
    if want.size == 0:  # NumPy would give nothing, or an error
        with pytest.raises(ShapeError) as caught:
            x[index]
        assert caught.value.key == "index"
        return
    view = x[index]
    assert np.array_equal(view.numpy(), want) and view.shape == want.shape
    assert view.pointer - x.pointer == 4 * int(want.flat[0])
    assert view.strides == tuple(stride // 4 for stride in want.strides)
    assert view.packed == want.flags.c_contiguous


@many
@given(shape=st.lists(st.integers(1, 5), min_size=0, max_size=4), seed=st.integers(0, 10_000))
def test_transposing_is_numpys(device, shape, seed):
    axes = np.random.default_rng(seed).permutation(len(shape)).tolist()
    data = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    x = device.array(data)
    for view, want in ((x.transpose(axes), data.transpose(axes)), (x.T, data.T), (x.transpose(), data.T),
                       (x.transpose(*axes) if axes else x, data.transpose(axes)),
                       (x.transpose(axes).T, data.transpose(axes).T)):  # fmt: skip
        assert view.shape == want.shape and np.array_equal(view.numpy(), want)


@pytest.mark.parametrize(
    "shape", [(24,), 24, (4, 6), (-1, 6), (2, -1), [2, 2, 2, 3], (1, 24, 1), (-1,), -1, (np.int64(4), np.int32(6))]
)
def test_reshaping_is_numpys(device, shape):
    data = numbers((2, 3, 4))
    x = device.array(data)
    assert np.array_equal(x.reshape(shape).numpy(), data.reshape(shape))
    assert x.reshape(shape).pointer == x.pointer
    if isinstance(shape, tuple):
        assert x.reshape(*shape).shape == data.reshape(shape).shape


@pytest.mark.parametrize(
    "shape", [(25,), (5, -1), (-1, -1), (0, -1), (-2, -12), (4.0, 6), "46", None, (), (True, 24), ((4, 6), 1), (-1, 0)]
)
def test_a_shape_of_another_size_is_refused_with_both(device, shape):
    x = device.array(numbers((2, 3, 4)))
    if shape == (True, 24):
        assert all(type(size) is int for size in x.reshape(shape).shape)
        return
    with pytest.raises(ShapeError) as caught:
        x.reshape(shape)
    assert caught.value.key == "reshape" and "(2, 3, 4)" in caught.value.text.ja and "24" in caught.value.text.en


def test_a_strided_view_is_packed_before_it_is_reshaped(device):
    data = numbers((4, 6))
    view = device.array(data)[:, 1:4]
    with pytest.raises(ShapeError) as caught:
        view.reshape(12)
    assert "device.copy" in caught.value.text.en
    assert np.array_equal(device.copy(view).reshape(12).numpy(), data[:, 1:4].reshape(12))
    assert np.array_equal(device.array(data)[1:2, 1:4].reshape(3).numpy(), data[1, 1:4])  # a size of 1 has no stride


@pytest.mark.parametrize("axes", [(0,), (0, 0), (0, 2), (-1, 0), (0.0, 1.0), "01", (0, 1, 2), None])
def test_axes_are_each_dimension_once(device, axes):
    with pytest.raises(ShapeError) as caught:
        device.array(numbers((2, 3))).transpose(axes)
    assert caught.value.key == "axes"


@pytest.mark.parametrize(
    "index", [2, -3, None, ..., 1.0, "a", True, [0, 1], slice(None, None, -1), slice(None, None, 0), slice(1, 1),
              slice(0.5, 2), (0, 0, 0), (slice(None), 3), np.array([0])]
)  # fmt: skip
def test_an_index_that_makes_no_view_is_refused(device, index):
    x = device.array(numbers((2, 3)))
    with pytest.raises(ShapeError) as caught:
        x[index]
    assert caught.value.key == "index" and "(2, 3)" in caught.value.text.ja


def test_a_view_is_the_same_memory(device):
    data = numbers((4, 5))
    x = device.array(data)
    x[1:3].write(np.zeros((2, 5), np.float32))
    device.copy(device.array(np.ones(4, np.float32)), out=x.T[4])
    data[1:3] = 0
    data[:, 4] = 1
    assert np.array_equal(x.numpy(), data)
    assert device.memory.in_use == 80 and x[1].name == x.name


def test_a_view_of_a_view_of_a_view(device):
    data = numbers((6, 5, 4))
    view = device.array(data)[1:, ::2].transpose(2, 0, 1)[1:3][:, 2]
    assert np.array_equal(view.numpy(), data[1:, ::2].transpose(2, 0, 1)[1:3][:, 2])


def test_iterating_gives_the_rows_and_ends(device):
    data = numbers((3, 4))
    assert [row.numpy().tolist() for row in device.array(data)] == data.tolist()
    first, second, third = device.array(data)
    assert first.shape == (4,) and second.pointer < third.pointer
    with pytest.raises(TypeError):
        iter(device.array(np.float32(1))).__next__()


def test_overlaps_tells_arrays_that_share_bytes(device):
    x, y = device.empty((6, 4)), device.empty((6, 4))
    assert x.overlaps(x) and x[0:3].overlaps(x[2:5]) and x.T.overlaps(x[5]) and not x.overlaps(y)
    assert (
        not x[0:3].overlaps(x[3:6])
        and not x[3:6].overlaps(x[0:3])
        and x.same(x[0:6])
        and not x.same(x.T)
        and not x.same(x[0:5])
    )


def test_numpy_and_write_are_methods_of_an_array_too(device):
    x = device.empty((2, 2))
    assert x.write(numbers((2, 2))) is x and np.array_equal(x.numpy(), numbers((2, 2)))
