"""The matrix specialist: every shape, transpose, scale, batch and stride against NumPy in float64, nothing copied."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracle import FLOATS, agree, numbers, wide

from factory import InvalidPointer, ShapeError
from factory.layout import Layout
from factory.problem import GemmProblem
from factory.requests import plan_gemm

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
sizes = st.integers(1, 40)
scalars = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -3.25])


def flip(array, transposed):
    """A matrix, or each of a batch, transposed where asked."""
    return np.swapaxes(array, -1, -2) if transposed else array


def product(a, b, transpose_a=False, transpose_b=False, alpha=1.0, beta=0.0, c=None):
    """What gemm should give, in float64."""
    a, b = wide(a, b)
    result = alpha * (flip(a, transpose_a) @ flip(b, transpose_b))
    return result if beta == 0 else result + beta * wide(c)[0]


@many
@given(
    m=sizes, n=sizes, k=sizes, ta=st.booleans(), tb=st.booleans(), dtype=st.sampled_from(sorted(FLOATS)),
    alpha=scalars, beta=scalars, seed=st.integers(0, 1000),
)  # fmt: skip
@example(m=1, n=1, k=1, ta=True, tb=True, dtype="float32", alpha=1.0, beta=0.0, seed=0)
@example(m=1, n=7, k=5, ta=True, tb=True, dtype="float32", alpha=1.0, beta=1.0, seed=0)
@example(m=7, n=1, k=5, ta=False, tb=True, dtype="float16", alpha=2.0, beta=1.0, seed=0)
def test_every_shape_transpose_and_scale(device, m, n, k, ta, tb, dtype, alpha, beta, seed):
    a = numbers((k, m) if ta else (m, k), dtype, seed)
    b = numbers((n, k) if tb else (k, n), dtype, seed + 1)
    c = numbers((m, n), dtype, seed + 2)
    out = device.array(c)
    got = device.gemm(device.array(a), device.array(b), ta, tb, alpha=alpha, beta=beta, out=out)
    assert got is out
    want = product(a, b, ta, tb, alpha, beta, c)
    # Where alpha and beta let things cancel, the error is measured on what was added up.
    scale = np.linalg.norm(product(np.abs(wide(a)[0]), np.abs(wide(b)[0]), ta, tb, abs(alpha), abs(beta), np.abs(c)))
    error = np.linalg.norm(np.asarray(got.numpy()).astype(np.float64) - want)
    assert error <= (1e-5 if dtype == "float32" else 1e-2) * max(scale, 1e-30)


@many
@given(
    batch=st.integers(1, 5), left=st.sampled_from(["2-D", "one", "all"]), right=st.sampled_from(["2-D", "one", "all"]),
    m=st.integers(1, 12), n=st.integers(1, 12), k=st.integers(1, 12), ta=st.booleans(), tb=st.booleans(),
    dtype=st.sampled_from(sorted(FLOATS)), given_out=st.booleans(),
)  # fmt: skip
def test_batches_and_operands_that_serve_for_all(device, batch, left, right, m, n, k, ta, tb, dtype, given_out):
    front = {"2-D": (), "one": (1,), "all": (batch,)}
    a = numbers((*front[left], *((k, m) if ta else (m, k))), dtype)
    b = numbers((*front[right], *((n, k) if tb else (k, n))), dtype, 1)
    want = product(a, b, ta, tb)
    out = device.empty(want.shape, dtype) if given_out else None
    got = device.gemm(device.array(a), device.array(b), ta, tb, out=out)
    assert got.shape == want.shape and (out is None or got is out)
    agree(got, want)


@st.composite
def strided(draw, rows, columns, batch=None):
    """A NumPy array, and how to cut a (batch, rows, columns) view out of it in a layout that BLAS takes."""
    transposed = draw(st.booleans())
    inner = (columns, rows) if transposed else (rows, columns)
    before, after, top = (draw(st.integers(0, 3)) for _ in range(3))
    step = draw(st.integers(1, 2))
    parent = [inner[0] * step + top, before + inner[1] + after]
    cut = [slice(top, top + inner[0] * step, step), slice(before, before + inner[1])]
    order = [1, 0] if transposed else [0, 1]
    if batch is not None:
        every, where = draw(st.integers(1, 2)), draw(st.sampled_from([0, 1]))
        # The batch outside, or between rows and columns, as the heads of attention are.
        parent.insert(where, batch * every)
        cut.insert(where, slice(0, batch * every, every))
        axes = [axis for axis in range(3) if axis != where]
        order = [where, *(axes[axis] for axis in order)]
    return tuple(parent), tuple(cut), tuple(order)


@many
@given(data=st.data(), m=st.integers(1, 10), n=st.integers(1, 10), k=st.integers(1, 10), batch=st.integers(2, 4),
       dtype=st.sampled_from(sorted(FLOATS)), ta=st.booleans(), tb=st.booleans(), batched=st.booleans(),
       beta=st.sampled_from([0.0, 1.0, -0.5]))  # fmt: skip
def test_strided_views_with_leading_dimensions(device, data, m, n, k, batch, dtype, ta, tb, batched, beta):
    views, hosts = [], []
    for seed, (rows, columns, transposed) in enumerate(((m, k, ta), (k, n, tb))):
        wanted = (columns, rows) if transposed else (rows, columns)
        parent, cut, order = data.draw(strided(*wanted, batch if batched else None))
        host = numbers(parent, dtype, seed)
        views.append(device.array(host)[cut].transpose(order))
        hosts.append(host[cut].transpose(order))
    wide_n = n + data.draw(st.integers(0, 3))
    parent = numbers((2 * batch, m + 2, wide_n + 2) if batched else (m + 2, wide_n + 2), dtype, 9)
    cut = ((slice(0, 2 * batch, 2),) if batched else ()) + (slice(1, m + 1), slice(2, n + 2))
    whole = device.array(parent)
    got = device.gemm(*views, ta, tb, alpha=1.5, beta=beta, out=whole[cut])
    want = wide(parent)[0].copy()
    want[cut] = product(*hosts, ta, tb, 1.5, beta, parent[cut])
    agree(got, want[cut], 3e-2 if dtype != "float32" and beta else None)
    around = whole.numpy()
    around[cut] = parent[cut]
    assert around.tobytes() == parent.tobytes()  # nothing beside the view was touched


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_heads_of_attention_are_views_of_what_one_gemm_made(device, dtype):
    heads, tokens, width = 3, 5, 8
    qkv = numbers((tokens, 3 * heads, width), dtype)
    x = device.array(qkv)
    q, k, v = (x[:, i * heads : (i + 1) * heads].transpose(1, 0, 2) for i in range(3))  # each (H, T, D)
    host_q, host_k, host_v = np.split(qkv.transpose(1, 0, 2), 3)
    scores = device.gemm(q, k, transpose_b=True, alpha=0.5)
    agree(scores, product(host_q, host_k, transpose_b=True, alpha=0.5))
    out = device.empty((tokens, heads, width), dtype)
    device.gemm(scores, v, out=out.transpose(1, 0, 2))
    agree(out, np.swapaxes(product(scores.numpy(), host_v), 0, 1))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", [1, 63, 2048])
def test_long_sums_stay_within_the_contract(device, dtype, k):
    a, b = numbers((20, k), dtype), numbers((k, 30), dtype, 1)
    agree(device.gemm(device.array(a), device.array(b)), product(a, b))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ta, tb", [(False, False), (False, True), (True, False), (True, True)])
def test_the_row_of_one_token_times_weights(device, dtype, ta, tb):
    a, b = numbers((2048, 1) if ta else (1, 2048), dtype), numbers((64, 2048) if tb else (2048, 64), dtype, 1)
    agree(device.gemm(device.array(a), device.array(b), ta, tb), product(a, b, ta, tb))


def test_sixteen_bit_types_add_up_in_float32(device):
    # Added up in float16, 4096 ones would stop at 2048, and in bfloat16 at 256.
    for dtype, most in (("float16", 4096), ("bfloat16", 4096)):
        a = device.array(np.ones((1, most), FLOATS[dtype]))
        b = device.array(np.ones((most, 1), FLOATS[dtype]))
        assert float(device.gemm(a, b).numpy()[0, 0]) == most


def test_alpha_and_beta_are_applied_before_anything_is_rounded_to_16_bits(device):
    a, b = np.full((2, 100), 30, np.float16), np.full((100, 2), 30, np.float16)
    got = device.gemm(device.array(a), device.array(b), alpha=0.5).numpy()
    assert np.array_equal(got, np.full((2, 2), 45_000, np.float16))  # 90,000 is over float16's largest
    c = device.array(np.full((2, 2), -60_000, np.float16))
    assert np.allclose(device.gemm(device.array(a), device.array(b), beta=1.0, out=c).numpy(), 30_000, rtol=1e-3)


@many
@given(m=st.integers(1, 20), n=st.integers(1, 20), k=st.integers(1, 3000), seed=st.integers(0, 100),
       extreme=st.booleans(), ta=st.booleans(), tb=st.booleans(), alpha=st.integers(-3, 3), beta=st.integers(-3, 3),
       batch=st.sampled_from([None, 1, 3]))  # fmt: skip
@example(m=2, n=2, k=3000, seed=0, extreme=True, ta=False, tb=True, alpha=1, beta=0, batch=None)
@example(m=2, n=2, k=1025, seed=0, extreme=True, ta=True, tb=False, alpha=1, beta=0, batch=None)
def test_int8_is_exact(device, m, n, k, seed, extreme, ta, tb, alpha, beta, batch):
    rng = np.random.default_rng(seed)

    def whole(rows, columns):
        shape = (rows, columns) if batch is None else (batch, rows, columns)
        if extreme:
            return rng.choice(np.array([-128, -127, -127, -126], np.int8), shape)  # sums that float32 would round
        return rng.integers(-128, 128, shape, dtype=np.int8)

    a, b = whole(k, m) if ta else whole(m, k), whole(n, k) if tb else whole(k, n)
    exact = alpha * (flip(a, ta).astype(np.int64) @ flip(b, tb).astype(np.int64))
    c = rng.integers(-1000, 1000, exact.shape, dtype=np.int32)
    got = device.gemm(device.array(a), device.array(b), ta, tb, alpha=alpha, beta=beta, out=device.array(c))
    assert got.dtype == np.int32 and np.array_equal(got.numpy(), exact + beta * c.astype(np.int64))


def test_int8_of_nothing_but_extremes_is_exact(device):
    a, b = np.full((3, 3000), -128, np.int8), np.full((3000, 3), -128, np.int8)
    assert np.array_equal(device.gemm(device.array(a), device.array(b)).numpy(), np.full((3, 3), 3000 * 128 * 128))
    a, b = a[:, 1:].copy(), b[1:].copy()
    for a[:], b[:] in ((127, 127), (-127, -127), (-128, 127), (127, -127)):  # odd sums that float32 would round
        want = a.astype(np.int64) @ b.astype(np.int64)
        assert np.array_equal(device.gemm(device.array(a), device.array(b)).numpy(), want)


def test_with_beta_0_the_old_content_is_not_read(device):
    for dtype in ("float32", "float16"):
        a = numbers((4, 4), dtype)
        out = device.array(np.full((4, 4), np.nan, dtype))
        for alpha in (1.0, 2.0):
            agree(device.gemm(device.array(a), device.array(a), alpha=alpha, out=out), product(a, a, alpha=alpha))


@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's
def test_nan_and_infinity_go_through(device):
    a = np.array([[np.nan, 0], [np.inf, 1]], np.float32)
    got = device.gemm(device.array(a), device.array(np.eye(2, dtype=np.float32))).numpy()
    assert np.isnan(got[0]).all() and got[1, 0] == np.inf


# What is refused, and how


def test_mixed_types_are_refused_with_both_names(device):
    arrays = {name: device.array(np.ones((2, 2), dtype)) for name, dtype in FLOATS.items()}
    arrays["int8"] = device.array(np.ones((2, 2), np.int8))
    for one in arrays:
        for other in arrays:
            if one != other:
                with pytest.raises(ShapeError) as caught:
                    device.gemm(arrays[one], arrays[other])
                assert (caught.value.key, caught.value.a, caught.value.b) == ("dtypes", one, other)
                assert all(one in text and other in text and ".astype(" in text for text in caught.value.text)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "int16", "complex64", "bool", "object", "<U3", ">f4"])
def test_a_type_that_no_gpu_library_here_takes_is_refused_with_the_sentence_that_helps(device, dtype):
    with pytest.raises(ShapeError) as caught:
        device.array(np.ones((2, 2)).astype(dtype))
    for text in caught.value.text:
        assert '.astype("float32")' in text and ("bfloat16" in text)
    assert str(np.dtype(dtype)) in str(caught.value) or np.dtype(dtype).str in str(caught.value)
    assert device.memory.in_use == 0


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_a_type_that_arrays_may_have_but_gemm_not_is_refused(device, dtype):
    x = device.array(np.ones((2, 2), dtype))
    with pytest.raises(ShapeError) as caught:
        device.gemm(x, x)
    assert caught.value.key == "dtype" and '.astype("float32")' in caught.value.text.en


def test_shapes_that_do_not_go_together_are_named_both(device):
    shapes = {shape: device.array(numbers(shape)) for shape in ((2, 3), (4, 5), (2, 3, 4), (3, 4, 5), (6,), ())}

    def error(a, b, **options):
        with pytest.raises(ShapeError) as caught:
            device.gemm(shapes[a], shapes[b], **options)
        for text in caught.value.text:
            assert str(a) in text and str(b) in text
        return caught.value

    assert (error((2, 3), (4, 5)).columns, error((2, 3), (4, 5)).rows) == (3, 4)
    assert error((2, 3), (2, 3)).key == "gemm_inner"
    assert error((2, 3), (2, 3), transpose_a=True, transpose_b=True).key == "gemm_inner"
    assert error((2, 3, 4), (3, 4, 5)).key == "gemm_batch"
    assert error((6,), (2, 3)).key == error((), (2, 3)).key == "gemm_dimensions"
    assert device.gemm(shapes[(2, 3)], shapes[(2, 3)], transpose_b=True).shape == (2, 2)


def test_an_out_of_the_wrong_shape_or_type_is_refused(device):
    a, b = device.array(numbers((2, 3))), device.array(numbers((3, 4)))
    for wrong in (device.empty((4, 2)), device.empty((1, 2, 4)), device.empty((2, 4), "float16"), device.empty(8),
                  device.empty(())):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            device.gemm(a, b, out=wrong)
        assert caught.value.key == "out"
        assert all("(2, 4)" in text and str(wrong.shape) in text for text in caught.value.text)
    with pytest.raises(InvalidPointer):
        device.gemm(a, b, out=np.empty((2, 4), np.float32))


def test_a_layout_that_blas_cannot_read_is_refused_and_copy_packs_it(device):
    host = numbers((6, 8))
    x, square = device.array(host), device.array(numbers((4, 4), seed=1))
    with pytest.raises(ShapeError) as caught:
        device.gemm(x[:, ::2], square)
    assert caught.value.key == "layout" and "device.copy" in caught.value.text.en
    agree(device.gemm(device.copy(x[:, ::2]), square), product(host[:, ::2], numbers((4, 4), seed=1)))
    with pytest.raises(ShapeError) as caught:
        device.gemm(square, square, out=device.empty((4, 8))[:, ::2])
    assert caught.value.key == "layout"


def test_sizes_beyond_what_rocblas_can_count_are_refused():
    one = np.dtype(np.int8)
    wide_row, tall = Layout.of_packed((1, 2**31), one), Layout.of_packed((2**31, 1), one)
    small = Layout.of_packed((1, 1), one)
    far = Layout.of((2, 3), (2**31, 1), one)  # two rows of a very wide matrix
    for a, b in ((wide_row, tall), (tall, small), (small, wide_row), (far, Layout.of_packed((3, 1), one))):
        with pytest.raises(ShapeError) as caught:
            plan_gemm(a, b, False, False, None)
        assert caught.value.key == "overflow" and "2,147,483,647" in caught.value.text.ja


def test_out_over_an_operand_is_refused(device):
    x, big = device.array(numbers((4, 4)), "x"), device.array(numbers((8, 4)), "big")
    for call in (
        lambda: device.gemm(x, x, out=x), lambda: device.gemm(x, big[:4], out=x), lambda: device.gemm(big[:4], x, out=x),
        lambda: device.gemm(big[0:4], big[4:8], out=big[2:6]), lambda: device.gemm(x.T, big[4:], out=x),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            call()
        assert caught.value.key == "alias"
    assert np.array_equal(x.numpy(), numbers((4, 4)))
    halves = device.array(np.concatenate([numbers((4, 4)), np.zeros((4, 4), np.float32)]))
    agree(device.gemm(halves[:4], x, out=halves[4:]), product(numbers((4, 4)), numbers((4, 4))))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "2", None, 1e39, 1j, [1.0]])
def test_alpha_and_beta_are_finite_numbers(device, wrong):
    x = device.array(numbers((2, 2)))
    for name in ("alpha", "beta"):
        with pytest.raises(ShapeError) as caught:
            device.gemm(x, x, out=device.empty((2, 2)), **{name: wrong})
        assert caught.value.name == name


def test_beta_needs_something_to_add_to(device):
    x = device.array(numbers((2, 2)))
    with pytest.raises(ShapeError) as caught:
        device.gemm(x, x, beta=1.0)
    assert caught.value.key == "gemm_beta" and "out=" in caught.value.text.ja


def test_int8_takes_whole_alpha_and_beta_that_fit_int32(device):
    x = device.array(np.ones((2, 2), np.int8))
    for alpha, beta in ((0.5, 0), (1, 1.5), (2**31, 0), (1, -(2**40))):
        with pytest.raises(ShapeError):
            device.gemm(x, x, alpha=alpha, beta=beta, out=device.array(np.zeros((2, 2), np.int32)))
    assert device.gemm(x, x, alpha=3.0).numpy().tolist() == [[6, 6], [6, 6]]


# The problem as rocBLAS is asked, and nothing copied


def test_a_row_major_product_is_asked_of_column_major_rocblas_without_a_copy(device, monkeypatch):
    asked = []
    gemm = device.rocblas.gemm
    monkeypatch.setattr(device.rocblas, "gemm", lambda problem, a, b, c, *rest: (asked.append((problem, a, b, c)), gemm(
        problem, a, b, c, *rest)))  # fmt: skip
    a, b = device.array(numbers((10, 6))), device.array(numbers((7, 6)))
    out = device.empty((10, 9))
    device.gemm(a[2:5], b, transpose_b=True, out=out[1:4, 2:9])
    ((problem, first, second, target),) = asked
    assert problem == GemmProblem(m=7, n=3, k=6, transpose_a=True, transpose_b=False, lda=6, ldb=6, ldc=9)
    assert (first, second, target) == (b.pointer, a[2:5].pointer, out[1:4, 2:9].pointer)


@pytest.mark.parametrize("case", ["plain", "transposes", "leading dimensions", "out", "batch", "views"])
def test_no_copy_of_an_operand_that_blas_can_take_as_it_is(simulator, case):
    n = 512
    x, y = simulator.array(numbers((n, 2 * n))), simulator.array(numbers((n, 2 * n), seed=1))
    batch = simulator.array(numbers((4, n // 2, n)))
    calls = {
        "plain": lambda out: simulator.gemm(x, y.reshape(2 * n, n), out=out),
        "transposes": lambda out: simulator.gemm(x, y, transpose_b=True, out=out),
        "leading dimensions": lambda out: simulator.gemm(x[:, :n], y[:, n:], transpose_a=True, out=out),
        "out": lambda out: simulator.gemm(x[:, :n], y[:, :n], out=out),
        "batch": lambda out: simulator.gemm(batch, batch, transpose_b=True, out=out),
        "views": lambda out: simulator.gemm(x[:, :n].T, y[:, n:].T, out=out),
    }
    whole = simulator.empty((4, n // 2, n) if case == "batch" else (n, 2 * n))
    out = whole[:, :, : n // 2] if case == "batch" else whole[:, n:]
    calls[case](out)
    gc.collect()
    tracemalloc.start()
    try:
        calls[case](out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000  # an operand has a million bytes
