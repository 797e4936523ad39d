"""How a tokenizer cuts a text: byte-pair encoding replayed, one merge at a time.

Gage 1994, "A New Algorithm for Data Compression"; Sennrich et al. 2016, "Neural Machine Translation of Rare Words with
Subword Units". The tokenizer's own library does this in one go and shows only the end; a test holds the two together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import tokenizers

from factory.errors import ModelError
from factory.models.tokenizer import BYTE_OF, Tokenizer


@dataclass(frozen=True)
class Merge:
    """The pieces of a text at one moment, word by word, and the rule that made the newest of them.

    rule is the rule's place in the tokenizer's list, counted from 1 (the pair that was met most often when the list
    was learnt comes first), or None before the first rule; places are the words and pieces that it made.
    """

    words: tuple[tuple[bytes, ...], ...]
    rule: int | None = None
    places: frozenset[tuple[int, int]] = frozenset()

    @property
    def pieces(self) -> list[bytes]:
        """All pieces in a row."""
        return [piece for word in self.words for piece in word]


class _Rules:
    """What the merges need of a tokenizer.json: how it splits a text into words, and its rules by pair."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        parts = json.loads(tokenizer.data.json)
        if "ByteLevel" not in json.dumps(parts.get("pre_tokenizer")):
            raise ModelError("feature", path=tokenizer.data.source, what="tokenizer without byte-level merges")
        rules = parts["model"].get("merges", ())
        pairs = (rule.split(" ") if isinstance(rule, str) else rule for rule in rules)
        self.rank: dict[tuple[str, str], int] = {(left, right): at for at, (left, right) in enumerate(pairs, 1)}
        self._letters = BYTE_OF.keys() & parts["model"]["vocab"].keys()
        # The same tokenizer without its vocabulary splits as before, and takes no time to read.
        bare = {"type": "BPE", "vocab": {}, "merges": []}
        self._splitter = tokenizers.Tokenizer.from_str(
            json.dumps({**parts, "model": bare, "added_tokens": [], "post_processor": None})
        )

    def split(self, text: str) -> list[list[str]]:
        """The words of a text, each as letters that stand for its bytes; merges never cross from one to the next.

        A byte that the vocabulary does not have (0xF1 in SmolLM2's, which no common character needs) is left out, as
        the tokenizer's own library leaves it out.
        """
        if self._splitter.normalizer:
            text = self._splitter.normalizer.normalize_str(text)
        words = self._splitter.pre_tokenizer.pre_tokenize_str(text)
        return [[letter for letter in word if letter in self._letters] for word, _ in words]


_known: WeakKeyDictionary[Tokenizer, _Rules] = WeakKeyDictionary()


def merges(tokenizer: Tokenizer, text: str) -> list[Merge]:
    """A text from its single bytes to its tokens: before the first rule, and after each one.

    Every step takes the rule that stands first in the list, and joins its pair wherever it stands. Special tokens
    are read as any other text. Raises ModelError for a tokenizer that does not merge bytes.
    """
    if tokenizer not in _known:
        _known[tokenizer] = _Rules(tokenizer)
    rules = _known[tokenizer]
    words = rules.split(text)
    steps = [Merge(_bytes(words))]
    while fitting := {pair for pieces in words for pair in _pairs(pieces) if pair in rules.rank}:
        pair = min(fitting, key=rules.rank.__getitem__)
        places = {(word, at) for word, pieces in enumerate(words) for at in _join(pieces, pair)}
        steps.append(Merge(_bytes(words), rules.rank[pair], frozenset(places)))
    return steps


def _pairs(pieces: list[str]) -> Iterator[tuple[str, str]]:
    return itertools.pairwise(pieces)


def _join(pieces: list[str], pair: tuple[str, str]) -> list[int]:
    """Join a pair wherever it stands in a word, from the left; where the joined pieces are then."""
    joined: list[int] = []
    at = 0
    while at < len(pieces) - 1:
        if (pieces[at], pieces[at + 1]) == pair:
            pieces[at : at + 2] = ["".join(pair)]
            joined.append(at)
        at += 1
    return joined


def _bytes(words: list[list[str]]) -> tuple[tuple[bytes, ...], ...]:
    return tuple(tuple(bytes(BYTE_OF[letter] for letter in piece) for piece in word) for word in words)
