"""Convolutions through find: which solvers, why not the others, what is remembered, and the numbers of each."""

from __future__ import annotations

import gc
import json
import os
import pickle
import tracemalloc
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from oracle import FLOATS, agree, calls, numbers, relative, wide
from threadpoolctl import threadpool_info

import factory
from factory import ConvolutionProblem, Found, ShapeError, Solution, Unsupported

PROBLEMS = [
    ConvolutionProblem(1, 3, 8, 8, 4, 3, 3, pad=(1, 1)),
    ConvolutionProblem(2, 8, 9, 7, 6, 1, 1),
    ConvolutionProblem(1, 4, 11, 10, 6, 5, 3, pad=(2, 0), stride=(2, 3)),
    ConvolutionProblem(2, 6, 9, 9, 6, 3, 3, pad=(1, 2), groups=6),
    ConvolutionProblem(1, 8, 9, 12, 4, 3, 3, pad=(2, 2), dilation=(2, 2), groups=2),
    ConvolutionProblem(1, 1, 1, 1, 1, 1, 1),
    ConvolutionProblem(1, 2, 5, 5, 3, 5, 5),
]
PLAIN = PROBLEMS[0]
DEEP = ConvolutionProblem(1, 64, 5, 5, 16, 3, 3, pad=(1, 1))  # a sum so long that a GPU splits it
GPUS = ("gfx900", "gfx90a", "gfx1100", "gfx1201")


def convolved(problem, x, w):
    """A cross-correlation by its definition, filter cell by filter cell, in float64."""
    x, w = wide(x, w)
    (top, left), (down, right), (dy, dx) = problem.pad, problem.stride, problem.dilation
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    y = np.zeros(problem.y_shape)
    each, filters = problem.c // problem.groups, problem.k // problem.groups
    for group in range(problem.groups):
        inputs, outputs = (slice(group * n, (group + 1) * n) for n in (each, filters))
        for i in range(problem.r):
            for j in range(problem.s):
                cells = x[:, inputs, i * dy :: down, j * dx :: right][:, :, : problem.out_h, : problem.out_w]
                y[:, outputs] += np.einsum("nchw,kc->nkhw", cells, w[outputs, :, i, j])
    return y


def tensors(problem, seed=0):
    return numbers(problem.x_shape, problem.dtype, seed), numbers(problem.w_shape, problem.dtype, seed + 1)


def retyped(problem, dtype):
    sizes = (problem.n, problem.c, problem.h, problem.w, problem.k, problem.r, problem.s)
    return ConvolutionProblem(*sizes, problem.pad, problem.stride, problem.dilation, problem.groups, dtype)


@pytest.fixture
def own_db(tmp_path, monkeypatch):
    """A find database of the test's own."""
    path = tmp_path / "deep" / "find-db.txt"
    monkeypatch.setenv("FACTORY_FIND_DB", str(path))
    return path


@pytest.fixture
def races(monkeypatch):
    """The problems that were raced, and a race whose times are given and not measured."""
    import factory.simulator.miopen as miopen

    ran = []

    def race(problem, solvers):
        ran.append(problem)
        return {solver.name: 1.0 for solver in solvers}

    monkeypatch.setattr(miopen, "race", race)
    return ran


# Numbers


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("problem", [*PROBLEMS, DEEP], ids=str)
def test_every_solution_computes_the_convolution(device, problem, dtype):
    problem = retyped(problem, dtype)
    x, w = tensors(problem)
    want = convolved(problem, x, w)
    found = device.find(problem)
    assert found
    for solution in found:
        y = device.convolve(device.array(x), device.array(w), problem, solution)
        assert y.dtype == FLOATS[dtype] and y.shape == problem.y_shape
        agree(y, want)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_without_a_problem_or_a_solution_the_shapes_and_find_say_them(device, problem):
    x, w = tensors(problem)
    y = device.convolve(
        device.array(x), device.array(w), pad=problem.pad, stride=problem.stride, dilation=problem.dilation,
        groups=problem.groups,
    )  # fmt: skip
    agree(y, convolved(problem, x, w))
    best = device.find(problem)[0]
    (command,) = calls(device, "miopenConvolutionForwardImmediate")
    assert best.solver in command.sizes and str(problem) in command.sizes


def test_lists_do_as_pairs(device):
    x, w = tensors(PLAIN)
    agree(device.convolve(device.array(x), device.array(w), pad=[1, 1], stride=[1, 1]), convolved(PLAIN, x, w))


def test_a_convolution_agrees_with_torch(device, peer):
    torch = peer("torch")
    for problem in PROBLEMS:
        x, w = tensors(problem)
        want = torch.nn.functional.conv2d(
            *(torch.tensor(a, dtype=torch.float64) for a in (x, w)), None, problem.stride, problem.pad,
            problem.dilation, problem.groups,
        )  # fmt: skip
        assert relative(convolved(problem, x, w), want.numpy()) < 1e-13  # the oracle
        agree(device.convolve(device.array(x), device.array(w), problem), want.numpy())


def test_the_page_of_sobel_gives_760(device):
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[None, None]
    picture = np.tile(np.array([10, 10, 200], np.float32), (3, 1))[None, None]
    x, w = device.array(picture), device.array(sobel)
    flipped = device.array(np.ascontiguousarray(sobel[:, :, ::-1, ::-1]))
    for solution in device.find(ConvolutionProblem(1, 1, 3, 3, 1, 3, 3)):
        if solution.algorithm != "FFT":  # whose sums are of other numbers
            assert device.convolve(x, w, solution=solution).numpy().item() == pytest.approx(760, rel=1e-6)
            assert device.convolve(x, flipped, solution=solution).numpy().item() == pytest.approx(-760, rel=1e-6)
    assert device.convolve(x, w).numpy().item() == pytest.approx(760, rel=1e-5)


def test_out_is_filled_and_given_back_and_must_fit(device):
    x, w = map(device.array, tensors(PLAIN))
    out = device.array(np.full(PLAIN.y_shape, np.nan, np.float32))
    assert device.convolve(x, w, PLAIN, out=out) is out
    agree(out, convolved(PLAIN, *tensors(PLAIN)))
    n, k, h, width = PLAIN.y_shape
    strided = device.empty((n, k, h, width + 1))[:, :, :, 1:]
    for wrong, key in (
        (device.empty((n, k, h, width + 1)), "out"), (device.empty(PLAIN.y_shape, "float16"), "out"), (strided, "packed"),
        (device.array(numbers((2, *PLAIN.x_shape)))[1], "out"),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            device.convolve(x, w, PLAIN, out=wrong)
        assert caught.value.key == key
    same = ConvolutionProblem(1, 4, 8, 8, 4, 3, 3, pad=(1, 1))
    x, w = map(device.array, tensors(same))
    with pytest.raises(ShapeError) as caught:
        device.convolve(x, w, same, out=x)
    assert caught.value.key == "alias"


def test_views_with_gaps_are_refused_and_packed_ones_taken(device):
    x, w = tensors(PLAIN)
    many = device.array(np.stack([x, 2 * x]))
    agree(device.convolve(many[1], device.array(w), PLAIN), 2 * convolved(PLAIN, x, w))
    gaps = device.array(np.concatenate([x, x], axis=3))[:, :, :, :8]
    with pytest.raises(ShapeError) as caught:
        device.convolve(gaps, device.array(w), PLAIN)
    assert caught.value.key == "packed" and "device.copy" in caught.value.text.en
    agree(device.convolve(device.copy(gaps), device.array(w), PLAIN), convolved(PLAIN, x, w))


def test_an_overwritten_workspace_is_the_devices_own_and_goes_back_to_the_pool(device):
    x, w = map(device.array, tensors(PLAIN))
    in_use = device.memory.in_use
    for solution in device.find(PLAIN):
        device.convolve(x, w, PLAIN, solution).free()
        assert device.memory.in_use == in_use


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_workspace_figure_is_true_by_tracemalloc(simulator, dtype):
    problem = retyped(ConvolutionProblem(1, 16, 40, 40, 16, 3, 3, pad=(1, 1)), dtype)
    x, w = map(simulator.array, tensors(problem))
    out = simulator.empty(problem.y_shape, dtype)
    for solution in simulator.find(problem):
        simulator.convolve(x, w, problem, solution, out=out)  # the pool now has the workspace
        gc.collect()
        tracemalloc.start()
        try:
            simulator.convolve(x, w, problem, solution, out=out)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # What NumPy takes for itself is part of the figure too, and all else is a few Python objects.
        assert peak < min(solution.workspace, 110_000) + 20_000, solution


# What find says


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_found_is_a_sequence_of_solutions_fastest_first(device, problem):
    found = device.find(problem)
    assert isinstance(found, Found) and isinstance(found, Sequence)
    assert all(isinstance(solution, Solution) for solution in found)
    assert len(found) == len(list(found)) and found[0] in found and found.index(found[-1]) == len(found) - 1
    assert list(found[:2]) == list(found)[:2]
    assert [s.milliseconds for s in found] == sorted(s.milliseconds for s in found)
    assert {s.evidence for s in found} == {"measured"} and all(s.milliseconds >= 0 for s in found)
    assert {s.algorithm for s in found} <= {"Direct", "GEMM", "ImplicitGEMM", "Winograd", "FFT"}
    assert all(isinstance(s.workspace, int) and s.workspace >= 0 for s in found)
    names = [s.solver for s in found]
    assert len(set(names)) == len(names) and not set(names) & set(found.dropped)
    assert all(name in repr(found) for name in [*names, *found.dropped])


def test_there_is_something_to_find(simulator):
    found = simulator.find(ConvolutionProblem(1, 8, 16, 16, 8, 3, 3, pad=(1, 1)))
    assert {s.algorithm for s in found} >= {"Direct", "GEMM", "ImplicitGEMM", "Winograd"}
    assert "FFT" in {s.algorithm for s in simulator.find(ConvolutionProblem(1, 4, 40, 40, 4, 15, 15))}
    assert "GEMM" in {s.algorithm for s in simulator.find(PROBLEMS[1])}
    with pytest.raises(IndexError):
        found[len(found)]


def test_what_does_not_apply_says_why_in_words_of_both_languages(device):
    for problem in PROBLEMS:
        for reason in device.find(problem).dropped.values():
            assert reason.en.isascii() and not reason.ja.isascii() and len(reason.en) > 10


def test_ties_go_by_name(simulator, own_db, races):
    found = simulator.find(PLAIN)
    assert [s.solver for s in found] == sorted(s.solver for s in found) and len(found) > 2


def test_without_takes_solvers_and_algorithms_and_only_filters(device):
    found = device.find(PLAIN)
    first = found[0]
    assert [s.solver for s in device.find(PLAIN, without=[first.solver])] == [s.solver for s in found[1:]]
    assert device.find(PLAIN, without=first.solver)[0] == found[1]
    fewer = device.find(PLAIN, without=("GEMM", "FFT"))
    assert [s for s in found if s.algorithm not in ("GEMM", "FFT")] == list(fewer)
    gone = {s.solver for s in found} - {s.solver for s in fewer}
    assert gone <= set(fewer.dropped) and all("without" in fewer.dropped[name].ja for name in gone)
    assert set(found.dropped) <= set(fewer.dropped)
    assert list(device.find(PLAIN)) == list(found)  # and nothing of it stays


def test_a_workspace_limit_drops_what_needs_more(device):
    found = device.find(PLAIN)
    needs = sorted({s.workspace for s in found})
    assert len(needs) > 1
    for limit in (0, *needs, needs[-1] + 1):
        kept = device.find(PLAIN, workspace_limit=limit)
        assert list(kept) == [s for s in found if s.workspace <= limit]
        for solution in found:
            if solution.workspace > limit:
                reason = kept.dropped[solution.solver]
                assert f"{solution.workspace:,}" in reason.ja and f"{limit:,}" in reason.en
    for wrong in (-1, float("nan"), "1", [1]):
        with pytest.raises(ShapeError):
            device.find(PLAIN, workspace_limit=wrong)


def test_with_no_road_left_found_is_empty_and_says_why(device):
    nothing = device.find(PLAIN, without=("Direct", "GEMM", "ImplicitGEMM", "Winograd", "FFT"))
    assert len(nothing) == 0 and not nothing and len(nothing.dropped) >= 5
    assert len({reason for reason in nothing.dropped.values()}) > 1


def test_with_no_road_left_a_convolution_is_unsupported_with_every_reason(simulator, monkeypatch):
    import factory.simulator.miopen as miopen

    reason = factory.Text("今日はお休みです。", "is not at work today.")
    x, w = map(simulator.array, tensors(PLAIN))
    in_use = simulator.memory.in_use
    for solver in miopen.SOLVERS:
        monkeypatch.setattr(solver, "refuses", lambda problem: reason)
    with pytest.raises(Unsupported) as caught:
        simulator.convolve(x, w, PLAIN)
    assert caught.value.key == "no_solver"
    for solver in miopen.SOLVERS:
        assert f"{solver.name}: {reason.ja}" in caught.value.text.ja
        assert f"{solver.name}: {reason.en}" in caught.value.text.en
    assert reason.ja not in caught.value.text.en
    del caught
    gc.collect()
    assert simulator.memory.in_use == in_use


def test_only_a_convolution_problem_can_be_looked_for(device):
    for wrong in (None, "3x3", (1, 2, 3), PLAIN.x_shape):
        with pytest.raises(ShapeError):
            device.find(wrong)
        with pytest.raises(ShapeError):
            x, w = map(device.array, tensors(PLAIN))
            device.convolve(x, w, wrong or "nothing")


# An explicit solution


def test_a_solution_that_does_not_apply_is_refused_with_its_reason(device):
    x, w = map(device.array, tensors(PLAIN))
    refused = 0
    for solver, reason in device.find(PLAIN).dropped.items():
        try:
            y = device.convolve(x, w, PLAIN, Solution(solver, "GEMM", None, 2**20, "measured"))
        except Unsupported as error:
            refused += 1
            assert error.key == "solution" and reason.ja in error.text.ja and reason.en in error.text.en
        else:  # it was only too slow to be raced
            agree(y, convolved(PLAIN, *tensors(PLAIN)))
    assert refused


def test_a_solution_that_is_none_is_refused(device):
    x, w = map(device.array, tensors(PLAIN))
    with pytest.raises(Unsupported) as caught:
        device.convolve(x, w, PLAIN, Solution("NoSuchSolver", "GEMM", 1.0, 0, "measured"))
    assert "NoSuchSolver" in caught.value.text.ja
    for wrong in ("Direct", device.find(PLAIN), 7):
        with pytest.raises(ShapeError) as caught:
            device.convolve(x, w, PLAIN, wrong)
        assert caught.value.name == "solution"


def test_a_solution_with_too_little_workspace_is_refused_with_both_figures(device):
    x, w = map(device.array, tensors(PLAIN))
    greedy = max(device.find(PLAIN), key=lambda s: s.workspace)
    small = Solution(greedy.solver, greedy.algorithm, 1.0, greedy.workspace - 1, "measured")
    with pytest.raises(Unsupported) as caught:
        device.convolve(x, w, PLAIN, small)
    assert (caught.value.need, caught.value.got) == (greedy.workspace, greedy.workspace - 1)


# A device that is told to be a GPU


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_gpu_drops_the_algorithms_that_miopen_lacks_there_for_that_type(gpu, dtype):
    problem = retyped(ConvolutionProblem(1, 8, 16, 16, 8, 3, 3, pad=(1, 1)), dtype)
    with factory.open("simulator", gpu=gpu) as device, factory.open("simulator") as plain:
        found, everything = device.find(problem), plain.find(problem)
        allowed = device.gpu.algorithms[dtype]
        assert found and {s.solver for s in found} == {s.solver for s in everything if s.algorithm in allowed}
        for solution in everything:
            if solution.algorithm not in allowed:
                reason = found.dropped[solution.solver]
                for text in reason:
                    assert gpu in text and dtype in text and solution.algorithm in text
                x, w = map(device.array, tensors(problem))
                with pytest.raises(Unsupported):
                    device.convolve(x, w, problem, solution)


def test_gfx900_has_no_winograd_in_float16_and_computes_all_the_same():
    full, half = (retyped(ConvolutionProblem(1, 8, 16, 16, 8, 3, 3, pad=(1, 1)), d) for d in ("float32", "float16"))
    with factory.open("simulator", gpu="gfx900") as device:
        assert "Winograd" in {s.algorithm for s in device.find(full)}
        found = device.find(half)
        assert not {"Winograd", "FFT"} & {s.algorithm for s in found} and found
        assert any("Winograd" in reason.en for reason in found.dropped.values())
        x, w = tensors(half)
        agree(device.convolve(device.array(x), device.array(w), half), convolved(half, x, w))
        assert {s.evidence for s in found} == {"measured"}  # here: never passed off as the GPU's


# What find remembers


def test_find_remembers_in_memory(simulator, own_db, races):
    first = simulator.find(PLAIN)
    assert list(simulator.find(PLAIN)) == list(first) and len(races) == 1
    simulator.find(PROBLEMS[1])
    assert races == [PLAIN, PROBLEMS[1]]


def test_find_remembers_in_the_users_database_over_a_new_device(own_db, races):
    with factory.open("simulator") as device:
        first = device.find(PLAIN)
    assert own_db.is_file() and len(own_db.read_text("utf-8").splitlines()) == 1
    with factory.open("simulator") as device:
        assert list(device.find(PLAIN)) == list(first) and len(races) == 1
        device.find(retyped(PLAIN, "float16"))
        assert len(races) == 2


def test_times_are_really_measured_and_kept_as_they_were(own_db):
    with factory.open("simulator") as device:
        first = device.find(PLAIN)
        assert all(s.milliseconds > 0 for s in first)
    with factory.open("simulator") as device:
        assert [(s.solver, s.milliseconds) for s in device.find(PLAIN)] == [(s.solver, s.milliseconds) for s in first]


def test_what_was_measured_in_another_setting_is_measured_again(own_db, races, monkeypatch):
    from factory.simulator import find_db

    with factory.open("simulator") as device:
        device.find(PLAIN)
    for other in ("another processor", find_db.setting().replace("numpy", "numpy 0."), ""):
        monkeypatch.setattr(find_db, "setting", lambda other=other: other)
        with factory.open("simulator") as device:
            device.find(PLAIN)
    assert len(races) == 4
    monkeypatch.undo()


def test_the_setting_names_processor_numpy_blas_and_threads():
    from factory.simulator import find_db

    setting = find_db.setting()
    assert f"numpy {np.__version__}" in setting and "1 thread" in setting and "scipy" in setting
    assert "blas" in setting.lower() and len(setting.split(", ")) >= 6 and "\t" not in setting


GARBAGE = {
    "binary": bytes(range(256)) * 20,
    "text": "これは find の記録ではありません。\n".encode(),
    "half a character": "記録".encode()[:-1],
    "json": b'{"a": 1}\n[[[\n',
    "empty": b"",
    "newlines": b"\n\n\n\r\n",
    "nul": b"\0" * 1000,
}
VALUES = [
    "1", "[1]", "[1, 2, 3]", '["a", 0]', "[NaN, 0]", "[Infinity, 0]", "[-1, 0]", "[1, -5]", "[1, Infinity]", "[1e999, 0]",
    "[1, null]", "[1" + "0" * 400 + ", 0]", "{}", "null",
]  # fmt: skip
RECORDS = [
    "{}", "[]", "null", "7", '"text"', '{"Direct": 1}', '{"Direct": [1]}', '{"Direct": [1, 2, 3]}', '{"Direct": ["a", 0]}',
    '{"Direct": [NaN, 0]}', '{"Direct": [Infinity, 0]}', '{"Direct": [-1, 0]}', '{"Direct": [1, -5]}',
    '{"Direct": [1, Infinity]}', '{"Direct": [1e999, 0]}', '{"Direct": [1, null]}', '{"Direct": [1, 0]', "",
    '{"NoSuchSolver": [1.0, 0]}', "[" * 100_000, '{"Direct": [1' + "0" * 400 + ", 0]}",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_corrupt_or_foreign_file_is_shrugged_off_and_added_to(own_db, races, garbage):
    own_db.parent.mkdir(parents=True)
    own_db.write_bytes(GARBAGE[garbage])
    with factory.open("simulator") as device:
        assert device.find(PLAIN)
    with factory.open("simulator") as device:
        assert device.find(PLAIN)
    assert len(races) == 1 and own_db.read_bytes().startswith(GARBAGE[garbage])


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_record_with_one_value_that_makes_no_sense_is_skipped_whole(own_db, races, value):
    from factory.simulator import find_db, solvers

    own_db.parent.mkdir(parents=True)
    values = {solver.name: "[1.0, 0]" for solver in solvers.SOLVERS} | {"Direct": value}
    record = ", ".join(f'"{name}": {text}' for name, text in values.items())
    own_db.write_text(f"{PLAIN}\t{find_db.setting()}\t{{{record}}}\n", "utf-8")
    with factory.open("simulator") as device:
        assert len(device.find(PLAIN)) > 2 and races == [PLAIN]


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_record_that_makes_no_sense_is_skipped(own_db, races, record):
    from factory.simulator import find_db

    own_db.parent.mkdir(parents=True)
    good = json.dumps({"Direct": [1.0, 0]})
    lines = (f"{PLAIN}\t{find_db.setting()}\t{record}", f"other\t{find_db.setting()}\t{good}")
    own_db.write_text("\n".join(lines) + "\n", "utf-8")
    with factory.open("simulator") as device:
        found = device.find(PLAIN)
    assert races == [PLAIN] and len(found) > 2
    assert find_db.FindDb()._times is None  # nothing is read before it is needed
    assert find_db._read()["other"] == {"Direct": (1.0, 0)}


def test_a_file_cut_short_loses_its_last_record_alone(own_db, races):
    with factory.open("simulator") as device:
        device.find(PLAIN)
        device.find(PROBLEMS[1])
    own_db.write_bytes(own_db.read_bytes()[:-20])
    with factory.open("simulator") as device:
        device.find(PLAIN)
        assert len(races) == 2
        device.find(PROBLEMS[1])
        assert len(races) == 3
    with factory.open("simulator") as device:
        device.find(PLAIN)
        device.find(PROBLEMS[1])
    assert len(races) == 3


def test_a_record_without_a_solver_that_applies_now_is_measured_again(own_db, races):
    from factory.simulator import find_db

    own_db.parent.mkdir(parents=True)
    own_db.write_text(f"{PLAIN}\t{find_db.setting()}\t" + json.dumps({"Direct": [0.001, 0]}) + "\n", "utf-8")
    with factory.open("simulator") as device:
        assert len(device.find(PLAIN)) > 2 and races == [PLAIN]


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_a_file_that_cannot_be_written_or_read_is_no_error(own_db, races):
    own_db.mkdir(parents=True)  # a folder in its place, which not even root can write
    with factory.open("simulator") as device:
        assert device.find(PLAIN) and device.find(PLAIN)
    assert len(races) == 1


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch, races):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FACTORY_FIND_DB", str(tmp_path / "file" / "find-db.txt"))
    with factory.open("simulator") as device:
        assert device.find(PLAIN) and device.find(PLAIN)
    assert len(races) == 1 and (tmp_path / "file").read_text() == "in the way"


def test_two_processes_that_write_at_once_keep_both_records(own_db, races):
    with factory.open("simulator") as one, factory.open("simulator") as two:
        one.find(PLAIN)
        two.find(PROBLEMS[1])
        one.find(PROBLEMS[2])
    with factory.open("simulator") as device:
        for problem in PROBLEMS[:3]:
            device.find(problem)
    assert len(races) == 3


def test_a_solver_that_is_hopeless_is_not_raced_but_can_be_asked_for(simulator, own_db, monkeypatch):
    import factory.simulator.miopen as miopen

    reason = factory.Text("作業用メモリが多すぎます。", "It would need too much workspace.")
    best = simulator.find(PLAIN)[0]
    monkeypatch.setattr(miopen._BY_NAME[best.solver], "hopeless", lambda problem: reason)
    found = simulator.find(PLAIN)
    assert found.dropped[best.solver] == reason and best.solver not in {s.solver for s in found}
    x, w = tensors(PLAIN)
    agree(simulator.convolve(simulator.array(x), simulator.array(w), PLAIN, best), convolved(PLAIN, x, w))


# The race


class Runner:
    """A solver whose runs take what it was told, on a clock of the test's own."""

    def __init__(self, name, log, clock, seconds):
        self.name, self.log, self.clock, self.seconds = name, log, clock, iter(seconds)

    def workspace(self, problem):
        return 64

    def run(self, problem, x, w, y, workspace):
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert blas and set(blas) == {1}
        assert (x.shape, w.shape, y.shape) == (problem.x_shape, problem.w_shape, problem.y_shape)
        self.log.append(self.name)
        self.clock[0] += next(self.seconds)


@pytest.fixture
def clock(monkeypatch):
    """CPU seconds that pass only when a runner says so."""
    from factory.simulator import find

    seconds = [0.0]
    monkeypatch.setattr(find, "thread_time", lambda: seconds[0])
    return seconds


def test_the_race_alternates_on_one_thread_and_the_least_time_counts(clock):
    from factory.simulator.find import race

    log = []
    one = Runner("one", log, clock, [0.003, 0.001, 0.002, 0.004, 0.004])
    two = Runner("two", log, clock, [0.002, 0.002, 0.003, 0.0015, 0.009])
    assert race(PLAIN, [one, two]) == pytest.approx({"one": 1.0, "two": 1.5})
    assert log == ["one", "two"] * 5


def test_a_solver_far_behind_runs_once_and_a_long_race_ends_early(clock):
    from factory.simulator.find import race

    log = []
    fast, slow = Runner("fast", log, clock, [0.001] * 5), Runner("slow", log, clock, [0.1] * 5)
    assert race(PLAIN, [slow, fast]) == pytest.approx({"slow": 100, "fast": 1})
    assert log == ["slow", "fast", "fast", "fast", "fast", "fast"]
    log.clear()
    race(PLAIN, [Runner("a", log, clock, [5] * 5), Runner("b", log, clock, [6] * 5)])
    assert log == ["a", "b"]


def test_a_workspace_that_this_computer_has_no_room_for_is_not_raced(monkeypatch):
    from factory.simulator import find
    from factory.simulator.solvers import SOLVERS

    greedy = max(SOLVERS, key=lambda solver: solver.workspace(PLAIN))
    monkeypatch.setattr(greedy, "workspace", lambda problem: 500 * 2**20)
    monkeypatch.setattr(greedy, "hopeless", lambda problem: None)
    assert find.out_of_the_race(greedy, PLAIN) is None
    monkeypatch.setattr(find.psutil, "virtual_memory", lambda: SimpleNamespace(available=900 * 2**20))
    reason = find.out_of_the_race(greedy, PLAIN)
    assert all(f"{500 * 2**20:,}" in text and f"{900 * 2**20:,}" in text for text in reason)


# The problem


def test_a_problem_knows_its_shapes_operations_and_bytes():
    problem = ConvolutionProblem(2, 6, 9, 11, 4, 3, 5, (1, 0), (2, 3), (2, 1), 2, "float16")
    assert (problem.x_shape, problem.w_shape) == ((2, 6, 9, 11), (4, 3, 3, 5))
    assert problem.window == (5, 5) and problem.y_shape == (2, 4, 4, 3)
    assert problem.operations == 2 * 2 * 4 * 4 * 3 * 3 * 3 * 5
    assert problem.nbytes == 2 * (2 * 6 * 9 * 11 + 4 * 3 * 3 * 5 + 2 * 4 * 4 * 3)
    assert (problem.direction, problem.layout) == ("forward", "NCHW")
    assert "groups 2" in str(problem) and "float16" in str(problem) and "stride 2,3" in str(problem)


def test_a_problem_is_a_fact_that_can_be_a_key_and_pickled():
    problem = ConvolutionProblem(1, 2, 3, 4, 5, 1, 1)
    assert {problem: 1}[ConvolutionProblem(1, 2, 3, 4, 5, 1, 1, [0, 0])] == 1
    assert pickle.loads(pickle.dumps(problem)) == problem
    with pytest.raises(AttributeError):
        problem.n = 2


def test_two_problems_never_have_the_same_name():
    base = (1, 4, 9, 8, 4, 3, 2, (1, 2), (2, 1), (1, 2), 2, "float32")
    names = {str(ConvolutionProblem(*base))}
    for position, value in ((0, 2), (1, 8), (2, 8), (3, 9), (4, 8), (5, 2), (6, 3), (7, (2, 1)), (8, (1, 2)),
                            (9, (2, 1)), (10, 4), (11, "float16")):  # fmt: skip
        changed = list(base)
        changed[position] = value
        names.add(str(ConvolutionProblem(*changed)))
    assert len(names) == 13


def test_numpys_integers_are_taken_and_do_not_overflow():
    problem = ConvolutionProblem(*np.array([64, 512, 56, 56, 512, 3, 3], np.int32), pad=np.array([1, 1]))
    assert problem == ConvolutionProblem(64, 512, 56, 56, 512, 3, 3, (1, 1))
    assert problem.operations == 2 * 64 * 512 * 56 * 56 * 512 * 9
    assert str(problem) == str(ConvolutionProblem(64, 512, 56, 56, 512, 3, 3, (1, 1)))


def problem_of(**changes):
    right = {"n": 1, "c": 4, "h": 8, "w": 8, "k": 4, "r": 3, "s": 3}
    return ConvolutionProblem(**{**right, **changes})


@pytest.mark.parametrize("name", ["n", "c", "h", "w", "k", "r", "s", "groups"])
@pytest.mark.parametrize("value", [0, -1, 1.0, "3", None, True, 2**31, float("nan")])
def test_sizes_are_whole_numbers_from_1_to_what_a_library_can_count(name, value):
    with pytest.raises(ShapeError) as caught:
        problem_of(**{name: value})
    assert caught.value.key == ("overflow" if value == 2**31 else "size")
    assert name in caught.value.text.ja or value == 2**31


@pytest.mark.parametrize("name", ["pad", "stride", "dilation"])
@pytest.mark.parametrize("value", [1, None, (1,), (1, 1, 1), (-1, 0), (0.5, 1), "11", (True, True), ("1", "1")])
def test_pad_stride_and_dilation_are_pairs_of_whole_numbers(device, name, value):
    with pytest.raises(ShapeError) as caught:
        problem_of(**{name: value})
    assert (caught.value.key, caught.value.name) == ("number", name)
    x, w = map(device.array, tensors(PLAIN))
    device.convolve(x, w, pad=(1, 1), stride=(1, 1), dilation=(1, 1))  # planned once, and still refused:
    with pytest.raises(ShapeError):
        device.convolve(x, w, **{name: value})


def test_what_does_not_fit_is_refused_with_both_shapes(device):
    for changes, key in (
        ({"groups": 3}, "convolution"), ({"c": 6, "groups": 3}, "convolution"), ({"r": 9}, "window"),
        ({"dilation": (4, 4)}, "window"), ({"stride": (0, 1)}, "number"), ({"pad": (2**31, 0)}, "overflow"),
        ({"n": 2**20, "c": 2**12}, "overflow"), ({"pad": (2**20, 2**20)}, "overflow"),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            problem_of(**changes)
        assert caught.value.key == key, changes
    x, w = device.array(numbers((1, 4, 8, 8))), device.array(numbers((4, 3, 3, 3)))
    with pytest.raises(ShapeError) as caught:
        device.convolve(x, w)
    for text in caught.value.text:
        assert "(1, 4, 8, 8)" in text and "(4, 3, 3, 3)" in text
    for arrays in ((x, w[0]), (x[0], w)):
        with pytest.raises(ShapeError) as caught:
            device.convolve(*arrays)
        assert caught.value.key == "shape"
    for groups in (0, -1, 1.0, True, "1", None):
        with pytest.raises(ShapeError):
            device.convolve(x, device.array(numbers((4, 4, 3, 3))), groups=groups)


def test_only_forward_and_nchw_for_now(device):
    for name, value in (("direction", "backward"), ("direction", None), ("layout", "NHWC"), ("layout", "nchw")):
        with pytest.raises(Unsupported) as caught:
            problem_of(**{name: value})
        assert repr(value) in caught.value.text.ja and "for now" in caught.value.text.en


@pytest.mark.parametrize("dtype", ["float64", "int8", "int32", "text", None, 3, ["a"]])
def test_a_problem_is_of_a_float_type(dtype):
    with pytest.raises(ShapeError) as caught:
        problem_of(dtype=dtype)
    assert '.astype("float32")' in caught.value.text.ja


def test_dtypes_may_be_said_as_numpy_does():
    assert problem_of(dtype=np.float16) == problem_of(dtype="float16")
    assert problem_of(dtype=FLOATS["bfloat16"]).dtype == "bfloat16"


def test_a_problem_and_arrays_that_differ_are_refused(device):
    x, w = map(device.array, tensors(PLAIN))
    other = ConvolutionProblem(1, 3, 8, 8, 4, 3, 3)
    half = retyped(PLAIN, "float16")
    assert device.convolve(x, w, other).shape == (1, 4, 6, 6)
    with pytest.raises(ShapeError) as caught:
        device.convolve(x, w, half)
    assert caught.value.key == "dtypes"
    with pytest.raises(ShapeError) as caught:
        device.convolve(w, x, PLAIN)
    assert caught.value.key == "shape"
    with pytest.raises(ShapeError) as caught:
        device.convolve(x, device.array(numbers(PLAIN.w_shape, "float16")), PLAIN)
    assert caught.value.key == "dtypes"
