// tests/simt/counters_test.cpp — what a launch counts, on access patterns whose figures are known.
#include "tests/simt/support.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

__global__ void copy_with_stride(int stride, Global<const float> x, Global<float> out) {
  out[threadIdx.x] = x[static_cast<int>(threadIdx.x) * stride];
}

__global__ void copy_vectors(Global<const float> x, Global<float> out) {
  store_vec<4>(out, threadIdx.x * 4, load_vec<4>(x, threadIdx.x * 4));
}

/// Each warp row of a tile is written along the row and read along the column.
template <int kPitch>
__global__ void column_of_tile(Global<float> out) {
  struct Tile {
    SharedArray<float, 32 * kPitch> values;
  };
  auto& s = shared<Tile>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int r = 0; r < 32; ++r) s.values[r * kPitch + lane] = 1.0f;
  __syncwarp();
  float sum = 0;
  for (int c = 0; c < 32; ++c) sum += s.values[lane * kPitch + c];
  out[lane] = sum;
}

__global__ void broadcast(Global<float> out) {
  struct One {
    SharedArray<float, 1> value;
  };
  auto& s = shared<One>();
  if (threadIdx.x == 0) s.value[0] = 2.0f;
  __syncwarp();
  out[threadIdx.x] = s.value[0];
}

__global__ void half_the_lanes(Global<float> out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = 1.0f;
}

/// Every lane makes another number of rounds, as rows of a sparse matrix do.
__global__ void triangle(Global<float> out) {
  for (unsigned i = 0; i <= threadIdx.x; ++i) out[i * 32 + threadIdx.x] = 1.0f;
}

__global__ void barriers(int n) {
  for (int i = 0; i < n; ++i) __syncthreads();
}

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND

namespace sparsert::test {
namespace {

using namespace backend::simt;  // NOLINT(google-build-using-namespace): the kernels above
using backend::launch;

/// Counts from here on, requests too.
class SimtCounters : public ::testing::Test {
 protected:
  SimtCounters() {
    simt::reset_counters();
    simt::set_profiling(true);
  }
  ~SimtCounters() override { simt::set_profiling(false); }
};

TEST_F(SimtCounters, LaunchesByKernel) {
  DeviceArray<float> x(64);
  DeviceArray<float> out(64);
  for (int i = 0; i < 3; ++i)
    launch(simt_stream(), {.grid = 1, .block = 32}, &copy_with_stride, 1, x.data(), out.data());
  launch(simt_stream(), {.grid = 5, .block = 64}, &barriers, 7);
  launch(simt_stream(), {.grid = 0, .block = 64}, &barriers, 7);
  EXPECT_EQ(simt::counters("copy_with_stride").launches, 3);
  EXPECT_EQ(simt::counters("barriers").launches, 1);
  EXPECT_EQ(simt::counters("barriers").blocks, 5);
  EXPECT_EQ(simt::counters("barriers").threads, 320);
  EXPECT_EQ(simt::counters("barriers").barriers, 35);
  EXPECT_EQ(simt::total_launches(), 4);
  simt::reset_counters();
  EXPECT_EQ(simt::total_launches(), 0);
}

TEST_F(SimtCounters, InstancesOfATemplate) {
  DeviceArray<float> out(32);
  launch(simt_stream(), {.grid = 1, .block = 32}, &column_of_tile<32>, out.data());
  launch(simt_stream(), {.grid = 1, .block = 32}, &column_of_tile<33>, out.data());
  EXPECT_EQ(simt::counters("column_of_tile").launches, 2);
  EXPECT_EQ(simt::counters("column_of_tile<33>").launches, 1);
  EXPECT_EQ(simt::counters("column_of").launches, 0);
}

TEST_F(SimtCounters, SectorsOfGlobalRequests) {
  DeviceArray<float> x(32 * 32);
  DeviceArray<float> out(128);
  struct Case {
    int stride;
    int sectors;  // of the load; the store always takes 4
  };
  for (const auto& [stride, sectors] : {Case{1, 4}, Case{2, 8}, Case{8, 32}, Case{32, 32}, Case{0, 1}}) {
    simt::reset_counters();
    in_both_orders(
        [&] { launch(simt_stream(), {.grid = 1, .block = 32}, &copy_with_stride, stride, x.data(), out.data()); });
    const simt::Counters c = simt::counters("copy_with_stride");
    EXPECT_EQ(c.global_requests, 4) << stride;
    EXPECT_EQ(c.global_sectors, 2 * (sectors + 4)) << stride;
    EXPECT_EQ(c.ideal_sectors, 2 * ((stride == 0 ? 1 : 4) + 4)) << stride;
    EXPECT_EQ(c.global_bytes_read, 2 * 128) << stride;
    EXPECT_EQ(c.global_bytes_written, 2 * 128) << stride;
    EXPECT_EQ(c.active_lanes, c.warp_lanes);
  }
  launch(simt_stream(), {.grid = 1, .block = 32}, &copy_vectors, x.data(), out.data());
  EXPECT_EQ(simt::counters("copy_vectors").global_requests, 2);
  EXPECT_EQ(simt::counters("copy_vectors").global_sectors, 32);
  EXPECT_EQ(simt::counters("copy_vectors").ideal_sectors, 32);
}

TEST_F(SimtCounters, MisalignedRowsTakeASectorMore) {
  DeviceArray<float> x(64);
  DeviceArray<float> out(128);
  launch(simt_stream(), {.grid = 1, .block = 32}, &copy_with_stride, 1, x.data() + 1, out.data());
  EXPECT_EQ(simt::counters("copy_with_stride").global_sectors, 5 + 4);
}

TEST_F(SimtCounters, BankConflicts) {
  DeviceArray<float> out(32);
  launch(simt_stream(), {.grid = 1, .block = 32}, &column_of_tile<32>, out.data());
  launch(simt_stream(), {.grid = 1, .block = 32}, &column_of_tile<33>, out.data());
  launch(simt_stream(), {.grid = 1, .block = 32}, &broadcast, out.data());
  // 32 reads of one bank by 32 lanes: 31 further passes each. The padded tile has none, and neither has a broadcast.
  EXPECT_EQ(simt::counters("column_of_tile<32>").shared_requests, 64);
  EXPECT_EQ(simt::counters("column_of_tile<32>").bank_conflicts, 32 * 31);
  EXPECT_EQ(simt::counters("column_of_tile<33>").bank_conflicts, 0);
  EXPECT_EQ(simt::counters("broadcast").bank_conflicts, 0);
}

TEST_F(SimtCounters, Divergence) {
  DeviceArray<float> out(32 * 32);
  launch(simt_stream(), {.grid = 1, .block = 32}, &half_the_lanes, out.data());
  EXPECT_EQ(simt::counters("half_the_lanes").active_lanes, 16);
  EXPECT_EQ(simt::counters("half_the_lanes").warp_lanes, 32);
  launch(simt_stream(), {.grid = 1, .block = 32}, &triangle, out.data());
  EXPECT_EQ(simt::counters("triangle").global_requests, 32);
  EXPECT_EQ(simt::counters("triangle").active_lanes, 32 * 33 / 2);
}

TEST_F(SimtCounters, FailedLaunchesDoNotCount) {
  DeviceArray<float> x(8);
  DeviceArray<float> out(32);
  EXPECT_THROW(launch(simt_stream(), {.grid = 1, .block = 32}, &copy_with_stride, 1, x.data(), out.data()), Error);
  EXPECT_EQ(simt::total_launches(), 0);
}

/// The kernels of an operation: a tensor of whole vectors moves what it must, in whole sectors.
TEST_F(SimtCounters, ReluMovesWhatItMust) {
  const Device device{Device::Type::simt, 0};
  const std::int64_t n = 4096;
  const Tensor x = Tensor::from(make_values(Values::normal, n, 3), {n}, device);
  relu(x);
  const simt::Counters c = simt::counters("unary_kernel");
  EXPECT_EQ(c.launches, 1);
  EXPECT_EQ(c.global_bytes_read, 4 * n);
  EXPECT_EQ(c.global_bytes_written, 4 * n);
  EXPECT_EQ(c.global_sectors, c.ideal_sectors);
  EXPECT_EQ(c.active_lanes, c.warp_lanes);
}

}  // namespace
}  // namespace sparsert::test
