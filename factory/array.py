"""DeviceArray: a shape, a dtype and a device pointer. It holds no data on the host; copies move data in and out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from factory.errors import DoubleFree, InvalidPointer, ShapeError, UseAfterFree
from factory.layout import Layout, Shape
from factory.memory import Block

if TYPE_CHECKING:
    from factory.device import Device


def _whole(numbers: tuple[Any, ...]) -> Shape | None:
    """Whole numbers that were passed one by one or as one sequence; None where they are something else."""
    given = numbers[0] if len(numbers) == 1 and isinstance(numbers[0], Sequence) else numbers
    try:
        return tuple(int(index(number)) for number in given)
    except TypeError:
        return None


class DeviceArray:
    """An array in a device's memory; views share that memory and keep it alive.

    shape is in elements, strides in elements from one index to the next, dtype a NumPy dtype, pointer the address of
    the first element. Made by `device.array` and `device.empty`.
    """

    __slots__ = ("_block", "_offset", "device", "dtype", "layout", "name", "shape")

    def __init__(self, device: Device, block: Block, offset: int, layout: Layout, name: str) -> None:
        self.device = device
        self._block = block
        self._offset = offset
        self.layout = layout
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.name = name

    @property
    def pointer(self) -> int:
        """Address of the first element; UseAfterFree once the memory was given back."""
        line = self._block.line
        if line.state != "live":
            raise self.stale()
        return line.pointer + self._offset

    @property
    def alive(self) -> bool:
        """Whether its memory was not given back yet."""
        return self._block.line.state == "live"

    def stale(self) -> UseAfterFree:
        """The error for its use after it was freed."""
        line = self._block.line
        return UseAfterFree("freed", name=self.name or line.name, pointer=line.pointer, where=line.where)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, axis by axis."""
        return self.layout.strides

    @property
    def packed(self) -> bool:
        """Whether its elements follow each other without gaps, row by row."""
        return self.layout.packed

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.layout.elements

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.layout.nbytes

    def numpy(self) -> np.ndarray:
        """Wait for what computes it, and copy it to the host as a new NumPy array of the same shape and dtype."""
        return self.device.read(self)

    def write(self, data: np.ndarray) -> DeviceArray:
        """Copy a NumPy array of the same shape and dtype into it."""
        self.device.write(self, data)
        return self

    def free(self) -> None:
        """Give the memory back now, for all its views too; a second time raises DoubleFree."""
        if not self.alive:
            line = self._block.line
            raise DoubleFree("freed", name=self.name or line.name, pointer=line.pointer, where=line.where)
        self.device.memory.release(self._block)

    def same(self, other: DeviceArray) -> bool:
        """Whether the two are the very same elements in the same order."""
        return self._block is other._block and self._offset == other._offset and self.layout == other.layout

    def overlaps(self, other: DeviceArray) -> bool:
        """Whether the two may share bytes (judged by their first and last)."""
        if self._block is not other._block:
            return False
        return self._offset < other._offset + other.layout.span and other._offset < self._offset + self.layout.span

    def reshape(self, *shape: int | Sequence[int]) -> DeviceArray:
        """The same elements in another shape, as a view; one size may be -1. Needs an array without gaps."""
        wanted = _whole(shape)
        final = wanted or ()
        if final.count(-1) == 1:
            known = -prod(final)
            final = tuple(self.size // known if size == -1 and known > 0 else size for size in final)
        if wanted is None or not self.packed or prod(final) != self.size or min(final, default=1) < 1:
            raise ShapeError("reshape", shape=self.shape, have=self.size, want=shape if wanted is None else wanted)
        return self._view(self._offset, Layout.of_packed(final, self.dtype))

    def transpose(self, *axes: int | Sequence[int]) -> DeviceArray:
        """The same elements with the axes in another order (reversed where none is given), as a view."""
        order = _whole(axes) if axes else tuple(reversed(range(self.ndim)))
        if order is None or sorted(order) != list(range(self.ndim)):
            raise ShapeError("axes", axes=axes if order is None else order, shape=self.shape, last=self.ndim - 1)
        shape, strides = (tuple(values[axis] for axis in order) for values in (self.shape, self.strides))
        return self._view(self._offset, Layout.of(shape, strides, self.dtype))

    @property
    def T(self) -> DeviceArray:
        """The array with its axes reversed, as a view."""
        return self.transpose()

    def __getitem__(self, place: Any) -> DeviceArray:
        """A view of part of it: whole numbers and forward slices."""
        parts = place if isinstance(place, tuple) else (place,)
        shape, strides, offset = [], [], 0
        try:
            for size, stride, part in zip(self.shape[: len(parts)], self.strides, parts, strict=False):
                if isinstance(part, slice):
                    start, stop, step = part.indices(size)
                    if step < 1 or stop <= start:
                        raise IndexError(part)
                    shape.append(-(-(stop - start) // step))
                    strides.append(stride * step)
                else:
                    start = range(size)[part]
                offset += start * stride
            if len(parts) > self.ndim or any(isinstance(part, bool) for part in parts):
                raise IndexError(place)
        except (IndexError, TypeError, ValueError):
            raise ShapeError("index", index=place, shape=self.shape, dimensions=self.ndim) from None
        shape += self.shape[len(parts) :]
        strides += self.strides[len(parts) :]
        layout = Layout.of(tuple(shape), tuple(strides), self.dtype)
        return self._view(self._offset + offset * self.dtype.itemsize, layout)

    def _view(self, offset: int, layout: Layout) -> DeviceArray:
        return DeviceArray(self.device, self._block, offset, layout, self.name)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a DeviceArray without dimensions")
        return self.shape[0]

    def __bool__(self) -> bool:
        return True  # an array is there or not; its numbers are on the device

    def __iter__(self) -> Iterator[DeviceArray]:
        """Views of its parts along the first dimension, one by one."""
        return (self[part] for part in range(len(self)))

    def __enter__(self) -> DeviceArray:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive:
            self.free()

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        # Without this NumPy would walk it element by element; a copy to the host must be asked for.
        raise InvalidPointer("on_device", name=self.name or repr(self))

    def __repr__(self) -> str:
        line = self._block.line
        state = f"at {line.pointer + self._offset:#x}" if self.alive else "freed"
        name = f" {self.name!r}" if self.name else ""
        return f"<DeviceArray{name} {self.shape} {self.dtype.name} {state} on {self.device.label}>"
