"""A tower of many layers with random weights: it says nothing, and is there for its time and its memory alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import ipywidgets as widgets
import numpy as np

from factory.errors import ShapeError
from factory.lab.costs import NOTE, LayerCosts, layers_text
from factory.lab.figures import Picture, picture
from factory.lab.lens import GROOVE, tower
from factory.lab.svg import INK, PAPER, QUIET, box, duration, pair, quantity, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.checkpoint import Checkpoint, LlamaConfig, rope_frequencies
from factory.models.llama import LanguageModel

MOST = 200
CACHED = 1000  # tokens of the KV cache that the picture counts
WIDTH, HEAD, KEY_VALUE_HEADS, FEED_FORWARD = 192, 32, 2, 512

TITLE = Text("{count}の塔", "A tower of {count}")
SAYS = Text(
    "{count}の塔。トークン 1 個の時間 {time}、重み {weights}、KV キャッシュ({tokens:,} トークンぶん){cache}。",
    "A tower of {count}: {time} for a single token, weights of {weights}, a KV cache of {cache} for {tokens:,} tokens.",
)
UNITS = Text("時間、バイト", "time, bytes")
ONE_TOKEN = Text("トークン 1 個の時間 ●", "time for one token ●")
WEIGHTS = Text("重み ◇", "weights ◇")
CACHE = Text("KV キャッシュ ◇({tokens:,} トークンぶん)", "KV cache ◇ (for {tokens:,} tokens)")
LAYERS = Text("層の数:", "Layers:")


class _RandomWeights(Mapping[str, np.ndarray]):
    """A checkpoint's tensors, each drawn when it is asked for, so that the host never holds them all."""

    def __init__(self, config: LlamaConfig, seed: int) -> None:
        self._shapes = config.shapes()
        self._random = np.random.default_rng(seed)

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self._shapes[name]
        if len(shape) == 1:  # the scale of a norm
            return np.ones(shape, np.float32)
        drawn = self._random.standard_normal(shape, np.float32)
        drawn *= np.float32(shape[1] ** -0.5)  # so that a number stays about as large as it was
        return drawn

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def random_tower(model: LanguageModel, layers: int = MOST, seed: int = 0) -> LanguageModel:
    """A model of width 192 with random weights, on the device and with the tokenizer of another; 1 to 200 layers.

    Its sizes are a small Llama's: 6 heads of 32, 2 of them for keys and values, 512 numbers in the feed-forward.
    """
    if isinstance(layers, bool) or not isinstance(layers, int) or not 1 <= layers <= MOST:
        raise ShapeError("number", call="random_tower", name="layers", want=f"1..{MOST}", got=repr(layers))
    config = LlamaConfig(
        vocabulary=model.config.vocabulary, width=WIDTH, layers=layers, heads=WIDTH // HEAD,
        kv_heads=KEY_VALUE_HEADS, head_width=HEAD, feed_forward=FEED_FORWARD, context=model.config.context,
        epsilon=1e-5, rope_theta=1e4, rope_frequencies=tuple(rope_frequencies(1e4, HEAD).tolist()), tied=True,
    )  # fmt: skip
    weights = _RandomWeights(config, seed)
    return LanguageModel(model.device, Checkpoint(config, weights, model.tokenizer.data, "random"))


def tower_picture(costs: LayerCosts, layers: int) -> Picture:
    """The tower cut at so many layers, with its time for a pass and its memory."""
    if not 1 <= layers <= costs.layers:
        raise ShapeError("number", call="tower_picture", name="layers", want=f"1..{costs.layers}", got=layers)
    said = SAYS.format(
        count=layers_text(layers), time=duration(costs.milliseconds(layers)), weights=quantity(costs.weights(layers), "B"),
        cache=quantity(costs.cache(layers, CACHED), "B"), tokens=CACHED,
    )  # fmt: skip
    return picture(
        _tower_svg(costs, layers),
        TITLE.format(count=layers_text(layers)),
        said,
        units=UNITS,
        evidence=("measured", "estimated"),
        note=NOTE,
    )


def _tower_svg(costs: LayerCosts, layers: int) -> str:
    parts = [box(0, 0, 780, 330, PAPER, 12), *tower(28, 16, 96, 270, costs.layers, layers)]
    parts.append(pair(layers_text(layers), 76, 310, 16, font_weight=800))
    rows = (
        (ONE_TOKEN, costs.milliseconds(layers), costs.milliseconds(costs.layers), duration),
        (WEIGHTS, costs.weights(layers), costs.weights(costs.layers), _bytes),
        (CACHE.format(tokens=CACHED), costs.cache(layers, CACHED), costs.cache(costs.layers, CACHED), _bytes),
    )
    for row, (name, amount, whole, written) in enumerate(rows):
        y = 30 + 96 * row
        parts += [
            pair(name, 170, y + 14, 15, "start", QUIET, font_weight=700),
            box(170, y + 28, 440, 28, GROOVE, 5),
            box(170, y + 28, max(440 * amount / whole, 2), 28, INK, 5, opacity=0.7),
            word(written(amount), 764, y + 50, 24, "end", font_weight=800),
        ]
    return drawing(780, 330, *parts)


def _bytes(amount: float) -> str:
    return quantity(amount, "B")


def tower_box(costs: LayerCosts) -> widgets.Widget:
    """A slider of the tower's layers; everything was measured before."""
    slider = widgets.IntSlider(min(10, costs.layers), 1, costs.layers, layout={"width": "min(40em, 100%)"})
    bind(slider, description=LAYERS)
    return live(lambda layers: tower_picture(costs, layers), layers=slider)
