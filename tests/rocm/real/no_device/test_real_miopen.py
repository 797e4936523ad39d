"""The real MIOpen on a machine without a GPU, through the wing: what our descriptors hold is read back from it."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import byref, c_double, c_int, c_size_t, c_uint64, c_void_p
from types import SimpleNamespace

import pytest

from factory.errors import LibraryError
from factory.gpus import table
from factory.layout import Layout
from factory.problem import DTYPES, ConvolutionProblem, pooled_shape
from factory.rocm.convolutions import _ALGORITHMS
from factory.rocm.miopen import _MODES, _POOLINGS
from factory.rocm.miopen_library import MiopenLibrary

CODES = {"float16": 0, "float32": 1, "bfloat16": 5}
WORDS = (
    "Success", "NotInitialized", "InvalidValue", "BadParm", "AllocFailed", "InternalError", "NotImplemented",
    "UnknownError", "UnsupportedOp", "GpuOperationsSkipped", "VersionMismatch",
)  # fmt: skip
PROBLEMS = [
    ConvolutionProblem(*sizes, *geometry, dtype=dtype)
    for sizes in ((1, 3, 224, 224, 64, 7, 7), (16, 64, 56, 56, 128, 1, 1), (2, 8, 17, 31, 12, 3, 5), (1, 4, 9, 8, 6, 2, 3))
    for geometry in (
        ((0, 0), (1, 1), (1, 1), 1), ((3, 3), (2, 2), (1, 1), 1), ((1, 2), (1, 3), (2, 1), 1), ((2, 1), (3, 2), (1, 1), 2),
    )
    for dtype in CODES
    if sizes[1] % geometry[3] == 0
]  # fmt: skip


@pytest.fixture
def library():
    """MIOpen as the wing has it, on a device that is not there."""
    with ExitStack() as closing:
        yield MiopenLibrary(SimpleNamespace(api=SimpleNamespace(gpu="no GPU"), closing=closing, stream=0, enter=int))


@pytest.fixture
def ask():
    """ask(function, *arguments, ints=4): the integers that one of MIOpen's own functions gives."""
    miopen = ctypes.CDLL("libMIOpen.so")

    def ask(function: str, *arguments: object, ints: int) -> tuple[int, ...]:
        numbers = [c_int(-1) for _ in range(ints)]
        assert getattr(miopen, function)(*map(c_void_p, arguments), *map(byref, numbers)) == 0
        return tuple(number.value for number in numbers)

    return ask


def test_every_function_of_the_wing_is_there_and_every_status_has_its_word(library, prove):
    assert tuple(library._words(status).removeprefix("miopenStatus") for status in range(len(WORDS))) == WORDS
    prove("status texts", len(WORDS))


def test_a_handle_is_refused_cleanly(library):
    with pytest.raises(LibraryError) as error:
        _ = library.handle
    assert error.value.fields == {
        "call": "miopenCreateWithStream", "code": 7, "meaning": "miopenStatusUnknownError", "gpu": "no GPU"
    }  # fmt: skip


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (3, 4, 5), (2, 3, 4, 5), (6, 2, 3, 4, 5)])
def test_a_tensor_is_what_the_array_is(library, ask, shape, dtype, prove):
    descriptor = library.tensor(shape, dtype)
    kind, *numbers = ask("miopenGet4dTensorDescriptor", descriptor, ints=9)
    sizes, strides = tuple(numbers[:4]), tuple(numbers[4:])
    packed = Layout.of_packed(shape, DTYPES[dtype])
    assert kind == CODES[dtype]
    assert sizes == ((1,) * (4 - len(shape)) + shape if len(shape) <= 4 else (12, 3, 4, 5))
    assert strides == Layout.of_packed(sizes, DTYPES[dtype]).strides
    nbytes = c_size_t()
    assert ctypes.CDLL("libMIOpen.so").miopenGetTensorNumBytes(c_void_p(descriptor), byref(nbytes)) == 0
    assert nbytes.value == packed.nbytes
    prove("descriptors", 1)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_a_convolution_and_its_output_are_what_we_mean(library, ask, problem, prove):
    descriptor = library.convolution(problem)
    mode, *geometry = ask("miopenGetConvolutionDescriptor", descriptor, ints=7)
    assert mode == 0 and geometry == [*problem.pad, *problem.stride, *problem.dilation]
    assert ask("miopenGetConvolutionGroupCount", descriptor, ints=1) == (problem.groups,)
    x, w = library.tensor(problem.x_shape, problem.dtype), library.tensor(problem.w_shape, problem.dtype)
    assert ask("miopenGetConvolutionForwardOutputDim", descriptor, x, w, ints=4) == problem.y_shape
    prove("descriptors", 3)
    prove("output shapes", 1)


@pytest.mark.parametrize("number", range(len(_MODES)))
def test_an_activation_is_what_we_mean(library, number, prove):
    descriptor = library.activation(number, 0.25, -1.5, 3.0)
    mode, numbers = c_int(-1), [c_double() for _ in range(3)]
    get = ctypes.CDLL("libMIOpen.so").miopenGetActivationDescriptor
    assert get(c_void_p(descriptor), byref(mode), *map(byref, numbers)) == 0
    assert mode.value == number and [value.value for value in numbers] == [0.25, -1.5, 3.0]
    prove("descriptors", 1)


@pytest.mark.parametrize("mode", _POOLINGS)
@pytest.mark.parametrize("geometry", [((2, 2), (0, 0), (2, 2)), ((3, 2), (1, 0), (2, 1)), ((7, 7), (3, 2), (1, 4))])
def test_a_pooling_and_its_output_are_what_we_mean(library, ask, mode, geometry, prove):
    descriptor = library.pooling(_POOLINGS[mode], *geometry)
    got, *rest = ask("miopenGet2dPoolingDescriptor", descriptor, ints=7)
    window, pad, stride = geometry
    assert got == _POOLINGS[mode] and rest == [*window, *pad, *stride]
    assert ask("miopenGetPoolingIndexType", descriptor, ints=1) == (2,)  # miopenIndexUint32
    shape = (2, 3, 17, 12)
    want = pooled_shape(shape, window, pad, stride)
    assert ask("miopenGetPoolingForwardOutputDim", descriptor, library.tensor(shape, "float32"), ints=4) == want
    prove("descriptors", 1)
    prove("output shapes", 1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_batch_norm_has_one_number_for_each_channel_in_float32(library, ask, dtype, prove):
    kind, n, c, h, w, *_ = ask("miopenGet4dTensorDescriptor", library.normalized((2, 5, 4, 3), dtype, 1), ints=9)
    assert (kind, n, c, h, w) == (CODES["float32"], 1, 5, 1, 1)
    prove("descriptors", 1)


def test_descriptors_are_made_once_and_given_back(library):
    assert library.tensor((2, 3, 4, 5), "float32") == library.tensor((2, 3, 4, 5), "float32")
    assert len(library._descriptors["Tensor"]) == 1
    library._hip.closing.close()
    assert not library._descriptors["Tensor"]


def test_the_table_of_solvers_has_miopens_numbers_and_algorithms(prove):
    algorithm_of = ctypes.CDLL("libMIOpen.so").miopenGetSolverIdConvAlgorithm
    for row in table():
        found = c_int(-1)
        status = algorithm_of(c_uint64(int(row["id"])), byref(found))
        if row["in_3_4_0"] == "no":
            assert status == 2, row["solver"]  # miopenStatusInvalidValue: no such solver
        else:
            assert status == 0 and _ALGORITHMS[found.value] == row["algorithm"], row["solver"]
            prove("solver numbers", 1)
