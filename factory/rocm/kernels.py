"""The kernel room: our own small machines in kernels.hip, launched through HIP. Formulas stand in the source.

What a launch is made of beside its pointers follows from layouts and scalars alone, and is planned once for each.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from factory.errors import ShapeError
from factory.layout import Layout, Tensor
from factory.rocm.compiler import code_object
from factory.rocm.hip import Hip
from factory.rocm.libraries import check

_THREADS = 256  # in a block, at most; as much shared memory as the reductions have
_ROWS = 65535  # blocks in the second dimension of a grid, at most
_DIMENSIONS = 8  # of an array that one copy walks over
_LARGEST_COPY = 1 << 31  # elements of one copy
_POINTERS = [struct.Struct(f"{count}Q") for count in range(8)]


class Launch(NamedTuple):
    """A launch without its pointers: kernel, blocks, threads of a block, scalars packed as C has them, and figures."""

    kernel: str
    call: str
    grid: tuple[int, int]
    threads: int
    scalars: bytes
    operations: int
    nbytes: int


class Kernels:
    """Our own kernels, launched through HIP. Arrays are anything with a pointer and a layout."""

    def __init__(self, hip: Hip) -> None:
        self._hip = hip
        self._functions: dict[str, Any] = {}
        self._module: Any = None
        self._code = b""  # must live as long as the module
        self._fault: Any = None
        self._fault_pointer = 0
        # What hipModuleLaunchKernel takes for arguments packed in a row: HIP_LAUNCH_PARAM_BUFFER_POINTER, _SIZE, _END.
        self._start = hip.api.raw("hipModuleLaunchKernel")
        memory = ctypes.create_string_buffer(512)
        self._arguments = memoryview(memory).cast("B")
        self._size = ctypes.c_size_t()
        self._extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(memory), 2, ctypes.addressof(self._size), 3)

    def rms_norm(self, x: Tensor, weight: Tensor, y: Tensor, epsilon: float) -> None:
        """y[t, c] = x[t, c] / sqrt(mean over c of x[t, c]^2 + epsilon) * weight[c]; x and y (T, C), weight (C,).

        Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
        """
        self._launch(_rms_norm(x.layout, weight.layout, y.layout, epsilon), x, weight, y)

    def rotary_cache(
        self,
        qkv: Tensor,
        cos: Tensor,
        sin: Tensor,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        position: int,
    ) -> None:
        """Turn queries and keys by their positions, and append keys and values to the cache.

        qkv (T, H + 2 K, D) holds H queries, K keys and K values of each token; queries (H, T, D) receives the turned
        queries, keys and values (K, positions, D) this call's rows from `position` on. Rotary embedding, half-split:
        with a, b the halves of a head and the angles of position + t, it is (a cos - b sin, b cos + a sin); cos and
        sin are (positions, D / 2). Su et al. 2021, "RoFormer", in the layout of Hugging Face's Llama.
        """
        arrays = (qkv, cos, sin, queries, keys, values)
        self._launch(_rotary_cache(*(array.layout for array in arrays), position), *arrays, result=3)

    def silu_gate(self, gate_up: Tensor, y: Tensor) -> None:
        """y[t, f] = g / (1 + exp(-g)) * u with g = gate_up[t, f] and u = gate_up[t, F + f]; y (T, F).

        Shazeer 2020, "GLU Variants Improve Transformer" (SwiGLU).
        """
        self._launch(_silu_gate(gate_up.layout, y.layout), gate_up, y)

    def gather(self, table: Tensor, ids: Tensor, y: Tensor) -> None:
        """y[t] = table[ids[t]]; table (V, C), ids int32 (T,), y (T, C).

        The next wait raises ShapeError for an id not in 0..V-1, whose row of y keeps what was there.
        """
        if self._fault is None:
            self._watch()
        self._launch(_gather(table.layout, ids.layout, y.layout), table, ids, y, more=(self._fault_pointer,))

    def causal_softmax(self, scores: Tensor, y: Tensor, scale: float, position: int) -> None:
        """y[h, t, s] = softmax over s <= position + t of scale scores[h, t, s], and 0 beyond; both (H, T, S)."""
        self._launch(_causal_softmax(scores.layout, y.layout, scale, position), scores, y)

    def copy(self, x: Tensor, y: Tensor) -> None:
        """y = x, element by element, whatever the strides of either; between float32 and a 16-bit type it converts."""
        for launch, offsets in _copy(x.layout, y.layout):
            self._launch(launch, x, y, offsets=offsets)

    def pad(self, x: Tensor, y: Tensor, top: int, left: int) -> None:
        """y = x with zeros around it, its first row and column at (top, left); (N, C, H, W)."""
        self._launch(_pad(x.layout, y.layout, top, left), x, y)

    def _launch(
        self, launch: Launch, *tensors: Tensor, result: int = -1, more: tuple[int, ...] = (),
        offsets: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        """Launch a kernel on some arrays, of which `result` is the one that the timeline shows."""
        locate, call = self._hip.ledger.locate, launch.call
        pointers = []
        for tensor in tensors:
            pointers.append(tensor.pointer)
            locate(pointers[-1], tensor.layout.span, call)
        if offsets:
            pointers = [pointer + offset for pointer, offset in zip(pointers, offsets, strict=True)]
        function = self._functions.get(launch.kernel) or self._function(launch.kernel)
        front = _POINTERS[len(pointers) + len(more)].pack(*pointers, *more)
        packed, (across, down) = front + launch.scalars, launch.grid

        def work() -> None:
            self._size.value = len(packed)
            self._arguments[: len(packed)] = packed
            status = self._start(
                function, across, down, 1, launch.threads, 1, 1, 0, self._hip.stream, None, self._extra
            )[0]
            if status:
                check("hipModuleLaunchKernel", status, self._hip.api.words, self._hip.api.gpu)

        self._hip.launch("kernels", call, tensors[result].layout, launch.operations, launch.nbytes, work)

    def _function(self, kernel: str) -> Any:
        self._hip.enter()
        api = self._hip.api
        if self._module is None:
            self._code = code_object(self._hip.arch, api.gpu)
            self._module = api.hipModuleLoadData(self._code)
            self._hip.closing.callback(api.hipModuleUnload, self._module)
        self._functions[kernel] = api.hipModuleGetFunction(self._module, kernel.encode())
        return self._functions[kernel]

    # Ids that are not in the table

    def _watch(self) -> None:
        """Make the three numbers in the host's memory by which `gather` tells of an id that is not in the table."""
        self._hip.enter()
        pinned = self._hip.api.hipHostMalloc(12, 0)
        self._hip.closing.callback(self._hip.api.hipHostFree, pinned)
        self._fault_pointer = int(self._hip.api.hipHostGetDevicePointer(pinned, 0))
        self._fault = (ctypes.c_int32 * 3).from_address(int(pinned))
        self._fault[0] = 0
        self._hip.after_wait = self._raise_fault
        self._hip.closing.callback(self._unwatch)  # runs before hipHostFree

    def _unwatch(self) -> None:
        self._hip.after_wait = lambda: None

    def _raise_fault(self) -> None:
        if self._fault[0]:
            self._fault[0] = 0
            raise ShapeError("ids", call="gather", last=self._fault[2], got=self._fault[1])


def _planned(
    name: str, suffix: str, inputs: tuple[Layout, ...], y: Layout, operations: int, grid: tuple[int, int],
    threads: int, scalars: bytes,
) -> Launch:  # fmt: skip
    """A launch; `operations` is counted for each element of y."""
    # A kernel reads its inputs once; of a table (gather, rotary) only what it needs for what it writes.
    nbytes = y.nbytes + sum(min(x.nbytes, 2 * y.nbytes) for x in inputs)
    call = f"hipModuleLaunchKernel({name})"
    return Launch(f"{name}_{suffix}", call, grid, threads, scalars, operations * y.elements, nbytes)


def _bits(layout: Layout) -> str:
    return str(8 * layout.dtype.itemsize)


def _threads(wanted: int) -> int:
    """Threads for a block that has so much to do: a power of two."""
    return min(_THREADS, max(64, 1 << (wanted - 1).bit_length()))


@lru_cache(maxsize=4096)
def _rms_norm(x: Layout, weight: Layout, y: Layout, epsilon: float) -> Launch:
    rows, columns = x.shape
    scalars = struct.pack("6qf", columns, *x.strides, *weight.strides, *y.strides, epsilon)
    return _planned("rms_norm", x.dtype.name, (x, weight), y, 4, (rows, 1), _threads(columns), scalars)


@lru_cache(maxsize=4096)
def _rotary_cache(
    qkv: Layout, cos: Layout, sin: Layout, queries: Layout, keys: Layout, values: Layout, position: int
) -> Launch:
    tokens, heads, width = qkv.shape
    sizes = (queries.shape[0], keys.shape[0], width // 2, position)
    strides = [stride for layout in (qkv, cos, sin, queries, keys, values) for stride in layout.strides]
    return _planned(
        "rotary_cache", qkv.dtype.name, (qkv, cos, sin), queries, 3, (tokens, heads), 64,
        struct.pack("4i16q", *sizes, *strides),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _silu_gate(x: Layout, y: Layout) -> Launch:
    rows, columns = y.shape
    grid = (-(-columns // _THREADS), min(rows, _ROWS))
    scalars = struct.pack("6q", rows, columns, *x.strides, *y.strides)
    return _planned("silu_gate", x.dtype.name, (x,), y, 5, grid, _THREADS, scalars)


@lru_cache(maxsize=4096)
def _gather(table: Layout, ids: Layout, y: Layout) -> Launch:
    tokens, columns = y.shape
    grid = (-(-columns // _THREADS), min(tokens, _ROWS))
    scalars = struct.pack("8q", table.shape[0], tokens, columns, *table.strides, *ids.strides, *y.strides)
    return _planned("gather", _bits(table), (table, ids), y, 0, grid, _THREADS, scalars)


@lru_cache(maxsize=4096)
def _causal_softmax(x: Layout, y: Layout, scale: float, position: int) -> Launch:
    heads, tokens, seen = x.shape
    scalars = struct.pack("8qf", seen, position, *x.strides, *y.strides, scale)
    return _planned("causal_softmax", x.dtype.name, (x,), y, 5, (tokens, heads), _threads(seen), scalars)


@lru_cache(maxsize=4096)
def _pad(x: Layout, y: Layout, top: int, left: int) -> Launch:
    n, channels, x_height, x_width = x.shape
    y_height, y_width = y.shape[2:]
    sizes = (channels, x_height, x_width, y_height, y_width, top, left)
    scalars = struct.pack("7I8q", *sizes, *x.strides, *y.strides)
    return _planned("pad", _bits(x), (x,), y, 0, (n * channels * y_height, 1), _threads(y_width), scalars)


@lru_cache(maxsize=4096)
def _copy(x: Layout, y: Layout) -> tuple[tuple[Launch, tuple[int, ...]], ...]:
    """The copies that do a copy, nearly always one, with the bytes at which each starts in x and in y if not at 0."""
    return tuple(_copies(x, y, _walk(x, y), 0, 0))


def _copies(
    x: Layout, y: Layout, walk: list[tuple[int, int, int]], from_x: int, from_y: int
) -> Iterator[tuple[Launch, tuple[int, ...]]]:
    elements = prod(size for size, _, _ in walk)
    if len(walk) > _DIMENSIONS or elements > _LARGEST_COPY:
        at = max(range(len(walk)), key=lambda axis: walk[axis][0]) if len(walk) <= _DIMENSIONS else 0
        size, step_x, step_y = walk[at]
        # Too many elements: two halves along the longest dimension. Too many dimensions: one after the other.
        each = -(-size // 2) if len(walk) <= _DIMENSIONS else 1
        for start in range(0, size, each):
            part = [(min(each, size - start), step_x, step_y)] if each > 1 else []
            offset_x, offset_y = start * step_x * x.dtype.itemsize, start * step_y * y.dtype.itemsize
            yield from _copies(x, y, [*walk[:at], *part, *walk[at + 1 :]], from_x + offset_x, from_y + offset_y)
        return
    sizes, steps_x, steps_y = (
        [*(axis[i] for axis in reversed(walk)), *[0] * (_DIMENSIONS - len(walk))] for i in range(3)
    )
    scalars = struct.pack("Ii8I16q", elements, len(walk), *sizes, *steps_x, *steps_y)
    suffix = _bits(x) if x.dtype == y.dtype else f"{x.dtype.name}_{y.dtype.name}"
    share = Layout.of_packed((elements,), y.dtype)
    yield (
        _planned("copy", suffix, (Layout.of_packed((elements,), x.dtype),), share, 0, (-(-elements // _THREADS), 1),
                 _THREADS, scalars),
        (from_x, from_y) if from_x or from_y else (),
    )  # fmt: skip


def _walk(x: Layout, y: Layout) -> list[tuple[int, int, int]]:
    """Sizes and strides of both arrays, dimension by dimension, those that follow each other without a gap as one."""
    walk: list[tuple[int, int, int]] = []
    for size, step_x, step_y in zip(x.shape, x.strides, y.strides, strict=True):
        if size == 1:
            continue
        if walk and walk[-1][1:] == (size * step_x, size * step_y):
            walk[-1] = (walk[-1][0] * size, step_x, step_y)
        else:
            walk.append((size, step_x, step_y))
    return walk
