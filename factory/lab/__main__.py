"""Start JupyterLab on the course, in the language that is on: `python -m factory.lab [options of jupyter lab]`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from factory import language
from factory.lab import page

FIRST = "notebooks/00_what_is_inference.ipynb"


def command(arguments: Sequence[str]) -> tuple[list[str], dict[str, str], Path]:
    """What to run, with which environment, in which folder; the learner's Jupyter settings stay in force."""
    home = next(
        (folder for folder in (Path(__file__).resolve().parents[2], Path.cwd()) if (folder / FIRST).exists()),
        Path.cwd(),
    )
    folder = page.write_folder(language.current())
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("JUPYTER_CONFIG_PATH"))))
    named = any(not argument.startswith("-") for argument in arguments)
    # Jupyter refuses root otherwise, which is who one is in a container; it listens on this computer alone.
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    # As the default address, so that the link which Jupyter prints leads to the notebook too.
    opened = [] if named or not (home / FIRST).exists() else [f"--LabApp.default_url=/lab/tree/{FIRST}"]
    return (
        [sys.executable, "-m", "jupyterlab", "--custom-css", *root, *arguments, *opened],
        {**os.environ, "JUPYTER_CONFIG_PATH": path, page.FOLDER: str(folder)},
        Path.cwd() if named else home,
    )


def main(arguments: Sequence[str]) -> int:
    """Become JupyterLab, so that Ctrl-C and other signals reach it; on Windows, run it and give its exit status."""
    words, environment, folder = command(arguments)
    if os.name == "posix":
        os.chdir(folder)
        os.execve(words[0], words, environment)
    try:
        return subprocess.call(words, env=environment, cwd=folder)
    except KeyboardInterrupt:  # it went to JupyterLab too
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
