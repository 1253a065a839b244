// kernels/cpu/attention_backward.cpp — the gradients of attention behind a mask, with Highway and TBB.
//
// A step is a tile of 64 queries of one head. It keeps the scores and the weights' gradients of all keys that the tile
// sees, so that nothing is computed twice: five products a tile, against two of the forward pass. The gradients of keys
// and values belong to all queries; steps are added to them in order, by head and then query, whoever computed them.
// Where there are fewer heads of keys than threads, several steps are computed at once and then added tile of keys by
// tile of keys. Memory beyond the operands: for each thread two rows of tiles, for each head of keys its gradients.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <vector>

#include "device/parallel.hpp"
#include "kernels/cpu/attention_tile.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/dispatch.hpp"

#ifndef SPARSERT_KERNELS_CPU_ATTENTION_BACKWARD_CPP
#define SPARSERT_KERNELS_CPU_ATTENTION_BACKWARD_CPP
namespace sparsert::backend::cpu {

/// A tile of keys that a step sees, and where the step keeps what it knows of it.
struct KeyTile {
  int64_t tile;
  int64_t place;  // of its pairs, or -1
  int64_t slot;
};

/// Where a step works. All of the accumulator's type A.
template <class A>
struct StepMemory {
  A* weights;  // slot by slot (64 keys x 64 queries): scores, then weights
  A* changes;  // likewise: the weights' gradients, then the scores'
  A* query;    // (64 queries x padded depth), as it is and transposed
  A* query_strips;
  A* grad;  // (64 queries x padded value depth), likewise
  A* grad_strips;
  A* gradient;  // of the query, transposed (depth x 64)
  A* key_copy;
  A* value_copy;
};

/// The gradients of one head of keys, rows padded to whole pairs of vectors.
template <class A>
struct KeyTotals {
  A* key;
  A* value;
};

/// Elements of a row, padded for any vector length.
constexpr int64_t padded_depth(int64_t depth) { return (depth + 31) / 32 * 32; }

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

template <class T>
class Step {
  using A = Compute<T>;
  static constexpr int64_t kWidth = strip_width<A>();
  static constexpr int64_t kStrips = kAttentionTile / kWidth;
  static constexpr int64_t kSlot = kAttentionTile * kAttentionTile;

 public:
  Step(const AttendBackwardArgs& args, int64_t bh, int64_t tile, const StepMemory<A>& memory)
      : args_(args),
        in_(args.in),
        memory_(memory),
        bh_(bh),
        i0_(tile * kAttentionTile),
        rows_(HWY_MIN(kAttentionTile, in_.queries - i0_)),
        strips_((rows_ + kWidth - 1) / kWidth) {
    const int64_t kv = bh / in_.heads * in_.key_heads + bh % in_.heads / (in_.heads / in_.key_heads);
    key_ = static_cast<const T*>(in_.key) + kv * in_.keys * in_.depth;
    value_ = static_cast<const T*>(in_.value) + kv * in_.keys * in_.value_depth;
  }

  /// The gradient of the step's queries; leaves weights and changes of every tile for `add_to`.
  void run(const KeyTile* tiles, int64_t count) {
    load(static_cast<const T*>(in_.query), in_.depth, memory_.query, memory_.query_strips);
    load(static_cast<const T*>(args_.grad), in_.value_depth, memory_.grad, memory_.grad_strips);
    A average[kAttentionTile] = {};  // of a query's gradients of weights, as the softmax goes
    for (int64_t s = 0; s < strips_; ++s) begin_strip(state_[s]);
    for (int64_t at = 0; at < count; ++at) score(tiles[at], average);
    A origin[kAttentionTile];
    for (int64_t q = 0; q < strips_ * kWidth; ++q) {
      const StripState<A>& state = state_[q / kWidth];
      const A sum = state.sum[q % kWidth];
      origin[q] = weight_origin(state.largest[q % kWidth], sum);
      average[q] = quotient_of(average[q], sum);
    }
    std::fill_n(memory_.gradient, kAttentionTile * in_.depth, A{0});
    for (int64_t at = 0; at < count; ++at) change(tiles[at], origin, average);
    T* const out = static_cast<T*>(args_.query_grad) + (bh_ * in_.queries + i0_) * in_.depth;
    const A scale = static_cast<A>(in_.scale);
    for (int64_t q = 0; q < rows_; ++q) {
      for (int64_t c = 0; c < in_.depth; ++c) {
        out[q * in_.depth + c] = narrow<T>(scale * memory_.gradient[c * kAttentionTile + q] + A{0});
      }
    }
  }

  /// Adds the step's part of a tile's gradients of keys and values.
  void add_to(const KeyTile& tile, const KeyTotals<A>& totals) const {
    const int64_t j0 = tile.tile * kAttentionTile;
    const int64_t keys = keys_of(tile);
    const int64_t depth = padded_depth(in_.depth);
    const int64_t value_depth = padded_depth(in_.value_depth);
    const A* const weights = memory_.weights + tile.slot * kSlot;
    const A* const changes = memory_.changes + tile.slot * kSlot;
    add_queries(tile, changes, keys, memory_.query, in_.depth, totals.key + j0 * depth);
    add_queries(tile, weights, keys, memory_.grad, in_.value_depth, totals.value + j0 * value_depth);
  }

 private:
  int64_t keys_of(const KeyTile& tile) const { return HWY_MIN(kAttentionTile, in_.keys - tile.tile * kAttentionTile); }
  int64_t queries_of(int64_t strip) const { return HWY_MIN(kWidth, rows_ - strip * kWidth); }

  /// The step's rows of x, padded with zeros, and by strips.
  void load(const T* x, int64_t depth, A* rows, A* strips) const {
    const T* const from = x + (bh_ * in_.queries + i0_) * depth;
    const int64_t padded = padded_depth(depth);
    for (int64_t q = 0; q < rows_; ++q) {
      for (int64_t c = 0; c < depth; ++c) rows[q * padded + c] = widen(from[q * depth + c]);
      std::fill_n(rows + q * padded + depth, padded - depth, A{0});
    }
    for (int64_t s = 0; s < strips_; ++s) {
      load_strip(from + s * kWidth * depth, queries_of(s), depth, strips + s * kWidth * depth, kWidth);
    }
  }

  /// Scores and gradients of weights of a tile, and the softmax so far.
  void score(const KeyTile& tile, A* average) {
    const Lane<A> d;
    constexpr int64_t kLanes = lanes_of<A>();
    const int64_t keys = keys_of(tile);
    const int64_t j0 = tile.tile * kAttentionTile;
    const A* const key = widened_rows(key_ + j0 * in_.depth, keys, in_.depth, memory_.key_copy);
    const A* const value = widened_rows(value_ + j0 * in_.value_depth, keys, in_.value_depth, memory_.value_copy);
    const T* bias = nullptr;
    if (in_.bias != nullptr) {
      bias = static_cast<const T*>(in_.bias) + bh_ / in_.heads * in_.bias_batch_stride +
             bh_ % in_.heads * in_.bias_head_stride + i0_ * in_.keys + j0;
    }
    HWY_ALIGN A exponentials[kAttentionTile * kWidth];
    HWY_ALIGN A lanes[kAttentionLanes * kWidth];
    for (int64_t s = 0; s < strips_; ++s) {
      const Seen seen = seen_of<A>(in_.mask, tile.place, s * kWidth, queries_of(s), keys);
      if (seen.begin >= seen.end) continue;
      const int64_t count = seen.end - seen.begin;
      A* const scores = memory_.weights + tile.slot * kSlot + s * kWidth;
      A* const changes = memory_.changes + tile.slot * kSlot + s * kWidth;
      product<Into::replace, true>({key + seen.begin * in_.depth, in_.depth, 1}, count,
                                   memory_.query_strips + s * kWidth * in_.depth, kWidth, in_.depth,
                                   scores + seen.begin * kAttentionTile, kAttentionTile);
      product<Into::replace, true>({value + seen.begin * in_.value_depth, in_.value_depth, 1}, count,
                                   memory_.grad_strips + s * kWidth * in_.value_depth, kWidth, in_.value_depth,
                                   changes + seen.begin * kAttentionTile, kAttentionTile);
      finish_scores<T>(seen, queries_of(s), static_cast<A>(in_.scale),
                       bias == nullptr ? nullptr : bias + s * kWidth * in_.keys, in_.keys, scores, kAttentionTile,
                       state_[s]);
      add_to_softmax(seen, scores, kAttentionTile, exponentials, kWidth, state_[s]);
      // The average of the gradients, with the exponentials as weights, by the lanes and the tree of the softmax's sum.
      for (int64_t l = 0; l < kAttentionLanes; ++l) {
        int64_t j = l;
        while (j < seen.begin) j += kAttentionLanes;
        for (int64_t v = 0; v < kStripVectors; ++v) {
          auto sum = hn::Zero(d);
          for (int64_t k = j; k < seen.end; k += kAttentionLanes) {
            auto gradient = hn::LoadU(d, changes + k * kAttentionTile + v * kLanes);
            if (seen.words != nullptr) {
              gradient = hn::IfThenElseZero(lane_mask<A>(seen.of(k) >> (v * kLanes)), gradient);
            }
            sum = fused_multiply_add(hn::Load(d, exponentials + k * kWidth + v * kLanes), gradient, sum);
          }
          hn::Store(sum, d, lanes + l * kWidth + v * kLanes);
        }
      }
      add_lanes(lanes);
      for (int64_t v = 0; v < kStripVectors; ++v) {
        A* const to = average + s * kWidth + v * kLanes;
        const auto by = hn::Load(d, state_[s].rescale + v * kLanes);
        hn::StoreU(fused_multiply_add(hn::LoadU(d, to), by, hn::Load(d, lanes + v * kLanes)), d, to);
      }
    }
  }

  /// Weights and gradients of scores of a tile, and what they give the queries.
  void change(const KeyTile& tile, const A* origin, const A* average) {
    const Lane<A> d;
    constexpr int64_t kLanes = lanes_of<A>();
    const int64_t keys = keys_of(tile);
    const A* const key = widened_rows(key_ + tile.tile * kAttentionTile * in_.depth, keys, in_.depth, memory_.key_copy);
    const bool finite = tile.place < 0 || all_finite(key, keys * in_.depth);
    for (int64_t s = 0; s < strips_; ++s) {
      const Seen seen = seen_of<A>(in_.mask, tile.place, s * kWidth, queries_of(s), keys);
      A* const weights = memory_.weights + tile.slot * kSlot + s * kWidth;
      A* const changes = memory_.changes + tile.slot * kSlot + s * kWidth;
      for (int64_t j = 0; j < seen.begin; ++j) clear(weights, changes, j);
      for (int64_t j = seen.end; j < keys; ++j) clear(weights, changes, j);
      if (seen.begin >= seen.end) continue;
      for (int64_t j = seen.begin; j < seen.end; ++j) {
        for (int64_t v = 0; v < kStripVectors; ++v) {
          const int64_t at = j * kAttentionTile + v * kLanes;
          const int64_t q = s * kWidth + v * kLanes;
          auto w = exp_of_mostly_plain(d, hn::Sub(hn::LoadU(d, weights + at), hn::LoadU(d, origin + q)));
          auto g = hn::Mul(w, hn::Sub(hn::LoadU(d, changes + at), hn::LoadU(d, average + q)));
          if (seen.words != nullptr) {
            const auto mask = lane_mask<A>(seen.of(j) >> (v * kLanes));
            w = hn::IfThenElseZero(mask, w);
            g = hn::IfThenElseZero(mask, g);
          }
          hn::StoreU(w, d, weights + at);
          hn::StoreU(g, d, changes + at);
        }
      }
      A* const out = memory_.gradient + s * kWidth;
      if (finite || seen.words == nullptr) {
        product<Into::add_piece, false>({key + seen.begin * in_.depth, 1, in_.depth}, in_.depth,
                                        changes + seen.begin * kAttentionTile, kAttentionTile, seen.end - seen.begin,
                                        out, kAttentionTile);
      } else {
        product_of_seen<Into::add_piece>(seen, Factors<A>{key, 1, in_.depth}, in_.depth, changes, kAttentionTile, out,
                                         kAttentionTile);
      }
    }
  }

  static void clear(A* weights, A* changes, int64_t j) {
    std::fill_n(weights + j * kAttentionTile, kWidth, A{0});
    std::fill_n(changes + j * kAttentionTile, kWidth, A{0});
  }

  /// totals[j] += the sum over the step's queries of factors[j][q] · rows[q]; rows and totals are padded.
  void add_queries(const KeyTile& tile, const A* factors, int64_t keys, const A* rows, int64_t depth, A* totals) const {
    const int64_t padded = padded_depth(depth);
    constexpr int64_t kBand = 2 * kProductRows;  // keys whose queries are looked for together
    if (tile.place >= 0 && !all_finite(rows, rows_ * padded)) {
      return add_seen_queries(tile, factors, keys, rows, depth, totals);
    }
    for (int64_t j = 0; j < keys; j += kBand) {
      const int64_t band = HWY_MIN(kBand, keys - j);
      int64_t begin = 0;
      int64_t end = rows_;
      if (tile.place >= 0) {
        uint64_t some = 0;
        for (int64_t b = 0; b < band; ++b) some |= seen_by(in_.mask, tile.place, j + b);
        if (rows_ < kAttentionTile) some &= (uint64_t{1} << rows_) - 1;
        if (some == 0) continue;
        begin = std::countr_zero(some);
        end = kAttentionTile - std::countl_zero(some);
      }
      for (int64_t c = 0; c < depth; c += kWidth) {
        product<Into::add_piece, true>({factors + j * kAttentionTile + begin, kAttentionTile, 1}, band,
                                       rows + begin * padded + c, padded, end - begin, totals + j * padded + c, padded);
      }
    }
  }

  /// The same where rows are not finite: what no query of a key sees is left out.
  void add_seen_queries(const KeyTile& tile, const A* factors, int64_t keys, const A* rows, int64_t depth,
                        A* totals) const {
    const int64_t padded = padded_depth(depth);
    for (int64_t j = 0; j < keys; ++j) {
      for (int64_t c = 0; c < depth; ++c) {
        A piece = 0;
        for (uint64_t seen = seen_by(in_.mask, tile.place, j); seen != 0; seen &= seen - 1) {
          const int64_t q = std::countr_zero(seen);
          piece = std::fma(factors[j * kAttentionTile + q], rows[q * padded + c], piece);
        }
        totals[j * padded + c] = totals[j * padded + c] + piece;
      }
    }
  }

  const AttendBackwardArgs& args_;
  const AttentionInputs& in_;
  const StepMemory<A>& memory_;
  int64_t bh_;
  int64_t i0_;
  int64_t rows_;
  int64_t strips_;
  const T* key_;
  const T* value_;
  StripState<A> state_[kStrips];
};

template <class T>
void run_step(const AttendBackwardArgs& args, int64_t bh, int64_t tile, const KeyTile* tiles, int64_t count,
              const StepMemory<Compute<T>>& memory) {
  Step<T>(args, bh, tile, memory).run(tiles, count);
}

template <class T>
void add_step(const AttendBackwardArgs& args, int64_t bh, int64_t tile, const KeyTile& key_tile,
              const StepMemory<Compute<T>>& memory, const KeyTotals<Compute<T>>& totals) {
  Step<T>(args, bh, tile, memory).add_to(key_tile, totals);
}

// Highway's tables hold plain functions: one for each storage type.
#define SPARSERT_ATTENTION_OF(suffix, T)                                                                    \
  void run_step_##suffix(const AttendBackwardArgs& args, int64_t bh, int64_t tile, const KeyTile* tiles,    \
                         int64_t count, const StepMemory<Compute<T>>& memory) {                             \
    run_step<T>(args, bh, tile, tiles, count, memory);                                                      \
  }                                                                                                         \
  void add_step_##suffix(const AttendBackwardArgs& args, int64_t bh, int64_t tile, const KeyTile& key_tile, \
                         const StepMemory<Compute<T>>& memory, const KeyTotals<Compute<T>>& totals) {       \
    add_step<T>(args, bh, tile, key_tile, memory, totals);                                                  \
  }
SPARSERT_ATTENTION_OF(f16, float16)
SPARSERT_ATTENTION_OF(bf16, bfloat16)
SPARSERT_ATTENTION_OF(f32, float)
SPARSERT_ATTENTION_OF(f64, double)
#undef SPARSERT_ATTENTION_OF

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(run_step_f16);
HWY_EXPORT(run_step_bf16);
HWY_EXPORT(run_step_f32);
HWY_EXPORT(run_step_f64);
HWY_EXPORT(add_step_f16);
HWY_EXPORT(add_step_bf16);
HWY_EXPORT(add_step_f32);
HWY_EXPORT(add_step_f64);

template <class T>
struct Functions {
  void (*run_step)(const AttendBackwardArgs&, int64_t, int64_t, const KeyTile*, int64_t, const StepMemory<Compute<T>>&);
  void (*add_step)(const AttendBackwardArgs&, int64_t, int64_t, const KeyTile&, const StepMemory<Compute<T>>&,
                   const KeyTotals<Compute<T>>&);
};

/// One head of keys: the steps of all its queries, some at a time.
template <class T>
class KeyHead {
  using A = Compute<T>;

 public:
  KeyHead(const AttendBackwardArgs& args, int64_t bk, int64_t steps_at_once, const Functions<T>& functions,
          const Stream& stream)
      : args_(args),
        in_(args.in),
        bk_(bk),
        at_once_(steps_at_once),
        functions_(functions),
        stream_(stream),
        totals_memory_(in_.keys * (padded_depth(in_.depth) + padded_depth(in_.value_depth)), stream),
        totals_{totals_memory_.data(), totals_memory_.data() + in_.keys * padded_depth(in_.depth)} {}

  void run() {
    std::fill_n(totals_.key, in_.keys * padded_depth(in_.depth), A{0});
    std::fill_n(totals_.value, in_.keys * padded_depth(in_.value_depth), A{0});
    const int64_t tiles = attention_tiles(in_.queries);
    const int64_t group = in_.heads / in_.key_heads;
    const int64_t first_head = bk_ / in_.key_heads * in_.heads + bk_ % in_.key_heads * group;
    for (int64_t at = 0; at < group * tiles; at += at_once_) {
      steps_.clear();
      for (int64_t s = at; s < std::min(group * tiles, at + at_once_); ++s) add(first_head + s / tiles, s % tiles);
      run_steps();
    }
    const A scale = static_cast<A>(in_.scale);
    store(args_.key_grad, totals_.key, in_.depth, [scale](A x) { return scale * x + A{0}; });
    store(args_.value_grad, totals_.value, in_.value_depth, [](A x) { return x + A{0}; });
  }

 private:
  struct OneStep {
    int64_t bh;
    int64_t tile;
    std::vector<KeyTile> tiles;
  };

  void add(int64_t bh, int64_t tile) {
    OneStep step{bh, tile, {}};
    for_each_key_tile(in_, bh % in_.heads, tile, [&](int64_t key_tile, int64_t place) {
      step.tiles.push_back({key_tile, place, static_cast<int64_t>(step.tiles.size())});
    });
    steps_.push_back(std::move(step));
  }

  void run_steps() {
    std::size_t slots = 0;
    for (const OneStep& step : steps_) slots = std::max(slots, step.tiles.size());
    reserve(static_cast<int64_t>(slots), static_cast<int64_t>(steps_.size()));
    for_each_part(static_cast<int64_t>(steps_.size()), [&](int64_t s) {
      const OneStep& step = steps_[static_cast<std::size_t>(s)];
      const StepMemory<A> memory = memory_of(s);
      functions_.run_step(args_, step.bh, step.tile, step.tiles.data(), static_cast<int64_t>(step.tiles.size()),
                          memory);
    });
    // Tile of keys by tile of keys: a tile takes its steps in their order.
    struct Part {
      int64_t step;
      KeyTile tile;
    };
    std::vector<Part> parts;
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      for (const KeyTile& tile : steps_[s].tiles) parts.push_back({static_cast<int64_t>(s), tile});
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part& a, const Part& b) { return a.tile.tile < b.tile.tile; });
    std::vector<std::size_t> starts;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (p == 0 || parts[p].tile.tile != parts[p - 1].tile.tile) starts.push_back(p);
    }
    starts.push_back(parts.size());
    for_each_part(static_cast<int64_t>(starts.size()) - 1, [&](int64_t t) {
      for (std::size_t p = starts[static_cast<std::size_t>(t)]; p < starts[static_cast<std::size_t>(t) + 1]; ++p) {
        const OneStep& step = steps_[static_cast<std::size_t>(parts[p].step)];
        const StepMemory<A> memory = memory_of(parts[p].step);
        functions_.add_step(args_, step.bh, step.tile, parts[p].tile, memory, totals_);
      }
    });
  }

  /// Calls f(0) to f(n - 1), on several threads where the steps are not one by one.
  template <class F>
  void for_each_part(int64_t n, F&& f) const {
    if (at_once_ == 1) {
      for (int64_t i = 0; i < n; ++i) f(i);
    } else {
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) f(i);
      });
    }
  }

  /// Memory for so many steps of so many tiles of keys each.
  void reserve(int64_t slots, int64_t steps) {
    if (slots > slots_) {
      memories_.clear();
      slots_ = slots;
    }
    const int64_t depths = in_.depth + in_.value_depth;
    const int64_t padded = padded_depth(in_.depth) + padded_depth(in_.value_depth);
    const int64_t rows = padded + depths + in_.depth + depths;  // of 64 elements: as StepMemory has them
    while (static_cast<int64_t>(memories_.size()) < steps) {
      memories_.emplace_back(kAttentionTile * (2 * slots_ * kAttentionTile + rows), stream_);
    }
  }

  StepMemory<A> memory_of(int64_t step) {
    A* at = memories_[static_cast<std::size_t>(step)].data();
    const auto take = [&at](int64_t rows) {
      A* const taken = at;
      at += rows * kAttentionTile;
      return taken;
    };
    StepMemory<A> memory{};
    memory.weights = take(slots_ * kAttentionTile);
    memory.changes = take(slots_ * kAttentionTile);
    memory.query = take(padded_depth(in_.depth));
    memory.query_strips = take(in_.depth);
    memory.grad = take(padded_depth(in_.value_depth));
    memory.grad_strips = take(in_.value_depth);
    memory.gradient = take(in_.depth);
    memory.key_copy = take(in_.depth);
    memory.value_copy = take(in_.value_depth);
    return memory;
  }

  template <class F>
  void store(void* out, const A* totals, int64_t depth, F finish) const {
    T* const to = static_cast<T*>(out) + bk_ * in_.keys * depth;
    for (int64_t j = 0; j < in_.keys; ++j) {
      for (int64_t c = 0; c < depth; ++c) to[j * depth + c] = narrow<T>(finish(totals[j * padded_depth(depth) + c]));
    }
  }

  const AttendBackwardArgs& args_;
  const AttentionInputs& in_;
  int64_t bk_;
  int64_t at_once_;
  const Functions<T>& functions_;
  const Stream& stream_;
  Scratch<A> totals_memory_;
  KeyTotals<A> totals_;
  std::vector<OneStep> steps_;
  std::vector<Scratch<A>> memories_;
  int64_t slots_ = 0;
};

template <class T>
void run(const AttendBackwardArgs& args, const Stream& stream, const Functions<T>& functions) {
  const int64_t key_heads = args.in.batch * args.in.key_heads;
  const int64_t at_once = key_heads >= num_threads() ? 1 : (num_threads() + key_heads - 1) / key_heads;
  parallel_for(key_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t bk = begin; bk < end; ++bk) KeyHead<T>(args, bk, at_once, functions, stream).run();
  });
}

}  // namespace

void attend_backward(const AttendBackwardArgs& args, const Stream& stream) {
  switch (args.in.dtype) {
    case DType::float16:
      return run<float16>(args, stream, {HWY_DYNAMIC_DISPATCH(run_step_f16), HWY_DYNAMIC_DISPATCH(add_step_f16)});
    case DType::bfloat16:
      return run<bfloat16>(args, stream, {HWY_DYNAMIC_DISPATCH(run_step_bf16), HWY_DYNAMIC_DISPATCH(add_step_bf16)});
    case DType::float32:
      return run<float>(args, stream, {HWY_DYNAMIC_DISPATCH(run_step_f32), HWY_DYNAMIC_DISPATCH(add_step_f32)});
    case DType::float64:
      return run<double>(args, stream, {HWY_DYNAMIC_DISPATCH(run_step_f64), HWY_DYNAMIC_DISPATCH(add_step_f64)});
    default: throw_unsupported_dtype("attend_backward", args.in.dtype);
  }
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
