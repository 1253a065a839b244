// runtime/equivalence.cpp — inputs that provoke, and the comparison of bits.
#include "sparsert/equivalence.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>

#include "kernels/dispatch.hpp"

namespace sparsert::equivalence {
namespace {

constexpr int kDigits = 17;  // enough to tell any two doubles apart

double smallest_subnormal(DType dtype) {
  switch (dtype) {
    case DType::float16: return 0x1p-24;
    case DType::bfloat16: return 0x1p-133;
    case DType::float64: return std::numeric_limits<double>::denorm_min();
    default: return std::numeric_limits<float>::denorm_min();
  }
}

// Not the standard distributions: their sequences differ between libraries.
class Source {
 public:
  Source(Values kind, DType dtype, std::uint64_t seed)
      : kind_(kind), subnormal_(smallest_subnormal(dtype)), random_(seed) {}

  double next() {
    ++count_;
    switch (kind_) {
      case Values::normal: return symmetric() + symmetric() + symmetric();
      case Values::small_integers: return static_cast<double>(random_() % 9) - 4;
      case Values::positive: return uniform() + 0.5;
      case Values::cancelling: return (count_ % 2 == 0 ? 1 : -1) * (1e4 + uniform());
      case Values::wide: {
        const double mantissa = symmetric();
        return std::ldexp(mantissa, static_cast<int>(random_() % 41) - 20);
      }
      case Values::denormal: return std::trunc(symmetric() * 64) * subnormal_;
      case Values::special:
        switch (random_() % 16) {
          case 0: return std::numeric_limits<double>::quiet_NaN();
          case 1: return std::numeric_limits<double>::infinity();
          case 2: return -std::numeric_limits<double>::infinity();
          case 3: return 0.0;
          case 4: return -0.0;
          default: return symmetric();
        }
      case Values::zeros: return random_() % 2 == 0 ? 0.0 : -0.0;
    }
    return 0;
  }

 private:
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  double symmetric() { return uniform() * 2 - 1; }

  Values kind_;
  double subnormal_;
  std::mt19937_64 random_;
  std::uint64_t count_ = 0;
};

template <class T>
T from_double(double x) {
  if constexpr (std::is_same_v<T, float16>) return to_float16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, bfloat16>) return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_integral_v<T>)
    return std::isfinite(x) ? static_cast<T>(static_cast<std::int64_t>(x)) : T{};
  else return static_cast<T>(x);
}

template <class T>
bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  else if constexpr (std::is_integral_v<T>) return false;
  else return std::isnan(to_float(x));
}

template <class T>
std::string describe(T x) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof(T));
  double value = 0;
  if constexpr (std::is_arithmetic_v<T>) value = static_cast<double>(x);
  else value = static_cast<double>(to_float(x));
  char text[64];
  std::snprintf(text, sizeof text, "%.*g (0x%0*llx)", kDigits, value, static_cast<int>(2 * sizeof(T)),
                static_cast<unsigned long long>(bits));
  return text;
}

Tensor on_host(const Tensor& tensor) { return tensor.device().is_host() ? tensor : tensor.cpu(); }

std::string describe_type(const Tensor& tensor) {
  return std::string(sparsert::to_string(tensor.dtype())) + " " + sparsert::to_string(tensor.shape());
}

}  // namespace

const char* to_string(Values kind) noexcept {
  switch (kind) {
    case Values::normal: return "normal";
    case Values::small_integers: return "small_integers";
    case Values::positive: return "positive";
    case Values::cancelling: return "cancelling";
    case Values::wide: return "wide";
    case Values::denormal: return "denormal";
    case Values::special: return "special";
    case Values::zeros: return "zeros";
  }
  return "unknown";
}

Tensor make_values(Values kind, Shape shape, DType dtype, std::uint64_t seed) {
  Tensor tensor = Tensor::empty(std::move(shape), dtype);
  Source source(kind, dtype, seed);
  backend::dispatch_any("make_values", dtype, [&]<class T>() {
    auto* values = static_cast<T*>(tensor.mutable_data());
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      const double x = source.next();
      values[i] = dtype == DType::boolean ? from_double<T>(x > 0 ? 1 : 0) : from_double<T>(x);
    }
  });
  return tensor;
}

std::optional<Difference> first_difference(const Tensor& got, const Tensor& expected) {
  if (got.dtype() != expected.dtype() || got.shape() != expected.shape()) {
    return Difference{-1, describe_type(got), describe_type(expected)};
  }
  const Tensor a = on_host(got);
  const Tensor b = on_host(expected);
  std::optional<Difference> difference;
  backend::dispatch_any("first_difference", got.dtype(), [&]<class T>() {
    const auto* x = static_cast<const T*>(a.data());
    const auto* y = static_cast<const T*>(b.data());
    for (std::int64_t i = 0; i < a.numel() && !difference; ++i) {
      if (std::memcmp(&x[i], &y[i], sizeof(T)) == 0 || (is_nan(x[i]) && is_nan(y[i]))) continue;
      difference = Difference{i, describe(x[i]), describe(y[i])};
    }
  });
  return difference;
}

}  // namespace sparsert::equivalence
