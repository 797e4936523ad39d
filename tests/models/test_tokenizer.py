"""Text becomes the token ids that a model was trained on, and comes back whole, also one token at a time.

Oracles: transformers' own reading of the same GGUF, the tokenizers library, SentencePiece, and plain Python versions of
both kinds of BPE, written down from llama.cpp's src/llama-vocab.cpp.
"""

import functools
import io
import itertools
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Library

from factory.errors import ModelError
from factory.models.checkpoint import TokenizerData
from factory.models.gguf_tokenizer import read_tokenizer
from factory.models.tokenizer import BYTE_OF, Tokenizer
from factory.models.weights import load_checkpoint

TEXTS = (
    "The capital of Japan is Tokyo.",
    "日本の首都は東京です。ひらがな、カタカナ、漢字。",
    "emoji 🎉👩‍👩‍👧 flags 🇯🇵 and é, e\u0301, ﬁ, Å, 한국어, العربية, ไทย",
    "1234567890 3.14 1,000,000 ²½ ⅷ ٣ 2026-11-24",
    "def f(x):\n    return x**2  # two\n\n\tif  x:\r\n        pass\n",
    "  two spaces,   three    four ",
    "I'm you're he'd WE'LL don't it's 'quoted'",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|im_end|>text<|im_start|>",
    "<|im_start |> <|not_a_token|> < | <s> </s> <unk> <0x41>",
    "aaaaaaaaaaaaaaaaaaaaaa bbbbbbbbb !!!!!!!!! ~~~~ ____ ----",
    "▁ ▁▁ Ġ Ċ \u3000 \u00a0 \u200b \ufeff \x00\x01\x7f",
    " ",
    "\n",
    "",
)
CORPUS = [text for text in TEXTS for _ in range(20)] + [
    "the cat sat on the mat and then the hat, there and here, that other one",
    "東京都の京都、東の京、日本の本、日の本",
    "12 34 56 78 99 100 in numbers  and  spaces   between",
] * 30


@pytest.fixture(scope="module")
def smollm2():
    """From the user's real cache, so that SmolLM2 is unpacked once for all tests."""
    return load_checkpoint("smollm2", progress=False)


@pytest.fixture(scope="module")
def smollm2_tokenizer(smollm2):
    return Tokenizer(smollm2.tokenizer)


@pytest.fixture(scope="module")
def of_transformers(smollm2):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    path = Path(smollm2.source)
    return transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def transformers_is_no_oracle(text):
    """Its GGUF loader leaves out the cut before and after every digit that llama.cpp and SmolLM2's own file make.

    It shows in "a  1", whose two spaces it makes two tokens, and in digits that are not ASCII.
    """
    spaces = any(a.isspace() and b.isspace() and c.isdigit() for a, b, c in zip(text, text[1:], text[2:], strict=False))
    return spaces or any(unicodedata.category(letter).startswith("N") and not letter.isascii() for letter in text)


@pytest.fixture(scope="module")
def smollm2_plain(smollm2):
    """llama.cpp's rule with SmolLM2's vocabulary."""
    model = json.loads(smollm2.tokenizer.json)["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(merge) for merge in model["merges"]]
    return functools.partial(plain_byte_level, tokens=tokens, merges=merges, cuts=CUTS["smollm"])


@functools.cache
def known_bytes():
    vocabulary = Library.from_str(load_checkpoint("smollm2").tokenizer.json).get_vocab()
    return {byte for letter, byte in BYTE_OF.items() if letter in vocabulary}


def in_its_alphabet(text):
    """SmolLM2 has no token for six control characters, nor for the first byte of Unicode's planes 4 to 11."""
    return set(text.encode()) <= known_bytes()


# SmolLM2


@pytest.mark.parametrize("text", TEXTS)
def test_smollm2_gives_the_ids_that_transformers_gives(smollm2_tokenizer, of_transformers, text):
    ids = smollm2_tokenizer.encode(text)
    if not transformers_is_no_oracle(text):
        assert ids == of_transformers.encode(text, add_special_tokens=False)
    assert smollm2_tokenizer.decode(ids) == of_transformers.decode(ids) == text


ANY = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("aeт日本1 \n.'s<|>")))


@settings(max_examples=300, deadline=None)
@given(text=ANY)
def test_smollm2_agrees_with_transformers_on_any_text_and_gives_it_back(smollm2_tokenizer, of_transformers, text):
    ids = smollm2_tokenizer.encode(text)
    if not transformers_is_no_oracle(text):
        assert ids == of_transformers.encode(text, add_special_tokens=False)
    if in_its_alphabet(text):
        assert smollm2_tokenizer.decode(ids) == text


@settings(max_examples=100, deadline=None)
@given(text=st.one_of(st.sampled_from(TEXTS), ANY, st.text(alphabet="at1²٣ \n日,")))
def test_smollm2_agrees_with_llama_cpps_rule_on_any_text(smollm2_tokenizer, smollm2_plain, text):
    if "<|im_" not in text and "<|endoftext|>" not in text:
        assert smollm2_tokenizer.encode(text) == smollm2_plain(text)


def test_spaces_before_a_digit_are_one_token_as_in_llama_cpp(smollm2_tokenizer):
    assert smollm2_tokenizer.pieces("a  12\n\n3") == ["a", "  ", "1", "2", "\n\n", "3"]


def test_special_tokens_are_read_and_none_is_added(smollm2_tokenizer):
    assert smollm2_tokenizer.encode("<|im_start|>") == [1]
    assert smollm2_tokenizer.encode("<|im_end|>") == [2]
    assert smollm2_tokenizer.encode("") == []
    assert 1 not in smollm2_tokenizer.encode("Hello")
    assert smollm2_tokenizer.stop_ids == (2,)


def test_the_vocabulary_is_as_large_as_the_embedding(smollm2, smollm2_tokenizer):
    assert smollm2_tokenizer.vocabulary_size == smollm2.config.vocabulary == len(smollm2.tensors["embedding"])


MESSAGES = (
    [{"role": "user", "content": "Where is Tokyo?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "東京は?"}],
    [
        {"role": "user", "content": "<b>&amp;"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "  more  \n"},
    ],
)


@pytest.mark.parametrize("messages", MESSAGES)
def test_the_prompt_of_a_chat_is_that_of_transformers(smollm2_tokenizer, of_transformers, messages):
    expected = of_transformers.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert smollm2_tokenizer.chat(messages) == expected


def test_a_question_alone_is_one_message_of_the_user(smollm2_tokenizer):
    assert smollm2_tokenizer.chat("Where is Tokyo?") == smollm2_tokenizer.chat(MESSAGES[0])


# Text that grows


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, 49151), max_size=40))
def test_any_ids_decode_as_in_the_tokenizers_library_whole_and_one_by_one(smollm2, smollm2_tokenizer, ids):
    library = library_of(smollm2.tokenizer.json)
    assert smollm2_tokenizer.decode(ids) == library.decode(ids, skip_special_tokens=False)
    assert "".join(smollm2_tokenizer.decode_stream(ids)) == smollm2_tokenizer.decode(ids)


@functools.cache
def library_of(json_text):
    return Library.from_str(json_text)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\ufffd")).filter(in_its_alphabet))
def test_a_stream_never_shows_a_broken_letter(smollm2_tokenizer, text):
    ids = smollm2_tokenizer.encode(text)
    parts = list(smollm2_tokenizer.decode_stream(iter(ids)))
    assert len(parts) == len(ids)
    assert "".join(parts) == text and "\ufffd" not in "".join(parts)
    for count in range(len(ids)):
        assert text.startswith("".join(parts[:count]))


def test_a_stream_that_ends_inside_a_letter_says_so_at_its_end(smollm2_tokenizer):
    ids = smollm2_tokenizer.encode("🎉")
    assert len(ids) > 2
    assert list(smollm2_tokenizer.decode_stream(ids)) == [""] * (len(ids) - 1) + ["🎉"]
    cut = list(smollm2_tokenizer.decode_stream(ids[:-1]))
    assert cut == [""] * (len(ids) - 1) + ["\ufffd"]
    assert smollm2_tokenizer.decode(ids[:-1]) == "\ufffd"


def test_a_stream_gives_each_piece_before_it_asks_for_the_next_id(smollm2_tokenizer):
    asked = []

    def ids():
        for number in smollm2_tokenizer.encode("one two three"):
            asked.append(number)
            yield number

    stream = smollm2_tokenizer.decode_stream(ids())
    assert (next(stream), len(asked)) == ("one", 1)
    assert (next(stream), len(asked)) == (" two", 2)


def test_an_id_that_is_no_token_is_no_text(smollm2_tokenizer):
    assert smollm2_tokenizer.decode([28, 10**6, -1, 2**70, 28]) == smollm2_tokenizer.decode([28, 28])


# Pieces to look at


def test_pieces_are_the_text_itself_where_letters_are_whole(smollm2_tokenizer):
    text = "<|im_start|>The capital  of Japan\n"
    pieces = smollm2_tokenizer.pieces(text)
    assert "".join(pieces) == text and len(pieces) == len(smollm2_tokenizer.encode(text))
    assert pieces[:3] == ["<|im_start|>", "The", " capital"]


def test_pieces_show_parts_of_a_letter_as_their_bytes(smollm2_tokenizer):
    pieces = smollm2_tokenizer.pieces("日 🎉")
    assert "".join(pieces).replace(" ", "") == "".join(f"<0x{byte:02X}>" for byte in "日🎉".encode())
    assert pieces[-1] == "<0x89>"


# Byte-level BPE of a GGUF


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# llama.cpp, llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_LLAMA3 and _QWEN2
LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS = {
    "default": (GPT2,), "gpt-2": (GPT2,), "smollm": (r"\p{N}", GPT2), "llama-bpe": (LLAMA3,), "qwen2": (QWEN2,)
}  # fmt: skip
CONTROL, USER, BYTE, NORMAL, UNKNOWN = 3, 4, 6, 1, 2


def plain_byte_level(text, tokens, merges, cuts, whole_words=False):
    """Byte-level BPE as llama.cpp does it: cut, then join the best pair again and again."""
    regex = pytest.importorskip("regex")
    pieces = [text]
    for cut in cuts:
        pieces = [part for piece in pieces for part in regex.split(f"({cut})", piece) if part]
    letter = {byte: letter for letter, byte in BYTE_OF.items()}
    rank = {tuple(merge.split(" ")): i for i, merge in enumerate(merges)}
    number = {token: i for i, token in enumerate(tokens)}
    ids = []
    for piece in pieces:
        word = "".join(letter[byte] for byte in piece.encode())
        parts = list(word)
        if whole_words and word in number:
            parts = [word]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: rank.get((parts[i], parts[i + 1]), 10**9))
            if (parts[best], parts[best + 1]) not in rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        ids += [number[part] for part in parts if part in number]
    return ids


@functools.cache
def byte_level_metadata(pre):
    """A small tokenizer, trained with the cuts that `pre` means, as GGUF metadata."""
    cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in CUTS[pre]]
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    model = json.loads(library.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    types = [NORMAL] * len(tokens)
    # A word that no merge leads to, which Llama 3 finds and the others do not.
    tokens += ["ĠzzzWHOLE", "<|im_start|>", "<|日本|>", "<think>"]
    types += [NORMAL, CONTROL, CONTROL, USER]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens) - 3,
        "tokenizer.ggml.eos_token_id": len(tokens) - 2,
        "tokenizer.ggml.eot_token_id": len(tokens) - 1,
    }


@pytest.mark.parametrize("pre", CUTS)
@settings(max_examples=60, deadline=None)
@given(text=st.one_of(st.sampled_from(TEXTS), st.text(), st.text(alphabet="at1 \n'Sé\u0301日,")))
def test_a_gguf_of_byte_level_bpe_gives_the_ids_of_llama_cpps_rule(pre, text):
    metadata = byte_level_metadata(pre)
    tokenizer = Tokenizer(read_tokenizer(metadata, "x.gguf"))
    text = f"{text} zzzWHOLE"
    if pre == "qwen2":  # whose tokenizer.json normalises first
        text = unicodedata.normalize("NFC", text)
    if any(token in text for token in ("<|im_start|>", "<|日本|>", "<think>")):
        return
    merges, tokens = metadata["tokenizer.ggml.merges"], metadata["tokenizer.ggml.tokens"]
    expected = plain_byte_level(text, tokens, merges, CUTS[pre], whole_words=pre == "llama-bpe")
    assert tokenizer.encode(text) == expected
    assert tokenizer.decode(expected) == text


def test_qwen2_normalises_as_transformers_qwen2_does():
    transformers = pytest.importorskip("transformers")
    metadata = byte_level_metadata("qwen2")
    vocabulary = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    theirs = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    ours = Tokenizer(read_tokenizer(metadata, "x.gguf"))
    for text in TEXTS:
        if "<|" not in text:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_control_and_user_tokens_of_a_gguf_are_read_whole_and_named():
    data = read_tokenizer(byte_level_metadata("smollm"), "x.gguf")
    tokenizer = Tokenizer(data)
    last = tokenizer.vocabulary_size - 1
    assert tokenizer.encode("<|im_start|><|日本|><think>") == [last - 2, last - 1, last]
    assert tokenizer.decode([last - 2, last - 1, last]) == "<|im_start|><|日本|><think>"
    assert data.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|日本|>"}
    assert data.stop_ids == (last - 1, last)


# SentencePiece


def plain_sentencepiece(text, tokens, scores, types):
    """SentencePiece BPE as llama.cpp does it: a space in front, then join the pair that makes the best piece."""
    if not text:
        return []
    number = {token: i for i, token in enumerate(tokens)}
    pieces = {token for token, type in zip(tokens, types, strict=True) if type == NORMAL}
    parts = list((" " + text).replace(" ", "▁"))
    while True:
        pairs = [(scores[number[a + b]], -i) for i, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in pieces]
        if not pairs:
            break
        at = -max(pairs)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    ids = []
    for part in parts:
        ids += [number[part]] if part in number else [number[f"<0x{byte:02X}>"] for byte in part.encode()]
    return ids


@functools.cache
def sentencepiece_metadata():
    """A small SentencePiece vocabulary, trained by the tokenizers library, as GGUF metadata."""
    library = Library(models.BPE())
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    letters = list("abcdefghijklmnopqrstuvwxyz▁東京都日本の、")
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, limit_alphabet=len(letters))
    library.train_from_iterator(CORPUS, trainer)
    model = json.loads(library.to_str())["model"]
    trained = sorted(model["vocab"], key=model["vocab"].get)
    merged = [token for token in trained if len(token) > 1]
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = special + merged + [token for token in trained if len(token) == 1]
    scores = [0.0] * len(special) + [-float(i) for i in range(len(tokens) - len(special))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL]
        + [BYTE] * 256
        + [NORMAL] * (len(tokens) - len(special)),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


SPELT = ("<unk>", "<s>", "</s>")


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.sampled_from(TEXTS), st.text(), st.text(alphabet="theacnd 東京日本の🎉")))
def test_a_gguf_of_sentencepiece_gives_the_ids_of_llama_cpps_rule_and_the_text_back(text):
    metadata = sentencepiece_metadata()
    tokenizer = Tokenizer(read_tokenizer(metadata, "x.gguf"))
    if any(token in text for token in SPELT):
        return
    vocabulary = [metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type")]
    expected = plain_sentencepiece(text, *vocabulary)
    ids = tokenizer.encode(text)
    assert ids == expected
    # SentencePiece cannot tell ▁ from a space.
    assert tokenizer.decode(ids) == text.replace("▁", " ")
    assert "".join(tokenizer.decode_stream(ids)) == tokenizer.decode(ids)
    assert tokenizer.decode(ids) == library_of(tokenizer.data.json).decode(ids, skip_special_tokens=False)


def test_sentencepiece_special_tokens_are_read_whole():
    tokenizer = Tokenizer(read_tokenizer(sentencepiece_metadata(), "x.gguf"))
    the = tokenizer.encode("the")
    assert tokenizer.encode("<s>the</s>") == [1, *the, 2]
    assert tokenizer.pieces("<s>the🎉")[0] == "<s>"
    assert tokenizer.pieces("🎉")[-4:] == ["<0xF0>", "<0x9F>", "<0x8E>", "<0x89>"]


def test_sentencepiece_without_a_space_in_front_keeps_the_text_as_it_is():
    metadata = sentencepiece_metadata() | {"tokenizer.ggml.add_space_prefix": False}
    tokenizer = Tokenizer(read_tokenizer(metadata, "x.gguf"))
    assert tokenizer.decode(tokenizer.encode(" the")) == " the"
    assert tokenizer.encode(" the") == Tokenizer(read_tokenizer(sentencepiece_metadata(), "x.gguf")).encode("the")


def test_a_sentencepiece_model_gives_the_ids_of_sentencepiece_itself():
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3), model_writer=model, model_type="bpe", vocab_size=700, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.99,
        split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    numbers = range(theirs.get_piece_size())
    types = [
        UNKNOWN if theirs.is_unknown(i) else CONTROL if theirs.is_control(i) else BYTE if theirs.is_byte(i) else NORMAL
        for i in numbers
    ]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [theirs.id_to_piece(i) for i in numbers],
        "tokenizer.ggml.scores": [theirs.get_score(i) for i in numbers],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": theirs.unk_id(),
    }
    ours = Tokenizer(read_tokenizer(metadata, "x.gguf"))
    for text in TEXTS:
        if not any(token in text for token in SPELT) and "\x00" not in text:
            assert ours.encode(text) == theirs.encode(text), text
            assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))


# tokenizer.json of other makers


def library_json(decoder, post=None):
    library = Library(models.BPE(vocab={"▁": 0, "▁a": 1, "a": 2, "b": 3, "<0xE3>": 4, "<s>": 5}, merges=[("▁", "a")]))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoder
    library.add_special_tokens([AddedToken("<s>", normalized=False)])
    if post:
        library.post_processor = post
    return library.to_str()


LLAMA2 = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)


@pytest.mark.parametrize("decoder", [LLAMA2, decoders.Metaspace(), decoders.Metaspace(prepend_scheme="never")])
def test_decoders_of_sentencepiece_kind_decode_as_the_tokenizers_library(decoder):
    text = library_json(decoder)
    tokenizer = Tokenizer(TokenizerData(text))
    for ids in ([1, 3], [3, 1, 0, 1], [5, 1, 3], [2, 1, 1]):
        assert tokenizer.decode(ids) == library_of(text).decode(ids, skip_special_tokens=False)


def test_a_post_processor_that_adds_tokens_adds_none_here():
    post = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 5)])
    text = library_json(LLAMA2, post)
    assert library_of(text).encode("a").ids == [5, 1]
    assert Tokenizer(TokenizerData(text)).encode("a") == [1]


def test_a_tokenizer_that_is_broken_or_of_another_kind_is_refused():
    for text in ("", "{}", "not json", '{"model": {"type": "BPE"}}'):
        with pytest.raises(ModelError, match="here") as caught:
            Tokenizer(TokenizerData(text, source="here"))
        assert caught.value.key == "not_format"
    with pytest.raises(ModelError, match="WordPiece") as caught:
        Tokenizer(TokenizerData(library_json(decoders.WordPiece()), source="here"))
    assert caught.value.key == "feature"


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer.ggml.tokens": None},
        {"tokenizer.ggml.tokens": [1, 2]},
        {"tokenizer.ggml.token_type": [1]},
        {"tokenizer.ggml.merges": ["one"]},
        {"tokenizer.ggml.merges": ["not there"]},
        {"tokenizer.ggml.eos_token_id": 10**6},
        {"tokenizer.ggml.eos_token_id": "two"},
    ],
)
def test_broken_tokenizer_metadata_is_refused(change):
    with pytest.raises(ModelError, match=r"x\.gguf") as caught:
        read_tokenizer(byte_level_metadata("smollm") | change, "x.gguf")
    assert caught.value.key == "not_format"


# Chat templates

TEMPLATES = {
    "blocks leave no lines": "{% for m in messages %}\n    {% if m.role == 'user' %}\nQ: {{ m.content }}\n    {% endif %}\n{% endfor %}A:",
    "special tokens": "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'] | trim }} [/INST]{{ eos_token }}{% endfor %}",
    "no tools": "{% if tools is not none %}TOOLS{% endif %}{% if documents %}DOCS{% endif %}{{ messages[-1]['content'] }}",
    "loop controls": "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "json": "{{ messages[0] | tojson }}{{ messages[0] | tojson(indent=2) }}",
    "date": "{{ strftime_now('%Y') }}",
    "generation": "{% if add_generation_prompt %}go{% endif %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "slices": "{% set rest = messages[1:] %}{{ rest | length }}{{ messages[0]['content'].split()[0].strip() }}",
}


def with_template(template):
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    return Tokenizer(TokenizerData(library_json(LLAMA2), template, special, (), "model.gguf"))


@pytest.mark.parametrize("messages", MESSAGES)
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_filled_in_as_transformers_does(name, messages):
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    (expected,), _ = utils.render_jinja_template(
        [messages], chat_template=TEMPLATES[name], add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert with_template(TEMPLATES[name]).chat(messages) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{% for m in messages %}",
        "{{ nothing.at.all }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages.clear() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 1 / 0 }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_refused(template):
    # jinja prints nothing for some of what it forbids, and raises for the rest.
    try:
        assert with_template(template).chat("hello") == ""
    except ModelError as error:
        assert error.key == "bad_template" and "model.gguf" in str(error)


def test_a_templates_own_words_are_passed_on():
    with pytest.raises(ModelError, match="roles must alternate"):
        with_template("{{ raise_exception('roles must alternate') }}").chat("hello")


def test_a_model_without_a_template_says_so():
    with pytest.raises(ModelError, match=r"model\.gguf") as caught:
        with_template(None).chat("hello")
    assert caught.value.key == "template"
