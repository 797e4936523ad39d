"""Small pieces of SVG: elements, labels that stand in two languages, and numbers with their units."""

from __future__ import annotations

import base64
import io
import re
from html import escape

from PIL import Image

from factory.language import Text

FONT = "system-ui, 'Hiragino Sans', 'Noto Sans JP', 'Noto Sans CJK JP', 'Yu Gothic UI', Meiryo, sans-serif"
INK, QUIET, PAPER = "#1f2933", "#5b6b7b", "#ffffff"
# Okabe and Ito's colours, told apart by every kind of colour vision (jfly.uni-koeln.de/color).
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)


def tag(name: str, *inside: str, **attributes: object) -> str:
    """An element; `fill_opacity=0.5` becomes fill-opacity="0.5", and an attribute that is None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(inside)}</{name}>" if inside else f"<{name}{written}/>"


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def box(x: float, y: float, width: float, height: float, fill: str, radius: float = 0, **more: object) -> str:
    """A rectangle, rounded by `radius`."""
    return tag("rect", x=x, y=y, width=width, height=height, rx=radius or None, fill=fill, **more)


def raster(image: Image.Image, x: float, y: float, width: float = 0, height: float = 0) -> str:
    """A picture made of pixels, as large as it is unless told otherwise: a photo as JPEG, anything else as PNG."""
    data, kind = io.BytesIO(), "JPEG" if image.mode == "RGB" and image.width >= 16 else "PNG"
    image.save(data, kind, **({"quality": 80} if kind == "JPEG" else {"optimize": True}))
    address = f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
    size = {"width": width or image.width, "height": height or image.height}
    return tag("image", href=address, x=x, y=y, **size, style="image-rendering:pixelated" if width else None)


def disc(x: float, y: float, radius: float, fill: str, **more: object) -> str:
    """A filled circle."""
    return tag("circle", cx=x, cy=y, r=radius, fill=fill, **more)


def line(path: str, colour: str, width: float = 2, **more: object) -> str:
    """A stroke along an SVG path."""
    return tag("path", d=path, fill="none", stroke=colour, stroke_width=width, **more)


def dots(x: float, y: float, end: float, step: float, radius: float, colour: str) -> str:
    """A row of discs from x to the end, as one dashed stroke with round caps."""
    return line(f"M{x} {y} H{end}", colour, 2 * radius, stroke_dasharray=f"0 {step:g}")


def word(
    text: str,
    x: float,
    y: float,
    size: float = 12,
    anchor: str = "middle",
    fill: str = INK,
    gloss: str = "",
    **more: object,
) -> str:
    """A text that is the same in every language; a gloss behind it is for readers of English alone."""
    behind = tag("tspan", escape(gloss, quote=False), lang="en") if gloss else ""
    inside = escape(text, quote=False) + behind
    return tag("text", inside, x=x, y=y, font_size=size, **_unless_usual(anchor, fill), **more)


def _unless_usual(anchor: str, fill: str) -> dict[str, str | None]:
    """What `picture` does not say for all texts already."""
    return {"text_anchor": None if anchor == "middle" else anchor, "fill": None if fill == INK else fill}


def pair(
    text: Text, x: float, y: float, size: float = 12, anchor: str = "middle", fill: str = INK, **more: object
) -> str:
    """A label in both languages, Japanese above English, centred on `y` by whichever is shown.

    The language switch hides one of the two and takes the shifts away (`factory.lab.page`).
    """
    lines = "".join(
        tag(
            "text",
            escape(sentence, quote=False),
            lang=code,
            x=x,
            y=y,
            font_size=size,
            **_unless_usual(anchor, fill),
            transform=f"translate(0 {shift:.1f})",
            **more,
        )
        for code, sentence, shift in (("ja", text.ja, -0.58 * size), ("en", text.en, 0.58 * size))
    )
    return tag("g", lines, class_="factory-pair")


def wrapped(text: str, room: float, most: int) -> list[str]:
    """A text in at most so many lines, each as wide as `room` wide characters; Latin letters count for 0.6.

    A token that marks something, such as <|answer|>, stays in one piece.
    """
    lines = [""]
    for piece in re.findall(r"<\|\w+\|> ?|(?:(?!<\|\w+\|>)[!-~])+ ?|.", " ".join(text.split())):
        for part in (piece,) if ems(piece) <= room else tuple(piece):
            if lines[-1] and ems((lines[-1] + part).rstrip()) > room:
                lines.append("")
            lines[-1] += part
    if len(lines) > most:
        last = lines[most - 1].rstrip()
        while ems(last + "…") > room:
            last = last[:-1]
        lines = [*lines[: most - 1], last + "…"]
    return [line.rstrip() for line in lines if line]


def ems(text: str) -> float:
    """About how wide a text is, in wide characters; Latin letters count for 0.6."""
    return sum(0.6 if character.isascii() else 1.0 for character in text)


def picture(width: float, height: float, *inside: str) -> str:
    """The whole drawing: `width` by `height` units, as wide as the page lets it be, on a ground of its own."""
    return tag(
        "svg",
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width="100%",
        font_family=FONT,
        text_anchor="middle",
        fill=INK,
        stroke_linecap="round",
        stroke_linejoin="round",
        style=f"max-width:{width:g}px;height:auto;display:block",
    )


def quantity(number: float | None, unit: str = "") -> str:
    """A number with its unit: 1,234 or 12.3 MB; "-" for a number that nobody knows."""
    if number is None:
        return "-"
    if not unit and number < 100_000:
        return f"{number:,.0f}"
    power = 0
    while number >= 999.5 and power < 5:
        number, power = number / 1000, power + 1
    prefix = ("", "k", "M", "G", "T", "P")[power]
    digits = 0 if number >= 99.5 or (not prefix and number == int(number)) else 1
    return f"{number:.{digits}f} {prefix}{unit}".rstrip()


def duration(milliseconds: float | None) -> str:
    """A time in the unit that suits it: 45 µs, 12.3 ms, 1.23 s."""
    if milliseconds is None:
        return "-"
    if milliseconds < 0.9995:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 999.95:
        return f"{milliseconds:.1f} ms" if milliseconds < 99.95 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.2f} s" if seconds < 99.995 else f"{seconds:,.0f} s"


def percent(share: float) -> str:
    """A share of the whole; what is there but under a half per cent is not rounded to nothing."""
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
