"""The exercises of notebook 03."""

from __future__ import annotations

from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text
from factory.problem import Found


def _sobel(answer: Any) -> str | None:
    """Sobel on three rows of (30, 30, 80): (80 - 30) x (1 + 2 + 1)."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if answer == 200:
        return None
    near: dict[float, str] = {-200: "sign", 50: "one row", 100: "middle row", 150: "no double", 420: "all added"}
    return near.get(answer, "other")


def _steps_in(answer: Any, found: Found) -> str | None:
    """The fastest solver that is left when Winograd is taken away; `found` is what the learner's device found."""
    if not isinstance(answer, str):
        return "not a name"
    names = {solution.solver.lower(): solution for solution in found}
    said = names.get(answer.strip().lower())
    if said is None:
        return "not in the race"
    if said.algorithm == "Winograd":
        return "taken away"
    return None if said == found.without(["Winograd"]).best else "slower"


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "sobel_window",
        Text(
            "窓の中の数が、3 行とも (30, 30, 80) です。上の sobel をかけると、答えはいくつでしょう。",
            "Each of the 3 rows in the window is (30, 30, 80). What does the sobel above make of it?",
        ),
        _sobel,
        {
            "not a number": Text("12 のように、数で書いてください。", "Write a number, like 12."),
            "sign": Text(
                "大きさは合っています。右のほうが明るいとき、答えは 0 より大きくなりますか、小さくなりますか?",
                "The size is right. Where the right side is brighter, is the answer above 0 or below?",
            ),
            "one row": Text("それは 1 行目の答えです。あと 2 行あります。", "That is the first row; there are 2 more."),
            "middle row": Text(
                "それは真ん中の行の答えです。3 行を足してください。", "That is the row in the middle; add up all 3."
            ),
            "no double": Text(
                "真ん中の行の重みは -2 と 2 です。-1 と 1 ではありません。",
                "The row in the middle has the weights -2 and 2, not -1 and 1.",
            ),
            "all added": Text(
                "それは 9 つの数をそのまま足した答えです。足す前に、フィルターの数をかけます。",
                "That adds the 9 numbers as they are; multiply each by its number in the filter first.",
            ),
            "other": Text(
                "1 行目は 30×(-1) + 30×0 + 80×1 です。2 行目と 3 行目も計算して、足しましょう。",
                "Row one is 30×(-1) + 30×0 + 80×1. Do rows 2 and 3 the same way, and add up.",
            ),
        },
        Text(
            "正解です! 50 + 100 + 50 = 200。左と右の差が小さいと、答えも小さくなります。",
            "That's right! 50 + 100 + 50 = 200. A smaller step from left to right gives a smaller answer.",
        ),
        "50 + 100 + 50",
    ),
    Exercise(
        "steps_in",
        Text(
            "上の競走で、Winograd の solver をすべて取りあげました。代わりに走るのは、どの solver でしょう。"
            '"Direct" のように、名前で答えてください。',
            "In the race above every solver of the kind Winograd is taken away. Which solver steps in? Answer by its "
            'name, like "Direct".',
        ),
        _steps_in,
        {
            "not a name": Text(
                '名前を "Direct" のように、引用符で囲んで書いてください。', 'Write a name in quotes, like "Direct".'
            ),
            "not in the race": Text(
                "その名前の solver は、上の競走で走っていません。図の左の名前から選んでください。",
                "No solver of that name ran in the race above; choose from the names on the left of the picture.",
            ),
            "taken away": Text(
                "それは Winograd の仲間です。いっしょに取りあげられました。",
                "That is one of the Winograd solvers; it was taken away with them.",
            ),
            "slower": Text(
                "それも走れますが、もっと速い solver が残っています。",
                "It could run, but a faster solver is left.",
            ),
        },
        Text(
            "正解です! 残った中でいちばん速いものが選ばれます。",
            "That's right! The fastest of those that are left is taken.",
        ),
        'found.without(["Winograd"])[0].solver',
    ),
)
