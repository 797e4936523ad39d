// The double of librocblas: matrix products of every type that the project asks for, by plain loops.
#ifdef REAL_HEADERS
#define __HIP_PLATFORM_AMD__ 1
#include <rocblas/rocblas.h>
#undef rocblas_gemm_ex  // the header wraps both in a macro that checks their arguments
#undef rocblas_gemm_strided_batched_ex
#endif
#include "double.h"
#include <cstdio>
#include <cstdlib>
#include <algorithm>
#include <map>
#include <set>
#include <vector>

static_assert(rocblas_operation_none == 111 && rocblas_operation_transpose == 112 && rocblas_status_invalid_size == 4);
static_assert(rocblas_datatype_f16_r == 150 && rocblas_datatype_f32_r == 151 && rocblas_datatype_i8_r == 160 &&
              rocblas_datatype_i32_r == 162 && rocblas_datatype_bf16_r == 168);

struct _rocblas_handle {
  hipStream_t stream;
  rocblas_atomics_mode atomics;
};

namespace {
std::set<rocblas_handle> handles;

template <class Body>
rocblas_status call(const char* name, Body body) {
  const int planned = double_enter(name);
  return planned ? rocblas_status(planned) : body();
}
template <class Body>
rocblas_status call(const char* name, rocblas_handle handle, Body body) {
  return call(name, [&] { return handles.count(handle) ? body() : rocblas_status_invalid_handle; });
}

// Rows of k numbers side by side, as dot products want them; `room` is theirs where they had to be copied.
template <class Sum>
struct Rows {
  const Sum* first;
  size_t apart;
  std::vector<Sum> room;
};

// Rows from `first` on of a matrix whose rows lie `row` elements apart, and the numbers of a row `step`.
template <class In, class Sum>
void take(Rows<Sum>& rows, const In* in, size_t first, size_t count, size_t k, size_t row, size_t step) {
  if constexpr (std::is_same_v<In, Sum>)
    if (step == 1) return (void)(rows.first = in + first * row, rows.apart = row);
  rows.room.resize(count * k);
  for (size_t r = 0; r < count; r++)
    for (size_t p = 0; p < k; p++) rows.room[r * k + p] = Sum(in[(first + r) * row + p * step]);
  rows.first = rows.room.data();
  rows.apart = k;
}

// Blocks of 64 rows of op(A) stay in the second cache while four columns of op(B) at a time pass through the first.
template <class In, class Sum, class Out>
void product(bool ta, bool tb, size_t m, size_t n, size_t k, const In* a, size_t lda, const In* b, size_t ldb, Out* c) {
  Rows<Sum> rows, columns;
  take(columns, b, 0, n, k, tb ? 1 : ldb, tb ? ldb : 1);
  for (size_t i0 = 0; i0 < m; i0 += 64) {
    const size_t block = std::min<size_t>(64, m - i0);
    take(rows, a, i0, block, k, ta ? lda : 1, ta ? 1 : lda);
    for (size_t j0 = 0; j0 < n; j0 += 4) {
      const Sum* y[4];
      for (size_t q = 0; q < 4; q++)
        y[q] = columns.first + std::min(j0 + q, n - 1) * columns.apart;  // the last one again
      for (size_t i = 0; i < block; i++) {
        const Sum* x = rows.first + i * rows.apart;
        Sum s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (size_t p = 0; p < k; p++) {
          s0 += x[p] * y[0][p];
          s1 += x[p] * y[1][p];
          s2 += x[p] * y[2][p];
          s3 += x[p] * y[3][p];
        }
        const Sum sums[4] = {s0, s1, s2, s3};
        for (size_t q = 0; q < 4 && j0 + q < n; q++) c[(j0 + q) * m + i0 + i] = sums[q];
      }
    }
  }
}
}  // namespace

size_t size_of(Number type) {
  return type == Number::int8 ? 1 : type == Number::float16 || type == Number::bfloat16 ? 2 : 4;
}

void double_product(Number type, bool ta, bool tb, size_t m, size_t n, size_t k, const void* a, size_t lda,
                    const void* b, size_t ldb, void* c) {
  switch (type) {
    case Number::float32: return product<float, float>(ta, tb, m, n, k, (float*)a, lda, (float*)b, ldb, (float*)c);
    case Number::float16:
      return product<Float16, float>(ta, tb, m, n, k, (Float16*)a, lda, (Float16*)b, ldb, (float*)c);
    case Number::bfloat16:
      return product<BFloat16, float>(ta, tb, m, n, k, (BFloat16*)a, lda, (BFloat16*)b, ldb, (float*)c);
    case Number::int8: return product<int8_t, int32_t>(ta, tb, m, n, k, (int8_t*)a, lda, (int8_t*)b, ldb, (int32_t*)c);
    case Number::int32: return;
  }
}

namespace {
struct Scalar {
  float f;
  int32_t i;
};  // alpha or beta, in the type of the sum

// C = alpha product + beta C, where beta 0 means that C is not read.
template <class Sum, class Out>
void scale(const Sum* product, Out* c, size_t m, size_t n, size_t ldc, Sum alpha, Sum beta) {
  for (size_t j = 0; j < n; j++)
    for (size_t i = 0; i < m; i++) {
      Out& out = c[j * ldc + i];
      const Sum value = alpha * product[j * m + i];
      out = Out(beta == 0 ? value : value + beta * Sum(out));
    }
}

struct Gemm {
  bool ta, tb;
  int64_t m, n, k, lda, ldb, ldc, stride_a, stride_b, stride_c, batch;
  Number in, out;
  Scalar alpha, beta;

  void run(const char* a, const char* b, char* c) const {
    std::vector<int32_t> sums(m * n);  // or float: of the same size
    for (int64_t i = 0; i < batch; i++) {
      double_product(in, ta, tb, m, n, k, a + i * stride_a * size_of(in), lda, b + i * stride_b * size_of(in), ldb,
                     sums.data());
      char* target = c + i * stride_c * size_of(out);
      const float* floats = (const float*)sums.data();
      if (out == Number::int32) scale(sums.data(), (int32_t*)target, m, n, ldc, alpha.i, beta.i);
      if (out == Number::float32) scale(floats, (float*)target, m, n, ldc, alpha.f, beta.f);
      if (out == Number::float16) scale(floats, (Float16*)target, m, n, ldc, alpha.f, beta.f);
      if (out == Number::bfloat16) scale(floats, (BFloat16*)target, m, n, ldc, alpha.f, beta.f);
    }
  }
  // Bytes from the first element to the last of `columns` columns of `rows`, over the batch.
  size_t span(int64_t rows, int64_t columns, int64_t ld, int64_t stride, Number type) const {
    return ((batch - 1) * stride + (columns - 1) * ld + rows) * size_of(type);
  }
};

bool number_of(rocblas_datatype type, Number& out) {
  switch (type) {
    case rocblas_datatype_f32_r: return out = Number::float32, true;
    case rocblas_datatype_f16_r: return out = Number::float16, true;
    case rocblas_datatype_bf16_r: return out = Number::bfloat16, true;
    case rocblas_datatype_i8_r: return out = Number::int8, true;
    case rocblas_datatype_i32_r: return out = Number::int32, true;
    default: return false;
  }
}

rocblas_status gemm(hipStream_t stream, rocblas_operation op_a, rocblas_operation op_b, int64_t m, int64_t n, int64_t k,
                    const void* alpha, const void* a, rocblas_datatype a_type, int64_t lda, int64_t stride_a,
                    const void* b, rocblas_datatype b_type, int64_t ldb, int64_t stride_b, const void* beta,
                    const void* c, rocblas_datatype c_type, int64_t ldc, int64_t stride_c, void* d,
                    rocblas_datatype d_type, int64_t ldd, int64_t stride_d, int64_t batch, rocblas_datatype compute) {
  // A GPU that the library was built without: the real one says so in these words, lists its files, and aborts.
  if (const char* without = getenv("DOUBLE_WITHOUT"); without && double_arch() == without) {
    fprintf(stderr,
            "rocBLAS error: Cannot read TensileLibrary.dat: No such file or directory for GPU arch : %s\n"
            " List of available TensileLibrary Files :\n\"TensileLibrary_lazy_gfx900.dat\"\n",
            without);
    abort();
  }
  const auto known = [](rocblas_operation op) {
    return op == rocblas_operation_none || op == rocblas_operation_transpose;
  };
  if (!known(op_a) || !known(op_b)) return rocblas_status_invalid_value;
  Gemm g{op_a != rocblas_operation_none,
         op_b != rocblas_operation_none,
         m,
         n,
         k,
         lda,
         ldb,
         ldc,
         stride_a,
         stride_b,
         stride_c,
         batch,
         {},
         {},
         {},
         {}};
  if (m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max<int64_t>(1, g.ta ? k : m) ||
      ldb < std::max<int64_t>(1, g.tb ? n : k) || ldc < std::max<int64_t>(1, m) || ldd < std::max<int64_t>(1, m))
    return rocblas_status_invalid_size;
  if (!m || !n || !batch) return rocblas_status_success;
  if (!alpha || !beta || !a || !b || !c || !d) return rocblas_status_invalid_pointer;
  Number sum;
  if (a_type != b_type || c_type != d_type || !number_of(a_type, g.in) || !number_of(c_type, g.out) ||
      !number_of(compute, sum) || sum != (g.in == Number::int8 ? Number::int32 : Number::float32) ||
      (g.out != g.in && g.out != sum))
    return rocblas_status_not_implemented;
  if (c != d || ldc != ldd || stride_c != stride_d)
    return rocblas_status_not_implemented;  // the project writes C in place
  // The scalars are the caller's again when the call returns.
  if (sum == Number::int32) g.alpha.i = *(const int32_t*)alpha, g.beta.i = *(const int32_t*)beta;
  else g.alpha.f = *(const float*)alpha, g.beta.f = *(const float*)beta;
  const char* x = double_view(a, g.ta ? g.span(k, m, lda, stride_a, g.in) : g.span(m, k, lda, stride_a, g.in));
  const char* y = double_view(b, g.tb ? g.span(n, k, ldb, stride_b, g.in) : g.span(k, n, ldb, stride_b, g.in));
  char* z = double_view(d, g.span(m, n, ldc, stride_c, g.out));
  if (!x || !y || !z) return rocblas_status_internal_error;  // a GPU would fault
  return double_put(stream, [=] { g.run(x, y, z); }) == hipSuccess ? rocblas_status_success
                                                                   : rocblas_status_internal_error;
}
}  // namespace

extern "C" {
rocblas_status rocblas_create_handle(rocblas_handle* out) {
  return call(__func__, [&] {
    int device;
    if (hipGetDevice(&device) != hipSuccess) return rocblas_status_internal_error;
    *out = *handles.insert(new _rocblas_handle{nullptr, rocblas_atomics_allowed}).first;
    double_made(1);
    return rocblas_status_success;
  });
}
rocblas_status rocblas_destroy_handle(rocblas_handle handle) {
  return call(__func__, handle, [&] {
    handles.erase(handle);
    double_made(-1);
    delete handle;
    return rocblas_status_success;
  });
}
rocblas_status rocblas_set_stream(rocblas_handle handle, hipStream_t stream) {
  return call(__func__, handle, [&] {
    handle->stream = stream;
    return rocblas_status_success;
  });
}
rocblas_status rocblas_set_atomics_mode(rocblas_handle handle, rocblas_atomics_mode mode) {
  return call(__func__, handle, [&] {
    handle->atomics = mode;
    return rocblas_status_success;
  });
}
rocblas_status rocblas_get_atomics_mode(rocblas_handle handle, rocblas_atomics_mode* mode) {
  return call(__func__, handle, [&] {
    *mode = handle->atomics;
    return rocblas_status_success;
  });
}
rocblas_status rocblas_gemm_ex(rocblas_handle handle, rocblas_operation op_a, rocblas_operation op_b, rocblas_int m,
                               rocblas_int n, rocblas_int k, const void* alpha, const void* a, rocblas_datatype a_type,
                               rocblas_int lda, const void* b, rocblas_datatype b_type, rocblas_int ldb,
                               const void* beta, const void* c, rocblas_datatype c_type, rocblas_int ldc, void* d,
                               rocblas_datatype d_type, rocblas_int ldd, rocblas_datatype compute, rocblas_gemm_algo,
                               int32_t, uint32_t) {
  return call(__func__, handle, [&] {
    return gemm(handle->stream, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, c_type, ldc,
                0, d, d_type, ldd, 0, 1, compute);
  });
}
rocblas_status rocblas_gemm_strided_batched_ex(rocblas_handle handle, rocblas_operation op_a, rocblas_operation op_b,
                                               rocblas_int m, rocblas_int n, rocblas_int k, const void* alpha,
                                               const void* a, rocblas_datatype a_type, rocblas_int lda,
                                               rocblas_stride stride_a, const void* b, rocblas_datatype b_type,
                                               rocblas_int ldb, rocblas_stride stride_b, const void* beta,
                                               const void* c, rocblas_datatype c_type, rocblas_int ldc,
                                               rocblas_stride stride_c, void* d, rocblas_datatype d_type,
                                               rocblas_int ldd, rocblas_stride stride_d, rocblas_int batch,
                                               rocblas_datatype compute, rocblas_gemm_algo, int32_t, uint32_t) {
  return call(__func__, handle, [&] {
    return gemm(handle->stream, op_a, op_b, m, n, k, alpha, a, a_type, lda, stride_a, b, b_type, ldb, stride_b, beta, c,
                c_type, ldc, stride_c, d, d_type, ldd, stride_d, batch, compute);
  });
}
rocblas_status rocblas_get_version_string_size(size_t* size) {
  return call(__func__, [&] {
    *size = sizeof "0.0.0.double";
    return rocblas_status_success;
  });
}
rocblas_status rocblas_get_version_string(char* out, size_t size) {
  return call(__func__, [&] {
    if (size < sizeof "0.0.0.double") return rocblas_status_invalid_size;
    strcpy(out, "0.0.0.double");
    return rocblas_status_success;
  });
}
const char* rocblas_status_to_string(rocblas_status status) {
#define NAME(code) \
  { code, #code }
  static const std::map<rocblas_status, const char*> names = {
      NAME(rocblas_status_success),         NAME(rocblas_status_invalid_handle), NAME(rocblas_status_not_implemented),
      NAME(rocblas_status_invalid_pointer), NAME(rocblas_status_invalid_size),   NAME(rocblas_status_memory_error),
      NAME(rocblas_status_internal_error),  NAME(rocblas_status_invalid_value)};
  auto found = names.find(status);
  return found == names.end() ? "<undefined rocblas_status value>" : found->second;
}
}
