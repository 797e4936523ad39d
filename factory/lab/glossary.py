"""The course's terms: one form in Japanese, one in English, and plain words for each.

The order is that of the glossary of the pages that the course accompanies (their eight first), then the course's own.
A test reads the notebooks for the forms in `instead_of`, so that one idea has one name everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factory.lab.figures import Html, both
from factory.language import Text


@dataclass(frozen=True)
class Term:
    """A term: its names, what it means in plain words, and Japanese forms that the course does not use for it."""

    name: Text
    plain: Text
    instead_of: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.name)

    def html(self) -> str:
        """The name and its plain words, in both languages."""
        return f"<p><b>{both(self.name)}</b>: {both(self.plain)}</p>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/html": self.html(),
            "text/plain": "\n".join(f"{name}: {plain}" for name, plain in zip(self.name, self.plain, strict=True)),
        }


def _term(ja: str, en: str, plain_ja: str, plain_en: str, *instead_of: str) -> Term:
    return Term(Text(ja, en), Text(plain_ja, plain_en), instead_of)


TERMS: dict[str, Term] = {
    "ROCm": _term(
        "ROCm",
        "ROCm",
        "AMD の GPU で計算するためのソフトウェアをまとめた道具箱です。",
        "The toolbox of software for computing on AMD GPUs.",
    ),
    "gfx900": _term(
        "gfx900",
        "gfx900",
        "2017 年の Radeon RX Vega の設計につけられた番号です。",
        "The number of a GPU design: that of the Radeon RX Vega of 2017.",
    ),
    "MIOpen": _term(
        "MIOpen",
        "MIOpen",
        "畳み込みと活性化関数を受け持つライブラリです。",
        "The library for convolutions and activation functions.",
    ),
    "rocBLAS": _term(
        "rocBLAS", "rocBLAS", "行列のかけ算を受け持つライブラリです。", "The library for matrix multiplication."
    ),
    "solver": _term(
        "solver",
        "solver",
        "同じ計算をする、いくつかあるやり方の 1 つです。",
        "One of several ways of doing the same computation.",
        "ソルバ",
        "ソルバー",
    ),
    "capability": _term(
        "能力で選ぶしくみ",
        "capability-based selection",
        "GPU の名前ではなく、できることを見てやり方を選びます。",
        "Choosing a way by what the GPU can do, not by its name.",
    ),
    "fallback": _term(
        "フォールバック",
        "fallback",
        "速い道が使えないときに通る、どこでも使える遅い道です。",
        "The slower road that works everywhere, for when the fast one is closed.",
    ),
    "perf_db": _term(
        "Perf DB",
        "Perf DB",
        "どの solver が速かったかを MIOpen が覚えておく表です。",
        "MIOpen's table of which solver was fast.",
        "パフォーマンスデータベース",
    ),
    "GPU": _term(
        "GPU",
        "GPU",
        "同じ計算をいっぺんにたくさんするのが得意な部品です。",
        "A chip that is good at doing very many alike computations at once.",
    ),
    "HIP": _term(
        "HIP",
        "HIP",
        "GPU のメモリを用意し、命令を送る、工場の管理者です。",
        "The factory manager: it sets aside GPU memory and sends commands.",
    ),
    "inference": _term(
        "推論",
        "inference",
        "学習ずみのモデルに新しいデータを入れて、答えを出してもらうことです。",
        "Giving a trained model new data and getting its answer.",
        "インファレンス",
    ),
    "training": _term(
        "学習",
        "training",
        "たくさんの例を見せて、モデルの重みを少しずつ直していくことです。",
        "Showing a model many examples and correcting its weights bit by bit.",
        "トレーニング",
        "訓練",
    ),
    "model": _term(
        "モデル",
        "model",
        "計算の順番と、学習で決まった重みの組です。",
        "An order of computations, with the weights that training has set.",
    ),
    "weight": _term(
        "重み",
        "weight",
        "モデルが学習でおぼえた数です。推論では変わりません。",
        "A number that the model has learnt; inference does not change it.",
        "ウェイト",
        "ウエイト",
    ),
    "token": _term(
        "トークン",
        "token",
        "文章を区切った、ひとかたまりの文字です。モデルは番号として読みます。",
        "A piece of text; the model reads it as a number.",
    ),
    "tokenizer": _term(
        "トークナイザー",
        "tokenizer",
        "文章をトークンに切り、番号に変える道具です。",
        "The tool that cuts text into tokens and turns them into numbers.",
        "トークナイザ",
    ),
    "tensor": _term(
        "テンソル",
        "tensor",
        "数をたて、よこ、奥などの方向に並べたものです。",
        "Numbers laid out along several directions: down, across, deep and more.",
        "テンサー",
    ),
    "shape": _term(
        "形",
        "shape",
        "テンソルのそれぞれの方向に、数がいくつ並ぶかです。",
        "How many numbers a tensor has along each of its directions.",
        "シェイプ",
    ),
    "matrix": _term(
        "行列",
        "matrix",
        "数をたてとよこに並べた表です。",
        "A table of numbers in rows and columns.",
        "マトリックス",
        "マトリクス",
    ),
    "matrix_multiplication": _term(
        "行列のかけ算",
        "matrix multiplication",
        "左の表の行と右の表の列を、かけて足すことをくり返します。",
        "Rows of one table meet columns of another: multiply and add, again and again.",
        "行列積",
        "行列の掛け算",
        "行列乗算",
        "行列演算",
    ),
    "convolution": _term(
        "畳み込み",
        "convolution",
        "小さな窓を絵の上ですべらせ、かけて足して模様をさがします。",
        "Sliding a small window over a picture, multiplying and adding, to find patterns.",
        "畳込み",
        "たたみこみ",
        "たたみ込み",
        "コンボリューション",
    ),
    "filter": _term(
        "フィルター",
        "filter",
        "畳み込みですべらせる、小さな窓の数です。",
        "The numbers in the small window that a convolution slides.",
        "フィルタ",
    ),
    "feature_map": _term(
        "特徴マップ",
        "feature map",
        "フィルターが見つけた模様を、場所ごとに表したものです。",
        "Where, and how strongly, a filter found its pattern.",
        "フィーチャーマップ",
        "特徴量マップ",
    ),
    "activation_function": _term(
        "活性化関数",
        "activation function",
        "途中の数を、通すか、おさえるか、曲げる関数です。",
        "A function that lets a number through, holds it back or bends it.",
        "アクティベーション関数",
    ),
    "layer": _term(
        "層",
        "layer",
        "計算のひとまとまりです。モデルはこれを何度も重ねます。",
        "One round of computations; a model stacks many.",
        "レイヤー",
        "レイヤ",
    ),
    "logits": _term(
        "ロジット",
        "logits",
        "次のトークンの候補それぞれにつけた点数です。",
        "The score of each candidate for the next token.",
        "ロジッツ",
    ),
    "softmax": _term(
        "ソフトマックス",
        "softmax",
        "点数を、合わせて 1 になる割合に変えます。",
        "Turns scores into shares that add up to 1.",
    ),
    "temperature": _term(
        "温度",
        "temperature",
        "次のトークンの選び方を、まじめにも気ままにもするつまみです。",
        "The knob that makes the choice of the next token stricter or freer.",
    ),
    "kernel": _term(
        "カーネル", "kernel", "GPU の上で動く、小さなプログラムです。", "A small program that runs on the GPU."
    ),
    "GPU_memory": _term(
        "GPU メモリ",
        "GPU memory",
        "GPU のすぐそばにある、データの置き場所です。",
        "The store of data right beside the GPU.",
        "GPU メモリー",
        "GPUメモリ",
        "ビデオメモリ",
        "VRAM",
    ),
    "device": _term(
        "デバイス",
        "device",
        "計算をする側です。GPU か、そのシミュレーターです。",
        "The side that computes: a GPU, or a simulator of one.",
        "ディバイス",
    ),
    "host": _term(
        "ホスト",
        "host",
        "デバイスに仕事をたのむ側、つまりふつうのコンピューターです。",
        "The side that gives the device its work: the ordinary computer.",
    ),
    "simulator": _term(
        "シミュレーター",
        "simulator",
        "GPU がないときに、同じ仕事を NumPy でするプログラムです。",
        "A program that does the same work on NumPy where there is no GPU.",
        "シミュレータ",
    ),
    "workspace": _term(
        "作業用メモリ",
        "workspace",
        "solver が計算の途中で使う、下書き用の場所です。",
        "Scratch room that a solver needs while it works.",
        "ワークスペース",
    ),
    "stream": _term(
        "ストリーム",
        "stream",
        "命令が順番に並ぶ列です。前から 1 つずつ進みます。",
        "A queue of commands; they run in order.",
    ),
    "event": _term(
        "イベント",
        "event",
        "ストリームに立てる旗です。そこまで終わった時刻がわかります。",
        "A flag in a stream; it tells when the work before it was done.",
    ),
    "synchronize": _term(
        "同期",
        "synchronisation",
        "たのんだ仕事が終わるまで待つことです。",
        "Waiting until the work that was asked for is done.",
        "シンクロナイズ",
    ),
    "timeline": _term(
        "タイムライン",
        "timeline",
        "動いた命令を 1 行ずつ書いた記録です。",
        "The record of what ran, one command a line.",
    ),
    "bandwidth": _term(
        "帯域",
        "bandwidth",
        "1 秒間に運べるデータの量です。",
        "How much data can be moved in one second.",
        "バンド幅",
        "帯域幅",
    ),
    "batch": _term("バッチ", "batch", "いっぺんに計算する入力のまとまりです。", "Inputs that are computed together."),
    "KV_cache": _term(
        "KV キャッシュ",
        "KV cache",
        "前のトークンの計算をとっておき、やり直さないための場所です。",
        "Keeps what was computed for earlier tokens, so that it is not done again.",
        "KVキャッシュ",
    ),
}


def term(key: str) -> Term:
    """A term of the glossary by its key: term("token")."""
    if key not in TERMS:
        raise KeyError(f"no term {key!r}; there are {', '.join(TERMS)}")
    return TERMS[key]


def glossary_table(*keys: str) -> Html:
    """A table of the terms named, or of all."""
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left;white-space:nowrap'>{both(one.name)}</th>"
        f"<td style='text-align:left'>{both(one.plain)}</td></tr>"
        for one in map(term, keys or TERMS)
    )
    plain = "\n".join(
        f"{one.name.ja} / {one.name.en}: {one.plain.ja} {one.plain.en}" for one in map(term, keys or TERMS)
    )
    return Html(f"<table>{rows}</table>", plain)
