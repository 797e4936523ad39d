"""The race of find as a learner sees it: who runs, who is closed and why, and who steps in."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

import factory
from factory import ConvolutionProblem, Device, Text, Unsupported, gpus, lab
from factory.lab import solvers
from factory.problem import Found, Solution
from factory.simulator.solvers import SOLVERS

PROBLEM = ConvolutionProblem(n=1, c=8, h=12, w=12, k=4, r=3, s=3, pad=(1, 1))
FULL = Found(
    [
        Solution("WinogradF4x4", "Winograd", 1.0, 5000, "measured"),
        Solution("ImplicitGemm", "ImplicitGEMM", 1.5, 600, "measured"),
        Solution("Direct", "Direct", 40.0, 500, "measured"),
    ],
    {"Fft": Text("遅い。", "slow.")},
)


@pytest.fixture
def device() -> Iterator[Device]:
    with factory.open("simulator") as opened:
        yield opened


def words(drawing: str) -> list[str]:
    """All labels of a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_race_shows_every_time_workspace_and_multiple() -> None:
    shown = lab.solver_race(FULL)
    labels = words(shown.drawing)
    assert {"1.0 ms", "1.5 ms", "40.0 ms", "5.0 kB", "×1", "×1.50", "×40", "winner", "最速"} <= set(labels)
    assert "closed" not in labels and shown.evidence == ("measured",) and "not a GPU" in shown.note.en
    assert "ImplicitGemm 1.5 ms, workspace 600 B" in shown.description.en


def test_closed_roads_stay_in_the_picture_and_the_next_steps_in() -> None:
    shown = lab.solver_race(FULL.without(["Winograd"]), FULL)
    labels = words(shown.drawing)
    assert labels.count("closed") == 1 and "steps in" in labels and "winner" not in labels
    assert "×1.50" in labels  # still against the fastest of all
    assert "closed: WinogradF4x4" in shown.description.en
    nobody = lab.solver_race(FULL.without([one.solver for one in FULL]), FULL)
    assert words(nobody.drawing).count("closed") == 3 and "not a single solver is left" in nobody.description.en


def test_bars_keep_the_order_and_the_ratio_of_the_times() -> None:
    root = ElementTree.fromstring(lab.solver_race(FULL).drawing)
    bars = [float(r.get("width", "")) for r in root if r.get("height") == "20"]
    assert bars[1] / bars[0] == pytest.approx(1.5, rel=0.02) and bars[2] == solvers._BAR


def test_empty_race_can_be_drawn() -> None:
    assert "not a single solver is left" in lab.solver_race(Found([], {})).description.en


def test_best_of_nothing_says_why_each_was_dropped(device: Device) -> None:
    found = device.find(PROBLEM)
    assert found.best == found[0]
    kinds = {one.algorithm for one in found}
    nothing = device.find(PROBLEM, without=kinds)
    with pytest.raises(Unsupported) as caught:
        _ = nothing.best
    for solver in SOLVERS:
        assert f"{solver.name}: " in caught.value.text.ja and f"{solver.name}: " in caught.value.text.en
    assert "。;" not in caught.value.text.ja


def test_ideas_are_of_those_that_ran_and_reasons_of_those_that_did_not(device: Device) -> None:
    found = device.find(PROBLEM)
    ideas, dropped = lab.solver_ideas(found), lab.dropped_table(found)
    for solver in SOLVERS:
        ran = solver.name in {one.solver for one in found}
        assert (f">{solver.name}</th>" in ideas.html) is ran
        assert (f">{solver.name}</th>" in dropped.html) is not ran
    for one in (ideas, dropped):
        assert one.html.count('lang="ja"') == one.html.count('lang="en"') > 3


def test_old_gpu_says_why_it_has_no_winograd_in_float16() -> None:
    half = ConvolutionProblem(n=1, c=8, h=12, w=12, k=4, r=3, s=3, pad=(1, 1), dtype="float16")
    with factory.open("simulator", gpu="gfx900") as old:
        table = lab.dropped_table(old.find(half))
    assert "MIOpen has no Winograd solver for float16 on gfx900." in table.html


def test_box_takes_algorithms_away_and_limits_the_workspace(device: Device) -> None:
    full = device.find(PROBLEM)
    box = lab.race_box(device, PROBLEM)
    *ticks, limit = box.children[:-1]
    assert len(ticks) == len({one.algorithm for one in full})
    assert ">winner<" in box.view.value
    ticks[0].value = False  # the kind of the fastest
    left = device.find(PROBLEM, without=[full[0].algorithm])
    assert ">steps in<" in box.view.value and box.view.value.count(">closed<") == len(full) - len(left)
    ticks[0].value = True
    for _, size in limit._options_full[:-1]:
        limit.value = size
        fits = sum(one.workspace <= size for one in full)
        assert box.view.value.count(">closed<") == len(full) - fits
    limit.value = -1
    for tick in ticks:
        tick.value = False
    assert "not a single solver is left" in box.view.value


def test_table_of_gpus_follows_gpus_py() -> None:
    html = lab.algorithm_table().html
    rows = {arch: html.split(f">{arch} <")[1].split("</tr>")[0] for arch in gpus.GPUS}
    for arch, row in rows.items():
        cells = [cell.split("</b>")[0] for cell in row.split("<b>")[1:]]
        for algorithm, sign in zip(solvers.ALGORITHMS, cells, strict=True):
            has = tuple(algorithm in gpus.GPUS[arch].algorithms[dtype] for dtype in ("float32", "float16"))
            assert solvers.SIGNS[has][0] == sign, (arch, algorithm)
    assert rows["gfx900"].count("△") == 2
