"""The tiny model's training: a run that is cut off and resumed is the same run, and its folder opens on a Device."""

from __future__ import annotations

import json

import pytest

import factory
from factory.models import LanguageModel
from training import language

pytest.importorskip("torch", reason="peers: torch is not installed")
pytest.importorskip("transformers", reason="peers: transformers is not installed")


def train(folder, *options: str) -> bytes:
    assert language.main(["--smoke", "--out", str(folder), "--kept", str(folder / "state.pt"), *options]) == 0
    return (folder / "model.safetensors").read_bytes()


def test_a_smoke_run_makes_a_model_that_a_device_opens_and_learns_what_it_sees(tmp_path):
    train(tmp_path)
    with factory.open("simulator") as device:
        model = LanguageModel.load(device, str(tmp_path), progress=False)
        prompt = model.prompt("What is the capital of Japan?")
        assert len(list(model.generate(prompt, 8, stop=()))) == 8
        assert model.tokenizer.decode(prompt) == "<|question|>What is the capital of Japan?<|answer|>"
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"


def test_a_run_that_was_cut_off_and_resumed_makes_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole")
    train(tmp_path / "cut", "--minutes", "0")
    assert train(tmp_path / "cut", "--resume") == whole
