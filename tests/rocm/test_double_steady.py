"""In steady state a token or an image costs HIP no memory, no wait inside a layer and no copy but what was asked for:
counted in the double, call by call."""

from __future__ import annotations

import numpy as np
import pytest
from models import random_llama

import factory
from factory import ConvolutionProblem
from factory.models import LanguageModel

MEMORY = ("hipMalloc", "hipFree", "hipHostMalloc", "hipHostFree")
MADE = (
    "hipEventCreate", "hipEventDestroy", "hipStreamCreateWithFlags", "hipModuleLoadData", "hipModuleGetFunction",
    "miopenCreateTensorDescriptor", "miopenCreateActivationDescriptor", "rocblas_create_handle",
)  # fmt: skip
WAITS = (
    "hipDeviceSynchronize", "hipStreamSynchronize", "hipEventSynchronize", "hipMemcpy", "hipStreamQuery", "hipEventQuery",
)  # fmt: skip


@pytest.fixture
def counted(rocm_double):
    """counted(function, names): how often each library call was made while it ran."""

    def count(work, names):
        before = {name: rocm_double.calls(name) for name in names}
        work()
        return {name: rocm_double.calls(name) - before[name] for name in names}

    return count


def warm_decode(device, layers=None):
    """A model in the middle of an answer, the first tokens behind it."""
    tokens = LanguageModel(device, random_llama()).generate([3, 1, 4, 1, 5], 50, layers, stop=())
    for _ in range(3):
        next(tokens)
    return tokens


@pytest.mark.parametrize("timeline", [True, False])
def test_a_token_asks_hip_for_no_memory_and_makes_nothing(device, counted, timeline):
    device.timeline.enabled = timeline
    tokens = warm_decode(device)
    for _ in range(10):
        next(tokens)  # the events of these commands are used again
    counts = counted(lambda: [next(tokens) for _ in range(10)], (*MEMORY, *MADE))
    if timeline:
        counts.pop("hipEventCreate")  # until so many are out that the oldest are read
    assert not any(counts.values()), counts
    tokens.close()


def test_the_events_of_the_timeline_are_a_pool_that_stops_growing(device, counted):
    x = device.array(np.ones((4, 4), np.float32))
    y = device.empty((4, 4))
    for _ in range(1500):
        device.copy(x, out=y)
    counts = counted(lambda: [device.copy(x, out=y) for _ in range(1500)], ("hipEventCreate", "hipEventRecord"))
    assert counts == {"hipEventCreate": 0, "hipEventRecord": 3000}


def test_no_event_is_recorded_for_a_command_while_the_timeline_is_off(device, counted):
    x, y = device.array(np.ones((4, 4), np.float32)), device.empty((4, 4))
    device.gemm(x, x, out=y)
    device.timeline.enabled = False
    work = lambda: (device.copy(x, out=y), device.gemm(x, x, out=y), device.softmax(x, out=y))  # noqa: E731
    counts = counted(work, ("hipEventRecord", "hipModuleLaunchKernel", "rocblas_gemm_ex", "miopenSoftmaxForward_V2"))
    assert counts == {
        "hipEventRecord": 0, "hipModuleLaunchKernel": 1, "rocblas_gemm_ex": 1, "miopenSoftmaxForward_V2": 1,
    }  # fmt: skip


def test_a_token_waits_for_its_logits_alone_however_many_layers_there_are(device, counted):
    device.timeline.enabled = False
    counts = []
    for layers in (1, 3):
        tokens = warm_decode(device, layers)
        counts.append(counted(lambda tokens=tokens: [next(tokens) for _ in range(5)], (*WAITS, "hipMemcpyAsync")))
        tokens.close()
    assert counts[0] == counts[1] and not any(counts[0][name] for name in WAITS[:4])
    assert counts[0]["hipMemcpyAsync"] == 2 * 5  # a token's number goes up, its logits come down


def test_no_layer_waits(device, rocm_double):
    """Nothing is asked of an event or a stream between the end of one layer and the next, though all work is held back."""
    model = LanguageModel(device, random_llama())
    ids = [3, 1, 4, 1, 5]
    model.logits(ids)
    device.timeline.enabled = False
    rocm_double.set(hold=True)
    asked = []
    model.logits(ids, on_layer=lambda i, hidden: asked.append(sum(rocm_double.calls(name) for name in WAITS)))
    assert len(asked) == 3 and asked[0] == asked[1] == asked[2]


def test_the_second_image_asks_hip_for_nothing(device, counted):
    problem = ConvolutionProblem(1, 3, 12, 12, 8, 3, 3, pad=(1, 1))
    random = np.random.default_rng(0)
    filters = device.array(random.standard_normal(problem.w_shape, np.float32))
    scale, shift = (device.array(np.ones(8, np.float32)) for _ in range(2))

    def look(seed):
        image = device.array(np.random.default_rng(seed).standard_normal(problem.x_shape, np.float32))
        y = device.batch_norm(device.convolve(image, filters, problem), scale, shift, shift, scale, 1e-3)
        return device.pool(device.activate(y, "relu"), "average", (12, 12)).numpy()

    look(0)
    look(1)
    device.timeline.enabled = False
    find = (
        "miopenFindConvolutionForwardAlgorithm",
        "miopenConvolutionForwardGetSolution",
        "miopenConvolutionForwardCompileSolution",
    )
    counts = counted(lambda: [look(seed) for seed in range(2, 6)], (*MEMORY, *MADE, *find, *WAITS[:4]))
    assert not any(counts.values()), counts


def test_rocblas_is_told_to_repeat_itself(device):
    """Atomics off: the mode is read back from the library's own handle."""
    import ctypes

    x = device.array(np.ones((4, 4), np.float32))
    device.gemm(x, x)
    library = ctypes.CDLL(factory.rocm.libraries.where("rocblas"))
    mode = ctypes.c_int(-1)
    assert library.rocblas_get_atomics_mode(ctypes.c_void_p(device.rocblas._handle), ctypes.byref(mode)) == 0
    assert mode.value == 0
