"""What holds a bilingual notebook together: `problems` lists, in words, everything in one that breaks a rule."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from factory.lab.glossary import TERMS

DIV = re.compile(r'<div lang="(ja|en)">(.*?)</div>', re.DOTALL)
SPAN = re.compile(r'<span lang="(ja|en)">(.*?)</span>', re.DOTALL)
TWIN = re.compile(r'<span lang="ja">[^<]+</span><span class="sep"> / </span><span lang="en">[^<]+</span>')
FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
QUOTED = re.compile(r"「[^」]*」")
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])\d[\d,]*(?:\.\d+)?")
PATH = re.compile(r"(?<![\w./])/(?:home|root|work|Users|tmp|private|mnt)/|\b[A-Z]:\\\\?\w")
IN_WORDS = {
    "1": "a|an|one|once|single|each|every|first|none|nothing", "2": "two|twice|both|second|double|doubles|half|pair", "3": "three|third", "4": "four|fourth",
    "5": "five|fifth", "6": "six|sixth", "7": "seven", "8": "eight|eighth", "9": "nine", "10": "ten", "11": "eleven",
    "12": "twelve",
}  # fmt: skip
IN_KANJI = dict(
    zip(
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
        ["一ひ", "二ふ", "三", "四", "五", "六", "七", "八", "九", "十"],
        strict=True,
    )
)

POWERS = {"万": 1e4, "億": 1e8, "兆": 1e12, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}


def problems(notebook: Any) -> list[str]:
    """Every rule that a notebook breaks, each with the cell it is in."""
    found = []
    for index, cell in enumerate(notebook["cells"]):
        read = _markdown(cell["source"]) if cell["cell_type"] == "markdown" else _code(cell)
        found += [f"cell {index}: {problem}" for problem in read]
    ids = Counter(cell.get("id") for cell in notebook["cells"])
    found += [f"the cell id {one!r} is used {count} times" for one, count in ids.items() if count > 1 or not one]
    if not any(cell.get("outputs") for cell in notebook["cells"]):
        found.append("no outputs are stored")
    if "widgets" in notebook["metadata"]:
        found.append("widget state is stored: the language of whoever ran it would hide the other one")
    return found


def _markdown(source: str) -> Iterator[str]:
    text = FENCE.sub("", source)
    order = [code for code, _ in DIV.findall(text)]
    if order != ["ja", "en"] * (len(order) // 2):
        yield f"the passages come as {order}, not as ja, en, ja, en"
    if text.count("<div lang=") != len(order) or text.count("<div") != text.count("</div>"):
        yield "a <div lang> has no end of its own"
    for code, inside in DIV.findall(text):
        if not (re.match(r"\s*\n[^\S\n]*\n", inside) and re.search(r"\n[^\S\n]*\n[^\S\n]*$", inside)):
            yield f"a {code} passage lacks its blank lines, so its Markdown is not read: {inside.strip()[:30]!r}"
    for line in text.splitlines():
        if re.match(r"#{1,6} ", line) and not TWIN.search(line):
            yield f"a heading without its twin: {line!r}"
    spans = [code for code, _ in SPAN.findall(text)]
    if spans != ["ja", "en"] * (len(spans) // 2):
        yield f"the spans come as {spans}, not as ja, en, ja, en"
    yield from _outside(text)
    for pattern in (DIV, SPAN):
        passages = pattern.findall(text)
        for (_, ja), (_, en) in zip(passages[::2], passages[1::2], strict=False):
            yield from pair_problems(ja, en)


def _outside(text: str) -> Iterator[str]:
    """Words that stand in neither language's part, so that no switch reaches them."""
    bare = re.sub(r"<[^>]*>|!?\[[^\]]*\]\([^)]*\)", " ", SPAN.sub(" ", DIV.sub(" ", CODE.sub(" ", text))))
    words = re.findall(r"[A-Za-z\u3040-\u30ff\u4e00-\u9fff]{2,}", bare)
    if words:
        yield f"words outside both languages: {' '.join(words[:6])}"


def pair_problems(ja: str, en: str) -> Iterator[str]:
    """What does not agree between a Japanese passage and its English twin."""
    yield from _numbers(ja, en)
    plain = CODE.sub(" ", ja)
    for term in TERMS.values():
        for form in term.instead_of:
            if _uses(plain, form):
                yield f"{form!r} stands where the glossary says {term.name.ja!r}"
    astray = JAPANESE.findall(QUOTED.sub(" ", CODE.sub(" ", en)))
    if astray:
        yield f"Japanese in an English passage, outside 「」 and code: {''.join(astray[:10])!r}"
    if ja.strip() and not JAPANESE.search(ja) and re.search(r"[A-Za-z]+ [A-Za-z]+ [A-Za-z]+", plain):
        yield f"a Japanese passage without Japanese: {ja.strip()[:30]!r}"


def _uses(text: str, form: str) -> bool:
    """Whether a form stands in a text; one in katakana not as a part of a longer katakana word."""
    edge = "[\u30a1-\u30fa\u30fc]" if re.fullmatch("[\u30a1-\u30fa\u30fc]+", form) else "(?!)"
    return re.search(f"(?<!{edge}){re.escape(form)}(?!{edge})" if edge != "(?!)" else re.escape(form), text) is not None


def _written_out(text: str) -> str:
    """The text with its large numbers in digits: 1 億 3500 万 and 135 million are both 135000000."""

    def in_japanese(found: re.Match[str]) -> str:
        parts = re.findall(r"([\d.]+) ?([兆億万])", found[0].replace(",", ""))
        return f"{round(sum(float(number) * POWERS[unit] for number, unit in parts))}"

    text = re.sub(r"(?:[\d.,]*\d ?[兆億万] ?)+", lambda found: in_japanese(found) + " ", text)
    return re.sub(
        r"([\d.,]*\d) (thousand|million|billion|trillion)",
        lambda found: f"{round(float(found[1].replace(',', '')) * POWERS[found[2]])}",
        text,
    )


def _numbers(ja: str, en: str) -> Iterator[str]:
    """Numbers that only one of the passages has; the other may say a small one in words."""
    ja, en = (_written_out(unicodedata.normalize("NFKC", text)) for text in (ja, en))
    counted = [Counter(number.replace(",", "").rstrip(",") for number in NUMBER.findall(text)) for text in (ja, en)]
    only_ja, only_en = counted[0] - counted[1], counted[1] - counted[0]
    for number, words in IN_WORDS.items():
        only_ja[number] -= len(re.findall(rf"\b(?:{words})\b", en, re.IGNORECASE))
    for number, kanji in IN_KANJI.items():
        only_en[number] -= len(re.findall(f"[{kanji}]", ja))
    only_ja, only_en = +only_ja, +only_en
    if only_ja or only_en:
        yield f"numbers differ: only in ja {sorted(only_ja)}, only in en {sorted(only_en)}"


def _code(cell: Any) -> Iterator[str]:
    source, outputs = cell["source"], cell.get("outputs", [])
    if source.strip() and cell.get("execution_count") is None:
        yield "it was not run before it was stored"
    for ja, en in texts(source):
        yield from pair_problems(ja, en)
    if PATH.search(source):
        yield f"an absolute path: {PATH.search(source)[0]!r}"  # type: ignore[index]
    for output in outputs:
        if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
            yield f"it ended in an error: {output['ename']}: {output['evalue']}"
        data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
        told = re.sub(r"data:image/[\w+]+;base64,[\w+/=]+", "", json.dumps([data, output.get("text", "")]))
        if PATH.search(told):
            yield f"an absolute path in its output: {PATH.search(told)[0]!r}"  # type: ignore[index]
        html = "".join(data.get("text/html", ""))
        if html.count('lang="ja"') != html.count('lang="en"'):
            yield "its output has one language more often than the other"


def texts(source: str) -> Iterator[tuple[str, str]]:
    """Every Text("…", "…") in a piece of Python, as its two sentences; {fields} are left out."""
    try:
        tree = ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "Text"
        if called and len(node.args) == 2:  # type: ignore[attr-defined]
            sentences = [_constant(argument) for argument in node.args]  # type: ignore[attr-defined]
            if None not in sentences:
                yield sentences[0], sentences[1]  # type: ignore[misc]


def _constant(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^}]*\}", "", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return None
