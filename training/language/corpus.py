"""The corpus of the tiny language model: pairs of a question and its answer, drawn anew for as long as one likes.

A kind is drawn by its weight, a fact of the kind, a shape from its phrasings, and then what people add and get wrong:
an opening, a closing, another name, a slip of the finger. Everything follows from the seed.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from types import ModuleType
from typing import NamedTuple

from training.language import outside_en, outside_ja, phrasings_en, phrasings_ja
from training.language.grammar import Grammar, Shape, draw
from training.language.stories import stories
from training.language.world import ALIASES, DONT_KNOW, LANGUAGES, Fact, by_kind, capitalised

Slots = Mapping[str, str]
Uniform = Callable[[], float]

WEIGHTS = {
    "capital": 1.6,
    "country_of": 1.6,
    "language": 1.9,
    "colour": 1.2,
    "opposite": 2.2,
    "next_day": 1.1,
    "previous_day": 0.9,
    "next_number": 1.3,
    "previous_number": 1.3,
    "sound": 1.3,
    "legs": 1.3,
    "sum": 3.0,
    "difference": 2.6,
    "course_what": 3.0,
    "course_who": 2.2,
    "step": 0.9,
    "greeting": 0.25,
    "self": 0.45,
    "story": 2.2,
    "unknown": 4.0,
}
"""How often each kind is drawn; only the ratios count."""

ROUTES = {"own": 0.4, "questions": 0.25, "nouns": 0.2, "clauses": 0.15}
"""How often a phrasing's sentences, whole questions, nouns in a frame and indirect questions in a frame are used."""

STRANGERS = 0.45
"""The share of unanswerable questions that ask a known thing of an unknown subject."""

PATIENCE = 50
"""How many questions may be drawn in vain, one after the other, before another kind has its turn."""


class Pair(NamedTuple):
    """What is learnt: a question and its answer, with the language and kind that they are of."""

    language: str
    kind: str
    question: str
    answer: str


def pairs(seed: int | str, weights: Mapping[str, float] = WEIGHTS) -> Iterator[Pair]:
    """Yield pairs without end, in both languages by turns and no question twice; the same for the same seed."""
    rng = random.Random(f"corpus {seed}")
    kinds, chances = list(weights), list(accumulate(weights.values()))
    told = {language: stories(language, rng.getrandbits(32), 1 << 30) for language in LANGUAGES}
    asked: set[str] = set()
    while True:
        for language in LANGUAGES:
            voice = speaker(language)
            while True:
                kind = kinds[bisect(chances, rng.random() * chances[-1])]
                for _ in range(PATIENCE):
                    question, answer = next(told[language]) if kind == "story" else voice.pair(kind, rng.random)
                    if question not in asked or kind == "story":
                        break
                else:
                    continue
                break
            asked.add(question)
            yield Pair(language, kind, question, answer)


class Speaker:
    """One language: its shapes, compiled, and the facts with all the names that a question may use for them."""

    def __init__(self, language: str, phrasings: ModuleType, outside: ModuleType) -> None:
        self.language = language
        self.manner = MANNERS[language]
        self.routes: dict[str, tuple[list[tuple[Shape, ...]], list[float]]] = {}
        for kind, phrasing in phrasings.PHRASINGS.items():
            fields = {"noun": phrasing.nouns, "clause": phrasing.clauses, "asks": getattr(phrasing, "asks", ())}
            grammar = Grammar({**phrasings.RULES, **{name: lines for name, lines in fields.items() if lines}})
            texts = {
                "own": phrasing.own,
                "questions": phrasing.questions,
                "nouns": phrasings.NOUN_FRAMES if phrasing.nouns else (),
                "clauses": phrasings.CLAUSE_FRAMES if phrasing.clauses else (),
            }
            used = [name for name in ROUTES if texts[name]]
            self.routes[kind] = (
                [tuple(map(grammar.compile, texts[name])) for name in used],
                list(accumulate(ROUTES[name] for name in used)),
            )
        self.openings = tuple(phrasings.OPENINGS)
        self.contexts = tuple(map(Grammar({}).compile, phrasings.CONTEXTS))
        self.closings = tuple(phrasings.CLOSINGS)
        self.facts = {
            kind: [(self._names(fact), fact.answer[language]) for fact in facts] for kind, facts in by_kind().items()
        }
        grammar = Grammar(outside.RULES)
        self.outside = tuple(map(grammar.compile, outside.QUESTIONS))
        self.strangers = {
            kind: {slot: grammar.compile(text) for slot, text in slots.items()}
            for kind, slots in outside.SUBJECTS.items()
        }
        self.known = {
            kind: {value.lower() for names, _ in self.facts[kind] for slots in names for value in slots.values()}
            for kind in self.strangers
        }
        self.subjects = {slot: self._values(slot) for slot in _SLOT_KINDS}

    def pair(self, kind: str, uniform: Uniform) -> tuple[str, str]:
        """A question of `kind` and its answer."""
        if kind == "unknown":
            return self._unanswerable(uniform), DONT_KNOW[self.language]
        facts = self.facts[kind]
        names, answer = facts[int(uniform() * len(facts))]
        slots = names[0] if uniform() > 0.2 else names[int(uniform() * len(names))]
        return self._question(kind, slots, uniform), answer

    def _question(self, kind: str, slots: Slots, uniform: Uniform) -> str:
        groups, chances = self.routes[kind]
        while True:
            shapes = groups[bisect(chances, uniform() * chances[-1])]
            try:
                pieces = draw(shapes[int(uniform() * len(shapes))], slots, uniform)
            except KeyError:  # a shape for the plural, and snow has none
                continue
            text = self._said(pieces, uniform, framed=kind != "greeting")
            if self.manner.told_by(text):
                return text

    def _unanswerable(self, uniform: Uniform) -> str:
        if uniform() < STRANGERS:
            kinds = list(self.strangers)
            kind = kinds[int(uniform() * len(kinds))]
            while True:
                slots = {
                    slot: "".join(text for text, _ in draw(shape, self._anything(uniform), uniform))
                    for slot, shape in self.strangers[kind].items()
                }
                if not any(value.lower() in self.known[kind] for value in slots.values() if not value.isdigit()):
                    return self._question(kind, derived(slots, self.language), uniform)
        while True:
            shape = self.outside[int(uniform() * len(self.outside))]
            try:
                text = self._said(draw(shape, self._anything(uniform), uniform), uniform)
            except KeyError:
                continue
            if self.manner.told_by(text):
                return text

    def _anything(self, uniform: Uniform) -> Slots:
        """A known value for every slot, for questions that know the subject and not the answer."""
        return _Anything(self.subjects, uniform)

    def _said(self, pieces: list[tuple[str, bool]], uniform: Uniform, framed: bool = True) -> str:
        """The sentence as somebody types it, with what they add and get wrong."""
        if uniform() < 0.2:
            pieces = self.manner.slip(pieces, uniform)
        text = "".join(text for text, _ in pieces)
        if framed:
            if uniform() < 0.3:
                text = self.manner.opened(self.openings[int(uniform() * len(self.openings))], text)
            if uniform() < 0.12:
                text = self.manner.opened(self._context(uniform), text)
            if uniform() < 0.15:
                text = self.manner.closed(text, self.closings[int(uniform() * len(self.closings))])
        return self.manner.typed(text, uniform)

    def _context(self, uniform: Uniform) -> str:
        """A sentence before the question that has nothing to do with it."""
        while True:
            shape = self.contexts[int(uniform() * len(self.contexts))]
            try:
                return "".join(text for text, _ in draw(shape, self._anything(uniform), uniform))
            except KeyError:
                continue

    def _names(self, fact: Fact) -> list[Slots]:
        """The slots of a fact: first as they are, then under other names."""
        slots = fact.slots[self.language]
        variants = [slots]
        for slot, value in slots.items():
            others = ALIASES[self.language].get(value, ())
            variants += [{**slots, slot: other} for other in (*others, *self.manner.other_names(value))]
        if len(slots) > 1 and all(value in _NUMBER_WORDS for value in slots.values()) and self.language == "en":
            variants.append({slot: _NUMBER_WORDS[value] for slot, value in slots.items()})
        return [derived(variant, self.language) for variant in variants]

    def _values(self, slot: str) -> list[Slots]:
        return [names[0] for kind in _SLOT_KINDS[slot] for names, _ in self.facts[kind]]


_SLOT_KINDS = {
    "country": ("capital",),
    "city": ("country_of",),
    "animal": ("sound", "legs"),
    "thing": ("colour",),
    "term": ("course_what",),
    "day": ("next_day",),
    "word": ("opposite",),
    "number": ("next_number",),
    "a": ("sum",),
}


class _Anything(dict[str, str]):
    """Slots that draw their value when they are asked for; {country2} is another country than {country}."""

    def __init__(self, subjects: Mapping[str, Sequence[Slots]], uniform: Uniform) -> None:
        super().__init__()
        self._subjects, self._uniform = subjects, uniform

    def __missing__(self, name: str) -> str:
        base = name.rstrip("2").split("_")[0]
        if base == "b":
            base = "a"
        subjects = self._subjects[base]
        while True:
            chosen = subjects[int(self._uniform() * len(subjects))]
            if name[-1] == "2" and chosen[base] == self.get(base):
                continue
            if name[-1] == "2" or name == "b":
                self[name] = chosen[base]
            else:
                self.update(chosen)
            return self[name]


_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty"""
_NUMBER_WORDS = {str(number): word for number, word in enumerate(_NUMBERS.split())}
_PLACES = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth"
_ORDINALS = dict(enumerate(_PLACES.split()))
_PLURALS = {
    "a sheep": "sheep",
    "a fish": "fish",
    "a mouse": "mice",
    "a wolf": "wolves",
    "a deer": "deer",
    "a shrimp": "shrimps",
    "a human": "humans",
    "a walnut": "walnuts",
    "a cherry": "cherries",
    "a fly": "flies",
    "a butterfly": "butterflies",
    "a dragonfly": "dragonflies",
    "a rhinoceros": "rhinoceroses",
    "an octopus": "octopuses",
    "a tooth": "teeth",
    "a goose": "geese",
    "a baby": "babies",
}
_ARTICLES = re.compile(r"^(?:a|an|the) ")


def derived(slots: Slots, language: str) -> Slots:
    """The slots with those that English makes of them: possessive, without article, plural, ordinal number."""
    if language != "en":
        return dict(slots)
    made = dict(slots)
    for slot, value in slots.items():
        made[f"{slot}_s"] = f"{value}'" if value.endswith("s") and value.startswith("the ") else f"{value}'s"
        made[f"{slot}_bare"] = bare = _ARTICLES.sub("", value)
        if value.startswith(("a ", "an ")):
            made[f"{slot}_many"] = _PLURALS.get(value) or bare + (
                "es" if bare.endswith(("s", "x", "ch", "sh")) else "s"
            )
    if "word" in slots:
        made["word_q"] = f"{slots['word']}'s"
    if "number" in slots:
        made["ordinal"] = _ordinal(slots["number"])
    return made


def _ordinal(number: str) -> str:
    """The place of a number: "second" for "2" or "two", "21st" for "21"."""
    for count, place in _ORDINALS.items():
        if number in (str(count), _NUMBER_WORDS[str(count)]):
            return place
    teen = number[-2:-1] == "1"
    return number + ("th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th"))


def _letter_slip(text: str, uniform: Uniform) -> str:
    """One letter of the text dropped, doubled or swapped with the next."""
    at = 1 + int(uniform() * (len(text) - 2))
    if not (text[at].isalpha() and text[at + 1].isalpha()):
        return text
    which = uniform()
    if which < 0.4:
        return text[:at] + text[at + 1 :]
    if which < 0.7:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


class English:
    """How people type English: capitals, full stops, little words and letters that get lost."""

    _sentence = re.compile(r"([.?!] )([a-z])")
    _small = re.compile(r" (?:the|of|is|a|an|do|does|me|to|you|are|it)(?= )")
    _stray = re.compile(r" +(?=[?.,!])|(?<= ) +")

    def told_by(self, text: str) -> bool:
        """Whether the language of the text shows; it is English when there is no other sign."""
        return True

    def other_names(self, value: str) -> tuple[str, ...]:
        """What else a learner may call it: "banana" for "a banana", "seven" for "7"."""
        if value in _NUMBER_WORDS:
            return (_NUMBER_WORDS[value],)
        bare = _ARTICLES.sub("", value)
        return (bare,) if bare != value else ()

    def slip(self, pieces: list[tuple[str, bool]], uniform: Uniform) -> list[tuple[str, bool]]:
        """A letter or a little word lost, never in what a fact fills in."""
        at = int(uniform() * len(pieces))
        text, fixed = pieces[at]
        if fixed or len(text) < 5:
            return pieces
        found = list(self._small.finditer(text)) if uniform() < 0.4 else []
        if found:
            one = found[int(uniform() * len(found))]
            text = text[: one.start()] + text[one.end() :]
        else:
            text = _letter_slip(text, uniform)
        return [*pieces[:at], (text, False), *pieces[at + 1 :]]

    def opened(self, opening: str, text: str) -> str:
        """The opening before the text."""
        return f"{opening} {text}"

    def closed(self, text: str, closing: str) -> str:
        """The closing after the text, which then ends in a stop."""
        text = text.rstrip()
        if text and text[-1] not in ".?!_":
            text += "."
        return f"{text} {closing}"

    def typed(self, text: str, uniform: Uniform) -> str:
        """Spaces put right, capitals as they are mostly put, the last stop sometimes left out."""
        text = self._stray.sub("", text.strip())
        if uniform() < 0.15 and text[-1] in ".?!":
            text = text.rstrip(".?!") or text
        elif uniform() < 0.02 and text[-1] in "?!":
            text += text[-1]
        how = uniform()
        if how < 0.1:
            return text.lower()
        if how < 0.11:
            return text.upper()
        if how < 0.13:
            text = text.replace("'", "")
        return self._sentence.sub(self._raised, capitalised(text))

    def _raised(self, found: re.Match[str]) -> str:
        rest = found.string[found.start(2) : found.start(2) + 8]
        return found[1] + capitalised(rest)[0]


class Japanese:
    """How people type Japanese: kana for kanji, a particle lost, spaces and signs of either width."""

    _japanese = "ぁ-ゖァ-ヺー々〆一-鿿"
    _tight = re.compile(rf"(?<=[{_japanese}])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[{_japanese}])")
    _loose = re.compile(rf"(?<=[{_japanese}]) (?=[A-Za-z0-9])|(?<=[A-Za-z0-9]) (?=[{_japanese}])")
    _wide = str.maketrans("0123456789+-=", "0123456789+-=")
    _kana = (
        ("教えて", "おしえて"), ("首都", "しゅと"), ("何曜日", "なんようび"), ("何です", "なんです"), ("何を", "なにを"), ("何が", "なにが"),
        ("何と", "なんと"), ("何?", "なに?"), ("何本", "なんぼん"), ("言葉", "ことば"), ("色", "いろ"), ("反対", "はんたい"), ("次", "つぎ"),
        ("前", "まえ"), ("明日", "あした"), ("昨日", "きのう"), ("今日", "きょう"), ("鳴き声", "なきごえ"), ("鳴", "な"), ("足は", "あしは"),
        ("足の", "あしの"), ("足を", "あしを"), ("足す", "たす"), ("足し", "たし"), ("国", "くに"), ("知", "し"), ("意味", "いみ"), ("説明", "せつめい"),
        ("役目", "やくめ"), ("名前", "なまえ"), ("数え", "かぞえ"), ("数は", "かずは"), ("話", "はな"), ("使", "つか"), ("来る", "くる"), ("来ます", "きます"),
        ("人が", "ひとが"), ("逆", "ぎゃく"), ("答え", "こたえ"), ("計算", "けいさん"), ("引", "ひ"), ("思", "おも"), ("聞", "き"), ("言って", "いって"),
        ("言う", "いう"), ("言い", "いい"), ("忘れ", "わすれ"), ("仕事", "しごと"), ("行き", "いき"), ("見", "み"), ("都市", "とし"), ("質問", "しつもん"),
    )  # fmt: skip

    def told_by(self, text: str) -> bool:
        """Whether the language of the text shows: "3 + 5" alone is taken for English, 「3+5」 for Japanese."""
        return not text.isascii()

    def other_names(self, value: str) -> tuple[str, ...]:
        """None beside the aliases."""
        return ()

    def slip(self, pieces: list[tuple[str, bool]], uniform: Uniform) -> list[tuple[str, bool]]:
        """A word in kana, or a particle or comma lost, never in what a fact fills in."""
        if uniform() < 0.5:
            kanji, kana = self._kana[int(uniform() * len(self._kana))]
            for _ in range(8):
                if any(kanji in text for text, fixed in pieces if not fixed):
                    break
                kanji, kana = self._kana[int(uniform() * len(self._kana))]
            return [(text if fixed else text.replace(kanji, kana), fixed) for text, fixed in pieces]
        at = int(uniform() * len(pieces))
        text, fixed = pieces[at]
        places = [] if fixed else [n for n, sign in enumerate(text) if sign in "はをがの、" and len(text) > 1]
        if places:
            one = places[int(uniform() * len(places))]
            text = text[:one] + text[one + 1 :]
        return [*pieces[:at], (text, fixed), *pieces[at + 1 :]]

    def opened(self, opening: str, text: str) -> str:
        """The opening before the text."""
        return opening + text

    def closed(self, text: str, closing: str) -> str:
        """The closing after the text, which then ends in a stop."""
        return (text if text[-1] in "。?!…?" else text + "。") + closing

    def typed(self, text: str, uniform: Uniform) -> str:
        """Spaces beside letters and figures or none, signs of one width, the last stop sometimes left out."""
        text = text.strip()
        if uniform() < 0.18 and text[-1] in "。?!":
            text = text[:-1] or text
        text = self._tight.sub(" ", text) if uniform() < 0.5 else self._loose.sub("", text)
        text = text.rstrip()
        if uniform() < 0.3:
            text = text.replace("?", "?").replace("!", "!")
        how = uniform()
        if how < 0.03:
            return text.translate(self._wide)
        if how < 0.06:
            return text.lower()
        return text


MANNERS: dict[str, English | Japanese] = {"en": English(), "ja": Japanese()}


@cache
def speaker(language: str) -> Speaker:
    modules = {"en": (phrasings_en, outside_en), "ja": (phrasings_ja, outside_ja)}
    return Speaker(language, *modules[language])
