// What a compiled kernel module and the double of HIP tell each other. A kernel sees it, so it needs no other header.
#pragma once
struct double_uint3 {
  unsigned x, y, z;
};
struct double_argument {
  unsigned size, align;
  bool pointer;
};
struct double_kernel {
  const char* name;
  void (*run)(void** arguments);  // what one thread does
  const double_argument* arguments;
  unsigned count;
};
struct double_runtime {  // filled by the double
  double_uint3 thread, block, block_dim, grid_dim;
  void (*barrier)(int line);
};
struct double_shared {
  void* start;
  unsigned long bytes;
  double_shared* next;
};  // a __shared__ variable
struct double_module {
  const char* arch;
  double_runtime* runtime;
  const double_kernel* kernels;
  unsigned count;
  double_shared** shared;  // those that were met so far
};
