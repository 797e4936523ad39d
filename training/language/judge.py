"""The exam of the tiny language model: questions that no lesson holds, and what counts as a right answer.

`heldout.json` was written by hand before the corpus generator, which never reads it: ten phrasings a kind and
language with slots in braces, and fifty questions a language from outside the model's world.

An answer is right when it breaks none of these rules, in this order.

language   It is in the language of the question. English has a letter and no Japanese character; Japanese has kana
           and none of the small English words that make a sentence. Figures alone are in no language, and a
           replacement character, the trace of broken bytes, is in none either.
babble     It does not say the same piece three times in a row. Animals and stories may.
refusal    It does not say that it does not know; an answer to an outside question ("unknown") must, and that is all
           that is asked of it.
key        It holds one of the keys as a whole word, whatever the case and the width of the letters.
           English: not inside a longer word, a hyphened one included. Japanese writes no spaces, so a key of katakana,
           Latin letters or figures may not go on in the same script on either side (インド is not in インドネシア), and
           a key of one kanji not in another kanji (下 is not in 下手). Other keys are looked for as they stand.
           A number is neither inside a longer one, nor a part of a decimal, nor negative.
           Sums and differences name their operands, one of which may equal the result: where the answer has figures,
           the last one counts.

What the judge cannot see: a key that the answer only repeats from the question (the capital of Singapore is
Singapore), and a claim beside the words "I don't know" in an answer to an outside question.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from string import Formatter
from typing import Literal, NamedTuple, Protocol

UNKNOWN = "unknown"
LANGUAGES = ("ja", "en")
HELDOUT = Path(__file__).with_name("heldout.json")

Fault = Literal["language", "babble", "refusal", "no refusal", "key"]


class Fact(Protocol):
    """What the model should know: its kind, and by language the values of its slots and the keys of a right answer."""

    @property
    def kind(self) -> str: ...
    @property
    def slots(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def keys(self) -> Mapping[str, Sequence[str]]: ...


class Question(NamedTuple):
    """A question of the exam, and the keys one of which a right answer holds (none for an outside question)."""

    kind: str
    language: str
    text: str
    keys: tuple[str, ...]


_JAPANESE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
_LATIN = re.compile(r"[A-Za-z]")
# With re.ASCII a Japanese letter ends an English word.
_SMALL_WORDS = re.compile(r"\b(?:the|is|are|was|of|to|and|it|that|this|has|have|does|do|not|after|before)\b", re.ASCII)
_BABBLE = re.compile(r"(\w.+?)(?:\W*\1){2}", re.DOTALL)
_REFUSAL = re.compile(r"\b(?:don't|do not) know\b|(?:わか|分か|知)りません", re.ASCII)
_FIGURES = re.compile(r"-?\d+(?:[.,]\d+)*")
# The scripts that end where a Japanese word may end; hiragana runs from one word into the next.
_RUNS = ("0-9a-z", "ァ-ヺー")
_KANJI = "々一-鿿"


def _plain(text: str) -> str:
    """One width, one case, one apostrophe, one minus; no spaces between Japanese and other letters."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-")
    text = " ".join(text.split())
    return re.sub(r"(?<=[ぁ-鿿]) | (?=[ぁ-鿿])", "", text)


def _holds(language: str, text: str, key: str) -> bool:
    before, after = [r"(?<!\d[.,])"], [r"(?![.,]\d)"]
    if language == "en":
        before.append(r"(?<![\w-])")
        after.append(r"(?![\w-])")
    else:
        for run in (*_RUNS, _KANJI) if len(key) == 1 else _RUNS:
            if re.match(f"[{run}]", key):
                before.append(f"(?<![{run}])")
            if re.search(f"[{run}]$", key):
                after.append(f"(?![{run}])")
        if key[0].isdigit():
            before.append("(?<!-)")
    return re.search("".join(before) + re.escape(key) + "".join(after), text) is not None


def refuses(answer: str) -> bool:
    """Whether an answer says, in either language, that it does not know."""
    return _REFUSAL.search(_plain(answer)) is not None


def fault(kind: str, language: str, keys: Sequence[str], answer: str) -> Fault | None:
    """The first rule of this module that an answer breaks, or None for a right one.

    kind: of the question, "unknown" for one from outside; language: its language, "ja" or "en"; keys: what a right
    answer may hold, in that language. Raises ValueError for another language, and for a known kind without keys.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no language {language!r}; it is one of {', '.join(LANGUAGES)}")
    if kind != UNKNOWN and not (keys and all(keys)):
        raise ValueError(f"a question of kind {kind!r} needs keys, and no empty one")
    if language == "en":
        spoken = _LATIN.search(answer) and not _JAPANESE.search(answer)
    else:
        spoken = _KANA.search(answer) and not _SMALL_WORDS.search(_plain(answer))
    if not spoken or "\ufffd" in answer:
        return "language"
    text = _plain(answer)
    if kind not in ("sound", "story") and _BABBLE.search(text):
        return "babble"
    if kind == UNKNOWN:
        return None if refuses(answer) else "no refusal"
    if refuses(answer):
        return "refusal"
    if kind in ("sum", "difference") and (figures := _FIGURES.findall(text)):
        text = figures[-1]
    return None if any(_holds(language, text, _plain(key)) for key in keys) else "key"


def right(kind: str, language: str, keys: Sequence[str], answer: str) -> bool:
    """Whether an answer breaks no rule; see `fault`."""
    return fault(kind, language, keys, answer) is None


def slots_of(phrasing: str) -> set[str]:
    """The names in braces in a phrasing."""
    return {name for _, name, _, _ in Formatter().parse(phrasing) if name}


def questions(facts: Iterable[Fact], seed: int = 0, per_phrasing: int = 1) -> list[Question]:
    """The exam: every held-out phrasing with up to `per_phrasing` facts of its kind, then every outside question.

    The facts of a kind are shuffled by the seed and dealt out in turn, so that as many as possible are asked about. A
    phrasing without slots is asked once and takes the keys of every fact of its kind.
    Raises ValueError where a kind of the exam has no facts, or `per_phrasing` is under 1: an exam must not shrink
    unseen.
    """
    if per_phrasing < 1:
        raise ValueError(f"per_phrasing is {per_phrasing}; it must be at least 1")
    heldout = json.loads(HELDOUT.read_text("utf-8"))
    by_kind: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_kind[fact.kind].append(fact)
    if missing := [kind for kind in heldout["phrasings"] if kind not in by_kind]:
        raise ValueError(f"no facts of these kinds: {', '.join(missing)}")
    rng = random.Random(seed)
    asked = []
    for kind, by_language in heldout["phrasings"].items():
        for language, phrasings in by_language.items():
            known = by_kind[kind]
            deal = cycle(rng.sample(known, len(known)))
            for phrasing in phrasings:
                if slots_of(phrasing):
                    for fact in islice(deal, min(per_phrasing, len(known))):
                        text = phrasing.format_map(fact.slots[language])
                        asked.append(Question(kind, language, text, tuple(fact.keys[language])))
                else:
                    keys = dict.fromkeys(key for fact in known for key in fact.keys[language])
                    asked.append(Question(kind, language, phrasing, tuple(keys)))
    for language, outside in heldout["outside"].items():
        asked += [Question(UNKNOWN, language, text, ()) for text in outside]
    return asked
