"""The exercises of notebook 04."""

from __future__ import annotations

from typing import Any

from factory.lab.checks import Exercise
from factory.lab.lens import Lens
from factory.language import Text

_ONE = 1536  # bytes of one layer's keys and values for one token of SmolLM2


def _cache_bytes(answer: Any) -> str | None:
    """Bytes of SmolLM2's KV cache for 1,000 tokens: 1,536 x 30 x 1,000."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if answer == _ONE * 30 * 1000:
        return None
    near = {_ONE: "neither", _ONE * 30: "one token", _ONE * 1000: "one layer", _ONE * 1030: "added"}
    return near.get(int(answer), "other")


def _first_layer(answer: Any, lens: Lens) -> str | None:
    """At how many layers the word followed first is the best guess; `lens` is the learner's own."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        return "not a number"
    if answer == lens.first:
        return None
    if not 1 <= answer <= lens.layers:
        return "outside"
    return "not best" if lens.ranks[answer - 1] > 1 else "not first"


_NUMBER = Text("12 のように、数で書いてください。", "Write a number, like 12.")

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "cache_bytes",
        Text(
            "SmolLM2 の KV キャッシュは、層 1 つ、トークン 1 個につき 1,536 バイトです。30 層で 1,000 トークンなら、"
            "何バイトでしょう。",
            "SmolLM2's KV cache takes 1,536 bytes for a single layer and a single token. How many bytes is that for 30 "
            "layers and 1,000 tokens?",
        ),
        _cache_bytes,
        {
            "not a number": _NUMBER,
            "neither": Text(
                "それは層 1 つ、トークン 1 個の答えです。", "That is the answer for one layer and one token."
            ),
            "one token": Text(
                "それはトークン 1 個の答えです。トークンは 1,000 個あります。",
                "That is for one token, and there are 1,000.",
            ),
            "one layer": Text(
                "それは層 1 つの答えです。層は 30 あります。", "That is for one layer, and there are 30."
            ),
            "added": Text(
                "層の数とトークンの数は、足すのではなく、かけます。",
                "Multiply the layers by the tokens, do not add them.",
            ),
            "other": Text(
                "1,536 に、層の数とトークンの数をかけましょう。", "Multiply 1,536 by the layers and by the tokens."
            ),
        },
        Text(
            "正解です! 約 46 MB。会話が長くなるほど、KV キャッシュは大きくなります。",
            "That's right! About 46 MB. The longer the conversation, the larger the KV cache.",
        ),
        "1536 * 30 * 1000",
    ),
    Exercise(
        "first_layer",
        Text(
            "追いかけた言葉が、はじめて 1 位になったのは何層目でしょう(どこでも 1 位にならないなら 0)。",
            "At which layer is the word that we followed number 1 for the first time (0 if it never is)?",
        ),
        _first_layer,
        {
            "not a number": Text("12 のように、整数で書いてください。", "Write a whole number, like 12."),
            "outside": Text("その番号の層はありません。", "There is no layer of that number."),
            "not best": Text(
                "その層では、まだ 1 位ではありません。絵の右はしの順位を見てください。",
                "It is not number 1 there; look at the ranks on the right of the picture.",
            ),
            "not first": Text(
                "そこでも 1 位ですが、もっと前の層があります。", "It is number 1 there, but there is an earlier layer."
            ),
        },
        Text(
            "正解です! その層までは、まだ別の言葉が 1 位でした。",
            "That's right! Before it, another word was number 1.",
        ),
        "lens.first",
    ),
)
