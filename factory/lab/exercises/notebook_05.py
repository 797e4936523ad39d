"""The exercises of notebook 05."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text


def _top_p_left(answer: Any) -> str | None:
    """How many of the chances 0.6, 0.3 and 0.1 top_p=0.8 keeps: the fewest that add up to 0.8 at least."""
    if isinstance(answer, bool) or not isinstance(answer, Integral):
        return "not a number"
    return {2: None, 1: "too few", 3: "too many"}.get(int(answer), "other")


_ANSWERS = {
    "same": ("same", "the same", "同じ", "おなじ", "変わらない", "かわらない"),
    "larger": ("larger", "大きくなる", "大きい"),
    "smaller": ("smaller", "小さくなる", "小さい"),
}


def _shifted_logits(answer: Any) -> str | None:
    """What softmax makes of the same logits with 5 added to each: the same chances."""
    said = str(answer).strip().lower().rstrip("。.")
    meant = next((name for name, words in _ANSWERS.items() if said in words), "other")
    return None if meant == "same" else meant


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "top_p_left",
        Text(
            "3 つの候補の確率が 0.6、0.3、0.1 です。top-p を 0.8 にすると、候補はいくつ残るでしょう。",
            "Three candidates have the chances 0.6, 0.3 and 0.1. With top-p 0.8, how many are left?",
        ),
        _top_p_left,
        {
            "not a number": Text("1 のように、整数で書いてください。", "Write a whole number, like 1."),
            "too few": Text(
                "1 位の 0.6 だけでは、まだ 0.8 に届きません。",
                "Number 1 alone, at 0.6, does not reach 0.8 yet.",
            ),
            "too many": Text(
                "0.6 + 0.3 で、もう 0.8 に届いています。",
                "0.6 + 0.3 reaches 0.8 already.",
            ),
            "other": Text(
                "候補は 3 つです。確率の高い順に足して、0.8 に届いたら止めます。",
                "There are 3 candidates: add up from the likeliest, and stop where the sum reaches 0.8.",
            ),
        },
        Text(
            "正解です! 0.6 + 0.3 = 0.9 で 0.8 に届くので、そこまでの 2 つが残ります。",
            "That's right! 0.6 + 0.3 = 0.9 reaches 0.8, and the 2 so far are left.",
        ),
        "2",
    ),
    Exercise(
        "shifted_logits",
        Text(
            'ロジットが全部 5 ずつ大きくなったら、ソフトマックスの答えはどうなるでしょう。"大きくなる"、"小さくなる"、'
            '"同じ" から選んでください。',
            "Every logit grows by 5. What becomes of the answers of the softmax? "
            'Choose from "larger", "smaller" and "same".',
        ),
        _shifted_logits,
        {
            "larger": Text(
                "確率は、全部足すといつも 1 です。全部がいっしょに大きくなれるでしょうか?",
                "The chances always add up to 1; can all of them grow at once?",
            ),
            "smaller": Text(
                "確率は、全部足すといつも 1 です。全部がいっしょに小さくなれるでしょうか?",
                "The chances always add up to 1; can all of them shrink at once?",
            ),
            "other": Text(
                '"大きくなる"、"小さくなる"、"同じ" のどれかを、引用符で囲んで書いてください。',
                'Write one of "larger", "smaller" and "same", in quotes.',
            ),
        },
        Text(
            "正解です! ソフトマックスが見るのは、点数の大きさではなく、点数の差です。",
            "That's right! A softmax looks at the differences between the scores, not at their size.",
        ),
        '"same"',
    ),
)
