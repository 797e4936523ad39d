"""GlyphPainter: the same pictures as torch makes, another for each seed, and characters that GlyphReader knows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import factory
from factory import ModelError, ShapeError
from factory.models import GlyphPainter
from factory.models.painter import _WEIGHTS, EMBEDDING, NOISE, time_features
from factory.models.safetensors_file import open_safetensors


@pytest.fixture(scope="module")
def device():
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def painter(device):
    return GlyphPainter.load(device, progress=False)


@pytest.fixture(scope="module")
def torch_draw(peer):
    """Guided Euler steps as the papers write them, by torch and the network that was trained."""
    torch = peer("torch")
    from training.painter import NOBODY, Network

    network = Network()
    weights = {name: np.float32(array) for name, array in open_safetensors(_WEIGHTS).items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def draw(character, steps, seed, guidance):
        noise = NOISE + NOISE * np.random.default_rng(seed).standard_normal((1, 1, 28, 28), np.float32)
        x = torch.nn.functional.pixel_unshuffle(torch.from_numpy(noise), 2)
        asked, nobody = (torch.tensor([label]) for label in (GlyphPainter.characters.index(character), NOBODY))
        with torch.no_grad():
            for step in range(steps):
                time = torch.from_numpy(time_features([step / steps]))
                without = network(x, time, nobody)
                x = x + (without + guidance * (network(x, time, asked) - without)) / steps
        return torch.nn.functional.pixel_shuffle(x, 2)[0, 0].clamp(0, 1).numpy()

    return draw


@pytest.mark.parametrize(
    ("character", "steps", "seed", "guidance"),
    [("3", 10, 0, 2.0), ("あ", 10, 7, 2.0), ("を", 1, 1, 1.0), ("ん", 25, 2, 4.0), ("8", 4, 3, 0.0)],
)
def test_pictures_equal_torchs(painter, torch_draw, character, steps, seed, guidance):
    ours = painter.draw(character, steps, seed, guidance)
    np.testing.assert_allclose(ours, torch_draw(character, steps, seed, guidance), atol=1e-4)


def test_a_picture_is_bright_ink_on_a_black_ground(painter):
    picture = painter.draw("あ")
    assert picture.shape == (28, 28)
    assert picture.dtype == np.float32
    assert picture.min() == 0
    assert picture.max() == 1
    assert np.median(picture) < 0.1


def test_a_seed_gives_one_picture_and_ten_seeds_ten(painter):
    for character in "4きむ":
        pictures = [painter.draw(character, seed=seed) for seed in range(10)]
        np.testing.assert_array_equal(pictures[3], painter.draw(character, seed=3))
        assert min(np.abs(a - b).mean() for a, b in itertools.combinations(pictures, 2)) > 0.02


def test_the_reader_knows_what_was_drawn(device, painter):
    from factory.models import GlyphReader

    reader = GlyphReader.load(device)
    drawn = [(character, seed) for character in "027あきすぬふむやれを" for seed in (0, 1)]
    right = [
        character for character, seed in drawn if reader.read(painter.draw(character, seed=seed))[0][0] == character
    ]
    assert len(right) >= len(drawn) - 1


def test_frames_lead_from_the_noise_to_the_picture(painter):
    frames = list(painter.frames("み", steps=6, seed=2))
    assert len(frames) == 7
    noise = NOISE + NOISE * np.random.default_rng(2).standard_normal((28, 28), np.float32)
    np.testing.assert_allclose(frames[0], noise.clip(0, 1), atol=1e-6)
    np.testing.assert_array_equal(frames[-1], painter.draw("み", steps=6, seed=2))
    left = [np.abs(frame - frames[-1]).mean() for frame in frames]
    assert left == sorted(left, reverse=True)


def test_all_characters_are_drawn_and_differ(painter):
    assert len(painter.characters) == len(set(painter.characters)) == 56
    pictures = {painter.draw(character, steps=2).tobytes() for character in painter.characters}
    assert len(pictures) == 56


def test_timeline_adds_up_to_the_networks_formula(device, painter):
    steps = 4
    device.timeline.clear()
    painter.draw("と", steps)
    convolved = [c for c in device.timeline if c.call.startswith("miopenConvolutionForward")]
    assert [c.problem.problem for c in convolved] == list(painter.problems()) * steps
    assert sum(c.operations for c in convolved) == steps * sum(p.operations for p in painter.problems())
    scales_and_shifts = 2 * (2 * 48 + 4 * 96 + 3 * 48)
    before = 2 * steps * EMBEDDING * (32 + EMBEDDING) + 2 * (2 * steps) * EMBEDDING * scales_and_shifts
    guided = steps * 2 * 2 * 2 * 28**2
    assert device.timeline.by_station()["rocBLAS"].operations == before + guided
    assert {c.layer for c in convolved} == set(range(1, painter.layers + 1))


def test_the_second_picture_asks_hip_for_nothing_and_waits_once(device, painter):
    painter.draw("い")
    used = device.memory.in_use
    device.timeline.clear()
    painter.draw("ろ", seed=4)
    calls = [command.call for command in device.timeline]
    assert calls.count("hipMalloc") == calls.count("hipFree") == calls.count("hipDeviceSynchronize") == 0
    assert calls.count("hipMemcpy") == 1
    assert calls[-1] == "hipMemcpy"
    assert device.memory.in_use == used


def test_a_strip_that_is_left_gives_its_memory_back(device, painter):
    used = device.memory.in_use
    strip = painter.frames("は")
    assert device.memory.in_use == used
    next(strip), next(strip)
    assert device.memory.in_use > used
    strip.close()
    assert device.memory.in_use == used


def test_out_of_memory_anywhere_leaves_nothing(device, painter):
    painter.draw("ほ")
    used, limit = device.memory.in_use, device.memory.limit
    device.memory.trim()
    for room in range(0, 1 << 20, 1 << 17):
        device.memory.limit = device.memory.reserved + room
        try:
            with pytest.raises(factory.OutOfDeviceMemory):
                painter.draw("ほ", steps=40)
        finally:
            device.memory.limit = limit
        assert device.memory.in_use == used
        device.memory.trim()


@pytest.mark.parametrize("character", ["ア", "漢", "が", "っ", "A", "", "あい", " ", "１", None, 3])
def test_an_unknown_character_gets_one_clear_error(painter, character):
    for ask in (painter.draw, painter.frames):
        with pytest.raises(ModelError) as error:
            ask(character)
        for sentence, right in zip(error.value.text, ("ひらがな", "hiragana"), strict=True):
            assert repr(character) in sentence
            assert right in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", -1), ("steps", 1001), ("steps", 2.5), ("steps", "10"), ("steps", None), ("steps", True),
        ("seed", -1), ("seed", 0.5), ("seed", None), ("seed", "a"),
        ("guidance", -0.1), ("guidance", 10.1), ("guidance", float("nan")), ("guidance", float("inf")),
        ("guidance", None), ("guidance", "2"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named_before_anything_runs(device, painter, name, value):
    for ask in (painter.draw, painter.frames):
        device.timeline.clear()
        with pytest.raises(ShapeError, match=name) as error:
            ask("あ", **{name: value})
        assert repr(value) in str(error.value)
        assert len(device.timeline) == 0


def test_numpy_numbers_are_taken(painter):
    ours = painter.draw("ゆ", np.int64(3), np.uint8(1), np.float32(1.5))
    np.testing.assert_array_equal(ours, painter.draw("ゆ", 3, 1, 1.5))


def test_damaged_weights_are_named(device):
    tensors = open_safetensors(_WEIGHTS)
    with pytest.raises(ModelError, match="missing"):
        GlyphPainter(device, {})
    with pytest.raises(ModelError, match=r"film\.bias"):
        GlyphPainter(device, {**tensors, "film.bias": tensors["film.bias"][:-1]})
    with pytest.raises(ModelError, match=r"leave\.weight"):
        GlyphPainter(device, {**tensors, "leave.weight": np.full_like(tensors["leave.weight"], np.nan)})


def test_the_weights_are_small_and_halves():
    assert _WEIGHTS.stat().st_size < 1.5e6
    assert {array.dtype for array in open_safetensors(_WEIGHTS).values()} == {np.dtype(np.float16)}


def test_training_runs_and_what_it_writes_can_draw(device, peer, tmp_path, capsys):
    peer("torch")
    from training import painter as training

    assert training.main(["--smoke", "--minutes", "0.03", "--out", str(tmp_path / "painter.safetensors")]) == 0
    assert "loss" in capsys.readouterr().out
    picture = GlyphPainter(device, open_safetensors(tmp_path / "painter.safetensors")).draw("あ", steps=2)
    assert np.isfinite(picture).all()


def test_training_learns_and_goes_on_where_it_was_cut_off(peer, tmp_path):
    torch = peer("torch")
    from training import glyphs
    from training import painter as training

    data = training.Drawings(glyphs.make([("ipaexg", glyphs.fonts.unfetched())]))
    run = training.Run()
    losses = [run.step(data, 0.0) for _ in range(12)]
    assert losses[-1] < 0.95 * losses[0]
    run.save(tmp_path / "run.pt")
    expected = [run.step(data, 0.5) for _ in range(2)]
    again = training.Run()
    torch.manual_seed(99)
    again.restore(tmp_path / "run.pt")
    assert [again.step(data, 0.5) for _ in range(2)] == pytest.approx(expected, rel=1e-3)
