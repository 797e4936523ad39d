"""Every argument of every call of MIOpen but for convolutions, as it arrived there."""

from __future__ import annotations

import pytest
from library_log import same, shown

from factory.device import ACTIVATIONS, POOLINGS

CODES = {"float16": "0", "float32": "1", "bfloat16": "1"}  # of what MIOpen gets: bfloat16 is turned into float32
SHAPE = (2, 3, 5, 4)


@pytest.fixture
def device(opening):
    """A device of each test's own, so that all descriptors are made before its eyes."""
    opened = opening()
    yield opened
    assert opened.close() == []


def types(calls):
    """The types of the tensors that were described."""
    return {call.given["dataType"] for call in calls if call.function == "miopenSet4dTensorDescriptor"}


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("mode", ACTIVATIONS)
def test_activation(device, logged, mode, dtype, prove):
    x, y = device.empty(SHAPE, dtype), device.empty(SHAPE, dtype)
    device.activate(x, mode, 0.5, 1.5, 2.5, out=y)
    calls = logged()
    (made,) = (call.given for call in calls if call.function == "miopenSetActivationDescriptor")
    (done,) = (call.given for call in calls if call.function == "miopenActivationForward")
    assert types(calls) == {CODES[dtype]}
    number = same(made, {"mode": ACTIVATIONS.index(mode), "activAlpha": "0.5", "activBeta": "1.5", "activGamma": "2.5"})
    number += same(
        done,
        {
            "handle": f"stream: {int(device.hip.stream):#x}, device_id: 0",
            "activDesc": f"miopenActivation{mode.upper()}, 0.5, 1.5, 2.5", "alpha": 1.0, "xDesc": shown(*SHAPE),
            "beta": 0.0, "yDesc": shown(*SHAPE), **places(dtype, x=x, y=y),
        },
    )  # fmt: skip
    prove("arguments of MIOpen", number)


def places(dtype, **arrays):
    """The arrays' addresses; none for bfloat16, whose arrays are copied first."""
    return {} if dtype == "bfloat16" else {name: array.pointer for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(10,), (6, 10), (3, 6, 10), (2, 3, 5, 4)])
def test_softmax(device, logged, shape, dtype, prove):
    x, y = device.empty(shape, dtype), device.empty(shape, dtype)
    device.softmax(x, out=y)
    calls = logged()
    (done,) = (call.given for call in calls if call.function == "miopenSoftmaxForward_V2")
    tensor = shown(x.nbytes // x.dtype.itemsize // shape[-1], shape[-1], 1, 1)
    want = {"alpha": 1.0, "xDesc": tensor, "beta": 0.0, "yDesc": tensor, "algorithm": 1, "mode": 1}
    assert types(calls) == {CODES[dtype]}
    prove("arguments of MIOpen", same(done, {**want, **places(dtype, x=x, y=y)}))


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("mode", POOLINGS)
def test_pooling(device, logged, mode, dtype, prove):
    x = device.empty(SHAPE, dtype)
    y = device.pool(x, mode, (3, 2), (1, 0), (2, 1))
    calls = logged()
    assert y.shape == (2, 3, 3, 3) and types(calls) == {CODES[dtype]}
    name = {"max": "miopenPoolingMax", "average": "miopenPoolingAverage", "average_inclusive": "Unknown: 2"}[mode]
    (made,) = (call.given for call in calls if call.function == "miopenSet2dPoolingDescriptor")
    (index,) = (call.given for call in calls if call.function == "miopenSetPoolingIndexType")
    (done,) = (call.given for call in calls if call.function == "miopenPoolingForward")
    number = same(
        made,
        {
            "mode": POOLINGS.index(mode), "windowHeight": 3, "windowWidth": 2, "pad_h": 1, "pad_w": 0, "stride_h": 2,
            "stride_w": 1,
        },
    )  # fmt: skip
    number += same(index, {"index_type": 2})
    number += same(
        done,
        {
            "handle": f"stream: {int(device.hip.stream):#x}, device_id: 0",
            "poolDesc": f"{name}, 3, 2, 1, 0, 2, 1", "alpha": 1.0, "xDesc": shown(*SHAPE), "beta": 0.0,
            "yDesc": shown(*y.shape), "do_backward": 0, "workSpace": "nullptr", "workSpaceSize": 0,
            **places(dtype, x=x, y=y),
        },
    )  # fmt: skip
    prove("arguments of MIOpen", number)


@pytest.mark.parametrize("dtype", CODES)
def test_batch_norm(device, logged, dtype, prove):
    x, y = device.empty(SHAPE, dtype), device.empty(SHAPE, dtype)
    vectors = {name: device.empty((3,)) for name in ("bnScale", "bnBias", "estimatedMean", "estimatedVariance")}
    if dtype != "float32":  # whose channels' numbers are turned into float32 first
        vectors = {name: device.empty((3,), dtype) for name in vectors}
    device.batch_norm(x, *vectors.values(), 0.125, out=y)
    calls = logged()
    (derived,) = (call.given for call in calls if call.function == "miopenDeriveBNTensorDescriptor")
    (done,) = (call.given for call in calls if call.function == "miopenBatchNormalizationForwardInference_V2")
    channels = dict.fromkeys(("scaleDesc", "biasDesc", "estMeanDesc", "estVarianceDesc"), shown(1, 3, 1, 1))
    number = same(derived, {"xDesc": shown(*SHAPE), "bn_mode": 1})
    number += same(
        done,
        {
            "handle": f"stream: {int(device.hip.stream):#x}, device_id: 0", "bn_mode": 1, "xDesc": shown(*SHAPE),
            "yDesc": shown(*SHAPE), **channels, "epsilon": 0.125, **places(dtype, x=x, y=y),
        },
    )  # fmt: skip
    if dtype == "float32":
        number += same(done, {name: vector.pointer for name, vector in vectors.items()})
    assert len({done[name] for name in vectors}) == len(vectors)
    assert types(calls) == {CODES[dtype]}
    prove("arguments of MIOpen", number)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [SHAPE, (3, 1, 1), (1, 3, 5, 1)])
@pytest.mark.parametrize("operation", ["add", "multiply"])
def test_tensor_operation(device, logged, operation, shape, dtype, prove):
    a, b = device.empty(SHAPE, dtype), device.empty(shape, dtype)
    y = getattr(device, operation)(a, b)
    calls = logged()
    (done,) = (call.given for call in calls if call.function == "miopenOpTensor")
    assert types(calls) == {CODES[dtype]}
    want = {
        "tensorOp": ["add", "multiply"].index(operation), "alpha1": 1.0, "aDesc": shown(*SHAPE), "alpha2": 1.0,
        "bDesc": shown(*(1,) * (4 - len(shape)), *shape), "beta": 0.0, "cDesc": shown(*SHAPE),
        **places(dtype, A=a, B=b, C=y),
    }  # fmt: skip
    prove("arguments of MIOpen", same(done, want))
