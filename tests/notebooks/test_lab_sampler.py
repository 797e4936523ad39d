"""What notebook 05 shows: the chances that the model draws by, and the steps that it took."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

import factory
from factory import ShapeError, Text, lab
from factory.lab import sampler, steps
from factory.lab.exercises import EXERCISES, notebook_05
from factory.models import LanguageModel
from factory.models.sampling import probabilities

PROMPT = "Once upon a time, there was a little"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load(factory.open("simulator"), "smollm2", progress=False)


@pytest.fixture(scope="module")
def logits(model: LanguageModel) -> np.ndarray:
    return model.logits(model.tokenizer.encode(PROMPT))[-1]


def words(drawing: str) -> list[str]:
    """All labels of a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_logit_bars_show_the_highest(model: LanguageModel, logits: np.ndarray) -> None:
    shown = lab.logit_bars(model.tokenizer, logits, top=5)
    top = np.sort(logits)[::-1][:5]
    labels = words(shown.drawing)
    assert all(f"{value:.2f}" in labels for value in top)
    assert "␣girl" in labels and str(shown.description).count("␣") == 5


def test_negative_logits_reach_left_of_zero(model: LanguageModel) -> None:
    values = np.full(49152, -9.0, np.float32)
    values[:3] = 1, -1, -3
    shown = lab.logit_bars(model.tokenizer, values, top=3)
    bars = [r for r in ElementTree.fromstring(shown.drawing) if r.get("fill") == sampler.BLUE]
    zero = float(bars[0].get("x", ""))
    assert [float(bar.get("x", "")) < zero for bar in bars] == [False, True, True]


@pytest.mark.parametrize(
    "knobs", [{}, {"temperature": 0.5, "top_k": 3}, {"temperature": 2.0, "top_p": 0.6}, {"temperature": 0.0}]
)
def test_chance_bars_say_what_the_sampler_does(model: LanguageModel, logits: np.ndarray, knobs: dict) -> None:
    shown = lab.chance_bars(model.tokenizer, logits, **knobs)
    chances = probabilities(logits, **knobs)
    best = np.argsort(-logits)[:10]
    labels = words(shown.drawing)
    assert labels.count("out") == int((chances[best] == 0).sum())
    assert f"candidates left: {np.count_nonzero(chances):,} of 49,152" in labels
    for number in best[chances[best] > 0]:
        assert sampler.percent(chances[number]) in labels


def test_chances_without_knobs_are_a_softmax(model: LanguageModel, logits: np.ndarray) -> None:
    shown = lab.chance_bars(model.tokenizer, logits, top=1)
    expected = softmax(logits.astype(np.float64)).max()
    assert f"␣girl {100 * expected:.1f} %" in str(shown.description)


def test_small_chances_are_not_rounded_to_nothing() -> None:
    assert [sampler.percent(share) for share in (0.0, 1e-9, 0.0004, 0.0006, 0.38313, 1.0)] == [
        "0.0 %", "<0.1 %", "<0.1 %", "0.1 %", "38.3 %", "100.0 %"]  # fmt: skip


def test_steps_are_those_of_generate(model: LanguageModel) -> None:
    ids = model.tokenizer.encode(PROMPT)
    made = steps.steps(model, ids, 4)
    assert [step.token for step in made] == list(model.generate(ids, 4))
    assert all(step.token == step.candidates[0][0] for step in made)  # greedy
    drawn = steps.steps(model, ids, 4, temperature=1.0, seed=1)
    assert [step.token for step in drawn] == list(model.generate(ids, 4, temperature=1.0, seed=1))
    first = probabilities(model.logits(ids)[-1], 1.0)
    assert drawn[0].chance == pytest.approx(first[drawn[0].token], rel=1e-3)


def test_step_picture_shows_text_choices_and_the_end(model: LanguageModel) -> None:
    shown = steps.step_picture(model, PROMPT, 3)
    assert isinstance(shown, lab.Picture) and shown.note is steps.GREEDY
    text = model.tokenizer.decode(model.generate(model.tokenizer.encode(PROMPT), 3))
    assert " ".join((PROMPT + text).split()) in " ".join(words(shown.drawing))
    assert steps.ENDED.en not in words(shown.drawing)
    chat = model.tokenizer.chat("What is the capital of Japan?")
    taken = steps.steps(model, model.tokenizer.encode(chat), 12)
    assert len(taken) == 7  # "The capital of Japan is Tokyo." and then the stop token
    assert steps.ENDED.en in words(steps._rows(model, "", taken, ended=True))


def test_prompts_that_cannot_be_taken_are_explained(model: LanguageModel) -> None:
    assert steps.step_picture(model, "") == sampler.EMPTY
    told = steps.step_picture(model, "あ" * 100)
    assert isinstance(told, Text) and "200" in told.ja and "200" in told.en


def test_sampler_box_computes_the_logits_once_a_prompt(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = LanguageModel.logits
    monkeypatch.setattr(LanguageModel, "logits", lambda self, ids: calls.append(len(ids)) or real(self, ids))
    box = lab.sampler_box(model, PROMPT)
    prompt, temperature, top_k, top_p = box.children[:4]
    before = box.view.value
    temperature.value = 0.5
    assert box.view.value != before
    top_k.value, top_p.value = 3, 0.6
    assert len(calls) == 1 and "factory-bug" not in box.view.value
    prompt.value = "The capital of Japan is"
    assert len(calls) == 2 and "␣Tokyo" in box.view.value
    prompt.value = ""
    assert sampler.EMPTY.en in box.view.value and len(calls) == 2


def test_temperature_below_zero_is_refused_in_words(model: LanguageModel) -> None:
    with pytest.raises(ShapeError) as caught:
        model.generate([1], temperature=-1)
    assert "0 以上の数" in caught.value.text.ja and "0 or more" in caught.value.text.en


# The exercises


def test_exercises_agree_with_the_sampler() -> None:
    left = np.count_nonzero(probabilities(np.log([0.6, 0.3, 0.1]), top_p=0.8))
    assert lab.check("top_p_left", left)
    with factory.open("simulator") as device:
        scores = np.array([[8.2, 1.4, 0.9]], np.float32)
        before, after = (device.softmax(device.array(each)).numpy() for each in (scores, scores + 5))
        assert np.round(100 * before, 1).tolist() == [[np.float32(99.8), np.float32(0.1), np.float32(0.1)]]
    np.testing.assert_allclose(before, after, rtol=1e-5)
    for answer in ("same", " Same ", "同じ", "変わらない。"):
        assert lab.check("shifted_logits", answer)


@pytest.mark.parametrize(
    ("name", "answers"),
    [("top_p_left", ["two", 1, 3, 0]), ("shifted_logits", ["大きくなる", "smaller", 5])],
)
def test_every_hint_of_notebook_05_is_reached(name: str, answers: list[object]) -> None:
    verdicts = [lab.check(name, answer) for answer in answers]
    assert not any(verdicts)
    assert [verdict.text for verdict in verdicts] == list(EXERCISES[name].hints.values())


def test_folded_answers_are_the_solutions() -> None:
    path = Path(__file__).parents[2] / "notebooks" / "05_return_the_output.ipynb"
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    for exercise in notebook_05.EXERCISES:
        asked = next(at for at, cell in enumerate(cells) if f'check("{exercise.name}"' in cell)
        assert f"```python\n{exercise.solution}\n```" in cells[asked + 1]
