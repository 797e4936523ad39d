"""GlyphReader: torch's numbers, the right characters for drawings of other hands than it was trained on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib_fontja
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import factory
from factory import ModelError
from factory.models import GlyphReader
from factory.models.glyphs import (
    _WEIGHTS,
    ALPHABETS,
    CHARACTERS,
    DIGITS,
    HIRAGANA,
    SIDE,
    load_drawing,
    normalise,
)
from factory.models.safetensors_file import open_with_metadata

FONT = next(Path(matplotlib_fontja.__file__).parent.rglob("*.ttf"))  # IPAexGothic, which is not trained on
# What a hand draws with a mouse: lines through points of a 100 x 100 picture.
STROKES = {
    "1": [[(50, 15), (50, 85)]],
    "7": [[(25, 20), (75, 20), (45, 85)]],
    "く": [[(60, 15), (30, 50), (62, 85)]],
    "つ": [[(12, 40), (60, 28), (85, 45), (75, 65), (45, 78)]],
    "へ": [[(10, 60), (35, 35), (90, 70)]],
    "い": [[(25, 25), (27, 60), (38, 70)], [(70, 28), (78, 58)]],
    "こ": [[(28, 25), (70, 25)], [(25, 60), (35, 75), (75, 75)]],
    "り": [[(32, 15), (32, 50)], [(65, 12), (66, 55), (45, 88)]],
}


def printed(character, size=120):
    picture = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(picture).text((size, size), character, 255, ImageFont.truetype(str(FONT), size), anchor="mm")
    return np.asarray(picture)


def drawn(lines, width, side=280):
    picture = Image.new("L", (side, side))
    pen, scale = ImageDraw.Draw(picture), side / 100
    for line in lines:
        points = [(x * scale, y * scale) for x, y in line]
        pen.line(points, 255, width, "curve")
        for x, y in points:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), 255)
    return np.asarray(picture)


@pytest.fixture(scope="module")
def device():
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(device):
    return GlyphReader.load(device)


@pytest.mark.parametrize("alphabet", ["digits", "hiragana"])
def test_a_font_that_was_not_trained_on_is_read(reader, alphabet):
    wrong = [c for c in ALPHABETS[alphabet] if reader.read(printed(c), alphabet)[0][0] != c]
    assert not wrong


def test_most_of_that_font_is_read_without_saying_which_alphabet(reader):
    assert sum(reader.read(printed(c))[0][0] == c for c in CHARACTERS) >= 55


@pytest.mark.parametrize("width", [8, 16, 28])
@pytest.mark.parametrize("character", STROKES)
def test_strokes_of_a_mouse_are_read(reader, character, width):
    alphabet = "digits" if character in DIGITS else "hiragana"
    assert reader.read(drawn(STROKES[character], width), alphabet)[0][0] == character


def test_digits_of_other_writers_are_read(reader):
    datasets = pytest.importorskip("sklearn.datasets", reason="peers: scikit-learn is not installed (make peers)")
    digits = datasets.load_digits()
    read = [reader.read(image, "digits")[0][0] for image in digits.images]
    assert np.mean([int(character) for character in read] == digits.target) >= 0.95


def test_scores_are_torchs(reader):
    torch = pytest.importorskip("torch", reason="peers: torch is not installed (make peers)")
    f = torch.nn.functional
    tensors, metadata = open_with_metadata(_WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float16")}
    weights = {name: torch.from_numpy(tensor.astype(np.float32)) for name, tensor in tensors.items()}
    halvings = metadata["halved after layers"].split()
    for character in "3あをん":
        drawing = normalise(printed(character))
        y = torch.from_numpy(drawing)[None, None]
        for number in map(str, range(1, reader.layers + 1)):
            y = f.conv2d(y, weights[f"convolution{number}.weight"], weights[f"convolution{number}.bias"], padding=1)
            y = f.max_pool2d(f.relu(y), 2) if number in halvings else f.relu(y)
        theirs = f.linear(y.flatten(), weights["classifier.weight"], weights["classifier.bias"]).numpy()
        ours = reader.scores(drawing)
        assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-5


def test_answers_are_a_sorted_distribution_over_the_alphabet(reader):
    image = printed("8")
    of_all = dict(reader.read(image))
    for alphabet, letters in {"all": CHARACTERS, "digits": DIGITS, "hiragana": HIRAGANA}.items():
        answers = reader.read(image, alphabet)
        assert sorted(character for character, _ in answers) == sorted(letters)
        chances = [chance for _, chance in answers]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) == pytest.approx(1, abs=1e-5)
        share = sum(of_all[letter] for letter in letters)
        assert dict(answers) == pytest.approx({c: of_all[c] / share for c in letters}, rel=1e-3, abs=1e-6)


def test_timeline_adds_up_to_the_networks_formula(device, reader):
    image = printed("あ")
    device.timeline.clear()
    reader.read(image)
    commands = list(device.timeline)
    convolved = [c for c in commands if c.call == "miopenConvolutionForwardImmediate"]
    assert [c.problem.problem for c in convolved] == list(reader.problems())
    assert [c.layer for c in convolved] == list(range(1, reader.layers + 1))
    sides, channels = (28, 14, 7, 7), (1, 24, 48, 96, 96)
    formula = [2 * 9 * channels[i] * channels[i + 1] * side**2 for i, side in enumerate(sides)]
    assert [c.operations for c in convolved] == formula
    (product,) = (c for c in commands if c.station == "rocBLAS")
    assert product.operations == 2 * 9 * 96 * 56
    assert {c.step for c in commands} == {1, 3, 5}
    assert (
        sum(weight.size for weight in reader.weights())
        == sum(9 * a * b + b for a, b in pairwise(channels)) + (9 * 96 + 1) * 56
    )


def test_reading_asks_hip_for_no_memory_and_leaves_nothing(device, reader):
    reader.read(printed("あ"))
    used = device.memory.in_use
    device.timeline.clear()
    reader.read(printed("い"), "hiragana")
    calls = [command.call for command in device.timeline]
    assert calls.count("hipMalloc") == calls.count("hipFree") == 0
    assert calls.count("hipMemcpy") == 1
    assert device.memory.in_use == used


def test_after_a_failure_in_the_middle_it_reads_on(device, reader, monkeypatch):
    used = device.memory.in_use
    with monkeypatch.context() as patch:
        patch.setattr(type(device), "pool", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError) as kept:
            reader.read(printed("ま"))
    assert device.memory.in_use == used
    assert reader.read(printed("ま"))[0][0] == "ま"
    assert kept.value is not None


def test_closing_the_reader_gives_its_memory_back():
    with factory.open("simulator") as own:
        before = own.memory.in_use
        assert GlyphReader.load(own).read(printed("5"), "digits")[0][0] == "5"
        assert own.memory.in_use == before


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_an_empty_canvas_reads_as_nothing(reader, dtype):
    assert reader.read(np.zeros((280, 280), dtype)) == []


def test_unknown_alphabet_is_named_with_the_known_ones(reader):
    with pytest.raises(ModelError, match=r"'kanji'.*'all', 'digits', 'hiragana'"):
        reader.read(printed("1"), "kanji")
    for alphabet in (None, ["digits"], 3):
        with pytest.raises(ModelError, match="There is no alphabet"):
            reader.read(printed("1"), alphabet)


@pytest.mark.parametrize(
    "image",
    [None, "1.png", [[0, 1]], np.zeros((28, 28, 3), np.uint8), np.zeros((0, 28), np.uint8), np.ones(28, np.float32),
     np.ones((28, 28), np.int64), np.ones((28, 28), complex), np.full((28, 28), "a")],
    ids=["none", "path", "list", "colour", "empty", "vector", "int64", "complex", "text"],
)  # fmt: skip
def test_what_is_no_drawing_gets_one_clear_error(reader, image):
    with pytest.raises(ModelError, match=r"\(height, width\) of uint8 or float"):
        reader.read(image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_get_one_clear_error(reader, value):
    image = printed("1").astype(np.float32)
    image[3, 3] = value
    with pytest.raises(ModelError, match="no numbers"):
        reader.read(image)


def test_dark_ink_on_paper_is_told_what_to_pass(reader):
    with pytest.raises(ModelError, match="255 - image"):
        reader.read(255 - printed("1"))
    with pytest.raises(factory.FactoryError, match="black ground"):
        reader.read(np.full((5, 5), 3.0))


def test_size_place_and_brightness_do_not_matter():
    one = normalise(printed("ぬ", 120))
    np.testing.assert_allclose(normalise(np.kron(printed("ぬ", 120), np.ones((2, 2), np.uint8))), one, atol=0.02)
    np.testing.assert_array_equal(normalise(np.pad(printed("ぬ", 120), ((90, 3), (0, 44)))), one)
    np.testing.assert_allclose(normalise(printed("ぬ", 120).astype(np.float64) * 1e-3), one, atol=1e-5)
    np.testing.assert_allclose(normalise(printed("ぬ", 120)[::-1])[::-1], one, atol=1e-5)


@pytest.mark.parametrize("character", ["1", "へ", "あ", "し", "ん"])
def test_normalised_ink_is_22_pixels_long_around_its_centre_of_mass(character):
    drawing = normalise(printed(character, 200))
    assert drawing.shape == (SIDE, SIDE)
    assert drawing.dtype == np.float32
    assert 0 <= drawing.min() < drawing.max() <= 1
    longest = max(np.flatnonzero((drawing > 0.2).any(axis))[[0, -1]] @ [-1, 1] + 1 for axis in (0, 1))
    assert 21 <= longest <= 23
    for axis in (0, 1):
        weights = drawing.sum(axis, dtype=np.float64)
        assert weights @ (np.arange(SIDE) + 0.5) / weights.sum() == pytest.approx(SIDE / 2, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (3, 2000), (2000, 2000)])
def test_ink_of_any_shape_fits_whole(shape):
    image = np.zeros((shape[0] + 2, shape[1] + 2), np.float32)
    image[1:-1, 1:-1] = 0.3
    drawing = normalise(image)
    share = min(1.0, min(shape) / max(shape))
    assert drawing.sum() == pytest.approx(22 * 22 * share, rel=0.15, abs=1)


@pytest.mark.parametrize("kind", ["chalk.png", "pen.png", "pen.jpg", "see-through.png"])
def test_files_with_bright_or_dark_ink_are_read(reader, tmp_path, kind):
    ink = printed("む")
    if kind == "see-through.png":
        picture = Image.fromarray(np.dstack((np.zeros((*ink.shape, 3), np.uint8), ink)))
    else:
        picture = Image.fromarray(ink if kind.startswith("chalk") else 230 - (ink * 0.8).astype(np.uint8))
    picture.save(tmp_path / kind)
    assert reader.read(load_drawing(tmp_path / kind))[0][0] == "む"


def test_what_is_no_picture_file_gets_one_clear_error(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ModelError, match="cannot be read as a picture"):
        load_drawing(tmp_path / "text.png")
    with pytest.raises(ModelError, match="not there"):
        load_drawing(tmp_path / "nowhere.png")


def test_damaged_weights_are_named(device):
    tensors, metadata = open_with_metadata(_WEIGHTS)
    with pytest.raises(ModelError, match=r"classifier\.weight"):
        GlyphReader(device, {name: t for name, t in tensors.items() if "convolution4" not in name}, metadata)
    broken = tensors["convolution2.bias"].copy()
    broken[0] = np.nan
    with pytest.raises(ModelError, match=r"convolution2\.bias"):
        GlyphReader(device, {**tensors, "convolution2.bias": broken}, metadata)
    with pytest.raises(ModelError, match="glyph reader"):
        GlyphReader(device, tensors, {})


def test_the_file_is_small_and_says_what_it_is():
    assert _WEIGHTS.stat().st_size < 500_000
    assert open_with_metadata(_WEIGHTS)[1]["characters"] == CHARACTERS
