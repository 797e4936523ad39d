"""A drawing by mouse and by keyboard becomes strokes, ink and an answer; a picture is made and read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import factory
from factory import Device, ModelError, lab
from factory.lab import drawing, painting
from factory.lab.drawing import PEN, SIZE, Pad
from factory.lab.svg import percent
from factory.models import GlyphPainter, GlyphReader

SEVEN = (((70.0, 60.0), (170.0, 60.0), (110.0, 200.0)),)


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(device: Device) -> GlyphReader:
    return GlyphReader.load(device)


@pytest.fixture(scope="module")
def painter(device: Device) -> GlyphPainter:
    return GlyphPainter.load(device, progress=False)


def send(pad: Pad, event: str, **content: Any) -> None:
    """What the browser sends when something happens on the canvas."""
    pad._canvas._handle_frontend_event(None, {"event": event, **content}, [])


def press(pad: Pad, *keys: str) -> None:
    for key in keys:
        send(pad, "key_down", key=key, shift_key=False, ctrl_key=False, meta_key=False)


def drag(pad: Pad, *points: tuple[float, float]) -> None:
    (x, y), *rest = points
    send(pad, "mouse_down", x=x, y=y)
    for x, y in rest:
        send(pad, "mouse_move", x=x, y=y)
    send(pad, "mouse_up", x=x, y=y)


def test_mouse_draws_strokes() -> None:
    pad = Pad()
    send(pad, "mouse_move", x=5, y=5)  # no button is down
    drag(pad, (10, 20), (30, 40), (50, 60))
    drag(pad, (100, 100), (120, 100))
    assert pad.value == (((10, 20), (30, 40), (50, 60)), ((100, 100), (120, 100)))
    pad._undo.click()
    assert len(pad.value) == 1
    pad._clear.click()
    assert pad.value == () and not pad.image().any()


def test_line_is_seen_before_the_pen_is_lifted() -> None:
    pad, seen = Pad(), []
    pad.observe(lambda change: seen.append(change["new"]), "value")
    send(pad, "mouse_down", x=1, y=1)
    assert seen[-1] == (((1, 1),),)
    pad._published = 0.0  # as if a while had passed
    send(pad, "mouse_move", x=9, y=9)
    assert seen[-1] == (((1, 1), (9, 9)),)
    send(pad, "mouse_out", x=300, y=9)
    send(pad, "mouse_move", x=20, y=20)
    assert pad.value == (((1, 1), (9, 9)),)


def test_finger_draws_and_undo_in_the_middle_of_a_stroke_is_safe() -> None:
    pad = Pad()
    send(pad, "touch_start", touches=[{"x": 3, "y": 4}])
    send(pad, "touch_move", touches=[{"x": 30, "y": 40}])
    pad.undo()
    send(pad, "touch_move", touches=[{"x": 50, "y": 60}])
    send(pad, "touch_end", touches=[])
    assert pad.value == ()


def test_keyboard_draws_the_same_as_a_mouse() -> None:
    pad = Pad()
    press(pad, "ArrowUp", "ArrowUp", " ", *["ArrowDown"] * 4, " ", "ArrowLeft")
    middle = SIZE / 2
    assert pad.value == (tuple((middle, middle + 12 * step) for step in (-2, -1, 0, 1, 2)),)
    press(pad, "Backspace")
    assert pad.value == ()
    press(pad, *["ArrowLeft"] * 50, " ", " ")
    assert pad.value[0][0][0] == 0  # the pen stays on the sheet
    press(pad, "Delete", "x", "Tab")
    assert pad.value == ()


def test_ink_is_as_wide_as_the_pen() -> None:
    image = drawing.ink((((40.0, 120.0), (200.0, 120.0)),))
    assert image.shape == (SIZE, SIZE) and image.dtype == np.uint8
    assert abs(int((image[:, 120] > 0).sum()) - PEN) <= 1
    assert drawing.ink((((40.0, 120.0),),)).any()  # a dot


def test_drawn_seven_is_read(reader: GlyphReader) -> None:
    box = lab.draw_box(reader)
    pad, alphabet = box.children[:2]
    assert drawing.EMPTY.en in box.view.value
    drag(pad, *SEVEN[0])
    alphabet.value = "digits"
    assert "7 " in box.view.value.split("aria-label")[1][:200]
    assert reader.read(pad.image(), "digits")[0][0] == "7"
    pad.clear()
    assert drawing.EMPTY.en in box.view.value


def test_film_strip_shows_every_step_and_what_is_read_in_it(painter: GlyphPainter, reader: GlyphReader) -> None:
    strip = lab.film_strip(painter, "ね", 4, reader=reader)
    assert strip.drawing.count("<image") == 5 and "「ね」 (ne)" in strip.title.en
    for step, frame in enumerate(painter.frames("ね", 4)):
        answer, chance = reader.read(frame)[0]
        told = f"step {step} {'✓ ' if answer == 'ね' else ''}{answer} ({percent(chance)})"
        assert (told in strip.description.en) == (step > 0)  # of the noise itself nobody is asked
    assert "✓ ね" in strip.drawing
    many = lab.film_strip(painter, "0", 30)
    assert many.drawing.count("<image") == painting.SHOWN and ">30<" in many.drawing
    with pytest.raises(ModelError):
        lab.film_strip(painter, "漢")


def test_what_is_still_noise_and_refused_by_the_reader_has_a_question_mark(
    painter: GlyphPainter, reader: GlyphReader
) -> None:
    noise, *_, done = painter.frames("7", 2, seed=3)
    with pytest.raises(ModelError):
        reader.read(noise)
    assert painting._read(reader, noise, "7") == "?" and painting._read(reader, done, "7").startswith("✓ 7 ")


def test_paint_box_follows_its_controls_and_offers_every_character_with_its_sound(painter: GlyphPainter) -> None:
    before = lab.state.code
    try:
        lab.use("en")
        box = lab.paint_box(painter, "8")
        chosen, steps, *_ = box.children
        drawn = box.view.value
        steps.value = 2
        assert box.view.value != drawn
        assert [value for _, value in chosen.options] == list(painter.characters)
        labels = dict((value, label) for label, value in chosen.options)
        assert (labels["8"], labels["し"], labels["を"]) == ("8", "し (shi)", "を (wo)")
        lab.use("ja")
        assert chosen.value == "8" and "し" in dict(chosen.options)
        chosen.value = "む"
        assert "「む」" in box.view.value
    finally:
        lab.use(before)
