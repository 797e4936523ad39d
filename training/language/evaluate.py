"""What the tiny language model can do, on a Device, as a learner meets it: python -m training.language.evaluate.

Prints, in Markdown: the share of right answers by kind and language, by number of layers, refusals of outside
questions, wrong answers, what each depth says, and stories. `--dev` asks the corpus's own held-back phrasings instead
of the exam, to tune on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import factory
from factory.models import LanguageModel
from training.language import judge
from training.language.development import dev_questions
from training.language.judge import LANGUAGES, UNKNOWN, Question
from training.language.stories import read_book, story_requests, with_article
from training.language.world import FACTS, Fact

LONGEST_ANSWER, LONGEST_STORY = 64, 224
STORIES, STORY_TEMPERATURE = range(20), 0.4
REQUESTS = {"en": "Tell me a story.", "ja": "お話を聞かせて。"}
SAMPLES = ("What is the capital of Japan?", "日本の首都はどこですか?", "What does rocBLAS do?", "MIOpenは何をしますか?")


def heroes() -> list[Fact]:
    """What a story may be asked for: the heroes of both languages, each a fact whose name the story must hold."""
    pairs = zip(read_book("en").heroes, read_book("ja").heroes, strict=False)
    return [
        Fact(
            "story",
            {"en": {"hero": with_article(en.kind, "en")}, "ja": {"hero": ja.kind}},
            {"en": "", "ja": ""},
            {"en": (en.kind,), "ja": (ja.kind,)},
        )
        for en, ja in pairs
    ]


def exam(per_phrasing: int) -> list[Question]:
    """The hand-written exam."""
    return judge.questions([*FACTS, *heroes()], per_phrasing=per_phrasing)


def development() -> list[Question]:
    """The corpus's own held-back phrasings, to tune on; a story about nothing must have one of the heroes."""
    asked = [Question(one.kind, one.language, one.question, one.keys) for one in dev_questions()]
    for language in LANGUAGES:
        anybody = tuple(key for hero in heroes() for key in hero.keys[language])
        for text, word in story_requests(language):
            asked.append(Question("story", language, text, (word,) if word else anybody))
    return asked


class Graded(NamedTuple):
    """A question, what the model said, and the rule that it breaks, or None."""

    question: Question
    answer: str
    fault: judge.Fault | None


def grade(model: LanguageModel, questions: Iterable[Question], layers: int | None = None) -> list[Graded]:
    """Greedy answers to questions, by the first `layers` layers, each judged."""
    graded = []
    for question in questions:
        longest = LONGEST_STORY if question.kind == "story" else LONGEST_ANSWER
        answer = model.answer(question.text, longest, layers)
        graded.append(Graded(question, answer, judge.fault(question.kind, question.language, question.keys, answer)))
    return graded


def share(graded: Sequence[Graded], holds: Callable[[Graded], bool]) -> str:
    """How many of the graded answers something holds for, as a share: "93.3 % (28/30)"."""
    if not graded:
        return "-"
    count = sum(map(holds, graded))
    return f"{100 * count / len(graded):.1f} % ({count}/{len(graded)})"


def right(one: Graded) -> bool:
    """Whether an answer breaks no rule."""
    return one.fault is None


def print_kinds(graded: Sequence[Graded]) -> None:
    """The share of right answers by kind and language, and what of the known was refused."""
    cells: dict[tuple[str, str], list[Graded]] = defaultdict(list)
    for one in graded:
        cells[one.question.kind, one.question.language].append(one)
    print("| kind | " + " | ".join(LANGUAGES) + " |\n|--|" + "--|" * len(LANGUAGES))
    for kind in dict.fromkeys(kind for kind, _ in cells):
        print(f"| {kind} | " + " | ".join(share(cells[kind, language], right) for language in LANGUAGES) + " |")
    known = [
        [one for one in graded if one.question.kind != UNKNOWN and one.question.language == of] for of in LANGUAGES
    ]
    print("| all but unknown | " + " | ".join(share(some, right) for some in known) + " |")
    refused = [share(some, lambda one: judge.refuses(one.answer)) for some in known]
    print("| refused of these | " + " | ".join(refused) + " |\n")


def print_wrong(graded: Sequence[Graded], most: int) -> None:
    """Wrong answers, at most so many a kind and language."""
    shown: Counter[tuple[str, str]] = Counter()
    for question, answer, fault in graded:
        place = question.kind, question.language
        if fault and shown[place] < most:
            shown[place] += 1
            print(f"- {question.kind} ({fault}): {question.text} -> {answer}")


def print_depths(model: LanguageModel, questions: Sequence[Question]) -> None:
    """The share of right answers, and what is said, by number of layers."""
    print("| layers | right |\n|--|--|")
    for layers in range(1, model.layers + 1):
        print(f"| {layers} | {share(grade(model, questions, layers), right)} |")
    for text in SAMPLES:
        print(f"\n{text}\n")
        for layers in range(1, model.layers + 1):
            print(f"{layers}. {model.answer(text, 24, layers)}")


def print_stories(model: LanguageModel, temperature: float) -> None:
    """A story a seed in each language."""
    for language in LANGUAGES:
        print(f"\n### {language}: {REQUESTS[language]} (temperature {temperature})\n")
        for seed in STORIES:
            print(f"{seed}. {model.answer(REQUESTS[language], LONGEST_STORY, temperature=temperature, seed=seed)}")


def main(arguments: list[str]) -> int:
    """Print the parts that are asked for, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m training.language.evaluate")
    parser.add_argument("parts", nargs="*", default=["kinds", "depths", "stories"], metavar="kinds|depths|stories")
    parser.add_argument("--model", default="tiny", help="a folder; default: the one in the package")
    parser.add_argument("--dev", action="store_true", help="ask the corpus's own held-back phrasings, not the exam")
    parser.add_argument("--per-phrasing", type=int, default=3, help="questions a phrasing (default: 3)")
    parser.add_argument("--wrong", type=int, default=5, help="wrong answers shown a kind and language (default: 5)")
    parser.add_argument("--temperature", type=float, default=STORY_TEMPERATURE, help="of the stories")
    args = parser.parse_args(arguments)
    questions = development() if args.dev else exam(args.per_phrasing)
    with factory.open("simulator") as device:
        model = LanguageModel.load(device, args.model)
        if "kinds" in args.parts:
            graded = grade(model, questions)
            print_kinds(graded)
            print_wrong(graded, args.wrong)
        if "depths" in args.parts:
            print_depths(model, [question for question in questions if question.kind != UNKNOWN])
        if "stories" in args.parts:
            print_stories(model, args.temperature)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
