/* One decoding step of the decoder on a CPU: n rows, a token each, from token ids to logits.
 *
 * A step reads every chosen weight once and does little else, so what counts is that memory is read
 * without a pause: one parallel region for the whole step, weights converted where they are used,
 * several rows of the batch for each weight that was read. Sums are in float32, and so is what
 * lies between the products.
 *
 * Letters: n rows of the batch, D width, H hidden units of an expert, E experts, k experts a token,
 * d width of a head. Matrices are row-major (out, in), `in` a multiple of 16.
 */

#include "products.h"

typedef struct {
  Matrix input_norm, post_norm; /* (1, D) */
  Matrix q, k, v, o;
  Matrix gate, up, down;      /* dense layer, or the shared experts; no rows: none */
  Matrix router;              /* (E, D); no rows: a dense layer */
  Matrix gate_up, expert_down; /* stacks of E: (2H, D) and (D, H) each */
  void *keys, *values;        /* (slots, kv heads, positions, d) */
} Layer;

typedef struct {
  const Layer *layers;
  Matrix embedding, norm, head;
  const float *cos, *sin; /* (positions, d / 2) */
  int64_t num_layers, heads, kv_heads, head_width, positions, cache_kind;
  int64_t num_chosen, sigmoid, normalize;
  float factor, eps, scale;
} Model;

/* --- the parts of a layer -------------------------------------------------------------------- */

static float element(const Matrix *m, int64_t at) {
  if (m->kind == FLOAT32) return ((const float *)m->weights)[at];
  const uint32_t bits = (uint32_t)((const uint16_t *)m->weights)[at] << 16;
  float found;
  memcpy(&found, &bits, sizeof found);
  return found;
}

static void rms_norm(const float *x, const Matrix *weight, float eps, float *out) {
  const int64_t width = weight->columns;
  Vector squares = {};
  for (int64_t at = 0; at < width; at += LANES) squares += load(x + at) * load(x + at);
  const float scale = 1.0f / sqrtf(sum(squares) / (float)width + eps);
  for (int64_t at = 0; at < width; at += LANES) {
    const Vector w = weight->kind == FLOAT32 ? load_as(weight->weights, FLOAT32, at)
                                             : load_as(weight->weights, BFLOAT16, at);
    store(out + at, load(x + at) * scale * w);
  }
}

/* Rotated in the pairs (i, i + d / 2). */
static void rotate(float *x, const float *cos, const float *sin, int64_t width) {
  for (int64_t i = 0; i < width / 2; i++) {
    const float first = x[i], second = x[i + width / 2];
    x[i] = first * cos[i] - second * sin[i];
    x[i + width / 2] = second * cos[i] + first * sin[i];
  }
}

static void keep(void *cache, int64_t kind, int64_t at, const float *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (kind == FLOAT32)
      ((float *)cache)[at + i] = values[i];
    else
      ((uint16_t *)cache)[at + i] = to_bfloat16(values[i]);
  }
}

/* One query over `length` keys and values (length, d) -> out (d); `scores` has room for them. */
INLINE void attend(const float *query, const char *keys, const char *values, int64_t kind,
                   int64_t length, int64_t width, float scale, float *scores, float *out) {
  const int64_t stride = row_bytes(kind, width);
  float best = -INFINITY;
  for (int64_t at = 0; at < length; at++) {
    Vector products = {};
    for (int64_t i = 0; i < width; i += LANES)
      products += load(query + i) * load_as(keys + at * stride, kind, i);
    scores[at] = sum(products) * scale;
    if (scores[at] > best) best = scores[at];
  }
  const int64_t padded = (length + LANES - 1) / LANES * LANES;
  for (int64_t at = length; at < padded; at++) scores[at] = -INFINITY;
  Vector total = {};
  for (int64_t at = 0; at < padded; at += LANES) {
    const Vector weight = exponential(load(scores + at) - best);
    store(scores + at, weight);
    total += weight;
  }
  const float share = 1.0f / sum(total);
  for (int64_t first = 0; first < width; first += 4 * LANES) { /* sums stay in registers */
    const int64_t blocks = (width - first) / LANES < 4 ? (width - first) / LANES : 4;
    Vector sums[4] = {{}, {}, {}, {}};
    for (int64_t at = 0; at < length; at++) {
      const float weight = scores[at];
      if (blocks == 4)
        for (int b = 0; b < 4; b++)
          sums[b] += load_as(values + at * stride, kind, first + b * LANES) * weight;
      else
        for (int b = 0; b < blocks; b++)
          sums[b] += load_as(values + at * stride, kind, first + b * LANES) * weight;
    }
    for (int b = 0; b < blocks; b++) store(out + first + b * LANES, sums[b] * share);
  }
}

/* The k best experts of one token by its (E) logits, which become scores. */
static void choose(const Model *model, float *scores, int64_t experts, int64_t *chosen,
                   float *weights) {
  float best = -INFINITY, total = 0;
  for (int64_t e = 0; e < experts; e++) best = scores[e] > best ? scores[e] : best;
  for (int64_t e = 0; e < experts; e++) {
    scores[e] = model->sigmoid ? 1.0f / (1.0f + expf(-scores[e])) : expf(scores[e] - best);
    total += scores[e];
  }
  if (!model->sigmoid)
    for (int64_t e = 0; e < experts; e++) scores[e] /= total;
  float sum_chosen = 0;
  for (int64_t i = 0; i < model->num_chosen; i++) {
    int64_t found = -1;
    for (int64_t e = 0; e < experts; e++) {
      int taken = 0;
      for (int64_t j = 0; j < i; j++) taken |= chosen[j] == e;
      if (!taken && (found < 0 || scores[e] > scores[found])) found = e;
    }
    chosen[i] = found;
    weights[i] = scores[found];
    sum_chosen += scores[found];
  }
  for (int64_t i = 0; i < model->num_chosen; i++) {
    if (model->normalize) weights[i] /= sum_chosen + 1e-20f;
    weights[i] *= model->factor;
  }
}

static void silu_times(float *gate, const float *up, int64_t count) {
  for (int64_t i = 0; i < count; i++) gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static Matrix of_expert(const Matrix *stack, int64_t expert) {
  Matrix one = *stack;
  const int64_t first = expert * stack->rows;
  one.weights = (const char *)stack->weights + first * row_bytes(stack->kind, stack->columns);
  if (stack->kind == INT8) one.scales = stack->scales + first;
  if (stack->kind == INT4) one.scales = stack->scales + first * (stack->columns / GROUP);
  return one;
}

/* --- a step ---------------------------------------------------------------------------------- */

/* What a step writes between its products. An "answer" is one token's pass through one expert. */
typedef struct {
  float *x, *normed, *attended; /* (n, D), (n, D), (n, heads * d) */
  float *q, *k, *v;             /* (n, heads * d), (n, kv heads * d) twice */
  float *router;                /* (n, E) */
  float *gate, *up;             /* (answers, hidden units) */
  float *shared_gate, *shared_up;
  float *chosen_weights;        /* (n, k) */
  float *scores;                /* (threads, positions padded to a vector) */
  float *part;                  /* (answers, D) what an expert gives */
  int64_t *chosen;              /* (n, k) */
  int64_t *order, *ends;        /* (n * k) answers sorted by expert; (E) where each one's end */
  const float **inputs;         /* pointers for products, (n * k) each */
  float **gates, **ups, **parts;
  uint16_t *rounded;            /* (threads, n, widest matrix) inputs in bfloat16 */
  int64_t rounded_each;         /* numbers of it that a thread has */
} Room;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Lays out the room in `memory`, or, where that is NULL, says how many bytes it takes. */
static int64_t lay_out(Room *room, const Model *model, int64_t n, int64_t threads, char *memory) {
  int64_t experts = 1, hidden = 0, shared = 0, width = model->norm.columns, widest = width;
  for (int64_t i = 0; i < model->num_layers; i++) {
    const Layer *layer = model->layers + i;
    experts = most(experts, layer->router.rows);
    hidden = most(hidden, layer->router.rows ? layer->expert_down.columns : 0);
    shared = most(shared, layer->gate.rows);
    widest = most(widest, most(layer->gate.rows, layer->o.columns));
  }
  const int64_t answers = n * model->num_chosen;
  const int64_t queries = model->heads * model->head_width;
  const int64_t own = model->kv_heads * model->head_width;
  const int64_t scores = (model->positions + LANES) * threads;
  const int64_t rounded = n * most(widest, hidden);
  int64_t used = 0;
  if (memory) room->rounded_each = rounded;
#define TAKE(name, count)                                         \
  if (memory) room->name = (void *)(memory + used);               \
  used += ((int64_t)sizeof *room->name * (count) + 63) / 64 * 64;
  TAKE(x, n * width) TAKE(normed, n * width) TAKE(attended, n * queries)
  TAKE(q, n * queries) TAKE(k, n * own) TAKE(v, n * own) TAKE(router, n * experts)
  TAKE(gate, answers * hidden) TAKE(up, answers * hidden) TAKE(part, answers * width)
  TAKE(shared_gate, n * shared) TAKE(shared_up, n * shared) TAKE(chosen_weights, answers)
  TAKE(scores, scores) TAKE(chosen, answers) TAKE(order, answers) TAKE(ends, experts)
  TAKE(inputs, most(answers, n)) TAKE(gates, most(answers, n)) TAKE(ups, most(answers, n))
  TAKE(parts, most(answers, n)) TAKE(rounded, threads * rounded)
#undef TAKE
  return used;
}

int64_t room_bytes(const Model *model, int64_t n, int64_t threads) {
  return lay_out((Room *)0, model, n, threads, (char *)0);
}

#if defined(_OPENMP)
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

#define STRING(text) #text
#define OMP(text) _Pragma(STRING(omp text))

INLINE int64_t blocks_of(const Matrix *m) { return (m->rows + MOST_ROWS - 1) / MOST_ROWS; }

static uint16_t *own_rounded(const Room *room) {
  return room->rounded + THREAD * room->rounded_each;
}

/* `outputs` (n rows of m->rows) of all `inputs` (n rows of m->columns), inside a parallel region */
static void linear(const Matrix *m, const float *inputs, float *outputs, int64_t n, int add,
                   const Room *room) {
  const float *from[n];
  float *to[n];
  for (int64_t i = 0; i < n; i++) from[i] = inputs + i * m->columns, to[i] = outputs + i * m->rows;
  Matrix used = *m;
  round_inputs(&used, from, n, own_rounded(room));
  const int64_t blocks = blocks_of(m);
  OMP(for schedule(dynamic, 32))
  for (int64_t block = 0; block < blocks; block++)
    multiply(&used, block * MOST_ROWS, from, n, to, add);
}

/* As `linear` without rounding: the router decides in float32. */
static void exact_linear(const Matrix *m, const float *inputs, float *outputs, int64_t n) {
  OMP(for collapse(2))
  for (int64_t i = 0; i < n; i++)
    for (int64_t block = 0; block < (m->rows + MOST_ROWS - 1) / MOST_ROWS; block++) {
      const float *from = inputs + i * m->columns;
      float *to = outputs + i * m->rows;
      multiply(m, block * MOST_ROWS, &from, 1, &to, 0);
    }
}

static void attention(const Model *model, const Layer *layer, const Room *room, int64_t n,
                      const int64_t *slots, const int64_t *places) {
  const int64_t width = model->head_width, each = model->heads / model->kv_heads;
  Matrix matrices[3] = {layer->q, layer->k, layer->v};
  float *outputs[3] = {room->q, room->k, room->v};
  int64_t ends[3], blocks = 0;
  for (int i = 0; i < 3; i++) ends[i] = blocks += blocks_of(&matrices[i]);
  const float *from[n];
  float *to[n];
  for (int64_t i = 0; i < n; i++) from[i] = room->normed + i * layer->q.columns;
  round_alike(matrices, 3, from, n, own_rounded(room));
  OMP(for schedule(dynamic, 16))
  for (int64_t block = 0; block < blocks; block++) {
    const int which = (block >= ends[0]) + (block >= ends[1]);
    const Matrix *m = &matrices[which];
    for (int64_t i = 0; i < n; i++) to[i] = outputs[which] + i * m->rows;
    multiply(m, (block - (which ? ends[which - 1] : 0)) * MOST_ROWS, from, n, to, 0);
  }
  const int64_t kind = model->cache_kind, heads = model->kv_heads;
  OMP(for schedule(dynamic, 1))
  for (int64_t item = 0; item < n * heads; item++) {
    const int64_t row = item / heads, head = item % heads, place = places[row];
    const float *cos = model->cos + place * (width / 2), *sin = model->sin + place * (width / 2);
    const int64_t start = (slots[row] * heads + head) * model->positions;
    float *key = room->k + item * width;
    rotate(key, cos, sin, width);
    keep(layer->keys, kind, (start + place) * width, key, width);
    keep(layer->values, kind, (start + place) * width, room->v + item * width, width);
    const int64_t at = start * row_bytes(kind, width);
    const char *keys = (const char *)layer->keys + at, *values = (const char *)layer->values + at;
    float *scores = room->scores + THREAD * (model->positions + LANES);
    for (int64_t i = head * each; i < (head + 1) * each; i++) {
      float *query = room->q + (row * model->heads + i) * width;
      float *out = room->attended + (row * model->heads + i) * width;
      rotate(query, cos, sin, width);
      if (kind == FLOAT32)
        attend(query, keys, values, FLOAT32, place + 1, width, model->scale, scores, out);
      else
        attend(query, keys, values, BFLOAT16, place + 1, width, model->scale, scores, out);
    }
  }
  linear(&layer->o, room->attended, room->x, n, 1, room);
}

/* The layer's dense MLP, or its shared experts: x += down(silu(gate) * up). */
static void dense(const Layer *layer, const Room *room, int64_t n) {
  const int64_t hidden = layer->gate.rows;
  const float *from[n];
  float *gates[n], *ups[n];
  for (int64_t i = 0; i < n; i++) {
    from[i] = room->normed + i * layer->gate.columns;
    gates[i] = room->shared_gate + i * hidden, ups[i] = room->shared_up + i * hidden;
  }
  Matrix both[2] = {layer->gate, layer->up};
  round_alike(both, 2, from, n, own_rounded(room));
  const int64_t blocks = blocks_of(&layer->gate);
  OMP(for schedule(dynamic, 16))
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t row = block * MOST_ROWS;
    const int64_t count = hidden - row < MOST_ROWS ? hidden - row : MOST_ROWS;
    multiply(&both[0], row, from, n, gates, 0);
    multiply(&both[1], row, from, n, ups, 0);
    for (int64_t i = 0; i < n; i++) silu_times(gates[i] + row, ups[i] + row, count);
  }
  linear(&layer->down, room->shared_gate, room->x, n, 1, room);
}

/* The answers of each expert together: `order` and `ends`, and the pointers of the products. */
static void sort_by_expert(const Model *model, const Layer *layer, const Room *room, int64_t n) {
  const int64_t answers = n * model->num_chosen, hidden = layer->expert_down.columns;
  const int64_t width = layer->router.columns;
  int64_t found = 0;
  for (int64_t expert = 0; expert < layer->router.rows; expert++) {
    for (int64_t i = 0; i < answers; i++)
      if (room->chosen[i] == expert) room->order[found++] = i;
    room->ends[expert] = found;
  }
  for (int64_t i = 0; i < answers; i++) {
    room->inputs[i] = room->normed + room->order[i] / model->num_chosen * width;
    room->gates[i] = room->gate + i * hidden, room->ups[i] = room->up + i * hidden;
    room->parts[i] = room->part + i * width;
  }
}

/* The chosen experts: x += sum of weight * down(silu(gate) * up). */
static void routed(const Model *model, const Layer *layer, const Room *room, int64_t n) {
  const int64_t experts = layer->router.rows, hidden = layer->expert_down.columns;
  const int64_t width = layer->router.columns, k = model->num_chosen;
  exact_linear(&layer->router, room->normed, room->router, n);
  OMP(single)
  {
    for (int64_t i = 0; i < n; i++)
      choose(model, room->router + i * experts, experts, room->chosen + i * k,
             room->chosen_weights + i * k);
    sort_by_expert(model, layer, room, n);
  }
  const int64_t strips = (hidden + 63) / 64; /* of 64 hidden units, gate and up */
  OMP(for schedule(dynamic, 2))
  for (int64_t item = 0; item < experts * strips; item++) {
    const int64_t expert = item / strips, end = room->ends[expert];
    const int64_t start = expert ? room->ends[expert - 1] : 0, first = item % strips * 64;
    if (start == end) continue;
    Matrix both = of_expert(&layer->gate_up, expert);
    const float *from[end - start];
    for (int64_t i = start; i < end; i++) from[i - start] = room->inputs[i];
    round_inputs(&both, from, end - start, own_rounded(room));
    const int64_t stop = first + 64 < hidden ? first + 64 : hidden;
    float *ups[end - start]; /* row `hidden + r` of both matrices is row r of `up` */
    for (int64_t i = start; i < end; i++) ups[i - start] = room->ups[i] - hidden;
    for (int64_t row = first; row < stop; row += MOST_ROWS) {
      multiply(&both, row, from, end - start, room->gates + start, 0);
      multiply(&both, hidden + row, from, end - start, ups, 0);
    }
    for (int64_t i = start; i < end; i++)
      silu_times(room->gates[i] + first, room->ups[i] + first, stop - first);
  }
  const int64_t parts = (width + 63) / 64; /* of 64 outputs, through all the experts */
  OMP(for schedule(dynamic, 1))
  for (int64_t part = 0; part < parts; part++) {
    const int64_t first = part * 64, stop = first + 64 < width ? first + 64 : width;
    for (int64_t expert = 0; expert < experts; expert++) {
      const int64_t end = room->ends[expert], start = expert ? room->ends[expert - 1] : 0;
      if (start == end) continue;
      Matrix down = of_expert(&layer->expert_down, expert);
      const float *from[end - start];
      for (int64_t i = start; i < end; i++) from[i - start] = room->gates[i];
      round_inputs(&down, from, end - start, own_rounded(room));
      for (int64_t row = first; row < stop; row += MOST_ROWS)
        multiply(&down, row, from, end - start, room->parts + start, 0);
      for (int64_t i = start; i < end; i++) {
        const float weight = room->chosen_weights[room->order[i]];
        float *x = room->x + room->order[i] / k * width;
        for (int64_t at = first; at < stop; at++) x[at] += weight * room->parts[i][at];
      }
    }
  }
}

/* n rows take a step: `slots` and `places` of the new tokens, `logits` (n, vocabulary) to be set.
 * `memory` of `room_bytes`. */
void step(const Model *model, int64_t n, const int64_t *slots, const int64_t *places,
          const int64_t *tokens, float *logits, void *memory, int64_t threads) {
  Room room;
  lay_out(&room, model, n, threads, memory);
  const int64_t width = model->norm.columns;
  OMP(parallel num_threads(threads))
  {
    OMP(for)
    for (int64_t i = 0; i < n; i++)
      for (int64_t at = 0; at < width; at++)
        room.x[i * width + at] = element(&model->embedding, tokens[i] * width + at);
    for (int64_t index = 0; index < model->num_layers; index++) {
      const Layer *layer = model->layers + index;
      OMP(for)
      for (int64_t i = 0; i < n; i++)
        rms_norm(room.x + i * width, &layer->input_norm, model->eps, room.normed + i * width);
      attention(model, layer, &room, n, slots, places);
      OMP(for)
      for (int64_t i = 0; i < n; i++)
        rms_norm(room.x + i * width, &layer->post_norm, model->eps, room.normed + i * width);
      if (layer->router.rows) routed(model, layer, &room, n);
      if (layer->gate.rows) dense(layer, &room, n);
    }
    OMP(for)
    for (int64_t i = 0; i < n; i++)
      rms_norm(room.x + i * width, &model->norm, model->eps, room.normed + i * width);
    linear(&model->head, room.normed, logits, n, 0, &room);
  }
}
