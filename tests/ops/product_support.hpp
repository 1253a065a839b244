// tests/ops/product_support.hpp — oracles of the products: canonical order for bits, float64 for the bound, and faulty
// ones.
#pragma once

#include <algorithm>
#include <random>

#include "tests/support.hpp"

namespace sparsert::test {

inline constexpr std::int64_t kPiece = 512;  // P of docs/numerics.md

/// The accumulator of a storage type, and the exact way to it and back.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
Wide<T> wide(T x) {
  if constexpr (std::is_same_v<T, Wide<T>>) return x;
  else return to_float(x);
}

template <class T>
T stored(double x) {
  if constexpr (std::is_same_v<T, float16>) return to_float16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, bfloat16>) return to_bfloat16(static_cast<float>(x));
  else return static_cast<T>(x);
}

template <class T>
std::vector<T> values_of(Values kind, std::int64_t n, std::uint64_t seed) {
  std::vector<T> out;
  for (const auto x : make_values<Wide<T>>(kind, n, seed)) out.push_back(stored<T>(static_cast<double>(x)));
  return out;
}

template <class T>
std::vector<Wide<T>> widened(const std::vector<T>& values) {
  std::vector<Wide<T>> out;
  for (const T& x : values) out.push_back(wide(x));
  return out;
}

/// A sparse matrix of the tests, on the host.
template <class T, class I = std::int32_t>
struct Matrix {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::vector<I> offsets{0};
  std::vector<I> columns{};
  std::vector<T> values{};

  Csr on(const Device& device) const {
    const auto nnz = static_cast<std::int64_t>(columns.size());
    return {Tensor::from(offsets, {m + 1}, device),
            Tensor::from(columns, {nnz}, device),
            Tensor::from(values, {nnz}, device),
            {m, k}};
  }
  std::vector<T> dense() const {
    std::vector<T> out(static_cast<std::size_t>(m * k));
    for (std::int64_t i = 0; i < m; ++i) {
      for (I e = offsets[i]; e < offsets[i + 1]; ++e) out[i * k + columns[e]] = values[e];
    }
    return out;
  }
};

/// A matrix whose entry (i, p) is stored where `has(i, p)`.
template <class T, class I = std::int32_t, class Has>
Matrix<T, I> matrix_of(std::int64_t m, std::int64_t k, Values kind, Has has) {
  Matrix<T, I> a{m, k};
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      if (has(i, p)) a.columns.push_back(static_cast<I>(p));
    }
    a.offsets.push_back(static_cast<I>(a.columns.size()));
  }
  a.values = values_of<T>(kind, static_cast<std::int64_t>(a.columns.size()), 11);
  return a;
}

template <class T, class I = std::int32_t>
Matrix<T, I> random_matrix(std::int64_t m, std::int64_t k, double density, Values kind, std::uint64_t seed = 3) {
  std::mt19937_64 random(seed);
  return matrix_of<T, I>(m, k, kind,
                         [&](auto, auto) { return static_cast<double>(random() >> 11) * 0x1p-53 < density; });
}

/// Ways in which a product goes wrong; the comparison has to notice every one of them.
enum class Fault { none, dropped_term, term_twice, skipped_tail, wrong_beta, late_piece, no_bias };

/// act(alpha·A·B + beta·C + bias) in canonical order; B is (k x n), C (m x n), bias one per row of A.
template <class T>
struct Product {
  std::int64_t n = 0;
  std::vector<T> b;
  std::vector<T> c;     // empty: not read
  std::vector<T> bias;  // empty: none
  bool relu = false;
  double alpha = 1;
  double beta = 0;
};

template <class T, class I>
std::vector<Wide<T>> canonical(const Matrix<T, I>& a, const Product<T>& x, Fault fault = Fault::none) {
  using A = Wide<T>;
  std::vector<A> out;
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (std::int64_t j = 0; j < x.n; ++j) {
      A total = 0;
      A piece = 0;
      std::int64_t at = 0;  // the piece that `piece` belongs to
      for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1] && x.alpha != 0; ++e) {
        const std::int64_t p = a.columns[e];
        if (fault == Fault::dropped_term && e + 1 == a.offsets[i + 1]) continue;
        if (fault == Fault::skipped_tail && j == x.n - 1) continue;
        if ((p - (fault == Fault::late_piece ? 1 : 0)) / kPiece != at) {
          total += piece;
          piece = 0;
          at = p / kPiece;
        }
        piece = std::fma(wide(a.values[e]), wide(x.b[p * x.n + j]), piece);
        if (fault == Fault::term_twice && e == a.offsets[i])
          piece = std::fma(wide(a.values[e]), wide(x.b[p * x.n + j]), piece);
      }
      A r = total + piece;
      if (x.alpha != 1) r = static_cast<A>(x.alpha) * r;
      if (x.beta != 0)
        r = std::fma(static_cast<A>(fault == Fault::wrong_beta ? -x.beta : x.beta), wide(x.c[i * x.n + j]), r);
      if (!x.bias.empty() && fault != Fault::no_bias) r += wide(x.bias[i]);
      r += A{0};
      out.push_back(wide(stored<T>(x.relu && r <= 0 ? 0.0 : static_cast<double>(r))));
    }
  }
  return out;
}

/// |got - float64| within the contract's bound, for every element of A·B: u_out·|c64| + gamma(n+1)·S + n·eta.
template <class T, class I>
::testing::AssertionResult within_bound(const std::vector<Wide<T>>& got, const Matrix<T, I>& a, const Product<T>& x) {
  using A = Wide<T>;
  const long double u = std::numeric_limits<A>::epsilon() / 2;
  const long double u_out = std::is_same_v<T, float16> ? 0x1p-11L : std::is_same_v<T, bfloat16> ? 0x1p-8L : u;
  const long double eta =
      std::is_same_v<T, float16> ? 0x1p-24L : static_cast<long double>(std::numeric_limits<A>::denorm_min());
  for (std::int64_t i = 0; i < a.m; ++i) {
    const long double terms = static_cast<long double>(a.offsets[i + 1] - a.offsets[i]);
    const long double gamma = (terms + 1) * u / (1 - (terms + 1) * u);
    for (std::int64_t j = 0; j < x.n; ++j) {
      long double sum = 0;
      long double magnitude = 0;
      for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
        const long double term = static_cast<long double>(wide(a.values[e])) * wide(x.b[a.columns[e] * x.n + j]);
        sum += term;
        magnitude += std::abs(term);
      }
      const long double tolerance = u_out * std::abs(sum) + gamma * magnitude + (terms + 1) * eta;
      const long double error = std::abs(static_cast<long double>(got[i * x.n + j]) - sum);
      if (!(error <= tolerance)) {
        return ::testing::AssertionFailure() << "(" << i << ", " << j << "): error " << error << " over " << tolerance;
      }
    }
  }
  return ::testing::AssertionSuccess();
}

/// Aᵀ, the entries of a column in the order of their rows.
template <class T, class I>
Matrix<T, I> transposed_matrix(const Matrix<T, I>& a) {
  std::vector<std::vector<std::pair<I, T>>> columns(static_cast<std::size_t>(a.k));
  for (std::int64_t r = 0; r < a.m; ++r) {
    for (I e = a.offsets[r]; e < a.offsets[r + 1]; ++e) {
      columns[static_cast<std::size_t>(a.columns[e])].emplace_back(static_cast<I>(r), a.values[e]);
    }
  }
  Matrix<T, I> out{a.k, a.m};
  for (const auto& column : columns) {
    for (const auto& [row, value] : column) {
      out.columns.push_back(row);
      out.values.push_back(value);
    }
    out.offsets.push_back(static_cast<I>(out.columns.size()));
  }
  return out;
}

template <class T>
std::vector<T> transposed(const std::vector<T>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<T> out(x.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) out[j * rows + i] = x[i * cols + j];
  }
  return out;
}

}  // namespace sparsert::test
