// runtime/sparsity/lowrank.cpp — truncated and randomized singular value decomposition, and a sparse remainder.
#include "sparsert/lowrank.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/contract/random.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/sparsity/lapack.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/prune.hpp"

namespace sparsert {
namespace {

constexpr const char* kOp = "lowrank";
constexpr std::int64_t kOversample = 10;
constexpr int kPowerIterations = 2;

/// Row-major u (m, k), s (k), vt (k, n).
template <class T>
struct Svd {
  std::vector<T> u;
  std::vector<T> s;
  std::vector<T> vt;
  std::int64_t k = 0;
};

template <class T>
std::vector<T> transposed(const std::vector<T>& a, std::int64_t rows, std::int64_t cols) {
  std::vector<T> t(a.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      t[static_cast<std::size_t>(c * rows + r)] = a[static_cast<std::size_t>(r * cols + c)];
    }
  }
  return t;
}

/// A row-major matrix is its transpose column by column: LAPACK's u is then our vᵀ, and its vᵀ our u.
template <class T>
Svd<T> full_svd(std::vector<T> x, std::int64_t m, std::int64_t n) {
  Svd<T> result;
  result.k = std::min(m, n);
  const auto k = static_cast<std::size_t>(result.k);
  result.u.resize(static_cast<std::size_t>(m) * k);
  result.s.resize(k);
  result.vt.resize(k * static_cast<std::size_t>(n));
  if (k != 0) lapack::svd(kOp, n, m, x.data(), result.s.data(), result.vt.data(), result.u.data());
  return result;
}

template <class T>
std::vector<T> product(const std::vector<T>& a, std::int64_t m, std::int64_t k, const std::vector<T>& b,
                       std::int64_t n) {
  const Tensor c = matmul(Tensor::from(a, {m, k}), Tensor::from(b, {k, n}));
  const auto span = c.span<T>();
  return {span.begin(), span.end()};
}

/// An orthonormal basis of the columns of a row-major (rows, cols).
template <class T>
std::vector<T> basis(const std::vector<T>& a, std::int64_t rows, std::int64_t cols) {
  std::vector<T> columns = transposed(a, rows, cols);
  lapack::orthonormalize(kOp, rows, cols, columns.data());
  return transposed(columns, cols, rows);
}

template <class T>
Svd<T> randomized_svd(const std::vector<T>& x, std::int64_t m, std::int64_t n, std::int64_t rank, std::uint64_t seed) {
  const std::int64_t width = std::min({rank + kOversample, m, n});
  if (width == 0) return full_svd(x, m, n);
  std::vector<T> sketch(static_cast<std::size_t>(n * width));
  for (std::size_t i = 0; i < sketch.size(); ++i) {
    const std::uint32_t drawn = backend::random_number(seed, 0, static_cast<std::int64_t>(i));
    sketch[i] = static_cast<T>(static_cast<double>(drawn) * 0x1p-31 - 1.0);  // even over [-1, 1)
  }
  const std::vector<T> xt = transposed(x, m, n);
  std::vector<T> q = basis(product(x, m, n, sketch, width), m, width);
  for (int i = 0; i < kPowerIterations; ++i) {
    const std::vector<T> z = basis(product(xt, n, m, q, width), n, width);
    q = basis(product(x, m, n, z, width), m, width);
  }
  Svd<T> small = full_svd(product(transposed(q, m, width), width, m, x, n), width, n);
  small.u = product(q, m, width, small.u, small.k);
  return small;
}

template <class T>
std::int64_t rank_for_energy(const std::vector<T>& s, double energy) {
  double total = 0;
  for (const T value : s) total += static_cast<double>(value) * static_cast<double>(value);
  double sum = 0;
  std::int64_t rank = 0;
  while (rank < static_cast<std::int64_t>(s.size()) && sum < energy * total) {
    const auto value = static_cast<double>(s[static_cast<std::size_t>(rank++)]);
    sum += value * value;
  }
  return rank;
}

/// ‖x − approximation‖ / ‖x‖, in float64.
double relative_error(const Tensor& x, const Tensor& approximation) {
  const Tensor exact = cast(x, DType::float64);
  const Tensor near = cast(approximation, DType::float64);
  double difference = 0;
  double total = 0;
  for (std::size_t i = 0; i < exact.span<double>().size(); ++i) {
    const double value = exact.span<double>()[i];
    const double d = value - near.span<double>()[i];
    difference += d * d;
    total += value * value;
  }
  return total == 0 ? 0 : std::sqrt(difference / total);
}

template <class T>
LowRank cut(const Svd<T>& svd, std::int64_t m, std::int64_t n, std::int64_t rank, DType dtype) {
  std::vector<T> u(static_cast<std::size_t>(m * rank));
  std::vector<T> v(svd.vt.begin(), svd.vt.begin() + rank * n);
  std::vector<double> s(svd.s.begin(), svd.s.begin() + rank);
  for (std::int64_t j = 0; j < rank; ++j) {
    // The sign is free: the largest entry of v's row is made positive.
    const auto row = v.begin() + j * n;
    const auto largest = std::max_element(row, row + n, [](T a, T b) { return std::abs(a) < std::abs(b); });
    const T sign = *largest < 0 ? T{-1} : T{1};
    std::transform(row, row + n, row, [&](T x) { return x * sign; });
    for (std::int64_t i = 0; i < m; ++i) {
      u[static_cast<std::size_t>(i * rank + j)] =
          svd.u[static_cast<std::size_t>(i * svd.k + j)] * svd.s[static_cast<std::size_t>(j)] * sign;
    }
  }
  return {cast(Tensor::from(u, {m, rank}), dtype), cast(Tensor::from(v, {rank, n}), dtype), Tensor::from(s, {rank}), 0};
}

/// x on the CPU, in the type that LAPACK computes in.
template <class T>
LowRank decompose(const Tensor& x, DType dtype, const LowRankOptions& options) {
  const auto span = x.span<T>();
  require(std::all_of(span.begin(), span.end(), [](T v) { return std::isfinite(v); }),
          [] { return std::string("lowrank: x holds a NaN or an infinity, expected finite numbers"); });
  const std::int64_t m = x.size(0);
  const std::int64_t n = x.size(1);
  const std::vector<T> values(span.begin(), span.end());
  const Svd<T> svd = options.method == SvdMethod::full ? full_svd(values, m, n)
                                                       : randomized_svd(values, m, n, *options.rank, options.seed);
  return cut(svd, m, n, options.rank ? *options.rank : rank_for_energy(svd.s, *options.energy), dtype);
}

void check_options(const Tensor& x, const LowRankOptions& options) {
  if (!is_floating(x.dtype())) backend::throw_unsupported_dtype(kOp, x.dtype());
  check_rank(kOp, "x", x, 2);
  require(options.rank.has_value() != options.energy.has_value(),
          [] { return std::string("lowrank: got both or neither of rank and energy, expected one"); });
  const std::int64_t most = std::min(x.size(0), x.size(1));
  require(!options.rank || (*options.rank >= 0 && *options.rank <= most), [&] {
    return "lowrank: rank is " + std::to_string(*options.rank) + ", expected 0 to " + std::to_string(most);
  });
  require(!options.energy || (*options.energy >= 0 && *options.energy <= 1),
          [&] { return "lowrank: energy is " + std::to_string(*options.energy) + ", expected 0 to 1"; });
  require(options.rank || options.method == SvdMethod::full,
          [] { return std::string("lowrank: the randomized method takes a rank, expected full with an energy"); });
  lapack::require_library(kOp);
}

/// Of a checked x on the CPU; `error` is left out.
LowRank decompose_any(const Tensor& x, const LowRankOptions& options) {
  if (x.dtype() == DType::float64) return decompose<double>(x, x.dtype(), options);
  return decompose<float>(cast(x, DType::float32), x.dtype(), options);
}

Tensor product_of(const LowRank& f) { return matmul(f.u, f.v); }

LowRank moved(LowRank f, const Device& device) {
  f.u = f.u.to(device);
  f.v = f.v.to(device);
  return f;
}

}  // namespace

std::int64_t LowRank::break_even_rank() const noexcept {
  const std::int64_t m = u.size(0);
  const std::int64_t n = v.size(1);
  if (m == 0 || n == 0) return 0;
  return (m * n - 1) / (m + n);
}

LowRank lowrank(const Tensor& x, const LowRankOptions& options) try {
  check_options(x, options);
  const Tensor host = x.device() == cpu_device ? x : x.cpu();
  LowRank f = decompose_any(host, options);
  f.error = relative_error(host, product_of(f));
  return moved(std::move(f), x.device());
} catch (...) {
  rethrow_named("lowrank", {&x});
}

LowRankSparse lowrank_sparse(const Tensor& x, const LowRankOptions& options, double amount, int iterations) try {
  check_options(x, options);
  require(iterations >= 1 && iterations <= 1000,
          [&] { return "lowrank_sparse: iterations is " + std::to_string(iterations) + ", expected 1 to 1000"; });
  const Tensor host = x.device() == cpu_device ? x : x.cpu();
  LowRank f = decompose_any(host, options);
  Tensor rest;
  for (int i = 0;; ++i) {
    rest = prune::magnitude(subtract(host, product_of(f)), amount);
    if (i + 1 == iterations) break;
    f = decompose_any(subtract(host, rest), options);
  }
  const Tensor low = product_of(f);
  f.error = relative_error(host, low);
  const double error = relative_error(host, add(low, rest));
  return {moved(std::move(f), x.device()), to_csr(rest).to(x.device()), error};
} catch (...) {
  rethrow_named("lowrank_sparse", {&x});
}

std::string lapack_library() { return lapack::library(); }

}  // namespace sparsert
