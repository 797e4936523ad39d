"""The window of a convolution: slid by hand over a few numbers, and by a device over a whole photo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageOps

from factory.device import Device
from factory.errors import ModelError, ShapeError
from factory.lab.boxes import NAMES, OWN, PHOTO
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, INK, ORANGE, PAPER, QUIET, box, line, pair, raster, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.vision import PHOTOS

Numbers = Sequence[Sequence[float]] | np.ndarray

FILTERS: dict[str, tuple[Text, Numbers]] = {
    "sobel_x": (Text("Sobel(左と右のちがい)", "Sobel (left against right)"), ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))),
    "sobel_y": (Text("Sobel(上と下のちがい)", "Sobel (top against bottom)"), ((-1, -2, -1), (0, 0, 0), (1, 2, 1))),
    "blur": (Text("ぼかす", "blur"), ((1 / 9,) * 3,) * 3),
    "sharpen": (Text("くっきりさせる", "sharpen"), ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
}

TITLE = Text("窓をすべらせて、かけて、足す", "Slide the window, multiply, add up")
SAYS = Text(
    "{rows}×{columns} の絵の、上から {row}、左から {column} に窓がある。{sums} = {total}。",
    "The window on an image of {rows}×{columns} numbers, {row} from the top and {column} from the left. "
    "{sums} = {total}.",
)
UNITS = Text("画素の明るさ(0 から 255)", "brightness of a pixel (0 to 255)")
IMAGE = Text("絵(数は明るさ)", "image (brightness)")
FILTER = Text("フィルター", "filter")
ANSWERS = Text("答え", "answers")
PLACE = Text("窓の場所:", "Place of the window:")

CHOICE = Text("フィルター:", "Filter:")
FILTERED_SAY = Text(
    "左は白黒にした写真、右は「{name}」をかけた結果。大きさ {shape}、値は {low:.0f} から {high:.0f} まで。",
    "Left a photo in grey, right what the filter 「{name}」 makes of it; size {shape}, values from {low:.0f} to "
    "{high:.0f}.",
)
SIGNED = Text(
    "オレンジは 0 より大きい数、青は 0 より小さい数、白は 0 です。", "Orange is above 0, blue is below 0, white is 0."
)
GREY = Text("0 より小さい数は黒、255 より大きい数は白にしました。", "Under 0 is shown black, over 255 white.")

_SHOWN = 372  # pixels of a photo's width in the drawing
_TALLEST = 372


def slide(image: Numbers, filter: Numbers) -> np.ndarray:
    """What a window gives at each place of an image (H, W): (H - R + 1, W - S + 1), a cross-correlation by definition.

    Raises ShapeError for what is no table of numbers, and for a filter larger than the image.
    """
    x, w = (_table(name, numbers) for name, numbers in (("image", image), ("filter", filter)))
    if x.shape[0] < w.shape[0] or x.shape[1] < w.shape[1]:
        raise ShapeError("window", call="slide", window=w.shape, x=x.shape, pad=(0, 0))
    places = np.lib.stride_tricks.sliding_window_view(x, w.shape)
    return np.einsum("ijrs,rs->ij", places, w)


def _table(name: str, numbers: Numbers) -> np.ndarray:
    try:
        made = np.asarray(numbers, np.float64)
    except (TypeError, ValueError):
        made = np.empty(0)
    if made.ndim != 2 or not made.size:
        raise ShapeError("shape", call="slide", name=name, want="(H, W)", got=made.shape)
    return made


def window_picture(image: Numbers, filter: Numbers, place: int = 1) -> Picture:
    """The window at one place of an image, counted from 1 and row by row: its products, and the answers so far."""
    x, w, answers = _table("image", image), _table("filter", filter), slide(image, filter)
    if not 1 <= place <= answers.size:
        raise ShapeError("number", call="window_picture", name="place", want=f"1..{answers.size}", got=place)
    row, column = divmod(place - 1, answers.shape[1])
    seen = x[row : row + w.shape[0], column : column + w.shape[1]]
    sums, total = [_short(one) for one in (seen * w).sum(axis=1)], _short(answers[row, column])
    said = SAYS.format(
        rows=x.shape[0], columns=x.shape[1], row=row + 1, column=column + 1, sums=_added(sums), total=total
    )
    return picture(_window_svg(x, w, answers, row, column), TITLE, said, units=UNITS)


def window_box(image: Numbers, filter: Numbers, place: int = 1) -> widgets.Widget:
    """A slider that moves the window from place to place, starting at one of them."""
    answers = slide(image, filter)
    slider = widgets.IntSlider(place, 1, answers.size)
    slider.layout.width = "min(36em, 100%)"
    bind(slider, description=PLACE)
    return live(lambda place: window_picture(image, filter, place), place=slider)


def _short(number: float, digits: int = 6) -> str:
    return f"{number:.{digits}g}"


def _added(numbers: Sequence[str]) -> str:
    """Numbers with a plus between them; one below zero in brackets."""
    return " + ".join(f"({number})" if number.startswith("-") else number for number in numbers)


def _window_svg(x: np.ndarray, w: np.ndarray, answers: np.ndarray, row: int, column: int) -> str:
    side = min(44.0, 290 / x.shape[1], 290 / x.shape[0])
    (rows, columns), top = w.shape, 44.0
    left, small = 20 + x.shape[1] * side + 34, min(side, 130 / columns)
    right = left + columns * small + 40
    wide = min(58.0, (784 - right) / answers.shape[1])
    flat = min(side, wide)
    parts = [
        pair(IMAGE, 20 + x.shape[1] * side / 2, 26, 14, font_weight=700),
        pair(FILTER, left + columns * small / 2, 26, 14, font_weight=700),
        pair(ANSWERS, right + answers.shape[1] * wide / 2, 26, 14, font_weight=700),
        *_cells(x, 20, top, side, side, ground=True),
        word("×", left - 17, top + rows * small / 2 + 7, 20),
        *_cells(w, left, top, small, small),
        box(left, top, columns * small, rows * small, "none", 3, stroke=ORANGE, stroke_width=4),
        word("→", right - 20, top + rows * small / 2 + 7, 20),
        *_cells(answers, right, top, wide, flat, shown=row * answers.shape[1] + column + 1),
        box(
            20 + column * side, top + row * side, columns * side, rows * side, "none", 3, stroke=ORANGE, stroke_width=4
        ),
        box(right + column * wide, top + row * flat, wide, flat, "none", 3, stroke=ORANGE, stroke_width=4),
    ]
    y = top + max(x.shape[0] * side, rows * small, answers.shape[0] * flat) + 34
    sums = []
    for r in range(rows):
        products = [f"{_short(x[row + r, column + s])}×{_bracketed(w[r, s])}" for s in range(columns)]
        total = _short(float((x[row + r, column : column + columns] * w[r]).sum()))
        sums.append(total)
        parts += [
            word(" + ".join(products) + " =", 560, y, 16, "end"),
            word(total, 650, y, 16, "end", font_weight=700),
        ]
        y += 26
    parts += [
        line(f"M300 {y - 16:.1f} H650", QUIET, 1.5),
        word(_added(sums) + " =", 560, y + 6, 17, "end"),
        word(_short(answers[row, column]), 650, y + 6, 19, "end", BLUE, font_weight=800),
    ]
    return drawing(800, y + 22, box(0, 0, 800, y + 22, PAPER, 12), *parts)


def _bracketed(number: float) -> str:
    return f"({_short(number, 3)})" if number < 0 else _short(number, 3)


def _cells(
    numbers: np.ndarray, x: float, y: float, wide: float, high: float, ground: bool = False, shown: int | None = None
) -> list[str]:
    """A table of numbers; with `ground` each stands on its brightness, and only the first `shown` are written."""
    parts = []
    for index, number in enumerate(numbers.ravel()):
        r, c = divmod(index, numbers.shape[1])
        left, top = x + c * wide, y + r * high
        level = int(np.clip(number, 0, 255)) if ground else 255
        parts.append(
            box(left, top, wide, high, f"#{level:02x}{level:02x}{level:02x}", stroke="#c3ccd5", stroke_width=1)
        )
        if shown is None or index < shown:
            ink = INK if level > 128 else PAPER
            text = _short(float(number), 6 if shown else 4)
            size = min(16.0, 1.5 * wide / max(len(text), 2), 0.5 * high)
            parts.append(word(text, left + wide / 2, top + high / 2 + size * 0.36, size, fill=ink))
    return parts


# A filter on a whole photo


def grey(photo: Path | str | bytes, width: int = _SHOWN) -> np.ndarray:
    """A photo's brightness, uint8 (H, W), at most `width` wide; photo is a file, or its bytes. ModelError for none."""
    try:
        with Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo) as opened:
            made = ImageOps.exif_transpose(opened).convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ModelError("image", got="photo", why=type(error).__name__) from None
    made.thumbnail((width, _TALLEST))
    return np.asarray(made)


def filtered(device: Device, pixels: np.ndarray, filter: Numbers) -> np.ndarray:
    """An image (H, W) convolved with a filter (R, S) by the device: float32 (H - R + 1, W - S + 1)."""
    with (
        device.array(np.ascontiguousarray(pixels, np.float32)[None, None], name="image") as x,
        device.array(np.ascontiguousarray(filter, np.float32)[None, None], name="filter") as w,
        device.convolve(x, w) as y,
    ):
        return y.numpy()[0, 0]


def filter_picture(device: Device, photo: Path | str | bytes, filter: Numbers | str = "sobel_x") -> Picture:
    """A photo in grey beside what a filter makes of it; filter is a name of FILTERS, or a table of numbers."""
    name, numbers = FILTERS[filter] if isinstance(filter, str) else (FILTER, filter)
    pixels = grey(photo)
    values = filtered(device, pixels, numbers)
    signed = abs(float(np.sum(numbers))) < 1e-6
    shown = _two_sided(values) if signed else Image.fromarray(values.clip(0, 255).astype(np.uint8))
    said = FILTERED_SAY.format(name=name, shape=values.shape, low=values.min(), high=values.max())
    note = SIGNED if signed else GREY
    return picture(_beside(Image.fromarray(pixels), shown), name, said, units=UNITS, note=note)


def filter_box(device: Device) -> widgets.Widget:
    """A choice of photos, of one's own, and of filters."""
    chosen, which = widgets.Dropdown(), widgets.Dropdown()
    bind(chosen, description=PHOTO, options=[(NAMES.get(name, name), name) for name in PHOTOS])
    bind(which, description=CHOICE, options=[(name, key) for key, (name, _) in FILTERS.items()])
    chosen.value, which.value = "camera", "sobel_x"
    own = widgets.FileUpload(accept="image/*", multiple=False, layout={"width": "max-content"})
    bind(own, description=OWN)

    def draw(name: str, upload: Any, filter: str) -> Picture:
        return filter_picture(device, bytes(upload[0]["content"]) if upload else PHOTOS[name], filter)

    return live(draw, name=chosen, upload=own, filter=which)


def _two_sided(values: np.ndarray) -> Image.Image:
    """Values as colours: white at 0, orange above, blue below; the largest ones full."""
    largest = float(np.percentile(np.abs(values), 99.5)) or 1.0
    part = (values / largest).clip(-1, 1)[..., None]
    ends = [np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in ("#a84800", "#00507f")]
    colours = 255 + np.where(part > 0, part * (ends[0] - 255), -part * (ends[1] - 255))
    return Image.fromarray(colours.astype(np.uint8))


def _beside(left: Image.Image, right: Image.Image) -> str:
    parts, x, height = [], 16, max(left.height, right.height) + 32
    for image in (left, right):
        parts.append(raster(image, x, 16))
        x += image.width + 16
    return drawing(x, height, box(0, 0, x, height, PAPER, 12), *parts)
