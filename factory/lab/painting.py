"""From noise to a character: the film strip of a picture being made, and the recogniser that checks the product."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, INK, PAPER, box, pair, raster, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.glyphs import GlyphReader
from factory.models.painter import GlyphPainter

SIDE, GAP, LABEL, ROW = 104, 12, 22, 6  # pixels of a frame, between two, and under one; frames in a row
SHOWN = 12  # frames of a strip, the noise and the finished picture among them

TITLE = Text("ノイズから「{character}」へ: {steps} ステップ", "From noise to 「{character}」 in {steps} steps")
SAYS = Text(
    "左上のノイズが、{steps} ステップで「{character}」の絵になっていく。{read}",
    "The noise at the top left becomes a picture of 「{character}」 in {steps} steps. {read}",
)
READ_BACK = Text(
    "できた絵を、読み取りモデルは「{answer}」と読みました({chance:.0f} %)。",
    "The recogniser reads the finished picture as 「{answer}」 ({chance:.0f} %).",
)
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
    """The noise and the picture after each step, side by side; a reader says what it sees in the last one."""
    frames = list(painter.frames(character, steps, seed, guidance))
    note = None
    if reader is not None:
        answer, chance = reader.read(frames[-1])[0]
        note = READ_BACK.format(answer=answer, chance=100 * chance)
    return picture(
        strip_svg(frames),
        TITLE.format(character=character, steps=steps),
        SAYS.format(character=character, steps=steps, read=note or ""),
        note=note,
    )


def strip_svg(frames: list[np.ndarray]) -> str:
    """Frames in rows, each with its number below; of many, evenly chosen ones."""
    last = len(frames) - 1
    chosen = sorted({round(last * part / (SHOWN - 1)) for part in range(SHOWN)}) if last >= SHOWN else range(last + 1)
    across = min(ROW, len(chosen))
    width = across * (SIDE + GAP) + GAP
    height = -(-len(chosen) // across) * (SIDE + LABEL + GAP) + GAP
    parts = [box(0, 0, width, height, PAPER, 12)]
    for place, number in enumerate(chosen):
        x, y = GAP + place % across * (SIDE + GAP), GAP + place // across * (SIDE + LABEL + GAP)
        parts.append(raster(Image.fromarray(np.uint8(255.5 - 255 * frames[number])), x, y, SIDE, SIDE))
        colour, thick = (BLUE, 3) if number == last else ("#c6d0d9", 1)
        parts.append(box(x, y, SIDE, SIDE, "none", stroke=colour, stroke_width=thick))
        middle, under = x + SIDE / 2, y + SIDE + 16
        parts.append(word(str(number), middle, under, 13, fill=INK) if number else pair(NOISE, middle, under, 13))
    return drawing(width, height, *parts)


def paint_box(painter: GlyphPainter, character: str = "あ", reader: GlyphReader | None = None) -> widgets.Widget:
    """The learner's own character, steps, seed and guidance, with the film strip that comes of them."""
    line = widgets.Text(character, continuous_update=False, layout={"width": "14em"})
    controls: dict[str, Any] = {
        "character": bind(line, description=CHARACTER),
        "steps": bind(_slider(widgets.IntSlider(10, 1, 30)), description=STEPS),
        "seed": bind(_slider(widgets.IntSlider(0, 0, 20)), description=SEED),
        "guidance": bind(_slider(widgets.FloatSlider(2.0, min=0.0, max=4.0, step=0.5)), description=GUIDANCE),
    }

    def draw(character: str, steps: int, seed: int, guidance: float) -> Picture:
        return film_strip(painter, character.strip(), steps, seed, guidance, reader)

    return live(draw, **controls)


def _slider(slider: Any) -> Any:
    slider.continuous_update, slider.style = False, {"description_width": "12em"}
    slider.layout.width = "min(36em, 100%)"
    return slider
