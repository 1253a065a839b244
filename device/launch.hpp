// device/launch.hpp — the shape of a launch, and vectors: the part of kernel.cuh that is the same for every compiler.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace sparsert::backend {

/// Up to three sizes; a plain integer is one.
struct Extent {
  std::int64_t x = 1;
  std::int64_t y = 1;
  std::int64_t z = 1;

  constexpr Extent() = default;
  constexpr Extent(std::integral auto size) : x(static_cast<std::int64_t>(size)) {}
  constexpr Extent(std::integral auto size_x, std::integral auto size_y)
      : x(static_cast<std::int64_t>(size_x)), y(static_cast<std::int64_t>(size_y)) {}
  constexpr Extent(std::integral auto size_x, std::integral auto size_y, std::integral auto size_z)
      : x(static_cast<std::int64_t>(size_x)),
        y(static_cast<std::int64_t>(size_y)),
        z(static_cast<std::int64_t>(size_z)) {}
};

struct LaunchConfig {
  Extent grid;
  Extent block;
  std::size_t shared = 0;  ///< bytes of dynamic shared memory
};

/// True where there is nothing to launch. Throws `Error{invalid_argument}` for what no CUDA device can launch.
bool is_empty_launch(const LaunchConfig& config);

/// N elements that are loaded and stored at once.
template <class T, int N>
struct alignas(N * sizeof(T)) Vec {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N * sizeof(T) <= 16, "a power of two of at most 16 bytes");

  T elements[N];

  constexpr T& operator[](int i) { return elements[i]; }
  constexpr const T& operator[](int i) const { return elements[i]; }
};

/// True where `load_vec<N>` of elements from `p` on is aligned.
template <int N, class T>
bool is_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % (N * sizeof(T)) == 0;
}

}  // namespace sparsert::backend
