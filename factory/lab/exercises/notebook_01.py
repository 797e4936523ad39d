"""The exercises of notebook 01."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text

_SHEET = 224 * 224  # numbers in one sheet of a photo's tensor (1, 3, 224, 224)


def _is_whole(answer: Any) -> bool:
    return isinstance(answer, Integral) and not isinstance(answer, bool)


def _batch_bytes(answer: Any) -> str | None:
    """Bytes of (16, 3, 224, 224) numbers of float32."""
    if not _is_whole(answer):
        return "not a number"
    count = 16 * 3 * _SHEET
    known = {count: "count", 3 * _SHEET * 4: "one photo", 16 * _SHEET * 4: "one colour", count * 8: "float64"}
    return None if answer == count * 4 else known.get(answer, "other")


def _first_green(answer: Any) -> str | None:
    """Place in memory, from 0, of the first number of the second sheet."""
    if not _is_whole(answer):
        return "not a number"
    if answer == _SHEET:
        return None
    return {1: "interleaved", _SHEET + 1: "from one", 224: "second row", 2 * _SHEET: "blue", 4 * _SHEET: "bytes"}.get(
        answer, "other"
    )


_NUMBER = Text("12 や 3 * 4 のように、整数で書いてください。", "Write a whole number, like 12 or 3 * 4.")

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "batch_bytes",
        Text(
            "写真 16 枚を 1 つにまとめたテンソル (16, 3, 224, 224) は、float32 なら何バイトでしょう。",
            "16 photos in one tensor of shape (16, 3, 224, 224): how many bytes is that in float32?",
        ),
        _batch_bytes,
        {
            "not a number": _NUMBER,
            "count": Text(
                "それは数の個数です。float32 は、1 個が 4 バイトです。",
                "That is how many numbers there are; each float32 takes 4 bytes.",
            ),
            "one photo": Text("それは写真 1 枚分です。写真は 16 枚あります。", "That is one photo, and there are 16."),
            "one colour": Text(
                "それは 1 色分です。シートは写真 1 枚に 3 枚あります。",
                "That is one colour; each single photo has 3 sheets.",
            ),
            "float64": Text(
                "それは float64(1 個が 8 バイト)の答えです。float32 はその半分です。",
                "That is the answer for float64, at 8 bytes each; a float32 takes half of that.",
            ),
            "other": Text(
                "形の 4 つの数を全部かけると、数の個数になります。それに 1 個分のバイト数をかけましょう。",
                "Multiply all 4 numbers of the shape to count the numbers, then multiply by the bytes that each takes.",
            ),
        },
        Text(
            "正解です! デバイスへ運ぶのは、いつもこのバイト数です。",
            "That's right! So many bytes travel to the device each time.",
        ),
        "16 * 3 * 224 * 224 * 4",
    ),
    Exercise(
        "first_green",
        Text(
            "NCHW の写真 (1, 3, 224, 224) で、緑のシートの最初の数は、メモリの何番目でしょう(0 から数えます)。",
            "In an NCHW photo (1, 3, 224, 224), at which place in memory is the first number of the green sheet "
            "(counted from 0)?",
        ),
        _first_green,
        {
            "not a number": _NUMBER,
            "interleaved": Text(
                "それは、赤、緑、青が 1 画素ごとにならぶ NHWC の答えです。NCHW では、赤のシートが全部先に来ます。",
                "That is the answer for NHWC, where red, green and blue take turns at each single pixel; in NCHW the "
                "whole red sheet comes first.",
            ),
            "from one": Text(
                "おしい。0 から数えるので、1 つ前です。", "Close: places are counted from 0, so it is 1 earlier."
            ),
            "second row": Text(
                "そこは赤のシートの 2 行目です。赤のシートには、あと 223 行あります。",
                "That is row 2 of the red sheet, and 223 rows of red are still to come.",
            ),
            "blue": Text("そこは青のシートの最初です。", "That is where the blue sheet starts."),
            "bytes": Text(
                "それはバイトで数えた答えです。ここでは数の個数で数えます。",
                "That counts in bytes; count in numbers here.",
            ),
            "other": Text(
                "緑の前には、赤のシートが 1 枚、まるごとあります。1 枚に数はいくつありますか?",
                "Before green lies one whole sheet of red. How many numbers does a sheet hold?",
            ),
        },
        Text(
            "正解です! 赤の 224 × 224 個が終わったところから、緑が始まります。",
            "That's right! Green starts where the 224 × 224 numbers of red end.",
        ),
        "224 * 224",
    ),
)
