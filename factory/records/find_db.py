"""MIOpen's find-db as text: what find measured on a GPU, one problem a line.

An installed MIOpen keeps what AMD measured in share/miopen/db (<GPU>.HIP.fdb.txt), and what was measured here in the
user's own folder (*.ufdb.txt). A line is `key=value`. The key is the problem (ProblemDescription::Serialize of
ROCm/MIOpen, src/conv/problem_description.cpp); the value lists solvers, separated by `;`, in one of two forms:
`algorithm:solver,milliseconds,workspace,algorithm,note`, the older, or `solver:milliseconds,workspace,algorithm`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from factory.errors import Unsupported
from factory.problem import ConvolutionProblem, Solution

_DTYPES = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16"}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ALGORITHM = re.compile(r"miopenConvolution(?:Fwd|BwdData|BwdWeights)Algo")


def _pattern(dimensions: int) -> re.Pattern[str]:
    sizes, lengths = "-".join([r"\d+"] * dimensions), "x".join([r"\d+"] * dimensions)
    return re.compile(
        rf"(?P<c>\d+)-(?P<size>{sizes})-(?P<window>{lengths})-(?P<k>\d+)-(?P<out>{sizes})-(?P<n>\d+)-(?P<pad>{lengths})"
        rf"-(?P<stride>{lengths})-(?P<dilation>{lengths})-\d+-(?P<layout>\w+(?:-\w+-\w+)?)-(?P<dtype>[A-Z0-9]+)"
        r"-(?P<direction>[FBW])(?:_g(?P<groups>\d+))?",
        re.ASCII,
    )


_2D, _3D = _pattern(2), _pattern(3)


@dataclass(frozen=True)
class FindDb:
    """The solutions of each problem, fastest first, by its key; and how many lines were no record, and skipped."""

    solutions: Mapping[str, tuple[Solution, ...]]
    skipped: int

    def get(self, problem: ConvolutionProblem) -> tuple[Solution, ...]:
        """What is recorded of a problem; empty where nothing is."""
        return self.solutions.get(key_of(problem), ())


def key_of(problem: ConvolutionProblem) -> str:
    """A problem as a find-db names it."""
    p = problem
    pairs = "-".join(f"{a}x{b}" for a, b in (p.pad, p.stride, p.dilation))
    groups = f"_g{p.groups}" if p.groups > 1 else ""
    return f"{p.c}-{p.h}-{p.w}-{p.r}x{p.s}-{p.k}-{p.out_h}-{p.out_w}-{p.n}-{pairs}-0-{p.layout}-{_NAMES[p.dtype]}-F{groups}"


def problem_of(key: str) -> ConvolutionProblem:
    """The problem that a key names.

    Raises ValueError for what is no key (ShapeError is one, for a type other than ours), Unsupported for a problem that
    is backward, in three dimensions, or of another layout.
    """
    found = _match(key)
    if found.re is _3D:
        raise Unsupported("tensor_layout", got="NCDHW")
    if found["direction"] != "F":
        raise Unsupported("direction", got={"B": "backward data", "W": "backward weights"}[found["direction"]])
    (h, w), (r, s) = (_numbers(found[name]) for name in ("size", "window"))
    pad, stride, dilation = (_numbers(found[name]) for name in ("pad", "stride", "dilation"))
    problem = ConvolutionProblem(
        int(found["n"]), int(found["c"]), h, w, int(found["k"]), r, s, (pad[0], pad[1]), (stride[0], stride[1]),
        (dilation[0], dilation[1]), int(found["groups"] or 1), _DTYPES.get(found["dtype"], found["dtype"].lower()),
        layout=found["layout"],
    )  # fmt: skip
    if _numbers(found["out"]) != [problem.out_h, problem.out_w]:
        raise ValueError(f"the output of {key!r} is {found['out']}, not {problem.out_h}-{problem.out_w}")
    return problem


def read(path: Path) -> FindDb:
    """The records of a find-db file. Raises OSError where it cannot be read."""
    return parse(path.read_text("utf-8", "replace").splitlines())


def parse(lines: Iterable[str]) -> FindDb:
    """The records of a find-db's lines; of two with the same key the first counts, as in MIOpen."""
    solutions: dict[str, tuple[Solution, ...]] = {}
    skipped = 0
    for line in lines:
        if not line.strip():
            continue
        key, _, value = line.strip().partition("=")
        try:
            _match(key)
            found = [_solution(record) for record in _split(value, ";")]
        except ValueError:
            skipped += 1
            continue
        solutions.setdefault(key, tuple(sorted(found, key=lambda one: (one.milliseconds or 0.0, one.solver))))
    return FindDb(solutions, skipped)


def line(problem: ConvolutionProblem, solutions: Iterable[Solution]) -> str:
    """A record of the solutions that have a time, in the newer form. Raises ValueError where none has one."""
    records = [
        f"{one.solver}:{one.milliseconds:.6g},{one.workspace},miopenConvolutionFwdAlgo{one.algorithm}"
        for one in solutions
        if one.milliseconds is not None
    ]
    if not records:
        raise ValueError(f"no solution of {problem} has a time")
    return f"{key_of(problem)}={';'.join(records)}"


def _match(key: str) -> re.Match[str]:
    if found := _2D.fullmatch(key) or _3D.fullmatch(key):
        return found
    raise ValueError(f"{key!r} is no key of a find-db")


def _solution(record: str) -> Solution:
    head, *rest = _split(record, ":")
    fields = _split(":".join(rest), ",")
    if _ALGORITHM.match(head):
        name, milliseconds, workspace, *_ = fields
        algorithm = head
    else:
        name, (milliseconds, workspace, algorithm) = head, fields
    solution = Solution(name, _ALGORITHM.sub("", algorithm), float(milliseconds), int(workspace), "recorded")
    if not name or not isfinite(float(milliseconds)) or float(milliseconds) < 0 or solution.workspace < 0:
        raise ValueError(record)
    return solution


def _split(text: str, separator: str) -> list[str]:
    """Parts of a text; what stands between < and > is the name of a solver, and is never cut."""
    return re.split(f"{separator}(?![^<>]*>)", text)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.split("[-x]", text)]
