"""How a tokenizer cuts a text: byte-pair encoding replayed, one merge at a time.

Gage 1994, "A New Algorithm for Data Compression"; Sennrich et al. 2016, "Neural Machine Translation of Rare Words with
Subword Units". The tokenizer's own library does this in one go and shows only the end; a test holds the two together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import tokenizers

from factory.errors import ModelError
from factory.models.tokenizer import BYTE_OF, Tokenizer


@dataclass(frozen=True)
class Merge:
    """The pieces of a text at one moment, word by word, and the rule that made the newest of them.

    rule is the rule's place in the tokenizer's list, counted from 1 (the pair that was met most often when the list
    was learnt comes first); place is the word and the piece that it made. Both are None before the first rule.
    """

    words: tuple[tuple[bytes, ...], ...]
    rule: int | None = None
    place: tuple[int, int] | None = None

    @property
    def pieces(self) -> list[bytes]:
        """All pieces in a row."""
        return [piece for word in self.words for piece in word]


class _Rules:
    """What the merges need of a tokenizer.json: how it splits a text into words, and its rules by pair."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        parts = json.loads(tokenizer.data.json)
        rules = parts["model"].get("merges", ())
        self.rank = {tuple(rule.split(" ") if isinstance(rule, str) else rule): at for at, rule in enumerate(rules, 1)}
        # The same tokenizer without its vocabulary splits as before, and takes no time to read.
        bare = {"type": "BPE", "vocab": {}, "merges": []}
        self._splitter = tokenizers.Tokenizer.from_str(
            json.dumps({**parts, "model": bare, "added_tokens": [], "post_processor": None})
        )

    def split(self, text: str) -> list[list[str]]:
        """The words of a text, each as letters that stand for its bytes; merges never cross from one to the next."""
        if self._splitter.normalizer:
            text = self._splitter.normalizer.normalize_str(text)
        return [list(word) for word, _ in self._splitter.pre_tokenizer.pre_tokenize_str(text)]


_known: WeakKeyDictionary[Tokenizer, _Rules] = WeakKeyDictionary()


def merges(tokenizer: Tokenizer, text: str) -> list[Merge]:
    """A text from its single bytes to its tokens: before the first rule, and after each one.

    Every step takes the rule that stands first in the list, at the leftmost place where it fits. Special tokens are
    read as any other text. Raises ModelError for a tokenizer that does not merge bytes.
    """
    if not tokenizer.merges_bytes:
        raise ModelError("feature", path=tokenizer.data.source, what="tokenizer without byte-level merges")
    if tokenizer not in _known:
        _known[tokenizer] = _Rules(tokenizer)
    rules = _known[tokenizer]
    words = rules.split(text)
    steps = [Merge(_bytes(words))]
    while fitting := [
        (rules.rank[pair], word, at)
        for word, pieces in enumerate(words)
        for at, pair in enumerate(zip(pieces, pieces[1:], strict=False))
        if pair in rules.rank
    ]:
        rule, word, at = min(fitting)
        words[word][at : at + 2] = ["".join(words[word][at : at + 2])]
        steps.append(Merge(_bytes(words), rule, (word, at)))
    return steps


def _bytes(words: list[list[str]]) -> tuple[tuple[bytes, ...], ...]:
    return tuple(tuple(bytes(BYTE_OF[letter] for letter in piece) for piece in word) for word in words)
