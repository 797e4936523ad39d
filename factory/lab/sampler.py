"""The choice of the next word: its candidates as bars, and knobs for temperature, top-k and top-p."""

from __future__ import annotations

from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, ORANGE, PAPER, QUIET, box, line, pair, word, wrapped
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.lab.tokens import label
from factory.language import Text
from factory.models.llama import LanguageModel
from factory.models.sampling import probabilities
from factory.models.tokenizer import Tokenizer

WIDTH, ROW, LEFT, BAR = 760, 30, 190, 400
GROOVE = "#e3e8ed"
LONGEST = 64  # tokens of a prompt in a box, so that each answer comes at once
LAYOUT = {"width": "min(36em, 100%)"}

SCORES = Text("次のトークンの候補と、そのロジット", "Candidates for the next token, and their logits")
SCORES_SAY = Text("点数の高い順: {list}。", "Best first: {list}.")
LOGIT = Text("ロジット(点数。大きいほど選ばれやすい)", "logits (scores; the larger, the likelier)")
SHARES = Text("次のトークンが選ばれる確率", "How likely each token is to be chosen next")
SHARES_SAY = Text(
    "温度 {temperature:g}、top-k {top_k}、top-p {top_p}。残った候補は {kept:,} 個。{list}。",
    "Temperature {temperature:g}, top-k {top_k}, top-p {top_p}. Candidates left: {kept:,}. {list}.",
)
PERCENT = Text("確率(%)", "probability (%)")
KEPT = Text("残った候補: {all:,} 個のうち {kept:,} 個", "candidates left: {kept:,} of {all:,}")
OTHERS = Text("そのほか {count:,} 個", "{count:,} others")
OUT = Text("外れた", "out")
OFF = Text("なし", "off")
PROMPT = Text("書き出し:", "Prompt:")
WRITE = Text("英語で書き出しを書いて、Enter を押してください。", "Write the start of a sentence and press Enter.")
TEMPERATURE = Text("温度:", "temperature:")
TOP_K = Text("top-k(個数):", "top-k (how many):")
TOP_P = Text("top-p(合計):", "top-p (sum):")
EMPTY = Text("書き出しが空です。何か書いてみましょう。", "The prompt is empty: write something.")
TOO_LONG = Text(
    "この欄では {most} トークンまでです(いまは {got})。短くしてみましょう。",
    "This box takes up to {most} tokens (there are {got}): make it shorter.",
)


def best(logits: np.ndarray, top: int = 10) -> list[int]:
    """The ids of the highest logits (V,), best first."""
    return [int(number) for number in np.argsort(-logits, kind="stable")[:top]]


def logit_bars(tokenizer: Tokenizer, logits: np.ndarray, top: int = 10) -> Picture:
    """The highest logits (V,) as bars, with their tokens; a negative one reaches left of the line of 0."""
    ids = best(logits, top)
    names, values = [_name(tokenizer, number) for number in ids], [float(logits[number]) for number in ids]
    listed = Text("、".join(pairs := [f"{n} {v:.2f}" for n, v in zip(names, values, strict=True)]), ", ".join(pairs))
    return picture(_scores(names, values), SCORES, SCORES_SAY.format(list=listed), units=LOGIT, evidence="measured")


def _scores(names: list[str], values: list[float]) -> str:
    low, high = min(0.0, *values), max(0.0, *values)
    scale = BAR / ((high - low) or 1)
    zero, parts = LEFT - low * scale, [box(0, 0, WIDTH, 28 + ROW * len(names), PAPER, 12)]
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        y = 16 + ROW * row
        parts += [
            word(name, LEFT - 12, y + 15, 15, "end", font_weight=600),
            box(zero + min(value, 0) * scale, y, max(abs(value) * scale, 1), 20, BLUE, 3),
            word(f"{value:.2f}", LEFT + BAR + 12, y + 15, 15, "start", font_weight=700),
        ]
    parts.append(line(f"M{zero:.1f} 10 V{18 + ROW * len(names)}", QUIET, 1.5))
    return drawing(WIDTH, 28 + ROW * len(names), *parts)


def chance_bars(
    tokenizer: Tokenizer, logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None,
    top_p: float | None = None, top: int = 10,
) -> Picture:  # fmt: skip
    """The chances of the best tokens after temperature, top-k and top-p, as bars; what fell out is struck out."""
    chances = probabilities(logits, temperature, top_k, top_p)
    ids, kept = best(logits, top), int(np.count_nonzero(chances))
    names, shares = [_name(tokenizer, number) for number in ids], [float(chances[number]) for number in ids]
    told = [
        Text(f"{name} {OUT.ja if share == 0 else percent(share)}", f"{name} {OUT.en if share == 0 else percent(share)}")
        for name, share in zip(names, shares, strict=True)
    ]
    said = SHARES_SAY.format(
        temperature=temperature,
        top_k=top_k or OFF,
        top_p=OFF if top_p is None else f"{top_p:g}",
        kept=kept,
        list=Text("、".join(one.ja for one in told), ", ".join(one.en for one in told)),
    )
    head = KEPT.format(kept=kept, all=len(chances))
    others = (max(kept - sum(share > 0 for share in shares), 0), max(1 - sum(shares), 0.0))
    return picture(_chances(names, shares, head, others), SHARES, said, units=PERCENT, evidence="measured")


def _chances(names: list[str], shares: list[float], head: Text, others: tuple[int, float]) -> str:
    height = 88 + ROW * len(names)
    parts = [box(0, 0, WIDTH, height, PAPER, 12), pair(head, LEFT, 30, 14, "start", font_weight=700)]
    for row, (name, share) in enumerate(zip(names, shares, strict=True)):
        y = 48 + ROW * row
        out = share == 0
        parts += [
            word(name, LEFT - 12, y + 15, 15, "end", QUIET if out else "#1f2933", font_weight=400 if out else 600),
            box(LEFT, y, BAR, 20, GROOVE if not out else PAPER, 3),
        ]
        if out:
            parts += [
                line(f"M{LEFT} {y + 10} h{BAR}", QUIET, 1.5, stroke_dasharray="2 6"),
                pair(OUT, LEFT + BAR + 12, y + 15, 13, "start", QUIET),
            ]
        else:
            parts += [
                box(LEFT, y, max(BAR * share, 1.5), 20, BLUE, 3),
                word(percent(share), LEFT + BAR + 12, y + 15, 15, "start", font_weight=700),
            ]
    y = 54 + ROW * len(names)
    count, rest = others
    parts += [
        pair(OTHERS.format(count=count), LEFT - 12, y + 15, 13, "end", QUIET),
        box(LEFT, y, BAR, 20, GROOVE, 3),
        box(LEFT, y, max(BAR * rest, 1.5), 20, ORANGE, 3) if count else "",
        word(percent(rest) if count else "0 %", LEFT + BAR + 12, y + 15, 15, "start", QUIET),
    ]
    return drawing(WIDTH, height, *parts)


def percent(share: float) -> str:
    """A chance with one decimal; what is there but would be 0.0 is "<0.1 %"."""
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _name(tokenizer: Tokenizer, number: int) -> str:
    """A token as the drawings name it, cut to the room that is there."""
    return "".join(wrapped(label(tokenizer.token_bytes(number)) or f"({number})", 11, 1)) or "␣"


def prompt_ids(tokenizer: Tokenizer, text: str) -> list[int] | Text:
    """The ids of a prompt for a box, or what to say to the learner where it is empty or too long."""
    ids = tokenizer.encode(text)
    if not ids:
        return EMPTY
    return TOO_LONG.format(most=LONGEST, got=len(ids)) if len(ids) > LONGEST else ids


def prompt_line(text: str) -> widgets.Text:
    """A line for the learner's own prompt; it counts at Enter."""
    own = widgets.Text(text, continuous_update=False, layout={"width": "min(44em, 100%)"})
    bind(own, description=PROMPT, placeholder=WRITE)
    return own


def temperature_slider(value: float = 1.0) -> widgets.FloatSlider:
    """The temperature, from 0 (greedy) to 2."""
    slider = widgets.FloatSlider(value, min=0, max=2, step=0.1, readout_format=".1f", layout=LAYOUT)
    bind(slider, description=TEMPERATURE)
    return slider


def sampler_box(model: LanguageModel, prompt: str) -> widgets.Widget:
    """A prompt and three knobs, and what they make of the chances; the logits are computed once a prompt."""

    @lru_cache(maxsize=8)
    def logits(ids: tuple[int, ...]) -> np.ndarray:
        return model.logits(ids)[-1]

    top_k = widgets.SelectionSlider(options=[("-", 0)], layout=LAYOUT)
    bind(top_k, description=TOP_K, options=[(str(k), k) for k in (1, 2, 3, 5, 10, 20, 50)] + [(OFF, 0)])
    top_k.value = 0
    top_p = widgets.FloatSlider(1, min=0.05, max=1, step=0.05, readout_format=".2f", layout=LAYOUT)
    bind(top_p, description=TOP_P)

    def draw(text: str, temperature: float, top_k: int, top_p: float) -> Picture | Text:
        ids = prompt_ids(model.tokenizer, text)
        if isinstance(ids, Text):
            return ids
        limit = None if top_p == 1 else top_p
        return chance_bars(model.tokenizer, logits(tuple(ids)), round(temperature, 2), top_k or None, limit)

    return live(draw, text=prompt_line(prompt), temperature=temperature_slider(), top_k=top_k, top_p=top_p)
