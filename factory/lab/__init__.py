"""What a notebook shows: the language switch, figures, the factory floor, checks and the glossary.

    from factory import lab
    lab.language_bar()

matplotlib is loaded when the first plot is drawn, and not before.
"""

from factory.lab.boxes import ask_box, look, photo_box
from factory.lab.checks import Exercise, Verdict, check, question
from factory.lab.figures import EVIDENCE, Html, Picture, picture, say, show
from factory.lab.floor import floor, floor_picture, show_floor
from factory.lab.glossary import Term, glossary_table, term
from factory.lab.ledger import station_bars, timeline_table
from factory.lab.plots import figure
from factory.lab.switch import bind, language_bar, live, state, use
from factory.lab.trouble import install_error_display
from factory.language import Text

__all__ = [
    "EVIDENCE",
    "Exercise",
    "Html",
    "Picture",
    "Term",
    "Text",
    "Verdict",
    "ask_box",
    "bind",
    "check",
    "figure",
    "floor",
    "floor_picture",
    "glossary_table",
    "install_error_display",
    "language_bar",
    "live",
    "look",
    "photo_box",
    "picture",
    "question",
    "say",
    "show",
    "show_floor",
    "state",
    "station_bars",
    "term",
    "timeline_table",
    "use",
]
