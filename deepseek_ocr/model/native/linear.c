/* Linear layers and routed experts over many rows, in bfloat16, as fast as the processor multiplies.
 *
 * out[m][n] = sum over k of x[m][k] * w[n][k]; both lie in memory with k last. A panel of PANEL rows
 * of weights is turned so that a vector holds one pair of numbers of sixteen rows of weights; it
 * stays in the second cache while all rows of x pass by, whose pairs are read where they lie. Sums
 * stay in registers from the first k to the last, and what follows a product (bias, activation, the
 * residual) is done there before anything is rounded. Weights of 8 bits become bfloat16 as they are
 * turned, which is exact; their scale is applied to the sums.
 *
 * Letters: M rows of x, K inputs, N outputs; K a multiple of 32, N of 16.
 */

#include "products.h"

int has_linear(void) { return HAS_ROUNDED; }

#if defined(__AVX512BF16__)
#if defined(_OPENMP)
#include <omp.h>
#endif

enum { PLAIN = 0, GELU = 1, QUICK_GELU = 2, GATED = 3 }; /* what happens to the sums */
enum { ROWS = 12, VECTORS = 2, PANEL = VECTORS * LANES }; /* 24 sums stay in registers */
enum { CHUNK = 32 * ROWS }; /* rows of x that stay in the second cache beside a panel */

typedef struct {
  const uint16_t *x;        /* (.., K), rows `x_stride` apart */
  const int64_t *places;    /* (M) rows of x; NULL: the first M in order */
  const void *weights, *up; /* (N, K); GATED: the gate's, and as many of the up projection */
  const float *scales, *up_scales; /* (N) of weights of 8 bits, else NULL */
  const uint16_t *bias;     /* (N) or NULL */
  const uint16_t *residual; /* (M, N) added at the end, or NULL; may be `out` */
  uint16_t *out;            /* (M, N), rows `out_stride` apart */
  float *sums;              /* not NULL: instead sums[places_out[m]] += share[m] * .. */
  const int64_t *places_out;
  const float *share;
  int64_t x_stride, out_stride, rows, inputs, outputs, kind, activation;
} Linear;

INLINE __m512i sixteen_pairs(const void *row, int64_t kind, int64_t at) {
  if (kind == BFLOAT16) return _mm512_loadu_si512((const uint16_t *)row + at);
  const __m256i codes = _mm256_loadu_si256((const __m256i *)((const int8_t *)row + at));
  const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(codes)));
  const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(codes, 1)));
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Sixteen rows of weights into vector `v` of a panel of `vectors`. */
INLINE void turn_rows(const void *weights, int64_t kind, int64_t inputs, uint16_t *panel, int v,
                      int vectors) {
  const int64_t stride = row_bytes(kind, inputs), step = vectors * LANES * 2;
  for (int64_t at = 0; at < inputs; at += 32) {
    __m512i rows[16];
    for (int i = 0; i < 16; i++) rows[i] = sixteen_pairs((const char *)weights + i * stride, kind, at);
    turn(rows, panel + at / 2 * step + v * LANES * 2, step);
  }
}

static void pack(const Linear *l, int64_t first, int vectors, uint16_t *panel) {
  const int64_t stride = row_bytes(l->kind, l->inputs);
  const int own = l->activation == GATED ? vectors / 2 : vectors;
  for (int v = 0; v < vectors; v++) {
    const char *from = v < own ? l->weights : l->up;
    const char *rows = from + (first + (v < own ? v : v - own) * LANES) * stride;
    if (l->kind == BFLOAT16)
      turn_rows(rows, BFLOAT16, l->inputs, panel, v, vectors);
    else
      turn_rows(rows, INT8, l->inputs, panel, v, vectors);
  }
}

/* e^x, to six digits; 0 far below, and never infinite; of two where one is no number min and max
 * give the second. */
INLINE __m512 power(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-110.0f), _mm512_min_ps(_mm512_set1_ps(80.0f), x));
  const __m512 powers = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_roundscale_ps(powers, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(powers, whole);
  __m512 p = _mm512_set1_ps(1.33336498e-3f); /* of 2^rest */
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(9.61793571e-3f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(5.55045345e-2f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(2.40226462e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(6.93147182e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

INLINE __m512 times_sigmoid(__m512 x, __m512 of) { /* x * sigmoid(of) */
  const __m512 below = power(_mm512_sub_ps(_mm512_setzero_ps(), of));
  return _mm512_div_ps(x, _mm512_add_ps(below, _mm512_set1_ps(1.0f)));
}

/* x * (1 + erf(x / sqrt 2)) / 2; Abramowitz and Stegun 7.1.26, an error of 1.5e-7. */
INLINE __m512 gelu(__m512 x) {
  const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one));
  __m512 p = _mm512_set1_ps(1.061405429f);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
  p = _mm512_mul_ps(p, t);
  const __m512 tail = _mm512_mul_ps(p, power(_mm512_mul_ps(z, _mm512_sub_ps(_mm512_setzero_ps(), z))));
  const __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f)); /* erf is odd: 1 - tail beyond 0 */
  const __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 share = _mm512_mask_blend_ps(
      below, _mm512_sub_ps(_mm512_set1_ps(2.0f), tail), tail);
  return _mm512_mul_ps(half, share);
}

INLINE __m512 widened(const uint16_t *from) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16));
}

INLINE void keep_rounded(uint16_t *to, __m512 values) {
  _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(values));
}

/* Weights that are wanted next, up to two stretches of them: they are fetched while others are
 * multiplied, or the rows would wait for memory each time that a panel is turned. */
typedef struct {
  const char *at[2], *end[2];
} Ahead;

INLINE void fetch(Ahead *ahead, int lines) {
  for (int i = 0; i < 2; i++)
    for (int line = 0; line < lines && ahead->at[i] < ahead->end[i]; line++, ahead->at[i] += 64)
      _mm_prefetch(ahead->at[i], _MM_HINT_T1);
}

/* Rows [row, row + R) of x by a panel of V vectors, whose first output is `first`. */
INLINE void tile(const Linear *l, const uint16_t *panel, int64_t row, int64_t first, int R, int V,
                 Ahead *ahead) {
  const uint16_t *x[ROWS];
  for (int r = 0; r < R; r++)
    x[r] = l->x + (l->places ? l->places[row + r] : row + r) * l->x_stride;
  __m512 sums[ROWS][VECTORS];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sums[r][v] = _mm512_setzero_ps();
  for (int64_t start = 0; start < l->inputs; start += 32) {
    fetch(ahead, 3);
#pragma GCC unroll 2
    for (int64_t at = start; at < start + 32; at += 2) {
      const uint16_t *pairs = panel + at * V * LANES;
      __m512bh w[VECTORS];
      for (int v = 0; v < V; v++) {
        _mm_prefetch((const char *)(pairs + (24 * V + 2 * v) * LANES), _MM_HINT_T0);
        w[v] = (__m512bh)_mm512_loadu_si512(pairs + v * 2 * LANES);
      }
      for (int r = 0; r < R; r++) {
        uint32_t pair;
        memcpy(&pair, x[r] + at, sizeof pair);
        const __m512bh both = (__m512bh)_mm512_set1_epi32((int)pair);
        for (int v = 0; v < V; v++) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], w[v], both);
      }
    }
  }
  const int own = l->activation == GATED ? V / 2 : V;
  for (int r = 0; r < R; r++)
    for (int v = 0; v < own; v++) {
      const int64_t column = first + v * LANES;
      __m512 found = sums[r][v];
      if (l->scales) found = _mm512_mul_ps(found, _mm512_loadu_ps(l->scales + column));
      if (l->bias) found = _mm512_add_ps(found, widened(l->bias + column));
      if (l->activation == GELU) found = gelu(found);
      if (l->activation == QUICK_GELU)
        found = times_sigmoid(found, _mm512_mul_ps(found, _mm512_set1_ps(1.702f)));
      if (l->activation == GATED) {
        __m512 up = sums[r][v + own];
        if (l->up_scales) up = _mm512_mul_ps(up, _mm512_loadu_ps(l->up_scales + column));
        found = _mm512_mul_ps(times_sigmoid(found, found), up);
      }
      if (l->sums) {
        float *to = l->sums + l->places_out[row + r] * l->out_stride + column;
        const __m512 share = _mm512_set1_ps(l->share[row + r]);
        _mm512_storeu_ps(to, _mm512_fmadd_ps(found, share, _mm512_loadu_ps(to)));
        continue;
      }
      const int64_t place = (row + r) * l->out_stride + column;
      if (l->residual) found = _mm512_add_ps(found, widened(l->residual + place));
      keep_rounded(l->out + place, found);
    }
}

/* Rows [start, stop) of x by the panel; the last two tiles share what is left evenly. */
static void pass(const Linear *l, const uint16_t *panel, int64_t first, int vectors, int64_t start,
                 int64_t stop, Ahead ahead) {
  for (int64_t row = start, left, count; row < stop; row += count) {
    left = stop - row;
    count = left <= ROWS ? left : left < 2 * ROWS ? (left + 1) / 2 : ROWS;
#define CASE(R)                                   \
  case R:                                         \
    if (vectors == 2)                             \
      tile(l, panel, row, first, R, 2, &ahead);           \
    else                                          \
      tile(l, panel, row, first, R, 1, &ahead);           \
    break;
    switch (count) {
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
      CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    }
#undef CASE
  }
}

/* Outputs that a panel has: half its vectors are the up projection's where that is gated. */
INLINE int64_t panel_outputs(const Linear *l) { return l->activation == GATED ? PANEL / 2 : PANEL; }

INLINE int64_t num_panels(const Linear *l) {
  return (l->outputs + panel_outputs(l) - 1) / panel_outputs(l);
}

INLINE int panel_vectors(const Linear *l, int64_t first) {
  const int64_t left = l->outputs - first, each = panel_outputs(l), own = left < each ? left : each;
  return (int)(own / LANES) * (l->activation == GATED ? 2 : 1);
}

/* The weights of the panel that begins with output `first`; none where it is beyond the last. */
static Ahead ahead_of(const Linear *l, int64_t first) {
  Ahead found = {{NULL, NULL}, {NULL, NULL}};
  if (first >= l->outputs) return found;
  const int64_t stride = row_bytes(l->kind, l->inputs), left = l->outputs - first;
  const int64_t count = left < panel_outputs(l) ? left : panel_outputs(l);
  const void *parts[2] = {l->weights, l->activation == GATED ? l->up : NULL};
  for (int i = 0; i < 2; i++)
    if (parts[i]) {
      found.at[i] = (const char *)parts[i] + first * stride;
      found.end[i] = found.at[i] + count * stride;
    }
  return found;
}

int64_t linear_bytes(int64_t inputs, int64_t threads) {
  return threads * (inputs * PANEL * (int64_t)sizeof(uint16_t) + 4096) + 64;
}

INLINE uint16_t *own_panel(void *memory, int64_t inputs) {
  const int64_t each = inputs * PANEL * (int64_t)sizeof(uint16_t) + 4096;
#if defined(_OPENMP)
  memory = (char *)memory + omp_get_thread_num() * each;
#endif
  return (uint16_t *)(((uintptr_t)memory + 63) / 64 * 64);
}

/* A linear layer; `memory` of `linear_bytes`. */
void linear(const Linear *l, void *memory, int64_t threads) {
  const int64_t panels = num_panels(l);
  const int64_t chunks = (l->rows + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t item = 0; item < chunks * panels; item++) {
    const int64_t first = item % panels * panel_outputs(l), start = item / panels * CHUNK;
    const int64_t stop = start + CHUNK < l->rows ? start + CHUNK : l->rows;
    uint16_t *panel = own_panel(memory, l->inputs);
    const int vectors = panel_vectors(l, first);
    pack(l, first, vectors, panel);
    /* the other threads take the panels between */
    pass(l, panel, first, vectors, start, stop, ahead_of(l, first + threads * panel_outputs(l)));
  }
}

/* Routed experts: sums (T, D) += of each token's experts, weighted; choices sorted by expert. */
typedef struct {
  const uint16_t *x;     /* (T, D) */
  const int64_t *tokens; /* (choices) the token of each choice, expert by expert */
  const int64_t *ends;   /* (E) where each expert's choices end */
  const float *share;    /* (choices) */
  const void *gate_up, *down;             /* (E, 2H, D), (E, D, H) */
  const float *gate_up_scales, *down_scales; /* (E, 2H), (E, D) of weights of 8 bits, else NULL */
  uint16_t *hidden;      /* (choices, H) */
  float *sums;           /* (T, D), set to 0 before */
  int64_t experts, width, units, kind;
} Experts;

static Linear gate_up_of(const Experts *e, int64_t expert) {
  const int64_t both = 2 * expert * e->units;
  const char *gate = (const char *)e->gate_up + row_bytes(e->kind, both * e->width);
  const float *scales = e->gate_up_scales ? e->gate_up_scales + both : NULL;
  return (Linear){.x = e->x, .places = e->tokens, .weights = gate,
                  .up = gate + row_bytes(e->kind, e->units * e->width), .scales = scales,
                  .up_scales = scales ? scales + e->units : NULL, .out = e->hidden,
                  .x_stride = e->width, .out_stride = e->units, .rows = e->ends[expert],
                  .inputs = e->width, .outputs = e->units, .kind = e->kind, .activation = GATED};
}

static Linear down_of(const Experts *e, int64_t expert) {
  return (Linear){.x = e->hidden,
                  .weights = (const char *)e->down + row_bytes(e->kind, expert * e->units * e->width),
                  .scales = e->down_scales ? e->down_scales + expert * e->width : NULL,
                  .sums = e->sums, .places_out = e->tokens, .share = e->share,
                  .x_stride = e->units, .out_stride = e->width, .rows = e->ends[expert],
                  .inputs = e->units, .outputs = e->width, .kind = e->kind, .activation = PLAIN};
}

/* What item `item` of the gate and up projections reads. */
static Ahead next_of(const Experts *e, int64_t item) {
  const int64_t strips = (e->units + PANEL / 2 - 1) / (PANEL / 2);
  if (item >= e->experts * strips) return (Ahead){{NULL, NULL}, {NULL, NULL}};
  const Linear l = gate_up_of(e, item / strips);
  return ahead_of(&l, item % strips * (PANEL / 2));
}

void experts(const Experts *e, void *memory, int64_t threads) {
  const int64_t units = e->units, width = e->width, widest = units > width ? units : width;
  const int64_t strips = (units + PANEL / 2 - 1) / (PANEL / 2), panels = (width + PANEL - 1) / PANEL;
#pragma omp parallel num_threads(threads)
  {
    uint16_t *panel = own_panel(memory, widest);
#pragma omp for schedule(dynamic, 4)
    for (int64_t item = 0; item < e->experts * strips; item++) {
      const int64_t expert = item / strips, first = item % strips * (PANEL / 2);
      const int64_t start = expert ? e->ends[expert - 1] : 0, stop = e->ends[expert];
      if (start == stop) continue;
      const Linear l = gate_up_of(e, expert);
      const int vectors = panel_vectors(&l, first);
      pack(&l, first, vectors, panel);
      pass(&l, panel, first, vectors, start, stop, next_of(e, item + 1));
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < panels; item++)
      for (int64_t expert = 0; expert < e->experts; expert++) {
        const int64_t start = expert ? e->ends[expert - 1] : 0, stop = e->ends[expert];
        if (start == stop) continue;
        const Linear l = down_of(e, expert), after = down_of(e, (expert + 1) % e->experts);
        const int64_t first = item * PANEL;
        const int vectors = panel_vectors(&l, first);
        pack(&l, first, vectors, panel);
        pass(&l, panel, first, vectors, start, stop, ahead_of(&after, first));
      }
  }
}
#else
int64_t linear_bytes(int64_t inputs, int64_t threads) { return (void)inputs, (void)threads, 0; }
void linear(const void *l, void *memory, int64_t threads) { (void)l, (void)memory, (void)threads; }
void experts(const void *e, void *memory, int64_t threads) { (void)e, (void)memory, (void)threads; }
#endif
