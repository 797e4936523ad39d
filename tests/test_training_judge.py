"""The exam of the tiny language model asks what it promises, and its judge refuses wrong answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

import pytest

from training.language import judge

EXAM = json.loads(judge.HELDOUT.read_text("utf-8"))
SLOTS = {
    "capital": {"country"},
    "country_of": {"city"},
    "language": {"country"},
    "colour": {"thing"},
    "opposite": {"word"},
    "next_day": {"day"},
    "previous_day": {"day"},
    "next_number": {"number"},
    "previous_number": {"number"},
    "sound": {"animal"},
    "legs": {"animal"},
    "sum": {"a", "b"},
    "difference": {"a", "b"},
    "course_what": {"term"},
    "course_who": {"description"},
    "step": {"number"},
    "greeting": set(),
    "self": set(),
    "story": {"hero"},
}
PHRASINGS = [
    (kind, language, phrasing)
    for kind, by_language in EXAM["phrasings"].items()
    for language, phrasings in by_language.items()
    for phrasing in phrasings
]


@dataclass(frozen=True)
class Known:
    """A fact as the exam needs it; its values tell the languages apart."""

    kind: str
    slots: dict[str, dict[str, str]]
    keys: dict[str, tuple[str, ...]]


def known(kind: str, number: int = 0) -> Known:
    return Known(
        kind,
        {language: {slot: f"<{language} {slot} {number}>" for slot in SLOTS[kind]} for language in judge.LANGUAGES},
        {"ja": (f"鍵{number}",), "en": (f"key {number}",)},
    )


ONE_OF_EACH = [known(kind) for kind in SLOTS]


@pytest.mark.parametrize(
    ("kind", "language", "keys", "answer"),
    [
        ("capital", "en", ["Tokyo"], "The capital of Japan is Tokyo."),
        ("capital", "en", ["Tokyo"], "it's tokyo!"),
        ("capital", "en", ["Mexico City"], "The capital is Mexico\nCity."),
        ("capital", "en", ["Reykjavík"], "The capital of Iceland is Reykjavík."),
        ("capital", "ja", ["東京"], "日本の首都は 東京 です。"),
        ("language", "ja", ["英語", "フランス語"], "カナダではケベック語・フランス語を話します。"),
        ("country_of", "ja", ["インド"], "インドの首都です。"),
        ("opposite", "ja", ["下"], "上の反対は下です。"),
        ("course_what", "ja", ["行列のかけ算"], "ＲＯＣＢＬＡＳは、行列のかけ算を受け持つライブラリです。"),
        ("course_who", "ja", ["KV キャッシュ"], "それはKVキャッシュです。"),
        ("course_who", "ja", ["rocBLAS"], "それは rocBLAS です。"),
        ("legs", "ja", ["4"], "犬の足は４本です。"),
        ("sum", "en", ["8"], "That is 3 + 5 = 8."),
        ("difference", "en", ["5"], "10-5 is 5."),
        ("sum", "en", ["8", "eight"], "Three plus five is eight."),
        ("sound", "en", ["quack"], "A duck says quack quack quack quack."),
        ("unknown", "en", [], "I’m sorry, I don’t know that."),
        ("unknown", "en", [], "I do not know."),
        ("unknown", "ja", [], "すみません、それはわかりません。"),
        ("unknown", "ja", [], "その人のことは知りません。"),
    ],
)
def test_right_answers_are_right(kind: str, language: str, keys: list[str], answer: str) -> None:
    assert judge.fault(kind, language, keys, answer) is None
    assert judge.right(kind, language, keys, answer)


@pytest.mark.parametrize(
    ("kind", "language", "keys", "answer", "fault"),
    [
        ("capital", "en", ["Tokyo"], "The capital of Japan is Kyoto.", "key"),
        # the right word inside another
        ("capital", "en", ["Tokyo"], "The capital of Japan is Tokyoky.", "key"),
        ("country_of", "en", ["Niger"], "It is the capital of Nigeria.", "key"),
        ("country_of", "en", ["Guinea"], "It is the capital of Guinea-Bissau.", "key"),
        ("country_of", "ja", ["インド"], "インドネシアの首都です。", "key"),
        ("country_of", "ja", ["マリ"], "ソマリアの首都です。", "key"),
        ("opposite", "ja", ["下"], "上の反対は下手です。", "key"),
        ("next_number", "ja", ["一"], "次は十一です。", "key"),
        ("course_who", "ja", ["HIP"], "それはHIPBLASです。", "key"),
        # a number inside another, in a decimal, below zero
        ("sum", "en", ["8"], "3 + 5 is 18.", "key"),
        ("legs", "ja", ["4"], "犬の足は14本です。", "key"),
        ("legs", "en", ["4"], "It has 4.5 legs.", "key"),
        ("legs", "ja", ["5"], "足は4.5本です。", "key"),
        ("difference", "en", ["3"], "5 - 2 is -3.", "key"),
        ("previous_number", "ja", ["3"], "答えは−3です。", "key"),
        # an operand that happens to equal the result
        ("sum", "en", ["8"], "8 + 0 is 9.", "key"),
        ("difference", "ja", ["5"], "10ひく5は4です。", "key"),
        # the other language, both, or none
        ("capital", "en", ["Tokyo"], "Tokyoです。", "language"),
        ("capital", "en", ["東京"], "日本の首都は東京です。", "language"),
        ("capital", "ja", ["Tokyo"], "The capital of Japan is Tokyo.", "language"),
        ("capital", "ja", ["東京"], "the capital of日本is東京です。", "language"),
        ("capital", "ja", ["東京"], "東京。", "language"),
        ("sum", "en", ["8"], "3 + 5 = 8.", "language"),
        ("sum", "ja", ["8"], "8。", "language"),
        ("sum", "en", ["8"], "", "language"),
        ("capital", "ja", ["東京"], "首都は東京\ufffdです。", "language"),
        ("unknown", "en", [], "わかりません。", "language"),
        ("unknown", "ja", [], "I don't know.", "language"),
        # an answer and a refusal at once
        ("capital", "en", ["Tokyo"], "I don't know, perhaps Tokyo.", "refusal"),
        ("capital", "en", ["Tokyo"], "It is Tokyo, but I do not know.", "refusal"),
        ("capital", "ja", ["東京"], "東京です。でもわかりません。", "refusal"),
        ("capital", "ja", ["東京"], "分かりません。東京でしょうか。", "refusal"),
        # babble
        ("capital", "en", ["Tokyo"], "The capital is Tokyo Tokyo Tokyo.", "babble"),
        ("capital", "ja", ["東京"], "首都は東京東京東京です。", "babble"),
        # an outside question answered all the same
        ("unknown", "en", [], "The capital of Narnia is Tokyo.", "no refusal"),
        ("unknown", "en", [], "Nobody has known this.", "no refusal"),
        ("unknown", "ja", [], "ワカンダの首都は東京です。", "no refusal"),
    ],
)
def test_wrong_answers_are_refused_for_the_right_reason(
    kind: str, language: str, keys: list[str], answer: str, fault: str
) -> None:
    assert judge.fault(kind, language, keys, answer) == fault
    assert not judge.right(kind, language, keys, answer)


def test_refusals_are_seen_in_either_language() -> None:
    assert judge.refuses("I don't know.") and judge.refuses("それは知りません。")
    assert not judge.refuses("A layer is a step of the model.") and not judge.refuses("層は一段です。")


def test_the_judge_does_not_work_without_a_language_or_keys() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        judge.fault("capital", "fr", ["Paris"], "Paris")
    for keys in ([], [""]):
        with pytest.raises(ValueError, match="needs keys"):
            judge.fault("capital", "en", keys, "It is Paris.")


def test_every_kind_has_ten_phrasings_in_each_language_and_no_two_are_alike() -> None:
    assert set(EXAM["phrasings"]) == set(SLOTS)
    assert Counter((kind, language) for kind, language, _ in PHRASINGS) == {
        (kind, language): 10 for kind in SLOTS for language in judge.LANGUAGES
    }
    # Two phrasings that differ only in marks, spaces or case would be one.
    everything = [text for _, _, text in PHRASINGS] + EXAM["outside"]["ja"] + EXAM["outside"]["en"]
    assert max(Counter(re.sub(r"[^\w{}+-]", "", text.lower()) for text in everything).values()) == 1


def test_there_are_fifty_outside_questions_in_each_language() -> None:
    assert {language: len(outside) for language, outside in EXAM["outside"].items()} == {"ja": 50, "en": 50}


def test_phrasings_name_the_slots_of_their_kind() -> None:
    for kind, _, phrasing in PHRASINGS:
        allowed = [SLOTS[kind], set()] if kind == "story" else [SLOTS[kind]]
        assert judge.slots_of(phrasing) in allowed, phrasing
    with_hero = Counter(language for kind, language, text in PHRASINGS if kind == "story" and "{hero}" in text)
    assert with_hero == {"ja": 7, "en": 7}


def test_texts_are_in_their_language_and_leave_the_article_to_the_slot() -> None:
    texts = [(language, re.sub(r"\{.*?\}", "", text)) for _, language, text in PHRASINGS]
    texts += [(language, text) for language, outside in EXAM["outside"].items() for text in outside]
    for language, text in texts:
        assert bool(re.search("[ぁ-ヿ一-鿿]", text)) is (language == "ja"), text
    for _, language, phrasing in PHRASINGS:
        assert language == "ja" or not re.search(r"\b(a|an|the) \{", phrasing, re.IGNORECASE), phrasing


def test_questions_fill_every_phrasing_in_its_language_and_end_with_the_outside_ones() -> None:
    asked = judge.questions(ONE_OF_EACH)
    assert [(q.kind, q.language) for q in asked[:-100]] == [(kind, language) for kind, language, _ in PHRASINGS]
    for (kind, language, phrasing), question in zip(PHRASINGS, asked[:-100], strict=True):
        assert question.text == re.sub(r"\{(\w+)\}", rf"<{language} \1 0>", phrasing)
        assert question.keys == known(kind).keys[language]
    assert {q.kind for q in asked[-100:]} == {"unknown"} and not any(q.keys for q in asked[-100:])


def test_questions_follow_the_seed_and_deal_out_every_fact() -> None:
    facts = [*(fact for fact in ONE_OF_EACH if fact.kind != "capital"), *(known("capital", n) for n in range(20))]
    asked = judge.questions(facts, seed=3, per_phrasing=2)
    assert asked == judge.questions(facts, seed=3, per_phrasing=2) != judge.questions(facts, seed=4, per_phrasing=2)
    for language in judge.LANGUAGES:
        keys = Counter(q.keys for q in asked if (q.kind, q.language) == ("capital", language))
        assert len(keys) == 20 and set(keys.values()) == {1}
    # A kind of one fact is not asked the same twice.
    assert max(Counter(q.text for q in asked).values()) == 1


def test_a_phrasing_without_slots_takes_the_keys_of_every_fact() -> None:
    asked = judge.questions([*ONE_OF_EACH, known("story", 1)], per_phrasing=2)
    anything = next(q for q in asked if q.text == "read me a bedtime story")
    assert anything.keys == ("key 0", "key 1")


def test_an_exam_never_shrinks_unseen() -> None:
    with pytest.raises(ValueError, match="story"):
        judge.questions([fact for fact in ONE_OF_EACH if fact.kind != "story"])
    with pytest.raises(ValueError, match="at least 1"):
        judge.questions(ONE_OF_EACH, per_phrasing=0)
