"""Errors and warnings as a learner meets them: one clear sentence and its line, in the language that is on."""

from __future__ import annotations

import linecache
import sys
import traceback
import warnings
from html import escape
from types import TracebackType
from typing import Any

from factory.device import LeakWarning
from factory.errors import FactoryError
from factory.lab.figures import Html, both
from factory.language import Text

BROKEN = Text("うまく動きませんでした({kind}: {message})。", "Something went wrong ({kind}: {message}).")
DETAILS = Text("くわしい記録", "the full record")
BOX = (
    "border:2px solid {colour};border-left-width:8px;border-radius:6px;padding:.5em .9em;margin:.4em 0;"
    "background:#fff8f3;color:#1f2933;max-width:60em"
)


_usual_warning = warnings.showwarning


def box(error: BaseException) -> Html:
    """An error as a box: the factory's by their own sentence; any other by its kind, with its record folded away."""
    if isinstance(error, (FactoryError, LeakWarning)):
        return Html(
            _box("factory-error", "#d55e00", f"<b>! {type(error).__name__}</b>{both(error.text, 'div')}"), error.text
        )
    text = BROKEN.format(kind=type(error).__name__, message=str(error))
    record = "".join(traceback.format_exception(error))
    inside = (
        f"<b>! </b>{both(text, 'div')}<details><summary>{both(DETAILS)}</summary><pre>{escape(record)}</pre></details>"
    )
    return Html(_box("factory-bug", "#b3261e", inside), text)


def _box(name: str, colour: str, inside: str) -> str:
    return f'<div class="{name}" role="alert" style="{BOX.format(colour=colour)}">{inside}</div>'


def install_error_display() -> None:
    """Let a FactoryError that ends a cell show its sentence and the cell's line, not a page of traceback.

    The cell still ends in an error, for Jupyter and for the tests; `%tb` shows the whole traceback. A LeakWarning
    shows as such a box too, each time and not only the first. Does nothing outside IPython.
    """
    global _usual_warning
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((FactoryError,), _handle)
        if hasattr(shell, "kernel") and warnings.showwarning is not _show_warning:
            _usual_warning = warnings.showwarning
            warnings.showwarning = _show_warning
            warnings.simplefilter("always", LeakWarning)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """A leak as a box in the cell; any other warning as usual."""
    if isinstance(message, LeakWarning):
        from IPython.display import display

        display(box(message))
    else:
        _usual_warning(message, category, *place, **more)


def _handle(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
) -> list[str]:
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # for %tb and %debug
    where = line_of(shell, trace)
    if hasattr(shell, "kernel"):
        from IPython.display import display

        display(box(error))
        lines = [f"{kind.__name__}  {where}" if where else kind.__name__]
    else:
        lines = [f"{kind.__name__}: {error}", *([where] if where else [])]
    shell._showtraceback(kind, error, lines)
    return lines


def line_of(shell: Any, trace: TracebackType | None) -> str:
    """The innermost line of the learner's own code on the way to an error: "In[3] line 2: x.free()"."""
    found = ""
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals is shell.user_ns:
            name = frame.f_code.co_filename
            label = getattr(shell.compile, "format_code_name", lambda _: None)(name)
            source = linecache.getline(name, trace.tb_lineno).strip()
            found = f"{label[1] if label else name} line {trace.tb_lineno}: {source}"
        trace = trace.tb_next
    return found
