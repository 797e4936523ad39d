"""The exercises of notebook 02."""

from __future__ import annotations

from typing import Any

from factory.lab.checks import Exercise
from factory.language import Text


def _operations(answer: Any) -> str | None:
    """Multiplications and additions, as everybody counts them, of (2, 3) times (3, 4): 2 x 2 x 4 x 3."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if answer == 48:
        return None
    near: dict[float, str] = {24: "multiplications only", 8: "answers", 18: "numbers", 40: "one fewer"}
    return near.get(answer, "other")


def _leading(answer: Any) -> str | None:
    """The leading dimension of a matrix of 5 rows and 7 columns that lies in memory row by row."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "not a number"
    if answer == 7:
        return None
    near: dict[float, str] = {5: "rows", 35: "all", 1: "next to it"}
    return near.get(answer, "other")


_NUMBER = Text("12 のように、数で書いてください。", "Write a number, like 12.")

EXERCISES = (
    Exercise(
        "product_operations",
        Text(
            "2×3 の行列に 3×4 の行列をかけます。かけ算とたし算は、合わせて何回でしょう(答え 1 つにつき、かけ算と"
            "たし算を 3 回ずつと数えます)。",
            "A matrix of 2×3 is multiplied by one of 3×4. How many multiplications and additions is that together? "
            "(Count 3 of each for each single answer.)",
        ),
        _operations,
        {
            "not a number": _NUMBER,
            "multiplications only": Text(
                "かけ算の数は合っています。たし算も同じ数だけあります。",
                "That is the number of multiplications; there are as many additions.",
            ),
            "answers": Text(
                "それは答えの行列にならぶ数の個数です。答え 1 つに、かけ算とたし算がいくつ要りますか?",
                "That is how many numbers the answer has; how many multiplications and additions does each take?",
            ),
            "numbers": Text(
                "それは 2 つの行列にならぶ数の個数です。数えるのは計算の回数です。",
                "That is how many numbers the two matrices hold; count the computations.",
            ),
            "one fewer": Text(
                "きちんと数えましたね。3 つの数を足すたし算は 2 回です。でもここでは、約束どおり 3 回と数えます。",
                "Carefully counted: adding 3 numbers takes 2 additions. By the usual rule, count 3 here.",
            ),
            "other": Text(
                "答えの行列は 2×4 です。答え 1 つに、かけ算が 3 回、たし算が 3 回要ります。",
                "The answer is a matrix of 2×4, and each number in it takes 3 multiplications and 3 additions.",
            ),
        },
        Text(
            "正解です! m×k の行列と k×n の行列なら、いつでも 2 × m × n × k 回です。",
            "That's right! A matrix of m×k times one of k×n always takes 2 × m × n × k.",
        ),
        "2 * 2 * 4 * 3",
    ),
    Exercise(
        "leading_dimension",
        Text(
            "5 行 7 列の行列が、行優先でメモリにならんでいます。1 つ下の数は、メモリでは何個先にあるでしょう(これが "
            "leading dimension です)。",
            "A matrix of 5 rows and 7 columns lies in memory row by row. How many places further on in memory is the "
            "number just below? (That is the leading dimension.)",
        ),
        _leading,
        {
            "not a number": _NUMBER,
            "rows": Text(
                "それは行の数です。列優先なら、となりの列まで 5 個です。行優先では、1 行に数がいくつならびますか?",
                "That is the number of rows: by columns it is 5 places to the next column. By rows, how many numbers "
                "stand in a row?",
            ),
            "all": Text(
                "それは全部の個数です。1 行ぶんだけ進んでください。", "That is all of them; go on by one row only."
            ),
            "next to it": Text(
                "1 つ先にあるのは、右どなりの数です。下の数は、1 行ぶん先にあります。",
                "1 place further is the number on the right; the one below is a whole row further.",
            ),
            "other": Text(
                "上の絵で、1 と、その下の 4 が、メモリの何番にあるかを見てください。",
                "Look in the picture above at which places of memory the 1 and the 4 below it are.",
            ),
        },
        Text(
            "正解です! 行優先では、leading dimension は列の数(ここでは 7)です。",
            "That's right! By rows, the leading dimension is the number of columns, here 7.",
        ),
        "7",
    ),
)
