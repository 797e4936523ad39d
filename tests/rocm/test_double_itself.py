"""The double keeps its own promises, so that what passes over it means something: it never calls itself a GPU, it
computes, it notices what a GPU would not forgive, and it fails where a test tells it to."""

from __future__ import annotations

import ctypes
import re
import subprocess

import double
import numpy as np
import pytest

INCLUDES = ("-std=c++17", "-fsyntax-only", "-fopenmp-simd", "-x", "c++")


def compiles(source: str, include) -> bool:
    """Whether a source of the double compiles, against ROCm's headers or our own declarations."""
    flags = [f"-I{include}", "-DREAL_HEADERS"] if include else []
    command = ["g++", *INCLUDES, *flags, f"-I{double.HERE}", "-"]
    return subprocess.run(command, input=source, text=True, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def include(loaded_double):
    """ROCm's headers as the double was built against them."""
    if double.headers() is None:
        pytest.skip("real: the headers of ROCm are not here")
    return loaded_double.path / "include"


SOURCES = [source.name for source in sorted(double.HERE.glob("*.cpp"))]
# A source, what it declares, and a mistake: a narrower type, const on the wrong side, another result, another order.
WRONG = [
    ("hip.cpp", "hipMalloc(void** out, size_t bytes)", "hipMalloc(void** out, int bytes)"),
    ("hip.cpp", "hipMemcpyAsync(void* to, const void* from,", "hipMemcpyAsync(const void* to, void* from,"),
    ("hip.cpp", "hipError_t hipStreamQuery(", "int hipStreamQuery("),
    ("hiprtc.cpp", "hiprtcGetCode(hiprtcProgram p,", "hiprtcGetCode(hiprtcProgram* p,"),
    ("rocblas.cpp", "rocblas_stride stride_a, const void* b,", "rocblas_int stride_a, const void* b,"),
    ("miopen.cpp", "double epsilon)", "float epsilon)"),
    ("miopen.cpp", "CompileSolution(miopenHandle_t handle, TensorDescriptor w,",
     "CompileSolution(TensorDescriptor w, miopenHandle_t handle,"),
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_it_stands_on_rocms_own_headers(include, source):
    assert compiles((double.HERE / source).read_text(), include)


@pytest.mark.parametrize("source", SOURCES)
def test_it_stands_on_declarations_of_our_own_where_there_are_none(loaded_double, source):
    assert compiles((double.HERE / source).read_text(), None)


@pytest.mark.parametrize(("source", "right", "wrong"), WRONG, ids=[f"{s}-{i}" for i, (s, _, _) in enumerate(WRONG)])
def test_a_wrong_signature_does_not_compile(include, source, right, wrong):
    text = (double.HERE / source).read_text()
    assert right in text
    assert not compiles(text.replace(right, wrong), include)


def test_it_says_what_it_is_and_never_that_it_is_a_gpu(device):
    assert device.wing == "rocm" and "double" in device.gpu.name and "not a GPU" in device.gpu.name
    for library in ("amdhip64", "hiprtc", "rocblas", "MIOpen"):
        assert "double-" in str(device_path(library))


def device_path(short):
    from factory.rocm.libraries import where

    return where(short)


# Kernels


KERNELS = r"""
extern "C" __global__ void fill(float* y, float value) { y[blockIdx.x * blockDim.x + threadIdx.x] = value; }
extern "C" __global__ void turn_round(const float* x, float* y) {
  __shared__ float row[64];
  row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void forgets_a_barrier(const float* x, float* y) {
  __shared__ float row[64];
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void not_all_come(float* y) {
  if (threadIdx.x < 7) __syncthreads();
  y[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(float* y) {
  if (threadIdx.x < 7)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = 1;
}
extern "C" __global__ void through_nothing(float* y) { y[threadIdx.x] = **(float**)y; }
extern "C" __global__ void divides(int* y) { y[threadIdx.x] = 7 / y[threadIdx.x]; }
extern "C" __global__ void recurses(float* y) {
  volatile float room[64];
  room[threadIdx.x] = y[0];
  if (y[0] == y[0] || room[0] == 0) recurses(y);
  y[threadIdx.x] = room[0];
}
"""


class Bench:
    """hip-python on the double, with some kernels and no wing between."""

    def __init__(self, rocm_double):
        from hip import hip, hiprtc

        self.hip, self.hiprtc, self.double = hip, hiprtc, rocm_double
        program = self.ok(hiprtc.hiprtcCreateProgram(KERNELS.encode(), b"test.hip", 0, None, None))
        self.ok(hiprtc.hiprtcCompileProgram(program, 1, [b"--offload-arch=gfx900"]))
        self.code = bytearray(self.ok(hiprtc.hiprtcGetCodeSize(program)))
        self.ok(hiprtc.hiprtcGetCode(program, self.code))
        self.ok(hiprtc.hiprtcDestroyProgram(program.createRef()))
        self.module = self.ok(hip.hipModuleLoadData(self.code))
        self.pointers = []

    def ok(self, result):
        assert int(result[0]) == 0, (result, self.double.reason)
        return result[1] if len(result) == 2 else result[1:]

    def array(self, data):
        pointer = self.ok(self.hip.hipMalloc(data.nbytes))
        self.pointers.append(pointer)
        self.ok(self.hip.hipMemcpy(pointer, data, data.nbytes, self.hip.hipMemcpyKind.hipMemcpyHostToDevice))
        return pointer

    def read(self, pointer, like):
        host = np.empty_like(like)
        kind = self.hip.hipMemcpyKind.hipMemcpyDeviceToHost
        self.ok(self.hip.hipMemcpy(host, pointer, host.nbytes, kind))
        return host

    def launch(self, name, *arguments, blocks=1, threads=64):
        function = self.ok(self.hip.hipModuleGetFunction(self.module, name.encode()))
        launched = self.hip.hipModuleLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, None, None, arguments)
        return int(launched[0]) or int(self.hip.hipDeviceSynchronize()[0])

    def close(self):
        for pointer in self.pointers:
            self.hip.hipFree(pointer)
        self.hip.hipModuleUnload(self.module)


@pytest.fixture
def bench(rocm_double):
    before = rocm_double.live
    made = Bench(rocm_double)
    yield made
    rocm_double.defaults()  # also where a kernel has broken it
    made.close()
    assert rocm_double.live == before


ROW = np.arange(64, dtype=np.float32)


def test_a_kernel_computes_over_barriers_in_any_order_of_threads(bench):
    x, y = bench.array(ROW), bench.array(np.zeros(64, np.float32))
    for order in (0, 1, 7, 1234):
        bench.double.set(order=order)
        assert bench.launch("turn_round", x, y) == 0
        assert np.array_equal(bench.read(y, ROW), ROW[::-1])


def test_a_barrier_that_was_forgotten_shows(bench):
    x, y = bench.array(ROW), bench.array(np.zeros(64, np.float32))
    for order in (0, 1, 7):
        bench.double.set(order=order)
        assert bench.launch("forgets_a_barrier", x, y) == 0
        assert np.isnan(bench.read(y, ROW)).any()  # shared memory starts with what is not a number


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("not_all_come", "without coming to the barrier"), ("two_barriers", "wait at the barriers of lines"),
        ("through_nothing", "through a pointer that is no device address"), ("divides", "divided by zero"),
        ("recurses", "stack is full"),
    ],
)  # fmt: skip
def test_a_kernel_that_goes_wrong_is_an_error_and_not_the_end(bench, kernel, said):
    y = bench.array(np.zeros(64, np.float32) if kernel != "through_nothing" else np.full(64, np.nan, np.float32))
    assert bench.launch(kernel, y) == 700
    assert kernel in bench.double.reason and said in bench.double.reason
    assert int(bench.hip.hipMalloc(4)[0]) == 700  # as on a GPU, nothing works any more


@pytest.mark.parametrize(
    ("blocks", "said"), [(2, "after the end of allocation"), (100, "memory access fault, 4096 bytes from the start")]
)
def test_a_write_behind_an_array_is_noticed_near_and_far(bench, blocks, said):
    y = bench.array(np.zeros(100, np.float32))
    assert bench.launch("fill", y, ctypes.c_float(1), blocks=blocks) == 700
    assert re.search(said.replace("4096", r"\d+"), bench.double.reason)


def test_a_kernel_on_freed_memory_or_on_the_hosts_is_refused(bench):
    host, gone = np.zeros(64, np.float32), bench.array(ROW)
    bench.ok(bench.hip.hipFree(gone))
    assert bench.launch("fill", gone, ctypes.c_float(1)) == 700 and "freed allocation" in bench.double.reason
    bench.double.defaults()
    bench.pointers.clear()
    assert bench.launch("fill", ctypes.c_void_p(host.ctypes.data), ctypes.c_float(1)) == 700
    assert "host address" in bench.double.reason and not host.any()


def test_memory_starts_with_what_is_not_a_number(bench):
    pointer = bench.ok(bench.hip.hipMalloc(256))
    bench.pointers.append(pointer)
    assert np.isnan(bench.read(pointer, ROW)).all()


def test_a_source_that_does_not_compile_says_where(bench):
    program = bench.ok(bench.hiprtc.hiprtcCreateProgram(b"\n\nint wrong = nothing;", b"test.hip", 0, None, None))
    assert int(bench.hiprtc.hiprtcCompileProgram(program, 1, [b"--offload-arch=gfx900"])[0]) == 6
    log = bytearray(bench.ok(bench.hiprtc.hiprtcGetProgramLogSize(program)))
    bench.ok(bench.hiprtc.hiprtcGetProgramLog(program, log))
    assert b"test.hip:3" in log and b"nothing" in log
    bench.ok(bench.hiprtc.hiprtcDestroyProgram(program.createRef()))


def test_a_code_object_for_another_gpu_is_refused(bench):
    bench.double.set(arch="gfx1100")
    assert int(bench.hip.hipModuleLoadData(bench.code)[0]) == 209
    assert "gfx900" in bench.double.reason and "gfx1100" in bench.double.reason
    assert int(bench.hip.hipModuleLoadData(b"\x7fELF" + bytes(200))[0]) != 0


# Time


def test_held_work_runs_when_something_waits_and_not_before(bench):
    y = bench.array(np.zeros(64, np.float32))
    bench.double.set(hold=True)
    stream, event = bench.ok(bench.hip.hipStreamCreateWithFlags(1)), bench.ok(bench.hip.hipEventCreate())
    pinned = bench.ok(bench.hip.hipHostMalloc(256, 0))
    seen = np.frombuffer((ctypes.c_char * 256).from_address(int(pinned)), np.uint8)
    seen[:] = 0
    bench.ok(bench.hip.hipMemsetAsync(y, 7, 256, stream))
    bench.ok(bench.hip.hipMemcpyAsync(int(pinned), y, 256, bench.hip.hipMemcpyKind.hipMemcpyDeviceToHost, stream))
    bench.ok(bench.hip.hipEventRecord(event, stream))
    assert not seen.any()
    assert [int(bench.hip.hipEventQuery(event)[0]) for _ in range(2)] == [600, 0]  # who asks again waits for it
    assert (seen == 7).all() and int(bench.hip.hipStreamQuery(stream)[0]) == 0
    bench.ok(bench.hip.hipMemsetAsync(y, 5, 256, stream))
    assert int(bench.hip.hipStreamQuery(stream)[0]) == 600
    bench.ok(bench.hip.hipEventSynchronize(event))
    for done in (bench.hip.hipHostFree(pinned), bench.hip.hipEventDestroy(event), bench.hip.hipStreamDestroy(stream)):
        bench.ok(done)


def test_a_planned_failure_comes_at_its_call_and_once(bench):
    bench.double.fail("hipMalloc", 2, nth=2)
    before = bench.double.calls("hipMalloc")
    (first, one), (second, none), (third, three) = (bench.hip.hipMalloc(4) for _ in range(3))
    assert [int(first), int(second), int(third), none] == [0, 2, 0, None] and "planned" in bench.double.reason
    assert bench.double.calls("hipMalloc") == before + 3
    bench.pointers += [one, three]
    bench.double.fail("hipFree", 1, nth=0)
    assert [int(bench.hip.hipFree(one)[0]) for _ in range(3)] == [1, 1, 1]
