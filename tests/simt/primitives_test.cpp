// tests/simt/primitives_test.cpp — reductions and scans of a warp and of a block; Thrust through the stream's policy.
#include "kernels/cuda/primitives.cuh"

#include <thrust/scan.h>
#include <thrust/sort.h>

#include <algorithm>
#include <numeric>

#include "device/thrust.cuh"
#include "tests/simt/support.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

template <class T>
__global__ void warp_kernel(Global<const T> x, Global<T> out) {
  const T value = x[threadIdx.x];
  out[threadIdx.x * 4] = warp_reduce(value, Sum{});
  out[threadIdx.x * 4 + 1] = warp_reduce(value, Largest{});
  out[threadIdx.x * 4 + 2] = warp_reduce(value, Smallest{});
  out[threadIdx.x * 4 + 3] = warp_inclusive_sum(value);
}

template <class T, int kThreads>
__global__ void block_kernel(Global<const T> x, Global<T> out) {
  auto& scratch = shared<BlockScratch<T, kThreads>>();
  const T value = x[threadIdx.x];
  const T largest = block_reduce<kThreads>(value, Largest{}, scratch);
  const T sum = block_reduce<kThreads>(value, Sum{}, scratch);
  const BlockSum<T> scanned = block_exclusive_sum<kThreads>(value, scratch);
  out[threadIdx.x * 4] = largest;
  out[threadIdx.x * 4 + 1] = sum;
  out[threadIdx.x * 4 + 2] = scanned.before;
  out[threadIdx.x * 4 + 3] = scanned.total;
}

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND

namespace sparsert::test {
namespace {

using namespace backend::simt;   // NOLINT(google-build-using-namespace): the kernels above
using namespace backend::simt_;  // NOLINT(google-build-using-namespace): CUDA's spellings

template <class T>
DeviceArray<T> numbers(std::size_t n) {
  DeviceArray<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>((i * 37) % 101) - 50;
  return x;
}

template <class T>
void test_warp() {
  DeviceArray<T> x = numbers<T>(32);
  DeviceArray<T> out(32 * 4);
  launch(simt_stream(), {.grid = 1, .block = 32}, &warp_kernel<T>, x.data(), out.data());
  const std::vector<T> values = x.values();
  T running = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    running += values[i];
    ASSERT_EQ(out[i * 4], std::accumulate(values.begin(), values.end(), T{0}));
    ASSERT_EQ(out[i * 4 + 1], *std::max_element(values.begin(), values.end()));
    ASSERT_EQ(out[i * 4 + 2], *std::min_element(values.begin(), values.end()));
    ASSERT_EQ(out[i * 4 + 3], running);
  }
}

template <class T, int kThreads>
void test_block() {
  DeviceArray<T> x = numbers<T>(kThreads);
  DeviceArray<T> out(kThreads * 4);
  launch(simt_stream(), {.grid = 1, .block = kThreads}, &block_kernel<T, kThreads>, x.data(), out.data());
  const std::vector<T> values = x.values();
  T running = 0;
  for (std::size_t i = 0; i < kThreads; ++i) {
    ASSERT_EQ(out[i * 4], *std::max_element(values.begin(), values.end()));
    ASSERT_EQ(out[i * 4 + 1], std::accumulate(values.begin(), values.end(), T{0}));
    ASSERT_EQ(out[i * 4 + 2], running);
    ASSERT_EQ(out[i * 4 + 3], out[i * 4 + 1]);
    running += values[i];
  }
}

TEST(SimtPrimitives, Warp) {
  in_both_orders([] {
    test_warp<int>();
    test_warp<std::int64_t>();
    test_warp<float>();
    test_warp<double>();
  });
}

TEST(SimtPrimitives, Block) {
  in_both_orders([] {
    test_block<int, 32>();
    test_block<int, 256>();
    test_block<std::int64_t, 1024>();
    test_block<float, 64>();
  });
}

TEST(SimtPrimitives, Thrust) {
  const auto policy = thrust_policy(simt_stream());
  DeviceArray<int> keys(1000);
  DeviceArray<int> order(1000);
  for (int i = 0; i < 1000; ++i) {
    keys[static_cast<std::size_t>(i)] = i * 7919 % 10;
    order[static_cast<std::size_t>(i)] = i;
  }
  thrust::stable_sort_by_key(policy, keys.data(), keys.data() + 1000, order.data());
  for (std::size_t i = 1; i < 1000; ++i) {
    ASSERT_LE(keys[i - 1], keys[i]);
    if (keys[i - 1] == keys[i]) {
      ASSERT_LT(order[i - 1], order[i]);
    }
  }
  thrust::exclusive_scan(policy, keys.data(), keys.data() + 1000, order.data());
  EXPECT_EQ(order[999], std::accumulate(keys.data(), keys.data() + 999, 0));
}

}  // namespace
}  // namespace sparsert::test
