"""Train the glyph reader: a small convolutional network for 10 digits and 46 hiragana.

python -m training reader            a run with families held out, for the figures; then the run that is shipped
python -m training reader --smoke    seconds, on one font that needs no fetching; writes nothing unless --out says so
python -m training reader --check    how well the weights in the package read, and a picture of what they misread
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as f
from torch.optim.swa_utils import AveragedModel

from factory.models import glyphs as model
from factory.models.safetensors_file import open_with_metadata
from training import glyphs
from training.reading import HALVED, HELD_OUT, figures, misread, mnist_parts, normalised, percent, right

OUT = Path(model.__file__).parent.parent / "data" / "glyph_reader.safetensors"
CARD = Path(__file__).parent / "cards" / "reader.md"
WIDTHS = (24, 48, 96, 96)
"""Channels of the layers."""
STEPS, BATCH, RATE, SEED = 6000, 128, 4e-3, 5


def network() -> nn.Sequential:
    """(N, 1, 28, 28) to the scores of 56 classes: four 3 x 3 convolutions, three times halved, and a matrix."""
    layers: list[nn.Module] = []
    c = 1
    for index, k in enumerate(WIDTHS):
        layers += [nn.Conv2d(c, k, 3, padding=1, bias=False), nn.BatchNorm2d(k), nn.ReLU()]
        if index + 1 in HALVED:
            layers.append(nn.MaxPool2d(2))
        c = k
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(9 * c, len(model.CHARACTERS)))


def distort(large: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Drawings uint8 (N, 56, 56) as other hands, pens and cameras would have them: float32 (N, 1, 28, 28)."""
    n = len(large)
    x = large[:, None].float() / 255

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    def some(share: float) -> torch.Tensor:
        return torch.rand(n, generator=random) < share

    thicker, thinner, pen = some(0.2), some(0.08), int(torch.randint(1, 4, (), generator=random))
    x[thicker] = f.max_pool2d(x[thicker], 2 * pen + 1, 1, pen)
    x[thinner] = -f.max_pool2d(-x[thinner], 3, 1, 1)
    angle, shear = 0.16 * normal(n), 0.18 * normal(n)
    wide, high = 1 + 0.13 * normal(n), 1 + 0.13 * normal(n)
    rows = (angle.cos() * wide, shear - angle.sin() * high, angle.sin() * wide, angle.cos() * high)
    turn = torch.cat((torch.stack(rows, 1).view(n, 2, 2), 0.05 * normal(n, 2, 1)), 2)
    grid = f.affine_grid(turn, [n, 1, model.SIDE, model.SIDE], align_corners=False)
    for knots, strength in ((4, 0.06), (8, 0.025)):  # a slow bend of the whole, and an unsteady hand
        bend = f.interpolate(
            strength * normal(n, 2, knots, knots), (model.SIDE,) * 2, mode="bicubic", align_corners=True
        )
        grid = grid + bend.permute(0, 2, 3, 1)
    y = f.grid_sample(x, grid, align_corners=False)
    coarse = some(0.25)
    side = int(torch.randint(8, 14, (), generator=random))
    small = f.interpolate(y[coarse], (side, side), mode="area")
    y[coarse] = f.interpolate(small, (model.SIDE,) * 2, mode="bicubic", align_corners=False)
    soft = some(0.2)
    y[soft] = f.avg_pool2d(y[soft], 3, 1, 1)
    gain = 0.8 + 0.8 * torch.rand(n, 1, 1, 1, generator=random)
    return (gain * y + 0.02 * normal(*y.shape)).clamp(0, 1)


def train(large: np.ndarray, labels: np.ndarray, steps: int, minutes: float) -> nn.Sequential:
    """A network trained on drawings uint8 (N, 56, 56): its weights are the moving average of the steps' weights.

    minutes cuts it short: the learning rate falls by the steps or by the time, whichever is further on.
    """
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(large), torch.from_numpy(labels)
    weights = torch.bincount(y, minlength=len(model.CHARACTERS)).float().rsqrt()[y]
    trained = network().to(memory_format=torch.channels_last)
    average = AveragedModel(trained, multi_avg_fn=_blend, use_buffers=True)
    optimiser = torch.optim.AdamW(trained.parameters(), RATE, weight_decay=0.03)
    start = time.perf_counter()
    for step in range(steps):
        done = max(step / steps, (time.perf_counter() - start) / 60 / minutes)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / min(200, steps / 8)) * (0.5 + 0.5 * np.cos(np.pi * done))
        chosen = torch.multinomial(weights, BATCH, replacement=True, generator=random)
        with torch.autocast("cpu", torch.bfloat16):
            answer = trained(distort(x[chosen], random).contiguous(memory_format=torch.channels_last))
        loss = f.cross_entropy(answer.float(), y[chosen], label_smoothing=0.03)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update_parameters(trained)
        if step % 500 == 499:
            print(f"step {step + 1:,}, {time.perf_counter() - start:.0f} s, loss {loss.item():.3f}", flush=True)
    return average.module.eval()


def _blend(average: list[torch.Tensor], weights: list[torch.Tensor], steps: torch.Tensor) -> None:
    """Move the average a 500th of the way to the weights, further at first, when it is still that of few steps."""
    share = max(1 / 500, 9 / (float(steps) + 10))
    for mean, weight in zip(average, weights, strict=True):
        if mean.is_floating_point():  # the batch norms also count their batches
            mean.lerp_(weight, share)


def fold(network: nn.Sequential) -> dict[str, np.ndarray]:
    """The weights as they are shipped: float16, each batch norm folded into its convolution."""
    tensors, number = {}, 0
    for layer, norm in zip(network, [*list(network)[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            number += 1
            factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
            tensors[f"convolution{number}.weight"] = layer.weight * factor[:, None, None, None]
            tensors[f"convolution{number}.bias"] = norm.bias - norm.running_mean * factor
        elif isinstance(layer, nn.Linear):
            tensors |= {"classifier.weight": layer.weight, "classifier.bias": layer.bias}
    return {name: tensor.detach().half().contiguous().numpy() for name, tensor in tensors.items()}


def save(path: Path, tensors: dict[str, np.ndarray], report: dict[str, dict[str, float]]) -> None:
    """Write the weights, and in the file's header what the model needs to know of itself and how well it reads."""
    metadata = {
        "characters": model.CHARACTERS,
        "halved after layers": " ".join(map(str, HALVED)),
        "figures": json.dumps(report, ensure_ascii=False),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    path.chmod(0o644)  # it is written for its owner alone


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training reader", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds on one font, to see that it runs")
    parser.add_argument("--check", action="store_true", help="train nothing: measure the weights there are")
    parser.add_argument("--minutes", type=float, default=60, help="at most so long for each of the two runs")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.smoke:
        _smoke(options)
    elif options.check:
        tensors = open_with_metadata(options.out or OUT)[0]
        print(json.dumps(figures(tensors), indent=1))
        misread(tensors).save(CARD.with_name("reader-misread.png"))
    else:
        _train_both(options)
    return 0


def _smoke(options: argparse.Namespace) -> None:
    drawings = glyphs.make([("ipaexg", glyphs.fonts.unfetched())])
    tensors = fold(train(drawings.large, drawings.labels, min(options.steps, 60), options.minutes))
    hits = right(tensors, drawings.images / np.float32(255), drawings.labels)
    report = {"smoke": {"read rightly of what it was trained on": percent(hits)}}
    print(json.dumps(report, indent=1))
    if options.out:
        save(options.out, tensors, report)


def _train_both(options: argparse.Namespace) -> None:
    drawings = glyphs.load()
    pictures, digits = normalised(mnist_parts()[0], glyphs.LARGE)
    pictures = np.rint(pictures * 255).astype(np.uint8)
    out_of_it = np.isin(drawings.families, HELD_OUT)
    report = {}
    for run, kept in (("with families held out", ~out_of_it), ("shipped", np.ones_like(out_of_it))):
        start = time.perf_counter()
        large = np.concatenate((drawings.large[kept], pictures))
        labels = np.concatenate((drawings.labels[kept], digits))
        tensors = fold(train(large, labels, options.steps, options.minutes))
        report[run] = figures(tensors, drawings[~kept])
        report[run] |= {"drawings": len(labels), "seconds": round(time.perf_counter() - start)}
        print(run, json.dumps(report[run], indent=1), flush=True)
    save(options.out or OUT, tensors, report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
