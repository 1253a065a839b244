// tests/ops/attention_long_test.cpp — attention of long sequences: every family of masks and size of block, to the bit.
#include "tests/ops/attention_runs.hpp"

namespace sparsert::test {
namespace {

class LongAttention : public testing::TestWithParam<std::int64_t> {};

TEST_P(LongAttention, EveryFamilyAndBlockSize) {
  const std::int64_t n = GetParam();
  for (const Family& family : families()) {
    Attention<float> x = attention_of<float>(family, n, 4, Values::normal);
    x.heads = 1;
    x.value_depth = 4;
    x.fill(Values::normal);
    const auto expected = CanonicalAttention<float>(x).run();
    for (const std::int64_t block_size : kBlockSizes) {
      const Mask mask = family.make(n, {.block_size = block_size});
      for (const Device& device : fast_devices()) {
        expect_same_bits(run(x, mask, device), expected,
                         describe(family.name, n, 4) + " in " + std::to_string(block_size) + " " + to_string(device));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, LongAttention, testing::Values(1023, 1025, 4097), testing::PrintToStringParamName());

}  // namespace
}  // namespace sparsert::test
