// tests/ops/elementwise_test.cpp — ReLU, arithmetic, casts and comparison on every device, to the bit.
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

std::vector<float> relu_oracle(const std::vector<float>& x) {
  std::vector<float> out;
  for (const float v : x) out.push_back(std::isnan(v) ? v : v > 0 ? v : 0.0f);
  return out;
}

const std::vector<std::int64_t> kSizes{0, 1, 7, 31, 32, 33, 63, 64, 65, 255, 256, 257, 32'003};

TEST(Relu, SameBitsOnEveryDevice) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : kSizes) {
      for (const Values kind : kAllValues) {
        const auto x = make_values(kind, n, 7);
        EXPECT_TRUE(same_bits(relu(Tensor::from(x, {n}, device)), relu_oracle(x)))
            << to_string(device) << " n=" << n << " " << to_string(kind);
      }
    }
  }
}

TEST(Relu, NegativeZeroGivesPositiveZero) {
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(same_bits(relu(Tensor::from(std::vector<float>{-0.0f}, {1}, device)), std::vector<float>{0.0f}));
  }
}

TEST(Arithmetic, SquaresOfOneToNinetyNineAgreeWithTheCpu) {
  std::vector<std::int32_t> values(100 * 100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i % 99) + 1;
  const Tensor x = Tensor::from(values, {100, 100});
  const Tensor expected = power(x, 2);
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(equal(power(x.to(device), 2).cpu(), expected)) << to_string(device);
  }
}

}  // namespace
}  // namespace sparsert::test
