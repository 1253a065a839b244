// kernels/cpu/widened.hpp — arrays of 16-bit floats as arrays of accumulators, for kernels that know only those.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "device/parallel.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu {

inline constexpr std::int64_t kWidenGrain = 1 << 15;  // elements of a task

/// `n` elements as accumulators: the array itself, or a copy.
template <class T>
class Widened {
 public:
  using A = Compute<T>;

  Widened(const void* from, std::int64_t n, const Stream& stream) {
    const auto* const x = static_cast<const T*>(from);
    if constexpr (std::is_same_v<A, T>) {
      data_ = x;
    } else {
      copy_.emplace(n, stream);
      A* const out = copy_->data();
      parallel_for(n, kWidenGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = widen(x[i]);
      });
      data_ = out;
    }
  }

  const A* data() const noexcept { return data_; }

 private:
  std::optional<Scratch<A>> copy_;
  const A* data_ = nullptr;
};

/// Where a kernel writes `n` accumulators that become elements: the output itself, or memory that `finish` rounds.
template <class T>
class Narrowed {
 public:
  using A = Compute<T>;

  Narrowed(void* out, std::int64_t n, const Stream& stream) : out_(static_cast<T*>(out)), n_(n) {
    if constexpr (!std::is_same_v<A, T>) sums_.emplace(n, stream);
  }

  A* data() noexcept {
    if constexpr (std::is_same_v<A, T>) return out_;
    else return sums_->data();
  }

  void finish() {
    if constexpr (!std::is_same_v<A, T>) {
      const A* const sums = sums_->data();
      parallel_for(n_, kWidenGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out_[i] = narrow<T>(sums[i]);
      });
    }
  }

 private:
  T* out_;
  std::int64_t n_;
  std::optional<Scratch<A>> sums_;
};

}  // namespace sparsert::backend::cpu
