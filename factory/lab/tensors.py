"""A photo as the tensor (1, 3, H, W) that a network reads: its red, green and blue sheets, one pixel at a time."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from factory.lab.boxes import NAMES, OWN, PHOTO
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLACK, BLUE, GREEN, INK, PAPER, QUIET, VERMILION, YELLOW, box, line, pair, tag, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.vision import PHOTOS, ImageClassifier

MIDDLE, HALF_RANGE = 127, 128  # (pixel - 127) / 128, as EfficientNet-Lite0 was trained
CHANNELS = (
    ("R", Text("赤", "red"), VERMILION),
    ("G", Text("緑", "green"), GREEN),
    ("B", Text("青", "blue"), BLUE),
)
TITLE = Text("写真は、3 枚のシートになる", "A photo becomes three sheets")
SAYS = Text(
    "写真と、赤・緑・青のシート。形は {shape}。左から {column}、上から {row} の画素は、{values}。",
    "A photo and its sheets of red, green and blue; the shape is {shape}. The pixel at {column} from the left and "
    "{row} from the top: {values}.",
)
VALUE = Text(
    "{channel} {pixel} → {value:+.3f}(メモリの {place:,} 番目)", "{channel} {pixel} → {value:+.3f} (place {place:,})"
)
UNITS = Text("画素は 0 から 255、テンソルの値は -1 くらいから +1 まで", "pixels 0 to 255; values about -1 to +1")
SHAPE = Text("テンソルの形", "shape of the tensor")
FORMULA = Text("(画素 - 127) ÷ 128", "(pixel - 127) ÷ 128")
PIXEL = Text("画素", "pixel")
IN_TENSOR = Text("値", "value")
PLACE = Text("メモリの場所", "place")
CROPPED = Text("切り抜いた写真", "the photo, cropped")
COLUMN = Text("左から:", "from the left:")
ROW = Text("上から:", "from the top:")
PLACES = Text(
    "場所は 0 から数えます。1 枚のシートは {sheet:,} 個です。",
    "Places are counted from 0; one sheet holds {sheet:,} numbers.",
)

_SHOWN = 224  # the photo's side in the drawing
_SHEET = 140  # a sheet's side
_STEP_X, _STEP_Y = 42, 34  # from one sheet to the next


@dataclass(frozen=True)
class Sheets:
    """A prepared photo, float32 (1, 3, H, W), its pixels, uint8 (3, H, W), and the drawings of both as addresses."""

    tensor: np.ndarray
    pixels: np.ndarray
    photo: str
    planes: tuple[str, ...]

    @classmethod
    def of(cls, tensor: np.ndarray) -> Sheets:
        """The sheets of what `classifier.prepare` gave."""
        pixels = np.rint(tensor[0] * HALF_RANGE + MIDDLE).clip(0, 255).astype(np.uint8)
        tinted = np.zeros((3, *pixels.shape[1:], 3), np.uint8)
        for channel in range(3):
            tinted[channel, :, :, channel] = pixels[channel]
        whole = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        return cls(tensor, pixels, _address(whole, _SHOWN), tuple(_address(sheet, _SHEET) for sheet in tinted))

    def place(self, channel: int, row: int, column: int) -> int:
        """Where a number stands in memory, counted from 0: row by row, sheet by sheet."""
        _, height, width = self.pixels.shape
        return (channel * height + row) * width + column


def _address(pixels: np.ndarray, side: int) -> str:
    image, data = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((side, side))
    image.save(data, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def tensor_picture(source: np.ndarray | Sheets, column: int = 112, row: int = 112) -> Picture:
    """A prepared photo, float32 (1, 3, H, W), as the photo and its stack of sheets, with one pixel's numbers."""
    sheets = source if isinstance(source, Sheets) else Sheets.of(source)
    numbers = [
        (int(sheets.pixels[c, row, column]), float(sheets.tensor[0, c, row, column]), sheets.place(c, row, column))
        for c in range(3)
    ]
    said = [
        VALUE.format(channel=channel[0], pixel=pixel, value=value, place=place)
        for channel, (pixel, value, place) in zip(CHANNELS, numbers, strict=True)
    ]
    listed = Text("、".join(one.ja for one in said), ", ".join(one.en for one in said))
    shape = str(sheets.tensor.shape)
    return picture(
        _draw(sheets, column, row, numbers),
        TITLE,
        SAYS.format(shape=shape, column=column, row=row, values=listed),
        units=UNITS,
        evidence="measured",
        note=PLACES.format(sheet=sheets.pixels[0].size),
    )


def _draw(sheets: Sheets, column: int, row: int, numbers: list[tuple[int, float, int]]) -> str:
    _, height, width = sheets.pixels.shape
    across, down = (column + 0.5) / width, (row + 0.5) / height
    parts = [
        box(0, 0, 790, 336, PAPER, 12),
        pair(CROPPED, 16 + _SHOWN / 2, 24, 13, fill=QUIET),
        tag("image", href=sheets.photo, x=16, y=36, width=_SHOWN, height=_SHOWN),
        _cross(16, 36, _SHOWN, across, down),
    ]
    for index in (2, 1, 0):  # the red sheet lies on top
        letter, _, colour = CHANNELS[index]
        x, y = 276 + index * _STEP_X, 114 - index * _STEP_Y
        parts += [
            box(x - 3, y - 3, _SHEET + 6, _SHEET + 6, colour, 4),
            tag("image", href=sheets.planes[index], x=x, y=y, width=_SHEET, height=_SHEET),
            _cross(x, y, _SHEET, across, down),
            box(x + _SHEET - 23, y - 3, 26, 24, colour, 4),
            word(letter, x + _SHEET - 10, y + 15, 15, fill=PAPER, font_weight=800),
        ]
    parts += [
        pair(SHAPE, 388, 290, 12, fill=QUIET),
        word(_shape(sheets.tensor.shape), 388, 316, 16, font_weight=700),
        *_table(numbers),
    ]
    return drawing(790, 336, *parts)


def _shape(shape: tuple[int, ...]) -> str:
    """(N, C, H, W) with its letters: N = 1, C = 3, ..."""
    return ", ".join(f"{letter} = {size}" for letter, size in zip("NCHW", shape, strict=True))


def _cross(x: float, y: float, side: float, across: float, down: float) -> str:
    """The mark of one pixel."""
    at_x, at_y = x + side * across, y + side * down
    return box(at_x - 6, at_y - 6, 12, 12, "none", 2, stroke=BLACK, stroke_width=4) + box(
        at_x - 6, at_y - 6, 12, 12, "none", 2, stroke=YELLOW, stroke_width=2
    )


def _table(numbers: list[tuple[int, float, int]]) -> list[str]:
    """One pixel's three numbers: as they were, as the tensor holds them, and where."""
    parts = [
        pair(PIXEL, 614, 70, 12, "end", QUIET),
        pair(IN_TENSOR, 694, 70, 12, "end", QUIET),
        pair(PLACE, 776, 70, 12, "end", QUIET),
    ]
    for index, (pixel, value, place) in enumerate(numbers):
        letter, _, colour = CHANNELS[index]
        y = 112 + 46 * index
        parts += [
            box(536, y - 22, 28, 30, colour, 5),
            word(letter, 550, y, 16, fill=PAPER, font_weight=800),
            word(str(pixel), 614, y, 17, "end", font_weight=700),
            word(f"{value:+.3f}", 694, y, 17, "end", font_weight=700),
            word(f"{place:,}", 776, y, 15, "end", INK),
            line(f"M536 {y + 16} H776", "#e3e8ed", 1),
        ]
    return [*parts, pair(FORMULA, 656, 252, 14)]


@lru_cache(maxsize=4)
def _prepared(classifier: ImageClassifier, photo: Any) -> Sheets:
    return Sheets.of(classifier.prepare(io.BytesIO(photo) if isinstance(photo, bytes) else photo))


def tensor_box(classifier: ImageClassifier) -> widgets.Widget:
    """A choice of photos, and of one's own, as sheets; two sliders move over its pixels."""
    chosen = widgets.Dropdown()
    bind(chosen, description=PHOTO, options=[(NAMES.get(name, name), name) for name in PHOTOS])
    chosen.value = "rocket"
    own = widgets.FileUpload(accept="image/*", multiple=False, layout={"width": "max-content"})
    bind(own, description=OWN)
    column, row = (widgets.IntSlider(112, 0, 223, layout={"width": "min(34em, 100%)"}) for _ in range(2))
    bind(column, description=COLUMN)
    bind(row, description=ROW)

    def draw(name: str, upload: Any, column: int, row: int) -> Picture:
        photo = bytes(upload[0]["content"]) if upload else PHOTOS[name]
        return tensor_picture(_prepared(classifier, photo), column, row)

    return live(draw, name=chosen, upload=own, column=column, row=row)
