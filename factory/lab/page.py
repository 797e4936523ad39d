"""How a JupyterLab page shows one language: style rules, and the folder that lets it do so before any cell has run."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import tempfile
from pathlib import Path

from jupyter_core.paths import jupyter_config_dir

from factory import language

FOLDER = "FACTORY_LAB_FOLDER"  # set by `python -m factory.lab` for the kernels that it starts

_PARTS = ":is(.jp-RenderedHTMLCommon,.jp-OutputArea)"
_OTHER = {"ja": "en", "en": "ja"}


def _one_language(notebook: str, code: str) -> str:
    """Rules that show one language in a notebook: its text, its images, and the labels of drawings centred."""
    return (
        f"{notebook} {_PARTS} :is([lang={_OTHER[code]}],.sep){{display:none!important}}"
        f"{notebook} {_PARTS} .factory-one[lang={code}]{{display:inline!important}}"
        f"{notebook} {_PARTS} .factory-pair>[lang]{{transform:none!important}}"
    )


def rules() -> str:
    """The style rules of the language bar; the bar's own class says which of them is in force in its notebook.

    A notebook with two bars that disagree, as after a restarted kernel, shows both languages rather than none.
    """
    chosen = "".join(
        _one_language(f".jp-Notebook:has(.factory-{code}):not(:has(.factory-{_OTHER[code]},.factory-both))", code)
        for code in _OTHER
    )
    both = ".jp-Notebook:has(.factory-both) .jp-RenderedMarkdown div[lang]"
    return (
        chosen + f"{both}{{border-left:3px solid #0072b2;padding-left:.8em;margin:.4em 0}}{both[:-1]}=en]"
        "{border-left-color:#e69f00}" + ".factory-busy{opacity:.55;transition:opacity .1s .2s}"
    )


def custom_css(code: str) -> str:
    """The style sheet that a page starts with: the language in force wherever no bar says otherwise yet."""
    start = _one_language(".jp-Notebook:not(:has(.factory-language))", code) if code in _OTHER else ""
    return "/* Written by factory.lab; your own custom.css follows. */\n" + start + rules() + "\n"


def write_folder(code: str) -> Path:
    """Write the Jupyter configuration that `python -m factory.lab` adds to the learner's own, and say where it is.

    It holds custom/custom.css (ours, then the learner's own), the place to read it from, JupyterLab's language where
    its language pack is installed, and no news. All are defaults: the learner's own settings come before them.
    """
    folder = language.remembered_in().parent / "lab"
    try:
        (folder / "custom").mkdir(parents=True, exist_ok=True)
        (folder / "labconfig").mkdir(exist_ok=True)
        _write_css(folder, code)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="factory-lab-"))
        (folder / "custom").mkdir()
        (folder / "labconfig").mkdir()
        _write_css(folder, code)
    own = str(Path(jupyter_config_dir(), "custom"))
    (folder / "jupyter_server_config.py").write_text(
        "from jupyter_server import DEFAULT_STATIC_FILES_PATH\n\nc = get_config()\n"
        "c.ServerApp.tornado_settings.update({'static_custom_path': "
        f"[{str(folder / 'custom')!r}, {own!r}, DEFAULT_STATIC_FILES_PATH + '/custom']}})\n",
        "utf-8",
    )
    # JupyterLab's question about its news would lie on the first answer.
    overrides: dict[str, dict[str, str]] = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    if code == "ja" and importlib.util.find_spec("jupyterlab_language_pack_ja_JP"):
        overrides["@jupyterlab/translation-extension:plugin"] = {"locale": "ja_JP"}
    (folder / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(overrides), "utf-8")
    return folder


def _write_css(folder: Path, code: str) -> None:
    try:
        own = Path(jupyter_config_dir(), "custom", "custom.css").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        own = ""
    (folder / "custom" / "custom.css").write_text(custom_css(code) + own, "utf-8")


def refresh(code: str) -> None:
    """Let the next page that is opened start in this language, where `python -m factory.lab` started the server."""
    folder = os.environ.get(FOLDER)
    if folder:
        with contextlib.suppress(OSError):
            _write_css(Path(folder), code)
