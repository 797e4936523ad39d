"""What each depth says and costs: the lens agrees with the model cut short, and nothing in it is smoothed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy.special import softmax

import factory
from factory import ModelError, ShapeError, lab
from factory.lab import costs, lens
from factory.lab.costs import LayerCosts
from factory.lab.lens import Lens
from factory.models import LanguageModel

PROMPT = "The capital of Japan is"
COSTS = LayerCosts(5, tuple(float(i) for i in range(1, 31)), 7.0, 100, 1000, 3)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load(factory.open("simulator"), "smollm2", progress=False)


@pytest.fixture(scope="module")
def small(model: LanguageModel) -> LanguageModel:
    return lab.random_tower(model, 3)


@pytest.fixture(scope="module")
def read(model: LanguageModel) -> Lens:
    return lab.read_layers(model, PROMPT, "Tokyo")


def words(drawing: str) -> list[str]:
    """All labels of a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def made(ranks: tuple[int, ...]) -> Lens:
    guesses = tuple(((("␣a", 0.5), ("␣b", 0.25))) for _ in ranks)
    return Lens(PROMPT, guesses, "␣b", tuple(1 / rank for rank in ranks), ranks, 100, COSTS)


@pytest.mark.parametrize("layers", [1, 17, 29, 30])
def test_each_depth_says_what_the_model_cut_there_says(model: LanguageModel, read: Lens, layers: int) -> None:
    ids = model.tokenizer.encode(PROMPT)
    logits = model.logits(ids, layers=layers)[-1].astype(np.float64)
    (tokyo,) = model.tokenizer.encode(" Tokyo")
    assert read.chances[layers - 1] == pytest.approx(softmax(logits)[tokyo], rel=1e-3, abs=1e-9)
    best = model.tokenizer.decode([int(logits.argmax())])
    assert read.guesses[layers - 1][0][0] == best.replace(" ", "␣")


def test_smollm2_knows_tokyo_only_at_the_last_layer(read: Lens) -> None:
    assert read.layers == 30 and read.first == 30 and read.wanted == "␣Tokyo"
    assert max(read.chances[:-1]) < 0.05 and read.chances[-1] > 0.5
    assert all(sum(share for _, share in guesses) <= 1 + 1e-9 for guesses in read.guesses)


def test_without_a_word_the_last_best_guess_is_followed(small: LanguageModel) -> None:
    read = lab.read_layers(small, "one two")
    assert read.wanted == read.guesses[-1][0][0] and read.ranks[-1] == 1
    assert 1 <= read.first <= 3


def test_word_is_followed_as_it_would_stand_there(model: LanguageModel) -> None:
    tokyo = model.tokenizer.encode(" Tokyo")[0]
    assert lens._followed(model, PROMPT, "Tokyo") == lens._followed(model, PROMPT, "  Tokyo ") == tokyo
    assert lens._followed(model, PROMPT + " ", "Tokyo") == model.tokenizer.encode("Tokyo")[0]


def test_empty_prompt_is_refused(small: LanguageModel) -> None:
    with pytest.raises(ModelError):
        lab.read_layers(small, "")


def test_first_is_the_first_number_one_or_nothing() -> None:
    assert (made((3, 1, 1)).first, made((3, 2, 9)).first) == (2, 0)
    assert "0, that is, nowhere" in lab.lens_picture(made((3, 2, 9))).description.en


def test_picture_of_all_layers_has_a_row_for_each_with_its_own_numbers(read: Lens) -> None:
    labels = words(lab.lens_picture(read).drawing)
    for layer, rank in enumerate(read.ranks, 1):
        assert str(layer) in labels and f"{rank:,}" in labels
    bars = [
        float(r.get("width", ""))
        for r in ElementTree.fromstring(lab.lens_picture(read).drawing)
        if r.get("fill") == lens.BLUE
    ]
    assert bars == [pytest.approx(max(230 * chance, 1.5), abs=0.01) for chance in read.chances]  # as they are


def test_depth_picture_shows_guesses_time_and_memory() -> None:
    shown = lab.depth_picture(made((3, 2, 1)), 2)
    labels = words(shown.drawing)
    assert {"2 layers", "␣a", "50.0 %", "10.0 ms", "1.2 kB", "30 B"} <= set(labels)  # 7 + 1 + 2 ms, 1000 + 2 x 100 B
    assert shown.evidence == ("measured", "estimated") and "1 layer" in words(lab.depth_picture(made((3,)), 1).drawing)
    for layers in (0, 4):
        with pytest.raises(ShapeError):
            lab.depth_picture(made((3, 2, 1)), layers)


def test_costs_add_up_by_hand() -> None:
    assert COSTS.milliseconds(3) == 7 + 1 + 2 + 3 and COSTS.weights(30) == 4000
    assert (COSTS.cache(2), COSTS.cache(2, 1000)) == (30, 6000)


def test_measured_costs_are_of_this_model(model: LanguageModel, small: LanguageModel) -> None:
    device = small.device
    found = lab.measure_layers(small, [1, 2])
    assert found.layers == 3 and found.tokens == 2 and min(found.layer_ms) > 0 and found.end_ms > 0
    assert found.weights(3) == sum(array.nbytes for array in small.weights())
    real = lab.measure_layers(model, [1])
    assert real.cache(30) == 46080 and real.weights(30) == 538_060_032
    # The cache that a pass really takes, from the device's own book of what lives.
    seen: list[int] = []
    small.logits(
        [1, 2],
        on_layer=lambda *_: seen.append(
            sum(one.nbytes for one in device.memory.live() if one.name in ("key cache", "value cache"))
        ),
    )
    assert seen[0] == found.cache(3)


def test_commands_of_a_piece_of_work_are_only_its_own(small: LanguageModel) -> None:
    device = small.device
    device.timeline.clear()
    count = 0
    for enabled in (True, False):
        device.timeline.enabled = enabled
        commands = costs.ran(device, lambda: small.logits([1]))
        assert {command.layer for command in commands if command.layer} == {1, 2, 3}
        assert device.timeline.enabled is enabled
        count += len(commands)
    device.timeline.enabled = True
    assert len(list(device.timeline)) == count


def test_tower_has_random_weights_of_its_own_and_other_seeds_differ(model: LanguageModel) -> None:
    first, again, other = (lab.random_tower(model, 2, seed=seed) for seed in (0, 0, 1))
    arrays = [[array.numpy() for array in one.weights()] for one in (first, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(arrays[0], arrays[1], strict=True))
    assert not np.array_equal(arrays[0][0], arrays[2][0])
    assert not np.array_equal(first._layers[0].qkv.numpy(), first._layers[1].qkv.numpy())
    assert first.config.width == 192 and np.isfinite(first.logits([1, 2, 3])).all()
    for layers in (0, 201, True, 2.0):
        with pytest.raises(ShapeError):
            lab.random_tower(model, layers)  # type: ignore[arg-type]


def test_tower_and_growth_pictures_say_their_numbers() -> None:
    shown = lab.tower_picture(COSTS, 2)
    assert {"10.0 ms", "1.2 kB", "6.0 kB", "2 layers"} <= set(words(shown.drawing)) and shown.title.ja == "2 層の塔"
    assert lab.tower_picture(COSTS, 1).title.en == "A tower of 1 layer"
    with pytest.raises(ShapeError):
        lab.tower_picture(COSTS, 31)
    plot = lab.growth_plot(COSTS)
    assert "1 layer 8 ms" in plot.description.en and "30 層 472 ms" in plot.description.ja and "<img" in plot.html()
    box = lab.tower_box(COSTS)
    box.children[0].value = 30
    assert "472 ms" in box.view.value


def test_box_runs_a_prompt_once_and_slides_at_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, read: Lens
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(lens, "read_layers", lambda _, prompt, wanted: asked.append((prompt, wanted)) or read)
    box = lab.depth_box(model)
    prompt, wanted, slider, view = box.children
    for layers in (1, 12, 30):
        slider.value = layers
        assert f"after {layers} of 30 layers" in view.value
    assert asked == [(PROMPT, "Tokyo")]
    prompt.value, wanted.value = "The opposite of hot is", " cold "
    assert asked[-1] == ("The opposite of hot is", "cold")
    prompt.value = ""
    assert "empty" in view.value and "factory-bug" not in view.value
