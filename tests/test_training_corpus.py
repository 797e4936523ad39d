"""The tiny language model's world and corpus: every fact once, every kind asked for in many ways, the same each time."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest

from training.language import corpus, development, outside_en, outside_ja, phrasings_en, phrasings_ja
from training.language.grammar import Grammar, Shape, Slot, draw, slots_of
from training.language.world import ALIASES, DONT_KNOW, DONT_KNOW_KEYS, FACTS, LANGUAGES, by_kind

PHRASINGS = {"en": phrasings_en, "ja": phrasings_ja}
OUTSIDE = {"en": outside_en, "ja": outside_ja}
KINDS = tuple(by_kind())
TALK = ("greeting", "self")


def shapes_of(language: str, kind: str) -> list[Shape]:
    """All compiled shapes of a kind, those in a frame too."""
    groups, _ = corpus.speaker(language).routes[kind]
    return [shape for group in groups for shape in group]


def pattern(shape: Shape) -> str:
    """A regular expression for all ways of saying `shape`, slots left open."""
    said = ""
    for part in shape:
        if isinstance(part, str):
            said += re.escape(part)
        elif isinstance(part, Slot):
            said += re.escape(f"{{{part.name}}}")
        else:
            said += f"(?:{'|'.join(map(pattern, part))})"
    return said


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_subject_has_two_answers(language: str) -> None:
    asked = Counter((fact.kind, tuple(sorted(fact.slots[language].items()))) for fact in FACTS)
    assert [subject for subject, times in asked.items() if times > 1] == []
    answers = Counter((fact.kind, fact.answer[language]) for fact in FACTS)
    assert [answer for answer, times in answers.items() if times > 1] == []


def test_every_fact_stands_in_both_languages_and_its_keys_in_its_answer() -> None:
    for fact in FACTS:
        assert set(fact.slots) == set(fact.answer) == set(fact.keys) == set(LANGUAGES)
        assert set(fact.slots["en"]) == set(fact.slots["ja"])
        for language in LANGUAGES:
            assert all(fact.slots[language].values())
            assert fact.keys[language]
            assert all(key in fact.answer[language] for key in fact.keys[language]), fact
    for language in LANGUAGES:
        assert all(key in DONT_KNOW[language] for key in DONT_KNOW_KEYS[language])


def test_the_world_is_as_large_as_promised() -> None:
    counts = {kind: len(facts) for kind, facts in by_kind().items()}
    assert counts["capital"] >= 112
    assert counts["colour"] >= 40
    assert counts["opposite"] >= 60
    assert 30 <= counts["course_what"] == counts["course_who"]
    assert counts["sum"] == 21 * 21
    assert counts["step"] == 5


def test_a_course_answer_is_told_by_its_key_alone() -> None:
    for language in LANGUAGES:
        facts = by_kind()["course_what"]
        for fact in facts:
            holders = [other for other in facts if all(key in other.answer[language] for key in fact.keys[language])]
            assert holders == [fact]


def test_opposites_hold_both_ways() -> None:
    for language in LANGUAGES:
        pairs = {fact.slots[language]["word"]: fact.keys[language][0] for fact in by_kind()["opposite"]}
        assert all(pairs[pairs[word]] == word for word in pairs)


def test_arithmetic_days_and_numbers_are_right() -> None:
    for fact in FACTS:
        slots = fact.slots["en"]
        result = re.findall(r"\d+", fact.answer["en"])
        if fact.kind in ("sum", "difference"):
            a, b = int(slots["a"]), int(slots["b"])
            assert int(result[-1]) == (a + b if fact.kind == "sum" else a - b)
        elif fact.kind in ("next_number", "previous_number"):
            assert int(result[-1]) == int(slots["number"]) + (1 if fact.kind == "next_number" else -1)
    after = {fact.slots["ja"]["day"]: fact.keys["ja"][0] for fact in by_kind()["next_day"]}
    before = {fact.slots["ja"]["day"]: fact.keys["ja"][0] for fact in by_kind()["previous_day"]}
    assert len(after) == 7
    assert all(before[after[day]] == day for day in after)


def test_an_alias_means_one_thing() -> None:
    for language in LANGUAGES:
        for kind, facts in by_kind().items():
            known = {value for fact in facts for value in fact.slots[language].values()}
            named = Counter(
                alias for value in known for alias in ALIASES[language].get(value, ()) if alias not in (value,)
            )
            assert all(times == 1 for times in named.values()), kind
            assert not set(named) & known, kind


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_thirty_shapes_or_more(language: str, kind: str) -> None:
    phrasing = PHRASINGS[language].PHRASINGS[kind]
    assert len({*phrasing.own, *phrasing.questions, *phrasing.nouns, *phrasing.clauses}) >= 30


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_names_its_subject(language: str, kind: str) -> None:
    wanted = set(by_kind()[kind][0].slots[language])
    given = set(corpus.derived(by_kind()[kind][0].slots[language], language))
    for shape in shapes_of(language, kind):
        used = slots_of(shape)
        assert used <= given | {f"{slot}_many" for slot in wanted} | {"ordinal"}
        assert all(any(name.split("_")[0] == slot or name == "ordinal" for name in used) for slot in wanted)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_corpus_never_makes_a_phrasing_held_out_for_development(language: str, kind: str) -> None:
    phrasings = development.PHRASINGS[kind][language]
    assert len(phrasings) == 5
    frames = re.compile("|".join(rf"(?:{pattern(shape)})[。.??!!]?" for shape in shapes_of(language, kind)), re.I)
    assert [phrasing for phrasing in phrasings if frames.fullmatch(phrasing)] == []


def test_no_question_comes_twice_but_for_a_story() -> None:
    asked = [pair.question for pair in islice(corpus.pairs(3), 20_000) if pair.kind != "story"]
    assert len(set(asked)) == len(asked)


def test_no_question_has_two_answers() -> None:
    weights = {kind: weight for kind, weight in corpus.WEIGHTS.items() if kind != "story"}
    answers: dict[str, set[str]] = {}
    for seed in range(4):
        for pair in islice(corpus.pairs(seed, weights), 15_000):
            answers.setdefault(pair.question, set()).add(pair.answer)
    assert {question: told for question, told in answers.items() if len(told) > 1} == {}


def test_the_same_seed_makes_the_same_pairs_and_another_seed_others() -> None:
    first, again, other = (list(islice(corpus.pairs(seed), 500)) for seed in (5, 5, 6))
    assert first == again
    assert len({pair.question for pair in first} & {pair.question for pair in other}) < 25


def test_kinds_come_as_their_weights_say_and_languages_by_turns() -> None:
    drawn = list(islice(corpus.pairs(1), 20_000))
    assert Counter(pair.language for pair in drawn) == {"en": 10_000, "ja": 10_000}
    shares = Counter(pair.kind for pair in drawn)
    whole = sum(corpus.WEIGHTS.values())
    for kind, weight in corpus.WEIGHTS.items():
        assert shares[kind] / len(drawn) == pytest.approx(weight / whole, rel=0.25), kind
    only = list(islice(corpus.pairs(1, {"capital": 1.0}), 100))
    assert {pair.kind for pair in only} == {"capital"}


def test_answers_are_the_facts_answers() -> None:
    answers = {(fact.kind, language): set() for fact in FACTS for language in LANGUAGES}
    for fact in FACTS:
        for language in LANGUAGES:
            answers[fact.kind, language].add(fact.answer[language])
    for pair in islice(corpus.pairs(2), 5_000):
        if pair.kind == "unknown":
            assert pair.answer == DONT_KNOW[pair.language]
        elif pair.kind != "story":
            assert pair.answer in answers[pair.kind, pair.language]


def test_questions_are_typed_clean_of_the_grammar() -> None:
    for pair in islice(corpus.pairs(4), 20_000):
        assert pair.question == pair.question.strip() != ""
        assert not re.search(r"[<{}|]\w|  |\\", pair.question), pair.question


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_unknown_is_not_among_the_facts(language: str) -> None:
    known = {
        fact.slots[language][slot].lower()
        for fact in FACTS
        for slot in ("country", "city")
        if slot in fact.slots[language]
    }
    rules = OUTSIDE[language].RULES
    listed = [*rules["realcountry"], *rules["fictional"], *rules["region"]]
    assert not {name.lower() for name in listed} & known


@pytest.mark.parametrize("text", ["(what", "what)", "wh(a))t"])
def test_a_shape_with_a_bracket_too_many_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        Grammar({}).compile(text)


def test_a_shape_is_drawn_from_its_alternatives_rules_and_slots() -> None:
    grammar = Grammar({"please": ("please", "kindly")})
    shape = grammar.compile("<please> (tell|show) me {thing}(|, now)")
    at_first = "".join(text for text, _ in draw(shape, {"thing": "the sky"}, lambda: 0.0))
    at_last = draw(shape, {"thing": "the sky"}, lambda: 0.99)
    assert at_first == "please tell me the sky"
    assert "".join(text for text, _ in at_last) == "kindly show me the sky, now"
    assert [text for text, filled in at_last if filled] == ["the sky"]
    assert slots_of(shape) == {"thing"}
