"""Sentence shapes: a small language for writing many ways of saying one thing, and the drawing of one of them.

(what is|what's) the capital of {country}(?|)      one of several, nested as one likes, nothing among them too
<please> tell me the capital of {country}.         a rule: one of its lines
{country}                                          a slot, filled in by a fact
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[(|)]|<\w+>|\{\w+\}|[^(|)<{]+|<")


@dataclass(frozen=True)
class Slot:
    """A place that a fact fills in."""

    name: str


Part = str | Slot | tuple["Shape", ...]
Shape = tuple[Part, ...]


class Grammar:
    """Shapes compiled once; `rules` are the lines that <name> stands for, in an order where a rule uses earlier ones."""

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self._rules: dict[str, tuple[Shape, ...]] = {}
        for name, lines in rules.items():
            self._rules[name] = tuple(map(self.compile, lines))

    def compile(self, text: str) -> Shape:
        """The shape that `text` writes down; a ValueError where its brackets do not match."""
        tokens = _TOKEN.findall(text)
        if "".join(tokens) != text:
            raise ValueError(f"this shape cannot be read: {text!r}")
        shape, rest = self._alternatives(tokens, text)
        if rest:
            raise ValueError(f"a bracket closes that was never opened: {text!r}")
        return shape[0] if len(shape) == 1 else (shape,)

    def _alternatives(self, tokens: list[str], text: str) -> tuple[tuple[Shape, ...], list[str]]:
        shapes: list[Shape] = []
        parts: list[Part] = []
        while tokens and tokens[0] != ")":
            token, *tokens = tokens
            if token == "|":
                shapes.append(tuple(parts))
                parts = []
            elif token == "(":
                inner, tokens = self._alternatives(tokens, text)
                if not tokens:
                    raise ValueError(f"a bracket is never closed: {text!r}")
                tokens = tokens[1:]
                parts.append(inner)
            elif token.startswith("<") and token.endswith(">"):
                parts.append(self._rules[token[1:-1]])
            elif token.startswith("{"):
                parts.append(Slot(token[1:-1]))
            else:
                parts.append(token)
        shapes.append(tuple(parts))
        return tuple(shapes), tokens


def draw(shape: Shape, slots: Mapping[str, str], random: Callable[[], float]) -> list[tuple[str, bool]]:
    """One way of saying `shape`: its pieces in order, each with whether a slot gave it (`random` is uniform in 0..1)."""
    pieces: list[tuple[str, bool]] = []
    _draw(shape, slots, random, pieces)
    return pieces


def _draw(shape: Shape, slots: Mapping[str, str], random: Callable[[], float], pieces: list[tuple[str, bool]]) -> None:
    for part in shape:
        if isinstance(part, str):
            pieces.append((part, False))
        elif isinstance(part, Slot):
            pieces.append((slots[part.name], True))
        else:
            _draw(part[int(random() * len(part))], slots, random, pieces)


def slots_of(shape: Shape) -> set[str]:
    """The names of the slots that some way of saying `shape` uses."""
    names: set[str] = set()
    for part in shape:
        if isinstance(part, Slot):
            names.add(part.name)
        elif not isinstance(part, str):
            names.update(name for one in part for name in slots_of(one))
    return names
