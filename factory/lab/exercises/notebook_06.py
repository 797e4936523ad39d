"""The exercises of notebook 06."""

from __future__ import annotations

from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text


def _in_use(answer: Any) -> str | None:
    """Bytes in use after hipMalloc of 4,000, of 1,000, and hipFree of the first."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if answer == 1000:
        return None
    near: dict[float, str] = {5000: "nothing freed", 4000: "the freed one", 0: "all freed"}
    return near.get(answer, "other")


def _floor(answer: Any) -> str | None:
    """Milliseconds to carry 4.1 GB at 410 GB/s."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if abs(answer - 10) < 0.05:
        return None
    if abs(answer - 0.01) < 1e-4:
        return "seconds"
    return "upside down" if abs(answer - 100) < 0.5 else "other"


_NUMBER = Text("12 のように、数で書いてください。", "Write a number, like 12.")

EXERCISES = (
    Exercise(
        "still_in_use",
        Text(
            "hipMalloc で 4000 バイト、次に 1000 バイトをもらい、4000 バイトのほうを hipFree で返しました。使用中(in_use)は"
            "何バイトでしょう。",
            "hipMalloc gave 4000 bytes, then 1000, and hipFree took the 4000 back. How many bytes are in use?",
        ),
        _in_use,
        {
            "not a number": _NUMBER,
            "nothing freed": Text(
                "それは、いちばん多かったときの数(peak)です。返した分を引いてください。",
                "That was the most at any time, the peak; take off what was given back.",
            ),
            "the freed one": Text("そちらは、もう返しました。", "That one was given back."),
            "all freed": Text("もう 1 つは、まだ返していません。", "The other one was not given back yet."),
            "other": Text(
                "もらった分を足し、返した分を引いてください。", "Add what was given, and take off what was given back."
            ),
        },
        Text(
            "正解です! 台帳は、もらった分と返した分をいつも数えています。",
            "That's right! The ledger always counts what was given and what came back.",
        ),
        "4000 + 1000 - 4000",
    ),
    Exercise(
        "time_floor",
        Text(
            "重みが 4.1 GB のモデルを、帯域 410 GB/s の GPU で動かします。重みを 1 回ずつ読むだけで、1 トークンに少なくとも"
            "何ミリ秒かかるでしょう。",
            "A model with 4.1 GB of weights runs on a GPU with a bandwidth of 410 GB/s. Only to read each weight once, "
            "how many milliseconds does 1 token take at least?",
        ),
        _floor,
        {
            "not a number": _NUMBER,
            "seconds": Text(
                "その数は秒です。ミリ秒に直してください。", "That is in seconds; write it in milliseconds."
            ),
            "upside down": Text(
                "割り算が逆です。運ぶ量 ÷ 1 秒に運べる量 で計算してください。",
                "It is upside down: divide what is carried by what can be carried in 1 second.",
            ),
            "other": Text(
                "4.1 ÷ 410 が秒です。1 秒は 1000 ミリ秒です。",
                "4.1 / 410 is in seconds; 1 second is 1000 milliseconds.",
            ),
        },
        Text(
            "正解です! これより速くは、どんなにがんばっても答えられません。",
            "That's right! However clever the program, it cannot answer faster than this.",
        ),
        "4.1 / 410 * 1000",
    ),
)
