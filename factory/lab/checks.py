"""Self-checks: an exercise takes the learner's answer and says "right", or what to look at next. Never an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from factory.lab.figures import Html, both
from factory.language import Text

RIGHT = Text("正解です!", "That's right!")
NOT_YET = Text("おしい。もう一度考えてみましょう。", "Not yet: have another look.")
EMPTY = Text("... のところに、あなたの答えを書いてください。", "Write your answer where the ... is.")
CANNOT = Text(
    "この答えは読めませんでした({why})。数や文字の書き方を見直してください。",
    "This answer could not be read ({why}); check how the number or word is written.",
)
UNKNOWN = Text(
    "{name} という問題はありません。あるのは {known} です。", "There is no exercise {name}; there are {known}."
)

Test = Callable[..., "str | None"]


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    test gets the answer (and what the notebook hands over by name) and gives None when it is right, else the key of
    the hint to show; "" is for an answer that is wrong in no way we foresaw. solution is the Python expression that
    the notebook folds away as the answer, and that the tests run.
    """

    name: str
    question: Text
    test: Test
    hints: dict[str, Text] = field(default_factory=dict)
    praise: Text = RIGHT
    solution: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer: whether it is right, and the sentence for the learner."""

    right: bool
    text: Text

    def __bool__(self) -> bool:
        return self.right

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        sign, colour, paper = ("✔", "#00674b", "#eef8f4") if self.right else ("➜", "#8a4b00", "#fff7e8")
        style = (
            f"border-left:6px solid {colour};background:{paper};color:#1f2933;border-radius:4px;"
            "padding:.5em .9em;margin:.4em 0;max-width:60em"
        )
        return {
            "text/html": f'<div class="factory-check" role="status" style="{style}"><b style="color:{colour}">{sign}'
            f"</b> {both(self.text)}</div>",
            "text/plain": f"{sign} {self.text.ja}\n{sign} {self.text.en}",
        }


def check(name: str, answer: Any = ..., **given: Any) -> Verdict:
    """Say whether the answer to an exercise is right, with a hint where it is not.

    given is what the exercise needs of the notebook, such as timeline=device.timeline.
    """
    from factory.lab.exercises import EXERCISES

    if name not in EXERCISES:
        return Verdict(False, UNKNOWN.format(name=name, known=", ".join(EXERCISES)))
    exercise = EXERCISES[name]
    if answer is ...:
        return Verdict(False, EMPTY)
    try:
        wrong = exercise.test(answer, **given)
    except Exception as error:
        return Verdict(False, CANNOT.format(why=f"{type(error).__name__}: {error}"))
    return Verdict(True, exercise.praise) if wrong is None else Verdict(False, exercise.hints.get(wrong, NOT_YET))


def question(name: str) -> Html:
    """The question of an exercise, as a cell shows it."""
    from factory.lab.exercises import EXERCISES

    if name not in EXERCISES:
        missing = UNKNOWN.format(name=name, known=", ".join(EXERCISES))
        return Html(both(missing, "div"), missing)
    asked = EXERCISES[name].question
    return Html(both(asked, "div"), asked)
