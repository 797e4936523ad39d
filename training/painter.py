"""Train the picture maker.

python -m training painter             writes the weights that GlyphPainter loads; 30 minutes of one core
python -m training painter --resume    goes on with a run that was cut off
python -m training painter --check     what the reader makes of the package's painter, and a sheet of its pictures
python -m training painter --smoke     seconds, on one font that needs no fetching; writes nothing unless --out says so

Class-conditional flow matching (Lipman et al. 2023; Liu et al. 2023, "rectified flow"): the network learns the
velocity from grey noise to a drawing, along the straight line between the two. One drawing in eight is learned
without its class, for classifier-free guidance (Ho and Salimans 2022).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import factory
from factory.models import GlyphPainter, GlyphReader
from factory.models.glyphs import CHARACTERS, SIDE
from factory.models.painter import BLOCKS, EMBEDDING, EPSILON, GROUPS, NOISE, time_features
from training import glyphs
from training.glyphs import fonts

WEIGHTS = Path(factory.__file__).parent / "data" / "glyph_painter.safetensors"
SHEET = Path(__file__).parent / "cards" / "painter.png"
CHECKPOINT = fonts.CACHE / "painter.pt"
BRUSHES = ("aoyagi", "kouzan")
"""Families whose strokes are so broad that a pen along their middle is often no character any more."""

SEED = 0
BATCH = 128
RATE = 2e-3  # of learning at its highest; it falls to a twentieth of that
UNTOLD = 1 / 8  # of the drawings are learned without their class
NOBODY = len(CHARACTERS)  # the class that stands for none


class Block(nn.Module):
    """x + conv(act(conv(act(x)))): the act is a norm, a scale and a shift for each channel, and SiLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.zeros_(self.second.weight)  # at the start a block passes its input on

    def forward(self, x: Tensor, films: tuple[Tensor, Tensor]) -> Tensor:
        """x and the result (N, width, H, W); films as in `act`."""
        return x + self.second(act(self.first(act(x, films[0])), films[1]))


class Network(nn.Module):
    """A U-Net of two levels on 2 x 2 blocks of pixels: (N, 4, 14, 14) at 14 x 14 and 7 x 7.

    No convolution has a bias: the shifts, which depend on class and time, take its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Embedding(NOBODY + 1, EMBEDDING)
        self.time_in = nn.Linear(len(time_features(0.0)), EMBEDDING)
        self.time_out = nn.Linear(EMBEDDING, EMBEDDING, bias=False)
        narrow, wide = BLOCKS[:2]
        self.enter = nn.Conv2d(4, narrow, 3, padding=1, bias=False)
        self.down = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
        self.up = nn.Conv2d(wide, 4 * narrow, 1, bias=False)
        self.leave = nn.Conv2d(narrow, 4, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(width) for width in BLOCKS)
        channels = [width for width in BLOCKS for _ in range(2)] + [narrow]
        self.parts = [2 * width for width in channels]
        self.film = nn.Linear(EMBEDDING, sum(self.parts))
        nn.init.zeros_(self.leave.weight)
        nn.init.normal_(self.film.weight, std=0.02)
        with torch.no_grad():
            for scale_and_shift in self.film.bias.split(self.parts):
                scale, shift = scale_and_shift.chunk(2)
                scale.fill_(1)
                shift.fill_(0)

    def forward(self, x: Tensor, features: Tensor, classes: Tensor) -> Tensor:
        """Velocities (N, 4, 14, 14) of x, for `time_features` (N, T) and classes (N,)."""
        moment = self.time_out(F.silu(self.time_in(features)))
        films = self.film(F.silu(moment + self.classes(classes)))[:, :, None, None].split(self.parts, 1)
        before, lower, low, after = self.blocks
        side = before(self.enter(x), films[0:2])
        y = low(lower(self.down(side), films[2:4]), films[4:6])
        y = after(F.pixel_shuffle(self.up(y), 2) + side, films[6:8])
        return self.leave(act(y, films[8]))


def act(x: Tensor, film: Tensor) -> Tensor:
    """SiLU(scale x / rms + shift); the root of the mean square is that of a group of channels, film (N, 2 C, 1, 1)."""
    scale, shift = film.chunk(2, 1)
    per_group = x.shape[1] // GROUPS
    squares = x.unflatten(1, (GROUPS, per_group)).square().mean((2, 3, 4), dtype=torch.float32)
    over_rms = torch.rsqrt(squares + EPSILON).repeat_interleave(per_group, 1)[:, :, None, None]
    return F.silu(x * (scale * over_rms).to(x.dtype) + shift.to(x.dtype))


class Drawings:
    """The glyphs to learn, and batches of them, each slightly turned, leant, scaled and bent."""

    def __init__(self, made: glyphs.Glyphs) -> None:
        kept = made[~(np.isin(made.families, BRUSHES) & (made.styles > 0))]
        self._large = torch.from_numpy(kept.large)
        self._labels = torch.from_numpy(kept.labels)
        # Classes come up alike; within one, a family of many fonts comes up more often than one of a single font, but
        # by far less than its share.
        _, family, count = np.unique(
            np.char.add(kept.families, np.char.mod(" %d", kept.labels)), return_inverse=True, return_counts=True
        )
        weight = count[family] ** -0.5
        weight /= np.bincount(kept.labels, weight)[kept.labels]
        self._weight = torch.from_numpy(weight)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Drawings float32 (size, 1, 28, 28) in 0..1, and their classes (size,)."""
        chosen = torch.multinomial(self._weight, size, replacement=True)
        turn, lean, wide, tall = torch.randn(4, size) * torch.tensor([0.05, 0.07, 0.05, 0.05])[:, None]
        matrix = torch.zeros(size, 2, 3)
        matrix[:, 0, 0], matrix[:, 0, 1] = turn.cos() * wide.exp(), lean - turn.sin()
        matrix[:, 1, 0], matrix[:, 1, 1] = turn.sin(), turn.cos() * tall.exp()
        grid = F.affine_grid(matrix, [size, 1, SIDE, SIDE], align_corners=False)
        bend = F.interpolate(torch.randn(size, 2, 4, 4) * 0.035, SIDE, mode="bicubic", align_corners=True)
        large = self._large[chosen][:, None].float() / 255
        drawings = F.grid_sample(large, grid + bend.permute(0, 2, 3, 1), align_corners=False)
        return drawings, self._labels[chosen]


def loss_of(network: Network, drawings: Tensor, classes: Tensor) -> Tensor:
    """Mean square error of the velocities at random times."""
    size = len(classes)
    end = F.pixel_unshuffle(drawings, 2).contiguous(memory_format=torch.channels_last)
    start = NOISE + NOISE * torch.randn_like(end)
    moment = torch.sigmoid(1.2 * torch.randn(size))  # most in the middle, where there is most to decide
    features = torch.from_numpy(time_features(moment.numpy()))
    at = moment[:, None, None, None]
    told = torch.where(torch.rand(size) < UNTOLD, NOBODY, classes)
    with torch.autocast("cpu", torch.bfloat16):
        velocity = network((1 - at) * start + at * end, features, told)
    return F.mse_loss(velocity.float(), end - start)


class Run:
    """A training run, which can be cut off and go on: the network, its average over the last steps, the optimizer."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.network = Network().to(memory_format=torch.channels_last)
        self.average = Network()
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.steps = 0
        self.seconds = 0.0
        self.loss = math.nan  # a running mean

    def step(self, data: Drawings, progress: float) -> float:
        """Learn one batch, and return its loss; progress, from 0 to 1, sets the rate."""
        falling = 0.05 + 0.95 * (1 + math.cos(math.pi * min(progress, 1))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1, (self.steps + 1) / 200) * falling
        loss = loss_of(self.network, *data.batch(BATCH))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        now = loss.item()
        self.loss = now if self.steps == 1 else 0.99 * self.loss + 0.01 * now
        new = max(0.001, 9 / (self.steps + 9))  # the average forgets faster while much still changes
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), new)
        return now

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.pt")
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        torch.save(
            {**parts, "steps": self.steps, "seconds": self.seconds, "loss": self.loss, "random": torch.get_rng_state()},
            scratch,
        )
        scratch.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        kept = torch.load(path, weights_only=True)
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(kept[name])
        self.steps, self.seconds, self.loss = kept["steps"], kept["seconds"], kept["loss"]
        torch.set_rng_state(kept["random"])


def train(run: Run, data: Drawings, minutes: float, checkpoint: Path | None = None) -> None:
    """Go on until the run has had its minutes, saving a checkpoint each of them."""
    while run.seconds < 60 * minutes:
        start = time.monotonic()
        run.step(data, run.seconds / (60 * minutes))
        before, run.seconds = run.seconds, run.seconds + time.monotonic() - start
        if checkpoint and run.seconds // 60 > before // 60:
            run.save(checkpoint)
            print(f"{run.seconds / 60:.0f} min, {run.steps} steps, loss {run.loss:.4f}", flush=True)


def export(network: Network, path: Path, about: dict[str, str]) -> None:
    """Write the weights in float16, convolutions (K, C, R, S), under the names that GlyphPainter reads."""
    tensors = {name: value.contiguous().numpy().astype(np.float16) for name, value in network.state_dict().items()}
    save_file(tensors, path, about)
    path.chmod(0o644)  # it is written for its owner alone


def figures(painter: GlyphPainter, reader: GlyphReader) -> dict[str, object]:
    """What the reader reads in the painter's pictures, and how much ten of one character differ."""

    def misread(pictures: dict[str, list[np.ndarray]]) -> list[str]:
        answers = [(c, seed, *reader.read(one)[0]) for c, many in pictures.items() for seed, one in enumerate(many)]
        return [f"{c} of seed {seed} as {answer} ({chance:.2f})" for c, seed, answer, chance in answers if answer != c]

    def drawn(seeds: int, **settings: Any) -> dict[str, list[np.ndarray]]:
        return {c: [painter.draw(c, seed=seed, **settings) for seed in range(seeds)] for c in CHARACTERS}

    def percent(**settings: Any) -> float:
        pictures = drawn(4, **settings)
        return round(100 - 100 * len(misread(pictures)) / sum(map(len, pictures.values())), 1)

    ten = drawn(10)
    nearest = {c: min(float(np.abs(a - b).mean()) for a, b in itertools.combinations(ten[c], 2)) for c in CHARACTERS}
    return {
        "pictures": sum(map(len, ten.values())),
        "misread": misread(ten),
        "two of ten differ at least by": {
            c: round(nearest[c], 4) for c in sorted(nearest, key=nearest.__getitem__)[:8]
        },
        "on average over characters": round(float(np.mean(list(nearest.values()))), 4),
        "per cent read rightly, by steps": {steps: percent(steps=steps) for steps in (1, 2, 5, 20)},
        "per cent read rightly, by guidance": {g: percent(guidance=g) for g in (0, 1, 4, 10)},
    }


def sheet(painter: GlyphPainter, seeds: int = 4, columns: int = 14) -> Image.Image:
    """All characters by some seeds, below each other; at the foot the way of one from noise to picture."""
    rows = []
    for start in range(0, len(CHARACTERS), columns):
        for seed in range(seeds):
            rows.append([painter.draw(character, seed=seed) for character in CHARACTERS[start : start + columns]])
    rows.append(list(painter.frames("あ")))
    cell = SIDE + 2
    canvas = np.full((cell * len(rows), cell * columns), 0.3, np.float32)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas[y * cell + 1 : y * cell + 1 + SIDE, x * cell + 1 : x * cell + 1 + SIDE] = picture
    shown = Image.fromarray(np.uint8(canvas * 255 + 0.5))
    return shown.resize((2 * shown.width, 2 * shown.height), Image.Resampling.NEAREST)


def main(arguments: list[str]) -> int:
    """Train the picture maker; by default its weights go where GlyphPainter reads them."""
    parser = argparse.ArgumentParser(
        "python -m training painter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="how long to train, on one core (30)")
    parser.add_argument("--resume", action="store_true", help=f"go on from {CHECKPOINT}")
    parser.add_argument("--smoke", action="store_true", help="a few seconds on one font, to see that it runs")
    parser.add_argument("--out", type=Path, help="where to write the weights; --smoke writes none unless told")
    parser.add_argument("--check", action="store_true", help="train nothing: measure the package's weights")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.check:
        with factory.open("simulator") as device:
            painter = GlyphPainter.load(device)
            sheet(painter).save(SHEET)
            print(json.dumps(figures(painter, GlyphReader.load(device)), indent=1, ensure_ascii=False))
        return 0
    run = Run()
    if options.smoke:
        train(run, Drawings(glyphs.make([("ipaexg", fonts.unfetched())])), min(options.minutes, 0.05))
    else:
        if options.resume:
            run.restore(CHECKPOINT)
        train(run, Drawings(glyphs.load()), options.minutes, CHECKPOINT)
        run.save(CHECKPOINT)
    print(f"{run.steps} steps, {run.seconds / 60:.1f} min, loss {run.loss:.4f}")
    out = options.out or (None if options.smoke else WEIGHTS)
    if out:
        export(run.average, out, {"seed": str(SEED), "steps": str(run.steps), "loss": f"{run.loss:.4f}"})
    return 0
