// tests/simt/bias_test.cpp — what follows a vendor library's product: bias along rows or columns, and ReLU.
#include "kernels/cuda/bias.cuh"

#include <cmath>

#include "tests/simt/support.hpp"

namespace sparsert::test {
namespace {

using namespace backend::simt;   // NOLINT(google-build-using-namespace): the kernel
using namespace backend::simt_;  // NOLINT(google-build-using-namespace): CUDA's spellings

template <class T>
void expect_bias(std::int64_t rows, std::int64_t cols, BiasOf of, bool has_bias, bool relu) {
  const auto values = make_values<T>(Values::special, rows * cols, 1);
  const auto biases = make_values<T>(Values::normal, of == BiasOf::rows ? rows : cols, 2);
  DeviceArray<T> c(values.size());
  DeviceArray<T> bias(biases.size());
  std::copy(values.begin(), values.end(), c.data());
  std::copy(biases.begin(), biases.end(), bias.data());
  add_bias<T>(rows, cols, of, has_bias ? bias.data() : nullptr, relu, c.data(), simt_stream());
  std::vector<T> expected;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      T y = values[static_cast<std::size_t>(i * cols + j)];
      if (has_bias) y = y + biases[static_cast<std::size_t>(of == BiasOf::rows ? i : j)];
      y = y + T{0};
      expected.push_back(relu && y <= 0 ? T{0} : y);
    }
  }
  EXPECT_TRUE(same_bits(c.values(), expected)) << rows << "x" << cols;
}

TEST(Bias, FollowsAProduct) {
  in_both_orders([] {
    for (const BiasOf of : {BiasOf::rows, BiasOf::columns}) {
      for (const bool has_bias : {false, true}) {
        for (const bool relu : {false, true}) {
          expect_bias<float>(33, 65, of, has_bias, relu);
          expect_bias<double>(3, 1, of, has_bias, relu);
          expect_bias<float>(1, 257, of, has_bias, relu);
          expect_bias<float>(300, 40, of, has_bias, relu);  // more than one round of the grid
        }
      }
    }
  });
}

}  // namespace
}  // namespace sparsert::test
