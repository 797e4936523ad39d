"""What a cell shows: figures with a title, a text alternative and the evidence of their numbers, in both languages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from factory.lab import images, plots
from factory.lab.images import Drawing
from factory.language import Text


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
    ja, en = (
        f'<{element} lang="{code}">{escape(words)}</{element}>' for code, words in zip(("ja", "en"), text, strict=True)
    )
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
        return self._figure(images.stored(self.drawing, self.description))

    def inline(self) -> str:
        """For a widget: a drawing of ours stands in the page itself, and the language switch reaches its labels."""
        return self._figure(images.in_place(self.drawing, self.description))

    def _figure(self, drawn: str) -> str:
        parts = [f"<b>{both(self.title)}</b>"]
        if self.units:
            parts.append(f"{both(UNITS)}: {both(self.units)}")
        parts += [mark(evidence) for evidence in self.evidence]
        if self.note:
            parts.append(both(self.note))
        return (
            f'<figure class="factory-figure" style="margin:.6em 0">{drawn}'
            f'<figcaption style="margin:.3em 0;font-size:.95em">{" &nbsp; ".join(parts)}</figcaption></figure>'
        )

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
    display_picture(picture(drawing, title, description, units=units, evidence=evidence, note=note))


def display_picture(shown: Picture) -> None:
    """Show a picture at once, from anywhere in a cell."""
    from IPython.display import display

    display(shown)


def say(text: Text, **fields: object) -> None:
    """Show a sentence in both languages; the switch shows one. {fields} in it are filled in."""
    from IPython.display import display

    filled = text.format(**fields) if fields else text
    display(Html(both(filled, "div"), filled))


def as_html(thing: object, stored: bool = False) -> str:
    """Anything that a function under `live` may give as HTML: for a widget, or for a notebook that stores it."""
    if thing is None:
        return ""
    if isinstance(thing, Picture):
        return thing.html() if stored else thing.inline()
    if isinstance(thing, Html):
        return thing.html
    if isinstance(thing, Text):
        return both(thing, "div")
    if isinstance(thing, str):
        return _string(thing, stored)
    if isinstance(thing, (list, tuple)):
        return "".join(as_html(one, stored) for one in thing)
    if hasattr(thing, "savefig"):
        return images.image(plots.address(thing), "")
    bundle: dict[str, str] = getattr(thing, "_repr_mimebundle_", dict)()
    html = bundle.get("text/html") or getattr(thing, "_repr_html_", str)()
    return html or f"<pre>{escape(repr(thing))}</pre>"


def _string(text: str, stored: bool) -> str:
    if text.lstrip().startswith("<svg") and stored:
        return images.stored(text, "")
    return text if text.lstrip().startswith("<") else f"<pre>{escape(text)}</pre>"


def _plain(text: Text | str) -> str:
    return f"{text.ja}\n{text.en}" if isinstance(text, Text) else text
