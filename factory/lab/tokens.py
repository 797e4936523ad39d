"""Tokens as a learner sees them: a text as chips with their numbers, and the merges that made them."""

from __future__ import annotations

import unicodedata

import ipywidgets as widgets

from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, INK, PAPER, QUIET, box, line, pair, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text
from factory.models.merges import Merge, merges
from factory.models.tokenizer import Tokenizer

WIDTH, MARGIN = 900, 16
MOST = 60  # chips in one drawing
LONGEST = 24  # bytes of a word whose merges fit a drawing
TINTS = ("#d9ebf7", "#fdecc8", "#d5efe6", "#f6e1ec")
NEW = "#fdecc8"

TITLE = Text("文章を切ったトークンと、その番号", "A text cut into tokens, with their numbers")
SAYS = Text(
    "「{text}」は {letters} 文字、{bytes} バイト、{tokens} トークン: {list}",
    '"{text}" has {letters} characters, {bytes} bytes and {tokens} tokens: {list}',
)
COUNTS = Text(
    "{letters} 文字 → {bytes} バイト → {tokens} トークン", "{letters} characters → {bytes} bytes → {tokens} tokens"
)
NUMBERS = Text(
    "下の数はトークンの番号。E6 のような 2 けたはバイト(16 進数)です。",
    "The number below is the token's; two signs such as E6 are a byte, in base 16.",
)
UNIT = Text("文字、バイト、トークンの数", "numbers of characters, bytes and tokens")
MORE = Text("… このあとに、あと {more} トークン", "… and {more} tokens more")
NOTHING = Text("文字がありません。何か書いてみましょう。", "There is no text: write something.")
LINE = Text("文章:", "Text:")
WRITE = Text("ここに文章を書いて、Enter を押してください。", "Write a text here and press Enter.")

MERGING = Text("バイトがトークンになるまで", "From bytes to tokens")
MERGED = Text(
    "「{text}」を、規則の表の上にあるものから順にくっつけます。{list}",
    '"{text}" is joined by the rules, those nearest the top of the list first. {list}',
)
BYTES = Text("バイト", "bytes")
START = Text("はじめ", "start")
RULE = Text("規則 {rule}", "rule {rule}")
DONE = Text("くっつける規則は、もうありません。", "No rule joins any more.")
ORDER = Text(
    "規則の番号は、表の上から数えた順番です。太い枠が、そこでくっついたところです。",
    "A rule's number is its place in the list, from the top. A thick frame is what it joined.",
)
LONG = Text(
    "長すぎて絵に入りません。{most} バイトまでの言葉にしてください(いまは {bytes} バイト)。",
    "That is too long for the drawing: take a word of up to {most} bytes (this has {bytes}).",
)
WORD = Text("言葉:", "Word:")


def label(piece: bytes) -> str:
    """A piece to be read by people: a space is ␣, and bytes that are no whole character are E6 9D."""
    try:
        letters = piece.decode()
    except UnicodeDecodeError:
        return " ".join(_visible(chr(byte)) if byte < 0x80 else f"{byte:02X}" for byte in piece)
    return "".join(_visible(letter) for letter in letters)


def _visible(letter: str) -> str:
    if letter == " ":
        return "␣"
    if unicodedata.category(letter) in ("Cc", "Cf", "Mn", "Me", "Zl", "Zp", "Zs"):
        return {"\n": "↵", "\t": "⇥"}.get(letter, f"U+{ord(letter):04X}")
    return letter


def characters(pieces: list[bytes]) -> list[tuple[int, int, str]]:
    """Runs of pieces that hold whole characters: first, one past the last, and the characters."""
    runs, start, held = [], 0, b""
    for at, piece in enumerate(pieces, 1):
        held += piece
        try:
            letters = held.decode()
        except UnicodeDecodeError:
            if at < len(pieces):
                continue
            letters = held.decode("utf-8", "replace")
        runs.append((start, at, letters))
        start, held = at, b""
    return runs


def token_picture(tokenizer: Tokenizer, text: str) -> Picture | Text:
    """A text as coloured chips, each token with its number; above pieces of a character stands the character."""
    if not text:
        return NOTHING
    ids = tokenizer.encode(text)
    pieces = [tokenizer.token_bytes(number) for number in ids]
    counts = {"letters": len(text), "bytes": len(text.encode("utf-8", "replace")), "tokens": len(ids)}
    listed = ", ".join(f"{label(piece)} ({number})" for piece, number in zip(pieces[:MOST], ids, strict=False))
    return picture(
        _chips(pieces, ids, COUNTS.format(**counts)),
        TITLE,
        SAYS.format(text=text[:80], list=listed, **counts),
        units=UNIT,
        note=NUMBERS,
        evidence="measured",
    )


def _chips(pieces: list[bytes], ids: list[int], head: Text) -> str:
    """Rows of chips, broken between characters."""
    names = [label(piece) for piece in pieces[:MOST]]
    wide = [max(_room(name, 15) + 16, _room(str(number), 11) + 14) for name, number in zip(names, ids, strict=False)]
    parts, top = [pair(head, MARGIN, 28, 14, "start", font_weight=700)], 44
    for row in _lines(characters(pieces[:MOST]), wide):
        bracketed = any(stop - start > 1 for start, stop, _ in row)
        x, top = float(MARGIN), top + (28 if bracketed else 6)
        for start, stop, letters in row:
            length = sum(wide[start:stop]) + 4 * (stop - start - 1)
            if stop - start > 1:
                parts.append(word("".join(map(_visible, letters)), x + length / 2, top - 12, 15, font_weight=700))
                parts.append(line(f"M{x + 3:.1f} {top - 2} v-5 h{length - 6:.1f} v5", QUIET, 1.5))
            for at in range(start, stop):
                parts.append(box(x, top, wide[at], 44, TINTS[at % len(TINTS)], 8, stroke=QUIET, stroke_width=1))
                parts.append(word(names[at], x + wide[at] / 2, top + 19, 15, font_weight=600))
                parts.append(word(str(ids[at]), x + wide[at] / 2, top + 37, 11))
                x += wide[at] + 4
            x += 4
        top += 52
    if len(pieces) > MOST:
        parts.append(pair(MORE.format(more=len(pieces) - MOST), MARGIN, top + 20, 14, "start", QUIET))
        top += 32
    return drawing(WIDTH, top + 8, box(0, 0, WIDTH, top + 8, PAPER, 12), *parts)


def _lines(runs: list[tuple[int, int, str]], wide: list[float]) -> list[list[tuple[int, int, str]]]:
    """Runs of chips in rows as wide as the drawing."""
    rows: list[list[tuple[int, int, str]]] = [[]]
    used = 0.0
    for start, stop, letters in runs:
        length = sum(wide[start:stop]) + 4 * (stop - start) + 4
        if rows[-1] and used + length > WIDTH - 2 * MARGIN:
            rows.append([])
            used = 0.0
        rows[-1].append((start, stop, letters))
        used += length
    return rows


def _room(text: str, size: float) -> float:
    """About how wide a text is at a font size."""
    narrow = "ilj.,:;'!|I "
    return size * sum(
        1.05 if unicodedata.east_asian_width(letter) in "WFA" else 0.36 if letter in narrow else 0.64
        for letter in text
    )  # fmt: skip


def token_box(tokenizer: Tokenizer, text: str = "Hello, world! こんにちは、世界!") -> widgets.Widget:
    """A line for the learner's own text, with its tokens below; they follow every letter."""
    own = widgets.Text(text, layout={"width": "min(40em, 100%)"})
    bind(own, description=LINE, placeholder=WRITE)
    return live(lambda text: token_picture(tokenizer, text), text=own)


def merge_picture(tokenizer: Tokenizer, text: str) -> Picture | Text:
    """How the bytes of a word are joined to tokens, a row for each rule."""
    size = len(text.encode("utf-8", "replace"))
    if not text or size > LONGEST:
        return LONG.format(most=LONGEST, bytes=size) if text else NOTHING
    steps = merges(tokenizer, text)
    rows = [" | ".join(label(piece) for piece in step.pieces) for step in steps]
    names = [START, *(RULE.format(rule=f"{step.rule:,}") for step in steps[1:])]
    ja, en = (
        "; ".join(f"{name[at]}: {row}" for name, row in zip(names, rows, strict=True)) for at in (0, 1)
    )  # fmt: skip
    told = Text(MERGED.ja.format(text=text, list=ja), MERGED.en.format(text=text, list=en))
    return picture(_rows(steps, names), MERGING, told, units=BYTES, note=ORDER, evidence="measured")


def _rows(steps: list[Merge], names: list[Text]) -> str:
    parts, top = [], 12
    for row, (step, name) in enumerate(zip(steps, names, strict=True)):
        parts.append(pair(name, 108, top + 23, 13, "end", QUIET if row == 0 else INK))
        x = 124.0
        for at_word, pieces in enumerate(step.words):
            for at, piece in enumerate(pieces):
                shown, new = label(piece), (at_word, at) in step.places
                width = _room(shown, 15) + 16
                edge = {"stroke": BLUE if new else QUIET, "stroke_width": 2.5 if new else 1}
                parts.append(box(x, top + 2, width, 32, NEW if new else PAPER, 7, **edge))
                parts.append(word(shown, x + width / 2, top + 24, 15, font_weight=700 if new else 500))
                x += width + 3
            x += 9
        top += 42
    parts.append(pair(DONE, 124, top + 18, 13, "start", QUIET))
    wide = max(WIDTH, round(max(_end(step) for step in steps)) + MARGIN)
    return drawing(wide, top + 40, box(0, 0, wide, top + 40, PAPER, 12), *parts)


def _end(step: Merge) -> float:
    """Where a row of pieces ends."""
    return 124 + sum(_room(label(piece), 15) + 19 for piece in step.pieces) + 9 * len(step.words)


def merge_box(tokenizer: Tokenizer, text: str = " Tokyo Tower") -> widgets.Widget:
    """A line for the learner's own word, with the merges that make its tokens."""
    own = widgets.Text(text, layout={"width": "min(24em, 100%)"})
    bind(own, description=WORD, placeholder=WRITE)
    return live(lambda text: merge_picture(tokenizer, text), text=own)
