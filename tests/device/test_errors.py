"""Errors: each in both languages with the same fields, of its kind, and never the end of the interpreter."""

from __future__ import annotations

import copy
import gc
import pickle
import string
import subprocess
import sys

import numpy as np
import pytest
from oracle import numbers

import factory
from factory import FactoryError, Text, errors, language

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FactoryError)]
SENTENCES = [(kind, key) for kind in KINDS for key in kind.sentences]
FORMATTER = string.Formatter()


def fields(sentence):
    """The fields of a sentence with how they are printed, sorted."""
    return sorted({(name, spec) for _, name, spec, _ in FORMATTER.parse(sentence) if name is not None})


def example(kind, key):
    """An error with plausible fields."""
    return kind(key, **{name: 7 if spec else f"<{name}>" for name, spec in fields(kind.sentences[key].en)})


def test_the_kinds_are_those_of_the_contract():
    assert {kind.__name__ for kind in KINDS} == {
        "FactoryError", "OutOfDeviceMemory", "DoubleFree", "UseAfterFree", "InvalidPointer", "ShapeError", "Unsupported",
        "ModelError", "LibraryError",
    }  # fmt: skip
    assert issubclass(errors.OutOfDeviceMemory, MemoryError) and issubclass(errors.ShapeError, ValueError)
    assert all(issubclass(kind, FactoryError) and getattr(factory, kind.__name__) is kind for kind in KINDS)


@pytest.mark.parametrize(("kind", "key"), SENTENCES, ids=lambda value: getattr(value, "__name__", value))
def test_every_sentence_stands_in_both_languages_with_the_same_fields(kind, key):
    sentence = kind.sentences[key]
    assert isinstance(sentence, Text) and fields(sentence.ja) == fields(sentence.en)
    assert not sentence.ja.isascii() and sentence.en.isascii()
    assert any("぀" <= letter <= "ヿ" for letter in sentence.ja)  # kana
    assert sentence.ja.strip() == sentence.ja and sentence.en.strip() == sentence.en
    assert sentence.en.endswith((".", "}")) and sentence.ja.endswith(("。", "}"))
    assert "  " not in sentence.en


@pytest.mark.parametrize(("kind", "key"), SENTENCES, ids=lambda value: getattr(value, "__name__", value))
def test_every_error_is_printed_pickled_and_copied(kind, key):
    error = example(kind, key)
    assert isinstance(error, FactoryError) and "{" not in str(error) and str(error) == error.text.en
    for name, value in error.fields.items():
        assert getattr(error, name) == value
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind and (again.key, again.fields, again.text) == (key, error.fields, error.text)


def test_the_text_follows_the_language_each_time_it_is_printed():
    error = errors.ShapeError("size", call="array", name="n", got=0)
    assert str(error) == error.text.en
    language.use("ja")
    assert str(error) == error.text.ja
    language.use("both")
    assert error.text.ja in str(error) and error.text.en in str(error)


def test_a_text_inside_a_sentence_follows_too():
    error = errors.Unsupported("solution", solver="S", reason=Text("大きすぎます。", "It is too large."))
    assert "大きすぎます" in error.text.ja and "too large" not in error.text.ja and "too large" in error.text.en


def test_a_field_that_is_not_there_is_an_attribute_error():
    error = errors.ShapeError("size", call="array", name="n", got=0)
    with pytest.raises(AttributeError):
        _ = error.nothing
    assert not hasattr(error, "asked") and error.got == 0
    with pytest.raises(KeyError):
        errors.ShapeError("no such sentence")


def test_braces_in_what_a_learner_wrote_do_no_harm():
    error = errors.Unsupported("mode", call="activate", got=repr("{0.__class__}"), known="{x}")
    assert "{0.__class__}" in str(error) and "{x}" in str(error)


def test_an_error_names_what_was_wrong_with_both_shapes(device):
    a, b = device.array(numbers((2, 3)), "a"), device.array(numbers((4, 5)), "b")
    for call in (lambda: device.gemm(a, b), lambda: device.add(a, b), lambda: a.write(numbers((4, 5)))):
        with pytest.raises(factory.ShapeError) as caught:
            call()
        for text in caught.value.text:
            assert "(2, 3)" in text and "(4, 5)" in text


def test_one_mistake_shows_one_error(device):
    """No `During handling of the above exception, another exception occurred` for a learner to puzzle over."""
    x = device.array(numbers((2, 3)))
    device.memory.limit = 4096
    for call in (
        lambda: device.empty(10**6), lambda: device.empty("x"), lambda: device.empty(2, "text"), lambda: x["a"],
        lambda: x.reshape(None), lambda: x.transpose("ab"), lambda: device.pool(x, "max", None), lambda: device.gemm(x, x),
        lambda: device.convolve(x, x, pad=1), lambda: device.gemm(x, x, alpha="1", transpose_b=True),
        lambda: device.hip.malloc(2**70), lambda: factory.open("simulator", memory="8 GB"),
        lambda: factory.open("simulator", gpu="Radeon"), lambda: device.pad(x.reshape(1, 1, 2, 3), "abcd"),
    ):  # fmt: skip
        with pytest.raises(FactoryError) as caught:
            call()
        assert caught.value.__context__ is None or caught.value.__suppress_context__, call


def mistakes(device):
    """What a learner may type, and far worse."""
    x, y = device.array(numbers((2, 3)), "x"), device.array(numbers((3, 4)), "y")
    gone, z = device.array(numbers((2, 3)), "gone"), device.empty((2, 4), name="z")
    gone.free()
    nan, hip = float("nan"), device.hip
    yield from (
        lambda: device.gemm(x, None), lambda: device.gemm(None, x), lambda: device.gemm("x", y),
        lambda: device.gemm(x, y, out="z"), lambda: device.gemm(x, y, out=np.empty((2, 4))),
        lambda: device.gemm(x, y, alpha=nan), lambda: device.gemm(x, y, beta=nan, out=z),
        lambda: device.gemm(gone, y), lambda: device.gemm(x, y, out=gone), lambda: device.gemm(y, x),
        lambda: device.array(np.empty((2, 0), np.float32)), lambda: device.array(np.array(["a"])),
        lambda: device.array(np.zeros(3)), lambda: device.empty(-1), lambda: device.empty((2, -3)),
        lambda: device.empty(0), lambda: device.empty(True), lambda: device.empty(nan), lambda: device.empty(10**30),
        lambda: device.empty(3, "float128"), lambda: device.empty(3, "float64"), lambda: device.activate(x, "RELU"),
        lambda: device.activate(x, "relu", alpha=nan), lambda: device.activate(None, "relu"),
        lambda: device.softmax(numbers((2, 2))), lambda: device.pool(x, "max", (2, 2)),
        lambda: device.pool(x, "median", (2, 2)), lambda: device.batch_norm(x, x, x, x, x, 1e-5),
        lambda: device.add(x, 1), lambda: device.add(x, y), lambda: device.multiply(x, gone),
        lambda: device.rms_norm(x, y, 1e-5), lambda: device.rms_norm(x, x[0], nan), lambda: device.silu_gate(x),
        lambda: device.gather(x, y), lambda: device.causal_softmax(x, 1.0), lambda: device.copy(None),
        lambda: device.copy(gone), lambda: device.pad(x, (1, 1, 1, 1)), lambda: device.find(None),
        lambda: device.convolve(x, y), lambda: device.convolve(x, None), lambda: device.write(x, np.zeros((2, 3))),
        lambda: device.write(x, None), lambda: device.read(None), lambda: device.read(gone), lambda: x[5],
        lambda: x[None], lambda: x.reshape(7), lambda: x.transpose(0, 0), gone.numpy, gone.free,
        lambda: hip.free(0), lambda: hip.free(-1), lambda: hip.free(None), lambda: hip.free(x.pointer),
        lambda: hip.free(x.pointer + 4), lambda: hip.malloc(0), lambda: hip.malloc(-1), lambda: hip.malloc(nan),
        lambda: hip.memset(x.pointer, 0, 10**9), lambda: hip.memset(0, 0, 4), lambda: hip.memset(x.pointer, 999, 4),
        lambda: hip.memcpy(x.pointer, y.pointer, 10**6), lambda: hip.memcpy(0, 1, 8), lambda: hip.memcpy(None, None, 8),
        lambda: hip.memcpy(np.empty(2), x.pointer, 24), lambda: hip.memcpy(x.pointer, np.empty(1), 24),
        lambda: hip.memcpy(x.pointer + 20, np.empty(9), 8), lambda: hip.stream_synchronize("stream"),
        lambda: setattr(device.memory, "limit", -1), lambda: setattr(device.memory, "limit", nan),
    )  # fmt: skip


def test_every_mistake_is_one_typed_error_in_both_languages_and_leaks_nothing(device):
    calls = list(mistakes(device))
    gc.collect()
    in_use = device.memory.in_use
    for number, call in enumerate(calls):
        with pytest.raises(FactoryError) as caught:
            call()
        assert caught.value.text.en.isascii() and not caught.value.text.ja.isascii(), number
        assert len(str(caught.value)) > 20
        assert device.memory.in_use == in_use, number  # although the traceback, as in a notebook, is still held
    assert len(calls) > 70
    x = device.array(numbers((3, 3)))
    assert np.allclose(device.gemm(x, x).numpy(), numbers((3, 3)) @ numbers((3, 3)), atol=1e-5)


def test_ids_outside_a_table_are_an_error_and_not_a_crash(device):
    table = device.array(numbers((3, 4)))
    for wrong in (3, -1, 2**31 - 1, -(2**31)):
        with pytest.raises(factory.ShapeError):
            device.gather(table, device.array(np.array([0, wrong], np.int32))).numpy()
    assert np.array_equal(table.numpy(), numbers((3, 4)))


def test_an_interpreter_that_ends_with_an_open_device_ends_quietly():
    program = """
import numpy as np, factory
device = factory.open("simulator", delay=True)
x = device.array(np.ones((4, 4), np.float32))
y = device.gemm(x, x)
device.hip.malloc(100)
view = y[1:]
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
