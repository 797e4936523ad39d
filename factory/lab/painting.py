"""From noise to a character: the film strip of a picture being made, and the recogniser that checks the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from factory.errors import ModelError
from factory.lab.drawing import sound
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, INK, PAPER, QUIET, box, pair, percent, raster, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.glyphs import GlyphReader
from factory.models.painter import GlyphPainter

SIDE, GAP, LABEL, ROW = 104, 12, 22, 6  # pixels of a frame, between two, and of a line under one; frames in a row
SHOWN = 12  # frames of a strip, the noise and the finished picture among them

TITLE = Text("ノイズから「{character}」へ: {steps} ステップ", "From noise to 「{character}」{sound} in {steps} steps")
SAYS = Text(
    "左上のノイズが、{steps} ステップで「{character}」の絵になっていく。{read}",
    "The noise at the top left becomes a picture of 「{character}」 in {steps} steps. {read}",
)
READ = Text(
    "番号の下は、その絵を読み取りモデルが読んだ答えと、その確率です(✓ は、たのんだ文字)。",
    "Below each number: what the recogniser reads in that picture, and how likely it takes it to be "
    "(✓ is the character asked for).",
)
READ_EACH = Text("読み取りモデルの答えは、{list}。", "The recogniser reads: {list}.")
READ_ONE = Text("{number} ステップ目 {answer}", "step {number} {answer}")
NOISE = Text("ノイズ", "noise")
CHARACTER = Text("文字:", "Character:")
STEPS = Text("ステップ数:", "Steps:")
SEED = Text("シード(seed):", "Seed:")
GUIDANCE = Text("文字らしさ(guidance):", "Guidance:")


def film_strip(
    painter: GlyphPainter,
    character: str,
    steps: int = 10,
    seed: int = 0,
    guidance: float = 2.0,
    reader: GlyphReader | None = None,
) -> Picture:
    """The noise and the picture after each step, side by side, each with what a reader sees in it."""
    frames = list(painter.frames(character, steps, seed, guidance))
    chosen, readings, spoken = _chosen(steps), {}, Text("", "")
    if reader is not None:
        readings = {number: _read(reader, frames[number], character) for number in chosen if number}
        each = [READ_ONE.format(number=number, answer=answer) for number, answer in readings.items()]
        spoken = READ_EACH.format(list=Text("、".join(one.ja for one in each), ", ".join(one.en for one in each)))
    return picture(
        strip_svg(frames, chosen, readings),
        TITLE.format(character=character, sound=sound(character), steps=steps),
        SAYS.format(character=character, steps=steps, read=spoken),
        note=READ if readings else None,
    )


def _chosen(last: int) -> Sequence[int]:
    """The frames to show: all, or of many, evenly chosen ones."""
    return sorted({round(last * part / (SHOWN - 1)) for part in range(SHOWN)}) if last >= SHOWN else range(last + 1)


def _read(reader: GlyphReader, frame: np.ndarray, character: str) -> str:
    try:
        answer, chance = reader.read(frame)[0]
    except ModelError:  # so much noise is left that it is bright to the edge, which no drawing is
        return "?"
    return f"{'✓ ' if answer == character else ''}{answer} ({percent(chance)})"


def strip_svg(frames: Sequence[np.ndarray], chosen: Sequence[int], readings: Mapping[int, str]) -> str:
    """The frames chosen, in rows, each with its number below, and below that what is read in it."""
    last = len(frames) - 1
    across, label = min(ROW, len(chosen)), LABEL * (2 if readings else 1)
    width = across * (SIDE + GAP) + GAP
    height = -(-len(chosen) // across) * (SIDE + label + GAP) + GAP
    parts = [box(0, 0, width, height, PAPER, 12)]
    for place, number in enumerate(chosen):
        x, y = GAP + place % across * (SIDE + GAP), GAP + place // across * (SIDE + label + GAP)
        parts.append(raster(Image.fromarray(np.uint8(255.5 - 255 * frames[number])), x, y, SIDE, SIDE))
        colour, thick = (BLUE, 3) if number == last else ("#c6d0d9", 1)
        parts.append(box(x, y, SIDE, SIDE, "none", stroke=colour, stroke_width=thick))
        middle, under = x + SIDE / 2, y + SIDE + 16
        parts.append(word(str(number), middle, under, 13) if number else pair(NOISE, middle, under + 3, 11))
        if number in readings:
            right = readings[number].startswith("✓")
            look = {"fill": INK, "font_weight": 700} if right else {"fill": QUIET}
            parts.append(word(readings[number], middle, under + 20, 14, **look))
    return drawing(width, height, *parts)


def paint_box(painter: GlyphPainter, character: str = "あ", reader: GlyphReader | None = None) -> widgets.Widget:
    """A choice of character, steps, seed and guidance, with the film strip that comes of them."""
    chosen = widgets.Dropdown(layout={"width": "max-content"})
    bind(chosen, description=CHARACTER, options=[(Text(one, one + sound(one)), one) for one in painter.characters])
    chosen.value = character
    controls: dict[str, Any] = {
        "character": chosen,
        "steps": bind(_slider(widgets.IntSlider(10, 1, 30)), description=STEPS),
        "seed": bind(_slider(widgets.IntSlider(0, 0, 20)), description=SEED),
        "guidance": bind(_slider(widgets.FloatSlider(2.0, min=0.0, max=4.0, step=0.5)), description=GUIDANCE),
    }

    def draw(character: str, steps: int, seed: int, guidance: float) -> Picture:
        return film_strip(painter, character, steps, seed, guidance, reader)

    return live(draw, **controls)


def _slider(slider: Any) -> Any:
    slider.continuous_update = False
    slider.layout.width = "min(36em, 100%)"
    return slider
