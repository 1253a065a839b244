// tests/ops/cast_test.cpp — casts between all dtypes on every device, to the bit: every 16-bit pattern, every boundary.
#include "tests/ops/elementwise_support.hpp"

namespace sparsert::test {
namespace {

template <class T>
std::vector<T> every_pattern() {
  std::vector<T> all;
  for (int bits = 0; bits < 65'536; ++bits) all.push_back(T{static_cast<std::uint16_t>(bits)});
  return all;
}

/// Devices for tests of 65,536 elements: all of them, simt too.
template <class F>
void on_every_device_and_target(F f) {
  EveryTarget targets;
  for (const Device& device : devices_under_test()) {
    SCOPED_TRACE(to_string(device));
    if (device == cpu_device) targets.run([&] { f(device); });
    else f(device);
  }
}

template <class Half>
void check_every_pattern_widens() {
  const auto all = every_pattern<Half>();
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<std::uint8_t> booleans;
  for (const Half x : all) {
    floats.push_back(static_cast<float>(value_of(x)));
    doubles.push_back(value_of(x));
    booleans.push_back(value_of(x) != 0);
  }
  on_every_device_and_target([&](const Device& device) {
    const Tensor x = Tensor::from(all, {65'536}, device);
    EXPECT_TRUE(same(cast(x, DType::float32), floats));
    EXPECT_TRUE(same(cast(x, DType::float64), doubles));
    EXPECT_TRUE(same(cast(cast(x, DType::float32), dtype_of<Half>), all));
    EXPECT_TRUE(same(cast(cast(x, DType::float64), dtype_of<Half>), all));
    EXPECT_EQ(to_vector<std::uint8_t>(cast(cast(x, DType::boolean), DType::uint8)), booleans);
  });
}

TEST(Cast, EveryFloat16Widens) { check_every_pattern_widens<float16>(); }
TEST(Cast, EveryBfloat16Widens) { check_every_pattern_widens<bfloat16>(); }

/// Every representable value, every midpoint between two, and their neighbors in float and double.
template <class Half>
void check_every_boundary_rounds() {
  std::vector<float> floats;
  std::vector<double> doubles;
  constexpr std::uint16_t kInfinity = std::is_same_v<Half, float16> ? 0x7c00 : 0x7f80;
  for (std::uint16_t bits = 0; bits <= kInfinity; ++bits) {
    const double low = value_of(Half{bits});
    const double high = bits == kInfinity ? low : value_of(Half{static_cast<std::uint16_t>(bits + 1)});
    const double middle =
        bits + 1 >= kInfinity ? low * (1 + std::ldexp(1, std::is_same_v<Half, float16> ? -12 : -9)) : (low + high) / 2;
    for (const double sign : {1.0, -1.0}) {
      for (const double x : {low * sign, middle * sign}) {
        const auto f = static_cast<float>(x);
        for (const float v : {f, std::nextafter(f, -INFINITY), std::nextafter(f, INFINITY)}) floats.push_back(v);
        for (const double v : {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)}) doubles.push_back(v);
      }
    }
  }
  for (const double x :
       {65504.0, 65519.0, 65520.0, 65521.0, 1e300, 1e-300, 4.9e-324, 0x1p-25, 0x1.000001p-25, 0x1p-134}) {
    floats.push_back(static_cast<float>(x));
    doubles.push_back(-x);
  }
  std::vector<Half> from_floats;
  std::vector<Half> from_doubles;
  for (const float x : floats) from_floats.push_back(nearest16<Half>(x));
  for (const double x : doubles) from_doubles.push_back(nearest16<Half>(x));
  on_every_device_and_target([&](const Device& device) {
    const auto length = [](const auto& v) { return Shape{static_cast<std::int64_t>(v.size())}; };
    EXPECT_TRUE(same(cast(Tensor::from(floats, length(floats), device), dtype_of<Half>), from_floats));
    EXPECT_TRUE(same(cast(Tensor::from(doubles, length(doubles), device), dtype_of<Half>), from_doubles));
  });
}

TEST(Cast, EveryBoundaryOfFloat16) { check_every_boundary_rounds<float16>(); }
TEST(Cast, EveryBoundaryOfBfloat16) { check_every_boundary_rounds<bfloat16>(); }

TEST(Cast, IntegersTo16BitFloatsRoundOnce) {
  std::vector<std::int64_t> values{0, 1, -1, 2047, 2048, 2049, 2050, 2051, 65519, 65520, 65535, 65536};
  for (int shift = 8; shift < 63; ++shift) {
    for (const std::int64_t offset : {-129, -128, -1, 0, 1, 127, 128, 129}) {
      values.push_back((std::int64_t{1} << shift) + offset);
      values.push_back(-(std::int64_t{1} << shift) + offset);
      values.push_back((std::int64_t{0x101} << (shift - 8)) + offset);  // halfway between two bfloat16, and beside
    }
  }
  std::vector<bfloat16> brain;
  std::vector<float16> half;
  for (const std::int64_t v : values) {  // long double holds every int64
    brain.push_back(nearest16<bfloat16>(static_cast<long double>(v)));
    half.push_back(nearest16<float16>(static_cast<long double>(v)));
  }
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device);
    EXPECT_TRUE(same(cast(x, DType::bfloat16), brain)) << to_string(device);
    EXPECT_TRUE(same(cast(x, DType::float16), half)) << to_string(device);
  }
}

/// Toward zero, saturating, NaN -> 0: by the definition, in long double.
template <class To, class From>
To saturated(From x) {
  const auto v = static_cast<long double>(value_of(x));
  if (std::isnan(v)) return 0;
  if (v >= static_cast<long double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  if (v <= static_cast<long double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return static_cast<To>(v);
}

template <class To, class From>
void check_saturates(const std::vector<From>& x) {
  std::vector<To> expected;
  for (const From v : x) expected.push_back(saturated<To>(v));
  on_every_device_and_target([&](const Device& device) {
    const Tensor tensor = Tensor::from(x, {static_cast<std::int64_t>(x.size())}, device);
    EXPECT_TRUE(same(cast(tensor, dtype_of<To>), expected)) << to_string(dtype_of<From>);
  });
}

template <class From>
void check_saturates_from() {
  std::vector<From> x;
  for (const double limit : {0.0, 1.0, 255.0, 256.0, 2147483647.0, 2147483648.0, 9223372036854775807.0, 1e38, 1e300}) {
    const auto v = static_cast<From>(limit);
    for (const From near : {v, std::nextafter(v, From(-INFINITY)), std::nextafter(v, From(INFINITY)), v + From(0.5)}) {
      x.push_back(near);
      x.push_back(-near);
    }
  }
  x.push_back(std::numeric_limits<From>::quiet_NaN());
  x.push_back(std::numeric_limits<From>::denorm_min());
  for (const Values kind : kAllValues) {
    const auto more = make_values<From>(kind, 100, 12);
    x.insert(x.end(), more.begin(), more.end());
  }
  check_saturates<std::uint8_t>(x);
  check_saturates<std::int32_t>(x);
  check_saturates<std::int64_t>(x);
}

TEST(Cast, FloatsSaturate) { check_saturates_from<float>(); }
TEST(Cast, DoublesSaturate) { check_saturates_from<double>(); }

TEST(Cast, Every16BitFloatSaturates) {
  check_saturates<std::uint8_t>(every_pattern<float16>());
  check_saturates<std::int32_t>(every_pattern<float16>());
  check_saturates<std::uint8_t>(every_pattern<bfloat16>());
  check_saturates<std::int32_t>(every_pattern<bfloat16>());
  check_saturates<std::int64_t>(every_pattern<bfloat16>());
}

TEST(Cast, IntegersWrapAndWiden) {
  const std::vector<std::int64_t> x{0,          1,          -1,          255,       256,      -256,
                                    2147483647, 2147483648, -2147483649, INT64_MAX, INT64_MIN};
  std::vector<std::int32_t> narrow;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  std::vector<double> doubles;
  for (const std::int64_t v : x) {
    narrow.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint64_t>(v))));
    bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(v)));
    floats.push_back(static_cast<float>(v));
    doubles.push_back(static_cast<double>(v));
  }
  for (const Device& device : devices_under_test()) {
    const Tensor tensor = Tensor::from(x, {11}, device);
    EXPECT_TRUE(same(cast(tensor, DType::int32), narrow)) << to_string(device);
    EXPECT_TRUE(same(cast(tensor, DType::uint8), bytes)) << to_string(device);
    EXPECT_TRUE(same(cast(tensor, DType::float32), floats)) << to_string(device);
    EXPECT_TRUE(same(cast(tensor, DType::float64), doubles)) << to_string(device);
    EXPECT_TRUE(same(cast(cast(tensor, DType::boolean), DType::int64),
                     std::vector<std::int64_t>{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  }
}

}  // namespace
}  // namespace sparsert::test
