"""Where learners put their own question and their own photo. Thin: the work is `ask` and `look`, plain functions."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from PIL import Image, ImageOps

from factory.errors import ModelError
from factory.lab.figures import Html, Picture, both, picture
from factory.lab.svg import BLUE, box, percent, raster, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.llama import LanguageModel
from factory.models.vision import PHOTOS, ImageClassifier

QUESTION = Text("質問:", "Question:")
WRITE = Text("ここに質問を書いて、Enter を押してください。", "Write a question here and press Enter.")
PHOTO = Text("写真:", "Photo:")
OWN = Text("自分の写真", "Your own photo")
NAMES = {
    "camera": Text("カメラと三脚", "Camera and tripod"),
    "cat": Text("ねこ", "Cat"),
    "coffee": Text("コーヒー", "Coffee"),
    "rocket": Text("ロケット", "Rocket"),
}
GUESSES = Text("この写真は何? モデルの答え", "What is in the photo? The model's answers")
GUESSES_SAY = Text("写真と、モデルの答え。{answers}。", "The photo, and the model's answers: {answers}.")
CHANCES = Text("確率(%)。モデルの中の計算結果です。", "probability (%), as the model computes it")

_PREVIEW = 240  # pixels of the photo's longer side on the screen
_BAR, _ROW = 260, 40


def ask_box(model: LanguageModel, question: Text | str, max_tokens: int = 48) -> widgets.Widget:
    """A line for the learner's own question, with the model's answer below it; the answer comes at Enter."""
    line = widgets.Text(continuous_update=False, layout={"width": "min(40em, 100%)"})
    first = question if isinstance(question, Text) else Text(question, question)
    bind(line, description=QUESTION, placeholder=WRITE, value=first)
    return live(lambda question: ask(model, question, max_tokens), question=line)


def ask(model: LanguageModel, question: Text | str, max_tokens: int = 48) -> Html:
    """The answer to a question, to be shown; a question in two languages is asked in both, and the switch shows one.

    An empty question is an error with its sentence.
    """
    if isinstance(question, Text):
        answer: Text | str = Text(*(model.answer(words, max_tokens=max_tokens) for words in question))
    else:
        answer = model.answer(question, max_tokens=max_tokens)
    style = "font-size:1.1em;border-left:6px solid #0072b2;padding:.4em .9em;margin:.4em 0;max-width:52em"
    return Html(f'<div style="{style}">{both(answer)}</div>', answer)


def photo_box(classifier: ImageClassifier) -> widgets.Widget:
    """A choice of photos and a button for the learner's own, with what the network names on it."""
    chosen = widgets.Dropdown()
    bind(chosen, description=PHOTO, options=[(NAMES.get(name, name), name) for name in PHOTOS])
    chosen.value = "cat"
    own = widgets.FileUpload(accept="image/*", multiple=False, layout={"width": "max-content"})
    bind(own, description=OWN)

    def guesses(name: str, upload: Any) -> Picture:
        return look(classifier, bytes(upload[0]["content"]) if upload else PHOTOS[name])

    return live(guesses, name=chosen, upload=own)


def look(classifier: ImageClassifier, photo: Path | str | bytes, top: int = 5) -> Picture:
    """A photo beside the network's best answers, with their probabilities as bars. photo is a file, or its bytes."""
    source = io.BytesIO(photo) if isinstance(photo, bytes) else photo
    answers = [(name.split(",")[0], chance) for name, chance in classifier.classify(source, top=top)]
    said = ", ".join(f"{name} {percent(chance)}" for name, chance in answers)
    image = _preview(photo)
    return picture(chances_beside(image, answers), GUESSES, GUESSES_SAY.format(answers=said), units=CHANCES)


def _preview(photo: Path | str | bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo) as opened:
            small = ImageOps.exif_transpose(opened).convert("RGB")
    except OSError as error:
        raise ModelError("image", got="photo", why=type(error).__name__) from None
    small.thumbnail((_PREVIEW, _PREVIEW))
    return small


def chances_beside(
    image: Image.Image, answers: list[tuple[str, float]], gloss: Callable[[str], str] = lambda name: ""
) -> str:
    """A picture on the left, a bar for each answer on the right; gloss says what readers of English see behind one."""
    left = image.width + 30
    width, height = left + _BAR + 80, max(image.height + 20, 20 + len(answers) * _ROW)
    parts = [box(0, 0, width, height, "#ffffff", 12)]
    parts.append(raster(image, 10, 10))
    for index, (name, chance) in enumerate(answers):
        y = 34 + index * _ROW
        parts.append(word(name, left, y, 15, "start", gloss=gloss(name)))
        parts.append(box(left, y + 7, _BAR, 12, "#e3e8ee", 4))
        parts.append(box(left, y + 7, max(2.0, _BAR * chance), 12, BLUE, 4))
        parts.append(word(percent(chance), left + _BAR + 10, y + 18, 15, "start"))
    return drawing(width, height, *parts)
