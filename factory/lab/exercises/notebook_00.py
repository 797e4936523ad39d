"""The exercises of notebook 00."""

from __future__ import annotations

from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text
from factory.timeline import STATIONS, Timeline


def _busiest(answer: Any, timeline: Timeline) -> str | None:
    """Which station has the most commands."""
    if not isinstance(answer, str):
        return "not a name"
    named = {station.lower(): station for station in STATIONS}.get(answer.strip().lower())
    if named is None:
        return "not a station"
    totals = timeline.by_station()
    if not any(total.count for total in totals.values()):
        return "nothing ran"
    most = max(total.count for total in totals.values())
    if totals[named].count == most:
        return None
    longest = max(totals, key=lambda station: totals[station].milliseconds)
    return "time" if named == longest else "fewer"


def _tokens(answer: Any, ids: Any) -> str | None:
    """How many tokens a question became; `ids` is what tokenizer.encode gave."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        return "not a number"
    return None if answer == len(ids) else "more" if answer > len(ids) else "fewer"


def _changed(answer: Any) -> str | None:
    """What changes when a model is used: nothing of its weights."""
    word = str(answer).strip().lower()
    if word in ("training", "学習"):
        return None
    return "inference" if word in ("inference", "推論") else "other"


EXERCISES = (
    Exercise(
        "busiest_station",
        Text(
            'いま動いた推論で、命令の回数がいちばん多い持ち場はどこでしょう。"HIP"、"rocBLAS"、"MIOpen"、"kernels" '
            "から選んでください。",
            'Which station had the most commands in the inference that just ran? Choose from "HIP", "rocBLAS", '
            '"MIOpen" and "kernels".',
        ),
        _busiest,
        {
            "not a name": Text(
                '持ち場の名前を "rocBLAS" のように、引用符で囲んで書いてください。',
                'Write the station\'s name in quotes, like "rocBLAS".',
            ),
            "not a station": Text(
                'その名前の持ち場はありません。"HIP"、"rocBLAS"、"MIOpen"、"kernels" から選んでください。',
                'There is no station of that name; choose from "HIP", "rocBLAS", "MIOpen" and "kernels".',
            ),
            "nothing ran": Text(
                "タイムラインがまだ空です。先に推論のセルを実行してください。",
                "The timeline is still empty; run the cell with the inference first.",
            ),
            "time": Text(
                "そこはいちばん長く働いた持ち場です。時間ではなく、命令の回数の欄を見てください。",
                "That station worked the longest; look at the number of commands, not at the time.",
            ),
            "fewer": Text(
                "もっと命令の多い持ち場があります。工場の図で、伝票の形の印の横にある数を比べてください。",
                "Another station has more commands; compare the numbers beside the sign of a slip in the "
                "drawing of the factory.",
            ),
        },
        Text(
            "正解です! いちばん回数が多い持ち場と、いちばん時間がかかる持ち場は、同じとはかぎりません。",
            "That's right! The station with the most commands need not be the one that takes the most time.",
        ),
        "max(device.timeline.by_station().items(), key=lambda item: item[1].count)[0]",
    ),
    Exercise(
        "token_count",
        Text("この質問は、いくつのトークンになったでしょう。", "How many tokens did this question become?"),
        _tokens,
        {
            "not a number": Text("12 のように、整数で書いてください。", "Write a whole number, like 12."),
            "more": Text(
                "それより少ないです。1 つのトークンが 2 文字以上になることもあります。",
                "It is fewer: a token can be two characters or more.",
            ),
            "fewer": Text(
                "それより多いです。番号の並びを 1 つずつ数えてみましょう。",
                "It is more; count the numbers in the list one by one.",
            ),
        },
        Text(
            "正解です! モデルが読むのは文字ではなく、この番号の並びです。",
            "That's right! The model reads this list of numbers, not letters.",
        ),
        "len(ids)",
    ),
    Exercise(
        "weights_change",
        Text(
            '重みが変わるのは "学習" と "推論" のどちらでしょう。',
            'In which do the weights change: "training" or "inference"?',
        ),
        _changed,
        {
            "inference": Text(
                "前と後で重みのハッシュを比べたセルを見てください。推論で何か変わりましたか?",
                "Look at the cell that compares the hash of the weights before and after: did inference "
                "change anything?",
            ),
            "other": Text('"学習" か "推論" のどちらかで答えてください。', 'Answer by "training" or "inference".'),
        },
        Text(
            "正解です! 推論は重みを読むだけで、書きかえません。",
            "That's right! Inference only reads the weights and never writes them.",
        ),
        '"training"',
    ),
)
