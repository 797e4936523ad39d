"""What notebook 01 shows: texts cut as the tokenizer cuts them, photos as the network reads them, copies as they ran."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import factory
from factory import ModelError, Text, lab
from factory.lab import copies, tensors, tokens
from factory.lab.exercises import EXERCISES, notebook_01
from factory.models import PHOTOS, ImageClassifier
from factory.models.merges import merges
from factory.models.tokenizer import Tokenizer
from factory.models.weights import load_checkpoint


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(load_checkpoint("smollm2", progress=False).tokenizer)


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return ImageClassifier.load(factory.open("simulator"), progress=False)


# Merges


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=24) | st.text("abc tok\n'1東京", max_size=30))
def test_merges_end_in_the_tokenizers_own_pieces(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert merges(tokenizer, text)[-1].pieces == [tokenizer.token_bytes(number) for number in ids]


def test_each_step_uses_one_rule_and_keeps_the_bytes(tokenizer: Tokenizer) -> None:
    steps = merges(tokenizer, " Tokyo")
    assert [b"|".join(step.pieces) for step in steps] == [
        b" |T|o|k|y|o", b" T|o|k|y|o", b" To|k|y|o", b" To|ky|o", b" To|kyo", b" Tokyo",
    ]  # fmt: skip
    rules = [step.rule for step in steps]
    assert rules[0] is None and rules[1:] == sorted(rules[1:])  # type: ignore[type-var]
    for step in merges(tokenizer, "ねこ ねこ")[1:]:
        assert b"".join(step.pieces).decode() == "ねこ ねこ"
        assert all(step.words[word][piece] for word, piece in step.places)


def test_merges_need_bytes(tokenizer: Tokenizer) -> None:
    class Other:
        data = type("Data", (), {"source": "x", "json": '{"model": {"merges": []}, "pre_tokenizer": null}'})

    with pytest.raises(ModelError, match="byte-level"):
        merges(Other(), "a")  # type: ignore[arg-type]


# Tokens


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" is", "␣is"), (b"\xe6\x9d", "E6 9D"), (b" \xe3\x81", "␣ E3 81"), ("本".encode(), "本"), (b"\n", "↵"),
        (b"\x07", "U+0007"), (b"", ""),
    ],
)  # fmt: skip
def test_pieces_are_labelled_for_people(piece: bytes, shown: str) -> None:
    assert tokens.label(piece) == shown


def test_pieces_of_one_character_stand_together() -> None:
    pieces = [b"To", b"\xe6\x9d", b"\xb1", "本".encode(), b"\xe4\xba"]
    assert tokens.characters(pieces) == [(0, 1, "To"), (1, 3, "東"), (3, 4, "本"), (4, 5, "\N{REPLACEMENT CHARACTER}")]


def test_token_picture_says_every_number(tokenizer: Tokenizer) -> None:
    text = "Hello, 東京!"
    shown = tokens.token_picture(tokenizer, text)
    ids = tokenizer.encode(text)
    assert isinstance(shown, lab.Picture)
    for sentence in shown.description:  # type: ignore[union-attr]
        assert f"{len(text)} " in sentence and f"{len(text.encode())} " in sentence and f"{len(ids)} " in sentence
        assert all(f"({number})" in sentence for number in ids)
    assert all(f">{number}<" in shown.drawing for number in ids)


def test_long_texts_are_cut_and_counted(tokenizer: Tokenizer) -> None:
    shown = tokens.token_picture(tokenizer, "あ" * 400)
    assert isinstance(shown, lab.Picture)
    assert shown.drawing.count(">7365<") == 30 and str(800 - tokens.MOST) in shown.drawing
    assert tokens.token_picture(tokenizer, "") == tokens.NOTHING


def test_merge_picture_draws_a_row_for_each_rule_or_says_why_not(tokenizer: Tokenizer) -> None:
    shown = tokens.merge_picture(tokenizer, "東京")
    assert isinstance(shown, lab.Picture)
    assert "規則 16,485" in shown.drawing and "rule 30,428" in shown.drawing
    long = tokens.merge_picture(tokenizer, "a" * 25)
    assert isinstance(long, Text) and "25" in long.ja and "25" in long.en


# Tensors


def test_sheets_hold_the_pixels_and_their_places(classifier: ImageClassifier) -> None:
    x = classifier.prepare(PHOTOS["coffee"])
    sheets = tensors.Sheets.of(x)
    assert np.array_equal((sheets.pixels.astype(np.float32) - 127) / np.float32(128), x[0])
    for channel, row, column in ((0, 0, 0), (1, 0, 0), (2, 223, 223), (1, 40, 60)):
        assert x.ravel()[sheets.place(channel, row, column)] == x[0, channel, row, column]


def test_tensor_picture_says_the_pixels_numbers(classifier: ImageClassifier) -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[...] = (200, 100, 50)
    shown = tensors.tensor_picture(classifier.prepare(Image.fromarray(pixels)), column=3, row=2)
    for sentence in shown.description:  # type: ignore[union-attr]
        for words in ("R 200 → +0.570", "G 100 → -0.211", "B 50 → -0.602", f"{2 * 224 + 3:,}", f"{50176 + 451:,}"):
            assert words in sentence, (words, sentence)


def test_tensor_box_follows_photo_and_sliders(classifier: ImageClassifier) -> None:
    box = tensors.tensor_box(classifier)
    photo, _, column, row = box.children[:4]
    before = box.view.value
    photo.value = "cat"
    assert box.view.value != before
    column.value, row.value = 0, 223
    assert f"{223 * 224:,}" in box.view.value and "factory-bug" not in box.view.value


# Copies


def test_copies_are_timed_and_leave_nothing_behind() -> None:
    with factory.open("simulator") as device:
        arrays = {"a": np.arange(7, dtype=np.int32), Text("写真", "photo"): np.ones((3, 50, 50), np.float32)[:, ::2]}
        costs = copies.measure_copies(device, arrays)
        assert [cost.nbytes for cost in costs.values()] == [28, 3 * 25 * 50 * 4]
        assert all(cost.malloc > 0 and cost.copy > 0 for cost in costs.values())
        assert device.memory.in_use == 0
        device.timeline.enabled = False
        shown = copies.copy_costs(device, arrays)
        assert device.timeline.enabled is False
    html = shown.html()
    assert "実測" in html and "GPU の時間ではありません" in html and "not of a GPU" in html
    assert "写真" in shown.drawing and "photo" in shown.drawing and "15.0 kB" in str(shown.description)


@pytest.mark.parametrize(("milliseconds", "shown"), [(0.0002, "0.2 µs"), (0.0121, "12 µs"), (3.2, "3.2 ms")])
def test_very_short_times_keep_a_digit(milliseconds: float, shown: str) -> None:
    assert copies._time(milliseconds) == shown


# The exercises


def test_exercises_agree_with_arrays() -> None:
    batch = np.empty((16, 3, 224, 224), np.float32)
    assert lab.check("batch_bytes", batch.nbytes)
    x = np.arange(3 * 224 * 224).reshape(1, 3, 224, 224)
    assert lab.check("first_green", int(x[0, 1, 0, 0]))


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("batch_bytes", ["many", 2_408_448, 602_112, 3_211_264, 19_267_584, 5]),
        ("first_green", [1.5, 1, 50_177, 224, 100_352, 200_704, 7]),
    ],
)
def test_every_hint_of_notebook_01_is_reached(name: str, answers: list[object]) -> None:
    verdicts = [lab.check(name, answer) for answer in answers]
    assert not any(verdicts)
    assert [verdict.text for verdict in verdicts] == list(EXERCISES[name].hints.values())
    assert {exercise.name for exercise in notebook_01.EXERCISES} == {"batch_bytes", "first_green"}


def test_folded_answers_are_the_solutions() -> None:
    text = (Path(__file__).parents[2] / "notebooks" / "01_prepare_the_input.ipynb").read_text("utf-8")
    for exercise in notebook_01.EXERCISES:
        assert re.search(re.escape(exercise.solution), text), exercise.name
