// kernels/cpu/attention.cpp — attention behind a mask with Highway and TBB, a strip of queries at a time.
//
// A task is a tile of 64 queries of one head. Its strips meet the tiles of keys that the mask lets it see, one after
// another: scores, softmax and result of a strip and a tile stay in the first-level cache, and nothing is kept of a
// tile but the strips' running state. Memory beyond the operands is that of the strips.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include <hwy/foreach_target.h>

#include "device/parallel.hpp"
#include "kernels/cpu/attention_tile.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/dispatch.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// Working memory of a task, elements of the accumulator.
template <class T>
constexpr int64_t scratch_size(int64_t depth, int64_t value_depth) {
  constexpr int64_t kWidth = strip_width<Compute<T>>();
  const int64_t strips = kAttentionTile * (depth + value_depth);
  const int64_t copies = std::is_same_v<T, Compute<T>> ? 0 : kAttentionTile * (depth + value_depth);
  return strips + copies + kAttentionTile * kWidth;
}

/// The strips of one tile of queries of one head.
template <class T>
class QueryTile {
  using A = Compute<T>;
  static constexpr int64_t kWidth = strip_width<A>();
  static constexpr int64_t kStrips = kAttentionTile / kWidth;

 public:
  QueryTile(const AttendArgs& args, int64_t bh, int64_t tile, A* scratch)
      : args_(args),
        in_(args.in),
        bh_(bh),
        tile_(tile),
        i0_(tile * kAttentionTile),
        rows_(HWY_MIN(kAttentionTile, in_.queries - i0_)),
        query_(scratch),
        out_(query_ + kAttentionTile * in_.depth),
        scores_(out_ + kAttentionTile * in_.value_depth),
        key_copy_(scores_ + kAttentionTile * kWidth),
        value_copy_(key_copy_ + kAttentionTile * in_.depth) {}

  void run() {
    const int64_t head = bh_ % in_.heads;
    const int64_t kv = bh_ / in_.heads * in_.key_heads + head / (in_.heads / in_.key_heads);
    const T* const query = static_cast<const T*>(in_.query) + (bh_ * in_.queries + i0_) * in_.depth;
    strips_ = (rows_ + kWidth - 1) / kWidth;
    for (int64_t s = 0; s < strips_; ++s) {
      load_strip(query + s * kWidth * in_.depth, queries_of(s), in_.depth, query_ + s * kWidth * in_.depth, kWidth);
      begin_strip(state_[s]);
    }
    std::fill_n(out_, strips_ * kWidth * in_.value_depth, A{0});
    for_each_key_tile(in_, head, tile_, [&](int64_t key_tile, int64_t place) {
      const int64_t j0 = key_tile * kAttentionTile;
      const int64_t keys = HWY_MIN(kAttentionTile, in_.keys - j0);
      const T* const key = static_cast<const T*>(in_.key) + (kv * in_.keys + j0) * in_.depth;
      const T* const value = static_cast<const T*>(in_.value) + (kv * in_.keys + j0) * in_.value_depth;
      add_key_tile(place, j0, keys, widened_rows(key, keys, in_.depth, key_copy_),
                   widened_rows(value, keys, in_.value_depth, value_copy_));
    });
    store();
  }

 private:
  int64_t queries_of(int64_t strip) const { return HWY_MIN(kWidth, rows_ - strip * kWidth); }

  void add_key_tile(int64_t place, int64_t j0, int64_t keys, const A* key, const A* value) {
    const bool finite = place < 0 || all_finite(value, keys * in_.value_depth);
    const T* bias = nullptr;
    if (in_.bias != nullptr) {
      bias = static_cast<const T*>(in_.bias) + bh_ / in_.heads * in_.bias_batch_stride +
             bh_ % in_.heads * in_.bias_head_stride + i0_ * in_.keys + j0;
    }
    for (int64_t s = 0; s < strips_; ++s) {
      const Seen seen = seen_of<A>(in_.mask, place, s * kWidth, queries_of(s), keys);
      if (seen.begin >= seen.end) continue;
      const int64_t count = seen.end - seen.begin;
      const A* const query = query_ + s * kWidth * in_.depth;
      product<Into::replace, true>({key + seen.begin * in_.depth, in_.depth, 1}, count, query, kWidth, in_.depth,
                                   scores_ + seen.begin * kWidth, kWidth);
      StripState<A>& state = state_[s];
      finish_scores<T>(seen, queries_of(s), static_cast<A>(in_.scale),
                       bias == nullptr ? nullptr : bias + s * kWidth * in_.keys, in_.keys, scores_, kWidth, state);
      add_to_softmax(seen, scores_, kWidth, scores_, kWidth, state);
      A* const out = out_ + s * kWidth * in_.value_depth;
      const A* const rescale = state.is_rescaled ? state.rescale : nullptr;
      if (finite || seen.words == nullptr) {
        product<Into::go_on, false>({value + seen.begin * in_.value_depth, 1, in_.value_depth}, in_.value_depth,
                                    scores_ + seen.begin * kWidth, kWidth, count, out, kWidth, rescale);
      } else {
        product_of_seen<Into::go_on>(seen, Factors<A>{value, 1, in_.value_depth}, in_.value_depth, scores_, kWidth, out,
                                     kWidth, rescale);
      }
    }
  }

  void store() {
    T* const out = static_cast<T*>(args_.out) + (bh_ * in_.queries + i0_) * in_.value_depth;
    for (int64_t s = 0; s < strips_; ++s) {
      const A* const from = out_ + s * kWidth * in_.value_depth;
      for (int64_t q = 0; q < queries_of(s); ++q) {
        const A sum = state_[s].sum[q];
        T* const to = out + (s * kWidth + q) * in_.value_depth;
        for (int64_t e = 0; e < in_.value_depth; ++e) {
          to[e] = narrow<T>(quotient_of(from[e * kWidth + q], sum) + A{0});
        }
        if (args_.log_sum_exp != nullptr) {
          static_cast<A*>(args_.log_sum_exp)[bh_ * in_.queries + i0_ + s * kWidth + q] =
              log_sum_exp_of(state_[s].largest[q], sum);
        }
      }
    }
  }

  const AttendArgs& args_;
  const AttentionInputs& in_;
  int64_t bh_;
  int64_t tile_;
  int64_t i0_;
  int64_t rows_;
  int64_t strips_ = 0;
  A* query_;  // a strip after another, each (depth x kWidth)
  A* out_;
  A* scores_;  // of one strip: (64 x kWidth)
  A* key_copy_;
  A* value_copy_;
  StripState<A> state_[kStrips];
};

template <class T>
void attend_tiles(const AttendArgs& args, int64_t begin, int64_t end, Compute<T>* scratch) {
  const int64_t tiles = attention_tiles(args.in.queries);
  for (int64_t at = begin; at < end; ++at) QueryTile<T>(args, at / tiles, at % tiles, scratch).run();
}

// Highway's tables hold plain functions: one for each storage type.
#define SPARSERT_ATTENTION_OF(suffix, T)                                                                            \
  int64_t scratch_size_##suffix(int64_t depth, int64_t value_depth) { return scratch_size<T>(depth, value_depth); } \
  void attend_##suffix(const AttendArgs& args, int64_t begin, int64_t end, Compute<T>* scratch) {                   \
    attend_tiles<T>(args, begin, end, scratch);                                                                     \
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

HWY_EXPORT(scratch_size_f16);
HWY_EXPORT(scratch_size_bf16);
HWY_EXPORT(scratch_size_f32);
HWY_EXPORT(scratch_size_f64);
HWY_EXPORT(attend_f16);
HWY_EXPORT(attend_bf16);
HWY_EXPORT(attend_f32);
HWY_EXPORT(attend_f64);

template <class T, class Size, class Attend>
void run(const AttendArgs& args, const Stream& stream, Size size, Attend attend) {
  const int64_t elements = size(args.in.depth, args.in.value_depth);
  parallel_for(args.in.batch * args.in.heads * attention_tiles(args.in.queries), 1, [&](int64_t begin, int64_t end) {
    Scratch<Compute<T>> scratch(elements, stream);
    attend(args, begin, end, scratch.data());
  });
}

}  // namespace

void attend(const AttendArgs& args, const Stream& stream) {
  switch (args.in.dtype) {
    case DType::float16:
      return run<float16>(args, stream, HWY_DYNAMIC_DISPATCH(scratch_size_f16), HWY_DYNAMIC_DISPATCH(attend_f16));
    case DType::bfloat16:
      return run<bfloat16>(args, stream, HWY_DYNAMIC_DISPATCH(scratch_size_bf16), HWY_DYNAMIC_DISPATCH(attend_bf16));
    case DType::float32:
      return run<float>(args, stream, HWY_DYNAMIC_DISPATCH(scratch_size_f32), HWY_DYNAMIC_DISPATCH(attend_f32));
    case DType::float64:
      return run<double>(args, stream, HWY_DYNAMIC_DISPATCH(scratch_size_f64), HWY_DYNAMIC_DISPATCH(attend_f64));
    default: throw_unsupported_dtype("attend", args.in.dtype);
  }
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
