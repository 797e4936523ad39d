"""The command line: `python -m factory doctor`, `ask TEXT`, `look IMAGE`.

The result stands alone on standard output; standard error says which device and model made it. Whatever is wrong with
an argument, a file or a device takes one line there, in the learner's language, and exit status 2.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from math import isfinite
from typing import Any, NoReturn

import factory
from factory.errors import FactoryError, ModelError
from factory.language import Text

PROGRAM = "python -m factory"
OK, WRONG, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141

DESCRIPTION = Text(
    "AI の推論を、工場のラインのように動かして見る教材です。", "Watch an AI's answer being made, as in a factory."
)
DOCTOR = Text("このコンピューターに何がそろっているかを調べます", "tell what this computer has")
ASK = Text("言語モデルに質問します", "ask a language model a question")
LOOK = Text("写真に何が写っているかを当てます", "name what a photo shows")
COMMANDS = Text("命令", "commands")
ARGUMENTS = Text("引数", "arguments")
USAGE = Text("使い方: ", "usage: ")
HELP = Text("この説明を表示します", "show this help")
VERSION = Text("版の番号を表示します", "show the version")
TEXT = Text("質問の文章", "the question")
MODEL = Text(
    "smollm2、.gguf ファイル、Hugging Face のフォルダーか名前(はじめは smollm2)",
    "smollm2, a .gguf file, a Hugging Face folder or name (default: smollm2)",
)
LAYERS = Text("はじめの N 層だけを通します", "run only the first N layers")
TOKENS = Text("答えの長さの上限、トークンの数(はじめは 64)", "longest answer, in tokens (default: 64)")
TEMPERATURE = Text(
    "くじの広さ。書かなければ、いつもいちばんの候補", "how freely to draw; without it the likeliest, always"
)
TOP_K = Text("上位 K 個だけからくじを引きます", "draw from the K likeliest only")
TOP_P = Text("確率の合計が P になる上位だけからくじを引きます", "draw from the likeliest that add up to P")
SEED = Text("くじの種。同じ種なら同じ答え", "seed of the draw: the same gives the same answer")
IMAGE = Text("写真のファイル", "the photo's file")
TOP = Text("候補の数(はじめは 5)", "how many candidates (default: 5)")
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

    def command(name: str, about: Text, run: Callable[[argparse.Namespace], None]) -> _Parser:
        made: _Parser = commands.add_parser(name, help=str(about), description=str(about))
        made.set_defaults(run=run, parser=made)
        return made

    command("doctor", DOCTOR, _doctor)
    ask = command("ask", ASK, _ask)
    ask.add("text", metavar="TEXT", nargs="+", help=TEXT)
    ask.add("--model", metavar="M", default="smollm2", help=MODEL)
    ask.add("--layers", metavar="N", type=_whole("--layers", 1), help=LAYERS)
    ask.add("--tokens", metavar="N", type=_whole("--tokens", 1), default=64, help=TOKENS)
    ask.add("--temperature", metavar="T", type=_number("--temperature", float, NOT_NEGATIVE, lambda t: t >= 0),
            help=TEMPERATURE)  # fmt: skip
    ask.add("--top-k", metavar="K", type=_whole("--top-k", 1), help=TOP_K)
    ask.add("--top-p", metavar="P", type=_number("--top-p", float, CHANCE, lambda p: 0 < p <= 1), help=TOP_P)
    ask.add("--seed", metavar="N", type=_whole("--seed", 0), help=SEED)
    look = command("look", LOOK, _look)
    look.add("image", metavar="IMAGE", help=IMAGE)
    look.add("--top", metavar="N", type=_whole("--top", 1, 1000), default=5, help=TOP)
    for made in (ask, look):
        made.add("--device", metavar="D", help=DEVICE)
    return parser


def _doctor(_: argparse.Namespace) -> None:
    from factory import doctor

    print(doctor.report())


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


def _open(name: str | None) -> factory.Device:
    """The device that --device names: a wing, or a simulator that is told to be a GPU."""
    if name is None or name in ("rocm", "simulator"):
        return factory.open(name)
    return factory.open("simulator", gpu=name)


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
            args.run(args)
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
    return OK


if __name__ == "__main__":
    sys.exit(main())
