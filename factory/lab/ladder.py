"""What a model answers with fewer of its layers: the whole answer at every depth, and how many answers are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ipywidgets as widgets
from tqdm.auto import tqdm

from factory.lab.boxes import QUESTION, WRITE
from factory.lab.costs import layers_text
from factory.lab.figures import Picture, picture
from factory.lab.lens import LAYERS, tower
from factory.lab.plots import figure
from factory.lab.svg import BLUE, INK, PAPER, QUIET, box, pair, word, wrapped
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.llama import LanguageModel

WIDTH, LEFT, LINE = 780, 150, 22
TITLE = Text("「{question}」への答えを、層の数ごとに", 'The answer to "{question}" by the number of layers')
SAYS = Text("層の数ごとの答え。{answers}。", "The answers by the number of layers. {answers}.")
SAID = Text("{layers}:「{answer}」", '{layers}: "{answer}"')
NOTHING = Text("(何も言わない)", "(says nothing)")

RIGHT = Text("正しく答えた質問の割合", "Questions answered right")
RIGHT_SAYS = Text(
    "質問 {total} 個のうち、正しく答えた割合。{shares}。",
    "The share of {total} questions that were answered right: {shares}.",
)
SHARE = Text("正解 (%)", "right (%)")
ASKING = Text("層の数ごとに質問しています", "Asking, with more and more layers")

QUIZ = (
    (Text("日本の首都はどこですか?", "What is the capital of Japan?"), Text("東京", "Tokyo")),
    (Text("フランスの首都はどこですか?", "What is the capital of France?"), Text("パリ", "Paris")),
    (Text("イタリアの首都を教えてください。", "Tell me the capital of Italy."), Text("ローマ", "Rome")),
    (Text("エジプトの首都は?", "Which city is the capital of Egypt?"), Text("カイロ", "Cairo")),
    (Text("ブラジルでは何語を話しますか?", "What language do they speak in Brazil?"), Text("ポルトガル語", "Portuguese")),
    (Text("ドイツでは何語が話されていますか?", "Which language is spoken in Germany?"), Text("ドイツ語", "German")),
    (Text("バナナは何色ですか?", "What color is a banana?"), Text("黄色", "yellow")),
    (Text("雪は何色?", "What color is snow?"), Text("白", "white")),
    (Text("「大きい」の反対は何ですか?", "What is the opposite of big?"), Text("小さい", "small")),
    (Text("「明るい」の反対語は?", "What is the opposite of bright?"), Text("暗い", "dark")),
    (Text("月曜日の次は何曜日ですか?", "What day comes after Monday?"), Text("火曜日", "Tuesday")),
    (Text("金曜日の次の日は?", "Which day comes after Friday?"), Text("土曜日", "Saturday")),
    (Text("3たす4はいくつですか?", "What is 3 + 4?"), Text("7", "7")),
    (Text("9ひく5は?", "What is 9 - 5?"), Text("4", "4")),
    (Text("12たす6を計算して。", "Calculate 12 + 6."), Text("18", "18")),
    (Text("犬は何と鳴きますか?", "What sound does a dog make?"), Text("ワン", "woof")),
    (Text("行列をかけ算するのは何ですか?", "Which library multiplies matrices?"), Text("rocBLAS", "rocBLAS")),
    (Text("畳み込みをするライブラリーは何ですか?", "Which library does convolutions?"), Text("MIOpen", "MIOpen")),
)  # fmt: skip
"""Questions of the tiny model's world, each with a word that a right answer holds."""


@dataclass(frozen=True)
class Scores:
    """How many of `total` questions were answered right with 1, 2, ... layers."""

    right: tuple[int, ...]
    total: int


def answers(model: LanguageModel, question: str, max_tokens: int = 24) -> tuple[str, ...]:
    """The answer to a question with 1 layer, with 2, and so on to all; "…" ends one that would have gone on."""
    prompt, said = model.prompt(question), []
    for layers in range(1, model.layers + 1):
        ids = list(model.generate(prompt, max_tokens, layers))
        said.append(model.tokenizer.decode(ids).strip() + "…" * (len(ids) == max_tokens))
    return tuple(said)


def ladder_picture(model: LanguageModel, question: str, layers: int | None = None) -> Picture:
    """The answers at every depth, one above the other, the deepest on top; `layers` is the one that stands out."""
    return _ladder(question, answers(model, question), layers or model.layers)


def _ladder(question: str, said: Sequence[str], layers: int) -> Picture:
    listed = [SAID.format(layers=layers_text(k), answer=one or NOTHING) for k, one in enumerate(said, 1)]
    spoken = Text("、".join(one.ja for one in listed), ", ".join(one.en for one in listed))
    return picture(_rungs(said, layers), TITLE.format(question=question), SAYS.format(answers=spoken))


def _rungs(said: Sequence[str], lit: int) -> str:
    lines = [wrapped(answer, 35, 2) for answer in said]
    heights = [24 + LINE * max(len(text), 1) for text in lines]
    height = sum(heights) + 20
    parts, y = [box(0, 0, WIDTH, height, PAPER, 12)], 10
    for layers in range(len(said), 0, -1):
        text, tall = lines[layers - 1], heights[layers - 1]
        chosen = layers == lit
        parts.append(box(10, y + 3, WIDTH - 20, tall - 6, "#e8f1f8" if chosen else PAPER, 8))
        if chosen:
            parts.append(box(10, y + 3, 6, tall - 6, BLUE, 3))
        parts += tower(28, y + 8, 30, tall - 16, len(said), layers)
        ink = INK if chosen else QUIET
        parts.append(pair(layers_text(layers), 72, y + tall / 2 + 5, 14, "start", ink, font_weight=700))
        if not text:
            parts.append(pair(NOTHING, LEFT, y + tall / 2 + 5, 15, "start", QUIET))
        first = y + tall / 2 + 6 - LINE * (len(text) - 1) / 2
        for row, one in enumerate(text):
            parts.append(word(one, LEFT, first + LINE * row, 17, "start", ink, font_weight=700 if chosen else 400))
        y += tall
    return drawing(WIDTH, height, *parts)


def ladder_box(model: LanguageModel, question: Text | str) -> widgets.Widget:
    """The learner's own question and a slider of the layers; each depth's whole answer stands on its own rung."""
    line = widgets.Text(continuous_update=False, layout={"width": "min(40em, 100%)"})
    first = question if isinstance(question, Text) else Text(question, question)
    bind(line, description=QUESTION, placeholder=WRITE, value=first)
    slider = widgets.IntSlider(model.layers, 1, model.layers, layout={"width": "min(40em, 100%)"})
    bind(slider, description=LAYERS)
    at_every_depth = lru_cache(maxsize=8)(lambda question: answers(model, question))
    return live(
        lambda question, layers: _ladder(question, at_every_depth(question), layers), question=line, layers=slider
    )


def quiz_layers(model: LanguageModel, quiz: Sequence[tuple[Text, Text]] = QUIZ) -> Scores:
    """Ask every question in both languages with 1 layer, with 2, and so on; count the answers that hold their word."""
    asked = [one for question, key in quiz for one in zip(question, key, strict=True)]
    right = [0] * model.layers
    for question, key in tqdm(asked, desc=str(ASKING), leave=False, delay=1):
        for depth, answer in enumerate(answers(model, question)):
            right[depth] += key.lower() in answer.lower()
    return Scores(tuple(right), len(asked))


def right_plot(scores: Scores) -> Picture:
    """The share of right answers against the number of layers."""
    numbers = range(1, len(scores.right) + 1)
    shares = [100 * count / scores.total for count in scores.right]

    def draw() -> Any:
        made, axes = figure(7, 3)
        bars = axes.bar(numbers, shares, color=BLUE, width=0.7)
        axes.bar_label(bars, [f"{share:.0f}" for share in shares], padding=2)
        axes.set_xlabel(str(LAYERS).rstrip(":"))
        axes.set_ylabel(str(SHARE))
        axes.set_ylim(0, 108)
        axes.set_xticks(list(numbers))
        return made

    pairs = [(layers_text(k), f"{share:.0f} %") for k, share in zip(numbers, shares, strict=True)]
    listed = Text("、".join(f"{k.ja} {v}" for k, v in pairs), ", ".join(f"{k.en} {v}" for k, v in pairs))
    return picture(draw, RIGHT, RIGHT_SAYS.format(total=scores.total, shares=listed), units=SHARE, evidence="measured")
