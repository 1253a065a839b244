// tests/ops/attention_oracle.hpp — attention in the canonical order, and in float64, one pair at a time.
#pragma once

#include <array>
#include <functional>

#include "tests/attention_support.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {

/// exp by the steps of docs/numerics.md, in a type of 23 or 52 bits.
inline float canonical_exp(float x) {
  if (x < -105.0f) x = -105.0f;
  if (x > 90.0f) x = 90.0f;
  const float n = std::fma(x, 0x1.715476p+0f, 0x1.8p+23f) - 0x1.8p+23f;
  const float r = std::fma(-n, -0x1.05c610p-29f, std::fma(-n, 0x1.62e430p-1f, x));
  float sum = 0x1.a12528p-13f;
  for (const float term : {0x1.6d4362p-10f, 0x1.1110e0p-7f, 0x1.5554e8p-5f, 0x1.555556p-3f, 0.5f}) {
    sum = std::fma(sum, r, term);
  }
  const float value = std::fma(sum, r * r, r) + 1.0f;
  return std::isnan(x) ? x : static_cast<float>(std::ldexp(static_cast<double>(value), static_cast<int>(n)));
}

inline double canonical_exp(double x) {
  if (x < -747.0) x = -747.0;
  if (x > 711.0) x = 711.0;
  const double n = std::fma(x, 0x1.71547652b82fep+0, 0x1.8p+52) - 0x1.8p+52;
  const double r = std::fma(-n, 0x1.abc9e3b39803fp-56, std::fma(-n, 0x1.62e42fefa39efp-1, x));
  double sum = 0x1.1f731ea5352cap-29;
  for (const double term : {0x1.af4e196027428p-26, 0x1.27e4db57442fbp-22, 0x1.71de021a90822p-19, 0x1.a01a01a6dcaffp-16,
                            0x1.a01a01abef415p-13, 0x1.6c16c16c162ccp-10, 0x1.11111111100cep-7, 0x1.5555555555556p-5,
                            0x1.5555555555557p-3, 0.5}) {
    sum = std::fma(sum, r, term);
  }
  const double value = std::fma(sum, r * r, r) + 1.0;
  if (std::isnan(x)) return x;
  const int half = static_cast<int>(n) / 2;
  return std::ldexp(value * std::ldexp(1.0, half), static_cast<int>(n) - half);
}

/// log by the steps of docs/numerics.md; x is a normal number.
template <class A>
A canonical_log(A x) {
  if (x == 0) return -std::numeric_limits<A>::infinity();
  if (!(x < std::numeric_limits<A>::infinity())) return x;
  constexpr bool kFloat = sizeof(A) == 4;
  int e = 0;
  A f = std::frexp(x, &e);  // [1/2, 1)
  if (f < static_cast<A>(0x1.6a09e667f3bcdp-1)) {
    f *= 2;
    --e;
  }
  const A s = (f - 1) / (f + 1);
  const A z = s * s;
  A sum = 1 / static_cast<A>(kFloat ? 9 : 21);
  for (int odd = kFloat ? 7 : 19; odd >= 1; odd -= 2) sum = std::fma(sum, z, 1 / static_cast<A>(odd));
  const A low = kFloat ? static_cast<A>(-0x1.05c610p-29) : static_cast<A>(0x1.abc9e3b39803fp-56);
  const A high = kFloat ? static_cast<A>(0x1.62e430p-1) : static_cast<A>(0x1.62e42fefa39efp-1);
  return std::fma(static_cast<A>(e), high, std::fma(static_cast<A>(e), low, (s + s) * sum));
}

/// One attention: sizes, operands, and which pairs are seen.
template <class T>
struct Attention {
  std::int64_t batch = 1;
  std::int64_t heads = 2;
  std::int64_t key_heads = 1;
  Lengths n{0};
  std::int64_t depth = 8;
  std::int64_t value_depth = 8;
  double scale = 0.25;
  std::function<bool(std::int64_t head, std::int64_t i, std::int64_t j)> sees = [](auto, auto, auto) { return true; };
  std::vector<T> q{};
  std::vector<T> k{};
  std::vector<T> v{};
  std::vector<T> grad{};
  std::vector<T> bias{};  // (batch, heads, queries, keys), or none

  void fill(Values kind) {
    q = values_of<T>(kind, batch * heads * n.query * depth, 1);
    k = values_of<T>(kind, batch * key_heads * n.key * depth, 2);
    v = values_of<T>(kind, batch * key_heads * n.key * value_depth, 3);
    grad = values_of<T>(kind, batch * heads * n.query * value_depth, 4);
  }
  void fill_bias(Values kind) { bias = values_of<T>(kind, batch * heads * n.query * n.key, 5); }

  std::int64_t key_plane(std::int64_t bh) const { return bh / heads * key_heads + bh % heads / (heads / key_heads); }
  Tensor tensor(const std::vector<T>& x, std::int64_t planes, std::int64_t rows, std::int64_t columns,
                const Device& device) const {
    return Tensor::from(x, {batch, planes, rows, columns}, device);
  }
  Tensor q_on(const Device& d) const { return tensor(q, heads, n.query, depth, d); }
  Tensor k_on(const Device& d) const { return tensor(k, key_heads, n.key, depth, d); }
  Tensor v_on(const Device& d) const { return tensor(v, key_heads, n.key, value_depth, d); }
  Tensor grad_on(const Device& d) const { return tensor(grad, heads, n.query, value_depth, d); }
  Tensor bias_on(const Device& d) const { return tensor(bias, heads, n.query, n.key, d); }
};

/// What comes out of it, forward and backward, widened.
template <class A>
struct AttentionResult {
  std::vector<A> out;
  std::vector<A> log_sum_exp;
  std::vector<A> q;
  std::vector<A> k;
  std::vector<A> v;
};

/// The sum over 16 lanes: lane l has terms l, l + 16, ...; then the halves of the lanes are added until one is left.
template <class A>
A sum_by_lanes(std::array<A, 16> lanes) {
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

/// The canonical order.
template <class T>
class CanonicalAttention {
  using A = Wide<T>;
  using I = std::int64_t;

 public:
  explicit CanonicalAttention(const Attention<T>& x) : x_(x), seen_(pairs_of(x)) {}

  AttentionResult<A> run() {
    AttentionResult<A> r;
    r.k.assign(x_.k.size(), 0);
    r.v.assign(x_.v.size(), 0);
    for (I bh = 0; bh < x_.batch * x_.heads; ++bh) head(bh, r);
    const A scale = static_cast<A>(x_.scale);
    for (A& e : r.k) e = rounded(scale * e);
    for (A& e : r.v) e = rounded(e);
    return r;
  }

 private:
  /// Whether each pair is seen, head by head.
  static std::vector<char> pairs_of(const Attention<T>& x) {
    std::vector<char> seen;
    for (I h = 0; h < x.heads; ++h) {
      for (I i = 0; i < x.n.query; ++i) {
        for (I j = 0; j < x.n.key; ++j) seen.push_back(x.sees(h, i, j));
      }
    }
    return seen;
  }
  bool sees(I bh, I i, I j) const {
    return seen_[static_cast<std::size_t>((bh % x_.heads * x_.n.query + i) * x_.n.key + j)] != 0;
  }

  static A rounded(A x) { return wide(stored<T>(static_cast<double>(x + A{0}))); }

  A dot(const std::vector<T>& a, I row, const std::vector<T>& b, I other, I depth) const {
    A sum = 0;
    for (I c = 0; c < depth; ++c) sum = std::fma(wide(a[row * depth + c]), wide(b[other * depth + c]), sum);
    return sum;
  }
  A score(I bh, I i, I j) const {
    const A s =
        static_cast<A>(x_.scale) * dot(x_.q, bh * x_.n.query + i, x_.k, x_.key_plane(bh) * x_.n.key + j, x_.depth);
    return x_.bias.empty() ? s : s + wide(x_.bias[(bh * x_.n.query + i) * x_.n.key + j]);
  }
  A weight_gradient(I bh, I i, I j) const {
    return dot(x_.grad, bh * x_.n.query + i, x_.v, x_.key_plane(bh) * x_.n.key + j, x_.value_depth);
  }

  /// Everything for one query: its result, log-sum-exp, and the weights and changes of its keys.
  struct Row {
    std::vector<A> weights;
    std::vector<A> changes;
  };

  Row query(I bh, I i, AttentionResult<A>& r) const {
    const I keys = x_.n.key;
    const auto is_seen = [&](I j) { return sees(bh, i, j); };
    const A none = -std::numeric_limits<A>::infinity();
    A largest = none;
    A sum = 0;
    A average = 0;
    std::vector<A> out(static_cast<std::size_t>(x_.value_depth), 0);
    std::vector<A> scores(static_cast<std::size_t>(keys));
    for (I tile = 0; tile < keys; tile += 64) {
      const I end = std::min(keys, tile + 64);
      bool any = false;
      A most = largest;
      for (I j = tile; j < end; ++j) {
        if (!is_seen(j)) continue;
        any = true;
        scores[j] = score(bh, i, j);
        if (scores[j] > most) most = scores[j];
      }
      if (!any) continue;
      const A origin = most == none ? A{0} : most;
      const A rescale = canonical_exp(largest - origin);
      std::array<A, 16> lanes{};
      std::array<A, 16> gradient_lanes{};
      for (A& e : out) e *= rescale;
      for (I j = tile; j < end; ++j) {
        if (!is_seen(j)) continue;
        const A w = canonical_exp(scores[j] - origin);
        lanes[j % 16] += w;
        gradient_lanes[j % 16] = std::fma(w, weight_gradient(bh, i, j), gradient_lanes[j % 16]);
        for (I e = 0; e < x_.value_depth; ++e) {
          out[e] = std::fma(w, wide(x_.v[(x_.key_plane(bh) * keys + j) * x_.value_depth + e]), out[e]);
        }
      }
      sum = std::fma(sum, rescale, sum_by_lanes(lanes));
      average = std::fma(average, rescale, sum_by_lanes(gradient_lanes));
      largest = most;
    }
    for (const A e : out) r.out.push_back(sum == 0 ? A{0} : rounded(e / sum));
    const A log_sum_exp = sum == 0 ? none : largest + canonical_log(sum);
    r.log_sum_exp.push_back(log_sum_exp);
    average = sum == 0 ? A{0} : average / sum;
    Row row{std::vector<A>(scores.size()), std::vector<A>(scores.size())};
    for (I j = 0; j < keys; ++j) {
      if (!is_seen(j)) continue;
      row.weights[j] = canonical_exp(scores[j] - (sum == 0 ? -none : log_sum_exp));
      row.changes[j] = row.weights[j] * (weight_gradient(bh, i, j) - average);
    }
    return row;
  }

  /// total += the sum of factor · element over the places listed, from the left.
  template <class Factor, class Element>
  static void add_piece(A& total, const std::vector<I>& places, Factor factor, Element element) {
    A piece = 0;
    for (const I at : places) piece = std::fma(factor(at), element(at), piece);
    total += piece;
  }

  /// The places in [begin, end) for which `sees` holds.
  template <class Sees>
  static std::vector<I> places_of(I begin, I end, Sees sees) {
    std::vector<I> places;
    for (I at = begin; at < end; ++at) {
      if (sees(at)) places.push_back(at);
    }
    return places;
  }

  void head(I bh, AttentionResult<A>& r) const {
    std::vector<Row> rows;
    for (I i = 0; i < x_.n.query; ++i) rows.push_back(query(bh, i, r));
    const I plane = x_.key_plane(bh) * x_.n.key;
    for (I i = 0; i < x_.n.query; ++i) {
      std::vector<A> totals(static_cast<std::size_t>(x_.depth), 0);
      for (I tile = 0; tile < x_.n.key; tile += 64) {
        const auto seen = places_of(tile, std::min(x_.n.key, tile + 64), [&](I j) { return sees(bh, i, j); });
        for (I c = 0; c < x_.depth; ++c) {
          add_piece(
              totals[c], seen, [&](I j) { return rows[i].changes[j]; },
              [&](I j) { return wide(x_.k[(plane + j) * x_.depth + c]); });
        }
      }
      for (const A total : totals) r.q.push_back(rounded(static_cast<A>(x_.scale) * total));
    }
    for (I j = 0; j < x_.n.key; ++j) {
      for (I tile = 0; tile < x_.n.query; tile += 64) {
        const auto seen = places_of(tile, std::min(x_.n.query, tile + 64), [&](I i) { return sees(bh, i, j); });
        for (I c = 0; c < x_.depth; ++c) {
          add_piece(
              r.k[(plane + j) * x_.depth + c], seen, [&](I i) { return rows[i].changes[j]; },
              [&](I i) { return wide(x_.q[(bh * x_.n.query + i) * x_.depth + c]); });
        }
        for (I c = 0; c < x_.value_depth; ++c) {
          add_piece(
              r.v[(plane + j) * x_.value_depth + c], seen, [&](I i) { return rows[i].weights[j]; },
              [&](I i) { return wide(x_.grad[(bh * x_.n.query + i) * x_.value_depth + c]); });
        }
      }
    }
  }

  const Attention<T>& x_;
  std::vector<char> seen_;
};

/// The formula as it is written, in any type: two passes, no tiles. Also the magnitudes that bounds are made of.
template <class T, class A>
AttentionResult<A> naive_attention(const Attention<T>& x) {
  using I = std::int64_t;
  AttentionResult<A> r;
  r.q.assign(x.q.size(), 0);
  r.k.assign(x.k.size(), 0);
  r.v.assign(x.v.size(), 0);
  const auto at = [](const std::vector<T>& t, I e) { return static_cast<A>(wide(t[static_cast<std::size_t>(e)])); };
  for (I bh = 0; bh < x.batch * x.heads; ++bh) {
    const I plane = x.key_plane(bh) * x.n.key;
    for (I i = 0; i < x.n.query; ++i) {
      const I row = bh * x.n.query + i;
      std::vector<A> w(static_cast<std::size_t>(x.n.key), 0);
      std::vector<A> g(static_cast<std::size_t>(x.n.key), 0);
      A largest = -std::numeric_limits<A>::infinity();
      const auto each = [&](auto f) {
        for (I j = 0; j < x.n.key; ++j) {
          if (x.sees(bh % x.heads, i, j)) f(j);
        }
      };
      each([&](I j) {
        A s = 0;
        for (I c = 0; c < x.depth; ++c) s += at(x.q, row * x.depth + c) * at(x.k, (plane + j) * x.depth + c);
        w[j] = static_cast<A>(x.scale) * s + (x.bias.empty() ? A{0} : at(x.bias, row * x.n.key + j));
        largest = std::max(largest, w[j]);
        for (I c = 0; c < x.value_depth; ++c) {
          g[j] += at(x.grad, row * x.value_depth + c) * at(x.v, (plane + j) * x.value_depth + c);
        }
      });
      A sum = 0;
      each([&](I j) { sum += w[j] = std::exp(w[j] - largest); });
      A average = 0;
      each([&](I j) { average += (w[j] /= sum) * g[j]; });
      for (I c = 0; c < x.value_depth; ++c) {
        A out = 0;
        each([&](I j) { out += w[j] * at(x.v, (plane + j) * x.value_depth + c); });
        r.out.push_back(out);
      }
      r.log_sum_exp.push_back(largest + std::log(sum));
      each([&](I j) {
        const A change = w[j] * (g[j] - average) * static_cast<A>(x.scale);
        for (I c = 0; c < x.depth; ++c) {
          r.q[row * x.depth + c] += change * at(x.k, (plane + j) * x.depth + c);
          r.k[(plane + j) * x.depth + c] += change * at(x.q, row * x.depth + c);
        }
        for (I c = 0; c < x.value_depth; ++c) {
          r.v[(plane + j) * x.value_depth + c] += w[j] * at(x.grad, row * x.value_depth + c);
        }
      });
    }
  }
  return r;
}

}  // namespace sparsert::test
