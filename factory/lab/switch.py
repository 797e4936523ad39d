"""The language switch of a notebook: one state, and what follows it live (text, widgets, drawings, errors)."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import ipywidgets as widgets
import traitlets

from factory import language
from factory.lab import page, trouble
from factory.lab.figures import Html, as_html, both
from factory.lab.svg import ems
from factory.language import Text

NAMES = (("日本語", "ja"), ("English", "en"), ("両方 Both", "both"))
TIPS = ("日本語で読む", "Read in English", "両方のことばで読む / Read in both languages")
NOT_YET = Text(
    "このセルを実行すると、ことばを切り替えるボタンが出ます。",
    "Run this cell for the buttons that switch the language.",
)


class Language(traitlets.HasTraits):
    """The language in force, as a state to observe; a change is remembered for the next session."""

    code = traitlets.Enum(language.CHOICES)

    @traitlets.default("code")
    def _start(self) -> str:
        return language.current()

    @traitlets.observe("code")
    def _switch(self, change: Any) -> None:
        language.use(change["new"], remember=True)
        page.refresh(change["new"])


state = Language()


def use(code: str) -> None:
    """Switch to "ja", "en" or "both", as a button of the language bar does."""
    state.code = code


class Bar(widgets.VBox):
    """The buttons that switch the language; its class names tell the page's style rules which language is on."""

    def __init__(self) -> None:
        buttons = widgets.ToggleButtons(options=NAMES, value=state.code, tooltips=TIPS, style={"button_width": "auto"})
        style = widgets.HTML(f"<style>{page.rules()}</style>", layout={"display": "none"})
        super().__init__([buttons, style])
        self._mark()
        state.observe(self._mark, "code")
        traitlets.link((buttons, "value"), (state, "code"))

    def _mark(self, change: object = None) -> None:
        self._dom_classes = ("factory-language", f"factory-{state.code}")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**options), "text/html": both(NOT_YET), "text/plain": str(NOT_YET)}


def language_bar() -> Bar:
    """The language switch, for the end of a notebook's first cell; it also makes the factory's errors readable."""
    trouble.install_error_display()
    return Bar()


_bound: WeakKeyDictionary[widgets.Widget, dict[str, Any]] = WeakKeyDictionary()


def bind(widget: Any, **texts: Any) -> Any:
    """Set a widget's traits from texts, now and at every switch, and give the widget back.

    bind(slider, description=Text("層の数", "layers")); options takes pairs of (Text, value). A value follows the switch
    until the learner writes something else.
    """
    _bound.setdefault(widget, {}).update(texts)
    _speak(widget, texts)
    return widget


_relabelling = False


def _speak(widget: Any, texts: dict[str, Any]) -> None:
    global _relabelling
    for name, text in texts.items():
        if name == "value":
            if widget.value in ("", *text):
                widget.value = text.en if state.code == "en" else text.ja
            continue
        if name != "options" or not widget.options:
            setattr(widget, name, _spoken(text))
            continue
        # New options make ipywidgets choose the first; the choice comes back before anything is drawn.
        chosen, _relabelling = widget.index, True
        try:
            with widget.hold_sync():
                widget.options = _spoken(text)
                widget.index = chosen
        finally:
            _relabelling = False


def _spoken(text: Any) -> Any:
    if isinstance(text, Text):
        return str(text)
    return type(text)(map(_spoken, text)) if isinstance(text, (list, tuple)) else text


def _speak_all(change: object) -> None:
    for widget, texts in list(_bound.items()):
        if widget.comm is not None:
            _speak(widget, texts)


state.observe(_speak_all, "code")


# Controls whose label stands in front; `Live` makes all labels as wide as the widest.
LABELLED = (
    widgets.Text,
    widgets.Dropdown,
    widgets.IntSlider,
    widgets.FloatSlider,
    widgets.SelectionSlider,
    widgets.BoundedFloatText,
)


class Live(widgets.VBox):
    """Controls, and below them what a function makes of their values; see `live`."""

    def __init__(self, function: Callable[..., Any], controls: dict[str, Any]) -> None:
        self._function, self._controls = function, controls
        self._shown: list[Any] = []
        moving = [control for control in controls.values() if isinstance(control, widgets.Widget)]
        self.view = widgets.HTML()
        super().__init__([*moving, self.view])
        self._labelled = [control for control in moving if isinstance(control, LABELLED)]
        self._followed: list[tuple[Any, str, Callable[[object], None]]] = [
            *((control, "description", self._line_up) for control in self._labelled),
            (state, "code", self.draw),
            *((control, "value", self.draw) for control in moving),
        ]
        for one, trait, follow in self._followed:
            one.observe(follow, trait)
        self._line_up()
        self.draw()

    def draw(self, change: object = None) -> None:
        """Call the function with the values that the controls have now, and show what it gives."""
        if _relabelling:
            return
        values = {
            name: control.value if isinstance(control, widgets.Widget) else control
            for name, control in self._controls.items()
        }
        self.view.add_class("factory-busy")
        try:
            self._shown = _made_by(self._function, values)
            self.view.value = as_html(self._shown)
        except Exception as error:
            self._shown = [trouble.box(error)]
            self.view.value = as_html(self._shown)
        finally:
            self.view.remove_class("factory-busy")

    def _line_up(self, change: object = None) -> None:
        """Let no label be cut, in whichever language, and all controls start in one line."""
        room = max((ems(control.description) for control in self._labelled), default=0)
        for control in self._labelled:
            control.style.description_width = f"{room:.1f}em"

    def close(self) -> None:
        """Follow nothing any more."""
        while self._followed:
            one, trait, follow = self._followed.pop()
            one.unobserve(follow, trait)
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # What a reader sees before the notebook has run, and where there are no widgets.
        return {**super()._repr_mimebundle_(**options), "text/html": as_html(self._shown, stored=True)}


def _made_by(function: Callable[..., Any], values: dict[str, Any]) -> list[Any]:
    """What a function prints, displays and gives."""
    from IPython.utils.capture import capture_output

    with capture_output(stderr=False) as captured:
        result = function(**values)
    return [captured.stdout or None, *(_html_of(output.data) for output in captured.outputs), result]


def _html_of(data: dict[str, Any]) -> Html:
    plain = str(data.get("text/plain", ""))
    if "text/html" in data:
        return Html(data["text/html"], plain)
    if "image/png" in data:
        return Html(f'<img alt="{escape(plain)}" src="data:image/png;base64,{data["image/png"]}">', plain)
    return Html(f"<pre>{escape(plain)}</pre>", plain)


_lives: dict[str, tuple[int, list[Live]]] = {}


def live(function: Callable[..., Any], **controls: Any) -> Live:
    """Controls with a drawing that follows them, and the language, live.

    function is called with each control's value by name, at once and at every change; it may give a `picture`, SVG or
    HTML, a Text or a matplotlib Figure, and may print. An error in it becomes a readable message. A control that is
    no widget is passed as it is.
    """
    cell, count = _this_cell()
    before, mine = _lives.get(cell, (count, []))
    if before != count:  # the cell runs again: what it made last time is gone from the page
        for old in mine:
            old.close()
        mine = []
    made = Live(function, controls)
    if cell:
        _lives[cell] = (count, [*mine, made])
    return made


def _this_cell() -> tuple[str, int]:
    from IPython import get_ipython

    shell = get_ipython()
    header = getattr(shell, "parent_header", None) or {}
    return header.get("metadata", {}).get("cellId", ""), getattr(shell, "execution_count", 0)
