"""Whether a model fits and how fast it flows: worked out by hand, and always marked as estimated."""

from __future__ import annotations

import pytest

from factory import ShapeError, lab
from factory.gpus import GPUS
from factory.lab.fit import fit


def test_vega_56_by_hand() -> None:
    (vega,) = fit(538_060_032, [GPUS["gfx900"]])
    assert vega.share == pytest.approx(538_060_032 / (8 * 1024**3))
    assert vega.floor == pytest.approx(538_060_032 / (2048 * 1.6e9 / 8) * 1000)
    assert vega.fits


def test_the_last_byte_decides() -> None:
    memory = GPUS["gfx900"].memory
    assert [fit(memory + more, [GPUS["gfx900"]])[0].fits for more in (0, 1)] == [True, False]


def test_picture_is_an_estimate_with_its_formula_and_names_every_gpu() -> None:
    picture = lab.fit_picture(28 * 10**9)
    assert picture.evidence == ("estimated",)
    assert "bytes of weights / bandwidth" in picture.note.en and "重みのバイト数 ÷ 帯域" in picture.note.ja
    for gpu in GPUS.values():
        assert gpu.name in picture.drawing and gpu.arch in picture.description.en
    assert "gfx900 (Radeon RX Vega 56) does not fit" in picture.description.en
    assert "gfx90a (Instinct MI210) fits (41 % of memory), at least 17.1 ms" in picture.description.en


def test_box_takes_the_learners_own_model() -> None:
    box = lab.fit_box(134_515_008)
    count, kind = box.children[:2]
    assert count.value == 0.135 and "0.50 GiB" in box.view.value
    count.value, kind.value = 7, "float16"
    assert "13 GiB" in box.view.value and box.view.value.count("✖ does not fit") == 1
    kind.value = "int8"
    assert "✖" not in box.view.value


def test_a_model_without_weights_is_refused() -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ShapeError):
            fit(wrong)
