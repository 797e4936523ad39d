"""What rocBLAS and MIOpen log of the calls that they receive, read; and compared with what was meant."""

from __future__ import annotations

import ctypes
import re
from typing import NamedTuple

from factory.layout import Layout
from factory.problem import DTYPES

POINTERS = {"x", "w", "y", "A", "B", "C", "bnScale", "bnBias", "estimatedMean", "estimatedVariance"}


class Call(NamedTuple):
    """A call as a library logged it: all that it was given, by name (rocBLAS: by place)."""

    function: str
    given: dict[str, str]


def parse(log: str) -> list[Call]:
    """rocBLAS logs a call in a line, MIOpen a name, and each argument in a line of its own."""
    found: list[Call] = []
    for line in log.splitlines():
        if match := re.match(r"(rocblas_\w+),(.*)", line):
            found.append(Call(match[1], {str(place): text for place, text in enumerate(match[2].split(","))}))
        elif match := re.match(r"MIOpen\(HIP\): miopenStatus_t (miopen\w+)\(", line):
            found.append(Call(match[1], {}))
        elif (match := re.match(r"MIOpen\(HIP\): \t(\w+) = (.*)", line)) and found:
            found[-1].given[match[1]] = match[2].rstrip(", ")
    return found


def shown(*shape):
    """A packed tensor, as MIOpen writes one."""
    strides = Layout.of_packed(shape, DTYPES["float32"]).strides
    return f"{{{', '.join(map(str, shape))}}}, {{{', '.join(map(str, strides))}}}, packed"


def same(given, want):
    """What arrived is what was meant, and how much that is; pointers by address, scalars (behind one) by value."""
    for name, value in want.items():
        arrived, meant = given[name], f"{value:#x}" if name in POINTERS else f"{value}"
        if isinstance(value, float) and arrived.startswith("0x"):
            arrived = f"{ctypes.c_float.from_address(int(arrived, 16)).value}"
        assert arrived == meant, f"{name} arrived as {arrived}, meant was {meant}"
    return len(want)
