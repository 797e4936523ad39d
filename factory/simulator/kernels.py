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
        self._launch("rms_norm", _rms_norm, (x, weight), y, 4, epsilon)

    def rotary(self, x: Tensor, cos: Tensor, sin: Tensor, y: Tensor, position: int) -> None:
        """Rotary embedding, half-split: with a, b the halves of x[h, t] and the angles of position + t,
        y[h, t] = (a cos - b sin, b cos + a sin); x and y (H, T, D), cos and sin (positions, D / 2).

        Su et al. 2021, "RoFormer", in the layout of Hugging Face's Llama.
        """
        self._launch("rotary", _rotary, (x, cos, sin), y, 3, position)

    def silu_gate(self, gate_up: Tensor, y: Tensor) -> None:
        """y[t, f] = g / (1 + exp(-g)) * u with g = gate_up[t, f] and u = gate_up[t, F + f]; y (T, F).

        Shazeer 2020, "GLU Variants Improve Transformer" (SwiGLU).
        """
        self._launch("silu_gate", _silu_gate, (gate_up,), y, 5)

    def gather(self, table: Tensor, ids: Tensor, y: Tensor) -> None:
        """y[t] = table[ids[t]]; table (V, C), ids int32 (T,), y (T, C). Raises ShapeError for an id not in 0..V-1."""
        self._launch("gather", _gather, (table, ids), y, 0)

    def causal_softmax(self, scores: Tensor, y: Tensor, scale: float, position: int) -> None:
        """y[h, t, s] = softmax over s <= position + t of scale scores[h, t, s], and 0 beyond; both (H, T, S)."""
        self._launch("causal_softmax", _causal_softmax, (scores,), y, 5, scale, position)

    def copy(self, x: Tensor, y: Tensor) -> None:
        """y = x, element by element, whatever the strides of either."""
        self._launch("copy", _copy, (x,), y, 0)

    def pad(self, x: Tensor, y: Tensor, top: int, left: int) -> None:
        """y = x with zeros around it, its first row and column at (top, left); (N, C, H, W)."""
        self._launch("pad", _pad, (x,), y, 0, top, left)

    def _launch(
        self, name: str, kernel: Callable[..., None], inputs: tuple[Tensor, ...], y: Tensor, operations: int,
        *scalars: float,
    ) -> None:  # fmt: skip
        """Launch a kernel on the arrays behind the pointers; `operations` is counted for each element of y."""
        call = f"hipModuleLaunchKernel({name})"
        arrays = [self._hip.view(tensor.pointer, tensor.layout, call) for tensor in inputs]
        target = self._hip.view(y.pointer, y.layout, call, write=True)
        # A kernel reads its inputs once; of a table (gather, rotary) only what y needs.
        written = y.layout.nbytes
        nbytes = written + sum(min(tensor.layout.nbytes, 2 * written) for tensor in inputs)

        def work() -> None:
            kernel(*arrays, target, *scalars)

        self._hip.launch("kernels", call, y.layout, operations * y.layout.elements, nbytes, work)


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


def _rotary(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, y: np.ndarray, position: int) -> None:
    tokens, half = x.shape[1], x.shape[2] // 2
    cos, sin = (_float32(table[position : position + tokens]) for table in (cos, sin))
    a, b = _float32(x[..., :half]), _float32(x[..., half:])
    y[..., :half] = a * cos - b * sin
    y[..., half:] = b * cos + a * sin


def _silu_gate(gate_up: np.ndarray, y: np.ndarray) -> None:
    width = y.shape[1]
    gate, up = _float32(gate_up[:, :width]), _float32(gate_up[:, width:])
    with np.errstate(over="ignore"):  # exp(-g) = inf gives the right limit, 0
        t = np.exp(np.negative(gate))
    t += np.float32(1)
    np.divide(gate, t, out=t)
    t *= up
    y[...] = t


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
