"""A JupyterLab server of its own and a Chromium page in it, by plain Playwright."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
# A console message that is Lab's own and says nothing of the notebook.
HARMLESS = ("favicon", "Failed to load resource: the server responded with a status of 404", "ResizeObserver")


def chromium() -> str | None:
    """The browser to drive: FACTORY_CHROMIUM, or one on the path."""
    names = (os.environ.get("FACTORY_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def missing() -> str | None:
    """What the browser tests lack on this machine, or None."""
    try:
        import jupyterlab  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"the package {error.name} (pip install -e '.[test]')"
    return None if chromium() else "Chromium (set FACTORY_CHROMIUM to its path)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This environment, with every folder of Jupyter's and of the learner's choice moved into `folder`."""
    moved = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "XDG_CONFIG_HOME": "xdg",
        "MPLCONFIGDIR": "matplotlib",
    }
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "FACTORY_"))}
    return {
        **clean,
        **{name: str(folder / where) for name, where in moved.items()},
        "PYTHONPATH": path,
        "JUPYTER_PREFER_ENV_PATH": "1",
        **more,
    }


@contextlib.contextmanager
def lab_server(
    root: Path,
    command: tuple[str, ...] = ("-m", "jupyterlab"),
    settings: dict[str, Any] | None = None,
    folder: Path | None = None,
    **more: str,
) -> Iterator[tuple[str, Path]]:
    """Start JupyterLab on `root`; gives its address and the folder that holds its settings."""
    folder = folder or Path(tempfile.mkdtemp(prefix="factory-lab-"))
    for name, values in {**SETTINGS, **(settings or {})}.items():
        file = folder / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), "utf-8")
    port = free_port()
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            *command,
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={root}",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=None",
        ],
        env=environment(folder, **more),
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=root,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if server.poll() is not None:
                raise RuntimeError((folder / "server.log").read_text()[-4000:])
            try:
                urllib.request.urlopen(base + "/api/status", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        yield base, folder
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def browser_context(width: int = 1280, height: int = 1000) -> Iterator[Any]:
    """A Chromium with a profile of its own."""
    from playwright.sync_api import sync_playwright

    profile = tempfile.mkdtemp(prefix="factory-chromium-")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium(),
            headless=True,
            args=CHROMIUM_FLAGS,
            viewport={"width": width, "height": height},
            locale="en-US",
        )
        try:
            yield context
        finally:
            context.close()
            shutil.rmtree(profile, ignore_errors=True)


class LabPage:
    """One notebook open in JupyterLab."""

    def __init__(self, context: Any, base: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.base = base
        self.console: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self._heard("error", str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error" and not any(words in text for words in HARMLESS):
            self.console.append(text)

    def open(self, path: str) -> LabPage:
        """Open one notebook alone, and wait until its kernel is idle."""
        self.page.goto(f"{self.base}/doc/tree/{path}?reset")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )
        return self

    def run_all(self, timeout: int = 300_000) -> LabPage:
        """Run every cell, and wait for the last."""
        self.page.set_default_timeout(timeout)
        # What was stored goes first: then a cell has a number only once it has run, and an idle moment means nothing.
        self.page.evaluate(
            """async () => { await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs');
                await window.jupyterapp.commands.execute('notebook:run-all-cells') }"""
        )
        # An error that no tag expects ends the run, and the cells after it keep no number.
        self.page.wait_for_function(
            """() => { const panel = window.jupyterapp.shell.currentWidget;
                const cells = panel.content.widgets.map(cell => cell.model)
                    .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim());
                return panel.sessionContext.session.kernel.status === 'idle' && (
                    cells.every(cell => cell.executionCount !== null) ||
                    cells.some(cell => !(cell.getMetadata('tags') || []).includes('raises-exception') &&
                        cell.sharedModel.outputs.some(output => output.output_type === 'error'))) }"""
        )
        self.page.set_default_timeout(60_000)
        return self

    def outputs(self) -> list[dict[str, Any]]:
        """Every output in the notebook's model, each with the tags of its cell."""
        found: list[dict[str, Any]] = self.page.evaluate(
            """() => { const found = [];
                for (const cell of window.jupyterapp.shell.currentWidget.content.model.cells)
                    if (cell.type === 'code') for (const output of cell.sharedModel.outputs || [])
                        found.push({...(output.toJSON ? output.toJSON() : output),
                                    tags: cell.sharedModel.getMetadata('tags') || []});
                return found }"""
        )
        return found

    def cell_errors(self) -> list[str]:
        """The errors that stand in the outputs and that no cell's tag expects."""
        return [
            f"{output['ename']}: {output['evalue']}"
            for output in self.outputs()
            if output["output_type"] == "error" and "raises-exception" not in output["tags"]
        ]

    def switch(self, code: str) -> None:
        """Press a button of the language bar."""
        name = {"ja": "日本語", "en": "English", "both": "Both"}[code]
        self.page.locator(".factory-language button", has_text=name).first.click()

    def visible(self, text: str) -> bool:
        """Whether a text can be seen in the notebook (scrolled to or not)."""
        return bool(self.page.locator(".jp-Notebook").get_by_text(text).first.is_visible())

    def close(self) -> None:
        """Close the tab and end its kernel, so that the next test starts with a new one."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()
