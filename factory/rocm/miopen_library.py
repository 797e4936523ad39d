"""MIOpen through ctypes: its functions, structures, handle and descriptors, each made once and given back at the end."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_size_t, c_uint64, c_void_p
from functools import cached_property
from math import prod
from types import SimpleNamespace
from typing import Any

from factory.layout import Shape
from factory.problem import ConvolutionProblem, Pair
from factory.rocm import libraries
from factory.rocm.hip import Hip

_DTYPES = {"float16": 0, "float32": 1, "bfloat16": 5}  # miopenDataType_t
_CONVOLUTION = 0  # miopenConvolution: a cross-correlation
_INDEX_UINT32 = 2  # miopenIndexUint32: any window has room
_FOLDERS = {"MIOPEN_USER_DB_PATH": "miopen-db", "MIOPEN_CUSTOM_CACHE_DIR": "miopen-cache"}


class AlgorithmTime(Structure):
    """miopenConvAlgoPerf_t: one line of what Find 1.0 found."""

    _fields_ = [("algorithm", c_int), ("time", c_float), ("memory", c_size_t)]


class SolutionTime(Structure):
    """miopenConvSolution_t: one line of what immediate mode offers. Its time may be no time at all."""

    _fields_ = [("time", c_float), ("workspace", c_size_t), ("solver", c_uint64), ("algorithm", c_int)]


_H = _D = _P = c_void_p  # handle, descriptor, pointer
_FIVE = (_H, _D, _D, _D, _D)  # handle, w, x, convolution, y
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "miopenGetErrorString": (c_int,),
    "miopenCreateWithStream": (POINTER(_H), c_void_p),
    "miopenDestroy": (_H,),
    "miopenCreateTensorDescriptor": (POINTER(_D),),
    "miopenSet4dTensorDescriptor": (_D, *[c_int] * 5),
    "miopenDestroyTensorDescriptor": (_D,),
    "miopenCreateConvolutionDescriptor": (POINTER(_D),),
    "miopenInitConvolutionDescriptor": (_D, *[c_int] * 7),
    "miopenSetConvolutionGroupCount": (_D, c_int),
    "miopenDestroyConvolutionDescriptor": (_D,),
    "miopenConvolutionForwardGetWorkSpaceSize": (*_FIVE, POINTER(c_size_t)),
    "miopenFindConvolutionForwardAlgorithm": (
        _H, _D, _P, _D, _P, _D, _D, _P, c_int, POINTER(c_int), POINTER(AlgorithmTime), _P, c_size_t, c_bool,
    ),
    "miopenConvolutionForwardGetSolutionCount": (*_FIVE, POINTER(c_size_t)),
    "miopenConvolutionForwardGetSolution": (*_FIVE, c_size_t, POINTER(c_size_t), POINTER(SolutionTime)),
    "miopenConvolutionForwardCompileSolution": (*_FIVE, c_uint64),
    "miopenConvolutionForwardImmediate": (_H, _D, _P, _D, _P, _D, _D, _P, _P, c_size_t, c_uint64),
    "miopenCreateActivationDescriptor": (POINTER(_D),),
    "miopenSetActivationDescriptor": (_D, c_int, c_double, c_double, c_double),
    "miopenDestroyActivationDescriptor": (_D,),
    "miopenActivationForward": (_H, _D, _P, _D, _P, _P, _D, _P),
    "miopenSoftmaxForward_V2": (_H, _P, _D, _P, _P, _D, _P, c_int, c_int),
    "miopenCreatePoolingDescriptor": (POINTER(_D),),
    "miopenSet2dPoolingDescriptor": (_D, *[c_int] * 7),
    "miopenSetPoolingIndexType": (_D, c_int),
    "miopenDestroyPoolingDescriptor": (_D,),
    "miopenPoolingForward": (_H, _D, _P, _D, _P, _P, _D, _P, c_bool, _P, c_size_t),
    "miopenDeriveBNTensorDescriptor": (_D, _D, c_int),
    "miopenBatchNormalizationForwardInference": (_H, c_int, _P, _P, _D, _P, _D, _P, _D, _P, _P, _P, _P, c_double),
    "miopenOpTensor": (_H, c_int, _P, _D, _P, _P, _D, _P, _P, _D, _P),
}  # fmt: skip


class MiopenLibrary:
    """The library as one device uses it. It is loaded by the first use, with a database and a cache of our own."""

    def __init__(self, hip: Hip) -> None:
        self._hip = hip
        self._descriptors: dict[str, dict[Any, int]] = {}

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function by its name; LibraryError for a status other than 0."""
        function: Callable[..., int] = getattr(self.functions, name)
        self.check(name, function(*arguments))

    def check(self, name: str, status: int) -> None:
        """LibraryError for a status other than 0."""
        libraries.check(name, status, self._words, self._hip.api.gpu)

    @cached_property
    def functions(self) -> SimpleNamespace:
        """The functions by their names, unchecked."""
        _set_folders()
        functions = libraries.load("MIOpen", _FUNCTIONS)
        functions.miopenGetErrorString.restype = c_char_p
        return functions

    @cached_property
    def handle(self) -> int:
        """A handle bound to the device's stream."""
        self._hip.enter()
        handle = c_void_p()
        self.call("miopenCreateWithStream", ctypes.byref(handle), int(self._hip.stream))
        self._hip.closing.callback(self.call, "miopenDestroy", handle.value)
        return handle.value or 0

    def tensor(self, shape: Shape, dtype: str) -> int:
        """A descriptor of a packed array: of any shape, as four dimensions, the last ones kept."""
        sizes = shape if len(shape) == 4 else four(shape)
        return self._descriptor("Tensor", ("miopenSet4dTensorDescriptor", _DTYPES[dtype], *sizes))

    def normalized(self, shape: Shape, dtype: str, mode: int) -> int:
        """A descriptor of the channels' scale, bias, mean and variance of an array."""
        return self._descriptor("Tensor", ("miopenDeriveBNTensorDescriptor", self.tensor(shape, dtype), mode))

    def convolution(self, p: ConvolutionProblem) -> int:
        """A descriptor of a convolution."""
        return self._descriptor(
            "Convolution",
            ("miopenInitConvolutionDescriptor", _CONVOLUTION, *p.pad, *p.stride, *p.dilation),
            ("miopenSetConvolutionGroupCount", p.groups),
        )

    def activation(self, mode: int, alpha: float, beta: float, gamma: float) -> int:
        """A descriptor of an activation."""
        return self._descriptor("Activation", ("miopenSetActivationDescriptor", mode, alpha, beta, gamma))

    def pooling(self, mode: int, window: Pair, pad: Pair, stride: Pair) -> int:
        """A descriptor of a pooling."""
        return self._descriptor(
            "Pooling",
            ("miopenSet2dPoolingDescriptor", mode, *window, *pad, *stride),
            ("miopenSetPoolingIndexType", _INDEX_UINT32),
        )

    def _descriptor(self, kind: str, *settings: tuple[Any, ...]) -> int:
        """The descriptor that was set like this before, or a new one; each setting is a function and its arguments."""
        made = self._descriptors.get(kind)
        if made is None:
            made = self._descriptors[kind] = {}
            self._hip.closing.callback(self._destroy, kind)
        descriptor = made.get(settings)
        if descriptor is None:
            handle = c_void_p()
            self.call(f"miopenCreate{kind}Descriptor", ctypes.byref(handle))
            descriptor = handle.value or 0
            try:
                for function, *values in settings:
                    self.call(function, descriptor, *values)
            except BaseException:
                self.call(f"miopenDestroy{kind}Descriptor", descriptor)
                raise
            made[settings] = descriptor
        return descriptor

    def _destroy(self, kind: str) -> None:
        made = self._descriptors[kind]
        with ExitStack() as everything:
            while made:
                everything.callback(self.call, f"miopenDestroy{kind}Descriptor", made.popitem()[1])

    def _words(self, status: int) -> str:
        return str(self.functions.miopenGetErrorString(status).decode())


def four(shape: Shape) -> Shape:
    """A shape of any number of dimensions as four, for a packed array."""
    if len(shape) <= 4:
        return (1,) * (4 - len(shape)) + tuple(shape)
    return (prod(shape[:-3]), *shape[-3:])


def _set_folders() -> None:
    """Give MIOpen folders of our own, before it is loaded: what others find and compile would change what is seen
    here. The user's own settings go first; where nothing can be written, folders that are gone with this process."""
    for variable, name in _FOLDERS.items():
        if variable not in os.environ:
            folder = libraries.cache_folder(name)
            if folder is None:
                passing = tempfile.mkdtemp(prefix=name)
                atexit.register(shutil.rmtree, passing, ignore_errors=True)
                os.environ[variable] = passing
            else:
                os.environ[variable] = str(folder)
