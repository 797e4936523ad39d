"""The reader's training: a smoke run, on one font and without the network, whose weights the package's reader takes."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="peers: torch is not installed (make peers)")
pytest.importorskip("skimage", reason="peers: scikit-image is not installed (make peers)")

import factory
from factory.models import GlyphReader
from factory.models.glyphs import CHARACTERS, SIDE
from factory.models.safetensors_file import open_with_metadata
from training import glyphs, reader, reading
from training.__main__ import main
from training.glyphs import fonts, render


@pytest.fixture(scope="module")
def drawings():
    return glyphs.make([("ipaexg", fonts.unfetched())])


def test_a_font_gives_every_character_in_every_style(drawings):
    n = len(CHARACTERS) * len(render.STYLES)
    assert (drawings.images.shape, drawings.large.shape) == ((n, SIDE, SIDE), (n, 2 * SIDE, 2 * SIDE))
    assert np.bincount(drawings.labels).tolist() == [len(render.STYLES)] * len(CHARACTERS)
    halves = drawings.large.reshape(n, SIDE, 2, SIDE, 2).mean((2, 4))
    assert np.abs(halves - drawings.images).mean() < 8


def test_pens_draw_what_was_printed_thin_and_thick(drawings):
    printed, thin, thick = (drawings[drawings.styles == style] for style in range(3))
    for one, other in ((printed, thin), (thin, thick), (printed, thick)):
        a, b = (part.images.reshape(len(part), -1).astype(float) for part in (one, other))
        alike = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
        assert alike.min() > 0.5
    assert thin.images.sum() < 0.75 * thick.images.sum()


def test_distorted_drawings_differ_and_stay_drawings(drawings):
    torch = pytest.importorskip("torch")
    large = torch.from_numpy(drawings.large[:64])
    twice = [reader.distort(large, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert twice[0].shape == (64, 1, SIDE, SIDE)
    assert torch.equal(twice[0], twice[1])
    assert (twice[0] - twice[2]).abs().mean() > 0.03
    assert 0 <= twice[0].min() < twice[0].max() <= 1


def test_a_smoke_run_learns_its_font_and_its_weights_load(tmp_path, capsys, drawings):
    out = tmp_path / "reader.safetensors"
    assert main(["reader", "--smoke", "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["smoke"]["read rightly of what it was trained on"] > 90
    with factory.open("simulator") as device:
        network = GlyphReader(device, *open_with_metadata(out))
        some = drawings[np.arange(0, len(drawings), 7)]
        read = [network.read(image)[0][0] for image in some.images]
    assert np.mean([CHARACTERS.index(character) for character in read] == some.labels) > 0.9


def test_unknown_models_are_refused_in_one_line(capsys):
    assert main(["writer"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_font_is_free_and_no_held_out_family_is_missing():
    families = {family.name: family for family in (*fonts.JAPANESE, *fonts.LATIN)}
    assert {family.licence for family in families.values()} <= {
        "OFL-1.0", "OFL-1.1", "MIT", "BSD-3-Clause", "Apache-2.0", "public domain",
    }  # fmt: skip
    assert set(reading.HELD_OUT) <= families.keys()
