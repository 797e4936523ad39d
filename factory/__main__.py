"""The command line: `python -m factory doctor`, `ask TEXT`, `look IMAGE`, `read IMAGE…`, `draw CHARACTER OUT.png`,
`prove`.

The result stands alone on standard output; standard error says which device and model made it. Whatever is wrong with
an argument, a file or a device takes one line there, in the learner's language, and exit status 2.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from math import isfinite
from typing import Any, NoReturn

import factory
from factory.errors import FactoryError, ModelError
from factory.language import Text

PROGRAM = "python -m factory"
OK, FAILED, WRONG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

DESCRIPTION = Text(
    "AI の推論を、工場のラインのように動かして見る教材です。", "Watch an AI's answer being made, as in a factory."
)
DOCTOR = Text("このコンピューターに何がそろっているかを調べます", "tell what this computer has")
ASK = Text("言語モデルに質問します", "ask a language model a question")
LOOK = Text("写真に何が写っているかを当てます", "name what a photo shows")
READ = Text("手書きの数字やひらがなを読みます(1 枚に 1 文字)", "read hand-drawn digits and hiragana, one a picture")
DRAW = Text("数字やひらがなの絵をかきます", "draw a picture of a digit or a hiragana")
PROVE = Text("AMD GPU でのすべての計算を確かめ、報告書を書きます", "check everything on an AMD GPU, and write a report")
COMMANDS = Text("命令", "commands")
ARGUMENTS = Text("引数", "arguments")
USAGE = Text("使い方: ", "usage: ")
HELP = Text("この説明を表示します", "show this help")
VERSION = Text("版の番号を表示します", "show the version")
TEXT = Text("質問の文章", "the question")
MODEL = Text(
    "tiny、smollm2、.gguf ファイル、Hugging Face のフォルダーか名前(はじめは tiny)",
    "tiny, smollm2, a .gguf file, a Hugging Face folder or name (default: tiny)",
)
LAYERS = Text("はじめの N 層だけを通します", "run only the first N layers")
TOKENS = Text("答えの長さの上限、トークンの数(はじめは 192)", "longest answer, in tokens (default: 192)")
TEMPERATURE = Text(
    "くじの広さ。書かなければ、いつもいちばんの候補", "how freely to draw; without it the likeliest, always"
)
TOP_K = Text("上位 K 個だけからくじを引きます", "draw from the K likeliest only")
TOP_P = Text("確率の合計が P になる上位だけからくじを引きます", "draw from the likeliest that add up to P")
SEED = Text("くじの種。同じ種なら同じ答え", "seed of the draw: the same gives the same answer")
IMAGE = Text("写真のファイル", "the photo's file")
TOP = Text("候補の数(はじめは 5)", "how many candidates (default: 5)")
DRAWINGS = Text("文字が 1 つ書かれた画像のファイル", "files of pictures, each of one character")
ALPHABET = Text("読む文字: all、digits、hiragana(はじめは all)", "what to read: all, digits or hiragana (default: all)")
CHARACTER = Text("かいてほしい文字", "the character to draw")
OUT = Text("絵を書き出すファイル(.png など)", "the file to write (.png or the like)")
STEPS = Text("ノイズから絵になるまでのステップの数(はじめは 10)", "steps from noise to picture (default: 10)")
NOISE = Text("はじめのノイズの種(はじめは 0)", "seed of the noise at the start (default: 0)")
GUIDANCE = Text("文字らしさの強さ(はじめは 2.0)", "how strongly the picture is drawn to the character (default: 2.0)")
ONLY = Text("名前にこの文字がある検査だけをします", "run only the checks with this in their name")
REPORT = Text("報告書のファイル", "the report's file")
DEVICE = Text(
    "rocm、simulator、または gfx900 などの GPU 名(その GPU の限界をまねるシミュレーター)",
    "rocm, simulator, or a GPU such as gfx900 (a simulator with its limits)",
)
USED = Text(
    "デバイス: {device}。モデル: {model}({layers}、重み {weights:,} 個)。",
    "Device: {device}. Model: {model} ({layers}, {weights:,} weights).",
)
ALL_LAYERS = Text("{total} 層", "{total} layers")
SOME_LAYERS = Text("{total} 層のうち、はじめの {used} 層", "the first {used} of {total} layers")
FROM = Text("{least} 以上の整数", "a whole number from {least} up")
FROM_TO = Text("{least} から {most} までの整数", "a whole number from {least} to {most}")
NOT_NEGATIVE = Text("0 以上の数", "a number from 0 up")
CHANCE = Text("0 より大きく 1 以下の数", "a number over 0, and at most 1")
STOPPED = Text("止めました。", "Stopped.")


class UsageError(FactoryError):
    """What was typed is no request that the command line knows."""

    sentences = {
        "required": Text("{what} を書いてください(使い方: {help})。", "{what} is missing; see {help}."),
        "unknown": Text("{what} は知らない引数です(使い方: {help})。", "{what} is not known here; see {help}."),
        "value": Text("{what} のあとに値を書いてください(使い方: {help})。", "{what} needs a value after it; see {help}."),
        "command": Text("{what} という命令はありません。あるのは {known} です。", "There is no command {what}; there are {known}."),
        "other": Text("引数が正しくありません: {what}(使い方: {help})。", "The arguments are wrong: {what}; see {help}."),
        "number": Text("{option} は {want}です(書かれたのは {got})。", "{option} must be {want}; this is {got}."),
        "temperature": Text(
            "{option} は、くじを引くときだけ意味があります。--temperature 0.8 などをいっしょに書いてください。",
            "{option} matters only where the answer is drawn: add, for example, --temperature 0.8.",
        ),
        "text": Text("質問に UTF-8 で書けない文字があります。", "The question holds characters that are no UTF-8."),
        "picture": Text("画像の名前は .png などで終わります(書かれたのは {got})。", "A picture's name ends in .png or the like; this is {got}."),
        "file": Text("読み書きできません: {what}。", "Reading or writing failed: {what}."),
    }  # fmt: skip


# argparse's own English, by the kind of UsageError that says the same in both languages.
_ARGPARSE = (
    (r"the following arguments are required: (?P<what>.+)", "required"),
    (r"unrecognized arguments: (?P<what>.+)", "unknown"),
    (r"argument (?P<what>\S+): expected .+", "value"),
    (r"argument \S+: invalid choice: (?P<what>.+?) \(choose from (?P<known>.+)\)", "command"),
    (r"(?P<what>.+)", "other"),
)


class _Formatter(argparse.HelpFormatter):
    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, str(USAGE) if prefix is None else prefix)


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that speaks the learner's language and raises UsageError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(add_help=False, allow_abbrev=False, formatter_class=_Formatter, **options)
        self.group = self.add_argument_group(str(ARGUMENTS))
        self.group.add_argument("-h", "--help", action="help", help=str(HELP))

    def add(self, *names: str, help: Text, **options: Any) -> None:
        self.group.add_argument(*names, help=str(help), **options)

    def error(self, message: str) -> NoReturn:
        for pattern, key in _ARGPARSE:
            if found := re.fullmatch(pattern, message, re.DOTALL):
                fields = {name: value.replace("'", "") for name, value in found.groupdict().items()}
                raise UsageError(key, help=f"{self.prog} --help", **fields)
        raise AssertionError(message)


def _number(option: str, kind: type, want: Text, fits: Callable[[Any], bool]) -> Callable[[str], Any]:
    """What turns the text after an option into a number, or raises UsageError."""

    def convert(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not isfinite(number) or not fits(number):
            raise UsageError("number", option=option, want=want, got=text)
        return number

    return convert


def _whole(option: str, least: int, most: int | None = None) -> Callable[[str], Any]:
    want = FROM.format(least=least) if most is None else FROM_TO.format(least=least, most=most)
    return _number(option, int, want, lambda number: least <= number <= (number if most is None else most))


def _parser() -> _Parser:
    parser = _Parser(prog=PROGRAM, description=str(DESCRIPTION))
    version = f"inference-factory {factory.__version__}"
    parser.add("--version", help=VERSION, action="version", version=version)
    parser.set_defaults(run=lambda _: parser.print_help(), parser=parser)
    commands = parser.add_subparsers(title=str(COMMANDS), metavar="COMMAND")

    def command(name: str, about: Text, run: Callable[[argparse.Namespace], int | None]) -> _Parser:
        made: _Parser = commands.add_parser(name, help=str(about), description=str(about))
        made.set_defaults(run=run, parser=made)
        return made

    command("doctor", DOCTOR, _doctor)
    ask = command("ask", ASK, _ask)
    ask.add("text", metavar="TEXT", nargs="+", help=TEXT)
    ask.add("--model", metavar="M", default="tiny", help=MODEL)
    ask.add("--layers", metavar="N", type=_whole("--layers", 1), help=LAYERS)
    ask.add("--tokens", metavar="N", type=_whole("--tokens", 1), default=192, help=TOKENS)
    ask.add("--temperature", metavar="T", type=_number("--temperature", float, NOT_NEGATIVE, lambda t: t >= 0),
            help=TEMPERATURE)  # fmt: skip
    ask.add("--top-k", metavar="K", type=_whole("--top-k", 1), help=TOP_K)
    ask.add("--top-p", metavar="P", type=_number("--top-p", float, CHANCE, lambda p: 0 < p <= 1), help=TOP_P)
    ask.add("--seed", metavar="N", type=_whole("--seed", 0), help=SEED)
    look = command("look", LOOK, _look)
    look.add("image", metavar="IMAGE", help=IMAGE)
    look.add("--top", metavar="N", type=_whole("--top", 1, 1000), default=5, help=TOP)
    read = command("read", READ, _read)
    read.add("images", metavar="IMAGE", nargs="+", help=DRAWINGS)
    read.add("--alphabet", metavar="A", default="all", help=ALPHABET)
    draw = command("draw", DRAW, _draw)
    draw.add("character", metavar="CHARACTER", help=CHARACTER)
    draw.add("out", metavar="OUT.png", help=OUT)
    draw.add("--steps", metavar="N", type=_whole("--steps", 1), default=10, help=STEPS)
    draw.add("--seed", metavar="N", type=_whole("--seed", 0), default=0, help=NOISE)
    draw.add("--guidance", metavar="G", type=_number("--guidance", float, NOT_NEGATIVE, lambda g: g >= 0), default=2.0,
             help=GUIDANCE)  # fmt: skip
    prove = command("prove", PROVE, _prove)
    prove.add("--only", metavar="NAME", default="", help=ONLY)
    prove.add("--out", metavar="FILE", help=REPORT)
    for made in (ask, look, read, draw, prove):
        made.add("--device", metavar="D", help=DEVICE)
    return parser


def _doctor(_: argparse.Namespace) -> None:
    from factory import doctor

    for line in doctor.lines():
        print(line, flush=True)


def _ask(args: argparse.Namespace) -> None:
    if args.temperature is None:
        for option, value in (("--top-k", args.top_k), ("--top-p", args.top_p), ("--seed", args.seed)):
            if value is not None:
                raise UsageError("temperature", option=option)
    question = " ".join(args.text)
    if not question.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in question):
        raise UsageError("text")
    if not question.strip():
        raise ModelError("empty_prompt")

    from factory.models import LanguageModel

    with _open(args.device) as device:
        model = LanguageModel.load(device, args.model, progress=_on_terminal(sys.stderr))
        answer: Any = model.stream(
            question, args.tokens, args.layers, temperature=args.temperature or 0.0, top_k=args.top_k,
            top_p=args.top_p, seed=args.seed,
        )  # fmt: skip
        with closing(answer):  # before the device closes, also when Ctrl-C comes between two pieces
            _say_what_is_used(device, args.model, model, args.layers)
            if _on_terminal(sys.stdout):
                for piece in _trimmed(answer):
                    print(piece, end="", flush=True)
                print()
            else:
                print("".join(_trimmed(answer)))


def _look(args: argparse.Namespace) -> None:
    if not os.path.exists(args.image):  # before the network loads, and its solvers race
        raise ModelError("missing", path=args.image)

    from factory.models import ImageClassifier

    with _open(args.device) as device:
        classifier = ImageClassifier.load(device, progress=_on_terminal(sys.stderr))
        best = classifier.classify(args.image, args.top)
        _say_what_is_used(device, "efficientnet-lite0", classifier)
        for name, chance in best:
            print(f"{chance:.2f}  {name}")


def _read(args: argparse.Namespace) -> None:
    from factory.models import GlyphReader
    from factory.models.glyphs import load_drawing

    drawings = [load_drawing(path) for path in args.images]
    with _open(args.device) as device:
        reader = GlyphReader.load(device)
        answers = [reader.read(drawing, args.alphabet)[:1] for drawing in drawings]
        _say_what_is_used(device, "glyph-reader", reader)
        for path, best in zip(args.images, answers, strict=True):
            for character, chance in best:
                print(f"{chance:.2f}  {character}" + (f"  {path}" if len(drawings) > 1 else ""))


def _draw(args: argparse.Namespace) -> None:
    from PIL import Image

    from factory.models import GlyphPainter

    if (kind := Image.registered_extensions().get(os.path.splitext(args.out)[1].lower())) not in Image.SAVE:
        raise UsageError("picture", got=args.out)
    with _open(args.device) as device:
        painter = GlyphPainter.load(device, progress=_on_terminal(sys.stderr))
        ink = painter.draw(args.character, args.steps, args.seed, args.guidance)
        paper = Image.fromarray((255.5 - 255 * ink).astype("uint8"))
        paper.resize((8 * paper.width, 8 * paper.height), Image.Resampling.BICUBIC).save(args.out, kind)
        _say_what_is_used(device, "glyph-painter", painter)
        print(args.out)


def _prove(args: argparse.Namespace) -> int:
    from factory.prove import Proof

    folder = os.path.dirname(args.out or "") or "."
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:  # better said now than after the last check
        raise UsageError("file", what=f"{folder}: {error.strerror}") from None
    proof = Proof(_wing(args.device or "rocm"), args.only)

    def save() -> None:
        args.out = args.out or proof.file_name()
        proof.write(args.out)

    try:  # a GPU may bring down the whole computer, so it saves as it goes
        proof.run(_on_terminal(sys.stderr), save, _mention)
    finally:  # also what there is when it is stopped
        if proof.device:
            save()
    for line in proof.summary(args.out):
        print(line)
    return FAILED if proof.failed else OK


def _open(name: str | None) -> factory.Device:
    """The device that --device names."""
    return factory.open() if name is None else factory.open(**_wing(name))


def _wing(name: str) -> dict[str, Any]:
    """What --device says to factory.open: a wing, or a simulator that is told to be a GPU."""
    return {"wing": name} if name in ("rocm", "simulator") else {"wing": "simulator", "gpu": name}


def _say_what_is_used(device: factory.Device, name: str, model: Any, layers: int | None = None) -> None:
    depth = (ALL_LAYERS if layers in (None, model.layers) else SOME_LAYERS).format(total=model.layers, used=layers)
    weights = sum(weight.size for weight in model.weights())
    used = USED.format(device=device.label, model=name, layers=depth, weights=weights)
    print(used, file=sys.stderr, flush=True)


def _trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """Pieces of a text without the white space before its first and after its last letter."""
    waiting, started = "", False
    for piece in pieces:
        text = waiting + piece if started else piece.lstrip()
        shown = text.rstrip()
        waiting, started = text[len(shown) :], started or bool(shown)
        if shown:
            yield shown


def _mention(text: object) -> None:
    print(text, file=sys.stderr, flush=True)


def _on_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()


def _complain(text: object) -> int:
    """Say what is wrong in one line, whatever a file's name or a library's words hold."""
    print(" ".join(str(text).split()), file=sys.stderr)
    return WRONG


def _drop_output() -> None:
    """Send what is still to be written nowhere, so that nothing complains about it at the exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter gets a question mark
    try:
        try:
            args, rest = _parser().parse_known_args(arguments)
            if rest:
                args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
            status: int | None = args.run(args)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except FactoryError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print(f"\n{STOPPED}" if _on_terminal(sys.stderr) else STOPPED, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:
        _drop_output()
        what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return _complain(UsageError("file", what=what))
    return status or OK


if __name__ == "__main__":
    sys.exit(main())
