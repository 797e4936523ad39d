"""A language model on the emulated GPU says what it says on the simulator."""

from __future__ import annotations

import numpy as np
import pytest
from models import SHAPES, random_llama

import factory
from factory.models import LanguageModel

IDS = [3, 1, 4, 1, 5]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_llama_has_the_same_logits_and_tokens(shape):
    checkpoint = random_llama(shape)
    with factory.open("rocm") as device, factory.open("simulator") as simulator:
        ours, theirs = LanguageModel(device, checkpoint), LanguageModel(simulator, checkpoint)
        got, want = ours.logits(IDS), theirs.logits(IDS)
        assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()
        assert list(ours.generate(IDS, 3, stop=())) == list(theirs.generate(IDS, 3, stop=()))


def test_a_token_of_the_tiny_model_is_the_same():
    with factory.open("rocm") as device, factory.open("simulator") as simulator:
        ours, theirs = (LanguageModel.load(wing, "tiny", progress=False) for wing in (device, simulator))
        got, want = ours.logits(IDS[:1]), theirs.logits(IDS[:1])
        assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max() and got.argmax() == want.argmax()
