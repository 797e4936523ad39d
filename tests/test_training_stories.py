"""The little stories that the tiny language model learns from: whole, different, and about what was asked for."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from training.language.stories import read_book, stories, story_requests

LANGUAGES = ("en", "ja")


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def told(language: str) -> list[tuple[str, str]]:
    return list(stories(language, seed=3, count=4000))


def names(text: str, language: str) -> list[tuple[str, str]]:
    """Return the (kind, name) of every hero whose name stands in a text."""
    heroes = [(hero.kind, name) for hero in read_book(language).heroes for name, _ in hero.names]
    letter = "A-Za-z" if language == "en" else "ァ-ヶー"
    return [(kind, name) for kind, name in heroes if re.search(rf"(?<![{letter}]){name}(?![{letter}])", text)]


def test_the_same_seed_tells_the_same_stories(language: str) -> None:
    first = list(stories(language, seed=5, count=50))
    assert list(stories(language, seed=5, count=50)) == first
    assert list(islice(stories(language, seed=5, count=1000), 50)) == first
    assert list(stories(language, seed=6, count=50)) != first


def test_no_story_is_told_twice_among_a_hundred_thousand(language: str) -> None:
    assert len({story for _, story in stories(language, seed=0, count=100_000)}) == 100_000


def test_a_story_has_no_gap_and_a_child_s_length(language: str, told: list[tuple[str, str]]) -> None:
    ends, shortest, longest = (r'[.!?]"?', 200, 480) if language == "en" else (r"[。!?]", 90, 200)
    for request, story in told:
        assert not re.search(r"[{}*;\n]|  ", request + story)
        assert re.search(rf"(?:{ends})$", story), story
        assert shortest <= len(story) <= longest, story


def test_each_language_keeps_to_its_own_letters(language: str, told: list[tuple[str, str]]) -> None:
    foreign = r"[^\x20-\x7e]" if language == "en" else r"[A-Za-z ]"
    for request, story in told:
        assert not re.search(foreign, request.replace("…", "") + story)


def test_a_story_is_of_one_hero_and_at_most_one_named_friend(language: str, told: list[tuple[str, str]]) -> None:
    for _, story in told:
        cast = names(story, language)
        assert 1 <= len(cast) <= 2, story
        assert all(kind in story for kind, _ in cast), story


def test_english_pronouns_are_the_hero_s() -> None:
    she = {name: pronoun == "she" for hero in read_book("en").heroes for name, pronoun in hero.names}
    for _, story in stories("en", seed=8, count=3000):
        hero = names(story.partition(".")[0], "en")[0][1]
        others = r"\b([Hh]e|[Hh]is|him|himself)\b" if she[hero] else r"\b([Ss]he|her|herself)\b"
        # Everybody else is "it" or has a name.
        assert not re.search(others, story), story


def test_the_article_fits_its_noun() -> None:
    for _, story in stories("en", seed=9, count=3000):
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", story), story


def test_the_hero_of_the_request_is_in_the_story(language: str, told: list[tuple[str, str]]) -> None:
    asked = 0
    for request, story in told:
        for kind, name in names(request, language):
            assert name in story and kind in story, (request, story)
        for hero in read_book(language).heroes:
            # A Japanese alias such as とり stands within other words; the kind itself does not.
            words = [rf"\b{word}\b" for word in (hero.kind, *hero.aliases)] if language == "en" else [hero.kind]
            if re.search("|".join(words), request):
                asked += 1
                assert hero.kind in story, (request, story)
    assert asked > len(told) // 3


def test_a_home_or_thing_that_a_request_may_name_is_in_every_wording(language: str) -> None:
    for plot in read_book(language).plots:
        for slot in set(re.findall(r"{(\w+)}", " ".join(plot.topics))) - {"friend"}:
            assert any(all(f"{{{slot}}}" in line for line in block) for block in plot.sentences), (plot.title, slot)
    for line in read_book(language).lists["openings with a home"]:
        assert "{home}" in line


def test_every_name_belongs_to_one_kind(language: str) -> None:
    heroes = read_book(language).heroes
    everyone = [name for hero in heroes for name, _ in hero.names]
    assert len(everyone) == len(set(everyone))
    assert all(hero.kind not in everyone for hero in heroes)


def test_there_are_plots_and_ways_to_ask_enough(language: str) -> None:
    book = read_book(language)
    assert len(book.plots) >= 25
    assert len({*book.lists["requests"], *book.lists["requests about a subject"]}) >= 70
    assert {hero.kind for plot in book.plots for hero in plot.heroes} == {hero.kind for hero in book.heroes}


def test_the_sums_of_the_factory_are_right(language: str) -> None:
    pattern = {
        "en": r"(\d) times (\d) plus (\d) times (\d) is (\d+)",
        "ja": r"(\d)かける(\d)と(\d)かける(\d)をたすと(\d+)",
    }
    sums = {
        found for _, story in stories(language, seed=2, count=4000) for found in re.findall(pattern[language], story)
    }
    assert len(sums) >= 5
    for a, b, c, d, total in sums:
        assert int(a) * int(b) + int(c) * int(d) == int(total)


def test_the_requests_to_try_are_never_learned(language: str, told: list[tuple[str, str]]) -> None:
    tries = story_requests(language)
    assert len(tries) >= 14
    learned = {request.lower().rstrip(".。!?") for request, _ in told}
    assert not learned & {request.lower().rstrip(".。!?") for request, _ in tries}
    for request, word in tries:
        assert not word or word in request


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'en' and 'ja'"):
        next(stories("fr", seed=0, count=1))
