"""The README and its Japanese twin say the same, and point to what is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, JAPANESE = "README.md", "README.ja.md"
KANA = re.compile("[ぁ-ヿ]")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def shape(text: str) -> list[str]:
    """What stands where: headings by level, list items, table rows by their columns, code, paragraphs."""
    kinds = []
    for line in re.sub(r"^```.*?^```$", "CODE", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        found = re.match(r"#+ |- |CODE$", line)
        kinds.append(found[0].strip() if found else "|" * line.count("|") if line.startswith("|") else "")
    return [kind for kind in kinds if kind]


def test_twins_have_the_same_headings_lists_tables_and_code_in_the_same_order() -> None:
    english, japanese = read(ENGLISH), read(JAPANESE)
    assert shape(english) == shape(japanese)
    assert code_blocks(english) == code_blocks(japanese)


def test_twins_have_the_same_numbers_names_and_links() -> None:
    words = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "nine": "9"}
    spelled = re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)
    for pattern in (
        r"\d+(?:\.\d+)?(?:e-\d+)?",
        r"`[^`]+`",
        r"\]\((?!README|docs/floor)([^)]+)\)",
        r"\bApache 2\.0|\bMIT\b",
    ):
        english, japanese = (set(re.findall(pattern, prose(read(name)))) for name in (ENGLISH, JAPANESE))
        told = {words[word.lower()] for word in spelled.findall(prose(read(ENGLISH)))}
        assert english <= japanese and japanese - english <= told, pattern


def test_each_is_in_its_language() -> None:
    english = [line for line in prose(read(ENGLISH)).splitlines() if KANA.search(line)]
    assert len(english) == 1 and "イメージでわかる" in english[0]
    paragraphs = [line for line in prose(read(JAPANESE)).splitlines() if len(line) > 60 and not line.startswith("|")]
    assert all(KANA.search(line) for line in paragraphs)


@pytest.mark.parametrize("name", [ENGLISH, JAPANESE])
def test_relative_links_and_named_folders_exist(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", read(name)) if "://" not in link]
    tree = next(block for block in code_blocks(read(name)) if "notebooks/ " in block)
    folders = re.findall(r"^(\S+/) ", tree, re.MULTILINE)
    assert len(links) >= 3 and len(folders) >= 7
    assert [path for path in links + folders if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", [ENGLISH, JAPANESE])
def test_make_targets_in_the_readme_are_in_the_makefile(name: str) -> None:
    targets = Counter(re.findall(r"^(\w+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"make (\w+)", "\n".join(code_blocks(read(name))))) <= set(targets)
    assert max(targets.values()) == 1
