"""What a notebook shows: the language switch, figures, the factory floor, checks and the glossary.

    from factory import lab
    lab.language_bar()

matplotlib is loaded when the first plot is drawn, and not before.
"""

from factory.lab.boxes import ask, ask_box, look, photo_box
from factory.lab.checks import Exercise, Verdict, check, question
from factory.lab.copies import copy_costs
from factory.lab.costs import growth_plot, measure_layers
from factory.lab.curves import activation_plot
from factory.lab.drawing import draw_box
from factory.lab.featuremaps import depth_maps_picture, feature_box, stem_picture
from factory.lab.figures import EVIDENCE, Html, Picture, picture, say, show
from factory.lab.fit import fit_box, fit_picture
from factory.lab.floor import floor, floor_picture, show_floor
from factory.lab.glossary import Term, glossary_table, term
from factory.lab.ladder import ladder_box, ladder_picture, quiz_layers, right_plot
from factory.lab.ledger import station_bars, timeline_table
from factory.lab.lens import depth_box, depth_picture, lens_picture, read_layers
from factory.lab.matrices import order_picture, product_box, product_picture
from factory.lab.painting import film_strip, paint_box
from factory.lab.plots import figure
from factory.lab.rates import gemm_rates, rate_plot, tokens_box
from factory.lab.sampler import chance_bars, logit_bars, sampler_box
from factory.lab.shelf import memory_picture
from factory.lab.solvers import algorithm_table, dropped_table, race_box, solver_ideas, solver_race
from factory.lab.steps import step_box, step_picture
from factory.lab.streams import race, race_picture, stream_box
from factory.lab.switch import bind, language_bar, live, state, use
from factory.lab.tensors import tensor_box, tensor_picture
from factory.lab.tokens import merge_box, merge_picture, token_box, token_picture
from factory.lab.tower import random_tower, tower_box, tower_picture
from factory.lab.trouble import install_error_display
from factory.lab.windows import filter_box, filter_picture, window_box, window_picture
from factory.language import Text

__all__ = [
    "EVIDENCE",
    "Exercise",
    "Html",
    "Picture",
    "Term",
    "Text",
    "Verdict",
    "activation_plot",
    "algorithm_table",
    "ask",
    "ask_box",
    "bind",
    "chance_bars",
    "check",
    "copy_costs",
    "depth_box",
    "depth_maps_picture",
    "depth_picture",
    "draw_box",
    "dropped_table",
    "feature_box",
    "figure",
    "film_strip",
    "filter_box",
    "filter_picture",
    "fit_box",
    "fit_picture",
    "floor",
    "floor_picture",
    "gemm_rates",
    "glossary_table",
    "growth_plot",
    "install_error_display",
    "ladder_box",
    "ladder_picture",
    "language_bar",
    "lens_picture",
    "live",
    "logit_bars",
    "look",
    "measure_layers",
    "memory_picture",
    "merge_box",
    "merge_picture",
    "order_picture",
    "paint_box",
    "photo_box",
    "picture",
    "product_box",
    "product_picture",
    "question",
    "quiz_layers",
    "race",
    "race_box",
    "race_picture",
    "random_tower",
    "rate_plot",
    "read_layers",
    "right_plot",
    "sampler_box",
    "say",
    "show",
    "show_floor",
    "solver_ideas",
    "solver_race",
    "state",
    "station_bars",
    "stem_picture",
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
    "tower_box",
    "tower_picture",
    "use",
    "window_box",
    "window_picture",
]
