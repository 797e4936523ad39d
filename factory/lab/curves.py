"""Activation functions as curves: MIOpen's modes as a device computes them, and two that MIOpen lacks."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np

from factory.device import Device
from factory.lab.figures import Picture, picture
from factory.lab.plots import figure
from factory.lab.svg import BLUE, VERMILION
from factory.language import Text

# MIOpen's mode, its alpha and beta, and what the curve is called.
MODES: tuple[tuple[str, float, float, str], ...] = (
    ("relu", 0.0, 0.0, "relu"),
    ("clippedrelu", 6.0, 0.0, "clippedrelu (ReLU6)"),
    ("leakyrelu", 0.1, 0.0, "leakyrelu 0.1"),
    ("elu", 1.0, 0.0, "elu"),
    ("logistic", 0.0, 0.0, "logistic"),
    ("tanh", 1.0, 1.0, "tanh"),
    ("softrelu", 0.0, 0.0, "softrelu"),
    ("abs", 0.0, 0.0, "abs"),
)
LACKING = ("SiLU", "GELU")

TITLE = Text("活性化関数: 入った数が、どんな数になって出るか", "Activation functions: what a number becomes")
SAYS = Text(
    "青い実線は MIOpen にある {count} 個の関数({names})。赤い破線は MIOpen にない {lacking}。横軸は入る数、縦軸は出る数。",
    "Solid blue lines are functions that MIOpen has, {count} of them ({names}); dashed red lines are {lacking}, which it "
    "lacks. Across, what goes in; up, what comes out.",
)
UNITS = Text("横軸は入る数、縦軸は出る数", "across: what goes in; up: what comes out")
NOT_THERE = Text("{name}(MIOpen にない)", "{name} (not in MIOpen)")


def curves(device: Device, x: np.ndarray) -> dict[str, np.ndarray]:
    """Each function's values at x, float32: MIOpen's by the device; SiLU by two of its calls, GELU by its formula."""
    with device.array(x.astype(np.float32), name="x") as before:
        found = {}
        for mode, alpha, beta, name in MODES:
            with device.activate(before, mode, alpha, beta) as after:
                found[name] = after.numpy()
        with device.activate(before, "logistic") as gate, device.multiply(before, gate) as after:
            found["SiLU"] = after.numpy()
    found["GELU"] = np.array([0.5 * one * (1 + erf(one / 2**0.5)) for one in x.tolist()], np.float32)
    return found


def activation_plot(device: Device) -> Picture:
    """MIOpen's activation functions, each in a field of its own, with SiLU and GELU dashed beside them."""
    x = np.linspace(-8, 8, 97)
    found = curves(device, x)

    def draw() -> Any:
        made, axes = figure(9, 4.2, 2, 5, sharex=True, sharey=True)
        # MIOpen's fill the first four columns, what it lacks the last.
        fields = [*axes[:, :4].ravel(), *axes[:, 4]]
        for field, (name, y) in zip(fields, found.items(), strict=True):
            lacking = name in LACKING
            field.axhline(0, color="#5b6b7b", linewidth=0.8, linestyle="-")
            field.axvline(0, color="#5b6b7b", linewidth=0.8, linestyle="-")
            field.plot(x, y, color=VERMILION if lacking else BLUE, linestyle="--" if lacking else "-")
            field.set_title(str(NOT_THERE.format(name=name)) if lacking else name, fontsize=9.5)
            field.set_ylim(-2.5, 8.5)
        return made

    names = ", ".join(name for *_, name in MODES)
    said = SAYS.format(count=len(MODES), names=names, lacking=Text(" と ".join(LACKING), " and ".join(LACKING)))
    return picture(draw, TITLE, said, units=UNITS, evidence="measured")
