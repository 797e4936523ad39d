// Put before a kernel source: HIP's device language for g++, as far as the project's kernels use it. As in hiprtc there
// is no standard header.
#pragma once
#include "module.h"
#define __global__ __attribute__((visibility("default")))
#define __device__
typedef __SIZE_TYPE__ size_t;
typedef double_uint3 dim3;
extern "C" {
__attribute__((visibility("hidden"))) double_runtime double_rt;
__attribute__((visibility("hidden"))) double_shared* double_shared_list;
float sqrtf(float);
float expf(float);
float fmaxf(float, float);
float fminf(float, float);
}
#define threadIdx double_rt.thread
#define blockIdx double_rt.block
#define blockDim double_rt.block_dim
#define gridDim double_rt.grid_dim

inline void __syncthreads(int line = __builtin_LINE()) {
  asm volatile("" ::: "memory");  // other threads run here, and nothing may be kept in a register
  double_rt.barrier(line);
  asm volatile("" ::: "memory");
}

// `__shared__ float x[256];` becomes `static float x[256]; static double_met x_met(&x, sizeof x);`, so that the double
// can fill it with what is not a number before each block.
struct double_met : double_shared {
  double_met(void* at, unsigned long size) : double_shared{at, size, double_shared_list} {
    __builtin_memset(at, 0xFF, size);
    double_shared_list = this;
  }
};

// The sizes of a kernel's arguments come from its type.
template <class T>
struct double_points {
  static constexpr bool value = false;
};
template <class T>
struct double_points<T*> {
  static constexpr bool value = true;
};
template <int... I>
struct double_indices {};
template <auto F>
struct double_of;
template <class... A, void (*F)(A...)>
struct double_of<F> {
  static constexpr double_argument arguments[] = {{sizeof(A), alignof(A), double_points<A>::value}..., {0, 0, false}};
  template <int... I>
  static void call(void** a, double_indices<I...>) {
    F(*(A*)a[I]...);
  }
  static void run(void** a) { call(a, double_indices<__integer_pack(int(sizeof...(A)))...>()); }
  static constexpr double_kernel kernel(const char* name) { return {name, run, arguments, sizeof...(A)}; }
};
