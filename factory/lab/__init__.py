"""What a notebook shows: the language switch, figures, the factory floor, checks and the glossary.

    from factory import lab
    lab.language_bar()

matplotlib is loaded when the first plot is drawn, and not before.
"""

from factory.lab.boxes import ask_box, look, photo_box
from factory.lab.checks import Exercise, Verdict, check, question
from factory.lab.copies import copy_costs
from factory.lab.figures import EVIDENCE, Html, Picture, picture, say, show
from factory.lab.fit import fit_box, fit_picture
from factory.lab.floor import floor, floor_picture, show_floor
from factory.lab.glossary import Term, glossary_table, term
from factory.lab.ledger import station_bars, timeline_table
from factory.lab.matrices import order_picture, product_box, product_picture
from factory.lab.plots import figure
from factory.lab.rates import gemm_rates, rate_plot, tokens_box
from factory.lab.sampler import chance_bars, logit_bars, sampler_box
from factory.lab.shelf import memory_picture
from factory.lab.steps import step_box, step_picture
from factory.lab.streams import race, race_picture, stream_box
from factory.lab.switch import bind, language_bar, live, state, use
from factory.lab.tensors import tensor_box, tensor_picture
from factory.lab.tokens import merge_box, merge_picture, token_box, token_picture
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
    "chance_bars",
    "check",
    "copy_costs",
    "figure",
    "fit_box",
    "fit_picture",
    "floor",
    "floor_picture",
    "gemm_rates",
    "glossary_table",
    "install_error_display",
    "language_bar",
    "live",
    "logit_bars",
    "look",
    "memory_picture",
    "merge_box",
    "merge_picture",
    "order_picture",
    "photo_box",
    "picture",
    "product_box",
    "product_picture",
    "question",
    "race",
    "race_picture",
    "rate_plot",
    "sampler_box",
    "say",
    "show",
    "show_floor",
    "state",
    "station_bars",
    "step_box",
    "step_picture",
    "stream_box",
    "tensor_box",
    "tensor_picture",
    "term",
    "timeline_table",
    "token_box",
    "token_picture",
    "tokens_box",
    "use",
]
