// tests/simt/intrinsics_test.cpp — every CUDA spelling that kernels use, against what CUDA's manual says of it.
#include <algorithm>
#include <array>
#include <bit>

#include "tests/simt/support.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void coordinates(Global<unsigned> out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      threadIdx.x | threadIdx.y << 4 | threadIdx.z << 8 | blockIdx.x << 12 | blockIdx.y << 16 | blockIdx.z << 20;
}

enum class Shuffle { to, up, down, exclusive_or };

template <class T>
__global__ void shuffle_kernel(Shuffle kind, int argument, int width, Global<const T> x, Global<T> out) {
  const T value = x[threadIdx.x];
  T result{};
  switch (kind) {
    case Shuffle::to: result = __shfl_sync(kAll, value, argument, width); break;
    case Shuffle::up: result = __shfl_up_sync(kAll, value, static_cast<unsigned>(argument), width); break;
    case Shuffle::down: result = __shfl_down_sync(kAll, value, static_cast<unsigned>(argument), width); break;
    case Shuffle::exclusive_or: result = __shfl_xor_sync(kAll, value, argument, width); break;
  }
  out[threadIdx.x] = result;
}

__global__ void own_source_kernel(Global<const int> source, Global<int> out) {
  out[threadIdx.x] = __shfl_sync(kAll, static_cast<int>(lane_id()) * 10, source[threadIdx.x]);
}

/// One row of results a lane: ballot, any, all, match_any, match_all, its predicate.
constexpr int kVotes = 6;

__global__ void vote_kernel(unsigned mask, Global<const int> x, Global<unsigned> out) {
  const unsigned lane = lane_id();
  if ((mask >> lane & 1u) == 0) return;
  const int value = x[lane];
  const auto row = out + lane * kVotes;
  row[0] = __ballot_sync(mask, value > 3);
  row[1] = static_cast<unsigned>(__any_sync(mask, value > 3));
  row[2] = static_cast<unsigned>(__all_sync(mask, value > 3));
  row[3] = __match_any_sync(mask, value);
  int all = -1;
  row[4] = __match_all_sync(mask, value, &all);
  row[5] = static_cast<unsigned>(all);
}

/// One row of results a lane: add, min, max of unsigned and of int, and, or, xor.
constexpr int kReductions = 9;

__global__ void reduce_kernel(unsigned mask, Global<const unsigned> x, Global<unsigned> out) {
  const unsigned lane = lane_id();
  if ((mask >> lane & 1u) == 0) return;
  const unsigned value = x[lane];
  const int with_sign = static_cast<int>(value);
  const auto row = out + lane * kReductions;
  row[0] = __reduce_add_sync(mask, value);
  row[1] = __reduce_min_sync(mask, value);
  row[2] = __reduce_max_sync(mask, value);
  row[3] = static_cast<unsigned>(__reduce_add_sync(mask, with_sign));
  row[4] = static_cast<unsigned>(__reduce_min_sync(mask, with_sign));
  row[5] = static_cast<unsigned>(__reduce_max_sync(mask, with_sign));
  row[6] = __reduce_and_sync(mask, value);
  row[7] = __reduce_or_sync(mask, value);
  row[8] = __reduce_xor_sync(mask, value);
}

__global__ void barrier_votes(int limit, Global<int> out) {
  const bool predicate = static_cast<int>(threadIdx.x) < limit;
  const int count = __syncthreads_count(predicate);
  const int any = __syncthreads_or(predicate);
  const int all = __syncthreads_and(predicate);
  out[threadIdx.x] = count | any << 16 | all << 20;
}

__global__ void lanes(Global<unsigned> out) {
  out[threadIdx.x * 3] = lane_id();
  out[threadIdx.x * 3 + 1] = lane_mask_lt();
  out[threadIdx.x * 3 + 2] = threadIdx.x < 35 ? __activemask() : 0;
}

template <class T>
__global__ void atomics(Global<const T> x, Global<T> result, Global<T> old) {
  const T value = x[threadIdx.x];
  old[threadIdx.x] = atomic_add(result, 0, value);
  atomic_max(result, 1, value);
  atomic_min(result, 2, value);
  atomic_or(result, 3, value);
  atomic_and(result, 4, value);
  if (threadIdx.x == 7) atomic_exchange(result, 5, value);
  // Counts up by comparing: one thread after another gets through.
  for (T seen = 0;;) {
    const T before = atomic_cas(result, 6, seen, static_cast<T>(seen + 1));
    if (before == seen) break;
    seen = before;
  }
}

struct Atomics {
  SharedArray<std::uint32_t, 2> counts;
};

__global__ void shared_atomics(Global<std::uint32_t> out) {
  auto& s = shared<Atomics>();
  if (threadIdx.x < 2) s.counts[threadIdx.x] = 0u;
  __syncthreads();
  atomic_add(s.counts.data(), threadIdx.x % 2, 1u);
  __syncthreads();
  if (threadIdx.x < 2) out[threadIdx.x] = s.counts[threadIdx.x];
}

template <class T, int N>
__global__ void vectors(Global<const T> x, Global<T> out) {
  const Vec<T, N> in = load_vec<N>(x, threadIdx.x * N);
  Vec<T, N> reversed;
  for (int i = 0; i < N; ++i) reversed[i] = in[N - 1 - i];
  store_vec<N>(out, threadIdx.x * N, reversed);
}

__global__ void once(Global<const float> x, Global<float> out) {
  store_once(out, threadIdx.x, load_once(x, threadIdx.x));
}

struct Tile {
  SharedArray<SharedArray<float, 33>, 32> values;
};

__global__ void transpose_tile(Global<const float> x, Global<float> out) {
  auto& tile = shared<Tile>();
  for (unsigned r = threadIdx.y; r < 32; r += blockDim.y) tile.values[r][threadIdx.x] = x[r * 32 + threadIdx.x];
  __syncthreads();
  for (unsigned r = threadIdx.y; r < 32; r += blockDim.y) out[r * 32 + threadIdx.x] = tile.values[threadIdx.x][r];
}

__global__ void reverse_in_dynamic(int n, Global<int> x) {
  const auto s = dynamic_shared<int>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) s[i] = x[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) x[i] = s[n - 1 - i];
}

__global__ void pointers(Global<const float> x, Global<float> y, Global<std::uint32_t> out) {
  const Global<const float> as_const = y;
  out[0] = pointer_cast<const std::uint32_t>(x)[1];
  out[1] = static_cast<std::uint32_t>((as_const + 3) - as_const);
  out[2] = (x == nullptr ? 1u : 0u) | (y ? 2u : 0u);
  y[0] += 2.0f;
  y[1] = y[0];
  y[2] -= 1.0f;
  out[3] |= 0x10u;
}

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND

namespace sparsert::test {
namespace {

using namespace backend::simt;   // NOLINT(google-build-using-namespace): the kernels above
using namespace backend::simt_;  // NOLINT(google-build-using-namespace): CUDA's spellings

constexpr std::array<unsigned, 5> kMasks{0xffffffffu, 0x0000ffffu, 0xaaaaaaaau, 0x80000001u, 0x00000400u};

TEST(SimtIntrinsics, Coordinates) {
  in_both_orders([] {
    DeviceArray<unsigned> out(2 * 3 * 2 * 24);
    launch(simt_stream(), {.grid = {2, 3, 2}, .block = {4, 3, 2}}, &coordinates, out.data());
    std::size_t i = 0;
    for (unsigned bz = 0; bz < 2; ++bz)
      for (unsigned by = 0; by < 3; ++by)
        for (unsigned bx = 0; bx < 2; ++bx)
          for (unsigned z = 0; z < 2; ++z)
            for (unsigned y = 0; y < 3; ++y)
              for (unsigned x = 0; x < 4; ++x) {
                ASSERT_EQ(out[i++], x | y << 4 | z << 8 | bx << 12 | by << 16 | bz << 20);
              }
  });
}

template <class T>
void test_shuffles() {
  DeviceArray<T> x(32);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<T>(i) * 3 - 40;
  for (const int width : {32, 16, 8, 4, 2, 1}) {
    for (const int argument : {0, 1, 2, 3, 5, 8, 15, 16, 17, 31}) {
      const int w = width;
      const auto oracle = [&](Shuffle kind, int lane) {
        const int segment = lane / w * w;
        switch (kind) {
          case Shuffle::to: return segment + argument % w;
          case Shuffle::up: return lane - argument < segment ? lane : lane - argument;
          case Shuffle::down: return lane + argument >= segment + w ? lane : lane + argument;
          case Shuffle::exclusive_or: return (lane ^ argument) >= segment + w ? lane : lane ^ argument;
        }
        return 0;
      };
      for (const Shuffle kind : {Shuffle::to, Shuffle::up, Shuffle::down, Shuffle::exclusive_or}) {
        DeviceArray<T> out(32);
        launch(simt_stream(), {.grid = 1, .block = 32}, &shuffle_kernel<T>, kind, argument, w, x.data(), out.data());
        for (int lane = 0; lane < 32; ++lane) {
          ASSERT_EQ(out[static_cast<std::size_t>(lane)], x[static_cast<std::size_t>(oracle(kind, lane))])
              << "kind " << static_cast<int>(kind) << " argument " << argument << " width " << w << " lane " << lane;
        }
      }
    }
  }
}

TEST(SimtIntrinsics, Shuffles) {
  in_both_orders([] {
    test_shuffles<int>();
    test_shuffles<float>();
    test_shuffles<double>();
    test_shuffles<std::int64_t>();
  });
}

TEST(SimtIntrinsics, ShuffleFromALaneOfOnesOwn) {
  DeviceArray<int> source(32);
  DeviceArray<int> out(32);
  for (int i = 0; i < 32; ++i) source[static_cast<std::size_t>(i)] = i * 7 % 32;
  launch(simt_stream(), {.grid = 1, .block = 32}, &own_source_kernel, source.data(), out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], i * 7 % 32 * 10);
}

TEST(SimtIntrinsics, Votes) {
  in_both_orders([] {
    for (const unsigned mask : kMasks) {
      for (const int modulus : {1, 3, 7, 32}) {
        DeviceArray<int> x(32);
        for (int i = 0; i < 32; ++i) x[static_cast<std::size_t>(i)] = i % modulus + (modulus == 1 ? 4 : 0);
        DeviceArray<unsigned> out(32 * kVotes);
        launch(simt_stream(), {.grid = 1, .block = 32}, &vote_kernel, mask, x.data(), out.data());
        unsigned ballot = 0;
        for (unsigned i = 0; i < 32; ++i) ballot |= (mask >> i & 1u) != 0 && x[i] > 3 ? 1u << i : 0;
        for (unsigned lane = 0; lane < 32; ++lane) {
          if ((mask >> lane & 1u) == 0) continue;
          unsigned equal = 0;
          for (unsigned i = 0; i < 32; ++i) equal |= (mask >> i & 1u) != 0 && x[i] == x[lane] ? 1u << i : 0;
          const unsigned* const row = out.data() + lane * kVotes;
          ASSERT_EQ(row[0], ballot);
          ASSERT_EQ(row[1], ballot != 0 ? 1u : 0u);
          ASSERT_EQ(row[2], ballot == mask ? 1u : 0u);
          ASSERT_EQ(row[3], equal);
          ASSERT_EQ(row[4], equal == mask ? mask : 0u);
          ASSERT_EQ(row[5], equal == mask ? 1u : 0u);
        }
      }
    }
  });
}

TEST(SimtIntrinsics, Reductions) {
  in_both_orders([] {
    for (const unsigned mask : kMasks) {
      DeviceArray<unsigned> x(32);
      for (unsigned i = 0; i < 32; ++i) x[i] = (i * 2654435761u) ^ (i << 30);
      DeviceArray<unsigned> out(32 * kReductions);
      launch(simt_stream(), {.grid = 1, .block = 32}, &reduce_kernel, mask, x.data(), out.data());
      std::array<unsigned, kReductions> expected{0, ~0u, 0, 0, 0x7fffffffu, 0x80000000u, ~0u, 0, 0};
      for (unsigned i = 0; i < 32; ++i) {
        if ((mask >> i & 1u) == 0) continue;
        const int with_sign = static_cast<int>(x[i]);
        expected[0] = expected[3] = expected[0] + x[i];
        expected[1] = std::min(expected[1], x[i]);
        expected[2] = std::max(expected[2], x[i]);
        expected[4] = static_cast<unsigned>(std::min(static_cast<int>(expected[4]), with_sign));
        expected[5] = static_cast<unsigned>(std::max(static_cast<int>(expected[5]), with_sign));
        expected[6] &= x[i];
        expected[7] |= x[i];
        expected[8] ^= x[i];
      }
      for (unsigned lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1u) == 0) continue;
        for (unsigned j = 0; j < kReductions; ++j) ASSERT_EQ(out[lane * kReductions + j], expected[j]) << j;
      }
    }
  });
}

TEST(SimtIntrinsics, BarriersThatVote) {
  in_both_orders([] {
    for (const int limit : {0, 1, 63, 96}) {
      DeviceArray<int> out(96);
      launch(simt_stream(), {.grid = 1, .block = 96}, &barrier_votes, limit, out.data());
      for (const int got : out.values()) ASSERT_EQ(got, limit | (limit > 0) << 16 | (limit == 96) << 20);
    }
  });
}

TEST(SimtIntrinsics, Lanes) {
  DeviceArray<unsigned> out(40 * 3);
  launch(simt_stream(), {.grid = 1, .block = 40}, &lanes, out.data());
  for (unsigned t = 0; t < 40; ++t) {
    EXPECT_EQ(out[t * 3], t % 32);
    EXPECT_EQ(out[t * 3 + 1], (1u << t % 32) - 1);
  }
  EXPECT_EQ(out[2], 0xffffffffu);
  EXPECT_EQ(out[34 * 3 + 2] & 0b100u, 0b100u);
}

template <class T>
void test_atomics() {
  DeviceArray<T> x(64);
  std::array<T, 7> expected{0, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), 0, static_cast<T>(-1), 0,
                            64};
  for (std::size_t i = 0; i < 64; ++i) {
    x[i] = static_cast<T>((i * 0x9e3779b97f4a7c15ull) >> 7) | 64;
    using U = std::make_unsigned_t<T>;
    expected[0] = static_cast<T>(static_cast<U>(expected[0]) + static_cast<U>(x[i]));
    expected[1] = std::max(expected[1], x[i]);
    expected[2] = std::min(expected[2], x[i]);
    expected[3] = static_cast<T>(expected[3] | x[i]);
    expected[4] = static_cast<T>(expected[4] & x[i]);
  }
  expected[5] = x[7];
  DeviceArray<T> result(7);
  result[1] = std::numeric_limits<T>::min();
  result[2] = std::numeric_limits<T>::max();
  result[4] = static_cast<T>(-1);
  DeviceArray<T> old(64);
  launch(simt_stream(), {.grid = 1, .block = 64}, &atomics<T>, x.data(), result.data(), old.data());
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(result[i], expected[i]) << i;
  // Each add returns a value that another one made.
  const auto seen = old.values();
  EXPECT_EQ(std::count(seen.begin(), seen.end(), T{0}), 1);
}

TEST(SimtIntrinsics, Atomics) {
  in_both_orders([] {
    test_atomics<std::int32_t>();
    test_atomics<std::uint32_t>();
    test_atomics<std::int64_t>();
    test_atomics<std::uint64_t>();
    DeviceArray<std::uint32_t> out(2);
    launch(simt_stream(), {.grid = 1, .block = 63}, &shared_atomics, out.data());
    EXPECT_EQ(out[0], 32u);
    EXPECT_EQ(out[1], 31u);
  });
}

template <class T, int N>
void test_vectors() {
  DeviceArray<T> x(32 * N);
  DeviceArray<T> out(32 * N);
  for (std::size_t i = 0; i < 32 * N; ++i)
    x[i] = std::bit_cast<T>(std::array<std::uint8_t, sizeof(T)>{static_cast<std::uint8_t>(i)});
  launch(simt_stream(), {.grid = 1, .block = 32}, &vectors<T, N>, x.data(), out.data());
  for (std::size_t i = 0; i < 32 * N; ++i) ASSERT_TRUE(out[i] == x[i / N * N + N - 1 - i % N]) << i;
}

TEST(SimtIntrinsics, Vectors) {
  test_vectors<float, 4>();
  test_vectors<float, 2>();
  test_vectors<float, 1>();
  test_vectors<double, 2>();
  test_vectors<float16, 8>();
  test_vectors<bfloat16, 4>();
  test_vectors<std::uint8_t, 16>();
  test_vectors<std::int64_t, 2>();
}

TEST(SimtIntrinsics, LoadsAndStoresOnce) {
  DeviceArray<float> x(32);
  DeviceArray<float> out(32);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i);
  launch(simt_stream(), {.grid = 1, .block = 32}, &once, x.data(), out.data());
  EXPECT_EQ(out.values(), x.values());
}

TEST(SimtIntrinsics, SharedMemory) {
  in_both_orders([] {
    DeviceArray<float> x(1024);
    DeviceArray<float> out(1024);
    for (std::size_t i = 0; i < 1024; ++i) x[i] = static_cast<float>(i);
    launch(simt_stream(), {.grid = 1, .block = {32, 8}}, &transpose_tile, x.data(), out.data());
    for (std::size_t i = 0; i < 1024; ++i) ASSERT_EQ(out[i], static_cast<float>(i % 32 * 32 + i / 32));
    DeviceArray<int> y(20'000);
    for (int i = 0; i < 20'000; ++i) y[static_cast<std::size_t>(i)] = i;
    launch(simt_stream(), {.grid = 1, .block = 96, .shared = 80'000}, &reverse_in_dynamic, 20'000, y.data());
    for (int i = 0; i < 20'000; ++i) ASSERT_EQ(y[static_cast<std::size_t>(i)], 19'999 - i);
  });
}

TEST(SimtIntrinsics, Pointers) {
  DeviceArray<float> x(4, 1.0f);
  DeviceArray<float> y(4, 5.0f);
  DeviceArray<std::uint32_t> out(4);
  launch(simt_stream(), {.grid = 1, .block = 1}, &pointers, x.data(), y.data(), out.data());
  EXPECT_EQ(out.values(), (std::vector<std::uint32_t>{0x3f800000u, 3, 2, 0x10}));
  EXPECT_EQ(y.values(), (std::vector<float>{7.0f, 7.0f, 4.0f, 5.0f}));
}

TEST(SimtIntrinsics, Bits) {
  for (const unsigned x : {0u, 1u, 2u, 0x80000000u, 0xffffffffu, 0x00f0f000u, 12345u}) {
    int count = 0;
    int first = 0;
    int leading = 32;
    unsigned reversed = 0;
    for (int i = 0; i < 32; ++i) {
      if ((x >> i & 1u) == 0) continue;
      ++count;
      if (first == 0) first = i + 1;
      leading = 31 - i;
      reversed |= 1u << (31 - i);
    }
    EXPECT_EQ(__popc(x), count);
    EXPECT_EQ(__ffs(static_cast<int>(x)), first);
    EXPECT_EQ(__clz(static_cast<int>(x)), leading);
    EXPECT_EQ(__brev(x), reversed);
    EXPECT_EQ(__popcll(std::uint64_t{x} << 32 | 1u), count + 1);
    EXPECT_EQ(__ffsll(static_cast<long long>(std::uint64_t{x} << 32)), first == 0 ? 0 : first + 32);
    EXPECT_EQ(__clzll(static_cast<long long>(x)), leading + 32);
  }
  EXPECT_EQ(__float_as_uint(1.0f), 0x3f800000u);
  EXPECT_EQ(__float_as_int(-1.0f), static_cast<int>(0xbf800000u));
  EXPECT_EQ(__uint_as_float(0x40000000u), 2.0f);
  EXPECT_EQ(__int_as_float(0x40000000), 2.0f);
  EXPECT_EQ(__double_as_longlong(1.0), 0x3ff0000000000000);
  EXPECT_EQ(__longlong_as_double(0x4000000000000000), 2.0);
}

}  // namespace
}  // namespace sparsert::test
