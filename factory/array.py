"""DeviceArray: a shape, a dtype and a device pointer. It holds no data on the host; copies move data in and out."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from factory.errors import DoubleFree, ShapeError, UseAfterFree
from factory.layout import Layout
from factory.memory import Block

if TYPE_CHECKING:
    from factory.device import Device


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
            raise UseAfterFree("freed", name=self.name or line.name, pointer=line.pointer, where=line.where)
        return line.pointer + self._offset

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
        line = self._block.line
        if line.state != "live":
            raise DoubleFree("freed", name=self.name or line.name, pointer=line.pointer, where=line.where)
        self.device.memory.release(self._block)

    def overlaps(self, other: DeviceArray) -> bool:
        """Whether the two may share bytes (judged by their first and last)."""
        if self._block is not other._block:
            return False
        return self._offset < other._offset + other.layout.span and other._offset < self._offset + self.layout.span

    def reshape(self, *shape: int | Sequence[int]) -> DeviceArray:
        """The same elements in another shape, as a view; one size may be -1. Needs an array without gaps."""
        wanted: list[int] = list(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else list(shape)  # type: ignore[arg-type]
        size = self.size
        if wanted.count(-1) == 1:
            known = -prod(wanted)
            wanted[wanted.index(-1)] = size // known if known > 0 else 0
        if not self.packed or prod(wanted) != size or min(wanted, default=1) < 1:
            raise ShapeError("reshape", shape=self.shape, have=size, want=tuple(wanted))
        return self._view(self._offset, Layout.of_packed(tuple(wanted), self.dtype))

    def transpose(self, *axes: int | Sequence[int]) -> DeviceArray:
        """The same elements with the axes in another order (reversed where none is given), as a view."""
        order: tuple[int, ...]
        if not axes:
            order = tuple(reversed(range(self.ndim)))
        else:
            order = tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], int) else tuple(axes)  # type: ignore[arg-type]
        if sorted(order) != list(range(self.ndim)):
            raise ShapeError("axes", axes=order, shape=self.shape, last=self.ndim - 1)
        shape, strides = (tuple(values[axis] for axis in order) for values in (self.shape, self.strides))
        return self._view(self._offset, Layout.of(shape, strides, self.dtype))

    @property
    def T(self) -> DeviceArray:
        """The array with its axes reversed, as a view."""
        return self.transpose()

    def __getitem__(self, index: Any) -> DeviceArray:
        """A view of part of it: whole numbers and forward slices."""
        parts = index if isinstance(index, tuple) else (index,)
        shape, strides, offset = [], [], 0
        if len(parts) > self.ndim:
            raise ShapeError("index", index=index, shape=self.shape, dimensions=self.ndim)
        for size, stride, part in zip(self.shape, self.strides, parts, strict=False):
            if isinstance(part, slice):
                start, stop, step = part.indices(size)
                if step < 1 or stop <= start:
                    raise ShapeError("index", index=index, shape=self.shape, dimensions=self.ndim)
                shape.append(-(-(stop - start) // step))
                strides.append(stride * step)
            elif isinstance(part, (int, np.integer)) and -size <= part < size:
                start = int(part) % size
            else:
                raise ShapeError("index", index=index, shape=self.shape, dimensions=self.ndim)
            offset += start * stride
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

    def __enter__(self) -> DeviceArray:
        return self

    def __exit__(self, *_: object) -> None:
        if self._block.line.state == "live":
            self.free()

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        # Without this NumPy would walk it element by element; a copy to the host must be asked for.
        raise TypeError(f"{self!r} lives on the device: copy it to the host by .numpy()")

    def __repr__(self) -> str:
        line = self._block.line
        state = f"at {line.pointer + self._offset:#x}" if line.state == "live" else "freed"
        name = f" {self.name!r}" if self.name else ""
        return f"<DeviceArray{name} {self.shape} {self.dtype.name} {state} on {self.device.label}>"
