"""The answers at every depth are the model's own, and the count of right ones is a count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import factory
from factory import Text, lab
from factory.lab import ladder
from factory.models import LanguageModel

QUESTION = Text("日本の首都はどこですか?", "What is the capital of Japan?")


@pytest.fixture(scope="module")
def tiny() -> Iterator[LanguageModel]:
    with factory.open("simulator") as device:
        yield LanguageModel.load(device, "tiny")


def test_each_rung_is_what_the_model_says_there(tiny: LanguageModel) -> None:
    said = lab.ladder_picture(tiny, QUESTION.en, 2).description.en
    for layers in range(1, tiny.layers + 1):
        answer = tiny.answer(QUESTION.en, 24, layers=layers)
        assert f'{ladder.layers_text(layers).en}: "{answer or ladder.NOTHING.en}' in said


def test_quiz_counts_right_answers(tiny: LanguageModel) -> None:
    quiz = [(QUESTION, Text("東京", "Tokyo")), (QUESTION, Text("大阪", "Osaka"))]
    scores = lab.quiz_layers(tiny, quiz)
    assert scores.total == 4 and scores.right[-1] == 2 and scores.right[0] <= 2
    assert f"{tiny.layers} layers 50 %" in lab.right_plot(scores).description.en


def test_more_layers_answer_more_of_the_course_quiz(tiny: LanguageModel) -> None:
    right = lab.quiz_layers(tiny).right
    assert right[0] < right[tiny.layers // 2] < right[-1]
    assert right[-1] > 0.8 * 2 * len(ladder.QUIZ)


def test_box_follows_the_switch_until_a_question_is_written(tiny: LanguageModel) -> None:
    before = lab.state.code
    try:
        lab.use("en")
        box = lab.ladder_box(tiny, QUESTION)
        line, slider = box.children[:2]
        assert line.value == QUESTION.en
        lab.use("ja")
        assert line.value == QUESTION.ja and "東京" in box.view.value
        line.value = "2たす3は?"
        lab.use("en")
        assert line.value == "2たす3は?"
        slider.value = 1
        assert "factory-bug" not in box.view.value
    finally:
        lab.use(before)


def test_question_in_two_languages_is_answered_in_both(tiny: LanguageModel) -> None:
    answer = lab.ask(tiny, QUESTION).plain
    assert "東京" in answer.ja and "Tokyo" in answer.en
