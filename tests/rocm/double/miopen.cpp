// The double of libMIOpen: convolution, activation, softmax, pooling, batch norm and tensor operations on packed NCHW
// tensors, each by its definition in float. Find really times its solvers, and keeps them in a user find-db file as
// MIOpen does; without a record, immediate mode answers as MIOpen's fallback: a figure that is no time.
#ifdef REAL_HEADERS
#define __HIP_PLATFORM_AMD__ 1
#include <miopen/miopen.h>
#endif
#include "double.h"
#include <time.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

static_assert(miopenStatusBadParm == 3 && miopenStatusUnknownError == 7 && miopenHalf == 0 && miopenFloat == 1 &&
              miopenBFloat16 == 5);
static_assert(miopenActivationLOGISTIC == 1 && miopenActivationELU == 9 && miopenPoolingAverageInclusive == 2 &&
              miopenBNSpatial == 1);
static_assert(sizeof(miopenConvSolution_t) == 32 && offsetof(miopenConvSolution_t, solution_id) == 16);
static_assert(sizeof(miopenConvAlgoPerf_t) == 16 && offsetof(miopenConvAlgoPerf_t, memory) == 8);

namespace {
typedef miopenTensorDescriptor_t TensorDescriptor;
typedef miopenConvolutionDescriptor_t ConvolutionDescriptor;
typedef miopenPoolingDescriptor_t PoolingDescriptor;
typedef miopenActivationDescriptor_t ActivationDescriptor;

struct Handle {
  hipStream_t stream;
};
struct Tensor {
  miopenDataType_t type;
  std::array<int, 4> size;  // N, C, H, W
  size_t elements() const { return size_t(size[0]) * size[1] * size[2] * size[3]; }
  size_t bytes() const { return elements() * (type == miopenFloat ? 4 : 2); }
};
struct Convolution {
  int pad[2], stride[2], dilation[2], groups;
};
struct Pooling {
  miopenPoolingMode_t mode;
  int window[2], pad[2], stride[2];
};
struct Activation {
  miopenActivationMode_t mode;
  float alpha, beta, gamma;
};

Handle& at(miopenHandle_t h) { return *(Handle*)h; }
Tensor& at(TensorDescriptor d) { return *(Tensor*)d; }
Convolution& at(ConvolutionDescriptor d) { return *(Convolution*)d; }
Pooling& at(PoolingDescriptor d) { return *(Pooling*)d; }
Activation& at(ActivationDescriptor d) { return *(Activation*)d; }

template <class Body>
miopenStatus_t call(const char* name, Body body) {
  const int planned = double_enter(name);
  return planned ? miopenStatus_t(planned) : body();
}
miopenStatus_t refuse(miopenStatus_t status, const std::string& why) { return miopenStatus_t(double_say(status, why)); }

// Tensors as float

typedef std::vector<float> Floats;
template <class T>
Floats widened(const char* p, size_t n) {
  return Floats((const T*)p, (const T*)p + n);
}
Floats load(const char* p, const Tensor& t) {
  if (t.type == miopenFloat) return widened<float>(p, t.elements());
  return t.type == miopenHalf ? widened<Float16>(p, t.elements()) : widened<BFloat16>(p, t.elements());
}
void store(char* p, const Tensor& t, const float* values) {
  if (t.type == miopenFloat) memcpy(p, values, t.bytes());
  if (t.type == miopenHalf) std::copy_n(values, t.elements(), (Float16*)p);
  if (t.type == miopenBFloat16) std::copy_n(values, t.elements(), (BFloat16*)p);
}

// Hands y = work(inputs) to the handle's stream. The scalars are 1 and 0: the project never asks for others.
template <class Work>
miopenStatus_t launch(miopenHandle_t handle, const void* alpha, const void* beta,
                      std::vector<std::pair<Tensor, const void*>> inputs, const Tensor& y_tensor, void* y, Work work) {
  if (!handle) return miopenStatusBadParm;
  if (*(const float*)alpha != 1 || *(const float*)beta != 0)
    return refuse(miopenStatusNotImplemented, "alpha is 1 and beta 0 here");
  std::vector<std::pair<Tensor, const char*>> views;
  for (auto& [tensor, p] : inputs) views.push_back({tensor, double_view(p, tensor.bytes())});
  char* target = double_view(y, y_tensor.bytes());
  for (auto& view : views)
    if (!view.second) return miopenStatusUnknownError;  // a GPU would fault
  if (!target) return miopenStatusUnknownError;
  const hipError_t status = double_put(at(handle).stream, [=, tensor = y_tensor] {
    std::vector<Floats> values;
    for (auto& [t, p] : views) values.push_back(load(p, t));
    Floats result(tensor.elements());
    work(values, result);
    store(target, tensor, result.data());
  });
  return status == hipSuccess ? miopenStatusSuccess : miopenStatusUnknownError;
}

// Convolution

struct Problem {
  Tensor x, w, y;
  Convolution conv;
  bool fits() const {
    for (int i = 0; i < 2; i++) {
      const int spanned = (w.size[2 + i] - 1) * conv.dilation[i] + 1;
      if (y.size[2 + i] != (x.size[2 + i] + 2 * conv.pad[i] - spanned) / conv.stride[i] + 1) return false;
    }
    return x.type == w.type && x.type == y.type && x.size[0] == y.size[0] && x.size[1] == w.size[1] * conv.groups &&
           w.size[0] == y.size[1] && w.size[0] % conv.groups == 0;
  }
  size_t pixels() const { return size_t(y.size[2]) * y.size[3]; }
  size_t taps() const { return size_t(w.size[1]) * w.size[2] * w.size[3]; }
  bool plain_1x1() const {
    return w.size[2] == 1 && w.size[3] == 1 && !conv.pad[0] && !conv.pad[1] && conv.stride[0] == 1 &&
           conv.stride[1] == 1 && conv.groups == 1;
  }
  // As MIOpen writes it in its find-db.
  std::string key() const {
    std::ostringstream s;
    auto pair = [](const int* p) { return std::to_string(p[0]) + "x" + std::to_string(p[1]); };
    s << x.size[1] << '-' << x.size[2] << '-' << x.size[3] << '-' << pair(&w.size[2]) << '-' << w.size[0] << '-'
      << y.size[2] << '-' << y.size[3] << '-' << x.size[0] << '-' << pair(conv.pad) << '-' << pair(conv.stride) << '-'
      << pair(conv.dilation) << "-0-NCHW-"
      << std::map<miopenDataType_t, const char*>{{miopenFloat, "FP32"},
                                                 {miopenHalf, "FP16"},
                                                 {miopenBFloat16, "BF16"}}[x.type]
      << "-F";
    if (conv.groups > 1) s << "_g" << conv.groups;
    return s.str();
  }
};

// y[k, i, j] += w * x over the outputs that a filter cell reaches, row by row.
void direct(const Problem& p, const char* x_bytes, const char* w_bytes, char* y_bytes, char*) {
  const Floats x = load(x_bytes, p.x), w = load(w_bytes, p.w);
  Floats y(p.y.elements());
  const auto [N, C, H, W] = p.x.size;
  const auto [K, each, R, S] = p.w.size;
  const int rows = p.y.size[2], columns = p.y.size[3], down = p.conv.stride[0], right = p.conv.stride[1];
  for (int n = 0; n < N; n++)
    for (int k = 0; k < K; k++)
      for (int c = 0; c < each; c++)
        for (int r = 0; r < R; r++)
          for (int s = 0; s < S; s++) {
            const int channel = k / (K / p.conv.groups) * each + c;
            const float weight = w[((size_t(k) * each + c) * R + r) * S + s];
            const int shift = s * p.conv.dilation[1] - p.conv.pad[1];
            const int first = shift < 0 ? (-shift + right - 1) / right : 0;
            const int last = std::min(columns, W - shift <= 0 ? 0 : (W - shift + right - 1) / right);
            for (int i = 0; i < rows; i++) {
              const int row = i * down + r * p.conv.dilation[0] - p.conv.pad[0];
              if (row < 0 || row >= H) continue;
              const float* from = &x[((size_t(n) * C + channel) * H + row) * W] + shift;
              float* to = &y[((size_t(n) * K + k) * rows + i) * columns];
              if (right == 1)
                for (int j = first; j < last; j++) to[j] += weight * from[j];
              else
                for (int j = first; j < last; j++) to[j] += weight * from[j * right];
            }
          }
  store(y_bytes, p.y, y.data());
}

// What each output pixel of an image and group sees, side by side in the workspace: (pixels, taps).
template <class T>
void im2col(const Problem& p, const T* x, int n, int group, T* out) {
  const auto [N, C, H, W] = p.x.size;
  const auto [K, each, R, S] = p.w.size;
  for (int i = 0; i < p.y.size[2]; i++)
    for (int j = 0; j < p.y.size[3]; j++)
      for (int c = 0; c < each; c++)
        for (int r = 0; r < R; r++)
          for (int s = 0; s < S; s++) {
            const int row = i * p.conv.stride[0] + r * p.conv.dilation[0] - p.conv.pad[0];
            const int column = j * p.conv.stride[1] + s * p.conv.dilation[1] - p.conv.pad[1];
            const bool inside = row >= 0 && row < H && column >= 0 && column < W;
            *out++ = inside ? x[((size_t(n) * C + group * each + c) * H + row) * W + column] : T(0);
          }
}

// y (K, pixels) = w (K, taps) columns (taps, pixels) for each image and group, as rocBLAS is asked: column-major.
void gemm(const Problem& p, const char* x, const char* w, char* y, char* workspace) {
  const Number type = std::map<miopenDataType_t, Number>{
      {miopenFloat, Number::float32}, {miopenHalf, Number::float16}, {miopenBFloat16, Number::bfloat16}}[p.x.type];
  const size_t size = size_of(type), pixels = p.pixels(), taps = p.taps(), filters = p.w.size[0] / p.conv.groups;
  const Tensor part{p.y.type, {1, 1, int(filters), int(pixels)}};
  Floats sums(filters * pixels);
  for (int n = 0; n < p.x.size[0]; n++)
    for (int g = 0; g < p.conv.groups; g++) {
      const char* weights = w + g * filters * taps * size;
      if (p.plain_1x1()) {
        double_product(type, false, false, pixels, filters, taps, x + n * taps * pixels * size, pixels, weights, taps,
                       sums.data());
      } else {
        if (size == 4) im2col(p, (const uint32_t*)x, n, g, (uint32_t*)workspace);
        else im2col(p, (const uint16_t*)x, n, g, (uint16_t*)workspace);
        double_product(type, true, false, pixels, filters, taps, workspace, taps, weights, taps, sums.data());
      }
      store(y + (n * p.conv.groups + g) * filters * pixels * size, part, sums.data());
    }
}

// Solvers by MIOpen's names and ids. The Winograd one only bears the name: it runs the loops of `direct`.
struct Solver {
  uint64_t id;
  const char *name, *algorithm_name;
  miopenConvFwdAlgorithm_t algorithm;
  float figure;  // what immediate mode's fallback says, 10 over MIOpen's rating
  bool (*applies)(const Problem&);
  void (*run)(const Problem&, const char* x, const char* w, char* y, char* workspace);
  size_t workspace(const Problem& p) const {
    return id == 91 ? p.pixels() * p.taps() * (p.x.type == miopenFloat ? 4 : 2) : 0;
  }
};
bool winograd(const Problem& p) {
  return p.w.size[2] == 3 && p.w.size[3] == 3 && p.conv.groups == 1 && p.conv.stride[0] == 1 && p.conv.stride[1] == 1 &&
         p.conv.dilation[0] == 1 && p.conv.dilation[1] == 1 && p.x.type == miopenFloat;
}
const Solver solvers[] = {
    {84, "ConvBinWinogradRxSf2x3g1", "miopenConvolutionFwdAlgoWinograd", miopenConvolutionFwdAlgoWinograd, 6.21f,
     winograd, direct},
    {85, "ConvDirectNaiveConvFwd", "miopenConvolutionFwdAlgoDirect", miopenConvolutionFwdAlgoDirect, 1000.0f,
     [](const Problem&) { return true; }, direct},
    {88, "GemmFwd1x1_0_1", "miopenConvolutionFwdAlgoGEMM", miopenConvolutionFwdAlgoGEMM, 27.78f,
     [](const Problem& p) { return p.plain_1x1(); }, gemm},
    {91, "GemmFwdRest", "miopenConvolutionFwdAlgoGEMM", miopenConvolutionFwdAlgoGEMM, 27.78f,
     [](const Problem& p) { return !p.plain_1x1(); }, gemm},
};

struct Timed {
  const Solver* solver;
  float time;
  size_t workspace;
};
typedef std::vector<Timed> Record;

// The user find-db: a line of text for each problem, in MIOpen's own form.
struct FindDb {
  std::map<std::string, Record> records;
  std::filesystem::path path() const {
    const char *named = getenv("MIOPEN_USER_DB_PATH"), *home = getenv("HOME");
    const std::filesystem::path folder =
        named ? std::filesystem::path(named) : std::filesystem::path(home ? home : "/") / ".config/miopen";
    return folder / (std::string(double_arch()) + "_64.HIP.3_4_0_.ufdb.txt");
  }
  FindDb() {
    std::ifstream file(path());
    for (std::string line; std::getline(file, line);) {
      const size_t equals = line.find('=');
      if (equals == line.npos) continue;
      std::istringstream rest(line.substr(equals + 1));
      Record record;
      for (std::string one; std::getline(rest, one, ';');)
        for (const Solver& solver : solvers) {
          const std::string name = std::string(solver.name) + ":";
          if (one.rfind(name, 0)) continue;
          Timed timed{&solver, 0, 0};
          if (sscanf(one.c_str() + name.size(), "%f,%zu", &timed.time, &timed.workspace) == 2) record.push_back(timed);
        }
      records[line.substr(0, equals)] = record;
    }
  }
  void add(const Problem& p, const Record& record) {
    records[p.key()] = record;
    std::ostringstream line;
    line << p.key() << '=';
    for (const Timed& t : record)
      line << (&t == &record[0] ? "" : ";") << t.solver->name << ':' << t.time << ',' << t.workspace << ','
           << t.solver->algorithm_name;
    std::error_code ignored;  // as in MIOpen, a folder that cannot be written only loses the record
    std::filesystem::create_directories(path().parent_path(), ignored);
    std::ofstream(path(), std::ios::app) << line.str() + "\n";
  }
};
FindDb& find_db() {
  static FindDb db;
  return db;
}

Record known_solutions(const Problem& p) {
  auto found = find_db().records.find(p.key());
  if (found != find_db().records.end()) return found->second;
  Record record;
  for (const Solver& solver : solvers)
    if (solver.applies(p)) record.push_back({&solver, solver.figure, solver.workspace(p)});
  return record;
}
void fastest_first(Record& record) {
  std::stable_sort(record.begin(), record.end(), [](const Timed& a, const Timed& b) { return a.time < b.time; });
}

struct Operands {
  const char *x, *w;
  char *y, *workspace;
};
bool view(const Problem& p, const void* x, const void* w, void* y, void* workspace, size_t size, Operands& out) {
  out = {double_view(x, p.x.bytes()), double_view(w, p.w.bytes()), double_view(y, p.y.bytes()),
         size ? double_view(workspace, size) : nullptr};
  return out.x && out.w && out.y && (out.workspace || !size);
}
const Solver* solver_of(const Problem& p, uint64_t id) {
  for (const Solver& solver : solvers)
    if (solver.id == id && solver.applies(p)) return &solver;
  return nullptr;
}
template <class Body>
miopenStatus_t call_convolution(const char* name, miopenHandle_t handle, TensorDescriptor x, TensorDescriptor w,
                                ConvolutionDescriptor conv, TensorDescriptor y, Body body) {
  return call(name, [&] {
    if (!handle || !x || !w || !conv || !y) return miopenStatusBadParm;
    const Problem p{at(x), at(w), at(y), at(conv)};
    return p.fits() ? body(p) : refuse(miopenStatusBadParm, "the shapes of this convolution do not go together");
  });
}

// The rest

float activated(const Activation& a, float x) {
  switch (a.mode) {
    case miopenActivationLOGISTIC: return 1 / (1 + std::exp(-x));
    case miopenActivationTANH: return a.beta * std::tanh(a.alpha * x);
    case miopenActivationRELU: return x > 0 ? x : x * 0;  // not a number stays none
    case miopenActivationSOFTRELU: return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    case miopenActivationABS: return std::fabs(x);
    case miopenActivationPOWER: return a.alpha + a.beta * x <= 1e-6f ? 0 : std::pow(a.alpha + a.beta * x, a.gamma);
    case miopenActivationCLIPPEDRELU: return std::fmin(a.alpha, std::fmax(0.0f, x));
    case miopenActivationLEAKYRELU: return x > 0 ? x : a.alpha * x;
    case miopenActivationELU: return x > 0 ? x : a.alpha * std::expm1(x);
    default: return x;
  }
}

void pool(const Pooling& p, const Tensor& x_tensor, const Tensor& y_tensor, const Floats& x, Floats& y) {
  const auto [N, C, H, W] = x_tensor.size;
  const int rows = y_tensor.size[2], columns = y_tensor.size[3];
  for (size_t plane = 0; plane < size_t(N) * C; plane++)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < columns; j++) {
        float most = -INFINITY, sum = 0;
        int cells = 0;
        for (int r = std::max(0, p.pad[0] - i * p.stride[0]); r < p.window[0] && i * p.stride[0] - p.pad[0] + r < H;
             r++)
          for (int s = std::max(0, p.pad[1] - j * p.stride[1]); s < p.window[1] && j * p.stride[1] - p.pad[1] + s < W;
               s++, cells++) {
            const float value = x[(plane * H + i * p.stride[0] - p.pad[0] + r) * W + j * p.stride[1] - p.pad[1] + s];
            most = std::max(most, value);
            sum += value;
          }
        const int over = p.mode == miopenPoolingAverage ? cells : p.window[0] * p.window[1];
        y[(plane * rows + i) * columns + j] = p.mode == miopenPoolingMax ? most : sum / over;
      }
}

template <class Descriptor, class Made>
miopenStatus_t create(const char* name, Descriptor* out) {
  return call(name, [&] {
    *out = (Descriptor) new Made{};
    double_made(1);
    return miopenStatusSuccess;
  });
}
template <class Descriptor>
miopenStatus_t destroy(const char* name, Descriptor descriptor) {
  return call(name, [&] {
    if (!descriptor) return miopenStatusBadParm;
    delete &at(descriptor);
    double_made(-1);
    return miopenStatusSuccess;
  });
}
}  // namespace

extern "C" {
miopenStatus_t miopenGetVersion(size_t* major, size_t* minor, size_t* patch) {
  return call(__func__, [&] {
    *major = *minor = *patch = 0;
    return miopenStatusSuccess;
  });
}
const char* miopenGetErrorString(miopenStatus_t status) {
#define NAME(code) \
  { code, #code }
  static const std::map<miopenStatus_t, const char*> names = {
      NAME(miopenStatusSuccess),        NAME(miopenStatusNotInitialized), NAME(miopenStatusInvalidValue),
      NAME(miopenStatusBadParm),        NAME(miopenStatusAllocFailed),    NAME(miopenStatusInternalError),
      NAME(miopenStatusNotImplemented), NAME(miopenStatusUnknownError)};
  auto found = names.find(status);
  return found == names.end() ? "Unknown error status" : found->second;
}
miopenStatus_t miopenCreateWithStream(miopenHandle_t* out, miopenAcceleratorQueue_t stream) {
  return call(__func__, [&] {
    int device;
    if (hipGetDevice(&device) != hipSuccess) return miopenStatusUnknownError;
    *out = (miopenHandle_t) new Handle{stream};
    double_made(1);
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenDestroy(miopenHandle_t handle) { return destroy(__func__, handle); }

miopenStatus_t miopenCreateTensorDescriptor(TensorDescriptor* out) {
  return create<TensorDescriptor, Tensor>(__func__, out);
}
miopenStatus_t miopenDestroyTensorDescriptor(TensorDescriptor d) { return destroy(__func__, d); }
miopenStatus_t miopenSet4dTensorDescriptor(TensorDescriptor d, miopenDataType_t type, int n, int c, int h, int w) {
  return call(__func__, [&] {
    if (!d || std::min({n, c, h, w}) < 1) return miopenStatusBadParm;
    if (type != miopenFloat && type != miopenHalf && type != miopenBFloat16)
      return refuse(miopenStatusNotImplemented, "a type that is not here");
    at(d) = {type, {n, c, h, w}};
    return miopenStatusSuccess;
  });
}

miopenStatus_t miopenCreateConvolutionDescriptor(ConvolutionDescriptor* out) {
  return create<ConvolutionDescriptor, Convolution>(__func__, out);
}
miopenStatus_t miopenDestroyConvolutionDescriptor(ConvolutionDescriptor d) { return destroy(__func__, d); }
miopenStatus_t miopenInitConvolutionDescriptor(ConvolutionDescriptor d, miopenConvolutionMode_t mode, int pad_h,
                                               int pad_w, int stride_h, int stride_w, int dilation_h, int dilation_w) {
  return call(__func__, [&] {
    if (!d || mode != miopenConvolution || std::min(pad_h, pad_w) < 0 ||
        std::min({stride_h, stride_w, dilation_h, dilation_w}) < 1)
      return miopenStatusBadParm;
    at(d) = {{pad_h, pad_w}, {stride_h, stride_w}, {dilation_h, dilation_w}, 1};
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenSetConvolutionGroupCount(ConvolutionDescriptor d, int groups) {
  return call(__func__, [&] {
    if (!d || groups < 1) return miopenStatusBadParm;
    at(d).groups = groups;
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenConvolutionForwardGetWorkSpaceSize(miopenHandle_t handle, TensorDescriptor w, TensorDescriptor x,
                                                        ConvolutionDescriptor conv, TensorDescriptor y, size_t* size) {
  return call_convolution(__func__, handle, x, w, conv, y, [&](const Problem& p) {
    *size = 0;
    for (const Timed& t : known_solutions(p)) *size = std::max(*size, t.workspace);
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenFindConvolutionForwardAlgorithm(miopenHandle_t handle, TensorDescriptor xd, const void* x,
                                                     TensorDescriptor wd, const void* w, ConvolutionDescriptor conv,
                                                     TensorDescriptor yd, void* y, const int wanted, int* given,
                                                     miopenConvAlgoPerf_t* results, void* workspace, size_t size,
                                                     bool) {
  return call_convolution(__func__, handle, xd, wd, conv, yd, [&](const Problem& p) {
    Operands o;
    if (!view(p, x, w, y, workspace, size, o)) return miopenStatusBadParm;
    auto record = std::make_shared<Record>();  // a wait that gives up leaves the work behind
    const hipError_t status = double_put(at(handle).stream, [=] {
      for (const Solver& solver : solvers) {
        if (!solver.applies(p) || solver.workspace(p) > size) continue;
        timespec start, stop;
        clock_gettime(CLOCK_MONOTONIC, &start);
        solver.run(p, o.x, o.w, o.y, o.workspace);
        clock_gettime(CLOCK_MONOTONIC, &stop);
        record->push_back({&solver, float((stop.tv_sec - start.tv_sec) * 1e3 + (stop.tv_nsec - start.tv_nsec) / 1e6),
                           solver.workspace(p)});
      }
    });
    if (status != hipSuccess || double_wait(at(handle).stream) != hipSuccess) return miopenStatusUnknownError;
    fastest_first(*record);
    find_db().add(p, *record);
    *given = std::min<int>(wanted, record->size());
    for (int i = 0; i < *given; i++) {
      results[i] = {};
      results[i].fwd_algo = (*record)[i].solver->algorithm;
      results[i].time = (*record)[i].time;
      results[i].memory = (*record)[i].workspace;
    }
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenConvolutionForwardGetSolutionCount(miopenHandle_t handle, TensorDescriptor w, TensorDescriptor x,
                                                        ConvolutionDescriptor conv, TensorDescriptor y, size_t* count) {
  return call_convolution(__func__, handle, x, w, conv, y, [&](const Problem& p) {
    *count = known_solutions(p).size();
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenConvolutionForwardGetSolution(miopenHandle_t handle, TensorDescriptor w, TensorDescriptor x,
                                                   ConvolutionDescriptor conv, TensorDescriptor y, const size_t most,
                                                   size_t* count, miopenConvSolution_t* out) {
  return call_convolution(__func__, handle, x, w, conv, y, [&](const Problem& p) {
    Record record = known_solutions(p);
    fastest_first(record);
    *count = std::min(most, record.size());
    for (size_t i = 0; i < *count; i++) {
      out[i] = {};
      out[i].time = record[i].time;
      out[i].workspace_size = record[i].workspace;
      out[i].solution_id = record[i].solver->id;
      out[i].algorithm = miopenConvAlgorithm_t(record[i].solver->algorithm);
    }
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenConvolutionForwardCompileSolution(miopenHandle_t handle, TensorDescriptor w, TensorDescriptor x,
                                                       ConvolutionDescriptor conv, TensorDescriptor y,
                                                       const uint64_t id) {
  return call_convolution(__func__, handle, x, w, conv, y, [&](const Problem& p) {
    return solver_of(p, id) ? miopenStatusSuccess : miopenStatusBadParm;
  });
}
miopenStatus_t miopenConvolutionForwardImmediate(miopenHandle_t handle, TensorDescriptor wd, const void* w,
                                                 TensorDescriptor xd, const void* x, ConvolutionDescriptor conv,
                                                 TensorDescriptor yd, void* y, void* workspace, size_t size,
                                                 const uint64_t id) {
  return call_convolution(__func__, handle, xd, wd, conv, yd, [&](const Problem& p) {
    const Solver* solver = solver_of(p, id);
    if (!solver || size < solver->workspace(p))
      return refuse(miopenStatusBadParm, "no such solver for this problem, or too little workspace");
    Operands o;
    if (!view(p, x, w, y, workspace, size, o)) return miopenStatusUnknownError;  // a GPU would fault
    const hipError_t status = double_put(at(handle).stream, [=] { solver->run(p, o.x, o.w, o.y, o.workspace); });
    return status == hipSuccess ? miopenStatusSuccess : miopenStatusUnknownError;
  });
}

miopenStatus_t miopenCreateActivationDescriptor(ActivationDescriptor* out) {
  return create<ActivationDescriptor, Activation>(__func__, out);
}
miopenStatus_t miopenDestroyActivationDescriptor(ActivationDescriptor d) { return destroy(__func__, d); }
miopenStatus_t miopenSetActivationDescriptor(ActivationDescriptor d, miopenActivationMode_t mode, double alpha,
                                             double beta, double gamma) {
  return call(__func__, [&] {
    if (!d) return miopenStatusBadParm;
    at(d) = {mode, float(alpha), float(beta), float(gamma)};
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenActivationForward(miopenHandle_t handle, ActivationDescriptor d, const void* alpha,
                                       TensorDescriptor xd, const void* x, const void* beta, TensorDescriptor yd,
                                       void* y) {
  return call(__func__, [&] {
    if (!d || at(xd).size != at(yd).size) return miopenStatusBadParm;
    return launch(handle, alpha, beta, {{at(xd), x}}, at(yd), y, [a = at(d)](std::vector<Floats>& in, Floats& out) {
      for (size_t i = 0; i < out.size(); i++) out[i] = activated(a, in[0][i]);
    });
  });
}
miopenStatus_t miopenSoftmaxForward_V2(miopenHandle_t handle, const void* alpha, TensorDescriptor xd, const void* x,
                                       const void* beta, TensorDescriptor yd, void* y,
                                       miopenSoftmaxAlgorithm_t algorithm, miopenSoftmaxMode_t mode) {
  return call(__func__, [&] {
    if (at(xd).size != at(yd).size) return miopenStatusBadParm;
    // By instance the real one may take a kernel in which waves race.
    if (algorithm != MIOPEN_SOFTMAX_ACCURATE || mode != MIOPEN_SOFTMAX_MODE_CHANNEL ||
        at(xd).size[2] * at(xd).size[3] != 1)
      return refuse(miopenStatusNotImplemented, "softmax is accurate, by channel, of one number a channel");
    return launch(
        handle, alpha, beta, {{at(xd), x}}, at(yd), y, [n = at(xd).size[0]](std::vector<Floats>& in, Floats& out) {
          const size_t width = out.size() / n;
          for (float *row = in[0].data(), *to = out.data(); to < out.data() + out.size(); row += width, to += width) {
            const float most = *std::max_element(row, row + width);
            double sum = 0;  // of a long row
            for (size_t i = 0; i < width; i++) sum += to[i] = std::exp(row[i] - most);
            for (size_t i = 0; i < width; i++) to[i] /= sum;
          }
        });
  });
}
miopenStatus_t miopenCreatePoolingDescriptor(PoolingDescriptor* out) {
  return create<PoolingDescriptor, Pooling>(__func__, out);
}
miopenStatus_t miopenDestroyPoolingDescriptor(PoolingDescriptor d) { return destroy(__func__, d); }
miopenStatus_t miopenSet2dPoolingDescriptor(PoolingDescriptor d, miopenPoolingMode_t mode, int window_h, int window_w,
                                            int pad_h, int pad_w, int stride_h, int stride_w) {
  return call(__func__, [&] {
    if (!d || pad_h >= window_h || pad_w >= window_w || std::min(stride_h, stride_w) < 1) return miopenStatusBadParm;
    at(d) = {mode, {window_h, window_w}, {pad_h, pad_w}, {stride_h, stride_w}};
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenSetPoolingIndexType(PoolingDescriptor d, miopenIndexType_t) {
  return call(__func__, [&] { return d ? miopenStatusSuccess : miopenStatusBadParm; });
}
miopenStatus_t miopenPoolingForward(miopenHandle_t handle, PoolingDescriptor d, const void* alpha, TensorDescriptor xd,
                                    const void* x, const void* beta, TensorDescriptor yd, void* y, bool backward, void*,
                                    size_t) {
  return call(__func__, [&] {
    if (!d || backward) return miopenStatusBadParm;
    for (int i = 0; i < 2; i++)
      if (at(yd).size[2 + i] != (at(xd).size[2 + i] + 2 * at(d).pad[i] - at(d).window[i]) / at(d).stride[i] + 1)
        return miopenStatusBadParm;
    return launch(
        handle, alpha, beta, {{at(xd), x}}, at(yd), y,
        [p = at(d), xt = at(xd), yt = at(yd)](std::vector<Floats>& in, Floats& out) { pool(p, xt, yt, in[0], out); });
  });
}
miopenStatus_t miopenDeriveBNTensorDescriptor(TensorDescriptor derived, TensorDescriptor x,
                                              miopenBatchNormMode_t mode) {
  return call(__func__, [&] {
    if (!derived || !x || mode != miopenBNSpatial) return miopenStatusBadParm;
    at(derived) = {miopenFloat, {1, at(x).size[1], 1, 1}};
    return miopenStatusSuccess;
  });
}
miopenStatus_t miopenBatchNormalizationForwardInference(miopenHandle_t handle, miopenBatchNormMode_t mode, void* alpha,
                                                        void* beta, TensorDescriptor xd, const void* x,
                                                        TensorDescriptor yd, void* y, TensorDescriptor vector,
                                                        void* scale, void* bias, void* mean, void* variance,
                                                        double epsilon) {
  return call(__func__, [&] {
    if (mode != miopenBNSpatial || at(xd).size != at(yd).size || at(vector).elements() != size_t(at(xd).size[1]))
      return miopenStatusBadParm;
    const Tensor v = at(vector);
    return launch(handle, alpha, beta, {{at(xd), x}, {v, scale}, {v, bias}, {v, mean}, {v, variance}}, at(yd), y,
                  [channels = size_t(at(xd).size[1]), plane = size_t(at(xd).size[2]) * at(xd).size[3], epsilon](
                      std::vector<Floats>& in, Floats& out) {
                    for (size_t i = 0; i < out.size(); i++) {
                      const size_t c = i / plane % channels;
                      out[i] = in[1][c] * (in[0][i] - in[3][c]) / std::sqrt(in[4][c] + float(epsilon)) + in[2][c];
                    }
                  });
  });
}
miopenStatus_t miopenOpTensor(miopenHandle_t handle, miopenTensorOp_t op, const void* alpha1, TensorDescriptor ad,
                              const void* a, const void* alpha2, TensorDescriptor bd, const void* b, const void* beta,
                              TensorDescriptor cd, void* c) {
  return call(__func__, [&] {
    if (at(ad).size != at(cd).size || *(const float*)alpha2 != 1 ||
        (op != miopenTensorOpAdd && op != miopenTensorOpMul))
      return miopenStatusBadParm;
    for (int i = 0; i < 4; i++)
      if (at(bd).size[i] != 1 && at(bd).size[i] != at(ad).size[i]) return miopenStatusBadParm;
    return launch(handle, alpha1, beta, {{at(ad), a}, {at(bd), b}}, at(cd), c,
                  [op, full = at(ad).size, part = at(bd).size](std::vector<Floats>& in, Floats& out) {
                    size_t i = 0;
                    // Steps of b: 0 where it is broadcast.
                    const int N = part[0] > 1, C = part[1] > 1, H = part[2] > 1, W = part[3] > 1;
                    for (int n = 0; n < full[0]; n++)
                      for (int k = 0; k < full[1]; k++)
                        for (int h = 0; h < full[2]; h++)
                          for (int w = 0; w < full[3]; w++, i++) {
                            const float other =
                                in[1][((size_t(n * N) * part[1] + k * C) * part[2] + h * H) * part[3] + w * W];
                            out[i] = op == miopenTensorOpAdd ? in[0][i] + other : in[0][i] * other;
                          }
                  });
  });
}
}
