"""MIOpen's find-db as text: lines that MIOpen itself wrote, lines that are none, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factory
from factory import ConvolutionProblem, ShapeError, Solution, Unsupported
from factory.records import find_db

# Written by MIOpen 3.4.0.
NEWER = "64-56-56-3x3-64-56-56-1-1x1-1x1-1x1-0-NCHW-FP32-F=GemmFwdRest:1,7225344,miopenConvolutionFwdAlgoGEMM"
# In the form that MIOpen had before; its second solver has < and > in its name, as MIOpen's multi-pass Winograd has.
OLDER = (
    "1-160-698-5x5-64-79-348-1-1x1-2x2-1x1-0-NCHW-FP16-F="
    "miopenConvolutionFwdAlgoDirect:ConvOclDirectFwdGen,0.0536,0,miopenConvolutionFwdAlgoDirect,not used;"
    "miopenConvolutionFwdAlgoWinograd:ConvMPBidirectWinograd<2-3>,0.02352,2749200,miopenConvolutionFwdAlgoWinograd,<unused>"
)
THREE_DIMENSIONS = "256-16-56-56-1x1x1-64-16-56-56-4-0x0x0-1x1x1-1x1x1-0-NCDHW-FP32-F=GemmFwd1x1_0_1:0.5,0,miopenConvolutionFwdAlgoGEMM"


def keys(line: str) -> str:
    return line.partition("=")[0]


def test_both_forms_are_read() -> None:
    found = find_db.parse([NEWER, OLDER])
    assert found.skipped == 0
    assert found.get(ConvolutionProblem(1, 64, 56, 56, 64, 3, 3, (1, 1))) == (
        Solution("GemmFwdRest", "GEMM", 1.0, 7_225_344, "recorded"),
    )
    assert found.get(ConvolutionProblem(1, 1, 160, 698, 64, 5, 5, (1, 1), (2, 2), dtype="float16")) == (
        Solution("ConvMPBidirectWinograd<2-3>", "Winograd", 0.02352, 2_749_200, "recorded"),
        Solution("ConvOclDirectFwdGen", "Direct", 0.0536, 0, "recorded"),
    )
    assert found.get(ConvolutionProblem(1, 64, 56, 56, 64, 3, 3)) == ()


def test_separators_in_angle_brackets_belong_to_the_name() -> None:
    record = f"{keys(NEWER)}=Conv<a:b,c;d>:2,8,miopenConvolutionFwdAlgoDirect;Naive:3,0,miopenConvolutionFwdAlgoDirect"
    (solutions,) = find_db.parse([record]).solutions.values()
    assert [one.solver for one in solutions] == ["Conv<a:b,c;d>", "Naive"]
    assert [one.workspace for one in solutions] == [8, 0]


sizes, pairs = st.integers(1, 40), st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=200)
@given(n=sizes, c=sizes, extra=st.tuples(sizes, sizes), k=sizes, window=pairs, pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
       stride=pairs, dilation=pairs, groups=st.integers(1, 4), dtype=st.sampled_from(["float32", "float16", "bfloat16"]))  # fmt: skip
def test_a_problem_comes_back_from_its_key(n, c, extra, k, window, pad, stride, dilation, groups, dtype) -> None:  # type: ignore[no-untyped-def]
    h, w = ((r - 1) * d + more for r, d, more in zip(window, dilation, extra, strict=True))
    problem = ConvolutionProblem(
        n, groups * c, h, w, groups * k, *window, pad=pad, stride=stride, dilation=dilation, groups=groups, dtype=dtype
    )
    key = find_db.key_of(problem)
    assert find_db.problem_of(key) == problem
    assert key.endswith(f"_g{groups}") == (groups > 1)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    problem = ConvolutionProblem(2, 6, 9, 9, 6, 3, 3, (1, 2), groups=6)
    solutions = [
        Solution("Fast<1,2>", "Winograd", 0.125, 64, "measured"),
        Solution("Slow", "Direct", 2.5, 0, "measured"),
    ]
    line = find_db.line(problem, [*solutions, Solution("Untimed", "GEMM", None, 0, "estimated")])
    (tmp_path / "a.ufdb.txt").write_bytes(f"{line}\n".encode() + b"\xff\xfe broken\n\n" + NEWER.encode())
    found = find_db.read(tmp_path / "a.ufdb.txt")
    assert found.skipped == 1 and len(found.solutions) == 2
    assert found.get(problem) == tuple(Solution(*[getattr(s, f) for f in ("solver", "algorithm", "milliseconds", "workspace")], "recorded")
                                       for s in solutions)  # fmt: skip
    with pytest.raises(ValueError, match="no solution"):
        find_db.line(problem, [Solution("Untimed", "GEMM", None, 0, "estimated")])


def test_what_find_measured_here_can_be_written_and_read() -> None:
    problem = ConvolutionProblem(1, 3, 8, 8, 4, 3, 3, (1, 1))
    with factory.open("simulator") as device:
        found = device.find(problem)
    read = find_db.parse([find_db.line(problem, found)]).get(problem)
    assert {(s.solver, s.algorithm, s.workspace) for s in read} == {(s.solver, s.algorithm, s.workspace) for s in found}
    assert [s.milliseconds for s in read] == pytest.approx([s.milliseconds for s in found], rel=1e-5)


BAD = {
    "empty value": f"{keys(NEWER)}=",
    "no value": keys(NEWER),
    "no key": "=GemmFwdRest:1,0,miopenConvolutionFwdAlgoGEMM",
    "words": "this is no record",
    "short key": NEWER.removeprefix("64-"),
    "sizes of two kinds": NEWER.replace("-3x3-", "-3x3x3-"),
    "unknown direction": NEWER.replace("-F=", "-X="),
    "groups that are none": NEWER.replace("-F=", "-F_gx="),
    "no time": NEWER.replace(":1,", ":fast,"),
    "a time that is no number": NEWER.replace(":1,", ":nan,"),
    "a time that never ends": NEWER.replace(":1,", ":inf,"),
    "a time before the start": NEWER.replace(":1,", ":-1,"),
    "a workspace that is no number": NEWER.replace("7225344", "7.5"),
    "a negative workspace": NEWER.replace("7225344", "-1"),
    "no name": NEWER.replace("GemmFwdRest", ""),
    "too few fields": f"{keys(NEWER)}=GemmFwdRest:1,7225344",
    "too many fields": f"{NEWER},more",
    "an old record cut short": f"{keys(NEWER)}=miopenConvolutionFwdAlgoGEMM:GemmFwdRest,1",
    "one good solver and one bad": f"{NEWER};Other:x,0,miopenConvolutionFwdAlgoGEMM",
    "letters for digits": NEWER.replace("64-56", "６４-56"),
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_skipped_and_counted(line: str) -> None:
    found = find_db.parse([line, OLDER, "", "   "])
    assert (list(found.solutions), found.skipped) == ([keys(OLDER)], 1)


def test_of_two_records_the_first_counts() -> None:
    found = find_db.parse([NEWER, NEWER.replace(":1,", ":9,")])
    assert [one.milliseconds for one in found.get(find_db.problem_of(keys(NEWER)))] == [1.0]


def test_problems_that_are_none_of_ours_are_read_and_said_to_be_so() -> None:
    nhwc = keys(NEWER).replace("NCHW", "NHWC-NHWC-NHWC")
    backward, weights = (keys(NEWER)[:-1] + letter for letter in "BW")
    found = find_db.parse([THREE_DIMENSIONS, f"{nhwc}{NEWER[len(keys(NEWER)) :]}"])
    assert found.skipped == 0 and set(found.solutions) == {keys(THREE_DIMENSIONS), nhwc}
    for key, said in (
        (keys(THREE_DIMENSIONS), "tensor_layout"),
        (nhwc, "tensor_layout"),
        (backward, "direction"),
        (weights, "direction"),
    ):
        with pytest.raises(Unsupported) as caught:
            find_db.problem_of(key)
        assert caught.value.key == said
    with pytest.raises(ShapeError, match="int8"):
        find_db.problem_of(keys(NEWER).replace("FP32", "INT8"))
    for key in ("", "nonsense", keys(NEWER).replace("-56-56-1-", "-55-56-1-")):
        with pytest.raises(ValueError):
            find_db.problem_of(key)
