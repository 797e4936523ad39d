// The double of libamdhip64: the HIP calls that the project makes, on memory of this computer.
#include "double.h"
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

// What callers know only by number is the same in any headers that this is built on.
static_assert(hipErrorInvalidConfiguration == 9 && hipErrorInvalidDevice == 101 && hipErrorInvalidImage == 200 &&
              hipErrorNoBinaryForGpu == 209 && hipErrorNotFound == 500);
static_assert(hipErrorInvalidValue == 1 && hipErrorOutOfMemory == 2 && hipErrorNoDevice == 100 &&
              hipErrorNotReady == 600);
static_assert(hipErrorInvalidHandle == 400 && hipErrorIllegalAddress == 700 && hipErrorLaunchTimeOut == 702);
static_assert(hipMemcpyHostToHost == 0 && hipMemcpyDeviceToHost == 2 && hipMemcpyDefault == 4);
static_assert(sizeof(hipDeviceProp_t) == 1472 && offsetof(hipDeviceProp_t, totalGlobalMem) == 288 &&
              offsetof(hipDeviceProp_t, warpSize) == 308 && offsetof(hipDeviceProp_t, gcnArchName) == 1160);

namespace {
std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> Guard;

std::string from_environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value && *value ? value : otherwise;
}

// What a test sets: in this process by the functions below, in a child process by its environment.
struct Settings {
  int devices = std::stoi(from_environment("DOUBLE_DEVICES", "1"));
  size_t memory = 8ull << 30;
  size_t others = 0;  // bytes of it that other programs have, the desktop's among them
  size_t piece = -1;  // the most bytes of one allocation: HIP gives a part of the memory at a time
  std::string arch = from_environment("DOUBLE_ARCH", "gfx900");  // of each device; of all, where there is but one name
  bool hold = false;              // work waits until something waits for it
  std::atomic<bool> hang{false};  // work never ends
  double patience = 10;           // seconds after which a wait for such work gives up
  int order = 0;                  // of blocks and threads: see the engine
  double skew = 0;                // milliseconds that are missing from the time between two events
} settings;

// Calls

struct Plan {
  unsigned long at;  // the call of that number, or every one for 0
  int status;        // -1 ends the process
};
struct Calls {
  std::unordered_map<std::string_view, unsigned long> counts;
  std::map<std::string, Plan, std::less<>> plans;
  std::set<std::string> names;  // which the views above look at
  unsigned long& count(std::string_view call) {
    auto found = counts.find(call);
    if (found == counts.end()) found = counts.emplace(*names.emplace(call).first, 0).first;
    return found->second;
  }
  void plan(const std::string& call, unsigned long nth, int status) {
    plans[call] = {nth ? count(call) + nth : 0, status};
  }
  Calls() {  // DOUBLE_FAIL=hipMalloc:3:2,hipMemcpy:1:1
    std::string list = from_environment("DOUBLE_FAIL", "");
    for (size_t start = 0, end; start < list.size(); start = end + 1) {
      end = std::min(list.find(',', start), list.size());
      char name[64];
      unsigned long nth;
      int status;
      if (sscanf(list.substr(start, end - start).c_str(), "%63[^:]:%lu:%d", name, &nth, &status) == 3)
        plan(name, nth, status);
    }
  }
} calls;
std::string reason;
thread_local int current = 0;    // the device that this thread means
long others = 0;                 // handles and descriptors of the other libraries
hipError_t broken = hipSuccess;  // after a fault in a kernel nothing works any more, as on a GPU

std::string arch_of(int device) {
  std::string names = settings.arch;
  for (; device > 0 && names.find(',') != std::string::npos; device--) names.erase(0, names.find(',') + 1);
  return names.substr(0, names.find(','));
}
bool has_pairs(const std::string& arch) { return arch.rfind("gfx1", 0) == 0; }  // from gfx10 on

hipError_t say(hipError_t status, const std::string& why) { return hipError_t(double_say(status, why)); }

// A call that needs no device; and one that does.
template <class Body>
hipError_t plain(const char* name, Body body) {
  Guard guard(lock);
  hipError_t status = hipError_t(double_enter(name));
  return status == hipSuccess ? body() : status;
}
template <class Body>
hipError_t call(const char* name, Body body) {
  return plain(name, [&] { return !settings.devices ? hipErrorNoDevice : broken != hipSuccess ? broken : body(); });
}

// Memory

// Device addresses are no addresses of this CPU (not canonical on x86-64), so that the host can touch none by mistake.
// Behind them is an arena in which a page without access lies between any two allocations.
class DeviceMemory {
 public:
  static bool owns(const void* p) { return uint64_t(p) - base < span; }
  size_t used() const { return used_; }
  size_t live() const {
    return std::count_if(blocks_.begin(), blocks_.end(), [](auto& b) { return b.second.live; });
  }

  void* allocate(size_t bytes) {  // null where there is no room
    if (bytes > settings.memory || bytes > settings.piece || used_ + settings.others + bytes > settings.memory ||
        next_ + pages(bytes) + page > span)
      return nullptr;
    char* begin = arena() + next_;
    if (mprotect(begin, pages(bytes), PROT_READ | PROT_WRITE)) return nullptr;
    const size_t padded = up(bytes, grain);
    char* p = begin + pages(bytes) - padded;  // so that its end meets the page without access
    memset(begin, guard, p - begin);
    memset(p, 0xFF, bytes);  // not a number: what is read before it is written shows
    memset(p + bytes, guard, padded - bytes);
    void* address = (void*)(base + next_ + (p - begin));
    next_ += pages(bytes) + page;
    used_ += bytes;
    blocks_[uint64_t(address)] = {bytes, ++serial_, true};
    return address;
  }
  bool release(void* address) {
    auto b = blocks_.find(uint64_t(address));
    if (b == blocks_.end() || !b->second.live) return false;
    const size_t size = pages(b->second.bytes);
    char* begin = real(b->first) + up(b->second.bytes, grain) - size;
    mmap(begin, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    used_ -= b->second.bytes;
    b->second.live = false;  // its addresses are never given again
    return true;
  }
  char* view(const void* address, size_t bytes, std::string& why) {
    const uint64_t a = uint64_t(address);
    auto b = before(a);
    if (b == blocks_.end() || a > b->first + b->second.bytes) return why = "no allocation holds this address", nullptr;
    if (!b->second.live) return why = "it lies in freed " + name(b), nullptr;
    if (a + bytes <= b->first + b->second.bytes) return real(a);
    why = std::to_string(bytes) + " bytes at offset " + std::to_string(a - b->first) + " do not fit in " + name(b);
    return nullptr;
  }
  std::string trespass(const void* address) {  // on the bytes around a live allocation, where there is no fault
    auto b = before(uint64_t(address));
    if (b == blocks_.end() || !b->second.live) return "";
    const size_t bytes = b->second.bytes, padded = up(bytes, grain);
    const unsigned char *p = (unsigned char*)real(b->first), *begin = p + padded - pages(bytes);
    auto touched = [](unsigned char c) { return c != guard; };
    if (std::any_of(begin, p, touched)) return "a write before " + name(b);
    return std::any_of(p + bytes, p + padded, touched) ? "a write after the end of " + name(b) : "";
  }
  std::string describe(const char* host) {
    if (host < arena_ || host >= arena_ + span) return "outside device memory";
    const uint64_t a = base + (host - arena_);
    auto b = before(a);
    if (b == blocks_.end()) return "before all allocations";
    return std::to_string(a - b->first) + " bytes from the start of " + (b->second.live ? "" : "freed ") + name(b);
  }

 private:
  struct Block {
    size_t bytes, serial;
    bool live;
  };
  typedef std::map<uint64_t, Block> Blocks;
  static constexpr uint64_t base = 0x0D0B1E0000000000, span = 4ull << 40;
  static constexpr size_t page = 4096, grain = 256;  // hipMalloc's addresses are multiples of 256
  static constexpr unsigned char guard = 0xFB;
  static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }
  static size_t pages(size_t bytes) { return up(bytes, page); }
  static std::string name(Blocks::iterator b) {
    return "allocation " + std::to_string(b->second.serial) + " of " + std::to_string(b->second.bytes) + " bytes";
  }
  Blocks::iterator before(uint64_t a) {
    auto b = blocks_.upper_bound(a);
    return b == blocks_.begin() ? blocks_.end() : std::prev(b);
  }
  char* real(uint64_t address) { return arena() + (address - base); }
  char* arena() {
    if (!arena_) arena_ = (char*)mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return arena_;
  }
  char* arena_ = nullptr;
  size_t next_ = page, used_ = 0, serial_ = 0;
  Blocks blocks_;
} memory;
std::map<char*, size_t> pinned;

bool is_pinned(const void* p, size_t bytes) {
  auto i = pinned.upper_bound((char*)p);
  return i != pinned.begin() && (--i, (char*)p + bytes <= i->first + i->second);
}

// Streams and events

struct Stream {
  bool blocking;
  std::deque<std::function<void()>> work;
};
struct Point {
  Stream* stream;
  bool passed;
  double milliseconds;
};  // a place in a stream's work
typedef std::shared_ptr<Point> Mark;
struct Event {
  Mark mark;
};  // recorded again, it marks another point; who waits keeps to the one of then
Stream null_stream{true, {}};
std::set<Stream*> streams;
std::set<Event*> events;

// A call that takes an event.
template <class Body>
hipError_t call(const char* name, hipEvent_t event, Body body) {
  return call(name, [&] {
    return events.count((Event*)event) ? body(*(Event*)event) : say(hipErrorInvalidHandle, "no such event");
  });
}

double milliseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}
Stream* stream_of(hipStream_t s) { return !s ? &null_stream : streams.count((Stream*)s) ? (Stream*)s : nullptr; }
void step(Stream& s) {
  auto work = std::move(s.work.front());
  s.work.pop_front();
  work();
}

// Does a stream's work until `done`. While the test lets work hang this waits, and in the end gives up.
template <class Done>
hipError_t work_until(Stream& s, Done done) {
  for (const double start = milliseconds(); settings.hang && !done();) {
    if (milliseconds() - start > settings.patience * 1e3)
      return say(hipErrorLaunchTimeOut, "the double waits no longer");
    usleep(1000);
  }
  while (!done() && !s.work.empty()) step(s);
  return broken;
}
hipError_t drain(Stream& s) {
  return work_until(s, [&] { return s.work.empty(); });
}
hipError_t drain_all(bool blocking_only = false) {
  hipError_t status = drain(null_stream);
  for (Stream* s : streams)
    if (s->blocking || !blocking_only) status = std::max(status, drain(*s));
  return status;
}
// Does a stream's work up to a point of it. A stream that is gone has come to its end, and so to the point.
hipError_t reach(const Mark& mark) {
  return mark->passed ? broken : work_until(*mark->stream, [&] { return mark->passed; });
}
// Answers that work is not done, to somebody who waits for it by asking again; when they do, it is.
template <class Wait>
hipError_t poll(Wait wait) {
  if (!settings.hang) (void)wait();
  return hipErrorNotReady;
}
hipError_t put(hipStream_t stream, std::function<void()> work) {
  Stream* s = stream_of(stream);
  if (!s) return say(hipErrorInvalidHandle, "no such stream");
  // The null stream and the others (but those created as non-blocking) wait for each other.
  if (!settings.hang && s == &null_stream) (void)drain_all(true);
  if (!settings.hang && s->blocking && s != &null_stream) (void)drain(null_stream);
  s->work.push_back(std::move(work));
  return settings.hold || settings.hang ? hipSuccess : drain(*s);
}

// Copies

enum Side { host, device, either };
hipError_t place(const void* p, size_t bytes, Side side, char*& out) {
  std::string why;
  const bool ours = DeviceMemory::owns(p);
  if (!p) return say(hipErrorInvalidValue, "a null pointer");
  if (ours && side == host) return say(hipErrorInvalidValue, "a device address where this copy takes a host address");
  if (!ours && side == device && !is_pinned(p, bytes))
    return say(hipErrorInvalidValue, "a host address where this copy takes a device address");
  out = ours ? memory.view(p, bytes, why) : (char*)p;
  return out ? hipSuccess : say(hipErrorInvalidValue, why);
}
hipError_t copy(void* to, const void* from, size_t bytes, hipMemcpyKind kind, hipStream_t stream, bool wait) {
  const Side sides[5][2] = {{host, host}, {device, host}, {host, device}, {device, device}, {either, either}};
  if (unsigned(kind) > hipMemcpyDefault) return hipErrorInvalidMemcpyDirection;
  if (!bytes) return hipSuccess;
  char *target, *source;
  if (auto e = place(to, bytes, sides[kind][0], target)) return e;
  if (auto e = place(from, bytes, sides[kind][1], source)) return e;
  // Host memory that is not pinned is done with when the call returns, in either direction.
  auto pageable = [=](const void* p) { return !DeviceMemory::owns(p) && !is_pinned(p, bytes); };
  std::function<void()> work = [=] { memmove(target, source, bytes); };
  if (!wait && pageable(from)) {
    auto staged = std::make_shared<std::vector<char>>(source, source + bytes);
    work = [=] { memcpy(target, staged->data(), bytes); };
  }
  if (auto e = put(stream, work)) return e;
  return wait || pageable(to) ? drain(*stream_of(stream)) : broken;
}
hipError_t set(void* to, int value, size_t bytes, hipStream_t stream) {
  char* target;
  if (!bytes) return hipSuccess;
  if (auto e = place(to, bytes, device, target)) return e;
  return put(stream, [=] { memset(target, value, bytes); });
}

// Modules and launches

struct Module {
  void* library;
  const double_module* table;
};
struct Function {
  const double_module* module;
  const double_kernel* kernel;
};
std::map<Module*, std::vector<std::unique_ptr<Function>>> modules;

std::string describe(const void* address) { return memory.describe((const char*)address); }

bool known(Function* f) {
  for (auto& m : modules)
    for (auto& one : m.second)
      if (one.get() == f) return true;
  return false;
}

// A kernel's arguments as the caller passed them: an array of pointers, or one buffer laid out as a C struct.
hipError_t take_arguments(const double_kernel& k, void** params, void** extra, std::vector<size_t>& offsets,
                          std::vector<char>& data) {
  size_t end = 0;
  for (unsigned i = 0; i < k.count; i++) {
    end = (end + k.arguments[i].align - 1) / k.arguments[i].align * k.arguments[i].align;
    offsets.push_back(end);
    end += k.arguments[i].size;
  }
  data.resize(end + 16);
  if (!extra) {
    for (unsigned i = 0; i < k.count; i++) {
      if (!params || !params[i]) return say(hipErrorInvalidValue, std::string(k.name) + ": an argument is missing");
      memcpy(&data[offsets[i]], params[i], k.arguments[i].size);
    }
    return hipSuccess;
  }
  const void* buffer = nullptr;
  size_t size = 0;
  for (void** p = extra; *p != HIP_LAUNCH_PARAM_END; p += 2) {
    if (p[0] == HIP_LAUNCH_PARAM_BUFFER_POINTER) buffer = p[1];
    if (p[0] == HIP_LAUNCH_PARAM_BUFFER_SIZE) size = *(size_t*)p[1];
  }
  if (size < end || size > (end + 7) / 8 * 8)
    return say(hipErrorInvalidValue, std::string(k.name) + " takes " + std::to_string(end) +
                                         " bytes of arguments, and gets " + std::to_string(size));
  if (end) memcpy(data.data(), buffer, end);
  return hipSuccess;
}

// Device addresses among the arguments, also inside a struct, become the CPU's; any other pointer is a fault.
hipError_t translate(const double_kernel& k, const std::vector<size_t>& offsets, std::vector<char>& data,
                     std::vector<void*>& reached) {
  for (unsigned i = 0; i < k.count; i++)
    for (size_t at = 0; at + 8 <= k.arguments[i].size; at += 8) {
      void* p;
      memcpy(&p, &data[offsets[i] + at], 8);
      std::string why = "it is a host address";
      if (DeviceMemory::owns(p)) {
        char* view = memory.view(p, 0, why);
        memcpy(&data[offsets[i] + at], &view, 8);
        reached.push_back(p);
        if (view) continue;
      } else if (!k.arguments[i].pointer || !p || is_pinned(p, 1)) continue;
      return say(broken = hipErrorIllegalAddress, std::string(k.name) + ": argument " + std::to_string(i) + ": " + why);
    }
  return hipSuccess;
}

hipError_t launch(Function* f, double_uint3 grid, double_uint3 block, unsigned dynamic, hipStream_t stream,
                  void** params, void** extra) {
  if (!known(f)) return say(hipErrorInvalidHandle, "no such kernel function");
  const double_kernel& k = *f->kernel;
  const double_module& m = *f->module;
  const size_t threads = size_t(block.x) * block.y * block.z;
  if (!threads || threads > 1024 || !grid.x || !grid.y || !grid.z)
    return say(hipErrorInvalidConfiguration,
               std::string(k.name) + ": a block has 1 to 1024 threads, and a grid 1 block or more");
  if (dynamic) return say(hipErrorInvalidValue, std::string(k.name) + ": the double has no dynamic shared memory");
  std::vector<size_t> offsets;
  std::vector<char> data;
  std::vector<void*> reached;
  if (auto e = take_arguments(k, params, extra, offsets, data)) return e;
  if (auto e = translate(k, offsets, data, reached)) return e;
  return put(stream, [=, data = std::move(data), kernel = &k, module = &m]() mutable {
    if (broken != hipSuccess) return;
    std::vector<void*> arguments;
    for (size_t at : offsets) arguments.push_back(&data[at]);
    std::string problem = run_kernel({module, kernel, grid, block, arguments.data()}, settings.order, describe);
    for (void* p : reached)
      if (problem.empty() && !(problem = memory.trespass(p)).empty())
        problem = std::string(kernel->name) + ": " + problem;
    if (!problem.empty()) (void)say(broken = hipErrorIllegalAddress, problem);
  });
}
}  // namespace

int double_enter(const char* name) {
  Guard guard(lock);
  const unsigned long n = ++calls.count(name);
  auto plan = calls.plans.find(std::string_view(name));
  if (plan == calls.plans.end() || (plan->second.at && plan->second.at != n)) return 0;
  if (plan->second.status == -1) abort();  // as a library does that has no kernels for the GPU
  return double_say(plan->second.status, std::string(name) + ": planned to fail at call " + std::to_string(n));
}
int double_say(int status, const std::string& why) {
  Guard guard(lock);
  reason = why;
  return status;
}
char* double_view(const void* address, size_t bytes) {
  Guard guard(lock);
  std::string why = "a host address where a device address is due";
  char* view = DeviceMemory::owns(address) ? memory.view(address, bytes, why) : nullptr;
  if (!view) double_say(0, why);
  return view;
}
hipError_t double_put(hipStream_t stream, std::function<void()> work) {
  Guard guard(lock);
  return !settings.devices ? hipErrorNoDevice : broken != hipSuccess ? broken : put(stream, std::move(work));
}
hipError_t double_wait(hipStream_t stream) {
  Guard guard(lock);
  return stream_of(stream) ? drain(*stream_of(stream)) : hipErrorInvalidHandle;
}
void double_made(int change) {
  Guard guard(lock);
  others += change;
}
std::string double_arch() { return arch_of(current); }

extern "C" {
// For tests: counts, planned failures and settings.
unsigned long double_calls(const char* name) {
  Guard guard(lock);
  return calls.count(name);
}
void double_fail(const char* name, unsigned long nth, int status) {
  Guard guard(lock);
  calls.plan(name, nth, status);
}
const char* double_reason() { return reason.c_str(); }
unsigned long double_live() {
  Guard guard(lock);
  return memory.live() + pinned.size() + streams.size() + events.size() + modules.size() + others;
}
void double_set_devices(int count) { settings.devices = count; }
void double_set_memory(size_t bytes) { settings.memory = bytes; }
void double_set_others(size_t bytes) { settings.others = bytes; }
void double_set_piece(size_t bytes) { settings.piece = bytes; }
void double_set_arch(const char* name) { settings.arch = name; }
void double_set_hold(int on) { settings.hold = on; }
void double_set_hang(int on) { settings.hang = on; }
void double_set_patience(double seconds) { settings.patience = seconds; }
void double_set_skew(double milliseconds) { settings.skew = milliseconds; }
void double_set_order(int order) { settings.order = order; }
void double_reset() {
  Guard guard(lock);
  calls.counts.clear();
  calls.plans.clear();
  reason.clear();
  broken = hipSuccess;
}

// The device
hipError_t hipGetDeviceCount(int* count) {
  *count = 0;
  return plain(__func__, [&] { return (*count = settings.devices) ? hipSuccess : hipErrorNoDevice; });
}
hipError_t hipGetDevice(int* device) {
  return call(__func__, [&] {
    *device = current;
    return hipSuccess;
  });
}
hipError_t hipSetDevice(int device) {
  return call(__func__, [&] {
    if (unsigned(device) >= unsigned(settings.devices)) return hipErrorInvalidDevice;
    current = device;
    return hipSuccess;
  });
}
hipError_t hipRuntimeGetVersion(int* version) {
  return plain(__func__, [&] {
    *version = 60443484;
    return hipSuccess;
  });
}
hipError_t hipGetDeviceProperties(hipDeviceProp_t* p, int device) {
  return call("hipGetDeviceProperties", [&] {
    if (unsigned(device) >= unsigned(settings.devices)) return hipErrorInvalidDevice;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "double (a CPU, not a GPU)");
    const std::string arch = arch_of(device);
    snprintf(p->gcnArchName, sizeof p->gcnArchName, "%s", arch.c_str());
    p->totalGlobalMem = settings.memory;
    p->integrated = arch == "gfx1036";  // what a Ryzen 7000 has in it
    p->warpSize = has_pairs(arch) ? 32 : 64;
    p->sharedMemPerBlock = p->maxSharedMemoryPerMultiProcessor = 65536;
    p->maxThreadsPerBlock = 1024;
    p->multiProcessorCount = has_pairs(arch) ? 32 : 64;  // work-group processors, of two compute units each
    p->clockRate = 1500000;
    p->memoryClockRate = 800000;
    p->memoryBusWidth = 2048;
    p->l2CacheSize = 4 << 20;
    return hipSuccess;
  });
}
hipError_t hipMemGetInfo(size_t* free, size_t* total) {
  return call(__func__, [&] {
    *total = settings.memory;
    *free = (*total - memory.used() - settings.others) / 1024 * 1024;  // HIP counts it in KiB
    return hipSuccess;
  });
}
hipError_t hipDeviceSynchronize() {
  return call(__func__, [] { return drain_all(); });
}

// Memory
hipError_t hipMalloc(void** out, size_t bytes) {
  return call(__func__, [&] {
    *out = bytes ? memory.allocate(bytes) : nullptr;
    return *out || !bytes ? hipSuccess : say(hipErrorOutOfMemory, "no room for " + std::to_string(bytes) + " bytes");
  });
}
hipError_t hipFree(void* p) {
  return call(__func__, [&] {
    if (auto e = drain_all()) return e;
    return !p || memory.release(p) ? hipSuccess : say(hipErrorInvalidValue, "hipFree of what is no live allocation");
  });
}
hipError_t hipHostMalloc(void** out, size_t bytes, unsigned) {
  return call(__func__, [&] {
    if (posix_memalign(out, 4096, std::max<size_t>(bytes, 1))) return hipErrorOutOfMemory;
    pinned[(char*)*out] = bytes;
    return hipSuccess;
  });
}
hipError_t hipHostFree(void* p) {
  return call(__func__, [&] {
    if (auto e = drain_all()) return e;
    if (p && !pinned.erase((char*)p))
      return say(hipErrorInvalidValue, "hipHostFree of what hipHostMalloc did not give");
    free(p);
    return hipSuccess;
  });
}
hipError_t hipHostGetDevicePointer(void** out, void* p, unsigned) {
  return call(__func__, [&] {
    return is_pinned(*out = p, 1) ? hipSuccess : say(hipErrorInvalidValue, "memory that is not pinned");
  });
}
hipError_t hipMemcpy(void* to, const void* from, size_t bytes, hipMemcpyKind kind) {
  return call(__func__, [&] { return copy(to, from, bytes, kind, nullptr, true); });
}
hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, hipMemcpyKind kind, hipStream_t stream) {
  return call(__func__, [&] { return copy(to, from, bytes, kind, stream, false); });
}
hipError_t hipMemsetAsync(void* to, int value, size_t bytes, hipStream_t stream) {
  return call(__func__, [&] { return set(to, value, bytes, stream); });
}

// Streams
hipError_t hipStreamCreateWithFlags(hipStream_t* out, unsigned flags) {
  return call(__func__, [&] {
    *out = (hipStream_t)*streams.insert(new Stream{!(flags & hipStreamNonBlocking), {}}).first;
    return hipSuccess;
  });
}
hipError_t hipStreamDestroy(hipStream_t stream) {
  return call(__func__, [&] {
    Stream* s = stream_of(stream);
    if (!s || !stream) return say(hipErrorInvalidHandle, "no such stream");
    if (auto e = drain(*s)) return e;
    streams.erase(s);
    delete s;
    return hipSuccess;
  });
}
hipError_t hipStreamSynchronize(hipStream_t stream) {
  return call(__func__, [&] {
    Stream* s = stream_of(stream);
    if (!s) return say(hipErrorInvalidHandle, "no such stream");
    return stream ? drain(*s) : drain_all(true);
  });
}
hipError_t hipStreamQuery(hipStream_t stream) {
  return call(__func__, [&] {
    Stream* s = stream_of(stream);
    if (!s) return say(hipErrorInvalidHandle, "no such stream");
    return s->work.empty() ? broken : poll([&] { return drain(*s); });
  });
}

// Events
hipError_t hipEventCreate(hipEvent_t* out) {
  return call(__func__, [&] {
    *out = (hipEvent_t)*events.insert(new Event).first;
    return hipSuccess;
  });
}
hipError_t hipEventDestroy(hipEvent_t event) {
  return call(__func__, event, [](Event& e) {
    events.erase(&e);
    delete &e;
    return hipSuccess;
  });
}
hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
  return call(__func__, event, [&](Event& e) {
    if (!stream_of(stream)) return say(hipErrorInvalidHandle, "no such stream");
    e.mark = std::make_shared<Point>(Point{stream_of(stream), false, 0});
    return put(stream, [mark = e.mark] {
      mark->passed = true;
      mark->milliseconds = milliseconds();
    });
  });
}
hipError_t hipEventSynchronize(hipEvent_t event) {
  return call(__func__, event, [](Event& e) { return e.mark ? reach(e.mark) : hipSuccess; });
}
hipError_t hipEventQuery(hipEvent_t event) {
  return call(__func__, event,
              [](Event& e) { return !e.mark || e.mark->passed ? broken : poll([&] { return reach(e.mark); }); });
}
hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned) {
  return call(__func__, event, [&](Event& e) {
    return put(stream, [mark = e.mark] {
      if (mark) (void)reach(mark);
    });
  });
}
hipError_t hipEventElapsedTime(float* out, hipEvent_t start, hipEvent_t stop) {
  return call(__func__, start, [&](Event& a) {
    if (!events.count((Event*)stop)) return say(hipErrorInvalidHandle, "no such event");
    const Event& b = *(Event*)stop;
    if (!a.mark || !b.mark) return say(hipErrorInvalidHandle, "an event that was not recorded");
    if (!a.mark->passed || !b.mark->passed) return hipErrorNotReady;
    *out = float(b.mark->milliseconds - a.mark->milliseconds - settings.skew);
    return hipSuccess;
  });
}

// Modules
hipError_t hipModuleLoadData(hipModule_t* out, const void* image) {
  return call(__func__, [&] {
    auto* header = (const Elf64_Ehdr*)image;
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG))
      return say(hipErrorInvalidImage, "the code object is no ELF file");
    if (header->e_machine != EM_X86_64)
      return say(hipErrorNoBinaryForGpu, "the double of hiprtc did not make this code object");
    const size_t size = header->e_shoff + size_t(header->e_shnum) * header->e_shentsize;
    std::string path = from_environment("TMPDIR", "/tmp") + "/double-XXXXXX";  // a loader knows a library by its name
    const int file = mkstemp(path.data());
    const bool written = file >= 0 && write(file, image, size) == ssize_t(size);
    void* library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    close(file);
    unlink(path.c_str());
    auto* table = library ? (const double_module*)dlsym(library, "double_table") : nullptr;
    if (!table) return say(hipErrorInvalidImage, "the code object does not load");
    const std::string arch = double_arch();
    if (arch.substr(0, arch.find(':')) != table->arch) {
      const std::string made_for = table->arch;
      dlclose(library);
      return say(hipErrorNoBinaryForGpu, "the code object is for " + made_for + ", the device is " + arch);
    }
    auto* module = new Module{library, table};
    modules[module];
    *out = (hipModule_t)module;
    return hipSuccess;
  });
}
hipError_t hipModuleUnload(hipModule_t module) {
  return call(__func__, [&] {
    auto* m = (Module*)module;
    if (!modules.count(m)) return say(hipErrorInvalidHandle, "no such module");
    if (auto e = drain_all()) return e;
    modules.erase(m);
    dlclose(m->library);
    delete m;
    return hipSuccess;
  });
}
hipError_t hipModuleGetFunction(hipFunction_t* out, hipModule_t module, const char* name) {
  return call(__func__, [&] {
    auto m = modules.find((Module*)module);
    if (m == modules.end()) return say(hipErrorInvalidHandle, "no such module");
    const double_module* table = m->first->table;
    for (unsigned i = 0; i < table->count; i++)
      if (!strcmp(table->kernels[i].name, name)) {
        m->second.push_back(std::make_unique<Function>(Function{table, &table->kernels[i]}));
        *out = (hipFunction_t)m->second.back().get();
        return hipSuccess;
      }
    return say(hipErrorNotFound, std::string("no kernel ") + name);
  });
}
hipError_t hipModuleLaunchKernel(hipFunction_t f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned dynamic, hipStream_t stream, void** params, void** extra) {
  return call(__func__,
              [&] { return launch((Function*)f, {gx, gy, gz}, {bx, by, bz}, dynamic, stream, params, extra); });
}

// Words
struct Words {
  const char *name, *text;
};
static Words words_of(hipError_t status) {
#define WORDS(code, text) \
  {                       \
    code, { #code, text } \
  }
  static const std::map<hipError_t, Words> all = {
      WORDS(hipSuccess, "no error"),
      WORDS(hipErrorInvalidValue, "invalid argument"),
      WORDS(hipErrorOutOfMemory, "out of memory"),
      WORDS(hipErrorInvalidConfiguration, "invalid configuration argument"),
      WORDS(hipErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
      WORDS(hipErrorNoDevice, "no ROCm-capable device is detected"),
      WORDS(hipErrorInvalidDevice, "invalid device ordinal"),
      WORDS(hipErrorInvalidImage, "device kernel image is invalid"),
      WORDS(hipErrorNoBinaryForGpu, "no kernel image is available for execution on the device"),
      WORDS(hipErrorInvalidHandle, "invalid resource handle"),
      WORDS(hipErrorNotFound, "named symbol not found"),
      WORDS(hipErrorNotReady, "device not ready"),
      WORDS(hipErrorIllegalAddress, "an illegal memory access was encountered"),
      WORDS(hipErrorLaunchTimeOut, "the launch timed out and was terminated"),
      WORDS(hipErrorUnknown, "unknown error"),
  };
  auto found = all.find(status);
  return found == all.end() ? all.at(hipErrorUnknown) : found->second;
}
const char* hipGetErrorName(hipError_t status) { return words_of(status).name; }
const char* hipGetErrorString(hipError_t status) { return words_of(status).text; }
}
