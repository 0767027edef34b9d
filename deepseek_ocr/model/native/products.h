/* Products of a few inputs with a matrix of float32, bfloat16, or of codes of eight or four bits.
 *
 * Matrices are row-major (rows, columns), `columns` a multiple of 16 (of 32 where weights have four
 * bits). Weights are read once, from the first to the last, and converted where they are used; sums
 * are in float32. What is written for AVX-512 has the same result without it.
 */
#ifndef DEEPSEEK_OCR_PRODUCTS_H
#define DEEPSEEK_OCR_PRODUCTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3 };
enum { ROUNDED = 4 }; /* bfloat16 times inputs that were rounded to it: twice as many a cycle */
enum { LANES = 16, GROUP = 32 }; /* numbers of a vector; weights of 4 bits that share a scale */

typedef struct {
  const void *weights; /* INT4: a byte holds weights i (low) and i + 16 (high) of a group of 32 */
  const float *scales; /* INT8: one a row; INT4: one a group; else none */
  int64_t rows, columns;
  int64_t kind;
} Matrix;

typedef float Vector __attribute__((vector_size(64)));
typedef int32_t Integers __attribute__((vector_size(64)));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef int8_t Bytes __attribute__((vector_size(16)));

#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const float *from) {
  Vector found;
  memcpy(&found, from, sizeof found);
  return found;
}

INLINE void store(float *to, Vector values) { memcpy(to, &values, sizeof values); }

INLINE Vector from_halves(Halves halves) {
  Bits bits;
#if defined(__AVX512F__)
  bits = (Bits)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)halves), 16);
#else
  bits = __builtin_convertvector(halves, Bits) << 16;
#endif
  return (Vector)bits;
}

INLINE Vector from_bytes(Bytes bytes) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)bytes));
#else
  return __builtin_convertvector(bytes, Vector);
#endif
}

/* Sixteen numbers of a row, from number `at` on; `kind` is known when this is compiled. */
INLINE Vector load_as(const void *row, int64_t kind, int64_t at) {
  if (kind == FLOAT32) return load((const float *)row + at);
  if (kind == BFLOAT16) {
    Halves halves;
    memcpy(&halves, (const uint16_t *)row + at, sizeof halves);
    return from_halves(halves);
  }
  Bytes bytes;
  memcpy(&bytes, (const int8_t *)row + at, sizeof bytes);
  return from_bytes(bytes);
}

INLINE float sum(Vector v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float total = 0;
  for (int i = 0; i < LANES; i++) total += v[i];
  return total;
#endif
}

INLINE uint16_t to_bfloat16(float value) { /* rounded to the nearest, ties to even */
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

INLINE int64_t row_bytes(int64_t kind, int64_t columns) {
  if (kind == FLOAT32) return 4 * columns;
  if (kind == BFLOAT16 || kind == ROUNDED) return 2 * columns;
  return kind == INT8 ? columns : columns / 2;
}

/* e^x for x <= 88; below -87 it is 0. Cephes' polynomial, an error of about one in 10^7. */
INLINE Vector exponential(Vector x) {
  const Integers kept = x > -87.0f;
  const Vector inside = (Vector)((Integers)x & kept); /* what is not kept must not overflow */
  const Vector n = inside * 1.44269504088896341f + 12582912.0f - 12582912.0f; /* rounded */
  const Vector r = inside - n * 0.693359375f + n * 2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Integers power = (__builtin_convertvector(n, Integers) + 127) << 23;
  return (Vector)((Integers)(p * (Vector)power) & kept);
}

/* --- products -------------------------------------------------------------------------------- */

#define MOST_ROWS 4
#define MOST_INPUTS 4

/* The same place in the next rows will be read soon: rows are too short for the processor to see a
 * pattern by itself. Without it a core reads a third less. */
INLINE void ahead(const char *row, int64_t next, int64_t at) {
  if (at % 64 == 0) __builtin_prefetch(row + next + at);
}

/* out[r][i] = weights' row r times input i, for R rows and C inputs, both known when compiled. */
INLINE void dots(const char *weights, int64_t kind, const float *scales, int64_t columns,
                 const float *const *inputs, int R, int C, float out[MOST_ROWS][MOST_INPUTS]) {
  const int64_t stride = row_bytes(kind, columns);
  Vector sums[MOST_ROWS][MOST_INPUTS];
  for (int r = 0; r < R; r++)
    for (int i = 0; i < C; i++) sums[r][i] = (Vector){};
  if (kind == INT4) {
    const int64_t groups = columns / GROUP;
    for (int64_t group = 0; group < groups; group++) {
      for (int r = 0; r < R; r++) {
        ahead(weights + r * stride, R * stride, group * 16);
        Bytes bytes;
        memcpy(&bytes, weights + r * stride + group * 16, sizeof bytes);
        const Vector low = from_bytes((bytes & 15) - 8);
        const Vector high = from_bytes(((Bytes)(bytes >> 4) & 15) - 8);
        const float scale = scales[r * groups + group];
        for (int i = 0; i < C; i++) {
          const float *x = inputs[i] + group * GROUP;
          sums[r][i] += (low * load(x) + high * load(x + 16)) * scale;
        }
      }
    }
  } else {
    for (int64_t at = 0; at < columns; at += LANES) {
      Vector x[MOST_INPUTS];
      for (int i = 0; i < C; i++) x[i] = load(inputs[i] + at);
      for (int r = 0; r < R; r++) {
        ahead(weights + r * stride, R * stride, row_bytes(kind, at));
        const Vector w = load_as(weights + r * stride, kind, at);
        for (int i = 0; i < C; i++) sums[r][i] += w * x[i];
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int i = 0; i < C; i++)
      out[r][i] = kind == INT8 ? sum(sums[r][i]) * scales[r] : sum(sums[r][i]);
}

#if defined(__AVX512BF16__)
enum { HAS_ROUNDED = 1 };

INLINE __m512bh load_pairs(const uint16_t *from, int64_t left) {
  return (__m512bh)_mm512_maskz_loadu_epi16(left >= 32 ? 0xffffffff : 0xffff, from);
}

INLINE __m256i round_vector(Vector v) { return (__m256i)_mm512_cvtneps_pbh((__m512)v); }

/* As `dots`; `inputs` point to bfloat16. */
INLINE void dots_rounded(const char *weights, int64_t columns, const float *const *inputs, int R,
                         int C, float out[MOST_ROWS][MOST_INPUTS]) {
  __m512 sums[MOST_ROWS][MOST_INPUTS];
  for (int r = 0; r < R; r++)
    for (int i = 0; i < C; i++) sums[r][i] = _mm512_setzero_ps();
  for (int64_t at = 0; at < columns; at += 32) {
    __m512bh x[MOST_INPUTS];
    for (int i = 0; i < C; i++) x[i] = load_pairs((const uint16_t *)inputs[i] + at, columns - at);
    for (int r = 0; r < R; r++) {
      const uint16_t *row = (const uint16_t *)weights + r * columns;
      ahead((const char *)row, R * 2 * columns, 2 * at);
      const __m512bh w = load_pairs(row + at, columns - at);
      for (int i = 0; i < C; i++) sums[r][i] = _mm512_dpbf16_ps(sums[r][i], w, x[i]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int i = 0; i < C; i++) out[r][i] = _mm512_reduce_add_ps(sums[r][i]);
}
/* Sixteen rows of sixteen pairs -> sixteen pairs of sixteen rows, `step` numbers apart. */
INLINE void turn(const __m512i in[16], uint16_t *out, int64_t step) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(in[i], in[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(in[i], in[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    _mm512_storeu_si512(out + i * step, _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88));
    _mm512_storeu_si512(out + (i + 4) * step, _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88));
    _mm512_storeu_si512(out + (i + 8) * step, _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd));
    _mm512_storeu_si512(out + (i + 12) * step, _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xdd));
  }
}

#else
enum { HAS_ROUNDED = 0 };
INLINE Halves round_vector(Vector v) { (void)v; return (Halves){}; }
#define dots_rounded(weights, columns, inputs, R, C, out) (void)0
#endif

/* Inputs for `m`, rounded into `room` where that is faster; `m` is told so. */
static void round_inputs(Matrix *m, const float **inputs, int64_t count, uint16_t *room) {
  if (!HAS_ROUNDED || m->kind != BFLOAT16) return;
  m->kind = ROUNDED;
  for (int64_t i = 0; i < count; i++) {
    uint16_t *to = room + i * m->columns;
    for (int64_t at = 0; at < m->columns; at += LANES) {
      const __typeof__(round_vector((Vector){})) rounded = round_vector(load(inputs[i] + at));
      memcpy(to + at, &rounded, sizeof rounded);
    }
    inputs[i] = (const float *)to;
  }
}

/* As `round_inputs`, for several matrices of the same inputs; they are of one kind, or none is. */
static void round_alike(Matrix *m, int num, const float **inputs, int64_t count, uint16_t *room) {
  for (int i = 1; i < num; i++)
    if (m[i].kind != m[0].kind) return;
  round_inputs(m, inputs, count, room);
  for (int i = 1; i < num; i++) m[i].kind = m[0].kind;
}

#define ROUNDED_CASES(R)                                                       \
  switch (count) {                                                             \
    case 1: dots_rounded(weights, columns, inputs, R, 1, out); break;          \
    case 2: dots_rounded(weights, columns, inputs, R, 2, out); break;          \
    case 3: dots_rounded(weights, columns, inputs, R, 3, out); break;          \
    default: dots_rounded(weights, columns, inputs, R, 4, out);                \
  }                                                                            \
  return;

#define CASES(KIND, R)                                                                        \
  switch (count) {                                                                            \
    case 1: dots(weights, KIND, scales, columns, inputs, R, 1, out); break;                   \
    case 2: dots(weights, KIND, scales, columns, inputs, R, 2, out); break;                   \
    case 3: dots(weights, KIND, scales, columns, inputs, R, 3, out); break;                   \
    default: dots(weights, KIND, scales, columns, inputs, R, 4, out);                         \
  }                                                                                           \
  return;

/* As `dots`, for up to four rows of `m` from `row` on, and up to four inputs. */
static void products(const Matrix *m, int64_t row, int rows, const float *const *inputs, int count,
                     float out[MOST_ROWS][MOST_INPUTS]) {
  const int64_t columns = m->columns;
  const char *weights = (const char *)m->weights + row * row_bytes(m->kind, columns);
  const float *scales = m->scales;
  if (m->kind == INT8) scales += row;
  if (m->kind == INT4) scales += row * (columns / GROUP);
  if (rows < MOST_ROWS) { /* the last ones, one by one */
    for (int r = 0; r < rows; r++) {
      float single[MOST_ROWS][MOST_INPUTS] = {};
      const Matrix rest = {weights, scales, rows, columns, m->kind};
      const char *own = weights + r * row_bytes(m->kind, columns);
      const float *scale = m->kind == INT8 ? scales + r : scales + r * (columns / GROUP);
      for (int i = 0; i < count; i++) {
        switch (rest.kind) {
          case FLOAT32: dots(own, FLOAT32, scale, columns, inputs + i, 1, 1, single); break;
          case BFLOAT16: dots(own, BFLOAT16, scale, columns, inputs + i, 1, 1, single); break;
          case INT8: dots(own, INT8, scale, columns, inputs + i, 1, 1, single); break;
          case ROUNDED: dots_rounded(own, columns, inputs + i, 1, 1, single); break;
          default: dots(own, INT4, scale, columns, inputs + i, 1, 1, single);
        }
        out[r][i] = single[0][0];
      }
    }
    return;
  }
  switch (m->kind) {
    case FLOAT32: CASES(FLOAT32, 4)
    case BFLOAT16: CASES(BFLOAT16, 4)
    case INT8: CASES(INT8, 4)
    case ROUNDED: ROUNDED_CASES(4)
    default: CASES(INT4, 4)
  }
}

/* Rows [row, row + 4) of `m` times all inputs, to outputs[i][row...], added or set. */
INLINE void multiply(const Matrix *m, int64_t row, const float *const *inputs, int64_t count,
                     float *const *outputs, int add) {
  float found[MOST_ROWS][MOST_INPUTS];
  const int rows = m->rows - row < MOST_ROWS ? (int)(m->rows - row) : MOST_ROWS;
  for (int64_t first = 0; first < count; first += MOST_INPUTS) {
    const int some = count - first < MOST_INPUTS ? (int)(count - first) : MOST_INPUTS;
    products(m, row, rows, inputs + first, some, found);
    for (int i = 0; i < some; i++)
      for (int r = 0; r < rows; r++) {
        float *to = outputs[first + i] + row + r;
        *to = add ? *to + found[r][i] : found[r][i];
      }
  }
}

#endif
