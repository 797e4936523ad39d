"""The pickle in a PyTorch file, read without running it.

A pickle is a program that may call anything. This goes through its steps by `pickletools`, which runs none, and follows
the few that torch.save writes a dict of tensors with; any other step or name is refused. What comes out is plain data
and descriptions of tensors, unchecked. The steps are described in the standard library's pickletools.py.
"""

from __future__ import annotations

import enum
import io
import pickletools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np

from factory.errors import ModelError

STORAGES = {
    "DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip


class Meaning(enum.Enum):
    """What a call in the pickle stands for."""

    DICT = enum.auto()
    TENSOR = enum.auto()
    PARAMETER = enum.auto()


ALLOWED: dict[str, Any] = {
    "collections OrderedDict": Meaning.DICT,
    "torch._utils _rebuild_tensor_v2": Meaning.TENSOR,
    "torch._utils _rebuild_parameter": Meaning.PARAMETER,
} | {f"torch {name}": np.dtype(dtype) for name, dtype in STORAGES.items()}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}


class Storage(NamedTuple):
    """A run of numbers in the file, as the pickle names it."""

    dtype: np.dtype
    key: str
    length: int
    """In numbers, not bytes."""


class View(NamedTuple):
    """A tensor as the pickle describes it; nothing in it is checked yet."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


class Follower:
    """Follows one pickle's steps on a stack, as the pickle module would, building plain data and `View`s only."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: list[Storage] = []

    def follow(self, file: io.BytesIO) -> Any:
        """What the pickle at the file's position describes; the position is then behind it."""
        for step, argument in _steps(file):
            if step == "STOP":
                return self.stack.pop()
            if step in VALUES:
                self.stack.append(argument)
            elif step in CONSTANTS:
                self.stack.append(CONSTANTS[step])
            elif step in self.METHODS:
                self.METHODS[step](self, argument)
            elif step not in ("PROTO", "FRAME"):
                raise ModelError("hostile", path=self.path, what=f"pickle {step}")
        raise EOFError("pickle")

    def take(self, count: int) -> list[Any]:
        """The last `count` items, removed from the stack."""
        if count > len(self.stack):
            raise IndexError("pickle stack")
        at = len(self.stack) - count
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def take_marked(self) -> list[Any]:
        return self.take(len(self.stack) - self.marks.pop())

    def top(self, kind: type) -> Any:
        """The last item, left where it is, if it is just of this type."""
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"pickle: no {kind.__name__}")
        return self.stack[-1]

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def put(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def append(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        # Keys of other types could nest until hashing them overflows the stack.
        if not all(type(key) in (str, int) for key in items[::2]):
            raise TypeError("pickle: dict key")
        self.top(dict).update(zip(items[::2], items[1::2], strict=True))

    def name(self, name: str) -> None:
        if name not in ALLOWED:
            raise ModelError("hostile", path=self.path, what=name.replace(" ", "."))
        self.stack.append(ALLOWED[name])

    def stack_name(self, _: Any) -> None:
        module, name = self.take(2)
        if type(module) is not str or type(name) is not str:
            raise TypeError("pickle: name")
        self.name(f"{module} {name}")

    def call(self, _: Any) -> None:
        """REDUCE: of all that a pickle may call only these three have a meaning here, and none is called."""
        called, arguments = self.take(2)
        if called is Meaning.DICT and arguments == ():
            self.stack.append({})
        elif called is Meaning.TENSOR and type(arguments) is tuple and len(arguments) >= 4:
            self.stack.append(View(*arguments[:4]))
        elif called is Meaning.PARAMETER and type(arguments) is tuple and type(arguments[0]) is View:
            self.stack.append(arguments[0])
        else:
            raise ModelError("hostile", path=self.path, what="pickle REDUCE")

    def build(self, _: Any) -> None:
        """Attributes of a dict, such as the versions of a state_dict's layers: nothing that is kept."""
        self.take(1)
        self.top(dict)

    def storage(self, _: Any) -> None:
        kind, dtype, key, _place, count, *view = self.take(1)[0]
        if kind != "storage" or not isinstance(dtype, np.dtype) or type(key) is not str or view not in ([], [None]):
            raise TypeError("pickle: persistent id")
        if type(count) is not int or count < 0:
            raise ValueError(f"storage {key}: {count}")
        self.storages.append(Storage(dtype, key, count))
        self.stack.append(self.storages[-1])

    METHODS: ClassVar[dict[str, Callable[[Follower, Any], None]]] = {
        "MARK": mark,
        "BINPUT": put,
        "LONG_BINPUT": put,
        "MEMOIZE": put,
        "BINGET": get,
        "LONG_BINGET": get,
        "EMPTY_TUPLE": lambda self, _: self.stack.append(()),
        "TUPLE1": lambda self, _: self.stack.append(tuple(self.take(1))),
        "TUPLE2": lambda self, _: self.stack.append(tuple(self.take(2))),
        "TUPLE3": lambda self, _: self.stack.append(tuple(self.take(3))),
        "TUPLE": lambda self, _: self.stack.append(tuple(self.take_marked())),
        "EMPTY_LIST": lambda self, _: self.stack.append([]),
        "APPEND": lambda self, _: self.append(self.take(1)),
        "APPENDS": lambda self, _: self.append(self.take_marked()),
        "EMPTY_DICT": lambda self, _: self.stack.append({}),
        "SETITEM": lambda self, _: self.set_items(self.take(2)),
        "SETITEMS": lambda self, _: self.set_items(self.take_marked()),
        "GLOBAL": name,
        "STACK_GLOBAL": stack_name,
        "REDUCE": call,
        "BUILD": build,
        "BINPERSID": storage,
    }


def _steps(file: io.BytesIO) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(file):
            yield opcode.name, argument
    except ValueError as error:
        raise (EOFError(error) if not file.read(1) else error) from None
