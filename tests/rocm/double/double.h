// What the libraries of the double share. The double stands in for HIP, hiprtc, rocBLAS and MIOpen in tests: it does
// their work on this computer's CPU and memory, counts what is asked, and fails where a test plans it. It is no GPU.
#pragma once
#ifdef REAL_HEADERS
#define __HIP_PLATFORM_AMD__ 1
#include <hip/hip_runtime_api.h>
#else
#include "declarations.h"
#endif
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include "module.h"

// Counts a call of a library function, and gives the status that was planned for it, or 0.
int double_enter(const char* call);
// Keeps the reason of a failure, for the test that asks; gives the status back.
int double_say(int status, const std::string& reason);
// The CPU's view of `bytes` bytes at a device address; null where they are not all in one live allocation.
char* double_view(const void* address, size_t bytes);
// Hands work to a stream: it runs now or, where the test holds work back, once something waits for it.
hipError_t double_put(hipStream_t stream, std::function<void()> work);
// Waits for all work of a stream, as a library does that needs its own results.
hipError_t double_wait(hipStream_t stream);
// Counts a handle or descriptor that was made (1) or given back (-1).
void double_made(int change);
// The architecture that the device of this thread is told to be, such as "gfx900".
std::string double_arch();

// A kernel launch, and what went wrong in it ("" for nothing). `describe` says in words what a faulting address is.
struct Launch {
  const double_module* module;
  const double_kernel* kernel;
  double_uint3 grid, block;
  void** arguments;
};
std::string run_kernel(const Launch&, int order, std::string (*describe)(const void* address));

// C (m, n) = op(A) (m, k) op(B) (k, n), column-major and without gaps in C, added up in float, or in int for int8.
enum class Number { float32, float16, bfloat16, int8, int32 };
size_t size_of(Number);
void double_product(Number, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const void* a, size_t lda,
                    const void* b, size_t ldb, void* c);

// 16-bit numbers are stored, and computed with as float.
struct BFloat16 {
  uint16_t bits;
  BFloat16() = default;
  BFloat16(float x) {
    uint32_t b;
    memcpy(&b, &x, 4);
    bits = x != x ? 0x7FC0 : (b + 0x7FFF + (b >> 16 & 1)) >> 16;  // to nearest, ties to even
  }
  operator float() const {
    uint32_t b = uint32_t(bits) << 16;
    float x;
    memcpy(&x, &b, 4);
    return x;
  }
};
typedef _Float16 Float16;
