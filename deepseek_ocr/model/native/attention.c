/* Attention over whole views, windows or a text, in bfloat16, with relative positions or none.
 *
 * The score of query i and key (r, c) is q_i . k_(r, c) * scale + q_i . R[r_i - r] + q_i . C[c_i - c].
 * As in FlashAttention (arXiv 2205.14135) no row of scores is ever whole: blocks of queries meet
 * blocks of keys in the cache, and what was summed is rescaled when a larger score appears. Each row
 * of keys is filled up to whole vectors, so that a vector of scores has one row and known columns.
 *
 * Letters: H heads, d width of a head, a multiple of 16. Products are of bfloat16 pairs, sums and
 * weights in float32; weights are rounded to bfloat16 before they meet the values.
 */

#include "products.h"

int has_attention(void) { return HAS_ROUNDED; }

#if defined(__AVX512BF16__)
#if defined(_OPENMP)
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

typedef struct {
  const uint16_t *q, *k, *v;          /* of the first view, token and head */
  const uint16_t *no_key, *no_value;  /* (H, d) of places beyond the view; NULL: there are none */
  const uint16_t *by_row, *by_column; /* (2 rows - 1, d), (2 columns - 1, d) of a window, or NULL */
  uint16_t *out;                      /* (views, queries of a view, H, d) */
  int64_t views, height, width, heads, head_width;
  int64_t rows, columns;              /* of a window; the view's for one over all of it */
  int64_t queries, past; /* a text: so many at its end, after `past`, see nothing later; 0: a view */
  int64_t group;                      /* heads that share keys and values */
  int64_t q_view, q_token, q_head, k_view, k_token, k_head; /* steps in memory */
  float scale;
} Attention;

enum { QUERIES = 48, TOGETHER = 6, ACROSS = 4 }; /* of a block; of a product, with its vectors */
enum { KEY_VECTORS = 32 }; /* of keys at a time: their scores stay in the first cache */
enum { MOST_WIDTH = 512 }; /* of a head */
static const float LOG2_E = 1.44269504f; /* scores are in powers of two */
static const float NEVER = -1e30f;

typedef struct {
  uint16_t *keys;   /* (vectors, d / 2, 16, 2) */
  uint16_t *values; /* (padded keys / 2, d, 2) */
  uint16_t *row_table, *column_table; /* (d / 2, padded distances, 2), farthest first */
  float *scores;    /* (TOGETHER, KEY_VECTORS * 16) */
  uint16_t *weights;
  float *row_scores, *column_scores; /* (QUERIES, padded rows), (QUERIES, padded columns) */
  float *sums;      /* (QUERIES, d) */
} Desk;

INLINE int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

static int64_t lay_out(const Attention *a, Desk *desk, char *memory) {
  const int64_t d = a->head_width, columns = up(a->columns, LANES), keys = up(a->rows * columns, 2);
  int64_t used = 0;
#define TAKE(name, count)                                 \
  if (memory) desk->name = (void *)(memory + used);       \
  used += up((int64_t)sizeof *desk->name * (count), 64) + 64;
  TAKE(keys, keys * d) TAKE(values, keys * d)
  TAKE(row_table, up(2 * a->rows + 2 * LANES, LANES) * d)
  TAKE(column_table, up(2 * a->columns + 2 * LANES, LANES) * d)
  TAKE(scores, TOGETHER * KEY_VECTORS * LANES) TAKE(weights, TOGETHER * KEY_VECTORS * LANES)
  TAKE(row_scores, QUERIES * up(a->rows, LANES)) TAKE(column_scores, QUERIES * columns)
  TAKE(sums, QUERIES * d)
#undef TAKE
  return up(used, 4096);
}

int64_t attention_bytes(const Attention *a, int64_t threads) {
  return threads * lay_out(a, (Desk *)0, (char *)0) + 64;
}

/* (distances, d), the farthest first: what a query at place i sees of `size` places is then one run
 * of it, from size - 1 - i on. */
static void pack_table(const uint16_t *table, int64_t size, int64_t d, uint16_t *out) {
  const int64_t distances = 2 * size - 1, padded = up(2 * size + 2 * LANES, LANES);
  memset(out, 0, (size_t)(padded * d) * sizeof *out);
  for (int64_t at = 0; at < distances; at++)
    for (int64_t i = 0; i < d; i++)
      out[(i / 2 * padded + at) * 2 + i % 2] = table[(distances - 1 - at) * d + i];
}

/* Thirty-two numbers, or the last sixteen. */
INLINE __m512i some(const uint16_t *from, int64_t left) {
  return _mm512_maskz_loadu_epi16(left >= 32 ? 0xffffffff : 0xffff, from);
}

/* Two rows of 32 numbers, or of the last 16, in turns: a0 b0 a1 b1 .. */
INLINE void pair_up(const uint16_t *a, const uint16_t *b, int64_t left, uint16_t *out) {
  const __m512i x = some(a, left), y = some(b, left);
  const __m512i low = _mm512_unpacklo_epi16(x, y), high = _mm512_unpackhi_epi16(x, y);
  const __m512i even = _mm512_permutex2var_epi64(
      low, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high);
  _mm512_storeu_si512(out, even);
  if (left >= 32)
    _mm512_storeu_si512(out + 32, _mm512_permutex2var_epi64(
                                      low, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), high));
}

/* All places alike, but for those that only fill up a vector. */
static void no_positions(const Attention *a, const Desk *desk) {
  const int64_t padded = up(a->columns, LANES), tall = up(a->rows, LANES);
  for (int64_t q = 0; q < QUERIES; q++) {
    for (int64_t row = 0; row < tall; row++) desk->row_scores[q * tall + row] = 0;
    for (int64_t column = 0; column < padded; column++)
      desk->column_scores[q * padded + column] = column < a->columns ? 0 : NEVER;
  }
}

/* Sixteen keys at a time, pairs of their numbers side by side, and pairs of values; rows are filled
 * up with zeros. */
INLINE void pack_keys(const Attention *a, const Desk *desk, int64_t view, int64_t top, int64_t left,
                      int64_t head, int64_t d) {
  static const uint16_t zeros[MOST_WIDTH] __attribute__((aligned(64)));
  const int64_t padded = up(a->columns, LANES), shared = head / a->group;
  const int64_t start = view * a->k_view + shared * a->k_head;
  for (int64_t row = 0; row < a->rows; row++)
    for (int64_t first = 0; first < padded; first += LANES) {
      const uint16_t *keys[LANES], *values[LANES];
      for (int64_t i = 0; i < LANES; i++) {
        const int64_t column = first + i;
        const int inside = top + row < a->height && left + column < a->width;
        const int64_t at = start + ((top + row) * a->width + left + column) * a->k_token;
        if (column >= a->columns)
          keys[i] = values[i] = zeros;
        else {
          keys[i] = inside ? a->k + at : a->no_key + shared * d;
          values[i] = inside ? a->v + at : a->no_value + shared * d;
        }
      }
      const int64_t place = row * padded + first;
      for (int64_t at = 0; at < d; at += 32) {
        __m512i rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = some(keys[i] + at, d - at);
        if (d - at >= 32)
          turn(rows, desk->keys + place * d + at * LANES, 2 * LANES);
        else { /* the last eight pairs of a head that is an odd multiple of 16 wide */
          uint16_t turned[16 * 2 * LANES];
          turn(rows, turned, 2 * LANES);
          memcpy(desk->keys + place * d + at * LANES, turned, sizeof turned / 2);
        }
        for (int i = 0; i < LANES; i += 2)
          pair_up(values[i] + at, values[i + 1] + at, d - at,
                  desk->values + (place + i) * d + 2 * at);
      }
    }
}

INLINE __m512bh twice(const uint16_t *pair) { /* one pair of numbers in all places */
  uint32_t both;
  memcpy(&both, pair, sizeof both);
  return (__m512bh)_mm512_set1_epi32((int)both);
}

INLINE __m512bh pairs(const uint16_t *from) { return (__m512bh)_mm512_loadu_si512(from); }

/* What `place_scores` adds up for a table: two vectors, and each apart for even and odd pairs, so
 * that a sum need not wait for the one before. */
typedef struct {
  const uint16_t *from;
  int64_t padded;
  __m512 sums[2][2];
} Run;

INLINE Run run_of(const uint16_t *table, int64_t size, int64_t place, int64_t first) {
  Run run = {.from = table + (size - 1 - place + first) * 2,
             .padded = up(2 * size + 2 * LANES, LANES)};
  for (int i = 0; i < 4; i++) run.sums[i / 2][i % 2] = _mm512_setzero_ps();
  return run;
}

INLINE void add_pair(Run *run, int64_t pair, __m512bh q, int odd) {
  const uint16_t *from = run->from + pair * run->padded * 2;
  run->sums[0][odd] = _mm512_dpbf16_ps(run->sums[0][odd], pairs(from), q);
  run->sums[1][odd] = _mm512_dpbf16_ps(run->sums[1][odd], pairs(from + 2 * LANES), q);
}

/* Scores of places from `first` on, as `score` begins with them; NEVER where there is none. */
INLINE void end_run(const Run *run, int64_t first, int64_t size, float scale, float *out) {
  for (int j = 0; j < 2 && first + j * LANES < size; j++) {
    const int64_t left = size - first - j * LANES;
    const __mmask16 own = left >= LANES ? 0xffff : (__mmask16)((1 << left) - 1);
    const __m512 sum = _mm512_add_ps(run->sums[j][0], run->sums[j][1]);
    const __m512 found = _mm512_mul_ps(sum, _mm512_set1_ps(scale));
    _mm512_storeu_ps(out + first + j * LANES,
                     _mm512_mask_blend_ps(own, _mm512_set1_ps(NEVER), found));
  }
}

/* One query by both tables -> its scores of all rows and of all columns, over `scale`. */
INLINE void place_scores(const Attention *a, const Desk *desk, const uint16_t *query, int64_t row,
                         int64_t column, int64_t d, float *rows, float *columns) {
  const float scale = 1.0f / a->scale;
  for (int64_t first = 0; first < a->rows || first < a->columns; first += 2 * LANES) {
    /* beyond its own end a table is read where it begins, and nothing is kept */
    Run by_row = run_of(desk->row_table, a->rows, row, first < a->rows ? first : 0);
    Run by_column = run_of(desk->column_table, a->columns, column, first < a->columns ? first : 0);
    for (int64_t pair = 0; pair < d / 2; pair += 2)
      for (int odd = 0; odd < 2; odd++) {
        const __m512bh q = twice(query + 2 * (pair + odd));
        add_pair(&by_row, pair + odd, q, odd);
        add_pair(&by_column, pair + odd, q, odd);
      }
    end_run(&by_row, first, a->rows, scale, rows);
    end_run(&by_column, first, a->columns, scale, columns);
  }
}

/* Scores of queries and `V` vectors of keys from vector `first` on; `most` keeps the largest. */
INLINE void score(const Attention *a, const Desk *desk, const uint16_t *const *queries, int64_t q,
                  int64_t first, int64_t at, int V, int64_t d, __m512 *most) {
  const int64_t across = up(a->columns, LANES) / LANES, tall = up(a->rows, LANES);
  __m512 sums[TOGETHER][ACROSS]; /* begin with what the places give */
  for (int v = 0; v < V; v++) {
    const int64_t row = (first + v) / across, column = (first + v) % across * LANES;
    for (int i = 0; i < TOGETHER; i++)
      sums[i][v] = _mm512_add_ps(
          _mm512_loadu_ps(desk->column_scores + (q + i) * across * LANES + column),
          _mm512_set1_ps(desk->row_scores[(q + i) * tall + row]));
  }
  const uint16_t *keys = desk->keys + first * d * LANES;
  for (int64_t pair = 0; pair < d / 2; pair++) {
    __m512bh k[ACROSS];
    for (int v = 0; v < V; v++) k[v] = pairs(keys + (v * d / 2 + pair) * LANES * 2);
    for (int i = 0; i < TOGETHER; i++) {
      const __m512bh x = twice(queries[i] + 2 * pair);
      for (int v = 0; v < V; v++) sums[i][v] = _mm512_dpbf16_ps(sums[i][v], k[v], x);
    }
  }
  for (int i = 0; i < TOGETHER; i++)
    for (int v = 0; v < V; v++) {
      _mm512_storeu_ps(desk->scores + (i * KEY_VECTORS + at + v) * LANES, sums[i][v]);
      most[i] = _mm512_max_ps(most[i], sums[i][v]);
    }
}

/* 2^x for x <= 0, to five digits. */
INLINE __m512 weigh(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(9.66637e-3f);
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(5.592198e-2f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(2.4022349e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(6.9312105e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

/* (count) scores of a query, whose largest is `most` -> weights in bfloat16, and their sum. */
INLINE float soften(const float *scores, int64_t count, float most, float scale,
                    uint16_t *weights) {
  __m512 total = _mm512_setzero_ps();
  const __m512 factor = _mm512_set1_ps(scale), less = _mm512_set1_ps(most * scale);
  for (int64_t at = 0; at < count; at += LANES) {
    const __m512 w = weigh(_mm512_fmsub_ps(_mm512_loadu_ps(scores + at), factor, less));
    total = _mm512_add_ps(total, w);
    _mm256_storeu_si256((__m256i *)(weights + at), (__m256i)_mm512_cvtneps_pbh(w));
  }
  return _mm512_reduce_add_ps(total);
}

/* sums = sums * shrink + weights times values, of queries and V vectors of `count` keys' values. */
INLINE void gather(const Desk *desk, int64_t q, int64_t first, int64_t count, const float *shrink,
                   int64_t d, int64_t at, int V) {
  __m512 sums[TOGETHER][ACROSS];
  for (int i = 0; i < TOGETHER; i++)
    for (int v = 0; v < V; v++)
      sums[i][v] = _mm512_mul_ps(_mm512_loadu_ps(desk->sums + (q + i) * d + at + v * LANES),
                                 _mm512_set1_ps(shrink[i]));
  const uint16_t *values = desk->values + first * d + at * 2;
  const uint16_t *weights = desk->weights;
  for (int64_t pair = 0; pair < count / 2; pair++) {
    __m512bh x[ACROSS];
    for (int v = 0; v < V; v++) x[v] = pairs(values + pair * d * 2 + v * LANES * 2);
    for (int i = 0; i < TOGETHER; i++) {
      const __m512bh w = twice(weights + i * KEY_VECTORS * LANES + 2 * pair);
      for (int v = 0; v < V; v++) sums[i][v] = _mm512_dpbf16_ps(sums[i][v], x[v], w);
    }
  }
  for (int i = 0; i < TOGETHER; i++)
    for (int v = 0; v < V; v++)
      _mm512_storeu_ps(desk->sums + (q + i) * d + at + v * LANES, sums[i][v]);
}

/* Up to QUERIES queries over the first `vectors` of keys of the desk. */
INLINE void attend_block(const Attention *a, const Desk *desk, const uint16_t *const *queries,
                         uint16_t *const *answers, int64_t count, int64_t vectors, int64_t d) {
  const float scale = LOG2_E * a->scale;
  float most[QUERIES], total[QUERIES];
  for (int64_t q = 0; q < QUERIES; q++) most[q] = NEVER, total[q] = 0;
  memset(desk->sums, 0, (size_t)(QUERIES * d) * sizeof(float));
  for (int64_t first = 0; first < vectors; first += KEY_VECTORS) {
    const int64_t here = vectors - first < KEY_VECTORS ? vectors - first : KEY_VECTORS;
    for (int64_t q = 0; q < count; q += TOGETHER) {
      __m512 largest[TOGETHER];
      for (int i = 0; i < TOGETHER; i++) largest[i] = _mm512_set1_ps(most[q + i]);
      int64_t at = 0;
      for (; at + ACROSS <= here; at += ACROSS)
        score(a, desk, queries + q, q, first + at, at, ACROSS, d, largest);
      for (; at < here; at++) score(a, desk, queries + q, q, first + at, at, 1, d, largest);
      float shrink[TOGETHER];
      for (int i = 0; i < TOGETHER; i++) {
        const float now = _mm512_reduce_max_ps(largest[i]);
        shrink[i] = exp2f((most[q + i] - now) * scale);
        most[q + i] = now;
        const int64_t row = i * KEY_VECTORS * LANES;
        total[q + i] = total[q + i] * shrink[i] + soften(desk->scores + row, here * LANES, now,
                                                         scale, desk->weights + row);
      }
      for (at = 0; at + ACROSS * LANES <= d; at += ACROSS * LANES)
        gather(desk, q, first * LANES, here * LANES, shrink, d, at, ACROSS);
      for (; at < d; at += LANES) gather(desk, q, first * LANES, here * LANES, shrink, d, at, 1);
    }
  }
  for (int64_t q = 0; q < count; q++)
    if (answers[q])
      for (int64_t at = 0; at < d; at += LANES) {
        const __m512 sums = _mm512_loadu_ps(desk->sums + q * d + at);
        const __m512 found = _mm512_mul_ps(sums, _mm512_set1_ps(1.0f / total[q]));
        _mm256_storeu_si256((__m256i *)(answers[q] + at), (__m256i)_mm512_cvtneps_pbh(found));
      }
}

/* Scores of a query of a text that sees keys to `last`. */
INLINE void seen(float *scores, int64_t last, int64_t vectors) {
  const __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (int64_t v = 0; v < vectors; v++) {
    const __m512i left = _mm512_set1_epi32((int)(last - v * LANES));
    const __mmask16 later = _mm512_cmpgt_epi32_mask(count, left);
    _mm512_storeu_ps(scores + v * LANES, _mm512_mask_blend_ps(later, _mm512_setzero_ps(),
                                                              _mm512_set1_ps(NEVER)));
  }
}

/* The queries of one window and head, `part` of `parts` of them. */
INLINE void attend_window(const Attention *a, const Desk *desk, int64_t window, int64_t head,
                          int64_t part, int64_t parts, int64_t d) {
  const int64_t down = (a->height + a->rows - 1) / a->rows;
  const int64_t across = (a->width + a->columns - 1) / a->columns;
  const int64_t view = window / (down * across), top = window / across % down * a->rows;
  const int64_t left = window % across * a->columns;
  pack_keys(a, desk, view, top, left, head, d);
  const int64_t high = a->height - top < a->rows ? a->height - top : a->rows;
  const int64_t beside = a->width - left < a->columns ? a->width - left : a->columns;
  const int64_t wide = a->queries ? a->queries : beside, in_view = a->queries ? wide : a->width;
  const int64_t all = high * wide, each = up((all + parts - 1) / parts, QUERIES);
  const int64_t stop = (part + 1) * each < all ? (part + 1) * each : all;
  const uint16_t *from = a->q + view * a->q_view + head * a->q_head;
  uint16_t *out = a->out + (view * a->height * in_view * a->heads + head) * d;
  int64_t vectors = a->rows * (up(a->columns, LANES) / LANES);
  for (int64_t start = part * each; start < stop; start += QUERIES) {
    const int64_t count = stop - start < QUERIES ? stop - start : QUERIES;
    const uint16_t *queries[QUERIES];
    uint16_t *answers[QUERIES];
    const int64_t padded = up(count, TOGETHER);
    if (a->queries) vectors = up(a->past + start + count, LANES) / LANES;
    for (int64_t q = 0; q < padded; q++) { /* the last group is filled up with its last query */
      const int64_t own = start + (q < count ? q : count - 1), row = own / wide, column = own % wide;
      const int64_t place = (top + row) * in_view + left + column;
      queries[q] = from + place * a->q_token;
      answers[q] = q < count ? out + place * a->heads * d : NULL;
      if (a->queries)
        seen(desk->column_scores + q * up(a->columns, LANES), a->past + own, vectors);
      else if (a->by_row)
        place_scores(a, desk, queries[q], row, column, d, desk->row_scores + q * up(a->rows, LANES),
                     desk->column_scores + q * up(a->columns, LANES));
    }
    attend_block(a, desk, queries, answers, padded, vectors, d);
  }
}

/* All views, windows and heads; `memory` of `attention_bytes`. */
void attention(const Attention *a, char *memory, int64_t threads) {
  const int64_t down = (a->height + a->rows - 1) / a->rows;
  const int64_t across = (a->width + a->columns - 1) / a->columns;
  const int64_t pieces = a->views * down * across * a->heads;
  int64_t parts = (4 * threads + pieces - 1) / pieces;
  const int64_t all = a->queries ? a->queries : a->rows * a->columns;
  const int64_t most = (all + QUERIES - 1) / QUERIES;
  if (parts > most) parts = most;
  memory = (char *)up((int64_t)memory, 64);
  const int64_t each = lay_out(a, (Desk *)0, (char *)0);
#pragma omp parallel num_threads(threads)
  {
    Desk desk;
    lay_out(a, &desk, memory + THREAD * each);
    if (a->by_row) {
      pack_table(a->by_row, a->rows, a->head_width, desk.row_table);
      pack_table(a->by_column, a->columns, a->head_width, desk.column_table);
    } else {
      no_positions(a, &desk);
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < pieces * parts; item++) {
      const int64_t piece = item / parts, part = item % parts;
      const int64_t window = piece / a->heads, head = piece % a->heads;
      if (a->head_width == 64)
        attend_window(a, &desk, window, head, part, parts, 64);
      else if (a->head_width == 128)
        attend_window(a, &desk, window, head, part, parts, 128);
      else
        attend_window(a, &desk, window, head, part, parts, a->head_width);
    }
  }
}
#else
int64_t attention_bytes(const void *a, int64_t threads) {
  (void)a, (void)threads;
  return 0;
}
void attention(const void *a, char *memory, int64_t threads) {
  (void)a, (void)memory, (void)threads;
}
#endif
