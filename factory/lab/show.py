"""What a cell shows: figures with a title, a text alternative and the evidence of their numbers, in both languages."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from factory import language
from factory.lab import plots
from factory.language import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

Drawing = Any  # an SVG string, a matplotlib Figure, or a function without arguments that makes one of them


class Evidence(NamedTuple):
    """Where a number comes from: a sign that differs in shape, the word for it, and matplotlib's marker of the shape."""

    sign: str
    word: Text
    marker: str
    colour: str


EVIDENCE = {
    "measured": Evidence("●", Text("実測", "measured"), "o", "#0072b2"),
    "recorded": Evidence("■", Text("記録", "recorded"), "s", "#009e73"),
    "estimated": Evidence("◇", Text("見積もり", "estimated"), "D", "#b34700"),
}
UNITS = Text("単位", "units")


def both(text: Text | str, element: str = "span") -> str:
    """A text as HTML in both languages; the language switch shows one of them."""
    if not isinstance(text, Text):
        return escape(text)
    ja, en = (f'<{element} lang="{code}">{escape(words)}</{element}>' for code, words in zip(("ja", "en"), text,
                                                                                            strict=True))
    return ja + en if element in ("div", "p") else f'{ja}<span class="sep"> / </span>{en}'


def mark(evidence: str) -> str:
    """The mark of an evidence as HTML: its sign and its word."""
    kind = EVIDENCE[evidence]
    return f'<span style="white-space:nowrap"><b style="color:{kind.colour}">{kind.sign}</b> {both(kind.word)}</span>'


@dataclass(frozen=True)
class Html:
    """A piece of HTML that a cell shows, and the same in plain text for a reader of plain text."""

    html: str
    plain: Text | str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": _plain(self.plain)}


@dataclass(frozen=True)
class Picture:
    """A drawing with what a reader needs beside it; `picture` makes one and `show` shows it."""

    drawing: Drawing
    title: Text | str
    description: Text | str
    units: Text | str | None
    evidence: tuple[str, ...]
    note: Text | str | None

    def html(self) -> str:
        """For a cell's stored output: images only, so that it shows in an untrusted notebook too."""
        return self._figure(*(
            f'<img{f" lang={code!r}" if code else ""} alt="{escape(str(_in(self.description, code)))}" src="{address}" '
            'style="max-width:100%;height:auto">'
            for code, address in self._images()
        ))

    def inline(self) -> str:
        """For a widget: a drawing of ours stands in the page itself, and the language switch reaches its labels."""
        drawn = self.drawing() if callable(self.drawing) else self.drawing
        alternative = escape(str(self.description))
        if isinstance(drawn, str) and drawn.lstrip().startswith("<svg"):
            return self._figure(f'<div role="img" aria-label="{alternative}">{drawn}</div>')
        address = drawn if isinstance(drawn, str) else plots.address(drawn)
        return self._figure(f'<img alt="{alternative}" src="{address}" style="max-width:100%;height:auto">')

    def _images(self) -> Iterator[tuple[str, str]]:
        """(language, address of the image) for each image to store; a drawing without words serves both."""
        for code in ("ja", "en"):
            with _speaking(code):
                drawn = self.drawing() if callable(self.drawing) else self.drawing
            if not isinstance(drawn, str):
                yield code, plots.address(drawn)
            elif not drawn.lstrip().startswith("<svg"):
                yield "", drawn
                return
            elif " lang=" in drawn or callable(self.drawing):
                yield code, svg_address(drawn, code)
            else:
                yield "", svg_address(drawn)
                return

    def _figure(self, *drawn: str) -> str:
        parts = [f"<b>{both(self.title)}</b>"]
        if self.units:
            parts.append(f"{both(UNITS)}: {both(self.units)}")
        parts += [mark(evidence) for evidence in self.evidence]
        if self.note:
            parts.append(both(self.note))
        return (f'<figure class="factory-figure" style="margin:.6em 0">{"".join(drawn)}'
                f'<figcaption style="margin:.3em 0;font-size:.95em">{" &nbsp; ".join(parts)}</figcaption></figure>')

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": f"{_plain(self.title)}\n{_plain(self.description)}"}


def picture(
    drawing: Drawing,
    title: Text | str,
    description: Text | str,
    *,
    units: Text | str | None = None,
    evidence: str | Iterable[str] = (),
    note: Text | str | None = None,
) -> Picture:
    """A figure for a cell to end with, or for `live` to draw.

    drawing is an SVG string, a matplotlib Figure, or a function that makes one. A function is called once for each
    language, so that its labels follow the switch; a Figure is drawn now and keeps the labels it has. description
    says in words what the picture shows, for readers who cannot see it. evidence names where its numbers come from
    ("measured", "recorded", "estimated"; several where they are mixed).
    """
    kinds = (evidence,) if isinstance(evidence, str) else tuple(evidence)
    for kind in kinds:
        if kind not in EVIDENCE:
            raise ValueError(f"evidence {kind!r} is none of {', '.join(EVIDENCE)}")
    if not isinstance(drawing, str) and not callable(drawing):
        drawing = plots.address(drawing)
    return Picture(drawing, title, description, units, kinds, note)


def show(
    drawing: Drawing,
    title: Text | str,
    description: Text | str,
    *,
    units: Text | str | None = None,
    evidence: str | Iterable[str] = (),
    note: Text | str | None = None,
) -> None:
    """Show a figure with its title, text alternative, units and evidence (see `picture`)."""
    from IPython.display import display

    display(picture(drawing, title, description, units=units, evidence=evidence, note=note))


def say(text: Text, **fields: object) -> None:
    """Show a sentence in both languages; the switch shows one. {fields} in it are filled in."""
    from IPython.display import display

    filled = text.format(**fields) if fields else text
    display(Html(both(filled, "div"), filled))


def as_html(thing: object) -> str:
    """Anything that a function under `live` may give, as HTML for a widget."""
    if thing is None:
        return ""
    if isinstance(thing, Picture):
        return thing.inline()
    if isinstance(thing, Html):
        return thing.html
    if isinstance(thing, Text):
        return both(thing, "div")
    if isinstance(thing, str):
        return thing if thing.lstrip().startswith("<") else f"<pre>{escape(thing)}</pre>"
    if isinstance(thing, (list, tuple)):
        return "".join(map(as_html, thing))
    if hasattr(thing, "savefig"):
        return f'<img alt="" src="{plots.address(thing)}" style="max-width:100%">'
    bundle = getattr(thing, "_repr_mimebundle_", dict)()
    html = bundle.get("text/html") or getattr(thing, "_repr_html_", str)()
    return html or f"<pre>{escape(repr(thing))}</pre>"


def svg_address(svg: str, code: str = "") -> str:
    """An SVG drawing as the address of an image, in one language where its labels stand in two."""
    hide = f"<style>[lang={'en' if code == 'ja' else 'ja'}],.sep{{display:none}}.factory-pair>[lang]{{transform:none}}" \
           "</style>" if code else ""
    start, width, height = _opening(svg)
    sized = re.sub(r'width="100%"', f'width="{width}" height="{height}"', svg[:start], count=1) if width else svg[:start]
    data = base64.b64encode((sized + hide + svg[start:]).encode()).decode()
    return f"data:image/svg+xml;base64,{data}"


def _opening(svg: str) -> tuple[int, str, str]:
    """Where the <svg> tag ends, and its size by its viewBox; an image has no page to be as wide as."""
    start = svg.index(">") + 1
    found = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', svg[:start])
    return start, *(found.groups() if found else ("", ""))


@contextmanager
def _speaking(code: str) -> Iterator[None]:
    before = language.current()
    language.use(code)
    try:
        yield
    finally:
        language.use(before)


def _in(text: Text | str, code: str) -> str:
    if isinstance(text, Text):
        return getattr(text, code) if code else f"{text.ja} / {text.en}"
    return text


def _plain(text: Text | str) -> str:
    return f"{text.ja}\n{text.en}" if isinstance(text, Text) else text


if TYPE_CHECKING:
    DrawingMaker = Callable[[], "Figure | str"]
