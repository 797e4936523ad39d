"""From logits to the next word: greedy, temperature, top-k, top-p."""

from __future__ import annotations

from math import isfinite

import numpy as np

from factory.errors import ModelError, ShapeError
from factory.language import Text, at_least

_FROM_1 = Text("1 以上の整数", "a whole number, 1 or more")
_SHARE = Text("0 より大きく 1 以下の数", "over 0 and at most 1")


def probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> np.ndarray:
    """The chance of each token, float64 (V,), after temperature, top-k and top-p, in this order.

    temperature divides the logits; top_k keeps the k most likely tokens; top_p keeps the fewest most likely tokens
    whose chances add up to p at least (Holtzman et al. 2019). Temperature 0 puts all on the most likely token.
    Raises ShapeError for a setting out of its range, ModelError for logits that are no numbers.
    """
    check_sampling(temperature, top_k, top_p)
    if not np.isfinite(logits).all():
        raise ModelError("not_finite", what="logits")
    if temperature == 0:
        chances = np.zeros(len(logits))
        chances[int(logits.argmax())] = 1
        return chances
    scaled = (logits - logits.max()).astype(np.float64) / temperature
    chances = np.exp(scaled)
    if top_k is not None and top_k < len(chances):
        chances[np.argpartition(-chances, top_k)[top_k:]] = 0
    chances /= chances.sum()
    if top_p is not None and top_p < 1:
        order = np.argsort(-chances, kind="stable")
        needed = int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1
        chances[order[needed:]] = 0
        chances /= chances.sum()
    return chances


def choose(
    logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None, random: np.random.Generator
) -> int:
    """The next token's id: the most likely one at temperature 0, else drawn by `probabilities`."""
    if temperature == 0:
        best = int(logits.argmax())
        if not isfinite(logits[best]):
            raise ModelError("not_finite", what="logits")
        return best
    chances = probabilities(logits, temperature, top_k, top_p)
    return int(random.choice(len(chances), p=chances))


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ShapeError for a temperature below 0, a top_k below 1 or a top_p outside 0..1."""
    call = "generate"
    if not (isinstance(temperature, (int, float)) and isfinite(temperature) and temperature >= 0):
        raise ShapeError("number", call=call, name="temperature", want=at_least(0), got=temperature)
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ShapeError("number", call=call, name="top_k", want=_FROM_1, got=top_k)
    if top_p is not None and not 0 < top_p <= 1:
        raise ShapeError("number", call=call, name="top_p", want=_SHARE, got=top_p)
