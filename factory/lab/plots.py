"""Plots: matplotlib with Japanese letters and colours that everyone can tell apart, loaded when the first is drawn."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from factory.lab.svg import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HEAVY = 1000  # points above which a PNG is smaller than an SVG


@lru_cache(maxsize=1)
def matplotlib() -> Any:
    """matplotlib with the course's style set: Japanese font, Okabe-Ito colours each with a dash pattern of its own."""
    import matplotlib as loaded
    import matplotlib_fontja  # noqa: F401  (it sets the font when it is imported)
    from cycler import cycler

    loaded.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=DASHES),
            "axes.grid": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.facecolor": "white",
            "axes.titlesize": 12,
            "font.size": 11,
            "lines.linewidth": 2,
            "svg.fonttype": "path",
            "svg.hashsalt": "factory",
            "axes.unicode_minus": False,
        }
    )
    return loaded


def figure(
    width: float = 8, height: float = 3.2, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, in inches; it belongs to whoever holds it, and no window or memory outlives it."""
    matplotlib()
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, **options)


def address(drawn: Any) -> str:
    """A matplotlib figure as the address of an image: SVG for lines, PNG where there are more than 1000 points."""
    matplotlib()
    kind, data = ("png", io.BytesIO()) if points(drawn) > HEAVY else ("svg", io.BytesIO())
    drawn.savefig(data, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    _forget(drawn)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(data.getvalue()).decode()}"


def points(drawn: Any) -> int:
    """About how many points a figure draws; a picture inside it counts for itself alone, since SVG keeps it as PNG."""
    total = 0
    for axes in drawn.axes:
        total += sum(len(line.get_xdata()) for line in axes.lines)
        total += sum(
            len(collection.get_offsets()) + sum(len(path.vertices) for path in collection.get_paths())
            for collection in axes.collections
        )
        total += 4 * len(axes.patches)
    return total


def _forget(drawn: Any) -> None:
    """Take a figure of pyplot's out of its list, so that the notebook does not show it a second time."""
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(drawn)
