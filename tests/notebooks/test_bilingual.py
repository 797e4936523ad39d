"""Every notebook says the same in both languages, in the glossary's words, and is stored as it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from bilingual import pair_problems, problems, texts

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))

GOOD = """## 3. <span lang="ja">畳み込み</span><span class="sep"> / </span><span lang="en">Convolution</span>

<div lang="ja">

**3** 層あり、重みは 1,234 個です。`hipMalloc`

</div>
<div lang="en">

There are **three** layers and 1,234 weights. The word 「層」 means layer. `hipMalloc`

</div>

---

<details><summary><span lang="ja">答え</span><span class="sep"> / </span><span lang="en">Answer</span></summary>

```python
print("x")
```

</details>"""
DIV = '<div lang="{}">\n\n{}\n\n</div>\n'


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_bilingual_and_stored_as_it_ran(path: Path) -> None:
    assert problems(nbformat.read(path, 4)) == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "factory").rglob("*.py")), ids=lambda path: path.stem)
def test_sentences_in_the_code_agree(path: Path) -> None:
    found = [problem for ja, en in texts(path.read_text("utf-8")) for problem in pair_problems(ja, en)]
    assert found == []


def notebook(*markdown: str, code: str = "x", **changes: Any) -> Any:
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_markdown_cell(text) for text in markdown]
    output = nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=1)
    made.cells.append(nbformat.v4.new_code_cell(code, execution_count=1, outputs=[output]))
    made.cells[-1].update(changes)
    return made


def test_good_notebook_has_no_problem() -> None:
    assert problems(notebook(GOOD, code='Text("{n} 層と 2 枚", "{n} layers and two sheets")')) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (DIV.format("ja", "文です。"), "the passages come as"),
        (DIV.format("en", "Text.") + DIV.format("ja", "文です。"), "the passages come as"),
        ('<div lang="ja">\n文です。\n\n</div>\n' + DIV.format("en", "Text."), "blank lines"),
        ('<div lang="ja">\n\n文です。\n</div>\n' + DIV.format("en", "Text."), "blank lines"),
        ('<div lang="ja">\n\n文です。\n\n' + DIV.format("en", "Text."), "no end of its own"),
        ("# Only English", "a heading without its twin"),
        ('# <span lang="ja">層</span><span lang="en">Layer</span>', "a heading without its twin"),
        (DIV.format("ja", "### 見出し") + DIV.format("en", "### Heading"), "a heading without its twin"),
        (DIV.format("ja", "30 層です。") + DIV.format("en", "There are 32 layers."), "numbers differ"),
        (DIV.format("ja", "2 回です。") + DIV.format("en", "It ran."), "numbers differ"),
        (DIV.format("ja", "レイヤーです。") + DIV.format("en", "A layer."), "the glossary says '層'"),
        (DIV.format("ja", "行列積です。") + DIV.format("en", "A product."), "the glossary says '行列のかけ算'"),
        (DIV.format("ja", "層です。") + DIV.format("en", "A 層 is a layer."), "Japanese in an English passage"),
        (DIV.format("ja", "This is not Japanese.") + DIV.format("en", "It is not."), "without Japanese"),
        (GOOD + "\n\nEnglish alone", "words outside both languages: English alone"),
        (GOOD + "\n\n日本語だけ", "words outside both languages: 日本語だけ"),
    ],
)
def test_bad_markdown_is_found(source: str, words: str) -> None:
    found = problems(notebook(source))
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize(
    ("code", "changes", "words"),
    [
        ('Text("3 層", "4 layers")', {}, "numbers differ"),
        ("open('/home/me/photo.jpg')", {}, "an absolute path"),
        ("x", {"execution_count": None}, "not run before"),
        ("x", {"outputs": []}, "no outputs are stored"),
        ("x", {"id": ""}, "the cell id '' is used"),
        ("x", {"outputs": [nbformat.v4.new_output("stream", text="in /root/x")]}, "path in its output"),
        (
            "x",
            {"outputs": [nbformat.v4.new_output("display_data", {"text/html": '<p lang="ja">文</p>'})]},
            "one language more often",
        ),
        ("x", {"outputs": [nbformat.v4.new_output("error", ename="E", evalue="v")]}, "it ended in an error"),
    ],
)
def test_bad_code_cell_is_found(code: str, changes: dict[str, Any], words: str) -> None:
    found = problems(notebook(GOOD, code=code, **changes))
    assert any(words in problem for problem in found), found


def test_repeated_ids_and_widget_state_are_found() -> None:
    made = notebook(GOOD, GOOD)
    made.cells[1]["id"] = made.cells[0]["id"]
    made.metadata["widgets"] = {}
    assert len(problems(made)) == 2


@pytest.mark.parametrize(
    ("ja", "en", "agree"),
    [
        ("重みは 1 億 3500 万個です。", "It has 135 million weights.", True),
        ("重みは 1.35 億個です。", "It has 135 million weights.", True),
        ("2 兆と 40 万です。", "2 trillion and 400,000.", True),
        ("重みは 1 億 3400 万個です。", "It has 135 million weights.", False),
        ("3 つの層が ３ 回。", "Three layers, 3 times.", True),
        ("MI300X は gfx942 です。", "The MI300X is gfx942.", True),
    ],
)
def test_numbers_agree_however_they_are_written(ja: str, en: str, agree: bool) -> None:
    assert (list(pair_problems(ja, en)) == []) is agree


def test_longer_katakana_words_are_no_other_term() -> None:
    assert list(pair_problems("プレイヤーとフィルターです。", "A player and a filter.")) == []
