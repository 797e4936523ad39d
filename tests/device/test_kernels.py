"""The small machines that no library has: each against its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracle import FLOATS, agree, numbers, wide

from factory import InvalidPointer, ShapeError

many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
dtypes = st.sampled_from(sorted(FLOATS))


# RMS norm


@many
@given(tokens=st.integers(1, 9), width=st.integers(1, 70), dtype=dtypes, epsilon=st.sampled_from([0.1, 1e-5, 1e-6]),
       in_place=st.booleans())  # fmt: skip
@example(tokens=2, width=128, dtype="float32", epsilon=1e-5, in_place=True)  # several waves a row
@example(tokens=2, width=700, dtype="float16", epsilon=1e-5, in_place=False)  # several elements a thread
def test_rms_norm_is_its_formula(device, tokens, width, dtype, epsilon, in_place):
    x, weight = numbers((tokens, width), dtype), numbers((width,), dtype, 1)
    array = device.array(x)
    got = device.rms_norm(array, device.array(weight), epsilon, out=array if in_place else None)
    wide_x, wide_weight = wide(x, weight)
    agree(got, wide_x / np.sqrt((wide_x**2).mean(axis=1, keepdims=True) + epsilon) * wide_weight)
    assert (got is array) == in_place


def test_rms_norm_of_zeros_is_zeros_and_of_large_numbers_finite(device):
    weight = device.array(np.ones(8, np.float32))
    x = device.array(np.array([[0] * 8, [1e15] * 8, [-1e-15] * 8], np.float32))
    assert np.allclose(device.rms_norm(x, weight, 1e-5).numpy(), [[0] * 8, [1] * 8, [0] * 8], atol=1e-6)


def test_rms_norm_agrees_with_torch(device, peer):
    torch = peer("torch")
    x, weight = numbers((4, 33)), numbers((33,), seed=1)
    want = torch.nn.functional.rms_norm(torch.tensor(x), (33,), torch.tensor(weight), 1e-5)
    agree(device.rms_norm(device.array(x), device.array(weight), 1e-5), want.numpy())


# Rotary embedding and the cache


def angles(positions, width, dtype="float32", base=10_000.0):
    turn = np.outer(np.arange(positions), base ** (-np.arange(0, width, 2) / width))
    return np.cos(turn).astype(FLOATS[dtype]), np.sin(turn).astype(FLOATS[dtype])


def rotated(x, cos, sin, position):
    """Half-split rotary embedding of (T, heads, D) in complex numbers: each pair (a, b) is a + ib, turned."""
    half = x.shape[-1] // 2
    turn = (cos + 1j * sin)[position : position + len(x), None]
    turned = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate([turned.real, turned.imag], axis=-1)


@many
@given(tokens=st.integers(1, 6), shared=st.integers(1, 3), group=st.integers(1, 3), half=st.integers(1, 9),
       position=st.integers(0, 5), room=st.integers(0, 4), dtype=dtypes)  # fmt: skip
def test_rotary_cache_turns_queries_and_keys_and_appends_to_the_cache(
    device, tokens, shared, group, half, position, room, dtype
):
    heads, width, positions = shared * group, 2 * half, position + tokens + room
    qkv = numbers((tokens, heads + 2 * shared, width), dtype)
    cos, sin = angles(positions, width, dtype)
    old = numbers((2, shared, positions, width), dtype, 1)
    keys, values = device.array(old[0]), device.array(old[1])
    queries = device.rotary_cache(*map(device.array, (qkv, cos, sin)), keys, values, position)
    turned = rotated(wide(qkv)[0][:, : heads + shared], *wide(cos, sin), position)
    agree(queries, turned[:, :heads].transpose(1, 0, 2))
    for cache, before, rows in ((keys, old[0], turned[:, heads:]), (values, old[1], wide(qkv)[0][:, heads + shared :])):
        got, (want,) = cache.numpy(), wide(before)
        want[:, position : position + tokens] = rows.transpose(1, 0, 2)
        agree(got, want)
        untouched = np.ones(positions, bool)
        untouched[position : position + tokens] = False
        assert got[:, untouched].tobytes() == before[:, untouched].tobytes()


def test_rotary_keeps_lengths_and_turns_by_the_difference_of_positions_alone(device):
    width, positions = 16, 64
    cos, sin = (device.array(table) for table in angles(positions, width))
    q, k = numbers((1, 1, width)), numbers((1, 1, width), seed=1)
    qkv = device.array(np.concatenate([q, k, k], axis=1))
    keys, values = device.empty((1, positions, width)), device.empty((1, positions, width))
    products = []
    for q_at, k_at in ((5, 2), (45, 42), (63, 60)):
        queries = device.rotary_cache(qkv, cos, sin, keys, values, q_at).numpy()
        assert np.isclose(np.linalg.norm(queries), np.linalg.norm(q), rtol=1e-5)
        device.rotary_cache(qkv, cos, sin, keys, values, k_at)
        products.append(float(queries[0, 0] @ keys.numpy()[0, k_at]))
    assert np.allclose(products, products[0], rtol=1e-4, atol=1e-4)


def test_rotary_cache_of_shapes_that_do_not_go_together_is_refused_by_name(device):
    tokens, heads, shared, width, positions = 3, 4, 2, 8, 10
    right = {
        "qkv": (tokens, heads + 2 * shared, width), "cos": (positions, width // 2), "sin": (positions, width // 2),
        "keys": (shared, positions, width), "values": (shared, positions, width),
    }  # fmt: skip
    wrong = [
        ("qkv", (tokens, heads + 2 * shared)), ("qkv", (tokens, 8, 7)), ("qkv", (tokens, 4, width)),
        ("keys", (shared, positions, 6)), ("keys", (shared, 2, width)), ("values", (1, positions, width)),
        ("values", (positions, width)), ("values", (shared, positions, width, 1)), ("cos", (positions, 3)),
        ("cos", (2, width // 2)), ("sin", (width // 2,)), ("sin", (1, positions, width // 2)),
    ]  # fmt: skip
    for name, shape in wrong:
        arrays = {key: device.array(numbers(shape if key == name else right[key])) for key in right}
        with pytest.raises(ShapeError) as caught:
            device.rotary_cache(**arrays)
        assert caught.value.name == name and str(shape) in caught.value.text.ja
    arrays = {key: device.array(numbers(shape)) for key, shape in right.items()}
    for position in (-1, 8, 1.0, "0", None, True):
        with pytest.raises(ShapeError):
            device.rotary_cache(**arrays, position=position)
    assert device.rotary_cache(**arrays, position=7).shape == (heads, tokens, width)
    for clash in ({"values": arrays["keys"]}, {"out": arrays["keys"].reshape(160)[:96].reshape(4, 3, 8)}):
        with pytest.raises(ShapeError) as caught:
            device.rotary_cache(**{**arrays, **clash})
        assert caught.value.key == "alias"


# SiLU gate


@many
@given(tokens=st.integers(1, 7), width=st.integers(1, 40), dtype=dtypes, scale=st.sampled_from([1.0, 5.0]))
def test_silu_gate_is_its_formula(device, tokens, width, dtype, scale):
    x = numbers((tokens, 2 * width), dtype, scale=scale)
    gate, up = np.split(wide(x)[0], 2, axis=1)
    agree(device.silu_gate(device.array(x)), gate * scipy.special.expit(gate) * up)


def test_silu_gate_of_extreme_inputs_is_its_limit(device):
    gate = np.array([-1e4, -100, -88, -80, -20, 0, 20, 88, 1e4], np.float32)
    x = np.concatenate([gate, np.full(9, 2, np.float32)])[None]
    got = device.silu_gate(device.array(x)).numpy()[0]
    assert np.isfinite(got).all()
    (gate,) = wide(gate)
    assert np.allclose(got, 2 * gate * scipy.special.expit(gate), rtol=1e-5, atol=1e-30)


def test_silu_gate_is_what_two_passes_of_miopen_give(device):
    x = device.array(numbers((5, 24), scale=3))
    gate, up = device.copy(x[:, :12]), device.copy(x[:, 12:])
    two = device.multiply(device.multiply(device.activate(gate, "logistic"), gate), up)
    agree(device.silu_gate(x), wide(two.numpy())[0])


# Gather


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int32"])
def test_gather_takes_rows_by_number(device, dtype):
    table = (np.random.default_rng(0).standard_normal((7, 5)) * 20).astype(FLOATS.get(dtype, dtype))
    for ids in ([0], [6, 0, 6, 3], list(range(7))):
        got = device.gather(device.array(table), device.array(np.array(ids, np.int32))).numpy()
        assert got.tobytes() == table[ids].tobytes() and got.shape == (len(ids), 5)


@pytest.mark.parametrize("ids", [[7], [-1], [0, 1, 100], [2**31 - 1], [-(2**31)]])
def test_an_id_outside_the_table_is_named(device, ids):
    table = device.array(numbers((7, 5)))
    with pytest.raises(ShapeError) as caught:
        device.gather(table, device.array(np.array(ids, np.int32))).numpy()
    assert (caught.value.key, caught.value.last) == ("ids", 6) and caught.value.got in ids
    assert str(caught.value.got) in caught.value.text.ja


def test_gather_takes_int32_ids_of_one_dimension(device):
    table, ids = device.array(numbers((7, 5))), device.array(np.zeros(3, np.int32))
    with pytest.raises(ShapeError) as caught:
        device.gather(table, device.array(np.zeros(3, np.uint8)))
    assert '.astype("int32")' in caught.value.text.en and '.astype("int32")' in caught.value.text.ja
    for arrays, name in (((table, ids.reshape(3, 1)), "ids"), ((table.reshape(35), ids), "table")):
        with pytest.raises(ShapeError) as caught:
            device.gather(*arrays)
        assert caught.value.name == name
    with pytest.raises(InvalidPointer):
        device.gather(table, [0, 1])


# Causal softmax


@many
@given(heads=st.integers(1, 4), tokens=st.integers(1, 8), position=st.integers(0, 9), spare=st.integers(0, 3),
       scale=st.sampled_from([1.0, 0.125, 3.0]), dtype=dtypes, in_place=st.booleans())  # fmt: skip
@example(heads=2, tokens=3, position=125, spare=1, scale=0.125, dtype="float32", in_place=True)
@example(heads=1, tokens=2, position=600, spare=9, scale=1.0, dtype="float16", in_place=False)
def test_causal_softmax_is_a_softmax_over_what_a_token_may_see(
    device, heads, tokens, position, spare, scale, dtype, in_place
):
    seen = position + tokens + spare
    scores = numbers((heads, tokens, seen), dtype, scale=2)
    array = device.array(scores)
    got = device.causal_softmax(array, scale, position, out=array if in_place else None)
    want = np.zeros(scores.shape)
    for token in range(tokens):
        visible = position + token + 1
        want[:, token, :visible] = scipy.special.softmax(scale * wide(scores)[0][:, token, :visible], axis=-1)
    agree(got, want)
    assert not got.numpy()[want == 0].any()  # the future is exactly 0


def test_causal_softmax_is_stable_and_the_future_never_counts(device):
    scores = np.array([[[1e4, 3e38, 3e38], [1e4, 1e4, 3e38], [-1e38, -1e38, -1e38]]], np.float32)
    want = [[[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3]]
    assert np.allclose(device.causal_softmax(device.array(scores), 1.0).numpy(), want, atol=1e-6)


def test_causal_softmax_refuses_what_makes_no_sense(device):
    scores = device.array(numbers((2, 3, 5)))
    for position in (-1, 5, 0.0, None, True):
        with pytest.raises(ShapeError):
            device.causal_softmax(scores, 1.0, position)
    for scale in (float("nan"), float("inf"), "1", None):
        with pytest.raises(ShapeError):
            device.causal_softmax(scores, scale)
    with pytest.raises(ShapeError):
        device.causal_softmax(scores[0], 1.0)


# Copy and pad


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint8", "int32"])
def test_copy_packs_any_view_and_writes_into_any_view(device, dtype):
    data = (np.random.default_rng(0).standard_normal((4, 6, 5)) * 20).astype(FLOATS.get(dtype, dtype))
    x = device.array(data)
    for view in (lambda a: a[:, ::2], lambda a: a.transpose(2, 0, 1), lambda a: a[1:3, 1::3, 2:], lambda a: a[2, 3]):
        packed = device.copy(view(x))
        assert packed.packed and packed.numpy().tobytes() == np.ascontiguousarray(view(data)).tobytes()
        target, want = device.array(np.zeros_like(data)), np.zeros_like(data)
        out = view(target)
        assert device.copy(packed, out=out) is out
        view(want)[...] = view(data)
        assert target.numpy().tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", [*FLOATS, "uint8"])
@pytest.mark.parametrize("sides", [(1, 2, 3, 4), (0, 1, 0, 1), (0, 0, 0, 0), [2, 0, 0, 3]])
def test_pad_puts_zeros_around(device, sides, dtype):
    x = (np.abs(numbers((2, 3, 4, 5))) * 20 + 1).astype(FLOATS.get(dtype, dtype))
    top, bottom, left, right = sides
    want = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out = device.array(np.full(want.shape, 7, x.dtype))
    for got in (device.pad(device.array(x), sides), device.pad(device.array(x), sides, out=out)):
        assert got.shape == want.shape and got.numpy().tobytes() == want.tobytes()


@pytest.mark.parametrize("sides", [(1, 2, 3), 1, None, (-1, 0, 0, 0), (0.5, 0, 0, 0), "1111", (1, 1, 1, 1, 1)])
def test_pad_takes_four_whole_numbers_from_0_up(device, sides):
    with pytest.raises(ShapeError) as caught:
        device.pad(device.array(numbers((1, 1, 2, 2))), sides)
    assert caught.value.name == "sides"
    with pytest.raises(ShapeError) as caught:
        device.pad(device.array(numbers((2, 2))), (1, 1, 1, 1))
    assert caught.value.name == "x"


# What they share


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_whole_numbers_are_refused_where_only_floats_make_sense(device, dtype):
    x, three = device.array(np.ones((2, 4), dtype)), device.array(np.ones((1, 3, 4), dtype))
    table = device.array(np.ones((3, 2), dtype))
    for call in (
        lambda: device.rms_norm(x, x[0], 1e-5), lambda: device.silu_gate(x),
        lambda: device.causal_softmax(three, 1.0),
        lambda: device.rotary_cache(three, table, table, device.copy(three), device.copy(three)),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "dtype" and '.astype("float32")' in caught.value.text.en


def test_wrong_shapes_are_named_with_what_is_wanted(device):
    x, weight = device.array(numbers((3, 8))), device.array(numbers((7,)))
    for call, name in (
        (lambda: device.rms_norm(x, weight, 1e-5), "weight"), (lambda: device.rms_norm(weight, weight, 1e-5), "x"),
        (lambda: device.silu_gate(x[:, :7]), "gate_up"), (lambda: device.silu_gate(weight), "gate_up"),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.name == name and str(caught.value.got) in caught.value.text.ja
    for epsilon in (-1, float("nan"), None, "1e-5"):
        with pytest.raises(ShapeError):
            device.rms_norm(x, x[0], epsilon)


def test_mixed_types_are_refused(device):
    x, half = device.array(numbers((2, 4))), device.array(numbers((4,), "float16"))
    with pytest.raises(ShapeError) as caught:
        device.rms_norm(x, half, 1e-5)
    assert caught.value.key == "dtypes"


def test_out_over_an_input_is_refused(device):
    x = device.array(numbers((4, 8)))
    ids = device.array(np.zeros(2, np.int32))
    picture = device.array(numbers((1, 1, 4, 4)))
    for call in (
        lambda: device.rms_norm(x, x[0], 1e-5, out=x), lambda: device.rms_norm(x[0:2], x[3], 1e-5, out=x[1:3]),
        lambda: device.silu_gate(x, out=x[:, :4]), lambda: device.gather(x, ids, out=x[0:2]),
        lambda: device.copy(x[0:2], out=x[1:3]), lambda: device.pad(picture, (0, 0, 0, 0), out=picture),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "alias"
