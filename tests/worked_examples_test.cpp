// tests/worked_examples_test.cpp — the small examples that texts on sparsity print, with the arithmetic done right.
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

TEST(WorkedExamples, WeightMatrixHasFiveZerosOfNine) {
  const std::vector<float> w{0.5f, 0, 0.2f, 0, 0, 0, -0.3f, 0, 0.8f};
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(w, {3, 3}, device);
    EXPECT_EQ(count_nonzero(x), 4) << to_string(device);
    EXPECT_EQ(sparsity(x), 5.0 / 9.0);
    const Csr csr = to_csr(x);
    EXPECT_TRUE(same_bits(csr.row_offsets(), std::vector<std::int32_t>{0, 2, 2, 4}));
    EXPECT_TRUE(same_bits(csr.columns(), std::vector<std::int32_t>{0, 2, 0, 2}));
    EXPECT_TRUE(same_bits(csr.values(), std::vector<float>{0.5f, 0.2f, -0.3f, 0.8f}));
  }
}

TEST(WorkedExamples, ReluLeavesFiveZerosOfNine) {
  const std::vector<float> x{2, -1, 0.5f, -3, 0, 4, 1, -2, -0.7f};
  for (const Device& device : devices_under_test()) {
    const Tensor y = relu(Tensor::from(x, {3, 3}, device));
    EXPECT_TRUE(same_bits(y, std::vector<float>{2, 0, 0.5f, 0, 0, 4, 1, 0, 0})) << to_string(device);
    EXPECT_EQ(9 - count_nonzero(y), 5);
  }
}

TEST(WorkedExamples, WordCountsHaveThreeEntriesOfSeven) {
  const std::vector<float> counts{1, 0, 0, 5, 0, 0, 2};
  for (const Device& device : devices_under_test()) {
    const Csr csr = to_csr(Tensor::from(counts, {1, 7}, device));
    EXPECT_EQ(csr.nnz(), 3) << to_string(device);
    EXPECT_TRUE(same_bits(csr.columns(), std::vector<std::int32_t>{0, 3, 6}));
    EXPECT_EQ(csr.density(), 3.0 / 7.0);
  }
}

TEST(WorkedExamples, GradientHasThreeEntriesOfNine) {
  const std::vector<float> gradient{0.01f, 0, -0.02f, 0, 0, 0, 0, 0.03f, 0};
  for (const Device& device : devices_under_test()) {
    const Coo coo = to_coo(Tensor::from(gradient, {3, 3}, device));
    EXPECT_TRUE(same_bits(coo.rows(), std::vector<std::int32_t>{0, 0, 2})) << to_string(device);
    EXPECT_TRUE(same_bits(coo.columns(), std::vector<std::int32_t>{0, 2, 1}));
    EXPECT_TRUE(same_bits(coo.values(), std::vector<float>{0.01f, -0.02f, 0.03f}));
  }
}

TEST(WorkedExamples, AttentionMatrixHasEightEntriesOfSixteen) {
  const std::vector<float> attention{0.1f, 0.3f, 0.05f, 0.02f, 0, 0.6f, 0, 0, 0, 0.2f, 0, 0, 0.05f, 0, 0, 0.4f};
  for (const Device& device : devices_under_test()) {
    const Csr csr = to_csr(Tensor::from(attention, {4, 4}, device));
    EXPECT_EQ(csr.nnz(), 8) << to_string(device);
    EXPECT_EQ(csr.density(), 0.5);
    EXPECT_TRUE(same_bits(csr.row_offsets(), std::vector<std::int32_t>{0, 4, 5, 6, 8}));
    EXPECT_TRUE(same_bits(csr.to_dense(), attention));
  }
}

}  // namespace
}  // namespace sparsert::test
