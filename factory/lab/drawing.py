"""A sheet that learners draw a character on, by mouse, pen, finger or keyboard, and what the recogniser reads on it."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets
from ipycanvas import Canvas, hold_canvas
from PIL import Image, ImageDraw

from factory.lab.boxes import chances_beside
from factory.lab.figures import Picture, both, picture
from factory.lab.svg import BLUE, INK, VERMILION, percent
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.glyphs import GlyphReader, normalise

SIZE = 240  # pixels of the sheet's side
PEN = 16  # pixels across
ARROWS = {"ArrowLeft": (-12, 0), "ArrowRight": (12, 0), "ArrowUp": (0, -12), "ArrowDown": (0, 12)}  # pixels
SHOWN = 140  # pixels of the character beside the answers
HEPBURN = {"SI": "shi", "TI": "chi", "TU": "tsu", "HU": "fu"}  # where Unicode's names spell otherwise
PAUSE = 0.1  # seconds between two readings while a line is being drawn

Point = tuple[float, float]
Strokes = tuple[tuple[Point, ...], ...]

HOW = Text(
    "白いところに、ひらがなか数字を 1 つ書いてください。マウス、ペン、指で書けます。"
    "キーボードなら、矢印キーでペンを動かし、スペースキーでペンを下ろしたり上げたりします。",
    "Draw a digit or a hiragana, one of the letters of Japanese, on the white sheet with a mouse, a pen or a finger. "
    "On the keyboard the arrow keys move the pen, and the space key puts it down and lifts it.",
)
UNDO = Text("1 画もどす", "Undo a stroke")
CLEAR = Text("全部消す", "Clear")
ALPHABET = Text("読む文字:", "Read:")
ALPHABETS = (
    (Text("全部", "all"), "all"),
    (Text("数字", "digits"), "digits"),
    (Text("ひらがな", "hiragana"), "hiragana"),
)
EMPTY = Text("まだ何も書かれていません。", "Nothing is drawn yet.")
READ = Text("この字は何? モデルの答え", "Which character is it? The model's answers")
READ_SAYS = Text("書かれた字と、モデルの答え。{answers}。", "The drawing, and the model's answers: {answers}.")
CHANCES = Text("確率(%)。モデルの中の計算結果です。", "probability (%), as the model computes it")


class Pad(widgets.VBox):
    """A square sheet to draw on. `value` holds the strokes, each a row of points (x, y) in pixels from the top left.

    The browser tells where the pointer is, and every line is drawn and kept here: what is on the sheet is `value`.
    """

    value = traitlets.Tuple()

    def __init__(self, strokes: Strokes = ()) -> None:
        self._finished: Strokes = ()
        self._line: list[Point] = []  # the stroke that is being drawn
        self._tip: Point | None = None  # where the keyboard's pen is, once a key has moved it
        self._published = 0.0
        frame = {"border": "2px solid #5b6b7a", "width": f"{SIZE}px"}
        self._canvas = Canvas(width=SIZE, height=SIZE, layout=frame)
        self._undo, self._clear = (widgets.Button(layout={"width": "auto"}) for _ in range(2))
        bind(self._undo, description=UNDO).on_click(lambda _: self.undo())
        bind(self._clear, description=CLEAR).on_click(lambda _: self.clear())
        how = widgets.HTML(f'<div style="line-height:1.5;max-width:40em">{both(HOW, "div")}</div>')
        super().__init__([how, widgets.HBox([self._canvas, widgets.VBox([self._undo, self._clear])])])
        self.add_class("factory-pad")  # ipycanvas lets nobody name its canvas: the words above it do
        self._listen()
        self.value = strokes

    def _listen(self) -> None:
        canvas = self._canvas
        canvas.on_mouse_down(self._start)
        canvas.on_mouse_move(self._move)
        canvas.on_touch_start(lambda touches: self._start(*touches[0]))
        canvas.on_touch_move(lambda touches: self._move(*touches[0]))
        for leave in (canvas.on_mouse_up, canvas.on_mouse_out, canvas.on_touch_end, canvas.on_touch_cancel):
            leave(self._leave)
        canvas.on_key_down(self._key)
        canvas.on_client_ready(self._redraw)  # a page that is loaded again starts empty

    def image(self) -> np.ndarray:
        """The sheet as uint8 (SIZE, SIZE), ink bright."""
        return ink(self.value)

    def undo(self) -> None:
        """Take the last stroke back."""
        self.value = self.value[:-1]

    def clear(self) -> None:
        """Make the sheet empty."""
        self.value = ()

    @traitlets.observe("value")
    def _changed(self, change: Any) -> None:
        """Strokes that were not drawn here just now: undone, cleared, or given."""
        if change["new"] != self._drawn():
            self._finished, self._line = change["new"], []
            self._redraw()

    def _drawn(self) -> Strokes:
        return (*self._finished, tuple(self._line)) if self._line else self._finished

    def _publish(self) -> None:
        self._published = time.monotonic()
        self.value = self._drawn()

    def _start(self, x: float, y: float) -> None:
        self._leave()
        self._tip = None
        self._pen_down(x, y)

    def _pen_down(self, x: float, y: float) -> None:
        self._line = [(x, y)]
        self._canvas.fill_circle(x, y, PEN / 2)
        self._publish()

    def _move(self, x: float, y: float) -> None:
        if self._line and self._tip is None:
            self._line_to(x, y)
            if time.monotonic() - self._published > PAUSE:
                self._publish()

    def _line_to(self, x: float, y: float) -> None:
        self._canvas.stroke_line(*self._line[-1], x, y)
        self._line.append((x, y))

    def _leave(self, *where: Any) -> None:
        """The pointer leaves the paper; a pen that the keyboard holds stays where it is."""
        if self._tip is None:
            self._pen_up()

    def _pen_up(self) -> None:
        if self._line:
            self._finished, self._line = self._drawn(), []
            self._publish()

    def _key(self, key: str, *modifiers: bool) -> None:
        if key in ("Tab", "Escape"):  # the canvas keeps every key to itself: without this nobody could leave it
            self._undo.focus()
        elif key == "Backspace":
            self.undo()
        elif key == "Delete":
            self.clear()
        elif key in ARROWS or key == " ":
            x, y = self._tip or (SIZE / 2, SIZE / 2)
            across, down = ARROWS.get(key, (0, 0))
            self._tip = x, y = min(max(x + across, 0), SIZE), min(max(y + down, 0), SIZE)
            if key != " " and self._line:
                self._line_to(x, y)
                self._publish()
            elif key == " " and self._line:
                self._pen_up()
            elif key == " ":
                self._pen_down(x, y)
            self._redraw()

    def _redraw(self) -> None:
        canvas, strokes = self._canvas, self._drawn()
        with hold_canvas():
            canvas.fill_style = "#ffffff"
            canvas.fill_rect(0, 0, SIZE, SIZE)
            canvas.fill_style = canvas.stroke_style = INK
            canvas.line_width, canvas.line_cap, canvas.line_join = PEN, "round", "round"
            for stroke in strokes:
                canvas.fill_circle(*stroke[0], PEN / 2)
                if len(stroke) > 1:
                    canvas.stroke_lines(np.array(stroke))
            if self._tip:
                canvas.stroke_style, canvas.line_width = VERMILION if self._line else BLUE, 3
                canvas.stroke_circle(*self._tip, PEN / 2 + 3)
                canvas.stroke_style, canvas.line_width = INK, PEN


def ink(strokes: Strokes) -> np.ndarray:
    """Strokes drawn with a round pen: uint8 (SIZE, SIZE), ink bright."""
    sheet = Image.new("L", (SIZE, SIZE))
    pen = ImageDraw.Draw(sheet)
    for stroke in strokes:
        pen.line(stroke, fill=255, width=PEN, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            pen.ellipse((x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2), fill=255)
    return np.asarray(sheet)


def draw_box(reader: GlyphReader, strokes: Strokes = ()) -> widgets.Widget:
    """A sheet to draw a character on, with what the recogniser reads on it beside it, while it is being drawn."""
    alphabet = widgets.ToggleButtons(style={"button_width": "auto"})
    bind(alphabet, description=ALPHABET, options=ALPHABETS)
    alphabet.value = "all"
    return live(lambda strokes, alphabet: read(reader, strokes, alphabet), strokes=Pad(strokes), alphabet=alphabet)


def read(reader: GlyphReader, strokes: Strokes, alphabet: str = "all") -> Picture | Text:
    """What was drawn beside the recogniser's best answers, with their probabilities as bars."""
    if not strokes:
        return EMPTY
    return reading_picture(reader, ink(strokes), alphabet)


def reading_picture(reader: GlyphReader, image: np.ndarray, alphabet: str = "all", top: int = 3) -> Picture:
    """A character (ink bright) as the recogniser sees it, beside its best answers, with their probabilities as bars."""
    answers = reader.read(image, alphabet)[:top]
    said = ", ".join(f"{character} {percent(chance)}" for character, chance in answers)
    seen = np.uint8(255) - np.uint8(np.clip(normalise(image), 0, 1) * 255)
    paper = Image.fromarray(seen).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
    return picture(chances_beside(paper, answers, sound), READ, READ_SAYS.format(answers=said), units=CHANCES)


def sound(character: str) -> str:
    """How a hiragana sounds, to stand behind it for readers of English: " (shi)" for し, "" for a digit."""
    _, hiragana, said = unicodedata.name(character, "").rpartition("HIRAGANA LETTER ")
    return f" ({HEPBURN.get(said, said).lower()})" if hiragana else ""
