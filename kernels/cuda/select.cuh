// kernels/cuda/select.cuh — radix selection by magnitude: one histogram pass per digit of 11 bits, from the top.
//
// Counters are integers, so that the order of atomics does not matter; the host reads each histogram and picks the next
// digit, so that no block ever waits for another.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "device/kernel.cuh"
#include "kernels/numerics.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {

inline constexpr int kSelectThreads = 256;
inline constexpr int kDigitBits = 11;
inline constexpr int kDigits = 1 << kDigitBits;

/// A float's key, or a key itself.
template <class T>
__host__ __device__ constexpr auto key_of(T x) {
  if constexpr (std::is_integral_v<T>) return x;
  else return magnitude_key(x);
}

template <class T>
using KeyOf = decltype(key_of(T{}));

/// The bits of a key that are known, from the top, and the digit below them. A key's top bit is always 0.
template <class K>
struct Digit {
  K prefix = 0;
  int shift = static_cast<int>(sizeof(K)) * 8 - 1;  // bits below the known ones
  int width = std::min(kDigitBits, shift);

  constexpr bool matches(K key) const { return (key ^ prefix) >> shift == 0; }
  constexpr int of(K key) const { return static_cast<int>((key >> (shift - width)) & ((K{1} << width) - 1)); }
  constexpr bool is_whole() const { return shift == 0; }

  /// With `digit` known too.
  constexpr Digit next(int digit) const {
    const int low = shift - width;
    return {static_cast<K>(prefix | static_cast<K>(digit) << low), low, std::min(kDigitBits, low)};
  }
};

__device__ __forceinline__ std::int64_t first_element(int per_thread) {
  return (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * per_thread;
}

/// Calls visit(i, x[i]) for the thread's elements: N side by side, then on by the size of the grid.
template <int N, class T, class F>
__device__ __forceinline__ void for_each_element(Global<const T> x, std::int64_t n, const F& visit) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * N;
  for (std::int64_t i = first_element(N); i < n; i += stride) {
    if (i + N <= n) {
      const Vec<T, N> v = load_vec<N>(x, i);
      for (int j = 0; j < N; ++j) visit(i + j, v[j]);
    } else {
      for (std::int64_t j = i; j < n; ++j) visit(j, x[j]);
    }
  }
}

struct HistogramShared {
  SharedArray<std::uint32_t, kDigits> counts;
};

// grid: any; each thread takes N elements at a time
// block: kSelectThreads
// shared: 8 KiB of counters
// requires: x aligned to N elements; reads x once. Adds to `histogram`, which has kDigits counters
template <int N, class T>
__global__ __launch_bounds__(kSelectThreads) void histogram_kernel(Global<const T> x, std::int64_t n,
                                                                   Digit<KeyOf<T>> digit,
                                                                   Global<std::int64_t> histogram) {
  auto& s = shared<HistogramShared>();
  for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += kSelectThreads) s.counts[d] = 0;
  __syncthreads();
  for_each_element<N, T>(x, n, [&](std::int64_t, T v) {
    const auto key = key_of(v);
    if (digit.matches(key)) atomic_add(s.counts.data(), digit.of(key), 1u);
  });
  __syncthreads();
  for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += kSelectThreads) {
    const std::uint32_t count = s.counts[d];
    if (count != 0) atomic_add(histogram, d, static_cast<std::int64_t>(count));
  }
}

/// The widest vector of T.
template <class T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

/// Blocks of a grid-stride launch: enough to fill the device, few enough that a block's counters pay.
inline std::int64_t grid_for(std::int64_t n, int per_thread, const Stream& stream) {
  const std::int64_t per_block = std::int64_t{kSelectThreads} * per_thread;
  return std::min<std::int64_t>((n + per_block - 1) / per_block, std::int64_t{8} * multiprocessors(stream));
}

/// Entries that lie side by side.
template <class T>
struct Run {
  const T* x;
  std::int64_t n;
};

using Histogram = std::array<std::int64_t, kDigits>;

/// How many entries that match the digit's prefix have each digit.
template <class T>
Histogram histogram_of(std::span<const Run<T>> runs, const Digit<KeyOf<T>>& digit, const Stream& stream) {
  const Buffer counts(sizeof(Histogram), stream);
  zero_bytes(counts.data(), counts.bytes(), stream);
  auto* const histogram = static_cast<std::int64_t*>(counts.data());
  for (const Run<T>& run : runs) {
    constexpr int kN = kVector<T>;
    if (is_aligned<kN>(run.x)) {
      launch(stream, {.grid = grid_for(run.n, kN, stream), .block = kSelectThreads}, &histogram_kernel<kN, T>, run.x,
             run.n, digit, histogram);
    } else {
      launch(stream, {.grid = grid_for(run.n, 1, stream), .block = kSelectThreads}, &histogram_kernel<1, T>, run.x,
             run.n, digit, histogram);
    }
  }
  Histogram result;
  copy_bytes(result.data(), cpu_device, histogram, stream.device(), sizeof(result), stream);
  stream.synchronize();
  return result;
}

/// How far a selection has come.
template <class K>
struct Selection {
  Digit<K> digit;
  std::int64_t below = 0;   // entries below the known prefix
  std::int64_t inside = 0;  // entries with it
};

/// Narrows the selection of the `rank`-th smallest (from 1) by one digit.
template <class T>
void narrow_selection(Selection<KeyOf<T>>& selection, std::span<const Run<T>> runs, std::int64_t rank,
                      const Stream& stream) {
  const Histogram histogram = histogram_of(runs, selection.digit, stream);
  int digit = 0;
  while (selection.below + histogram[static_cast<std::size_t>(digit)] < rank) {
    selection.below += histogram[static_cast<std::size_t>(digit++)];
  }
  selection.inside = histogram[static_cast<std::size_t>(digit)];
  selection.digit = selection.digit.next(digit);
}

// grid: any; each thread takes N elements at a time
// block: kSelectThreads
// shared: none
// requires: x aligned to N elements; *count is 0 at the start. Reads x once; the order of `keys` is any
template <int N, class T>
__global__ __launch_bounds__(kSelectThreads) void collect_keys_kernel(Global<const T> x, std::int64_t n,
                                                                      Digit<KeyOf<T>> digit, Global<KeyOf<T>> keys,
                                                                      Global<std::int64_t> count) {
  for_each_element<N, T>(x, n, [&](std::int64_t, T v) {
    const auto key = key_of(v);
    if (digit.matches(key)) keys[atomic_add(count, 0, std::int64_t{1})] = key;
  });
}

/// The `rank`-th smallest key (from 1), wholly known. Reads everything once for the first digit, once more to collect
/// the few entries that have it (or for each digit, where they are many), and those for the rest.
template <class T>
Selection<KeyOf<T>> select_key(std::span<const Run<T>> runs, std::int64_t n, std::int64_t rank, const Stream& stream) {
  using K = KeyOf<T>;
  Selection<K> selection;
  selection.inside = n;
  while (!selection.digit.is_whole() && selection.inside > n / 4) narrow_selection(selection, runs, rank, stream);
  if (selection.digit.is_whole()) return selection;

  const Buffer keys(static_cast<std::size_t>(selection.inside) * sizeof(K), stream);
  const Buffer count(sizeof(std::int64_t), stream);
  zero_bytes(count.data(), count.bytes(), stream);
  auto* const key = static_cast<K*>(keys.data());
  auto* const counter = static_cast<std::int64_t*>(count.data());
  for (const Run<T>& run : runs) {
    constexpr int kN = kVector<T>;
    if (is_aligned<kN>(run.x)) {
      launch(stream, {.grid = grid_for(run.n, kN, stream), .block = kSelectThreads}, &collect_keys_kernel<kN, T>, run.x,
             run.n, selection.digit, key, counter);
    } else {
      launch(stream, {.grid = grid_for(run.n, 1, stream), .block = kSelectThreads}, &collect_keys_kernel<1, T>, run.x,
             run.n, selection.digit, key, counter);
    }
  }
  const Run<K> collected{key, selection.inside};
  while (!selection.digit.is_whole()) narrow_selection<K>(selection, {&collected, 1}, rank, stream);
  return selection;
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
