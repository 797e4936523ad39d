"""Drawings as images that a notebook can store: they show in an untrusted notebook, and on pages without a switch."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from factory import language
from factory.lab import plots
from factory.language import Text

Drawing = Any  # an SVG string, the address of an image, a matplotlib Figure, or a function that makes one of them


def in_place(drawing: Drawing, description: Text | str) -> str:
    """A drawing as HTML for a widget: SVG stands in the page itself, and the language switch reaches its labels."""
    drawn = drawing() if callable(drawing) else drawing
    if _is_svg(drawn):
        return f'<div role="img" aria-label="{escape(str(description))}">{drawn}</div>'
    return image(_address(drawn, "both"), str(description))


def stored(drawing: Drawing, description: Text | str) -> str:
    """A drawing as HTML for a notebook to store.

    JupyterLab takes inline SVG out of an untrusted notebook and leaves its labels behind as loose words, but it keeps
    images. Where the labels differ by language there are three: one with both, that shows wherever there is no
    switch, and one for each language, hidden until the switch shows it.
    """
    if not callable(drawing) and not (_is_svg(drawing) and " lang=" in drawing):
        return image(_address(drawing, "both"), _in(description, "both"))
    return "".join(image(_drawn(drawing, code), _in(description, code), code) for code in ("both", "ja", "en"))


def image(address: str, alternative: str, code: str = "") -> str:
    """An image tag; with a language it takes part in the switch."""
    part, hidden = "", ""
    if code == "both":
        part = ' class="sep"'
    elif code:
        part, hidden = f' class="factory-one" lang="{code}"', "display:none;"
    return f'<img{part} alt="{escape(alternative)}" src="{address}" style="{hidden}max-width:100%;height:auto">'


def _drawn(drawing: Drawing, code: str) -> str:
    before = language.current()
    with _speaking(code, before):
        return _address(drawing() if callable(drawing) else drawing, code)


@contextmanager
def _speaking(code: str, before: str) -> Iterator[None]:
    language.use(code)
    try:
        yield
    finally:
        language.use(before)


def _address(drawn: Any, code: str) -> str:
    if _is_svg(drawn):
        return svg_address(drawn, code)
    return drawn if isinstance(drawn, str) else plots.address(drawn)


def svg_address(svg: str, code: str = "both") -> str:
    """An SVG drawing as the address of an image, its labels in one language or in both."""
    other = {"ja": "en", "en": "ja"}.get(code)
    hide = f"<style>[lang={other}],.sep{{display:none}}.factory-pair>[lang]{{transform:none}}</style>" if other else ""
    start = svg.index(">") + 1
    opening = svg[:start]
    size = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', opening)
    if size:  # an image has no page to be as wide as
        opening = opening.replace('width="100%"', f'width="{size[1]}" height="{size[2]}"')
    return f"data:image/svg+xml;base64,{base64.b64encode((opening + hide + svg[start:]).encode()).decode()}"


def _is_svg(drawn: object) -> bool:
    return isinstance(drawn, str) and drawn.lstrip().startswith("<svg")


def _in(text: Text | str, code: str) -> str:
    if isinstance(text, Text):
        return f"{text.ja} / {text.en}" if code == "both" else str(getattr(text, code))
    return text
