"""ImageClassifier: the same numbers as the package's own torch model, and the right names for photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import factory
from factory import ModelError, ShapeError
from factory.models import ImageClassifier
from factory.models.vision import PHOTOS, _locate


@pytest.fixture(scope="module")
def device():
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def classifier(device):
    try:
        return ImageClassifier.load(device, progress=False)
    except ModelError as error:
        pytest.skip(f"models: {error}")


@pytest.fixture(scope="module")
def peer(classifier):
    torch = pytest.importorskip("torch", reason="peers: torch is not installed")
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="peers: its torch model is not installed")
    path = str(_locate("efficientnet-lite0"))
    return torch, package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_give_the_packages_own_scores_and_five_best(classifier, peer, name):
    torch, network = peer
    x = classifier.prepare(PHOTOS[name])
    with torch.no_grad():
        theirs = network(torch.from_numpy(x)).numpy()
    ours = classifier.logits(x)
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-5
    assert ours[0].argsort()[::-1][:5].tolist() == theirs[0].argsort()[::-1][:5].tolist()


def test_a_batch_of_photos_gives_each_ones_scores(classifier):
    photos = [classifier.prepare(path) for path in PHOTOS.values()]
    together = classifier.logits(np.concatenate(photos))
    for x, row in zip(photos, together, strict=True):
        np.testing.assert_allclose(classifier.logits(x)[0], row, rtol=1e-3, atol=1e-4)


def test_photos_are_named(classifier):
    best = {name: classifier.classify(path, top=1)[0][0] for name, path in PHOTOS.items()}
    assert best["cat"].startswith("tiger cat")
    assert best["coffee"].startswith("espresso")
    assert best["camera"].startswith("tripod")


def test_path_picture_and_pixels_are_the_same_photo(classifier):
    from_path = classifier.prepare(PHOTOS["cat"])
    picture = Image.open(PHOTOS["cat"])
    np.testing.assert_array_equal(from_path, classifier.prepare(str(PHOTOS["cat"])))
    np.testing.assert_array_equal(from_path, classifier.prepare(picture))
    np.testing.assert_array_equal(from_path, classifier.prepare(np.asarray(picture)))
    assert from_path.shape == (1, 3, 224, 224)
    assert from_path.dtype == np.float32


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_kind_of_picture_is_read(classifier, tmp_path, mode):
    picture = Image.open(PHOTOS["cat"]).convert("L" if mode == "I;16" else mode)
    path = tmp_path / ("photo.tiff" if mode in ("CMYK", "I;16") else "photo.png")
    (picture.convert("I;16") if mode == "I;16" else picture).save(path)
    assert classifier.prepare(path).shape == (1, 3, 224, 224)


def test_a_phones_photo_is_turned_upright(classifier, tmp_path):
    upright = Image.open(PHOTOS["rocket"])
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: to be turned a quarter clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(classifier.prepare(tmp_path / "phone.png"), classifier.prepare(PHOTOS["rocket"]))


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (1, 2000)])
def test_tiny_and_narrow_pictures_are_read(classifier, size):
    assert np.isfinite(classifier.prepare(Image.new("RGB", size))).all()


def test_bad_pictures_get_one_clear_error(classifier, tmp_path):
    text = tmp_path / "photo.jpg"
    text.write_text("no photo at all")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(PHOTOS["cat"].read_bytes()[:5000])
    nothing = tmp_path / "empty.png"
    nothing.write_bytes(b"")
    pixels = np.zeros((8, 8, 3), np.uint8)
    wrong = [
        pixels.astype(float) * np.nan,
        pixels[..., :2],
        pixels[0],
        np.zeros((0, 5, 3), np.uint8),
        None,
        7,
        tmp_path,
    ]
    for image in [text, cut, nothing, *wrong]:
        with pytest.raises(ModelError):
            classifier.prepare(image)
    with pytest.raises(ModelError, match="not there"):
        classifier.classify(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("top", [0, -1, 1001, 2.5])
def test_top_is_checked(classifier, top):
    with pytest.raises(ShapeError, match="top"):
        classifier.classify(PHOTOS["cat"], top=top)


def test_wrong_input_shape_is_named(classifier):
    with pytest.raises(ShapeError, match=r"\(1, 3, 10, 10\)"):
        classifier.logits(np.zeros((1, 3, 10, 10), np.float32))


def test_timeline_adds_up_to_the_networks_formula(device, classifier):
    x = classifier.prepare(PHOTOS["cat"])
    device.timeline.clear()
    classifier.logits(x)
    convolved = [c for c in device.timeline if c.call == "miopenConvolutionForwardImmediate"]
    assert sum(c.operations for c in convolved) == sum(p.operations for p in classifier.problems())
    assert [c.problem.problem for c in convolved] == list(classifier.problems())
    assert device.timeline.by_station()["rocBLAS"].operations == 2 * 1280 * 1000
    assert {c.layer for c in convolved} == set(range(1, classifier.layers + 1))


def test_the_second_photo_asks_hip_for_nothing_and_leaves_nothing(device, classifier):
    x = classifier.prepare(PHOTOS["cat"])
    classifier.logits(x)
    used = device.memory.in_use
    device.timeline.clear()
    classifier.logits(x)
    calls = [command.call for command in device.timeline]
    assert calls.count("hipMalloc") == calls.count("hipFree") == 0
    assert calls.count("hipMemcpy") == 1
    assert device.memory.in_use == used


@pytest.mark.parametrize("block", [0, 3, 9, 17])
def test_a_failure_in_any_layer_leaves_nothing(device, classifier, block):
    used = device.memory.in_use

    def fail(index, *_):
        if index == block:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        classifier.logits(classifier.prepare(PHOTOS["cat"]), on_layer=fail)
    assert device.memory.in_use == used
    assert kept.value is not None


def test_out_of_memory_inside_a_layer_leaves_nothing(device, classifier):
    x = classifier.prepare(PHOTOS["cat"])
    classifier.logits(x)
    used, limit = device.memory.in_use, device.memory.limit
    for room in (1, 3, 6, 9):
        device.memory.trim()
        device.memory.limit = device.memory.reserved + (room << 20)
        try:
            with pytest.raises(factory.OutOfDeviceMemory) as kept:
                classifier.logits(x)
        finally:
            device.memory.limit = limit
        assert device.memory.in_use == used
        assert kept.value.total > 0


def test_damaged_weights_are_named(device):
    with pytest.raises(ModelError, match="missing"):
        ImageClassifier(device, {})
