"""Feature maps are what the network computed, and their pictures say of which layer and how many."""

from __future__ import annotations

import numpy as np
import pytest

import factory
from factory import ModelError, lab
from factory.lab import featuremaps
from factory.lab.featuremaps import Maps
from factory.models import PHOTOS, ImageClassifier


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return ImageClassifier.load(factory.open("simulator"), progress=False)


@pytest.fixture(scope="module")
def maps(classifier: ImageClassifier) -> list[Maps]:
    return featuremaps.feature_maps(classifier, PHOTOS["cat"])


def test_every_layer_is_there_in_its_own_size(classifier: ImageClassifier, maps: list[Maps]) -> None:
    assert [one.name for one in maps] == [block.name for block in classifier.blocks]
    shapes = [one.values.shape for one in maps]
    assert shapes[0] == (32, 112, 112) and shapes[-1] == (1280, 7, 7)
    kept = [one.values.copy() for one in maps]
    classifier.classify(PHOTOS["coffee"])  # the network writes its memory again
    assert all(np.array_equal(before, one.values) for before, one in zip(kept, maps, strict=True))


def test_first_layer_agrees_with_numpy(classifier: ImageClassifier, maps: list[Maps]) -> None:
    x = np.pad(classifier.prepare(PHOTOS["cat"])[0].astype(np.float64), ((0, 0), (0, 1), (0, 1)))
    stem = classifier.blocks[0].convolutions[0]
    w, bias = stem.weight.numpy().astype(np.float64), stem.bias.numpy()
    seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    wanted = np.clip(np.einsum("chwrs,kcrs->khw", seen, w) + bias, 0, 6)
    assert np.linalg.norm(maps[0].values - wanted) < 1e-5 * np.linalg.norm(wanted)


def test_strongest_maps_are_those_with_the_largest_spread() -> None:
    values = np.zeros((3, 4, 4), np.float32)
    values[1, 0, 0], values[2, 0, 0] = 5, 1
    assert Maps("x", values).strongest == [1, 2, 0]


def test_pictures_name_their_layer_and_draw_flat_maps_too(classifier: ImageClassifier) -> None:
    stem = lab.stem_picture(classifier, PHOTOS["cat"])
    assert stem.drawing.count("<image") == 64 and "32" in stem.description.en and "112×112" in stem.description.ja
    deep = lab.depth_maps_picture(classifier, PHOTOS["cat"], 18)
    assert "1,280" in deep.title.en and "7×7" in deep.description.en and deep.drawing.count("<image") == 13
    assert featuremaps._coloured(np.zeros((3, 3), np.float32)).getextrema() == (0, 0)


def test_box_runs_the_network_once_a_photo(classifier: ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    usual = featuremaps.feature_maps
    monkeypatch.setattr(featuremaps, "feature_maps", lambda c, photo: asked.append(photo) or usual(c, photo))
    box = lab.feature_box(classifier)
    chosen, _, slider, view = box.children
    for layer in (1, 9, 18):
        slider.value = layer
        assert f"Layer {layer} (" in view.value
    chosen.value = "rocket"
    chosen.value = "cat"
    assert asked == [PHOTOS["cat"], PHOTOS["rocket"]]


def test_what_is_no_photo_is_refused(classifier: ImageClassifier) -> None:
    with pytest.raises(ModelError):
        lab.stem_picture(classifier, b"no photo")
