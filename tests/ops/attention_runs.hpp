// tests/ops/attention_runs.hpp — attention of a family of masks on a device, and what its result is held to.
#pragma once

#include <cmath>

#include "tests/ops/attention_oracle.hpp"

namespace sparsert::test {

using attention::attend;
using attention::attend_backward;
using attention::AttendGradients;

inline constexpr std::int64_t kBlockSizes[] = {16, 32, 64, 128};

/// The attention of a family of masks.
template <class T>
Attention<T> attention_of(const Family& family, Lengths n, std::int64_t depth, Values kind) {
  Attention<T> x;
  x.n = n;
  x.depth = depth;
  x.value_depth = depth + 3;
  x.scale = 1.0 / std::sqrt(static_cast<double>(depth));
  x.sees = [&family, n](std::int64_t, std::int64_t i, std::int64_t j) { return family.sees(n, 0, i, j); };
  x.fill(kind);
  return x;
}

/// Runs both directions on a device; the result starts as NaN.
template <class T>
AttentionResult<Wide<T>> run(const Attention<T>& x, const Mask& mask, const Device& device,
                             Order order = Order::canonical) {
  const Tensor q = x.q_on(device);
  const Tensor k = x.k_on(device);
  const Tensor v = x.v_on(device);
  const Tensor bias = x.bias.empty() ? Tensor() : x.bias_on(device);
  const std::vector<T> nans(x.grad.size(), stored<T>(std::numeric_limits<double>::quiet_NaN()));
  Tensor out = x.tensor(nans, x.heads, x.n.query, x.value_depth, device);
  Tensor log_sum_exp;
  attend(q, k, v, mask,
         {.scale = x.scale,
          .bias = x.bias.empty() ? nullptr : &bias,
          .out = &out,
          .log_sum_exp = &log_sum_exp,
          .order = order});
  const AttendGradients gradients = attend_backward(
      x.grad_on(device), q, k, v, mask, {.scale = x.scale, .bias = x.bias.empty() ? nullptr : &bias, .order = order});
  return {widened(to_vector<T>(out)), to_vector<Wide<T>>(log_sum_exp), widened(to_vector<T>(gradients.q)),
          widened(to_vector<T>(gradients.k)), widened(to_vector<T>(gradients.v))};
}

template <class A>
void expect_same_bits(const AttentionResult<A>& got, const AttentionResult<A>& expected, const std::string& what) {
  EXPECT_TRUE(same_bits(got.out, expected.out)) << what << ": out";
  EXPECT_TRUE(same_bits(got.log_sum_exp, expected.log_sum_exp)) << what << ": log_sum_exp";
  EXPECT_TRUE(same_bits(got.q, expected.q)) << what << ": gradient of q";
  EXPECT_TRUE(same_bits(got.k, expected.k)) << what << ": gradient of k";
  EXPECT_TRUE(same_bits(got.v, expected.v)) << what << ": gradient of v";
}

template <class T>
void expect_canonical(const Attention<T>& x, const Mask& mask, const std::string& what,
                      const std::vector<Device>& devices = devices_under_test()) {
  const auto expected = CanonicalAttention<T>(x).run();
  for (const Device& device : devices) expect_same_bits(run(x, mask, device), expected, what + " " + to_string(device));
}

inline std::string describe(const std::string& family, Lengths n, std::int64_t depth) {
  return family + " " + std::to_string(n.query) + "x" + std::to_string(n.key) + " depth " + std::to_string(depth);
}

/// Without simt, which is too slow for the larger lengths.
inline std::vector<Device> fast_devices() {
  std::vector<Device> devices = devices_under_test();
  std::erase_if(devices, [](const Device& d) { return d.type == Device::Type::simt; });
  return devices;
}

/// `n` values, all of them NaN or Inf.
inline std::vector<float> poison(std::size_t n) {
  std::vector<float> x(n);
  const float inf = std::numeric_limits<float>::infinity();
  for (std::size_t e = 0; e < n; ++e) x[e] = e % 3 == 0 ? std::nanf("") : e % 3 == 1 ? inf : -inf;
  return x;
}

/// The type of the truth: float64, and what is more exact than that for float64.
template <class T>
using Exact = std::conditional_t<std::is_same_v<T, double>, long double, double>;

template <class A>
AttentionResult<double> widened_to_double(const AttentionResult<A>& r) {
  const auto all = [](const std::vector<A>& x) { return std::vector<double>(x.begin(), x.end()); };
  return {all(r.out), all(r.log_sum_exp), all(r.q), all(r.k), all(r.v)};
}

/// |got - float64| within twice (gradients three times) the error of the formula as written in the same type, plus
/// sqrt(n) · u · the largest value: in the type it is stored in.
template <class T>
void expect_within_bound(const Attention<T>& x, const AttentionResult<Wide<T>>& got,
                         const AttentionResult<Wide<T>>& naive, const AttentionResult<double>& exact,
                         const std::string& what) {
  using A = Wide<T>;
  const double u = std::is_same_v<T, float16>    ? 0x1p-11
                   : std::is_same_v<T, bfloat16> ? 0x1p-8
                                                 : static_cast<double>(std::numeric_limits<A>::epsilon()) / 2;
  const double root = std::sqrt(static_cast<double>(std::max(x.n.query, x.n.key)));
  const auto check = [&](const std::vector<A>& a, const std::vector<A>& of_naive, const std::vector<double>& truth,
                         double times, const char* part) {
    double largest = 0;
    double worst_naive = 0;
    for (std::size_t e = 0; e < truth.size(); ++e) {
      largest = std::max(largest, std::abs(truth[e]));
      worst_naive = std::max(worst_naive, std::abs(static_cast<double>(of_naive[e]) - truth[e]));
    }
    for (std::size_t e = 0; e < truth.size(); ++e) {
      const double error = std::abs(static_cast<double>(a[e]) - truth[e]);
      const double tolerance = times * worst_naive + root * u * largest;
      if (!(error <= tolerance)) {
        ADD_FAILURE() << what << " " << part << " " << e << ": error " << error << " over " << tolerance;
        return;
      }
    }
  };
  check(got.out, naive.out, exact.out, 2, "out");
  check(got.log_sum_exp, naive.log_sum_exp, exact.log_sum_exp, 2, "log_sum_exp");
  check(got.q, naive.q, exact.q, 3, "gradient of q");
  check(got.k, naive.k, exact.k, 3, "gradient of k");
  check(got.v, naive.v, exact.v, 3, "gradient of v");
}

}  // namespace sparsert::test
