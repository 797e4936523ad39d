"""Layout: where the elements of an array lie from its pointer on. It is MIOpen's tensor descriptor."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple, Protocol

import numpy as np

Shape = tuple[int, ...]


class Layout:
    """Shape, strides (in elements) and dtype of an array, and what follows from them.

    `Layout.of` gives the same object for the same layout, and its hash is computed once, so that what was checked or
    planned for a layout is found again in a fraction of a microsecond.
    """

    __slots__ = ("_hash", "byte_strides", "dtype", "elements", "nbytes", "packed", "shape", "span", "strides")

    def __init__(self, shape: Shape, strides: Shape, dtype: np.dtype) -> None:
        size = dtype.itemsize
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.elements = prod(shape)
        self.nbytes = self.elements * size
        self.byte_strides = tuple(stride * size for stride in strides)
        # Bytes from the first element to the end of the last, gaps included.
        self.span = sum((n - 1) * stride for n, stride in zip(shape, self.byte_strides, strict=True)) + size
        # The stride of a size of 1 never counts.
        self.packed = all(n == 1 or a == b for n, a, b in zip(shape, strides, packed_strides(shape), strict=True))
        self._hash = hash((shape, strides, dtype))

    @staticmethod
    def of(shape: Shape, strides: Shape, dtype: np.dtype) -> Layout:
        """The layout with these strides."""
        return _known(shape, strides, dtype)

    @staticmethod
    def of_packed(shape: Shape, dtype: np.dtype) -> Layout:
        """The row-major layout without gaps."""
        return _known(shape, packed_strides(shape), dtype)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Layout)
            and (self.shape, self.strides, self.dtype) == (other.shape, other.strides, other.dtype)
        )

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'scalar'} {self.dtype.name}"

    def __repr__(self) -> str:
        return f"<Layout {self.shape}, strides {self.strides}, {self.dtype.name}>"


@lru_cache(maxsize=65536)
def _known(shape: Shape, strides: Shape, dtype: np.dtype) -> Layout:
    return Layout(shape, strides, dtype)


def packed_strides(shape: Shape) -> Shape:
    """The strides, in elements, of a row-major array without gaps."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return tuple(strides)


class Tensor(Protocol):
    """What a wing's rooms take for an array: a device pointer, and the layout of what it points to."""

    @property
    def pointer(self) -> int:
        """Address of the first element."""

    @property
    def layout(self) -> Layout:
        """Where its elements lie."""


class Place(NamedTuple):
    """A tensor of a wing's own making."""

    pointer: int
    layout: Layout
