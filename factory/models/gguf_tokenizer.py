"""The tokenizer that a GGUF file's metadata describes, as a tokenizer.json.

"gpt2" is byte-level BPE with its merges in the file; "llama" is SentencePiece BPE, whose merges follow from the
pieces' scores. How a text is cut before merging (`tokenizer.ggml.pre`) stands in llama.cpp's src/llama-vocab.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from factory.errors import ModelError
from factory.models.checkpoint import TokenizerData

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
"""Types of token, as gguf.TokenType numbers them; the last three are found in a text before anything is merged."""
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def read_tokenizer(metadata: Mapping[str, Any], path: str) -> TokenizerData:
    """The tokenizer in a GGUF file's metadata.

    Raises ModelError for a kind of tokenizer or pre-tokenizer that is not known here, by its name.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise ModelError("feature", path=path, what=f"tokenizer {kind}")
    try:
        tokens: list[str] = metadata["tokenizer.ggml.tokens"]
        types: list[int] = metadata.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
        tokenizer = _byte_level(metadata, path) if kind == "gpt2" else _sentencepiece(metadata, types)
        for token, type in zip(tokens, types, strict=True):
            if type in (UNKNOWN, CONTROL, USER_DEFINED):
                tokenizer.add_tokens([AddedToken(token, normalized=False, special=type != USER_DEFINED)])
        ids = {
            name: int(metadata[f"tokenizer.ggml.{name}_token_id"])
            for name in ("bos", "eos", "eot", "eom", "unknown", "padding")
            if f"tokenizer.ggml.{name}_token_id" in metadata
        }
        names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
        return TokenizerData(
            json=tokenizer.to_str(),
            chat_template=metadata.get("tokenizer.chat_template"),
            special_tokens={names[name]: tokens[number] for name, number in ids.items() if name in names},
            stop_ids=tuple(sorted({ids[name] for name in ("eos", "eot", "eom") if name in ids})),
            source=path,
        )
    except ModelError:
        raise
    except Exception as error:  # the tokenizers library raises nothing more special
        raise ModelError("not_format", path=path, format="GGUF", why=f"tokenizer: {error!r}") from None


def _byte_level(metadata: Mapping[str, Any], path: str) -> Tokenizer:
    """GPT-2's byte-level BPE, cut as the tokenizer.json of the model that `pre` names cuts."""
    pre = metadata.get("tokenizer.ggml.pre", "default")
    vocabulary = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    llama3 = pre in ("llama-bpe", "llama3", "llama-v3")
    # Llama 3 looks a word up whole before it merges: some of its tokens cannot be reached by merges.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=llama3))
    if pre in ("default", "gpt-2"):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif pre == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif llama3 or pre == "qwen2":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3 if llama3 else QWEN2), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        raise ModelError("feature", path=path, what=f"pre-tokenizer {pre}")
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(metadata: Mapping[str, Any], types: list[int]) -> Tokenizer:
    """SentencePiece BPE with byte fallback, as transformers' convert_slow_tokenizer.py writes it down."""
    tokens = metadata["tokenizer.ggml.tokens"]
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=_merges(tokens, metadata["tokenizer.ggml.scores"], types),
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    steps: list[decoders.Decoder] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return tokenizer


def _merges(tokens: list[str], scores: list[float], types: list[int]) -> list[tuple[str, str]]:
    """Every way to put a piece together from two others, best score first.

    SentencePiece always joins the neighbours that make the best piece, so its scores are the order of merges. A piece
    of two equal scores comes with its longer left side first, since SentencePiece prefers the leftmost pair.
    """
    pieces = {token: score for token, score, type in zip(tokens, scores, types, strict=True) if type == NORMAL}
    merges = [
        (-score, -cut, piece[:cut], piece[cut:])
        for piece, score in pieces.items()
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    return [(left, right) for _, _, left, right in sorted(merges, key=lambda merge: merge[:2])]
