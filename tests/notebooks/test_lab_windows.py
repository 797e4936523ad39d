"""What notebook 03 slides: the window by hand is the device's convolution, and its pictures say so."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate2d
from scipy.special import erf, expit

import factory
from factory import Device, ModelError, ShapeError, lab
from factory.lab import curves, windows
from factory.models import PHOTOS

IMAGE = [[10, 10, 10, 200, 200, 200]] * 5
SOBEL = windows.FILTERS["sobel_x"][1]


@pytest.fixture
def device() -> Iterator[Device]:
    with factory.open("simulator") as opened:
        yield opened


def words(drawing: str) -> list[str]:
    """All labels of a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_page_s_window_is_760_by_hand_and_on_the_device(device: Device) -> None:
    by_hand = windows.slide(IMAGE, SOBEL)
    assert by_hand.tolist() == [[0, 760, 760, 0]] * 3
    with device.array(np.array([[IMAGE]], "float32")) as x, device.array(np.array([[SOBEL]], "float32")) as w:
        assert np.array_equal(device.convolve(x, w).numpy()[0, 0], by_hand)


@pytest.mark.parametrize(("size", "window"), [((7, 9), (3, 3)), ((5, 5), (5, 5)), ((4, 6), (1, 2))])
def test_sliding_is_a_cross_correlation(device: Device, size: tuple[int, int], window: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    image, filter = random.standard_normal(size), random.standard_normal(window)
    wanted = correlate2d(image, filter, "valid")
    assert np.allclose(windows.slide(image, filter), wanted)
    assert np.allclose(windows.filtered(device, image, filter), wanted, atol=1e-5)
    assert device.memory.in_use == 0


@pytest.mark.parametrize("image", [[[1, 2]], [], [1, 2], "text", [[1, 2], [3]], [["a"]]])
def test_what_no_window_fits_is_refused(image: object) -> None:
    with pytest.raises(ShapeError):
        windows.slide(image, SOBEL)  # type: ignore[arg-type]


def test_window_picture_shows_its_products_and_the_answers_so_far() -> None:
    shown = lab.window_picture(IMAGE, SOBEL, 2)
    labels = words(shown.drawing)
    assert "10×(-2) + 10×0 + 200×2 =" in labels and "190 + 380 + 190 =" in labels
    assert labels.count("760") == 2  # the second answer, and the sum below; the third is not there yet
    assert "190 + 380 + 190 = 760" in shown.description.ja and "190 + 380 + 190 = 760" in shown.description.en
    assert words(lab.window_picture(IMAGE, SOBEL, 12).drawing).count("760") == 6
    for place in (0, 13):
        with pytest.raises(ShapeError):
            lab.window_picture(IMAGE, SOBEL, place)


def test_window_moves_with_its_slider() -> None:
    box = lab.window_box(IMAGE, SOBEL, place=2)
    assert "190 + 380 + 190 =" in box.view.value and box.children[0].max == 12
    box.children[0].value = 4
    assert "0 + 0 + 0 =" in box.view.value


def test_filter_picture_says_what_the_values_are(device: Device) -> None:
    values = windows.filtered(device, windows.grey(PHOTOS["cat"]), SOBEL)
    shown = lab.filter_picture(device, PHOTOS["cat"])
    assert f"{values.min():.0f} to {values.max():.0f}" in shown.description.en and shown.note == windows.SIGNED
    assert lab.filter_picture(device, PHOTOS["cat"], "blur").note == windows.GREY
    assert lab.filter_picture(device, PHOTOS["cat"], [[0, 1], [0, 0]]).note == windows.GREY


def test_own_photo_is_read_and_what_is_none_is_refused(device: Device) -> None:
    data = io.BytesIO()
    Image.new("RGBA", (900, 40), "red").save(data, "PNG")
    assert windows.grey(data.getvalue()).shape[1] == 372
    for photo in (b"no photo", b""):
        with pytest.raises(ModelError):
            lab.filter_picture(device, photo)


def test_box_changes_photo_and_filter(device: Device) -> None:
    box = lab.filter_box(device)
    seen = {box.view.value}
    for child, value in ((box.children[0], "cat"), (box.children[2], "blur"), (box.children[2], "sharpen")):
        child.value = value
        assert "factory-bug" not in box.view.value and "factory-error" not in box.view.value
        seen.add(box.view.value)
    assert len(seen) == 4


def test_activation_curves_are_the_functions_that_they_are_called(device: Device) -> None:
    x = np.linspace(-8, 8, 33)
    found = curves.curves(device, x)
    wanted = {
        "relu": np.maximum(x, 0),
        "clippedrelu (ReLU6)": np.clip(x, 0, 6),
        "leakyrelu 0.1": np.where(x > 0, x, 0.1 * x),
        "elu": np.where(x > 0, x, np.expm1(x)),
        "logistic": expit(x),
        "tanh": np.tanh(x),
        "softrelu": np.logaddexp(x, 0),
        "abs": np.abs(x),
        "SiLU": x * expit(x),
        "GELU": 0.5 * x * (1 + erf(x / np.sqrt(2))),
    }
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.allclose(found[name], values, atol=1e-6), name
    assert device.memory.in_use == 0
    shown = lab.activation_plot(device)
    assert "SiLU and GELU" in shown.description.en and "<img" in shown.html()
