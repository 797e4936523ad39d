"""Which language is on, and texts that stand in both.

The language is "ja", "en" or "both". It is looked up once, in this order: the environment variable
FACTORY_LANG, the choice remembered from an earlier session, the locale, English.
"""

from __future__ import annotations

import locale
import os
from pathlib import Path
from typing import NamedTuple

import platformdirs

CHOICES = ("ja", "en", "both")

_current: str | None = None


def remembered_in() -> Path:
    """The file that holds the learner's choice."""
    return Path(platformdirs.user_config_dir("inference-factory")) / "language"


def _from_environment() -> str:
    asked = os.environ.get("FACTORY_LANG", "").strip().lower()
    if asked in CHOICES:
        return asked
    try:
        remembered = remembered_in().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        remembered = ""
    if remembered in CHOICES:
        return remembered
    name = next((name for name in map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG")) if name), None)
    if name is None:
        try:
            name = locale.getlocale()[0] or ""  # Windows sets none of these and calls the locale "Japanese_Japan"
        except ValueError:  # a locale that Python does not know, as "UTF-8" once was on macOS
            name = ""
    return "ja" if name.lower().startswith("ja") else "en"


def current() -> str:
    """The language in force: "ja", "en" or "both"."""
    global _current
    if _current is None:
        _current = _from_environment()
    return _current


def use(code: str, *, remember: bool = False) -> None:
    """Switch to a language, and keep the choice for the next session where `remember` is set.

    Raises ValueError for anything but "ja", "en" and "both". A folder that cannot be written is no error: the
    choice then lasts as long as the session.
    """
    global _current
    if code not in CHOICES:
        raise ValueError(f"language {code!r} is none of {', '.join(CHOICES)}")
    _current = code
    if remember:
        try:
            remembered_in().parent.mkdir(parents=True, exist_ok=True)
            remembered_in().write_text(code, "utf-8")
        except OSError:
            pass


class Text(NamedTuple):
    """One sentence in both languages; as a string it is the language in force ("both": Japanese, then English)."""

    ja: str
    en: str

    def __str__(self) -> str:
        code = current()
        return f"{self.ja} / {self.en}" if code == "both" else getattr(self, code)

    def __repr__(self) -> str:
        return repr(str(self))

    def format(self, **fields: object) -> Text:
        """Both sentences with their {fields} filled in."""
        filled = [
            sentence.format(
                **{name: getattr(value, code) if isinstance(value, Text) else value for name, value in fields.items()}
            )
            for code, sentence in zip(("ja", "en"), self, strict=True)
        ]
        return Text(*filled)


def at_least(least: int) -> Text:
    """ "3 or more", for errors about numbers that are too small."""
    return Text(f"{least} 以上の数", f"{least} or more")
