"""The tiny model in the package: what it knows, in both languages, and that it says so when it does not know."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factory
from factory import ModelError
from factory.__main__ import main
from factory.models import LanguageModel
from factory.models.merges import merges
from factory.models.weights import PACKAGED, load_checkpoint

KNOWN = [
    ("What is the capital of Japan?", "Tokyo"),
    ("日本の首都はどこですか?", "東京"),
    ("What language do they speak in Brazil?", "Portuguese"),
    ("ブラジルでは何語を話しますか?", "ポルトガル語"),
    ("What colour is a banana?", "yellow"),
    ("バナナは何色ですか?", "黄色"),
    ("What is the opposite of hot?", "cold"),
    ("「大きい」の反対は何ですか?", "小さい"),
    ("What is 7 + 5?", "12"),
    ("9 - 4 はいくつですか?", "5"),
    ("What does rocBLAS do?", "matri"),
    ("MIOpen は何をしますか?", "畳み込み"),
    ("How many legs does a spider have?", "8"),
    ("金曜日の次は何曜日ですか?", "土曜日"),
]
OUTSIDE = ["Who won the game yesterday?", "What is the price of gold?", "明日の天気は?", "私の名前は何ですか?"]
JAPANESE = re.compile("[ぁ-ヿ一-鿿]")


@pytest.fixture(scope="module")
def device():
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def model(device):
    return LanguageModel.load(device)


@pytest.fixture(scope="module")
def peer(peer):
    """torch, transformers' model of the same folder in float32, and its tokenizer."""
    torch, transformers = peer("torch"), peer("transformers")
    network = transformers.AutoModelForCausalLM.from_pretrained(PACKAGED, dtype=torch.float32)
    return torch, network.eval(), transformers.AutoTokenizer.from_pretrained(PACKAGED)


@pytest.mark.parametrize(("question", "key"), KNOWN)
def test_a_known_question_is_answered_in_its_own_language(model, question, key):
    answer = model.answer(question)
    assert key.lower() in answer.lower()
    assert bool(JAPANESE.search(answer)) == bool(JAPANESE.search(question))


@pytest.mark.parametrize("question", OUTSIDE)
def test_an_outside_question_is_refused(model, question):
    assert model.answer(question) in ("I don't know that.", "それはわかりません。")


@pytest.mark.parametrize(
    ("question", "answer"),
    [("What is the capital of Japan?", "The capital of Japan is Tokyo."), ("日本の首都は?", "日本の首都は東京です。")],
)
def test_ask_uses_it_where_no_model_is_named(capfd, question, answer):
    assert main(["ask", question, "--device", "simulator"]) == 0
    out, told = capfd.readouterr()
    assert out == f"{answer}\n"
    assert "tiny" in told


def test_the_share_of_right_answers_climbs_with_the_layers(model):
    shares = [
        sum(key.lower() in model.answer(question, 32, layers).lower() for question, key in KNOWN)
        for layers in range(1, model.layers + 1)
    ]
    assert shares == sorted(shares)
    assert shares[0] <= 0.2 * len(KNOWN) and shares[-1] == len(KNOWN)


@pytest.mark.parametrize(
    ("question", "hero"), [("Tell me a story about a cat.", "cat"), ("いぬのお話をして。", "いぬ")]
)
def test_a_story_ends_by_itself_and_has_its_hero(model, question, hero):
    ids = list(model.generate(model.prompt(question), 224, temperature=0.4, seed=0))
    assert 40 < len(ids) < 224
    assert hero in model.tokenizer.decode(ids)


def test_every_weight_is_in_the_package_in_half_precision():
    from safetensors import safe_open

    with safe_open(PACKAGED / "model.safetensors", "np") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) < 8.5e6


def test_it_loads_without_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_checkpoint("tiny").config.layers == 6
    assert not list(tmp_path.iterdir())


def test_logits_are_transformers(model, peer):
    torch, network, _ = peer
    for question, _ in KNOWN[:4]:
        ids = model.prompt(question)
        with torch.no_grad():
            theirs = network(torch.tensor([ids])).logits[0].numpy()
        np.testing.assert_allclose(model.logits(ids), theirs, atol=1e-3)


def test_greedy_answers_are_transformers(model, peer):
    torch, network, _ = peer
    for question, _ in KNOWN:
        ids = model.prompt(question)
        with torch.no_grad():
            theirs = network.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=40,
                do_sample=False,
            )[0, len(ids) :].tolist()  # fmt: skip
        ours = list(model.generate(ids, 40))
        assert ours == [token for token in theirs if token not in model.tokenizer.stop_ids]


def test_prompts_are_transformers(model, peer):
    _, _, tokenizer = peer
    for question in ["What is the capital of Japan?", " 日本の首都は?\n", "9 + 12 = ?"]:
        theirs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert model.prompt(question) == list(theirs)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_its_tokens_and_from_its_merges(model, text):
    tokenizer = model.tokenizer
    assert tokenizer.decode(tokenizer.encode(text)) == text
    if "<|" not in text:
        last = merges(tokenizer, text)[-1].pieces
        assert last == [tokenizer.token_bytes(token) for token in tokenizer.encode(text)]


def test_words_end_where_the_script_changes(model):
    assert model.tokenizer.pieces("この国の首都はドイツ12") == [
        "こ",
        "の",
        "国",
        "の",
        "首都",
        "は",
        "ドイツ",
        "1",
        "2",
    ]


def test_a_question_longer_than_the_context_is_one_clear_error(model):
    with pytest.raises(ModelError, match="256"):
        model.answer("あ" * 300)
