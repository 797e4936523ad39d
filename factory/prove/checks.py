"""What a device is held against: NumPy in float64, within what each type allows, operation by operation.

A check gives cases, each a label and a function that runs it. What the function returns says how it went: an error and
its limit, the name of the exception that was wanted, milliseconds, or a record of find.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from factory.array import DeviceArray
from factory.device import ACTIVATIONS, POOLINGS, Device
from factory.errors import DoubleFree, InvalidPointer, LibraryError, OutOfDeviceMemory, ShapeError, UseAfterFree
from factory.problem import DTYPES, FLOATS, ConvolutionProblem

Outcome = dict[str, Any]
Cases = Generator[tuple[str, Callable[[], Outcome]], None, None]
Operation = Callable[[Device, str], Outcome]
LIMITS = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-2, "int32": 0.0}  # relative L2


_NOT_THERE = (2, 14, 15)  # rocblas_status_not_implemented, _excluded_from_build, _arch_mismatch


class Check(NamedTuple):
    """A station of the line, what is checked there, and its cases on a device."""

    station: str
    name: str
    cases: Callable[[Device], Cases]

    @property
    def label(self) -> str:
        """Both names."""
        return f"{self.station}: {self.name}"


def compare(got: Any, want: Any, limit: float | None = None) -> Outcome:
    """The relative L2 error of an array; its limit is that of its type unless given."""
    host = got.numpy() if isinstance(got, DeviceArray) else np.asarray(got)
    got, want = host.astype(np.float64), np.asarray(want).astype(np.float64)
    if got.shape != want.shape:
        raise AssertionError(f"the shape is {got.shape} instead of {want.shape}")
    if not np.isfinite(got).all():
        raise AssertionError("the result holds NaN or infinity")
    error = float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30))
    return {"error": error, "limit": LIMITS[host.dtype.name] if limit is None else limit}


def checks() -> Iterator[Check]:
    """Every operation of a device, at every type that it takes."""
    yield Check("HIP", "copies", _copies)
    yield Check("HIP", "order", _order)
    yield Check("HIP", "memory errors", _memory_errors)
    for dtype, a, b in product((*FLOATS, "int8"), (False, True), (False, True)):
        yield Check("rocBLAS", f"gemm {dtype} {'NT'[a]}{'NT'[b]}", partial(_gemm, dtype, a, b))
    for name, kernel in _KERNELS.items():
        yield Check("kernels", name, partial(_by_type, kernel))
    for mode in ACTIVATIONS:
        yield Check("MIOpen", f"activate {mode}", partial(_by_type, partial(_activate, mode)))
    for mode in POOLINGS:
        yield Check("MIOpen", f"pool {mode}", partial(_by_type, partial(_pool, mode)))
    for name, operation in _OPERATIONS.items():
        yield Check("MIOpen", name, partial(_by_type, operation))
    for dtype, sizes in product(FLOATS, _CONVOLUTIONS):
        problem = ConvolutionProblem(**{**sizes, "dtype": dtype})
        yield Check("MIOpen", f"convolve {problem}", partial(_convolve, problem))


def numbers(shape: int | tuple[int, ...], dtype: str = "float32", seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normal random numbers, rounded to the type; for int8 whole numbers of its whole range."""
    random = np.random.default_rng(seed)
    if dtype == "int8":
        return random.integers(-128, 128, shape, dtype=np.int8)
    return (random.standard_normal(shape) * scale).astype(DTYPES[dtype])


def _wide(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.float64) for array in arrays]


# HIP


def _copies(device: Device) -> Cases:
    def there_and_back(count: int) -> Outcome:
        host = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)
        with device.array(host) as array:
            return {"error": float(np.count_nonzero(array.numpy() != host)), "limit": 0.0}

    for count in (1, 1000, 2**20 + 1, 2**26):
        yield f"{count:,} bytes", partial(there_and_back, count)


def _order(device: Device) -> Cases:
    def chain() -> Outcome:
        x, one = device.array(np.zeros(1000, np.float32)), device.array(np.ones(1000, np.float32))
        for _ in range(100):
            device.add(x, one, out=x)
        return compare(x, np.full(1000, 100.0), 0.0)

    def two_streams() -> Outcome:
        host, back = numbers(2**20), np.empty(2**20, np.float32)
        first, second, event = device.hip.stream_create(), device.hip.stream_create(), device.hip.event_create()
        with device.empty(host.shape) as x, device.empty(host.shape) as y:
            device.hip.memcpy_async(x.pointer, host, host.nbytes, first)
            device.hip.event_record(event, first)
            device.hip.stream_wait_event(second, event)
            device.hip.memcpy_async(y.pointer, x.pointer, host.nbytes, second)
            device.hip.stream_synchronize(second)
            device.hip.memcpy(back, y.pointer, host.nbytes)
        for stream in (first, second):
            device.hip.stream_destroy(stream)
        return compare(back, host, 0.0)

    yield "100 additions in place", chain
    yield "a copy that waits for another stream", two_streams


def _memory_errors(device: Device) -> Cases:
    hip = device.hip
    host = np.zeros(64, np.uint8)

    def freed_twice() -> None:
        pointer = hip.malloc(64)
        hip.free(pointer)
        hip.free(pointer)

    def used_after_free() -> None:
        array = device.array(host)
        array.free()
        array.numpy()

    def out_of_range() -> None:
        pointer = hip.malloc(32)
        try:
            hip.memcpy(host, pointer, 64)
        finally:
            hip.free(pointer)

    def too_much() -> None:
        hip.malloc(2 * hip.mem_get_info()[1])

    wanted: dict[str, tuple[type[Exception], Callable[[], object]]] = {
        "freed twice": (DoubleFree, freed_twice),
        "used after free": (UseAfterFree, used_after_free),
        "another's address": (InvalidPointer, lambda: hip.memcpy(host, 4096, 64)),
        "out of range": (InvalidPointer, out_of_range),
        "out of memory": (OutOfDeviceMemory, too_much),
        "mixed types": (ShapeError, lambda: device.add(device.array(numbers(4)), device.array(numbers(4, "float16")))),
    }
    for label, (kind, call) in wanted.items():
        yield label, partial(_raised, kind, call)


def _raised(kind: type[Exception], call: Callable[[], object]) -> Outcome:
    try:
        call()
    except kind:
        return {"raised": kind.__name__}
    raise AssertionError(f"{kind.__name__} was not raised")


# rocBLAS


def _gemm(dtype: str, transpose_a: bool, transpose_b: bool, device: Device) -> Cases:
    def case(batch: tuple[int, ...], m: int, n: int, k: int, alpha: float, beta: float, gap: int) -> Outcome:
        a = numbers((*batch, *((k, m + gap) if transpose_a else (m, k + gap))), dtype)
        b = numbers((*batch, *((n, k + gap) if transpose_b else (k, n + gap))), dtype, 1)
        result = "int32" if dtype == "int8" else dtype
        c = numbers((*batch, m, n + gap), "int8" if dtype == "int8" else dtype, 2).astype(DTYPES[result])
        before = (slice(None),) * (len(batch) + 1)
        of_a, of_b, of_c = ((*before, slice(0, size)) for size in (m if transpose_a else k, k if transpose_b else n, n))
        whole = device.array(c)
        views = (device.array(a)[of_a], device.array(b)[of_b])
        got = device.gemm(*views, transpose_a, transpose_b, alpha, beta, out=whole[of_c])
        left, right = (
            np.swapaxes(x, -1, -2) if transposed else x
            for x, transposed in zip(_wide(a[of_a], b[of_b]), (transpose_a, transpose_b), strict=True)
        )
        outcome = compare(got, alpha * (left @ right) + beta * c[of_c].astype(np.float64))
        if whole.numpy()[..., n:].tobytes() != c[..., n:].tobytes():
            raise AssertionError("what lies between the rows of the result was overwritten")
        return outcome

    if refused := device.rocblas.refused.get(dtype):
        yield "tried when the device was opened", lambda: lacking(refused)
        return
    for m, n, k in ((1, 1, 1), (7, 5, 3), (64, 64, 64), (33, 129, 257), (1, 512, 2048)):
        yield f"{m} x {n} x {k}", partial(case, (), m, n, k, 1.0, 0.0, 0)
    yield "scaled and added", partial(case, (), 33, 65, 17, 2.0, -1.0, 0)
    yield "rows with gaps", partial(case, (), 33, 65, 17, 1.0, 1.0, 3)
    yield "batch of 3", partial(case, (3,), 20, 30, 40, 1.0, 0.0, 0)
    yield "batch of 3, rows with gaps", partial(case, (3,), 20, 30, 40, 1.0, 1.0, 3)


def lacking(error: LibraryError) -> Outcome:
    """What rocBLAS says that it does not have is not here; any other error is one."""
    call, code = (error.fields.get(name) for name in ("call", "code"))
    missing = str(call).startswith("rocblas") and code in _NOT_THERE
    return {"missing" if missing else "exception": error.text.en}


# Kernels and MIOpen, type by type


def _by_type(operation: Operation, device: Device) -> Cases:
    for dtype in FLOATS:
        yield dtype, partial(operation, device, dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _rms_norm(device: Device, dtype: str) -> Outcome:
    x, weight = numbers((5, 300), dtype), numbers(300, dtype, 1)
    wide, by = _wide(x, weight)
    want = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-5) * by
    return compare(device.rms_norm(device.array(x), device.array(weight), 1e-5), want)


def _rotary_cache(device: Device, dtype: str) -> Outcome:
    tokens, heads, shared, width, positions, start = 3, 4, 2, 16, 12, 5
    qkv = numbers((tokens, heads + 2 * shared, width), dtype)
    angles = np.outer(np.arange(positions), 10_000.0 ** (-np.arange(0, width, 2) / width))
    cos, sin = (table.astype(DTYPES[dtype]) for table in (np.cos(angles), np.sin(angles)))
    old = numbers((2, shared, positions, width), dtype, 1)
    keys, values = (device.array(half) for half in old)
    queries = device.rotary_cache(device.array(qkv), device.array(cos), device.array(sin), keys, values, start)
    wide, c, s = _wide(qkv, cos, sin)
    turn = (c + 1j * s)[start : start + tokens, None]  # each pair of numbers is a complex one, turned
    turned = (wide[..., : width // 2] + 1j * wide[..., width // 2 :]) * turn
    rows = np.concatenate((turned.real, turned.imag), -1)
    want_keys, want_values = _wide(*old)
    want_keys[:, start : start + tokens] = rows[:, heads : heads + shared].transpose(1, 0, 2)
    want_values[:, start : start + tokens] = wide[:, heads + shared :].transpose(1, 0, 2)
    outcomes = [
        compare(got, want)
        for got, want in ((queries, rows[:, :heads].transpose(1, 0, 2)), (keys, want_keys), (values, want_values))
    ]
    return max(outcomes, key=lambda outcome: outcome["error"])


def _silu_gate(device: Device, dtype: str) -> Outcome:
    x = numbers((5, 2 * 77), dtype, scale=3)
    gate, up = np.split(x.astype(np.float64), 2, 1)
    return compare(device.silu_gate(device.array(x)), gate * _sigmoid(gate) * up)


def _gather(device: Device, dtype: str) -> Outcome:
    table, ids = numbers((50, 33), dtype), np.array([0, 49, 7, 7, 30], np.int32)
    return compare(device.gather(device.array(table), device.array(ids)), table[ids], 0.0)


def _causal_softmax(device: Device, dtype: str) -> Outcome:
    scores, position = numbers((2, 4, 40), dtype, scale=4), 20
    seen = np.arange(40) <= position + np.arange(4)[:, None]
    want = _softmax(np.where(seen, 0.25 * scores.astype(np.float64), -np.inf))
    return compare(device.causal_softmax(device.array(scores), 0.25, position), want)


def _copy(device: Device, dtype: str) -> Outcome:
    x = numbers((6, 7, 8), dtype)
    return compare(device.copy(device.array(x)[1:5:2].transpose(2, 0, 1)), x[1:5:2].transpose(2, 0, 1), 0.0)


def _pad(device: Device, dtype: str) -> Outcome:
    x = numbers((2, 3, 5, 4), dtype)
    want = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 2), (0, 3)))
    return compare(device.pad(device.array(x), (1, 2, 0, 3)), want, 0.0)


_KERNELS: dict[str, Operation] = {
    "rms_norm": _rms_norm, "rotary_cache": _rotary_cache, "silu_gate": _silu_gate, "gather": _gather,
    "causal_softmax": _causal_softmax, "copy": _copy, "pad": _pad,
}  # fmt: skip


def _activate(mode: str, device: Device, dtype: str) -> Outcome:
    x = numbers((3, 4, 5, 6), dtype, scale=3)
    wide, alpha, beta, gamma = x.astype(np.float64), 0.5, 1.5, 2.0
    base = alpha + beta * wide
    want = {
        "pasthru": wide, "logistic": _sigmoid(wide), "tanh": beta * np.tanh(alpha * wide), "relu": np.maximum(wide, 0),
        "softrelu": np.logaddexp(0, wide), "abs": np.abs(wide), "power": np.where(base > 0, np.abs(base) ** gamma, 0),
        "clippedrelu": np.clip(wide, 0, alpha), "leakyrelu": np.where(wide > 0, wide, alpha * wide),
        "elu": np.where(wide > 0, wide, alpha * np.expm1(np.minimum(wide, 0))),
    }[mode]  # fmt: skip
    return compare(device.activate(device.array(x), mode, alpha, beta, gamma), want)


def _pool(mode: str, device: Device, dtype: str) -> Outcome:
    x, (window, pad, stride) = numbers((2, 3, 13, 11), dtype), (3, 1, 2)
    around = np.full((2, 3, 15, 13), np.nan)
    around[:, :, pad:-pad, pad:-pad] = x
    cells = np.lib.stride_tricks.sliding_window_view(around, (window, window), (2, 3))[:, :, ::stride, ::stride]
    want = np.nanmax(cells, (4, 5)) if mode == "max" else np.nansum(cells, (4, 5))
    if mode != "max":
        want = want / (np.isfinite(cells).sum((4, 5)) if mode == "average" else window**2)
    return compare(device.pool(device.array(x), mode, (window,) * 2, (pad,) * 2, (stride,) * 2), want)


def _batch_norm(device: Device, dtype: str) -> Outcome:
    x, scale, bias, mean = numbers((3, 5, 4, 6), dtype), *(numbers(5, dtype, seed) for seed in (1, 2, 3))
    variance = (np.abs(numbers(5, dtype, 9)) + 0.1).astype(DTYPES[dtype])
    wide, *vectors = _wide(x, scale, bias, mean, variance)
    s, b, m, v = (vector[:, None, None] for vector in vectors)
    by, plus, centre, spread = (device.array(vector) for vector in (scale, bias, mean, variance))
    got = device.batch_norm(device.array(x), by, plus, centre, spread, 1e-3)
    return compare(got, s * (wide - m) / np.sqrt(v + 1e-3) + b)


def _op_tensor(name: str, device: Device, dtype: str) -> Outcome:
    a, b = numbers((2, 3, 4, 5), dtype), numbers((3, 1, 1), dtype, 1)
    wide_a, wide_b = _wide(a, b)
    want = wide_a + wide_b if name == "add" else wide_a * wide_b
    return compare(getattr(device, name)(device.array(a), device.array(b)), want)


def _device_softmax(device: Device, dtype: str) -> Outcome:
    x = numbers((2, 3, 500), dtype, scale=4)
    return compare(device.softmax(device.array(x)), _softmax(x.astype(np.float64)))


_OPERATIONS: dict[str, Operation] = {
    "softmax": _device_softmax, "batch_norm": _batch_norm, "add": partial(_op_tensor, "add"),
    "multiply": partial(_op_tensor, "multiply"),
}  # fmt: skip

_CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    {"n": 1, "c": 3, "h": 8, "w": 8, "k": 4, "r": 3, "s": 3, "pad": (1, 1)},
    {"n": 2, "c": 8, "h": 9, "w": 7, "k": 6, "r": 1, "s": 1},
    {"n": 1, "c": 4, "h": 11, "w": 10, "k": 6, "r": 5, "s": 3, "pad": (2, 0), "stride": (2, 3)},
    {"n": 2, "c": 6, "h": 9, "w": 9, "k": 6, "r": 3, "s": 3, "pad": (1, 2), "groups": 6},
    {"n": 1, "c": 8, "h": 9, "w": 12, "k": 4, "r": 3, "s": 3, "pad": (2, 2), "dilation": (2, 2), "groups": 2},
    {"n": 2, "c": 32, "h": 14, "w": 14, "k": 64, "r": 3, "s": 3, "pad": (1, 1)},
)


def _convolve(problem: ConvolutionProblem, device: Device) -> Cases:
    """By every solver that find offers, in an order that does not change with their times: after a failure another
    process goes on with the next."""
    x, w = numbers(problem.x_shape, problem.dtype), numbers(problem.w_shape, problem.dtype, 1)
    want = convolved(problem, x, w)
    found = sorted(device.find(problem), key=lambda solution: solution.solver)
    if not found:
        raise AssertionError("find offers no solver")
    for solution in found:
        yield (
            solution.solver,
            lambda solution=solution: compare(  # type: ignore[misc]
                device.convolve(device.array(x), device.array(w), problem, solution), want
            ),
        )


def convolved(problem: ConvolutionProblem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A convolution by its definition, in float64."""
    p = problem
    x, w = _wide(x, w)
    around = np.pad(x, ((0, 0), (0, 0), (p.pad[0],) * 2, (p.pad[1],) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(around, p.window, (2, 3))
    cells = windows[:, :, :: p.stride[0], :: p.stride[1], :: p.dilation[0], :: p.dilation[1]]
    parts = zip(np.split(cells, p.groups, 1), np.split(w, p.groups), strict=True)
    return np.concatenate([np.einsum("nchwrs,kcrs->nkhw", part, part_w) for part, part_w in parts], 1)
