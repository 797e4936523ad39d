"""A text that grows word by word: at each step the best candidates, and the one that was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from factory.lab.figures import Picture, picture
from factory.lab.sampler import LAYOUT, best, percent, prompt_ids, prompt_line, temperature_slider
from factory.lab.svg import BLUE, INK, PAPER, QUIET, box, disc, pair, word, wrapped
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.lab.tokens import label
from factory.language import Text
from factory.models.llama import LanguageModel
from factory.models.sampling import probabilities

WIDTH, ROW, LEFT, CELL = 780, 50, 60, 168
SHOWN = 3  # candidates a row

TITLE = Text("1 つずつ選んで、文章がのびていく", "A text grows, one choice at a time")
SAYS = Text("「{prompt}」の続き:「{text}」。{list}", '"{prompt}" goes on as "{text}". {list}')
STEP = Text("{number}. 「{token}」({chance})", '{number}: "{token}" ({chance})')
HEAD_BEST = Text("確率の高い候補(太い枠が選ばれたもの)", "likeliest candidates (thick frame: taken)")
HEAD_TAKEN = Text("選ばれたもの", "taken")
UNITS = Text("確率(%)", "probability (%)")
ENDED = Text("終わりの印が出たので、ここで止まりました。", "The sign of the end came, so it stopped here.")
GREEDY = Text(
    "温度 0 では、いつも 1 位を選びます。見えているのは、温度 1 のときの確率です。",
    "At temperature 0 it always takes number 1; the chances shown are those at temperature 1.",
)
SEED = Text("シード(seed):", "seed:")


@dataclass(frozen=True)
class Step:
    """One step: the token that was taken and its chance, and the likeliest ones, each an id and its chance."""

    token: int
    chance: float
    candidates: tuple[tuple[int, float], ...]


def steps(
    model: LanguageModel, ids: list[int], max_tokens: int = 6, temperature: float = 0.0, **options: Any
) -> list[Step]:
    """The steps of a generation, with the options of `generate`; chances are those that the choice was made by.

    At temperature 0 the likeliest is taken, and the chances shown are those at temperature 1.
    """
    taken = list(model.generate(ids, max_tokens, temperature=temperature, **options))
    if not taken:
        return []
    limits = {name: options.get(name) for name in ("top_k", "top_p")} if temperature else {}
    rows = model.logits([*ids, *taken[:-1]])[len(ids) - 1 :]
    made = []
    for token, logits in zip(taken, rows, strict=True):
        chances = probabilities(logits, temperature or 1.0, **limits)
        top = tuple((number, float(chances[number])) for number in best(logits, SHOWN))
        made.append(Step(token, float(chances[token]), top))
    return made


def step_picture(
    model: LanguageModel, prompt: str, max_tokens: int = 6, temperature: float = 0.0, **options: Any
) -> Picture | Text:
    """A text growing from a prompt, a row for each token: the likeliest candidates, and the one taken."""
    ids = prompt_ids(model.tokenizer, prompt)
    if isinstance(ids, Text):
        return ids
    made = steps(model, ids, max_tokens, temperature, **options)
    text = model.tokenizer.decode(step.token for step in made)
    names = [label(model.tokenizer.token_bytes(step.token)) for step in made]
    said = [
        STEP.format(number=at, token=name, chance=percent(step.chance))
        for at, (step, name) in enumerate(zip(made, names, strict=True), 1)
    ]
    listed = Text("、".join(one.ja for one in said) + "。", ", ".join(one.en for one in said) + ".")
    return picture(
        _rows(model, prompt + text, made, len(made) < max_tokens),
        TITLE,
        SAYS.format(prompt=prompt, text=text, list=listed),
        units=UNITS,
        evidence="measured",
        note=None if temperature else GREEDY,
    )


def _rows(model: LanguageModel, whole: str, made: list[Step], ended: bool) -> str:
    lines = wrapped(whole, 44, 4)
    top = 32 + 24 * len(lines)
    parts = [word(one, 20, 34 + 24 * row, 16, "start", font_weight=700) for row, one in enumerate(lines)]
    parts += [
        pair(HEAD_BEST, LEFT, top + 18, 12, "start", QUIET),
        pair(HEAD_TAKEN, LEFT + SHOWN * CELL + 20, top + 18, 12, "start", QUIET),
    ]
    top += 32
    for number, step in enumerate(made, 1):
        parts += [disc(34, top + 18, 13, INK), word(str(number), 34, top + 23, 13, fill=PAPER, font_weight=700)]
        for at, (token, chance) in enumerate(step.candidates):
            parts.append(_cell(model, LEFT + at * CELL, top, token, chance, token == step.token))
        x = LEFT + SHOWN * CELL + 20
        parts.append(_cell(model, x, top, step.token, step.chance, True))
        top += ROW
    if ended:
        parts.append(pair(ENDED, LEFT, top + 18, 13, "start", QUIET))
        top += 32
    return drawing(WIDTH, top + 6, box(0, 0, WIDTH, top + 6, PAPER, 12), *parts)


def _cell(model: LanguageModel, x: float, y: float, token: int, chance: float, taken: bool) -> str:
    """A candidate with its chance as a bar under its name."""
    name = "".join(wrapped(label(model.tokenizer.token_bytes(token)) or f"({token})", 6, 1))
    edge = {"stroke": BLUE if taken else "#c6d0d9", "stroke_width": 3 if taken else 1}
    return (
        box(x, y, CELL - 10, 38, PAPER, 7, **edge)
        + word(name, x + 10, y + 21, 14, "start", font_weight=700 if taken else 500)
        + word(percent(chance), x + CELL - 20, y + 21, 13, "end", QUIET)
        + box(x + 10, y + 27, (CELL - 30), 5, "#e3e8ed", 2)
        + box(x + 10, y + 27, max((CELL - 30) * chance, 1), 5, BLUE, 2)
    )


def step_box(model: LanguageModel, prompt: str, max_tokens: int = 6) -> widgets.Widget:
    """The learner's own prompt, a temperature and a seed, and the text that grows from them."""
    seed = widgets.IntSlider(1, 1, 10, continuous_update=False, layout=LAYOUT)
    bind(seed, description=SEED)
    temperature = temperature_slider()
    temperature.continuous_update = False

    def draw(text: str, temperature: float, seed: int) -> Picture | Text:
        return step_picture(model, text, max_tokens, round(temperature, 2), seed=seed)

    return live(draw, text=prompt_line(prompt), temperature=temperature, seed=seed)
