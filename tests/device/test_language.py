"""Which language is on: FACTORY_LANG, then the remembered choice, then the locale, then English."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from factory import Text, language

LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG", "LC_CTYPE", "LANGUAGE")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A session that knows nothing yet, with a folder of its own for what it remembers."""
    monkeypatch.setattr(language, "_current", None)
    monkeypatch.setattr(language, "remembered_in", lambda: tmp_path / "deep" / "language")
    for name in ("FACTORY_LANG", *LOCALES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(language.locale, "getlocale", lambda *_: (None, None))
    return tmp_path / "deep" / "language"


def remember(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_without_any_sign_it_is_english(fresh):
    assert language.current() == "en"


@pytest.mark.parametrize("name", ["LC_ALL", "LC_MESSAGES", "LANG"])
def test_a_japanese_locale_is_japanese(fresh, monkeypatch, name):
    monkeypatch.setenv(name, "ja_JP.UTF-8")
    assert language.current() == "ja"


def test_lc_all_goes_before_lang(fresh, monkeypatch):
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert language.current() == "en"


@pytest.mark.parametrize(("name", "code"), [("Japanese_Japan", "ja"), ("English_United States", "en"), (None, "en")])
def test_windows_names_its_locale_in_words(fresh, monkeypatch, name, code):
    monkeypatch.setattr(language.locale, "getlocale", lambda *_: (name, None))
    assert language.current() == code


def test_a_locale_that_python_does_not_know_is_english(fresh, monkeypatch):
    def fail(*_):
        raise ValueError("unknown locale: UTF-8")

    monkeypatch.setattr(language.locale, "getlocale", fail)
    assert language.current() == "en"


def test_the_remembered_choice_goes_before_the_locale(fresh, monkeypatch):
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    remember(fresh, "en\n")
    assert language.current() == "en"


def test_factory_lang_goes_before_everything(fresh, monkeypatch):
    remember(fresh, "en")
    monkeypatch.setenv("FACTORY_LANG", " JA ")
    assert language.current() == "ja"


@pytest.mark.parametrize("text", ["fr", "", "ja en", b"\xff\xfe\x00", "x" * 10_000, b"\0"])
def test_a_choice_that_is_none_is_passed_over(fresh, monkeypatch, text):
    monkeypatch.setenv("FACTORY_LANG", "klingon")
    monkeypatch.setenv("LANG", "ja_JP")
    remember(fresh, text)
    assert language.current() == "ja"


def test_it_is_looked_up_once(fresh, monkeypatch):
    assert language.current() == "en"
    monkeypatch.setenv("FACTORY_LANG", "ja")
    assert language.current() == "en"


@pytest.mark.parametrize("code", ["ja", "en", "both"])
def test_a_choice_lasts_for_the_session_and_is_kept_only_when_asked(fresh, monkeypatch, code):
    language.use(code)
    assert language.current() == code and not fresh.exists()
    language.use(code, remember=True)
    assert fresh.read_text("utf-8") == code
    monkeypatch.setattr(language, "_current", None)
    assert language.current() == code


def test_a_folder_that_cannot_be_written_is_no_error(fresh):
    fresh.parent.parent.mkdir(exist_ok=True)
    fresh.parent.write_text("a file in the way")
    language.use("ja", remember=True)
    assert language.current() == "ja" and fresh.parent.read_text() == "a file in the way"


def test_a_folder_in_place_of_the_file_is_no_error(fresh):
    fresh.mkdir(parents=True)
    assert language.current() == "en"
    language.use("ja", remember=True)
    assert language.current() == "ja"


@pytest.mark.parametrize("code", ["fr", "", "JA", None, 1])
def test_an_unknown_language_is_refused_and_changes_nothing(fresh, code):
    language.use("ja")
    with pytest.raises(ValueError, match="both"):
        language.use(code)
    assert language.current() == "ja"


def test_a_text_is_the_language_in_force(fresh):
    text = Text("行列", "matrix")
    for code, want in (("ja", "行列"), ("en", "matrix"), ("both", "行列 / matrix")):
        language.use(code)
        assert (str(text), f"{text}", repr(text)) == (want, want, repr(want))
    assert (text.ja, text.en) == tuple(text) == ("行列", "matrix")
    assert text.format(x=1) == text and Text("{x:,} 個", "{x:,}").format(x=1000) == ("1,000 個", "1,000")


@pytest.mark.parametrize(("code", "word"), [("ja", "かけられません"), ("en", "does not fit")])
def test_a_whole_session_speaks_the_language_asked_for(code, word):
    program = (
        "import numpy as np, factory\n"
        "d = factory.open('simulator'); x = d.array(np.ones((2, 3), np.float32))\n"
        "try: d.gemm(x, x)\n"
        "except factory.ShapeError as e: print(e)\n"
    )
    surroundings = {**os.environ, "FACTORY_LANG": code, "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", env=surroundings, timeout=60
    )
    assert word in ended.stdout and ended.stderr == ""
