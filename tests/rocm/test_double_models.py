"""Models say the same on both wings: tokens, classes, characters and pictures, at once and with the work held back."""

from __future__ import annotations

import numpy as np
import pytest
from models import SHAPES, random_llama

import factory
from factory import ModelError
from factory.models import ImageClassifier, LanguageModel
from factory.models.vision import PHOTOS
from factory.models.weights import load_checkpoint

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def simulator():
    with factory.open("simulator") as opened:
        yield opened


def loaded(load, *arguments, **options):
    """A model that is installed, or the test is skipped."""
    try:
        return load(*arguments, **options)
    except ModelError as error:
        pytest.skip(f"models: {error}")


@pytest.fixture(scope="module")
def smollm2():
    """The checkpoint, unpacked where the user keeps it and not in this run's folder."""
    return loaded(load_checkpoint, "smollm2", progress=False)


def close_to(got, want, tolerance=1e-4):
    return np.abs(got - want).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_llama_says_the_same_tokens(device, rocm_double, simulator, shape, hold):
    rocm_double.set(hold=hold)
    checkpoint = random_llama(shape)
    ours, theirs = LanguageModel(device, checkpoint), LanguageModel(simulator, checkpoint)
    assert close_to(ours.logits(IDS), theirs.logits(IDS))
    assert list(ours.generate(IDS, 30, stop=())) == list(theirs.generate(IDS, 30, stop=()))
    drawn = dict(temperature=1.0, top_k=20, seed=7, stop=())
    assert list(ours.generate(IDS, 20, **drawn)) == list(theirs.generate(IDS, 20, **drawn))


@pytest.mark.parametrize("order", [1, 12345])
def test_kernels_give_the_same_bits_whatever_the_order_of_blocks_and_threads(device, rocm_double, order):
    model = LanguageModel(device, random_llama())
    forward = model.logits(IDS)
    rocm_double.set(order=order)
    assert np.array_equal(model.logits(IDS), forward)


def test_an_answer_repeats_to_the_bit(device):
    model = LanguageModel(device, random_llama())
    assert np.array_equal(model.logits(IDS), model.logits(IDS))


def test_the_tiny_model_says_the_same_words(device, simulator):
    ours, theirs = (loaded(LanguageModel.load, d, "tiny", progress=False) for d in (device, simulator))
    for question in ("What is the capital of France?", "日本の首都はどこですか。"):
        ids = theirs.prompt(question)
        assert list(ours.generate(ids, 24, stop=())) == list(theirs.generate(ids, 24, stop=()))


def test_smollm2_says_the_same_words(smollm2, device, simulator):
    ours, theirs = LanguageModel(device, smollm2), LanguageModel(simulator, smollm2)
    ids = theirs.prompt("What is the capital of France?")
    assert close_to(ours.logits(ids), theirs.logits(ids))
    assert list(ours.generate(ids, 10, stop=())) == list(theirs.generate(ids, 10, stop=()))


def test_efficientnet_sees_the_same_things(device, simulator):
    ours, theirs = (loaded(ImageClassifier.load, d, progress=False) for d in (device, simulator))
    for photo in PHOTOS.values():
        x = ours.prepare(photo)
        assert close_to(ours.logits(x), theirs.logits(x))
        assert [name for name, _ in ours.classify(photo)] == [name for name, _ in theirs.classify(photo)]


def test_the_reader_reads_the_same_characters(device, simulator):
    from factory.models import GlyphReader

    ours, theirs = (loaded(GlyphReader.load, d) for d in (device, simulator))
    random = np.random.default_rng(0)
    for _ in range(3):
        drawing = np.zeros((40, 40), np.uint8)
        for column in random.integers(5, 35, 3):
            drawing[5:35, column : column + 3] = 255
        one, two = ours.read(drawing), theirs.read(drawing)
        assert [character for character, _ in one] == [character for character, _ in two]
        np.testing.assert_allclose([p for _, p in one], [p for _, p in two], atol=1e-4)


def test_the_painter_draws_the_same_pictures(device, simulator):
    from factory.models import GlyphPainter

    ours, theirs = (loaded(GlyphPainter.load, d) for d in (device, simulator))
    character = theirs.characters[0]
    one, two = (painter.draw(character, steps=4, seed=1) for painter in (ours, theirs))
    assert one.shape == two.shape and np.abs(one - two).max() < 1e-3
