"""LanguageModel: the same numbers as transformers, through a Device and nothing else, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import factory
from factory import ModelError, ShapeError
from factory.models import LanguageModel

QUESTIONS = ["What is the capital of France?", "Write a haiku about rivers.", "List three colours."]


@pytest.fixture(scope="module")
def device():
    with factory.open("simulator") as opened:
        yield opened


@pytest.fixture(scope="module")
def model(device):
    try:
        return LanguageModel.load(device, "smollm2", progress=False)
    except ModelError as error:
        pytest.skip(f"models: {error}")


@pytest.fixture(scope="module")
def peer(model):
    """transformers' own reading of the same GGUF file, so that nothing of ours stands on both sides."""
    torch = pytest.importorskip("torch", reason="peers: torch is not installed")
    transformers = pytest.importorskip("transformers", reason="peers: transformers is not installed")
    pytest.importorskip("accelerate", reason="peers: accelerate is not installed")
    file = Path(model.source)
    network = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    return torch, network.eval(), transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


def test_chat_prompts_have_transformers_ids(model, peer):
    _, _, tokenizer = peer
    for question in QUESTIONS:
        theirs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert model.prompt(question) == list(theirs)


@pytest.mark.parametrize("question", QUESTIONS)
def test_seventy_greedy_tokens_are_transformers(model, peer, question):
    torch, network, _ = peer
    ids = model.prompt(question)
    with torch.no_grad():
        theirs = network.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=70,
            do_sample=False, eos_token_id=None, pad_token_id=2,
        )[0].tolist()  # fmt: skip
    assert ids + list(model.generate(ids, 70, stop=())) == theirs


def test_full_sequence_logits_are_transformers_within_1e_3(model, peer):
    torch, network, _ = peer
    ids = model.prompt("Explain in two sentences how a car factory works.")
    with torch.no_grad():
        theirs = network(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(model.logits(ids) - theirs).max() < 1e-3


def test_cached_decode_is_uncached_within_1e_4(model, monkeypatch):
    seen = []
    step = LanguageModel._step
    monkeypatch.setattr(LanguageModel, "_step", lambda *args: seen.append(step(*args)) or seen[-1])
    ids = model.prompt("Count to five.")
    made = list(model.generate(ids, 12, stop=()))
    whole = model.logits(ids + made)
    for offset, logits in enumerate(seen):
        assert np.abs(logits - whole[len(ids) + offset]).max() < 1e-4


def test_timeline_adds_up_to_the_models_formula(device, model):
    config, ids = model.config, model.prompt("Hi")
    device.timeline.clear()
    model.logits(ids)
    t, layers = len(ids), config.layers
    width, heads, keys = config.width, config.heads * config.head_width, config.kv_heads * config.head_width
    matrices = width * (heads + 2 * keys) + heads * width + 3 * width * config.feed_forward
    products = 2 * t * (layers * matrices + width * config.vocabulary) + layers * 2 * (2 * t * t * heads)
    assert device.timeline.by_station()["rocBLAS"].operations == products
    assert {command.layer for command in device.timeline if command.step == 2} == set(range(1, layers + 1))
    assert {command.step for command in device.timeline} == {1, 2, 3, 5}


def test_decode_in_steady_state_asks_hip_for_nothing(device, model):
    ids = model.prompt("Tell me a story.")
    tokens = model.generate(ids, 20, stop=())
    for _ in range(3):
        next(tokens)
    device.timeline.clear()
    used = device.memory.in_use
    for _ in range(10):
        next(tokens)
    calls = [command.call for command in device.timeline]
    assert calls.count("hipMalloc") == calls.count("hipFree") == 0
    assert calls.count("hipMemcpy") == 10  # the logits of each token, and nothing else, come back
    assert device.memory.in_use == used
    tokens.close()


def test_a_hundred_questions_leave_memory_as_it_was(device, model):
    model.answer("Warm up.", max_tokens=2, layers=2)
    used, reserved = device.memory.in_use, device.memory.reserved
    for number in range(100):
        model.answer(f"What is {number} plus one?", max_tokens=3, layers=2)
    assert device.memory.in_use == used
    assert device.memory.reserved <= reserved + (8 << 20)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_nothing(device, model, failure):
    used = device.memory.in_use

    def fail(index, _hidden):
        if index == 3:
            raise failure

    with pytest.raises(failure) as kept:  # the traceback, as Jupyter keeps it, holds the frames
        list(model.generate(model.prompt("Hello"), 4, on_layer=fail))
    assert device.memory.in_use == used
    assert kept.value is not None


def test_an_abandoned_answer_leaves_nothing(device, model):
    used = device.memory.in_use
    tokens = model.generate(model.prompt("Hello"), 50)
    next(tokens)
    assert device.memory.in_use > used
    del tokens
    assert device.memory.in_use == used


def test_out_of_memory_in_the_middle_leaves_nothing(device, model):
    used, limit = device.memory.in_use, device.memory.limit
    device.memory.trim()
    device.memory.limit = device.memory.reserved + (1 << 20)
    try:
        with pytest.raises(factory.OutOfDeviceMemory):
            model.answer("Hello")
    finally:
        device.memory.limit = limit
    assert device.memory.in_use == used
    assert "Paris" in model.answer("What is the capital of France?")


def test_first_layers_alone_run(device, model):
    ids = model.prompt("Hi")
    states = []
    model.logits(ids, layers=4, on_layer=lambda i, hidden: states.append((i, hidden.numpy())))
    assert [i for i, _ in states] == [0, 1, 2, 3]
    four = model.logits(ids, layers=4)
    again = model.readout(device.array(states[3][1]))
    np.testing.assert_array_equal(four, again)
    assert np.abs(four - model.logits(ids)).max() > 1


def test_same_seed_same_words_other_seed_other_words(model):
    ids = model.prompt("Tell me something.")
    one, two, three = (list(model.generate(ids, 12, temperature=1.0, seed=seed, stop=())) for seed in (1, 1, 2))
    assert one == two != three


def test_stop_tokens_end_and_can_be_turned_off(model):
    ids = model.prompt("What is the capital of France?")
    short = list(model.generate(ids, 40))
    assert 0 < len(short) < 40
    assert list(model.generate(ids, 40, stop=()))[: len(short)] == short
    assert len(list(model.generate(ids, 40, stop=()))) == 40
    assert list(model.generate(ids, 40, stop=[short[1]])) == short[:1]


def test_the_context_is_a_limit(device):
    model = LanguageModel(device, _random_checkpoint(context=16))
    assert len(list(model.generate([1] * 10, 100, stop=()))) == 7  # 6 more fit, and the 7th is read from the last
    assert model.logits([1] * 16).shape == (16, 50)
    with pytest.raises(ModelError, match="17 tokens"):
        model.generate([1] * 17)
    model.free()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: m.answer("   "), ModelError, "empty"),
        (lambda m: m.generate([]), ModelError, "empty"),
        (lambda m: m.logits([]), ModelError, "empty"),
        (lambda m: m.logits([-1]), ShapeError, "-1"),
        (lambda m: m.logits([10**9]), ShapeError, "49151"),
        (lambda m: m.logits([1.5]), ShapeError, "int"),
        (lambda m: m.logits(None), ShapeError, "None"),
        (lambda m: m.generate([1], layers=0), ModelError, "1 to 30"),
        (lambda m: m.generate([1], layers=31), ModelError, "1 to 30"),
        (lambda m: m.generate([1], max_tokens=0), ShapeError, "max_tokens"),
        (lambda m: m.generate([1], temperature=-1.0), ShapeError, "temperature"),
        (lambda m: m.generate([1], temperature=float("nan")), ShapeError, "temperature"),
        (lambda m: m.generate([1], top_k=0), ShapeError, "top_k"),
        (lambda m: m.generate([1], top_p=1.5), ShapeError, "top_p"),
    ],
)
def test_bad_requests_get_one_clear_error_and_leave_nothing(device, model, call, error, words):
    used = device.memory.in_use
    with pytest.raises(error, match=words):
        call(model)
    assert device.memory.in_use == used


def test_logits_that_are_no_numbers_are_named(device):
    checkpoint = _random_checkpoint()
    checkpoint.tensors["norm"][:] = np.nan
    model = LanguageModel(device, checkpoint)
    with pytest.raises(ModelError, match="NaN"):
        list(model.generate([1, 2], 2))
    model.free()


def test_a_delayed_device_gives_the_same_tokens():
    checkpoint = _random_checkpoint()
    tokens = []
    for delay in (False, True):
        with factory.open("simulator", delay=delay) as opened:
            tokens.append(list(LanguageModel(opened, checkpoint).generate([3, 1, 4], 12, stop=())))
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_key_value_heads": 4, "tie_word_embeddings": False},
        {"num_key_value_heads": 1, "head_dim": 24},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 16}},
    ],
    ids=["grouped", "untied", "one key head, wide heads", "linear RoPE", "llama3 RoPE"],
)  # fmt: skip
def test_any_llama_shape_gives_transformers_logits(device, tmp_path, options):
    torch = pytest.importorskip("torch", reason="peers: torch is not installed")
    transformers = pytest.importorskip("transformers", reason="peers: transformers is not installed")
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
        "max_position_embeddings": 64, "initializer_range": 0.3,
    }  # fmt: skip
    network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**sizes, **options})).eval()
    network.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(_TOKENIZER)
    ids = np.random.default_rng(1).integers(0, 60, 40).tolist()
    with torch.no_grad():
        theirs = network(torch.tensor([ids])).logits[0].numpy()
    model = LanguageModel.load(device, str(tmp_path), progress=False)
    np.testing.assert_allclose(model.logits(ids), theirs, atol=1e-4 * np.abs(theirs).max())
    model.free()


_TOKENIZER = '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'


def _random_checkpoint(context: int = 64):
    """A small untrained model, to test what does not depend on what it says."""
    from factory.models.checkpoint import Checkpoint, LlamaConfig, TokenizerData, rope_frequencies

    random = np.random.default_rng(0)
    config = LlamaConfig(
        vocabulary=50, width=16, layers=2, heads=4, kv_heads=2, head_width=4, feed_forward=24, context=context,
        epsilon=1e-5, rope_theta=1e4, rope_frequencies=tuple(rope_frequencies(1e4, 4)), tied=True,
    )  # fmt: skip
    tensors = {name: random.standard_normal(shape, np.float32) for name, shape in config.shapes().items()}
    return Checkpoint(config, tensors, TokenizerData(_TOKENIZER), "random")
