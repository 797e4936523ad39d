"""The simulator's kernel room: the small machines that no library has, each one formula on NumPy.

Kernels compute in float32 and store the type of `y`. T is tokens, C channels, H heads, D the width of a head, S the
positions seen so far, F the width of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from factory.errors import ShapeError
from factory.layout import Tensor
from factory.simulator.hip import Hip


class Kernels:
    """Our own kernels, launched through HIP. Arrays are anything with a pointer and a layout."""

    def __init__(self, hip: Hip) -> None:
        self._hip = hip

    def rms_norm(self, x: Tensor, weight: Tensor, y: Tensor, epsilon: float) -> None:
        """y[t, c] = x[t, c] / sqrt(mean over c of x[t, c]^2 + epsilon) * weight[c]; x and y (T, C), weight (C,).

        Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
        """
        self._launch("rms_norm", _rms_norm, (x, weight), (y,), 4, epsilon)

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
        self._launch("rotary_cache", _rotary_cache, (qkv, cos, sin), (queries, keys, values), 3, position)

    def silu_gate(self, gate_up: Tensor, y: Tensor) -> None:
        """y[t, f] = g / (1 + exp(-g)) * u with g = gate_up[t, f] and u = gate_up[t, F + f]; y (T, F).

        Shazeer 2020, "GLU Variants Improve Transformer" (SwiGLU).
        """
        self._launch("silu_gate", _silu_gate, (gate_up,), (y,), 5)

    def gather(self, table: Tensor, ids: Tensor, y: Tensor) -> None:
        """y[t] = table[ids[t]]; table (V, C), ids int32 (T,), y (T, C). Raises ShapeError for an id not in 0..V-1."""
        self._launch("gather", _gather, (table, ids), (y,), 0)

    def causal_softmax(self, scores: Tensor, y: Tensor, scale: float, position: int) -> None:
        """y[h, t, s] = softmax over s <= position + t of scale scores[h, t, s], and 0 beyond; both (H, T, S)."""
        self._launch("causal_softmax", _causal_softmax, (scores,), (y,), 5, scale, position)

    def copy(self, x: Tensor, y: Tensor) -> None:
        """y = x, element by element, whatever the strides of either."""
        self._launch("copy", _copy, (x,), (y,), 0)

    def pad(self, x: Tensor, y: Tensor, top: int, left: int) -> None:
        """y = x with zeros around it, its first row and column at (top, left); (N, C, H, W)."""
        self._launch("pad", _pad, (x,), (y,), 0, top, left)

    def _launch(
        self,
        name: str,
        kernel: Callable[..., None],
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        operations: int,
        *scalars: float,
    ) -> None:
        """Launch a kernel on the arrays behind the pointers; `operations` is counted for each element of the first
        output."""
        call = f"hipModuleLaunchKernel({name})"
        view = self._hip.view
        arrays = [view(tensor.pointer, tensor.layout, call) for tensor in inputs]
        arrays += [view(tensor.pointer, tensor.layout, call, write=True) for tensor in outputs]
        layout = outputs[0].layout
        # A kernel reads its inputs once; of a table (gather, rotary) only what it needs for what it writes.
        nbytes = layout.nbytes + sum(min(tensor.layout.nbytes, 2 * layout.nbytes) for tensor in inputs)
        self._hip.launch(
            "kernels", call, layout, operations * layout.elements, nbytes, lambda: kernel(*arrays, *scalars)
        )


def _float32(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.itemsize != 2 else array.astype(np.float32)


def _rms_norm(x: np.ndarray, weight: np.ndarray, y: np.ndarray, epsilon: float) -> None:
    x, weight = _float32(x), _float32(weight)
    squares = np.einsum("tc,tc->t", x, x)
    squares *= np.float32(1 / x.shape[1])
    squares += np.float32(epsilon)
    np.sqrt(squares, out=squares)
    if y.dtype == np.float32:
        np.divide(x, squares[:, None], out=y)
        np.multiply(y, weight, out=y)
    else:
        y[...] = x / squares[:, None] * weight


def _rotary_cache(
    qkv: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    position: int,
) -> None:
    tokens, (heads, shared) = len(qkv), (len(queries), len(keys))
    rows = slice(position, position + tokens)
    half = cos.shape[1]
    turning = _float32(qkv[:, : heads + shared])
    a, b = turning[..., :half], turning[..., half:]
    c, s = (_float32(table[rows])[:, None] for table in (cos, sin))
    turned = np.empty(turning.shape, np.float32)
    np.subtract(a * c, b * s, out=turned[..., :half])
    np.add(b * c, a * s, out=turned[..., half:])
    by_head = turned.transpose(1, 0, 2)
    queries[...] = by_head[:heads]
    keys[:, rows] = by_head[heads:]
    values[:, rows] = qkv[:, heads + shared :].transpose(1, 0, 2)


_FLAT = np.float32(-80)  # exp(80) still fits float32, and SiLU(-80) is 0 to 33 digits


def _silu_gate(gate_up: np.ndarray, y: np.ndarray) -> None:
    width = y.shape[1]
    gate, up = _float32(gate_up[:, :width]), _float32(gate_up[:, width:])
    t = np.maximum(gate, _FLAT)
    np.negative(t, out=t)
    np.exp(t, out=t)
    t += np.float32(1)
    np.divide(gate, t, out=t)
    np.multiply(t, up, out=y, casting="same_kind")


def _gather(table: np.ndarray, ids: np.ndarray, y: np.ndarray) -> None:
    if ids.min() < 0 or ids.max() >= len(table):
        wrong = ids[(ids < 0) | (ids >= len(table))][0]
        raise ShapeError("ids", call="gather", last=len(table) - 1, got=int(wrong))
    y[...] = table[ids]


@lru_cache(maxsize=8)
def _future(tokens: int, seen: int, position: int) -> np.ndarray:
    """Minus infinity where a token would look ahead: (T, S)."""
    ahead = np.arange(seen) > position + np.arange(tokens)[:, None]
    return np.where(ahead, np.float32(-np.inf), np.float32(0))


def _causal_softmax(scores: np.ndarray, y: np.ndarray, scale: float, position: int) -> None:
    t = _float32(scores) * np.float32(scale)
    tokens, seen = scores.shape[1:]
    if seen > position + 1:
        t += _future(tokens, seen, position)
    t -= t.max(axis=-1, keepdims=True)
    np.exp(t, out=t)
    t /= t.sum(axis=-1, keepdims=True)
    y[...] = t


def _copy(x: np.ndarray, y: np.ndarray) -> None:
    y[...] = x


def _pad(x: np.ndarray, y: np.ndarray, top: int, left: int) -> None:
    bottom, right = top + x.shape[2], left + x.shape[3]
    y[:, :, :top] = 0
    y[:, :, bottom:] = 0
    y[:, :, top:bottom, :left] = 0
    y[:, :, top:bottom, right:] = 0
    y[:, :, top:bottom, left:right] = x
