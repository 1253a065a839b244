// tests/simt/traffic_test.cpp — bytes that the selection and conversion kernels move, against those they must.
#include "device/simt/simt.hpp"
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

const Device kSimt{Device::Type::simt, 0};
constexpr double kAllowed = 1.05;

std::int64_t bytes_moved(const char* kernel) {
  const simt::Counters counters = simt::counters(kernel);
  EXPECT_GT(counters.launches, 0) << kernel;
  return counters.global_bytes_read + counters.global_bytes_written;
}

TEST(Traffic, PruningReadsOnceAndWritesOnce) {
  const std::int64_t n = 1 << 16;
  const Tensor x = Tensor::from(make_values(Values::normal, n, 1), {n}, kSimt);
  simt::reset_counters();
  prune::magnitude(x, 0.9);
  const auto bytes = static_cast<double>(x.nbytes());
  EXPECT_LE(bytes_moved("prune_kernel"), kAllowed * 2 * bytes);
  // Once for the first digit and once to collect the few entries that have it; the rest of the digits are of those.
  EXPECT_LE(bytes_moved("histogram_kernel<4, float>"), kAllowed * (bytes + 2048 * 8 * 16));
  EXPECT_EQ(simt::counters("collect_keys_kernel").launches, 1);
  EXPECT_LE(simt::counters("collect_keys_kernel").global_bytes_read, kAllowed * bytes);
}

TEST(Traffic, ConversionsTouchEachElementOnce) {
  const Tensor x = prune::magnitude(Tensor::from(make_values(Values::normal, 16 * 4096, 2), {16, 4096}, kSimt), 0.9);
  simt::reset_counters();
  EXPECT_EQ(count_nonzero(x), 6554);
  const Csr csr = to_csr(x);
  csr.to_dense();
  csr.to_coo();
  const auto dense = static_cast<double>(x.nbytes());
  const auto entries = static_cast<double>(csr.nnz());
  EXPECT_LE(bytes_moved("count_nonzero_kernel"), kAllowed * dense);
  EXPECT_LE(bytes_moved("row_counts_kernel"), kAllowed * dense);
  EXPECT_LE(bytes_moved("dense_to_csr_kernel"), kAllowed * (dense + entries * 8));
  // A row's bounds are read by each lane of its warp, in one sector.
  const double bounds = 16 * 32 * 8;
  EXPECT_LE(bytes_moved("csr_to_dense_kernel"), kAllowed * entries * 12 + bounds);
  EXPECT_LE(bytes_moved("csr_to_coo_kernel"), kAllowed * entries * 4 + bounds);
}

TEST(Traffic, TopkOfALongRowReadsItTwice) {
  const std::int64_t n = 1 << 16;
  const Tensor x = Tensor::from(make_values(Values::wide, n, 3), {n}, kSimt);
  simt::reset_counters();
  topk(x, 600);
  const auto bytes = static_cast<double>(x.nbytes());
  EXPECT_EQ(simt::counters("histogram_kernel").launches, 1);
  EXPECT_LE(simt::counters("histogram_kernel").global_bytes_read, kAllowed * bytes);
  EXPECT_LE(simt::counters("collect_kernel").global_bytes_read, kAllowed * bytes);
  EXPECT_EQ(simt::counters("topk_row_kernel").launches, 0);
}

}  // namespace
}  // namespace sparsert::test
