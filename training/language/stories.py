"""Little stories for the tiny language model: a request, and a story of five to seven sentences that answers it.

`stories.en.txt` and `stories.ja.txt` hold all words. A file is made of sections, `[name]`, one entry a line; an entry
that ends in ` * 3` is chosen three times as often. A plot first tells its facts (`about:` what a request may name,
`not:` heroes it does not fit, `only:` the only heroes it fits, `not friend:` friends it does not fit, `homes:` the only
homes it fits), then its tables (the columns' names, `thing; place`, and rows that begin with `- `: what stands in a row
fits together), and then its sentences: a block of lines is one sentence in several wordings, and any wording goes with
any other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

PRONOUNS = {
    "she": {"she": "she", "him": "her", "his": "her", "himself": "herself", "She": "She"},
    "he": {"she": "he", "him": "him", "his": "his", "himself": "himself", "She": "He"},
    "": {},
}
# How many stories may be drawn in vain, one after the other, before the well counts as dry.
PATIENCE = 2000


@dataclass(frozen=True)
class Hero:
    """A kind of hero ("cat"), its names, each with a pronoun or "", and other words for the kind in a request."""

    kind: str
    names: list[tuple[str, str]]
    aliases: list[str]


@dataclass(frozen=True)
class Plot:
    """What happens: sentences with slots, the tables that fill them, and the heroes and friends that they suit."""

    title: str
    topics: list[str]
    heroes: list[Hero]
    friends: list[str]
    homes: list[str]
    tables: list[list[dict[str, str]]]
    sentences: list[list[str]]


@dataclass(frozen=True)
class Book:
    """All that the stories of one language are made of; `space` stands between two sentences."""

    language: str
    space: str
    lists: dict[str, list[str]]
    heroes: list[Hero]
    plots: list[Plot]


def stories(language: str, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Yield `count` pairs (request, story) in "en" or "ja"; the same for the same seed, and no story twice.

    A request may name a hero, a home or a thing; the story then has it. Raises ValueError for another language, or
    when the plots hold too few stories.
    """
    book = read_book(language)
    rng = random.Random(f"stories {language} {seed}")
    told: set[str] = set()
    while len(told) < count:
        for _ in range(PATIENCE):
            request, story = tell(book, rng)
            if story not in told:
                break
        else:
            raise ValueError(f"the plots hold about {len(told)} stories in {language!r}, not {count}")
        told.add(story)
        yield request, story


def story_requests(language: str) -> tuple[tuple[str, str], ...]:
    """Return requests that `stories` never makes, to try the model with, each with a word the story must hold or ""."""
    lines = [line.partition("; ") for line in read_book(language).lists["requests to try"]]
    return tuple((request, word) for request, _, word in lines)


def tell(book: Book, rng: random.Random) -> tuple[str, str]:
    """Return a request and a story that answers it, drawn with `rng`."""
    plot = rng.choice(book.plots)
    body = book.space.join([rng.choice(wordings) for wordings in plot.sentences])
    slots = cast(book, plot, rng)
    subject = ""
    if rng.random() < 0.75:
        subject = rng.choice(book.lists["subjects"])
        while "{a_friend}" in subject and "friend}" not in body:
            subject = rng.choice(book.lists["subjects"])
    at_home = "{home}" in subject or rng.random() < 0.3
    opening = rng.choice(book.lists["openings with a home" if at_home else "openings"])
    story = book.space.join((opening, body)).format_map(slots)
    if rng.random() < 0.25 and slots["alias"]:
        slots["a_kind"] = slots["alias"]
    slots["topic"] = rng.choice(plot.topics).format_map(slots)
    return ask(book, subject.format_map(slots), rng), story


def cast(book: Book, plot: Plot, rng: random.Random) -> dict[str, str]:
    """Return the words of one story by slot: hero, friend, home and a row of every table of the plot."""
    hero = rng.choice(plot.heroes)
    name, pronoun = rng.choice(hero.names)
    friend = rng.choice(plot.friends)
    while friend == hero.kind:
        friend = rng.choice(plot.friends)
    slots = {
        "kind": hero.kind,
        "a_kind": with_article(hero.kind, book.language),
        "alias": with_article(rng.choice(hero.aliases), book.language) if hero.aliases else "",
        "name": name,
        **PRONOUNS[pronoun],
        "friend": friend,
        "a_friend": with_article(friend, book.language),
        "A_friend": with_article(friend, book.language).capitalize(),
        "fname": next(rng.choice(other.names)[0] for other in book.heroes if other.kind == friend),
        "home": rng.choice(plot.homes),
        "adj": rng.choice(book.lists["adjectives"]),
    }
    for table in plot.tables:
        slots.update(rng.choice(table))
    return slots


def with_article(noun: str, language: str) -> str:
    """Return "an owl" for "owl" in English, and the noun itself in Japanese."""
    if language != "en":
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def ask(book: Book, subject: str, rng: random.Random) -> str:
    """Return a request for a story about `subject`, or for any story when it is empty; some with slips of the pen."""
    shape = rng.choice(book.lists["requests about a subject" if subject else "requests"])
    if rng.random() < 0.15:
        greeting = rng.choice(book.lists["greetings"])
        if greeting.endswith(",") and not re.match(r"I\b", shape):
            shape = shape[0].lower() + shape[1:]
        shape = greeting + book.space + shape
    if rng.random() < 0.1 and shape[-1] in ".。!?":
        shape += book.space + rng.choice(book.lists["endings"])
    if rng.random() < 0.2:
        shape = slip(shape, book.language, rng)
    return shape.format(subject=subject)


def slip(shape: str, language: str, rng: random.Random) -> str:
    """Return a request as somebody in a hurry would type it; what it asks for stays whole."""
    kind = rng.randrange(4)
    if kind == 0:
        return shape.rstrip(".。!?")
    if language == "ja":
        return (shape.replace("、", ""), shape.replace("お話を", "お話"), shape.replace("お話", "おはなし"))[kind - 1]
    if kind == 1:
        return shape.lower()
    words = [word for word in re.finditer(r"[a-z]{4,}", shape) if shape[word.start() - 1] != "{"]
    if not words:
        return shape
    word = rng.choice(words)
    place = rng.randrange(word.start(), word.end() - 1)
    swapped = shape[place + 1] + shape[place] if kind == 2 else shape[place]
    return shape[:place] + swapped + shape[place + 2 :]


@lru_cache
def read_book(language: str) -> Book:
    """Read `stories.<language>.txt`; raise ValueError for another language."""
    if language not in ("en", "ja"):
        raise ValueError(f"there are stories in 'en' and 'ja', not in {language!r}")
    text = Path(__file__).with_name(f"stories.{language}.txt").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^\[([^]]+)\]\n(.*?)(?=^\[|\Z)", text, flags=re.MULTILINE | re.DOTALL))
    plots = {name.removeprefix("plot "): body for name, body in sections.items() if name.startswith("plot ")}
    lists = {name: entries(body) for name, body in sections.items() if not name.startswith("plot ")}
    heroes = [read_hero(line) for line in lists.pop("heroes")]
    friends, homes = lists.pop("friends")[0].split(", "), lists.pop("homes")
    return Book(
        language, " " if language == "en" else "", lists, heroes,
        [read_plot(title, body, heroes, friends, homes) for title, body in plots.items()],
    )  # fmt: skip


def entries(body: str) -> list[str]:
    """Return a section's lines, each as often as its ` * n` says."""
    lines = [line.partition(" * ") for line in body.strip().splitlines()]
    return list(chain.from_iterable([line] * int(times or 1) for line, _, times in lines))


def read_hero(line: str) -> Hero:
    """Read "cat; Mimi she, Tom he; kitty"."""
    kind, names, *aliases = line.split("; ")
    pairs = [name.partition(" ") for name in names.split(", ")]
    return Hero(kind, [(name, pronoun) for name, _, pronoun in pairs], aliases[0].split(", ") if aliases else [])


def read_plot(title: str, body: str, heroes: list[Hero], friends: list[str], homes: list[str]) -> Plot:
    """Read the facts, tables and sentences of a plot."""
    head, *blocks = [block.splitlines() for block in re.split(r"\n\n+", body.strip())]
    facts: dict[str, str] = {}
    columns: list[str] = []
    tables: list[list[dict[str, str]]] = []
    for line in head:
        if line.startswith("- "):
            tables[-1].append(dict(zip(columns, line[2:].split("; "), strict=True)))
        elif ": " in line:
            name, _, facts[name] = line.partition(": ")
        else:
            columns = line.split("; ")
            tables.append([])
    unfit = facts.get("not", "").split(", ")
    only = facts["only"].split(", ") if "only" in facts else [hero.kind for hero in heroes]
    return Plot(
        title=title,
        topics=facts["about"].split("; "),
        heroes=[hero for hero in heroes if hero.kind in only and hero.kind not in unfit],
        friends=[friend for friend in friends if friend not in facts.get("not friend", "").split(", ")],
        homes=facts["homes"].split(", ") if "homes" in facts else homes,
        tables=tables,
        sentences=blocks,
    )
