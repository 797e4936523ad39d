"""The convolution and activation specialist without its convolutions: each formula against float64, extremes too."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.special
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracle import FLOATS, TOLERANCE, agree, numbers, wide

from factory import InvalidPointer, ShapeError, Unsupported

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def power(x, alpha, beta, gamma):
    base = alpha + beta * x
    return np.where(base > 1e-6, np.abs(base) ** gamma, 0)  # MIOpen: a base that is not positive gives 0


MODES = {
    "pasthru": lambda x, a, b, g: x,
    "logistic": lambda x, a, b, g: scipy.special.expit(x),
    "tanh": lambda x, a, b, g: b * np.tanh(a * x),
    "relu": lambda x, a, b, g: np.maximum(0, x),
    "softrelu": lambda x, a, b, g: np.logaddexp(0, x),
    "abs": lambda x, a, b, g: np.abs(x),
    "power": power,
    "clippedrelu": lambda x, a, b, g: np.minimum(a, np.maximum(0, x)),
    "leakyrelu": lambda x, a, b, g: np.where(x > 0, x, a * x),
    "elu": lambda x, a, b, g: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
}


@pytest.fixture(autouse=True)
def no_warnings():
    """A GPU says nothing of an overflow, and neither does the simulator."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="ignore"):  # in the oracles
            yield


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", MODES)
def test_every_activation_mode_is_its_formula(device, mode, dtype):
    x = numbers((3, 4, 5, 6), dtype, scale=3)
    for alpha, beta, gamma in ((0.5, 1.5, 2.0), (1.0, 1.0, 1.0), (6.0, -0.25, 3.0)):
        got = device.activate(device.array(x), mode, alpha=alpha, beta=beta, gamma=gamma)
        assert got.dtype == FLOATS[dtype]
        agree(got, MODES[mode](*wide(x), alpha, beta, gamma))


@pytest.mark.parametrize("mode", MODES)
def test_the_scalars_are_0_unless_given_as_in_miopen(device, mode):
    x = np.abs(numbers((20,))) + 0.5
    agree(device.activate(device.array(x), mode), MODES[mode](*wide(x), 0.0, 0.0, 0.0))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", MODES)
def test_activations_of_extreme_inputs_are_their_limits(device, mode, dtype):
    x = np.array([-np.inf, -1e4, -100, -89, -0.0, 0.0, 89, 100, 1e4, np.inf]).astype(FLOATS[dtype])
    if mode == "relu":  # MIOpen multiplies by 0, which makes none of an infinity
        x = x[1:]
    want = MODES[mode](*wide(x), 1.0, 1.0, 1.0).astype(FLOATS[dtype]).astype(np.float64)
    got = np.asarray(device.activate(device.array(x), mode, alpha=1.0, beta=1.0, gamma=1.0).numpy()).astype(np.float64)
    assert np.array_equal(np.isfinite(got), np.isfinite(want)) and not np.isnan(got).any()
    assert np.array_equal(got[~np.isfinite(got)], want[~np.isfinite(want)])
    finite = np.isfinite(want)
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    assert np.allclose(got[finite], want[finite], rtol=tolerance, atol=1e-37)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "clippedrelu"])  # there MIOpen gives 0
def test_what_is_no_number_stays_none(device, mode):
    x = device.array(np.array([np.nan, 1.0], np.float32))
    assert np.isnan(device.activate(x, mode, alpha=1.0, beta=1.0, gamma=1.0).numpy()[0])


def test_small_differences_survive_in_elu_and_softrelu(device):
    x = np.array([-1e-6, -1e-4, -20.0, -80.0], np.float32)
    agree(device.activate(device.array(x), "elu", alpha=1.0), np.expm1(*wide(x)))
    got = device.activate(device.array(x), "softrelu").numpy()
    assert np.allclose(got, np.logaddexp(0, *wide(x)), rtol=1e-5, atol=0)


def test_silu_is_logistic_and_a_multiplication(device):
    x = device.array(numbers((30, 7), scale=4))
    agree(device.multiply(device.activate(x, "logistic"), x), x.numpy() * scipy.special.expit(*wide(x.numpy())))


@pytest.mark.parametrize("mode", ["silu", "gelu", "RELU", "", None, 3])
def test_an_unknown_mode_is_refused_with_the_known_ones(device, mode):
    x = device.array(numbers((1, 1, 4, 4)))
    for call in (lambda: device.activate(x, mode), lambda: device.pool(x, mode, (2, 2))):
        with pytest.raises(Unsupported) as caught:
            call()
        assert repr(mode) in caught.value.text.ja and caught.value.known in caught.value.text.en
    assert "average_inclusive" in caught.value.known


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf"), "1", None])
def test_activation_scalars_are_finite_numbers(device, wrong):
    x = device.array(numbers(3))
    for name in ("alpha", "beta", "gamma"):
        with pytest.raises(ShapeError) as caught:
            device.activate(x, "tanh", **{name: wrong})
        assert caught.value.name == name


# Softmax


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(7,), (1, 1), (3, 5), (2, 3, 4), (2, 2, 3, 9), (300, 3), (3, 65), (2, 3, 256), (6, 500), (3, 1025), (2, 50_000)],
)
def test_softmax_goes_over_the_last_axis(device, shape, dtype):
    x = numbers(shape, dtype, scale=4)
    agree(device.softmax(device.array(x)), scipy.special.softmax(*wide(x), axis=-1))


def test_softmax_is_stable(device):
    x = np.array([[1e4, 1e4 - 1, -1e4], [-1e38, -1e38, -1e38], [3e38, 0, -3e38], [0, -np.inf, 0]], np.float32)
    agree(device.softmax(device.array(x)), scipy.special.softmax(*wide(x), axis=-1))
    shifted = numbers((4, 9))
    assert np.allclose(
        device.softmax(device.array(shifted + np.float32(1000))).numpy(), device.softmax(device.array(shifted)).numpy(),
        atol=1e-4,
    )  # fmt: skip


def test_the_page_of_attention_shares_out_8_2_1_4_and_0_9(device):
    shares = device.softmax(device.array(np.array([8.2, 1.4, 0.9], np.float32))).numpy()
    assert [round(float(100 * share), 1) for share in shares] == [99.8, 0.1, 0.1]


# Pooling


def pooled(x, mode, window, pad, stride):
    """Pooling by its definition, window by window, in float64."""
    n, c, h, w = x.shape
    rows = (h + 2 * pad[0] - window[0]) // stride[0] + 1
    columns = (w + 2 * pad[1] - window[1]) // stride[1] + 1
    y = np.empty((n, c, rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            cells = x[:, :, max(top, 0) : top + window[0], max(left, 0) : left + window[1]]
            if mode == "max":
                y[:, :, i, j] = cells.max(axis=(2, 3))
            elif mode == "average":
                y[:, :, i, j] = cells.mean(axis=(2, 3))
            else:
                y[:, :, i, j] = cells.sum(axis=(2, 3)) / (window[0] * window[1])
    return y


@many
@given(
    mode=st.sampled_from(["max", "average", "average_inclusive"]), n=st.integers(1, 3), c=st.integers(1, 4),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)), window=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    pad=st.tuples(st.integers(0, 5), st.integers(0, 5)), stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dtype=st.sampled_from(sorted(FLOATS)),
)  # fmt: skip
@example(mode="max", n=1, c=1, size=(1, 1), window=(6, 6), pad=(3, 3), stride=(1, 1), dtype="float32")
@example(mode="average", n=1, c=1, size=(1, 2), window=(6, 5), pad=(5, 4), stride=(1, 2), dtype="float32")
def test_pooling_is_its_definition(device, mode, n, c, size, window, pad, stride, dtype):
    pad = tuple(min(p, k - 1) for p, k in zip(pad, window, strict=True))
    window = tuple(min(k, s + 2 * p) for k, s, p in zip(window, size, pad, strict=True))
    x = numbers((n, c, *size), dtype)
    got = device.pool(device.array(x), mode, window, pad, stride)
    want = pooled(*wide(x), mode, window, pad, stride)
    assert np.linalg.norm(wide(got.numpy())[0] - want) <= TOLERANCE[dtype] * max(np.linalg.norm(want), 1e-2)


@pytest.mark.parametrize("mode", ["max", "average", "average_inclusive"])
def test_pooling_agrees_with_torch(device, mode, peer):
    torch = peer("torch")
    x = numbers((2, 3, 13, 17))
    functional = torch.nn.functional
    for window, pad, stride in (((2, 2), (0, 0), (2, 2)), ((3, 5), (1, 2), (2, 3)), ((6, 6), (3, 3), (1, 1))):
        if mode == "max":
            want = functional.max_pool2d(torch.tensor(x), window, stride, pad)
        else:
            want = functional.avg_pool2d(
                torch.tensor(x), window, stride, pad, count_include_pad=mode == "average_inclusive"
            )
        agree(device.pool(device.array(x), mode, window, pad, stride), want.numpy())


def test_pooling_strides_by_its_window_unless_told(device):
    x = numbers((1, 2, 9, 8))
    agree(device.pool(device.array(x), "max", (3, 2)), pooled(x, "max", (3, 2), (0, 0), (3, 2)))
    agree(device.pool(device.array(x), "average", [9, 8]), pooled(x, "average", (9, 8), (0, 0), (1, 1)))


@pytest.mark.parametrize("mode", ["max", "average"])
def test_padding_never_shows_in_max_or_average(device, mode):
    x = np.full((1, 1, 4, 4), -7, np.float32)
    assert np.array_equal(device.pool(device.array(x), mode, (3, 3), (1, 1), (1, 1)).numpy(), x)


def test_pooling_that_does_not_fit_is_refused(device):
    x = device.array(numbers((1, 1, 4, 4)))
    for window, pad, stride, key in (
        ((5, 1), (0, 0), (1, 1), "window"), ((2, 2), (2, 0), (1, 1), "number"), ((2, 2), (-1, 0), (1, 1), "number"),
        ((0, 2), (0, 0), (1, 1), "number"), ((2, 2), (0, 0), (0, 1), "number"), (2, (0, 0), (1, 1), "number"),
        ((2, 2, 2), (0, 0), (1, 1), "number"), ((2.0, 2), (0, 0), (1, 1), "number"), ("22", (0, 0), (1, 1), "number"),
        ((2, 2), (0.5, 0), (1, 1), "number"), ((2, 2), 1, (1, 1), "number"), ((True, True), (0, 0), (1, 1), "number"),
        ((2, 2), (0, 0), 2, "number"), (None, (0, 0), (1, 1), "number"),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            device.pool(x, "max", window, pad, stride)
        assert caught.value.key == key, (window, pad, stride)
    with pytest.raises(ShapeError) as caught:
        device.pool(device.array(numbers((4, 4))), "max", (2, 2))
    assert caught.value.key == "shape" and "(N, C, H, W)" in caught.value.text.ja


# Batch norm


def norm_inputs(dtype, shape=(3, 5, 4, 6), seed=0):
    x, scale, bias, mean = (numbers(s, dtype, seed + i) for i, s in enumerate((shape, *[(shape[1],)] * 3)))
    variance = np.abs(numbers((shape[1],), dtype, seed + 9)) + FLOATS[dtype].type(0.1)
    return x, scale, bias, mean, variance.astype(FLOATS[dtype])


def normed(x, scale, bias, mean, variance, epsilon):
    x, *vectors = wide(x, scale, bias, mean, variance)
    s, b, m, v = (vector[:, None, None] for vector in vectors)
    return s * (x - m) / np.sqrt(v + epsilon) + b


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 1, 1, 1), (2, 7, 1, 3)])
def test_batch_norm_is_its_formula(device, dtype, shape):
    inputs = norm_inputs(dtype, shape)
    agree(device.batch_norm(*map(device.array, inputs), 1e-3), normed(*inputs, 1e-3))


def test_batch_norm_keeps_the_digits_where_the_mean_is_large(device):
    x, scale, bias, mean, variance = norm_inputs("float32")
    x, mean = x + np.float32(5000), mean + np.float32(5000)
    inputs = (x, scale, bias, mean, variance)
    agree(device.batch_norm(*map(device.array, inputs), 1e-5), normed(*inputs, 1e-5))


def test_batch_norm_of_the_wrong_shapes_is_refused_by_name(device):
    x, *vectors = (device.array(array) for array in norm_inputs("float32"))
    names = ("scale", "bias", "mean", "variance")
    for position, name in enumerate(names):
        wrong = list(vectors)
        wrong[position] = device.array(numbers((4,)))
        with pytest.raises(ShapeError) as caught:
            device.batch_norm(x, *wrong, 1e-5)
        assert (caught.value.name, caught.value.want, caught.value.got) == (name, (5,), (4,))
    for epsilon in (-1e-5, float("nan"), "0", None):
        with pytest.raises(ShapeError):
            device.batch_norm(x, *vectors, epsilon)
    with pytest.raises(ShapeError):
        device.batch_norm(vectors[0], *vectors, 1e-5)


# Addition and multiplication


@many
@given(data=st.data(), shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
       operation=st.sampled_from(["add", "multiply"]), dtype=st.sampled_from(sorted(FLOATS)))  # fmt: skip
def test_add_and_multiply_broadcast_the_second(device, data, shape, operation, dtype):
    cut = data.draw(st.integers(0, len(shape) - 1))
    small = [data.draw(st.sampled_from([1, size])) for size in shape[cut:]]
    a, b = numbers(shape, dtype), numbers(small, dtype, 1)
    got = getattr(device, operation)(device.array(a), device.array(b))
    want = {"add": np.add, "multiply": np.multiply}[operation](*wide(a, b))
    np.testing.assert_allclose(wide(got.numpy())[0], want, rtol=2e-2 if dtype == "bfloat16" else 2e-3, atol=1e-6)


def test_a_bias_of_channels_is_added_to_a_picture(device):
    x, bias = numbers((2, 3, 4, 5)), numbers((3, 1, 1), seed=1)
    agree(device.add(device.array(x), device.array(bias)), x + bias)


def test_shapes_that_do_not_broadcast_are_named_both(device):
    a = device.array(numbers((2, 3)))
    for shape in ((3, 2), (2,), (1, 2, 3), (2, 3, 1), (4,)):
        with pytest.raises(ShapeError) as caught:
            device.add(a, device.array(numbers(shape)))
        assert all("(2, 3)" in text and str(shape) in text for text in caught.value.text)
    with pytest.raises(ShapeError):  # the first never grows
        device.multiply(device.array(numbers((1, 3))), a)


# In place, strided, refused


def test_in_place_gives_the_same_as_a_new_array(device):
    data = numbers((2, 3, 4, 4), scale=2)
    vectors = [device.array(array) for array in norm_inputs("float32", (2, 3, 4, 4))[1:]]
    bias = device.array(numbers((3, 1, 1)))
    for call in (
        *(lambda x, out=None, mode=mode: device.activate(x, mode, 0.5, 1.5, 2.0, out=out) for mode in MODES),
        device.softmax, lambda x, out=None: device.batch_norm(x, *vectors, 1e-5, out=out),
        lambda x, out=None: device.add(x, bias, out=out), lambda x, out=None: device.multiply(x, x, out=out),
        lambda x, out=None: device.add(device.array(numbers((2, 3, 4, 4))), x, out=out),  # b
    ):  # fmt: skip
        x = device.array(data)
        want = call(x).numpy()
        assert np.array_equal(x.numpy(), data)
        assert call(x, out=x) is x and np.array_equal(x.numpy(), want, equal_nan=True)


def test_out_is_filled_and_given_back(device):
    x = device.array(numbers((1, 2, 6, 6)))
    for call, shape in (
        (lambda out: device.activate(x, "abs", out=out), (1, 2, 6, 6)), (lambda out: device.softmax(x, out), (1, 2, 6, 6)),
        (lambda out: device.pool(x, "max", (2, 2), out=out), (1, 2, 3, 3)), (lambda out: device.add(x, x, out), (1, 2, 6, 6)),
    ):  # fmt: skip
        out = device.array(np.full(shape, np.nan, np.float32))
        assert call(out) is out and not np.isnan(out.numpy()).any()
        for wrong in (device.empty((1, 2, 6, 5)), device.empty(shape, "float16")):
            with pytest.raises(ShapeError) as caught:
                call(wrong)
            assert caught.value.key == "out"


def test_out_that_half_overlaps_an_input_is_refused(device):
    x = device.array(numbers((6, 4)), "x")
    row = device.array(numbers((2, 2, 3, 3)))
    for call in (
        lambda: device.activate(x[0:4], "relu", out=x[1:5]), lambda: device.softmax(x[0:4], out=x[2:6]),
        lambda: device.add(x[0:4], x[1:5], out=x[0:4]),  # b is read where a was written
        lambda: device.add(x[2:6], x[0:4], out=x[1:5]), lambda: device.multiply(x, x[0:1], out=x),
        lambda: device.copy(x, out=x), lambda: device.softmax(x.reshape(4, 6), out=x.T),
        lambda: device.pool(row, "max", (2, 2), out=row.reshape(36)[0:4].reshape(2, 2, 1, 1)),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "alias"
    assert np.array_equal(x.numpy(), numbers((6, 4)))


def test_strided_views_are_computed_right(device):
    data = numbers((4, 6, 5, 3))
    x = device.array(data)
    views = [np.s_[:, ::2], np.s_[1:3, 2:5, 1:4], np.s_[:, :, ::2, 1:]]
    for cut in views:
        agree(device.activate(x[cut], "tanh", 1.0, 1.0), np.tanh(data[cut]))
        agree(device.softmax(x[cut]), scipy.special.softmax(*wide(data[cut]), axis=-1))
        agree(device.pool(x[cut], "max", (2, 1)), pooled(data[cut], "max", (2, 1), (0, 0), (2, 1)))
        out = device.array(np.zeros_like(data))
        device.add(x[cut], x[cut], out=out[cut])
        want = np.zeros_like(data)
        want[cut] = 2 * data[cut]
        assert np.array_equal(out.numpy(), want)
    agree(device.activate(x.transpose(3, 1, 0, 2), "abs"), np.abs(data.transpose(3, 1, 0, 2)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_whole_numbers_are_refused_where_only_floats_make_sense(device, dtype):
    x, vector = device.array(np.ones((1, 2, 4, 4), dtype)), device.array(np.ones(2, dtype))
    for call in (
        lambda: device.activate(x, "relu"), lambda: device.softmax(x), lambda: device.pool(x, "max", (2, 2)),
        lambda: device.batch_norm(x, vector, vector, vector, vector, 1e-5), lambda: device.add(x, x),
        lambda: device.multiply(x, x),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "dtype" and '.astype("float32")' in caught.value.text.ja


def test_mixed_types_are_refused(device):
    x, half = device.array(numbers((2, 2))), device.array(numbers((2, 2), "float16"))
    for call in (lambda: device.add(x, half), lambda: device.multiply(half, x), lambda: device.add(x, x, out=half)):
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key in ("dtypes", "out")
    with pytest.raises(InvalidPointer):
        device.add(x, 1.0)
