// tests/simt/faults_test.cpp — kernels that are broken on purpose, one for each kind of fault that the checker must
// report.
//
// Beside each stands the kernel as it should be, which must pass: a checker that always fires proves as little as one
// that never does.
#include "tests/simt/support.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr unsigned kAll = 0xffffffffu;

// ---- Bounds and alignment.

__global__ void past_the_end(Global<int> out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) out[i] = i;  // should be <
}

__global__ void before_the_start(Global<const int> x, Global<int> out) {
  out[threadIdx.x] = x[static_cast<int>(threadIdx.x) - 1];
}

__global__ void through_null(Global<const int> x, Global<int> out) { out[threadIdx.x] = x[threadIdx.x]; }

struct Row {
  SharedArray<int, 32> values;
  SharedArray<int, 32> others;
};

__global__ void past_a_shared_array(Global<int> out) {
  auto& s = shared<Row>();
  s.values[threadIdx.x + 1] = 1;
  out[threadIdx.x] = 0;
}

__global__ void past_dynamic_shared(Global<int> out) {
  const auto s = dynamic_shared<int>();
  s[threadIdx.x] = 1;
  out[threadIdx.x] = 0;
}

__global__ void misaligned_load(Global<const float> x, Global<float> out) {
  const Vec<float, 4> v = load_vec<4>(x, threadIdx.x * 4 + 1);
  out[threadIdx.x] = v[0];
}

__global__ void misaligned_store(Global<float> out) {
  store_vec<2>(out, threadIdx.x * 2 + 1, Vec<float, 2>{{1.0f, 2.0f}});
}

__global__ void vector_past_the_end(Global<const float> x, Global<float> out) {
  const Vec<float, 4> v = load_vec<4>(x, threadIdx.x * 4);
  out[threadIdx.x] = v[3];
}

// ---- Shared memory that nobody wrote.

__global__ void never_written(Global<int> out) {
  auto& s = shared<Row>();
  if (threadIdx.x != 5) s.values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s.values[threadIdx.x];
}

__global__ void counts_from_nothing(Global<int> out) {
  auto& s = shared<Row>();
  atomic_add(s.values.data(), 0, 1);
  out[threadIdx.x] = 0;
}

__global__ void only_one_block_writes(unsigned writer, Global<int> out) {
  auto& s = shared<Row>();
  if (blockIdx.x == writer) s.values[threadIdx.x] = 1;
  __syncthreads();
  out[blockIdx.x * 32 + threadIdx.x] = s.values[threadIdx.x];
}

// ---- Races.

template <bool kBroken>
__global__ void neighbour_in_warp(Global<int> out) {
  auto& s = shared<Row>();
  s.values[threadIdx.x] = -1;
  __syncthreads();
  s.values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (!kBroken) __syncwarp(kAll);
  out[threadIdx.x] = s.values[threadIdx.x ^ 1];
}

/// A shuffle makes lanes meet, but orders no memory.
__global__ void shuffle_as_fence(Global<int> out) {
  auto& s = shared<Row>();
  s.values[threadIdx.x] = -1;
  __syncthreads();
  s.values[threadIdx.x] = static_cast<int>(threadIdx.x);
  const int zero = __shfl_sync(kAll, 0, 0);
  out[threadIdx.x] = s.values[(threadIdx.x ^ 1) + static_cast<unsigned>(zero)];
}

/// Lanes 0 and 1 meet, then 1 and 2: what 0 wrote is ordered before what 2 reads.
template <bool kBroken>
__global__ void chain_of_meetings(Global<int> out) {
  auto& s = shared<Row>();
  const unsigned lane = threadIdx.x;
  if (lane == 2) s.values[0] = 0;
  __syncthreads();
  if (lane == 0) s.values[0] = 7;
  if (lane < 2 && !kBroken) __syncwarp(0b011);
  if (lane == 1 || lane == 2) __syncwarp(0b110);
  if (lane == 2) out[0] = s.values[0];
}

struct Block {
  SharedArray<int, 64> values;
};

template <bool kBroken>
__global__ void neighbour_in_block(Global<int> out) {
  auto& s = shared<Block>();
  s.values[threadIdx.x] = -1;
  __syncthreads();
  s.values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBroken) {
    __syncwarp(kAll);
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = s.values[threadIdx.x ^ 32];
}

/// The tile is overwritten while slow threads still read it: the second barrier of a loop is missing.
template <bool kBroken>
__global__ void tile_in_a_loop(Global<int> out) {
  auto& s = shared<Block>();
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    s.values[threadIdx.x] = round;
    __syncthreads();
    sum += s.values[63 - threadIdx.x];
    if (!kBroken) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

__global__ void blocks_write_the_same(Global<int> out) {
  if (threadIdx.x == 3) out[0] = static_cast<int>(blockIdx.x);
}

__global__ void block_reads_another(Global<int> x) {
  if (blockIdx.x == 0) {
    x[threadIdx.x] = 1;
  } else {
    x[32 + threadIdx.x] = x[threadIdx.x];
  }
}

__global__ void threads_write_the_same(Global<std::uint8_t> flag) { flag[0] = 1; }

__global__ void atomic_and_plain(Global<int> count, Global<int> out) {
  atomic_add(count, 0, 1);
  out[threadIdx.x] = count[0];
}

// ---- Barriers and masks.

__global__ void some_leave_before_the_barrier(Global<int> out, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  out[threadIdx.x] = 1;
  __syncthreads();
}

__global__ void two_barriers(Global<int> out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void barrier_against_shuffle(Global<int> out) {
  if (threadIdx.x == 7) __syncthreads();
  out[threadIdx.x] = __shfl_sync(kAll, 1, 0);
}

__global__ void mask_names_the_exited(Global<int> out) {
  if (threadIdx.x == 9) return;
  out[threadIdx.x] = __shfl_sync(kAll, 1, 0);
}

__global__ void mask_without_the_caller(Global<int> out) { out[threadIdx.x] = __shfl_sync(0xffffu, 1, 0); }

__global__ void mask_beyond_the_block(Global<int> out) { out[threadIdx.x] = __any_sync(kAll, 1); }

__global__ void reads_a_lane_outside(Global<int> out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_down_sync(0xffffu, 1, 8);
}

__global__ void masks_disagree(Global<int> out) {
  out[threadIdx.x] = static_cast<int>(__ballot_sync(threadIdx.x == 0 ? kAll : kAll & ~1u, 1));
}

__global__ void operations_disagree(Global<int> out) {
  if (threadIdx.x < 16) {
    __syncwarp(kAll);
  } else {
    out[threadIdx.x] = __any_sync(kAll, 1);
  }
}

// ---- Resources and foreign errors.

struct Large {
  SharedArray<double, 8192> values;
};

__global__ void too_much_shared(Global<int> out) {
  shared<Large>().values[threadIdx.x] = 1;
  out[threadIdx.x] = 1;
}

__global__ void throws_something(Global<int>) {
  if (threadIdx.x == 2) throw std::string("thrown by a kernel");
}

// ---- Kernels that share memory as they may.

/// Neighbouring bytes of one word, by different threads.
__global__ void bytes_of_a_word(Global<std::uint8_t> out) { out[threadIdx.x] = static_cast<std::uint8_t>(threadIdx.x); }

struct Histogram {
  SharedArray<unsigned, 16> counts;
};

__global__ void histogram(Global<const int> x, Global<unsigned> counts) {
  auto& s = shared<Histogram>();
  if (threadIdx.x < 16) s.counts[threadIdx.x] = 0u;
  __syncthreads();
  atomic_add(s.counts.data(), x[blockIdx.x * blockDim.x + threadIdx.x], 1u);
  __syncthreads();
  if (threadIdx.x < 16) atomic_add(counts, threadIdx.x, s.counts[threadIdx.x]);
}

__global__ void in_place(Global<int> x) { x[threadIdx.x] += static_cast<int>(threadIdx.x); }

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND

namespace sparsert::test {
namespace {

using namespace backend::simt;  // NOLINT(google-build-using-namespace): the kernels above
using backend::launch;

/// The launch must be reported, in either order, with kernel, block, thread and these words; and the next launch runs.
template <class F>
void expect_fault(const std::string& kernel, const std::vector<std::string>& words, F f) {
  in_both_orders([&] {
    std::vector<std::string> all{"simt: " + kernel, "block (", "thread ("};
    all.insert(all.end(), words.begin(), words.end());
    expect_error(ErrorCode::internal, all, f);
    DeviceArray<int> x(64, 1);
    launch(simt_stream(), {.grid = 1, .block = 64}, &in_place, x.data());
    EXPECT_EQ(x[63], 64);
  });
}

TEST(SimtFaults, Bounds) {
  const Stream stream = simt_stream();
  DeviceArray<int> x(40);
  DeviceArray<int> out(64);
  expect_fault("past_the_end",
               {"block (1, 0, 0) thread (8, 0, 0)", "out of bounds", "global", "byte 160 of a block of 160"},
               [&] { launch(stream, {.grid = 2, .block = 32}, &past_the_end, x.data(), 40); });
  expect_fault("before_the_start", {"thread (0, 0, 0)", "4 bytes before the start of a block of 160"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &before_the_start, x.data(), out.data()); });
  expect_fault("through_null", {"null pointer"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &through_null, nullptr, out.data()); });
  expect_fault("past_a_shared_array", {"thread (31, 0, 0)", "index 32 of a shared array of 32"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &past_a_shared_array, out.data()); });
  expect_fault("past_dynamic_shared", {"thread (31, 0, 0)", "shared memory at byte 124 of a block of 124"},
               [&] { launch(stream, {.grid = 1, .block = 32, .shared = 124}, &past_dynamic_shared, out.data()); });
}

TEST(SimtFaults, BoundsOfWrappedMemory) {
  std::vector<int> memory(100, 0);
  const Tensor x = Tensor::wrap(memory.data() + 10, {40}, DType::int32, Device{Device::Type::simt, 0}, [] {});
  expect_fault("past_the_end", {"byte 160 of a block of 160"},
               [&] { launch(simt_stream(), {.grid = 2, .block = 32}, &past_the_end, memory.data() + 10, 40); });
}

TEST(SimtFaults, Vectors) {
  const Stream stream = simt_stream();
  DeviceArray<float> x(126);
  DeviceArray<float> out(130);
  expect_fault("misaligned_load", {"misaligned", "reads 16 bytes", "aligned to 4, needs 16"},
               [&] { launch(stream, {.grid = 1, .block = 8}, &misaligned_load, x.data(), out.data()); });
  expect_fault("misaligned_store", {"misaligned", "writes 8 bytes", "aligned to 4, needs 8"},
               [&] { launch(stream, {.grid = 1, .block = 8}, &misaligned_store, out.data()); });
  expect_fault("vector_past_the_end", {"thread (31, 0, 0)", "touches 16 bytes", "byte 496 of a block of 504"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &vector_past_the_end, x.data(), out.data()); });
}

TEST(SimtFaults, SharedMemoryNeverWritten) {
  DeviceArray<int> out(64);
  expect_fault("never_written",
               {"thread (5, 0, 0)", "reads 4 bytes of shared memory at byte 20", "no thread of the block"},
               [&] { launch(simt_stream(), {.grid = 1, .block = 32}, &never_written, out.data()); });
  expect_fault("counts_from_nothing", {"atomically updates", "no thread of the block"},
               [&] { launch(simt_stream(), {.grid = 1, .block = 32}, &counts_from_nothing, out.data()); });
}

/// One block writes its shared memory; the next must not find it written.
TEST(SimtFaults, SharedMemoryOfTheBlockBefore) {
  DeviceArray<int> out(64);
  in_both_orders([&] {
    const unsigned first = simt::order() == simt::ThreadOrder::forward ? 0 : 1;
    expect_error(ErrorCode::internal, {"only_one_block_writes", "no thread of the block has written"},
                 [&] { launch(simt_stream(), {.grid = 2, .block = 32}, &only_one_block_writes, first, out.data()); });
  });
}

TEST(SimtFaults, RacesInAWarp) {
  const Stream stream = simt_stream();
  DeviceArray<int> out(64);
  expect_fault("neighbour_in_warp<true>", {"race", " by block (0, 0, 0) thread (", "no __syncwarp in between"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &neighbour_in_warp<true>, out.data()); });
  expect_fault("shuffle_as_fence", {"race", "no __syncwarp in between"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &shuffle_as_fence, out.data()); });
  expect_fault("chain_of_meetings<true>", {"race", "thread (0, 0, 0)"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &chain_of_meetings<true>, out.data()); });
  in_both_orders([&] {
    launch(stream, {.grid = 1, .block = 32}, &neighbour_in_warp<false>, out.data());
    EXPECT_EQ(out[4], 5);
    launch(stream, {.grid = 1, .block = 32}, &chain_of_meetings<false>, out.data());
    EXPECT_EQ(out[0], 7);
  });
}

TEST(SimtFaults, RacesInABlock) {
  const Stream stream = simt_stream();
  DeviceArray<int> out(64);
  expect_fault("neighbour_in_block<true>", {"race", "shared memory", "no __syncthreads in between"},
               [&] { launch(stream, {.grid = 1, .block = 64}, &neighbour_in_block<true>, out.data()); });
  expect_fault("tile_in_a_loop<true>", {"race", "of shared memory", "no __syncthreads in between"},
               [&] { launch(stream, {.grid = 1, .block = 64}, &tile_in_a_loop<true>, out.data()); });
  DeviceArray<std::uint8_t> flag(1);
  expect_fault("threads_write_the_same", {"race", "writes 1 bytes of global memory", "written by"},
               [&] { launch(stream, {.grid = 1, .block = 64}, &threads_write_the_same, flag.data()); });
  in_both_orders([&] {
    launch(stream, {.grid = 1, .block = 64}, &neighbour_in_block<false>, out.data());
    EXPECT_EQ(out[1], 33);
    launch(stream, {.grid = 1, .block = 64}, &tile_in_a_loop<false>, out.data());
    EXPECT_EQ(out[1], 3);
  });
}

TEST(SimtFaults, RacesBetweenBlocks) {
  const Stream stream = simt_stream();
  DeviceArray<int> x(64);
  expect_fault("blocks_write_the_same",
               {"race", "written by block (", "thread (3, 0, 0) with nothing orders two blocks"},
               [&] { launch(stream, {.grid = 2, .block = 32}, &blocks_write_the_same, x.data()); });
  expect_fault("block_reads_another", {"race", "nothing orders two blocks"},
               [&] { launch(stream, {.grid = 2, .block = 32}, &block_reads_another, x.data()); });
}

TEST(SimtFaults, AtomicAgainstPlain) {
  DeviceArray<int> count(1);
  DeviceArray<int> out(64);
  expect_fault("atomic_and_plain", {"race", "atomically update", "global memory"},
               [&] { launch(simt_stream(), {.grid = 1, .block = 64}, &atomic_and_plain, count.data(), out.data()); });
}

TEST(SimtFaults, DivergentBarriers) {
  const Stream stream = simt_stream();
  DeviceArray<int> out(64);
  expect_fault("some_leave_before_the_barrier", {"divergent barrier", "__syncthreads()"},
               [&] { launch(stream, {.grid = 1, .block = 64}, &some_leave_before_the_barrier, out.data(), 40); });
  expect_fault("two_barriers", {"divergent barrier", "waits in __syncthreads() at faults_test.cpp:"},
               [&] { launch(stream, {.grid = 1, .block = 64}, &two_barriers, out.data()); });
  expect_fault("barrier_against_shuffle", {"deadlock in __shfl_sync()", "thread (7, 0, 0) waits in __syncthreads()"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &barrier_against_shuffle, out.data()); });
}

TEST(SimtFaults, Masks) {
  const Stream stream = simt_stream();
  DeviceArray<int> out(64);
  expect_fault("mask_names_the_exited", {"exit", "__shfl_sync()", "0xffffffff"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &mask_names_the_exited, out.data()); });
  expect_fault("mask_without_the_caller", {"mask 0xffff does not name the calling lane"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &mask_without_the_caller, out.data()); });
  expect_fault("mask_beyond_the_block", {"names lane 8, which the block does not have"},
               [&] { launch(stream, {.grid = 1, .block = 40}, &mask_beyond_the_block, out.data()); });
  expect_fault("reads_a_lane_outside", {"thread (8, 0, 0)", "it reads lane 16, which is not in mask 0xffff"}, [&] {
    simt::set_order(simt::ThreadOrder::forward);
    launch(stream, {.grid = 1, .block = 32}, &reads_a_lane_outside, out.data());
  });
  expect_fault("masks_disagree", {"__ballot_sync()", "mask 0xffffffff"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &masks_disagree, out.data()); });
  expect_fault("operations_disagree", {"deadlock in __syncwarp()", "thread (16, 0, 0) waits in __any_sync()"},
               [&] { launch(stream, {.grid = 1, .block = 32}, &operations_disagree, out.data()); });
}

TEST(SimtFaults, SharedMemoryBeyondABlock) {
  DeviceArray<int> out(64);
  expect_fault("too_much_shared", {"shared memory: needs 65536 static"},
               [&] { launch(simt_stream(), {.grid = 1, .block = 32}, &too_much_shared, out.data()); });
}

TEST(SimtFaults, AnExceptionOfAKernelPasses) {
  DeviceArray<int> x(64);
  EXPECT_THROW(launch(simt_stream(), {.grid = 3, .block = 64}, &throws_something, x.data()), std::string);
  launch(simt_stream(), {.grid = 1, .block = 64}, &in_place, x.data());
  EXPECT_EQ(x[5], 5);
}

TEST(SimtFaults, LaunchShapes) {
  const Stream stream = simt_stream();
  DeviceArray<int> x(64);
  launch(stream, {.grid = 0, .block = 64}, &in_place, x.data());
  EXPECT_EQ(x[5], 0);
  for (const int block : {0, -1, 1025}) {
    expect_error(ErrorCode::invalid_argument, {"launch: block is (" + std::to_string(block)},
                 [&] { launch(stream, {.grid = 1, .block = block}, &in_place, x.data()); });
  }
  expect_error(ErrorCode::invalid_argument, {"launch: grid is (1, 65536, 1)"}, [&] {
    launch(stream, {.grid = {1, 65536}, .block = 1}, &in_place, x.data());
  });
  expect_error(ErrorCode::invalid_argument, {"launch: got a stream of cpu"},
               [&] { launch(Stream(cpu_device), {.grid = 1, .block = 1}, &in_place, x.data()); });
}

TEST(SimtFaults, WhatIsAllowedPasses) {
  const Stream stream = simt_stream();
  in_both_orders([&] {
    DeviceArray<std::uint8_t> bytes(64);
    launch(stream, {.grid = 1, .block = 64}, &bytes_of_a_word, bytes.data());
    EXPECT_EQ(bytes[63], 63);
    DeviceArray<int> x(128);
    DeviceArray<unsigned> counts(16);
    for (int i = 0; i < 128; ++i) x[static_cast<std::size_t>(i)] = i % 16;
    launch(stream, {.grid = 2, .block = 64}, &histogram, x.data(), counts.data());
    EXPECT_EQ(counts.values(), std::vector<unsigned>(16, 8));
    // A launch is ordered behind the one before.
    launch(stream, {.grid = 1, .block = 64}, &in_place, x.data());
    launch(stream, {.grid = 1, .block = 32}, &in_place, x.data() + 16);
    EXPECT_EQ(x[17], 1 + 17 + 1);
  });
}

TEST(SimtFaults, PlainChecksOnlyBarriersAndMasks) {
  const Stream stream = simt_stream();
  DeviceArray<int> out(64);
  simt::set_check(simt::Check::plain);
  launch(stream, {.grid = 1, .block = 64}, &neighbour_in_block<true>, out.data());
  EXPECT_THROW(launch(stream, {.grid = 1, .block = 64}, &two_barriers, out.data()), Error);
  simt::set_check(simt::Check::full);
}

}  // namespace
}  // namespace sparsert::test
