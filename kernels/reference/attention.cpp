// kernels/reference/attention.cpp — attention behind a mask, one query at a time: what it means.
#include "kernels/attention.hpp"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.hpp"

namespace sparsert::backend::reference {
namespace {

/// Keys of a tile, by their place in it. Of a fixed size: nothing may run out once results are being written.
struct SeenKeys {
  std::int64_t keys[kAttentionTile];
  std::int64_t count = 0;

  const std::int64_t* begin() const { return keys; }
  const std::int64_t* end() const { return keys + count; }
};

/// One (batch, head) of the operands.
template <class T>
struct Head {
  const AttentionInputs& in;
  std::int64_t head;
  const T* query;
  const T* key;
  const T* value;
  const T* bias;
  Compute<T> scale;

  Head(const AttentionInputs& inputs, std::int64_t batch, std::int64_t h)
      : in(inputs), head(h), scale(static_cast<Compute<T>>(inputs.scale)) {
    const std::int64_t kv = batch * in.key_heads + h / (in.heads / in.key_heads);
    query = static_cast<const T*>(in.query) + (batch * in.heads + h) * in.queries * in.depth;
    key = static_cast<const T*>(in.key) + kv * in.keys * in.depth;
    value = static_cast<const T*>(in.value) + kv * in.keys * in.value_depth;
    bias = in.bias == nullptr ? nullptr
                              : static_cast<const T*>(in.bias) + batch * in.bias_batch_stride + h * in.bias_head_stride;
  }

  Compute<T> score(std::int64_t i, std::int64_t j) const {
    Compute<T> dot = 0;
    for (std::int64_t c = 0; c < in.depth; ++c) {
      dot = std::fma(widen(query[i * in.depth + c]), widen(key[j * in.depth + c]), dot);
    }
    const Compute<T> scaled = scale * dot;
    return bias == nullptr ? scaled : scaled + widen(bias[i * in.keys + j]);
  }

  /// Calls f(first key of the tile, the keys of the tile that query i sees) tile by tile.
  template <class F>
  void for_each_seen(std::int64_t i, F&& f) const {
    for_each_key_tile(in, head, i / kAttentionTile, [&](std::int64_t tile, std::int64_t place) {
      SeenKeys seen;
      const std::int64_t count = std::min(kAttentionTile, in.keys - tile * kAttentionTile);
      for (std::int64_t c = 0; c < count; ++c) {
        if (seen_by(in.mask, place, c) >> (i % kAttentionTile) & 1) seen.keys[seen.count++] = c;
      }
      if (seen.count != 0) f(tile * kAttentionTile, seen);
    });
  }
};

/// The online softmax of one query: what it has seen so far.
template <class A>
struct Softmax {
  A largest = -kInfinity<A>;
  A sum = 0;
  A rescale = 1;  // of what was accumulated before the last tile

  /// Takes the scores of a tile's keys, and makes them their weights.
  void add(const SeenKeys& seen, A (&scores)[kAttentionTile]) {
    const A before = largest;
    for (const std::int64_t c : seen) largest = scores[c] > largest ? scores[c] : largest;
    const A origin = exponent_origin(largest);
    rescale = exp_of(before - origin);
    A lanes[kAttentionLanes] = {};
    for (const std::int64_t c : seen) {
      scores[c] = exp_of(scores[c] - origin);
      lanes[c % kAttentionLanes] = lanes[c % kAttentionLanes] + scores[c];
    }
    sum = std::fma(sum, rescale, lane_sum(lanes));
  }
};

template <class T>
void forward(const AttendArgs& args) {
  using A = Compute<T>;
  const AttentionInputs& in = args.in;
  std::vector<A> row(static_cast<std::size_t>(in.value_depth));
  for (std::int64_t bh = 0; bh < in.batch * in.heads; ++bh) {
    const Head<T> head(in, bh / in.heads, bh % in.heads);
    for (std::int64_t i = 0; i < in.queries; ++i) {
      Softmax<A> softmax;
      std::fill(row.begin(), row.end(), A{0});
      head.for_each_seen(i, [&](std::int64_t j0, const SeenKeys& seen) {
        A weights[kAttentionTile];
        for (const std::int64_t c : seen) weights[c] = head.score(i, j0 + c);
        softmax.add(seen, weights);
        for (std::int64_t e = 0; e < in.value_depth; ++e) {
          A& out = row[static_cast<std::size_t>(e)];
          out = softmax.rescale * out;
          for (const std::int64_t c : seen) {
            out = std::fma(weights[c], widen(head.value[(j0 + c) * in.value_depth + e]), out);
          }
        }
      });
      T* const out = static_cast<T*>(args.out) + (bh * in.queries + i) * in.value_depth;
      for (std::int64_t e = 0; e < in.value_depth; ++e) {
        out[e] = narrow<T>(quotient_of(row[static_cast<std::size_t>(e)], softmax.sum) + A{0});
      }
      if (args.log_sum_exp != nullptr) {
        static_cast<A*>(args.log_sum_exp)[bh * in.queries + i] = log_sum_exp_of(softmax.largest, softmax.sum);
      }
    }
  }
}

/// What the gradient needs of a query before any of it can be computed.
template <class A>
struct RowOfGradient {
  A origin;   // exp(score - origin) is a key's weight
  A average;  // of the weights' gradients
};

template <class T>
class Backward {
  using A = Compute<T>;

 public:
  explicit Backward(const AttendBackwardArgs& args) : args_(args), in_(args.in) {}

  void run() {
    for (std::int64_t bk = 0; bk < in_.batch * in_.key_heads; ++bk) {
      key_total_.assign(static_cast<std::size_t>(in_.keys * in_.depth), A{0});
      value_total_.assign(static_cast<std::size_t>(in_.keys * in_.value_depth), A{0});
      const std::int64_t group = in_.heads / in_.key_heads;
      for (std::int64_t g = 0; g < group; ++g) {
        const std::int64_t batch = bk / in_.key_heads;
        const std::int64_t h = bk % in_.key_heads * group + g;
        for (std::int64_t tile = 0; tile < attention_tiles(in_.queries); ++tile)
          query_tile({in_, batch, h}, batch, tile);
      }
      const auto scale = static_cast<A>(in_.scale);
      store(args_.key_grad, bk, in_.depth, key_total_, [scale](A x) { return scale * x + A{0}; });
      store(args_.value_grad, bk, in_.value_depth, value_total_, [](A x) { return x + A{0}; });
    }
  }

 private:
  template <class F>
  void store(void* out, std::int64_t bk, std::int64_t depth, const std::vector<A>& totals, F finish) const {
    T* const to = static_cast<T*>(out) + bk * in_.keys * depth;
    for (std::int64_t e = 0; e < in_.keys * depth; ++e) to[e] = narrow<T>(finish(totals[static_cast<std::size_t>(e)]));
  }

  /// The gradient of the weight of key j for a query whose output has gradient `grad`.
  A weight_gradient(const Head<T>& head, const T* grad, std::int64_t j) const {
    A dot = 0;
    for (std::int64_t e = 0; e < in_.value_depth; ++e) {
      dot = std::fma(widen(grad[e]), widen(head.value[j * in_.value_depth + e]), dot);
    }
    return dot;
  }

  RowOfGradient<A> prepare(const Head<T>& head, const T* grad, std::int64_t i) const {
    Softmax<A> softmax;
    A average = 0;
    head.for_each_seen(i, [&](std::int64_t j0, const SeenKeys& seen) {
      A weights[kAttentionTile];
      for (const std::int64_t c : seen) weights[c] = head.score(i, j0 + c);
      softmax.add(seen, weights);
      A lanes[kAttentionLanes] = {};
      for (const std::int64_t c : seen) {
        A& lane = lanes[c % kAttentionLanes];
        lane = std::fma(weights[c], weight_gradient(head, grad, j0 + c), lane);
      }
      average = std::fma(average, softmax.rescale, lane_sum(lanes));
    });
    return {weight_origin(softmax.largest, softmax.sum), quotient_of(average, softmax.sum)};
  }

  void query_tile(const Head<T>& head, std::int64_t batch, std::int64_t tile) {
    const std::int64_t i0 = tile * kAttentionTile;
    const std::int64_t rows = std::min(kAttentionTile, in_.queries - i0);
    const std::int64_t row_of_all = (batch * in_.heads + head.head) * in_.queries + i0;
    const T* const grad = static_cast<const T*>(args_.grad) + row_of_all * in_.value_depth;
    std::vector<RowOfGradient<A>> row;
    for (std::int64_t r = 0; r < rows; ++r) row.push_back(prepare(head, grad + r * in_.value_depth, i0 + r));
    std::vector<A> query_total(static_cast<std::size_t>(rows * in_.depth), A{0});
    for_each_key_tile(in_, head.head, tile, [&](std::int64_t t, std::int64_t place) {
      const std::int64_t j0 = t * kAttentionTile;
      const std::int64_t columns = std::min(kAttentionTile, in_.keys - j0);
      const auto sees = [&](std::int64_t r, std::int64_t c) { return (seen_by(in_.mask, place, c) >> r & 1) != 0; };
      std::vector<A> weight(static_cast<std::size_t>(kAttentionTile * kAttentionTile));
      std::vector<A> change(static_cast<std::size_t>(kAttentionTile * kAttentionTile));  // gradient of the score
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          if (!sees(r, c)) continue;
          const auto at = static_cast<std::size_t>(r * kAttentionTile + c);
          const RowOfGradient<A>& prepared = row[static_cast<std::size_t>(r)];
          weight[at] = exp_of(head.score(i0 + r, j0 + c) - prepared.origin);
          change[at] = weight[at] * (weight_gradient(head, grad + r * in_.value_depth, j0 + c) - prepared.average);
        }
      }
      // total += the piece of this tile, a sum over `count` terms from the left, those not seen left out.
      const auto add_piece = [](A& total, std::int64_t count, auto is_seen, auto left, auto right) {
        A piece = 0;
        for (std::int64_t at = 0; at < count; ++at) {
          if (is_seen(at)) piece = std::fma(left(at), right(at), piece);
        }
        total = total + piece;
      };
      const auto at = [](const std::vector<A>& x, std::int64_t r, std::int64_t c) {
        return x[static_cast<std::size_t>(r * kAttentionTile + c)];
      };
      for (std::int64_t e = 0; e < in_.depth; ++e) {
        for (std::int64_t r = 0; r < rows; ++r) {
          add_piece(
              query_total[static_cast<std::size_t>(r * in_.depth + e)], columns,
              [&](std::int64_t c) { return sees(r, c); }, [&](std::int64_t c) { return at(change, r, c); },
              [&](std::int64_t c) { return widen(head.key[(j0 + c) * in_.depth + e]); });
        }
        for (std::int64_t c = 0; c < columns; ++c) {
          add_piece(
              key_total_[static_cast<std::size_t>((j0 + c) * in_.depth + e)], rows,
              [&](std::int64_t r) { return sees(r, c); }, [&](std::int64_t r) { return at(change, r, c); },
              [&](std::int64_t r) { return widen(head.query[(i0 + r) * in_.depth + e]); });
        }
      }
      for (std::int64_t e = 0; e < in_.value_depth; ++e) {
        for (std::int64_t c = 0; c < columns; ++c) {
          add_piece(
              value_total_[static_cast<std::size_t>((j0 + c) * in_.value_depth + e)], rows,
              [&](std::int64_t r) { return sees(r, c); }, [&](std::int64_t r) { return at(weight, r, c); },
              [&](std::int64_t r) { return widen(grad[r * in_.value_depth + e]); });
        }
      }
    });
    T* const out = static_cast<T*>(args_.query_grad) + row_of_all * in_.depth;
    const auto scale = static_cast<A>(in_.scale);
    for (std::int64_t e = 0; e < rows * in_.depth; ++e) {
      out[e] = narrow<T>(scale * query_total[static_cast<std::size_t>(e)] + A{0});
    }
  }

  const AttendBackwardArgs& args_;
  const AttentionInputs& in_;
  std::vector<A> key_total_;
  std::vector<A> value_total_;
};

}  // namespace

void attend(const AttendArgs& args, const Stream&) {
  dispatch_any_float("attend", args.in.dtype, [&]<class T>() { forward<T>(args); });
}

void attend_backward(const AttendBackwardArgs& args, const Stream&) {
  dispatch_any_float("attend_backward", args.in.dtype, [&]<class T>() { Backward<T>(args).run(); });
}

}  // namespace sparsert::backend::reference
