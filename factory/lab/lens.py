"""What each depth of a language model says: the final norm and the output matrix on the state after every layer.

This is the logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens"). The chances are shown as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from factory.array import DeviceArray
from factory.errors import ModelError, ShapeError
from factory.lab.costs import LayerCosts, layers_text, measure_layers
from factory.lab.figures import Picture, picture
from factory.lab.sampler import percent, prompt_ids, prompt_line
from factory.lab.svg import BLUE, INK, ORANGE, PAPER, QUIET, SKY, box, duration, line, pair, quantity, word, wrapped
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.lab.tokens import label
from factory.language import Text
from factory.models.llama import LanguageModel

GUESSES = 5
GROOVE = "#e3e8ed"

TITLE = Text("層ごとに聞いてみた: 次の言葉は?", "Asked after every layer: what comes next?")
SAYS = Text(
    "「{prompt}」の次の言葉を、{layers} 個の深さで聞いた。1 位の言葉は、{list}。「{wanted}」の確率は最後の層で {chance}、"
    "はじめて 1 位になるのは {first} 層目。",
    'What follows "{prompt}", asked at each of {layers} depths. Best guesses: {list}. "{wanted}" ends at {chance}, and is '
    "number 1 first at layer {first}.",
)
NEVER = Text("どこでもない(0)", "0, that is, nowhere")
UNITS = Text("確率(%)、{all:,} 個のトークンの中の順位", "probability (%), rank among {all:,} tokens")
HEADS = (
    Text("層", "layer"),
    Text("いちばんの候補", "best guess"),
    Text("「{wanted}」の確率", 'chance of "{wanted}"'),
    Text("順位", "rank"),
)
AT = Text("{k} 層まで通したときの、次の言葉", "The next word after {k} of {layers} layers")
AT_SAY = Text(
    "{count}まで: {guesses}。「{wanted}」は {chance}、{rank:,} 位。時間 {time}、重み {weights}、KV キャッシュ {cache}。",
    'After {count}: {guesses}. "{wanted}" {chance}, rank {rank:,}. Time {time}, weights {weights}, KV cache {cache}.',
)
AT_UNITS = Text("確率(%)、時間、バイト", "probability (%), time, bytes")
NOTE = Text(
    "● は、ここで測った確率と時間です(シミュレーターの時間は、GPU の時間ではありません)。◇ は、形から計算したメモリです。",
    "● are chances and time taken here (a simulator's times are not a GPU's), ◇ is memory, computed from the shapes.",
)
BEST = Text("この深さの答え", "what this depth says")
WANTED = Text("「{wanted}」", '"{wanted}"')
RANK = Text("{rank:,} 位({all:,} 個のうち)", "rank {rank:,} of {all:,}")
TIME = Text("時間 ●", "time ●")
WEIGHTS = Text("重み ◇", "weights ◇")
CACHE = Text("KV キャッシュ ◇({tokens} トークン)", "KV cache ◇ ({tokens} tokens)")
OF_ALL = Text("{layers} 層で {whole}", "{whole} with {layers} layers")
LAYERS = Text("層の数:", "Layers:")
FOLLOW = Text("追いかける言葉:", "Follow:")
FOLLOW_WRITE = Text("空なら、最後の層のいちばんの候補", "left empty: the last layer's best")


@dataclass(frozen=True)
class Lens:
    """What every depth of a model says after a prompt.

    guesses: for each layer the best tokens, each (its text, its chance); wanted: the text of the token followed, with
    its chance and its rank (1 is best) after each layer.
    """

    prompt: str
    guesses: tuple[tuple[tuple[str, float], ...], ...]
    wanted: str
    chances: tuple[float, ...]
    ranks: tuple[int, ...]
    vocabulary: int
    costs: LayerCosts

    @property
    def layers(self) -> int:
        """How many layers the model has."""
        return len(self.guesses)

    @property
    def first(self) -> int:
        """The first layer, counted from 1, that puts the word followed at number 1; 0 where none does."""
        return self.ranks.index(1) + 1 if 1 in self.ranks else 0


def read_layers(model: LanguageModel, prompt: str, wanted: str = "") -> Lens:
    """Ask a model at every depth what comes next, in one pass; then measure what its layers cost.

    wanted is the word to follow, by its first token; left empty, it is the best guess of the last layer.
    """
    ids = model.tokenizer.encode(prompt)
    if not ids:
        raise ModelError("empty_prompt")
    rows: list[np.ndarray] = []

    def ask(index: int, hidden: DeviceArray) -> None:
        rows.append(model.readout(hidden[len(ids) - 1 :])[0])

    model.logits(ids, on_layer=ask)
    followed = _followed(model, prompt, wanted) if wanted.strip() else int(rows[-1].argmax())
    guesses, chances, ranks = [], [], []
    for logits in rows:
        shares = np.exp(logits.astype(np.float64) - logits.max())
        shares /= shares.sum()
        best = np.argsort(-logits, kind="stable")[:GUESSES]
        guesses.append(tuple((_name(model, int(token)), float(shares[token])) for token in best))
        chances.append(float(shares[followed]))
        ranks.append(1 + int(np.count_nonzero(logits > logits[followed])))
    return Lens(
        prompt, tuple(guesses), _name(model, followed), tuple(chances), tuple(ranks), len(rows[-1]),
        measure_layers(model, ids),
    )  # fmt: skip


def _followed(model: LanguageModel, prompt: str, wanted: str) -> int:
    """The first token of a word as it would follow the prompt: with its space, unless the prompt ends in one."""
    word = wanted.strip()
    return model.tokenizer.encode(word if prompt[-1:].isspace() else f" {word}")[0]


def _name(model: LanguageModel, token: int) -> str:
    return label(model.tokenizer.token_bytes(token)) or f"({token})"


def _cut(text: str, room: float) -> str:
    return "".join(wrapped(text, room, 1)) or "␣"


def lens_picture(lens: Lens) -> Picture:
    """Every layer in a row: its best guess, and what it thinks of the word followed; nothing smoothed."""
    names = [guess[0][0] for guess in lens.guesses]
    said = SAYS.format(
        prompt=lens.prompt, layers=lens.layers, wanted=lens.wanted, chance=percent(lens.chances[-1]),
        list=", ".join(f"{layer}: {name}" for layer, name in enumerate(names, 1)), first=lens.first or NEVER,
    )  # fmt: skip
    return picture(_rows(lens), TITLE, said, units=UNITS.format(all=lens.vocabulary), evidence="measured")


def _rows(lens: Lens) -> str:
    high, top, room = 21, 44, 230
    height = top + high * lens.layers + 12
    parts = [box(0, 0, 780, height, PAPER, 12)]
    wanted = _cut(lens.wanted, 8)
    for head, x, anchor in zip(HEADS, (52, 76, 392, 764), ("end", "start", "start", "end"), strict=True):
        parts.append(pair(head.format(wanted=wanted), x, 24, 13, anchor, QUIET, font_weight=700))
    for row, (guess, chance, rank) in enumerate(zip(lens.guesses, lens.chances, lens.ranks, strict=True)):
        y, (name, share) = top + high * row, guess[0]
        first = rank == 1
        parts += [
            box(66, y, 246, high - 2, GROOVE, 3, opacity=0.5),
            box(66, y, max(246 * share, 1.5), high - 2, ORANGE if first else SKY, 3, opacity=0.55),
            word(str(row + 1), 52, y + 15, 13, "end"),
            word(_cut(name, 12), 76, y + 15, 14, "start", font_weight=700 if first else 400),
            word(percent(share), 370, y + 15, 12, "end"),
            box(392, y + 2, room, high - 6, GROOVE, 3),
            box(392, y + 2, max(room * chance, 1.5), high - 6, BLUE, 3),
            word(percent(chance), 632, y + 15, 12.5, "start", font_weight=700 if first else 400),
            word(f"{rank:,}", 764, y + 15, 12.5, "end", font_weight=700 if first else 400),
        ]
    return drawing(780, height, *parts)


def depth_picture(lens: Lens, layers: int) -> Picture:
    """One depth: its best guesses, its chance for the word followed, and what it costs."""
    if not 1 <= layers <= lens.layers:
        raise ShapeError("number", call="depth_picture", name="layers", want=f"1..{lens.layers}", got=layers)
    costs, at = lens.costs, layers - 1
    said = AT_SAY.format(
        count=layers_text(layers), guesses=", ".join(f"{name} {percent(share)}" for name, share in lens.guesses[at]),
        wanted=lens.wanted, chance=percent(lens.chances[at]), rank=lens.ranks[at],
        time=duration(costs.milliseconds(layers)), weights=quantity(costs.weights(layers), "B"),
        cache=quantity(costs.cache(layers), "B"),
    )  # fmt: skip
    title = AT.format(k=layers, layers=lens.layers)
    return picture(_at(lens, layers), title, said, units=AT_UNITS, evidence=("measured", "estimated"), note=NOTE)


def _at(lens: Lens, layers: int) -> str:
    costs, at, parts = lens.costs, layers - 1, [box(0, 0, 780, 372, PAPER, 12)]
    parts += tower(20, 24, 96, 300, lens.layers, layers)
    parts.append(pair(layers_text(layers), 68, 350, 16, font_weight=800))
    parts.append(pair(BEST, 146, 30, 13, "start", QUIET, font_weight=700))
    for row, (name, share) in enumerate(lens.guesses[at]):
        y = 44 + 32 * row
        ours = name == lens.wanted
        parts += [
            word(_cut(name, 9), 292, y + 17, 16, "end", font_weight=800 if row == 0 else 400),
            box(304, y, 370, 22, GROOVE, 4),
            box(304, y, max(370 * share, 1.5), 22, ORANGE if ours else SKY if row else BLUE, 4),
            word(percent(share), 764, y + 16, 15, "end", font_weight=700 if row == 0 else 400),
        ]
    y = 218
    parts += [
        pair(WANTED.format(wanted=_cut(lens.wanted, 9)), 146, y + 16, 15, "start", font_weight=700),
        box(304, y, 190, 22, GROOVE, 4),
        box(304, y, max(190 * lens.chances[at], 1.5), 22, ORANGE, 4),
        word(percent(lens.chances[at]), 506, y + 16, 15, "start", font_weight=700),
        pair(RANK.format(rank=lens.ranks[at], all=lens.vocabulary), 764, y + 16, 13, "end", QUIET),
        line(f"M146 {y + 36} H764", GROOVE, 2),
    ]
    rows = (
        (TIME, costs.milliseconds(layers), costs.milliseconds(lens.layers), duration),
        (WEIGHTS, costs.weights(layers), costs.weights(lens.layers), _bytes),
        (CACHE.format(tokens=costs.tokens), costs.cache(layers), costs.cache(lens.layers), _bytes),
    )
    for row, (what, amount, whole, written) in enumerate(rows):
        y = 268 + 34 * row
        parts += [
            pair(what, 146, y + 15, 13, "start"),
            box(360, y, 184, 20, GROOVE, 4),
            box(360, y, max(184 * amount / whole, 1.5), 20, INK, 4, opacity=0.7),
            word(written(amount), 556, y + 15, 15, "start", font_weight=700),
            pair(OF_ALL.format(layers=lens.layers, whole=written(whole)), 764, y + 15, 12, "end", QUIET),
        ]
    return drawing(780, 372, *parts)


def _bytes(amount: float) -> str:
    return quantity(amount, "B")


def tower(x: float, y: float, width: float, height: float, layers: int, lit: int) -> list[str]:
    """A tower of layers, the lowest so many of them lit."""
    step = height / layers
    gap = min(2.0, step * 0.25)
    return [
        box(x, y + height - (floor + 1) * step, width, step - gap, BLUE if floor < lit else GROOVE, min(2, step / 4))
        for floor in range(layers)
    ]


def depth_box(model: LanguageModel, prompt: str = "The capital of Japan is", wanted: str = "Tokyo") -> widgets.Widget:
    """A prompt and a word to follow, and a slider of the layers; a prompt goes through the model once."""

    @lru_cache(maxsize=8)
    def lens(prompt: str, wanted: str) -> Lens:
        return read_layers(model, prompt, wanted)

    followed = widgets.Text(wanted, continuous_update=False)
    followed.layout.width = "min(30em, 100%)"
    bind(followed, description=FOLLOW, placeholder=FOLLOW_WRITE)
    slider = widgets.IntSlider(model.layers, 1, model.layers)
    slider.layout.width = "min(40em, 100%)"
    bind(slider, description=LAYERS)

    def draw(prompt: str, wanted: str, layers: int) -> Picture | Text:
        ids = prompt_ids(model.tokenizer, prompt)
        return ids if isinstance(ids, Text) else depth_picture(lens(prompt, wanted.strip()), layers)

    return live(draw, prompt=prompt_line(prompt), wanted=followed, layers=slider)
