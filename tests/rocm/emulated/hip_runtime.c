/* A HIP runtime without a GPU: memory is the host's, and what is launched goes to a callback (emulator.py), which runs
   the machine code on the CPU. Under it the real rocBLAS and MIOpen work unchanged. It is a means of reading what they
   do with what they are told, and checks no bounds; the double in ../double does.

   Everything is done when a call returns. EMULATED_GFX is the architecture, EMULATED_CUS its compute units. */

#define __HIP_PLATFORM_AMD__ 1
#include <hip/hip_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMORY ((size_t)8 << 30)

static const char *gfx(void) {
  const char *named = getenv("EMULATED_GFX");
  return named ? named : "gfx900";
}

static int compute_units(void) {
  const char *named = getenv("EMULATED_CUS");
  return named ? atoi(named) : 56;
}

static int wave(void) { return strncmp(gfx(), "gfx1", 4) ? 64 : 32; }

/* The device */

hipError_t hipInit(unsigned flags) { return hipSuccess; }

hipError_t hipGetDeviceCount(int *count) {
  *count = 1;
  return hipSuccess;
}

hipError_t hipGetDevice(int *device) {
  *device = 0;
  return hipSuccess;
}

hipError_t hipSetDevice(int device) { return device ? hipErrorInvalidDevice : hipSuccess; }

hipError_t hipRuntimeGetVersion(int *version) {
  *version = 60443484;
  return hipSuccess;
}

hipError_t hipDriverGetVersion(int *version) { return hipRuntimeGetVersion(version); }
hipError_t hipDeviceSynchronize(void) { return hipSuccess; }
hipError_t hipGetLastError(void) { return hipSuccess; }
hipError_t hipPeekAtLastError(void) { return hipSuccess; }
const char *hipGetErrorName(hipError_t error) { return error ? "hipErrorUnknown" : "hipSuccess"; }
const char *hipGetErrorString(hipError_t error) { return error ? "an error of the emulated runtime" : "no error"; }

hipError_t hipDeviceTotalMem(size_t *bytes, hipDevice_t device) {
  *bytes = MEMORY;
  return hipSuccess;
}

hipError_t hipGetDeviceProperties(hipDeviceProp_t *properties, int device) { /* a macro: the name gets R0600 */
  if (device) return hipErrorInvalidDevice;
  memset(properties, 0, sizeof *properties);
  strcpy(properties->name, "Emulated AMD GPU");
  snprintf(properties->gcnArchName, sizeof properties->gcnArchName, "%s", gfx());
  properties->totalGlobalMem = MEMORY;
  properties->multiProcessorCount = compute_units();
  properties->warpSize = wave();
  properties->maxThreadsPerBlock = 1024;
  properties->sharedMemPerBlock = 65536;
  properties->clockRate = 1471000;
  properties->memoryClockRate = 800000;
  properties->memoryBusWidth = 2048;
  properties->major = 9;
  return hipSuccess;
}

hipError_t hipDeviceGetAttribute(int *value, hipDeviceAttribute_t attribute, int device) {
  switch (attribute) {
    case hipDeviceAttributeMultiprocessorCount: *value = compute_units(); break;
    case hipDeviceAttributeWarpSize: *value = wave(); break;
    case hipDeviceAttributeMaxSharedMemoryPerBlock: *value = 65536; break;
    case hipDeviceAttributeMaxGridDimX: *value = 2147483647; break;
    case hipDeviceAttributeMaxThreadsPerBlock: *value = 1024; break;
    case hipDeviceAttributeCooperativeLaunch: *value = 0; break;
    default: *value = 1;
  }
  return hipSuccess;
}

/* Memory */

#define FRONT 256 /* bytes before an allocation, which keep it aligned and hold its size */

static size_t in_use;

hipError_t hipMalloc(void **pointer, size_t bytes) {
  *pointer = NULL;
  if (!bytes) return hipSuccess;
  char *memory = bytes > MEMORY - in_use ? NULL : aligned_alloc(FRONT, FRONT + ((bytes + FRONT - 1) & -(size_t)FRONT));
  if (!memory) return hipErrorOutOfMemory;
  *(size_t *)memory = bytes;
  in_use += bytes;
  *pointer = memory + FRONT;
  return hipSuccess;
}

hipError_t hipFree(void *pointer) {
  if (!pointer) return hipSuccess;
  in_use -= *(size_t *)((char *)pointer - FRONT);
  free((char *)pointer - FRONT);
  return hipSuccess;
}

hipError_t hipMallocAsync(void **pointer, size_t bytes, hipStream_t stream) { return hipMalloc(pointer, bytes); }
hipError_t hipFreeAsync(void *pointer, hipStream_t stream) { return hipFree(pointer); }
hipError_t hipHostMalloc(void **pointer, size_t bytes, unsigned flags) { return hipMalloc(pointer, bytes); }
hipError_t hipHostFree(void *pointer) { return hipFree(pointer); }

hipError_t hipHostGetDevicePointer(void **device, void *host, unsigned flags) {
  *device = host;
  return hipSuccess;
}

hipError_t hipMemcpy(void *to, const void *from, size_t bytes, hipMemcpyKind kind) {
  memmove(to, from, bytes);
  return hipSuccess;
}

hipError_t hipMemcpyAsync(void *to, const void *from, size_t bytes, hipMemcpyKind kind, hipStream_t stream) {
  return hipMemcpy(to, from, bytes, kind);
}

hipError_t hipMemcpyWithStream(void *to, const void *from, size_t bytes, hipMemcpyKind kind, hipStream_t stream) {
  return hipMemcpy(to, from, bytes, kind);
}

hipError_t hipMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                       hipMemcpyKind kind) {
  for (size_t row = 0; row < height; row++)
    memmove((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
  return hipSuccess;
}

hipError_t hipMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                            hipMemcpyKind kind, hipStream_t stream) {
  return hipMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind);
}

hipError_t hipMemset(void *pointer, int value, size_t bytes) {
  memset(pointer, value, bytes);
  return hipSuccess;
}

hipError_t hipMemsetAsync(void *pointer, int value, size_t bytes, hipStream_t stream) {
  return hipMemset(pointer, value, bytes);
}

hipError_t hipMemGetInfo(size_t *free_bytes, size_t *total) {
  *free_bytes = MEMORY - in_use;
  *total = MEMORY;
  return hipSuccess;
}

hipError_t hipMemPtrGetInfo(void *pointer, size_t *bytes) {
  *bytes = (size_t)1 << 30;
  return hipSuccess;
}

hipError_t hipDeviceGetDefaultMemPool(hipMemPool_t *pool, int device) {
  *pool = (hipMemPool_t)1;
  return hipSuccess;
}

hipError_t hipMemPoolTrimTo(hipMemPool_t pool, size_t bytes) { return hipSuccess; }

hipError_t hipPointerGetAttributes(hipPointerAttribute_t *attributes, const void *pointer) {
  memset(attributes, 0, sizeof *attributes);
  attributes->type = hipMemoryTypeDevice;
  attributes->devicePointer = (void *)pointer;
  return hipSuccess;
}

/* Streams and events */

struct stamp {
  int recorded;
  double milliseconds;
};

hipError_t hipStreamCreateWithFlags(hipStream_t *stream, unsigned flags) {
  *stream = malloc(8);
  return hipSuccess;
}

hipError_t hipStreamCreate(hipStream_t *stream) { return hipStreamCreateWithFlags(stream, 0); }

hipError_t hipStreamDestroy(hipStream_t stream) {
  free(stream);
  return hipSuccess;
}

hipError_t hipStreamSynchronize(hipStream_t stream) { return hipSuccess; }
hipError_t hipStreamQuery(hipStream_t stream) { return hipSuccess; }
hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned flags) { return hipSuccess; }

hipError_t hipStreamIsCapturing(hipStream_t stream, hipStreamCaptureStatus *status) {
  *status = hipStreamCaptureStatusNone;
  return hipSuccess;
}

hipError_t hipEventCreateWithFlags(hipEvent_t *event, unsigned flags) {
  *event = calloc(1, sizeof(struct stamp));
  return hipSuccess;
}

hipError_t hipEventCreate(hipEvent_t *event) { return hipEventCreateWithFlags(event, 0); }

hipError_t hipEventDestroy(hipEvent_t event) {
  free(event);
  return hipSuccess;
}

hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *(struct stamp *)event = (struct stamp){1, now.tv_sec * 1e3 + now.tv_nsec / 1e6};
  return hipSuccess;
}

hipError_t hipEventSynchronize(hipEvent_t event) { return hipSuccess; }
hipError_t hipEventQuery(hipEvent_t event) { return hipSuccess; }

hipError_t hipEventElapsedTime(float *milliseconds, hipEvent_t start, hipEvent_t stop) {
  struct stamp *first = (struct stamp *)start, *last = (struct stamp *)stop;
  if (!first->recorded || !last->recorded) return hipErrorInvalidHandle;
  *milliseconds = last->milliseconds - first->milliseconds;
  return hipSuccess;
}

/* Modules and launches: handed to the emulator. With EMULATED_LAUNCHES=none whatever is loaded is taken and what is
   launched does nothing, for tests of what the libraries are told. */

typedef uint64_t (*load_function)(const void *image, const char *file);       /* 0 where it failed */
typedef uint64_t (*find_function)(uint64_t module, const char *name);         /* 0 where there is none */
typedef int (*launch_function)(uint64_t function, const uint32_t sizes[7], void **arguments, const void *packed,
                               size_t bytes);                                 /* grid, block, shared bytes */

static uint64_t take(const void *image, const char *file) { return 1; }
static uint64_t take_name(uint64_t module, const char *name) { return 1; }
static int ignore(uint64_t function, const uint32_t sizes[7], void **arguments, const void *packed, size_t bytes) {
  return 0;
}

static load_function on_load;
static find_function on_find;
static launch_function on_launch;

__attribute__((constructor)) static void launch_nothing(void) {
  const char *launches = getenv("EMULATED_LAUNCHES");
  if (launches && !strcmp(launches, "none")) {
    on_load = take;
    on_find = take_name;
    on_launch = ignore;
  }
}

void hipEmulatedAttach(load_function load, find_function find, launch_function launch) {
  on_load = load;
  on_find = find;
  on_launch = launch;
}

hipError_t hipModuleLoad(hipModule_t *module, const char *file) {
  *module = on_load ? (hipModule_t)on_load(NULL, file) : NULL;
  return *module ? hipSuccess : hipErrorFileNotFound;
}

hipError_t hipModuleLoadData(hipModule_t *module, const void *image) {
  *module = on_load ? (hipModule_t)on_load(image, NULL) : NULL;
  return *module ? hipSuccess : hipErrorInvalidImage;
}

hipError_t hipModuleUnload(hipModule_t module) { return hipSuccess; }

hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *name) {
  *function = (hipFunction_t)on_find((uint64_t)module, name);
  return *function ? hipSuccess : hipErrorNotFound;
}

hipError_t hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, hipFunction_t function, int threads,
                                                              size_t shared) {
  *blocks = 1;
  return hipSuccess;
}

static hipError_t launch(uint64_t function, dim3 grid, dim3 block, uint32_t shared, void **arguments, void **extra) {
  const void *packed = NULL;
  size_t bytes = 0;
  for (void **word = extra; word && *word != HIP_LAUNCH_PARAM_END; word += 2) {
    if (word[0] == HIP_LAUNCH_PARAM_BUFFER_POINTER) packed = word[1];
    if (word[0] == HIP_LAUNCH_PARAM_BUFFER_SIZE) bytes = *(size_t *)word[1];
  }
  const uint32_t sizes[7] = {grid.x, grid.y, grid.z, block.x, block.y, block.z, shared};
  return on_launch(function, sizes, arguments, packed, bytes) ? hipErrorLaunchFailure : hipSuccess;
}

hipError_t hipModuleLaunchKernel(hipFunction_t function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                 unsigned by, unsigned bz, unsigned shared, hipStream_t stream, void **arguments,
                                 void **extra) {
  return launch((uint64_t)function, (dim3){gx, gy, gz}, (dim3){bx, by, bz}, shared, arguments, extra);
}

hipError_t hipModuleLaunchCooperativeKernel(hipFunction_t function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                            unsigned by, unsigned bz, unsigned shared, hipStream_t stream,
                                            void **arguments) {
  return launch((uint64_t)function, (dim3){gx, gy, gz}, (dim3){bx, by, bz}, shared, arguments, NULL);
}

/* This one counts the grid in threads; a grid smaller than a block makes the block smaller. */
hipError_t hipExtModuleLaunchKernel(hipFunction_t function, uint32_t gx, uint32_t gy, uint32_t gz, uint32_t bx,
                                    uint32_t by, uint32_t bz, size_t shared, hipStream_t stream, void **arguments,
                                    void **extra, hipEvent_t start, hipEvent_t stop, uint32_t flags) {
  dim3 block = {gx < bx ? gx : bx, gy < by ? gy : by, gz < bz ? gz : bz};
  dim3 grid = {(gx + block.x - 1) / block.x, (gy + block.y - 1) / block.y, (gz + block.z - 1) / block.z};
  if (start) hipEventRecord(start, stream);
  hipError_t error = launch((uint64_t)function, grid, block, shared, arguments, extra);
  if (stop) hipEventRecord(stop, stream);
  return error;
}

/* Kernels that are compiled into a library */

static struct {
  const void *host, *image;
  const char *name;
  uint64_t function;
} known[200000];
static int known_count;
static struct {
  dim3 grid, block;
  size_t shared;
  hipStream_t stream;
} configuration;

void **__hipRegisterFatBinary(const void *image) {
  void **handle = malloc(sizeof *handle);
  *handle = (void *)image;
  return handle;
}

void __hipUnregisterFatBinary(void **modules) {}

void __hipRegisterFunction(void **modules, const void *host, char *device, const char *name, unsigned threads,
                           void *thread, void *block_index, void *block, void *grid, int *warp) {
  if (known_count == sizeof known / sizeof *known) abort();
  known[known_count].host = host;
  known[known_count].name = name;
  known[known_count++].image = *modules;
}

hipError_t __hipPushCallConfiguration(dim3 grid, dim3 block, size_t shared, hipStream_t stream) {
  configuration.grid = grid;
  configuration.block = block;
  configuration.shared = shared;
  configuration.stream = stream;
  return hipSuccess;
}

hipError_t __hipPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, hipStream_t *stream) {
  *grid = configuration.grid;
  *block = configuration.block;
  *shared = configuration.shared;
  *stream = configuration.stream;
  return hipSuccess;
}

hipError_t hipLaunchKernel(const void *host, dim3 grid, dim3 block, void **arguments, size_t shared,
                           hipStream_t stream) {
  for (int i = 0; i < known_count; i++) {
    if (known[i].host != host) continue;
    if (!known[i].function) {
      uint64_t module = on_load ? on_load(known[i].image, "fat") : 0;
      known[i].function = module ? on_find(module, known[i].name) : 0;
    }
    if (known[i].function) return launch(known[i].function, grid, block, shared, arguments, NULL);
  }
  return hipErrorInvalidDeviceFunction;
}
