"""Two streams really run: without a wait the reader comes too early, with one it does not."""

from __future__ import annotations

import pytest

from factory import lab
from factory.lab import streams


@pytest.mark.parametrize(("wait", "got"), [(False, (0, 0, 0, 0)), (True, (1, 2, 3, 4))])
def test_reader_gets_what_the_order_gives_it(wait: bool, got: tuple[int, ...]) -> None:
    run = lab.race(wait)
    assert run.got == got
    first, second = (run.write, run.read) if wait else (run.read, run.write)
    assert 0 == first[0] <= first[1] <= second[0] <= second[1]
    said = lab.race_picture(run).description
    assert all(", ".join(map(str, got)) in sentence for sentence in said)


def test_box_follows_its_tick() -> None:
    box = lab.stream_box()
    assert "✖ B read 0, 0, 0, 0" in box.view.value
    box.children[0].value = True
    assert "✔ B read 1, 2, 3, 4" in box.view.value


@pytest.mark.parametrize(("step", "nice"), [(0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (7, 10), (0.0012, 0.002)])
def test_axis_steps_are_round(step: float, nice: float) -> None:
    assert streams._nice(step) == pytest.approx(nice)


def test_short_and_long_jobs_are_both_drawn() -> None:
    for write, read in (((0.0, 100.0), (100.0, 100.01)), ((0.0, 0.01), (0.01, 900.0)), ((0.0, 0.0), (0.0, 0.0))):
        drawn = streams.race_picture(streams.Race(True, write, read, (1, 2, 3, 4))).drawing
        assert "nan" not in drawn and drawn.count("<rect") == 3
