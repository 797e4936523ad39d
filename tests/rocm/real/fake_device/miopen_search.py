"""A program for test_real_solvers: has the real MIOpen search convolutions on a GPU that does nothing. Its log tells
which solvers apply; none can be compiled, and so each search ends in an error."""

from __future__ import annotations

import ctypes
import sys

from factory import ConvolutionProblem
from factory.errors import LibraryError
from factory.gpus import DTYPES, table
from factory.rocm.hip import Hip
from factory.rocm.miopen_library import AlgorithmTime, MiopenLibrary

# Such that each solver finds one that it takes, wherever it exists.
PROBLEMS = (
    (16, 64, 28, 28, 64, 3, 3, (1, 1)),
    (16, 64, 28, 28, 64, 3, 3, (1, 1), (1, 1), (1, 1), 2),
    (16, 64, 28, 28, 64, 3, 3, (1, 1), (2, 2)),
    (16, 64, 28, 28, 64, 3, 3, (2, 2), (1, 1), (2, 2)),
    (8, 64, 28, 28, 60, 3, 3, (1, 1)),  # no product of tiles: its GEMM is padded
    (7, 48, 17, 17, 80, 3, 3, (1, 1)),
    (32, 128, 14, 14, 128, 3, 3, (1, 1)),
    (16, 64, 28, 28, 64, 1, 1),
    (16, 64, 28, 28, 64, 1, 1, (0, 0), (2, 2)),
    (16, 16, 28, 28, 32, 5, 5, (2, 2)),  # FFT
    (1, 1, 161, 700, 32, 5, 10, (0, 0), (2, 2)),  # of a speech model
    (8, 3, 224, 224, 64, 7, 7, (3, 3), (2, 2)),  # the first of ResNet
    (8, 3, 224, 224, 64, 11, 11, (2, 2), (4, 4)),  # the first of AlexNet
)


def mark(*words: object) -> None:
    print("\n@", *words, file=sys.stderr, flush=True)


def main() -> None:
    hip = Hip(0)
    library, memory = MiopenLibrary(hip), hip.malloc(256)
    for dtype in DTYPES:
        for sizes in PROBLEMS:
            p = ConvolutionProblem(*sizes, dtype=dtype)
            x, w, y = (library.tensor(shape, dtype) for shape in (p.x_shape, p.w_shape, p.y_shape))
            count, times, workspace = ctypes.c_int(), (AlgorithmTime * 5)(), 8 << 30
            mark("search", dtype)
            try:
                library.call(
                    "miopenFindConvolutionForwardAlgorithm", library.handle, x, memory, w, memory,
                    library.convolution(p), y, memory, len(times), ctypes.byref(count), times, memory, workspace, False,
                )  # fmt: skip
            except LibraryError as error:
                mark("error", error.code)
    # Not one of the wing's calls: it looks whether a solver applies, and names it in the log.
    ask = ctypes.CDLL("libMIOpen.so").miopenConvolutionForwardGetSolutionWorkspaceSize
    of_five = [ctypes.c_void_p(each) for each in (library.handle, w, x, library.convolution(p), y)]
    for row in table():
        mark("solver", row["id"])
        ask(*of_five, ctypes.c_uint64(int(row["id"])), ctypes.byref(ctypes.c_size_t()))
    mark("end")


if __name__ == "__main__":
    main()
