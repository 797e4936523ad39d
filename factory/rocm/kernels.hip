// The small machines that no library has, for any AMD GPU: no header, no assembly, no assumption on the size of a wave.
//
// T is tokens, C channels, H heads, K key-value heads, D the width of a head, S the positions seen so far, F the width
// of the feed-forward layer. Every array comes with its strides, counted in elements. Arithmetic is in float32, whatever
// is stored. A kernel's name ends in the type that it stores, or in the bits that it moves.

typedef long long stride;
typedef _Float16 float16;
struct bfloat16 {
  unsigned short bits;
};

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(float16 x) { return (float)x; }
__device__ inline float widen(bfloat16 x) {
  unsigned bits = (unsigned)x.bits << 16;
  float wide;
  __builtin_memcpy(&wide, &bits, 4);
  return wide;
}

__device__ inline void narrow(float x, float* y) { *y = x; }
__device__ inline void narrow(float x, float16* y) { *y = (float16)x; }
__device__ inline void narrow(float x, bfloat16* y) {
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  // To the nearest, ties to even; rounding must not carry a NaN over into infinity.
  y->bits = x != x ? (bits >> 16) | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

// What all threads of a block hold, put together pair by pair; blockDim.x is a power of two, at most 256.
__device__ inline float block_sum(float mine, float* shared) {
  __syncthreads();  // an earlier reduction may still be read
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

__device__ inline float block_max(float mine, float* shared) {
  __syncthreads();
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] = fmaxf(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  return shared[0];
}

// y[t, c] = x[t, c] / sqrt(mean over c of x[t, c]^2 + epsilon) * weight[c]; one block a row.
template <class T>
__device__ void rms_norm(const T* x, const T* weight, T* y, stride columns, stride x_row, stride x_column,
                         stride weight_step, stride y_row, stride y_column, float epsilon) {
  __shared__ float shared[256];
  x += blockIdx.x * x_row;
  y += blockIdx.x * y_row;
  float squares = 0;
  for (stride c = threadIdx.x; c < columns; c += blockDim.x) {
    float value = widen(x[c * x_column]);
    squares += value * value;
  }
  float root = sqrtf(block_sum(squares, shared) / (float)columns + epsilon);
  for (stride c = threadIdx.x; c < columns; c += blockDim.x)
    narrow(widen(x[c * x_column]) / root * widen(weight[c * weight_step]), &y[c * y_column]);
}

struct Turn {  // what the rotary embedding has of strides: of (T, H + 2 K, D), (positions, D / 2), and three (heads, T, D)
  stride qkv[3], cos[2], sin[2], queries[3], keys[3], values[3];
};

// Block (t, h) turns one head of one token, half-split, and puts it where it belongs: queries, or the cache of keys;
// values go to theirs as they are.
template <class T>
__device__ void rotary_cache(const T* qkv, const T* cos, const T* sin, T* queries, T* keys, T* values, int heads,
                             int shared_heads, int half, int position, Turn at) {
  int token = blockIdx.x, head = blockIdx.y, place = position + token;
  qkv += token * at.qkv[0] + head * at.qkv[1];
  if (head >= heads + shared_heads) {
    values += (head - heads - shared_heads) * at.values[0] + place * at.values[1];
    for (int i = threadIdx.x; i < 2 * half; i += blockDim.x) values[i * at.values[2]] = qkv[i * at.qkv[2]];
    return;
  }
  bool query = head < heads;
  T* out = query ? queries + head * at.queries[0] + token * at.queries[1]
                 : keys + (head - heads) * at.keys[0] + place * at.keys[1];
  stride step = query ? at.queries[2] : at.keys[2];
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    float a = widen(qkv[i * at.qkv[2]]), b = widen(qkv[(i + half) * at.qkv[2]]);
    float c = widen(cos[place * at.cos[0] + i * at.cos[1]]), s = widen(sin[place * at.sin[0] + i * at.sin[1]]);
    narrow(a * c - b * s, &out[i * step]);
    narrow(b * c + a * s, &out[(i + half) * step]);
  }
}

// y[t, f] = g / (1 + exp(-g)) * u with g = x[t, f] and u = x[t, F + f]; blocks across, rows down.
template <class T>
__device__ void silu_gate(const T* x, T* y, stride rows, stride columns, stride x_row, stride x_column, stride y_row,
                          stride y_column) {
  stride f = (stride)blockIdx.x * blockDim.x + threadIdx.x;
  if (f >= columns) return;
  for (stride t = blockIdx.y; t < rows; t += gridDim.y) {
    const T* row = x + t * x_row;
    float gate = widen(row[f * x_column]), up = widen(row[(columns + f) * x_column]);
    narrow(gate / (1.0f + expf(-gate)) * up, &y[t * y_row + f * y_column]);
  }
}

// y[h, t, s] = softmax over s <= position + t of scale x[h, t, s], and 0 beyond; block (t, h) does one row.
template <class T>
__device__ void causal_softmax(const T* x, T* y, stride seen, stride position, stride x_head, stride x_token,
                               stride x_step, stride y_head, stride y_token, stride y_step, float scale) {
  __shared__ float shared[256];
  x += blockIdx.y * x_head + blockIdx.x * x_token;
  y += blockIdx.y * y_head + blockIdx.x * y_token;
  stride visible = position + blockIdx.x + 1;
  if (visible > seen) visible = seen;
  float most = -__builtin_inff();
  for (stride s = threadIdx.x; s < visible; s += blockDim.x) most = fmaxf(most, scale * widen(x[s * x_step]));
  most = block_max(most, shared);
  float sum = 0;
  for (stride s = threadIdx.x; s < visible; s += blockDim.x) sum += expf(scale * widen(x[s * x_step]) - most);
  sum = block_sum(sum, shared);
  // A thread reads an element before it writes the same one, so y may be x.
  for (stride s = threadIdx.x; s < seen; s += blockDim.x)
    narrow(s < visible ? expf(scale * widen(x[s * x_step]) - most) / sum : 0.0f, &y[s * y_step]);
}

// y[t] = table[ids[t]]. An id that is not in the table goes to fault[1], the last that is to fault[2], a 1 to fault[0].
template <class T>
__device__ void gather(const T* table, const int* ids, T* y, int* fault, stride rows, stride tokens, stride columns,
                       stride table_row, stride table_column, stride id_step, stride y_row, stride y_column) {
  stride c = (stride)blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= columns) return;
  for (stride t = blockIdx.y; t < tokens; t += gridDim.y) {
    int id = ids[t * id_step];
    bool inside = id >= 0 && id < rows;
    if (inside) y[t * y_row + c * y_column] = table[id * table_row + c * table_column];
    if (!inside && c == 0) {
      fault[2] = (int)(rows - 1);
      fault[1] = id;
      fault[0] = 1;
    }
  }
}

struct Walk {  // an array of up to eight dimensions, the last one first: sizes, and strides of what is read and written
  unsigned sizes[8];
  stride x[8], y[8];
};

template <class T>
__device__ inline void convert(T x, T* y) { *y = x; }
__device__ inline void convert(float16 x, float* y) { *y = widen(x); }
__device__ inline void convert(bfloat16 x, float* y) { *y = widen(x); }
__device__ inline void convert(float x, float16* y) { narrow(x, y); }
__device__ inline void convert(float x, bfloat16* y) { narrow(x, y); }

// y = x, element by element, whatever the strides of either.
template <class A, class B>
__device__ void copy(const A* x, B* y, unsigned elements, int dimensions, Walk walk) {
  unsigned left = blockIdx.x * blockDim.x + threadIdx.x;
  if (left >= elements) return;
  stride from = 0, to = 0;
  for (int axis = 0; axis < dimensions; axis++) {
    unsigned size = walk.sizes[axis], index = left % size;
    left /= size;
    from += index * walk.x[axis];
    to += index * walk.y[axis];
  }
  convert(x[from], &y[to]);
}

struct Frame {  // strides of two pictures (N, C, H, W)
  stride x[4], y[4];
};

// y = x with zeros around it, its first row and column at (top, left); one block a row of y.
template <class T>
__device__ void pad(const T* x, T* y, unsigned channels, unsigned x_height, unsigned x_width, unsigned y_height,
                    unsigned y_width, unsigned top, unsigned left, Frame at) {
  unsigned row = blockIdx.x % y_height, image = blockIdx.x / y_height;
  unsigned n = image / channels, c = image % channels;
  bool inside = row >= top && row - top < x_height;
  x += n * at.x[0] + c * at.x[1] + (inside ? row - top : 0) * at.x[2];
  y += n * at.y[0] + c * at.y[1] + row * at.y[2];
  for (unsigned column = threadIdx.x; column < y_width; column += blockDim.x) {
    T value = {};
    if (inside && column >= left && column - left < x_width) value = x[(column - left) * at.x[3]];
    y[column * at.y[3]] = value;
  }
}

// The kernels by name.

#define FOR_FLOATS(T)                                                                                                  \
  extern "C" __global__ void rms_norm_##T(const T* x, const T* weight, T* y, stride columns, stride x_row,             \
                                          stride x_column, stride weight_step, stride y_row, stride y_column,          \
                                          float epsilon) {                                                             \
    rms_norm(x, weight, y, columns, x_row, x_column, weight_step, y_row, y_column, epsilon);                           \
  }                                                                                                                    \
  extern "C" __global__ void rotary_cache_##T(const T* qkv, const T* cos, const T* sin, T* queries, T* keys,           \
                                              T* values, int heads, int shared_heads, int half, int position,          \
                                              Turn at) {                                                               \
    rotary_cache(qkv, cos, sin, queries, keys, values, heads, shared_heads, half, position, at);                       \
  }                                                                                                                    \
  extern "C" __global__ void silu_gate_##T(const T* x, T* y, stride rows, stride columns, stride x_row,                \
                                           stride x_column, stride y_row, stride y_column) {                           \
    silu_gate(x, y, rows, columns, x_row, x_column, y_row, y_column);                                                  \
  }                                                                                                                    \
  extern "C" __global__ void causal_softmax_##T(const T* x, T* y, stride seen, stride position, stride x_head,         \
                                                stride x_token, stride x_step, stride y_head, stride y_token,          \
                                                stride y_step, float scale) {                                          \
    causal_softmax(x, y, seen, position, x_head, x_token, x_step, y_head, y_token, y_step, scale);                     \
  }

#define COPY(NAME, A, B)                                                                                               \
  extern "C" __global__ void copy_##NAME(const A* x, B* y, unsigned elements, int dimensions, Walk walk) {             \
    copy(x, y, elements, dimensions, walk);                                                                            \
  }

#define FOR_BITS(N, T)                                                                                                 \
  COPY(N, T, T)                                                                                                        \
  extern "C" __global__ void gather_##N(const T* table, const int* ids, T* y, int* fault, stride rows, stride tokens,  \
                                        stride columns, stride table_row, stride table_column, stride id_step,         \
                                        stride y_row, stride y_column) {                                               \
    gather(table, ids, y, fault, rows, tokens, columns, table_row, table_column, id_step, y_row, y_column);            \
  }                                                                                                                    \
  extern "C" __global__ void pad_##N(const T* x, T* y, unsigned channels, unsigned x_height, unsigned x_width,         \
                                     unsigned y_height, unsigned y_width, unsigned top, unsigned left, Frame at) {     \
    pad(x, y, channels, x_height, x_width, y_height, y_width, top, left, at);                                          \
  }

typedef float float32;
FOR_FLOATS(float32)
FOR_FLOATS(float16)
FOR_FLOATS(bfloat16)
FOR_BITS(8, unsigned char)
FOR_BITS(16, unsigned short)
FOR_BITS(32, unsigned)
COPY(float16_float32, float16, float)
COPY(bfloat16_float32, bfloat16, float)
COPY(float32_float16, float, float16)
COPY(float32_bfloat16, float, bfloat16)
