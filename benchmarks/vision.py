"""EfficientNet-Lite0 against torch (eager, batch norms folded) and onnxruntime, on one thread and on two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from threadpoolctl import threadpool_limits

import factory
from benchmarks.race import Row, best, faster, race
from factory.models import PHOTOS, ImageClassifier
from factory.models.vision import _same_padding


def rows() -> Iterator[Row]:
    """One photo through the network, by us and by each peer."""
    with factory.open("simulator") as device:
        classifier = ImageClassifier.load(device)
        x = classifier.prepare(PHOTOS["cat"])
        for threads in (1, 2):
            runners: dict[str, Callable[[], object]] = {"ours": lambda: classifier.logits(x)}
            for name, make in (("torch", _torch), ("onnxruntime", _onnx)):
                try:
                    runners[name] = make(classifier, x, threads)
                except ImportError:
                    continue
            with threadpool_limits(threads, "blas"):
                seconds = race(runners, rounds=15)
            for name in runners:
                if name != "ours":
                    aim = ">= 0.8" if (name, threads) == ("torch", 1) else ""
                    what = f"EfficientNet-Lite0 against {name}, {threads} thread{'s' * (threads > 1)}"
                    yield Row(what, faster(seconds, "ours", name), "x as fast", aim, best(seconds))


def _layers(classifier: ImageClassifier) -> Iterator[tuple]:
    """Weight, bias, stride, groups, padding, ReLU6 or not, and what the block does at its start and end."""
    side = 224
    for block in classifier.blocks:
        for index, c in enumerate(block.convolutions):
            before, after = _same_padding(side, c.weight.shape[2], c.stride)
            side = -(-side // c.stride)
            yield (
                c.weight.numpy(), c.bias.numpy().ravel(), c.stride, c.groups, (before, after), c.activated,
                block.residual and index == 0, block.residual and index == len(block.convolutions) - 1,
            )  # fmt: skip


def _torch(classifier: ImageClassifier, x: np.ndarray, threads: int) -> Callable[[], object]:
    import torch
    from torch.nn import functional as f

    torch.set_num_threads(threads)
    layers = [(torch.from_numpy(w), torch.from_numpy(b), *rest) for w, b, *rest in _layers(classifier)]
    last, bias = (torch.from_numpy(array.numpy()) for array in (classifier._weight, classifier._bias))
    photo = torch.from_numpy(x)

    def run() -> np.ndarray:
        with torch.no_grad():
            y, kept = photo, None
            for w, b, stride, groups, (before, after), activated, starts, ends in layers:
                if starts:
                    kept = y
                padded = y if before == after else f.pad(y, (before, after, before, after))
                y = f.conv2d(padded, w, b, stride, before if before == after else 0, 1, groups)
                if activated:
                    y = f.relu6(y)
                if ends:
                    y = y + kept
            return (y.mean((2, 3)) @ last.T + bias).numpy()

    np.testing.assert_allclose(run(), classifier.logits(x), rtol=1e-3, atol=1e-3)
    return run


def _onnx(classifier: ImageClassifier, x: np.ndarray, threads: int) -> Callable[[], object]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights, nodes, at, kept = [], [], "photo", ""

    def constant(name: str, value: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    low, high = constant("low", np.float32(0)), constant("high", np.float32(6))
    for i, (w, b, stride, groups, (before, after), activated, starts, ends) in enumerate(_layers(classifier)):
        kept = at if starts else kept
        nodes.append(
            helper.make_node(
                "Conv", [at, constant(f"w{i}", w), constant(f"b{i}", b)], [f"y{i}"], strides=[stride] * 2,
                group=groups, pads=[before, before, after, after],
            )
        )  # fmt: skip
        at = f"y{i}"
        if activated:
            nodes.append(helper.make_node("Clip", [at, low, high], [f"r{i}"]))
            at = f"r{i}"
        if ends:
            nodes.append(helper.make_node("Add", [at, kept], [f"s{i}"]))
            at = f"s{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [at], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    last = constant("last", classifier._weight.numpy().T), constant("bias", classifier._bias.numpy())
    nodes.append(helper.make_node("Gemm", ["flat", *last], ["logits"]))
    graph = helper.make_graph(
        nodes, "lite0", [helper.make_tensor_value_info("photo", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1000])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def run() -> np.ndarray:
        return session.run(None, {"photo": x})[0]

    np.testing.assert_allclose(run(), classifier.logits(x), rtol=1e-3, atol=1e-3)
    return run
