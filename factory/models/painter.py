"""GlyphPainter on a Device: grey noise becomes the character asked for, in as many steps as one likes.

Class-conditional flow matching (Lipman et al. 2023; Liu et al. 2023, "rectified flow") with classifier-free guidance
(Ho and Salimans 2022): a network says, for a picture on its way, where each pixel has to go, and the picture follows.
Letters in shapes: C channels, S steps.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from factory.array import DeviceArray
from factory.device import Device
from factory.errors import ModelError, ShapeError
from factory.language import Text
from factory.models.glyphs import CHARACTERS, SIDE, put
from factory.models.safetensors_file import open_safetensors
from factory.problem import ConvolutionProblem

BLOCKS = (48, 96, 96, 48)
"""Channels of the blocks: at 14 x 14, twice at 7 x 7, and at 14 x 14 again."""
EMBEDDING = 128
"""Width of what stands for a class and a time."""
GROUPS = 4
"""Groups of channels that each norm takes together."""
EPSILON = 1e-5
NOISE = 0.5
"""Mean and deviation of the noise that a picture starts from; ink is 1 and the ground 0."""

_WEIGHTS = Path(__file__).parent.parent / "data" / "glyph_painter.safetensors"
_HALF = SIDE // 2  # the network sees 2 x 2 pixels as 4 channels
_NOBODY = len(CHARACTERS)  # the class that stands for none
_MOST_STEPS = 1000
_STRONGEST = 10.0
_STEPS = Text(f"1 から {_MOST_STEPS} までの整数", f"a whole number from 1 to {_MOST_STEPS}")
_SEED = Text("0 以上の整数", "a whole number, 0 or more")
_GUIDANCE = Text(f"0 から {_STRONGEST:.0f} までの数", f"a number from 0 to {_STRONGEST:.0f}")
_RACING = Text("solver を競争させています", "Racing the solvers")


def time_features(time: Any) -> np.ndarray:
    """Sines and cosines of times in 0..1 at 16 frequencies from 1 to 100 a unit: float32 (..., 32)."""
    angles = np.asarray(time, np.float64)[..., None] * np.geomspace(1, 100, 16)
    return np.concatenate((np.sin(angles), np.cos(angles)), -1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Block:
    """h + second(act(first(act(h)))): two convolutions (C, C, 3, 3), added to what came in."""

    first: DeviceArray
    second: DeviceArray


class GlyphPainter:
    """A U-Net of two levels whose every operation goes through a Device; `characters` are those that it draws."""

    characters = CHARACTERS

    def __init__(self, device: Device, tensors: dict[str, np.ndarray]) -> None:
        self.device = device
        narrow, wide = BLOCKS[:2]
        self._channels = [c for c in BLOCKS for _ in range(2)] + [narrow]  # of each norm with its scale and shift

        def weight(name: str, *shape: int) -> DeviceArray:
            return put(device, _WEIGHTS, tensors, name, shape)

        with device.timeline.at(step=1):
            self._classes = weight("classes.weight", _NOBODY + 1, EMBEDDING)
            self._time_in = weight("time_in.weight", EMBEDDING, time_features(0).size)
            self._time_bias = weight("time_in.bias", EMBEDDING)
            self._time_out = weight("time_out.weight", EMBEDDING, EMBEDDING)
            self._film = weight("film.weight", 2 * sum(self._channels), EMBEDDING)
            self._film_bias = weight("film.bias", 2 * sum(self._channels))
            self._enter = weight("enter.weight", narrow, 4, 3, 3)
            self._down = weight("down.weight", wide, narrow, 3, 3)
            self._up = weight("up.weight", 4 * narrow, wide, 1, 1)
            self._leave = weight("leave.weight", 4, narrow, 3, 3)
            self._blocks = [
                Block(*(weight(f"blocks.{i}.{part}.weight", c, c, 3, 3) for part in Block.__slots__))
                for i, c in enumerate(BLOCKS)
            ]
            # The norm is the language model's, whose weight has one number an element; here it is 1 everywhere.
            self._ones = {
                c: device.array(np.ones(c // GROUPS * side**2, np.float32), name="norm")
                for c, side in ((narrow, _HALF), (wide, _HALF // 2))
            }

    @classmethod
    def load(cls, device: Device, *, progress: bool = True) -> GlyphPainter:
        """Load the package's painter onto a device, and let `find` race its convolutions' solvers (once a computer)."""
        painter = cls(device, open_safetensors(_WEIGHTS))
        problems = sorted(set(painter.problems()), key=str)
        for problem in tqdm(problems, desc=str(_RACING), leave=False, disable=not progress, delay=1):
            device.find(problem)
        return painter

    @property
    def layers(self) -> int:
        """How many layers a step goes through: the blocks, each with what leads into it, and the way out."""
        return len(self._blocks) + 1

    def weights(self) -> Iterator[DeviceArray]:
        """All weights on the device, in order; each carries its name."""
        yield from (self._classes, self._time_in, self._time_bias, self._time_out, self._film, self._film_bias)
        yield from (self._enter, self._down, self._up, self._leave)
        for block in self._blocks:
            yield from (block.first, block.second)

    def problems(self) -> Iterator[ConvolutionProblem]:
        """The convolutions of one step, in order. N is 2: with the class and without it, side by side."""
        narrow, wide = BLOCKS[:2]

        def problem(c: int, k: int, side: int, kernel: int = 3, stride: int = 1) -> ConvolutionProblem:
            return ConvolutionProblem(2, c, side, side, k, kernel, kernel, (kernel // 2,) * 2, (stride,) * 2)

        yield problem(4, narrow, _HALF)
        yield from [problem(narrow, narrow, _HALF)] * 2
        yield problem(narrow, wide, _HALF, stride=2)
        yield from [problem(wide, wide, _HALF // 2)] * 4
        yield problem(wide, 4 * narrow, _HALF // 2, kernel=1)
        yield from [problem(narrow, narrow, _HALF)] * 2
        yield problem(narrow, 4, _HALF)

    def draw(self, character: str, steps: int = 10, seed: int = 0, guidance: float = 2.0) -> np.ndarray:
        """A picture of a character: float32 (28, 28) in 0..1, ink bright. The same seed gives the same picture.

        guidance 1 follows the class as it was learned, more makes it clearer and less varied, 0 forgets it. Raises
        ModelError for a character that is none of `characters`, ShapeError for other settings out of range.
        """
        with self._start(character, steps, seed, guidance) as run:
            for step in range(run.steps):
                run.step(step)
            return run.picture()

    def frames(self, character: str, steps: int = 10, seed: int = 0, guidance: float = 2.0) -> Iterator[np.ndarray]:
        """The noise, and the picture after each step: steps + 1 pictures, the last one that of `draw`."""
        run = self._start(character, steps, seed, guidance)

        def look() -> Iterator[np.ndarray]:
            with run:
                yield run.picture()
                for step in range(run.steps):
                    run.step(step)
                    yield run.picture()

        return look()

    def _start(self, character: str, steps: int, seed: int, guidance: float) -> _Run:
        """A run with checked settings; it takes memory when it is entered."""
        if not isinstance(character, str) or len(character) != 1 or character not in CHARACTERS:
            raise ModelError("character", got=repr(character))
        count = _whole("steps", steps, 1, _MOST_STEPS, _STEPS)
        start = _whole("seed", seed, 0, None, _SEED)
        if not isinstance(guidance, Real) or not 0 <= guidance <= _STRONGEST:
            raise ShapeError("number", call="draw", name="guidance", want=_GUIDANCE, got=repr(guidance))
        return _Run(self, CHARACTERS.index(character), count, start, float(guidance))


def _whole(name: str, value: int, least: int, most: int | None, want: Text) -> int:
    try:
        whole = operator.index(value)
    except TypeError:
        whole = -1
    if isinstance(value, bool) or whole < least or (most is not None and whole > most):
        raise ShapeError("number", call="draw", name=name, want=want, got=repr(value))
    return whole


class _Level(NamedTuple):
    """Buffers (2, C, H, W) of one resolution."""

    state: DeviceArray
    a: DeviceArray
    b: DeviceArray
    gate: DeviceArray


class _Run:
    """One picture on its way: its state, the scales and shifts of all steps, and room for what a step computes.

    All is freed at the end, also when something fails in the middle.
    """

    def __init__(self, painter: GlyphPainter, character: int, steps: int, seed: int, guidance: float) -> None:
        self._painter = painter
        self._character = character
        self.steps = steps
        self._seed = seed
        self._guidance = guidance
        self._kept = ExitStack()

    def __enter__(self) -> _Run:
        device = self._painter.device
        narrow, wide = BLOCKS[:2]
        try:
            with device.timeline.at(step=1):
                self._pixels = self._room(_HALF, 2, _HALF, 2)  # a row of blocks, a row in it, the same of columns
                self._state = self._room(2, 4, _HALF, _HALF)  # the picture twice: for the class, and for none
                self._velocity = self._room(2, 4, _HALF, _HALF)
                # Both halves of the state follow the guided velocity: none + guidance (class - none).
                rows = np.array([[self._guidance, 1 - self._guidance]] * 2, np.float32) / np.float32(self.steps)
                self._mix = self._kept.enter_context(device.array(rows, name="guidance"))
                self._high = _Level(*(self._room(2, narrow, _HALF, _HALF) for _ in range(4)))
                self._low = _Level(*(self._room(2, wide, _HALF // 2, _HALF // 2) for _ in range(4)))
                self._films = self._all_films()
                noise = np.random.default_rng(self._seed).standard_normal((SIDE, SIDE), np.float32)
                self._pixels.write((NOISE + NOISE * noise).reshape(self._pixels.shape))
                for half in self._state:
                    device.copy(self._pixels.transpose(1, 3, 0, 2), out=half.reshape(2, 2, _HALF, _HALF))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _room(self, *shape: int) -> DeviceArray:
        return self._kept.enter_context(self._painter.device.empty(shape, name="activations"))

    def _all_films(self) -> list[tuple[DeviceArray, DeviceArray]]:
        """Scale and shift (S, 2, C, 1, 1) of each norm, for every step, with the class and without it.

        They depend on class and time alone, so that a few matrix products make all of them before the first step.
        """
        painter, device, steps = self._painter, self._painter.device, self.steps
        times = self._kept.enter_context(device.array(time_features(np.arange(steps) / steps), name="times"))
        hidden, moments = self._room(steps, EMBEDDING), self._room(steps, EMBEDDING)
        device.gemm(times, painter._time_in, transpose_b=True, out=hidden)
        device.add(hidden, painter._time_bias, out=hidden)
        self._silu(hidden, moments)
        device.gemm(hidden, painter._time_out, transpose_b=True, out=moments)
        ids = np.array([self._character, _NOBODY] * steps, np.int32)
        classes = self._kept.enter_context(device.array(ids, name="classes"))
        both = self._room(2 * steps, EMBEDDING)
        device.gather(painter._classes, classes, out=both)
        pairs = both.reshape(steps, 2, EMBEDDING)
        device.add(pairs, moments.reshape(steps, 1, EMBEDDING), out=pairs)
        self._silu(both, self._room(2 * steps, EMBEDDING))
        films = self._room(2 * steps, painter._film.shape[0])
        device.gemm(both, painter._film, transpose_b=True, out=films)
        device.add(films, painter._film_bias, out=films)
        parts, start = [], 0
        for c in painter._channels:
            scale, shift = self._room(steps, 2, c, 1, 1), self._room(steps, 2, c, 1, 1)
            for part in (scale, shift):
                device.copy(films[:, start : start + c], out=part.reshape(2 * steps, c))
                start += c
            parts.append((scale, shift))
        return parts

    def step(self, step: int) -> None:
        """Move the picture on by one of its steps."""
        painter, device = self._painter, self._painter.device
        films = ((scale[step], shift[step]) for scale, shift in self._films)
        high, low, state, velocity = self._high, self._low, self._state, self._velocity
        before, lower, lowest, after = painter._blocks
        with device.timeline.at(layer=1):
            device.convolve(state, painter._enter, pad=(1, 1), out=high.state)
            self._block(before, high, films)
        with device.timeline.at(layer=2):
            device.convolve(high.state, painter._down, pad=(1, 1), stride=(2, 2), out=low.state)
            self._block(lower, low, films)
        with device.timeline.at(layer=3):
            self._block(lowest, low, films)
        with device.timeline.at(layer=4):
            # Four channels become 2 x 2 pixels of one ("pixel shuffle"), which takes them back to the upper level.
            c, h, w = BLOCKS[-1], *low.state.shape[2:]
            device.convolve(low.state, painter._up, out=high.b.reshape(2, 4 * c, h, w))
            apart = high.b.reshape(2, c, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3)
            device.copy(apart, out=high.a.reshape(2, c, h, 2, w, 2))
            device.add(high.state, high.a, out=high.state)
            self._block(after, high, films)
        with device.timeline.at(layer=5):
            self._act(high.state, high.a, high.gate, next(films))
            device.convolve(high.a, painter._leave, pad=(1, 1), out=velocity)
            device.gemm(self._mix, velocity.reshape(2, -1), beta=1.0, out=state.reshape(2, -1))

    def picture(self) -> np.ndarray:
        """The picture as it is now: float32 (28, 28), cut off at 0 and 1."""
        device = self._painter.device
        with device.timeline.at(step=5):
            apart = self._state[0].reshape(2, 2, _HALF, _HALF).transpose(2, 0, 3, 1)
            device.copy(apart, out=self._pixels)
            device.activate(self._pixels, "clippedrelu", alpha=1.0, out=self._pixels)
            return self._pixels.numpy().reshape(SIDE, SIDE)

    def _block(self, block: Block, level: _Level, films: Iterator[tuple[DeviceArray, DeviceArray]]) -> None:
        """state += second(act(first(act(state))))."""
        device = self._painter.device
        self._act(level.state, level.a, level.gate, next(films))
        device.convolve(level.a, block.first, pad=(1, 1), out=level.b)
        self._act(level.b, level.b, level.gate, next(films))
        device.convolve(level.b, block.second, pad=(1, 1), out=level.a)
        device.add(level.state, level.a, out=level.state)

    def _act(self, x: DeviceArray, y: DeviceArray, gate: DeviceArray, film: tuple[DeviceArray, DeviceArray]) -> None:
        """y = SiLU(scale x / rms + shift), the root of the mean square taken over each group of channels."""
        device, (scale, shift) = self._painter.device, film
        n, c, h, w = x.shape
        groups = (n * GROUPS, c // GROUPS * h * w)
        device.rms_norm(x.reshape(groups), self._painter._ones[c], EPSILON, out=y.reshape(groups))
        device.multiply(y, scale, out=y)
        device.add(y, shift, out=y)
        self._silu(y, gate)

    def _silu(self, x: DeviceArray, gate: DeviceArray) -> None:
        """x = x / (1 + exp(-x)), in two calls, since MIOpen has no SiLU."""
        device = self._painter.device
        device.activate(x, "logistic", out=gate)
        device.multiply(x, gate, out=x)
