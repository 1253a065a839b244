// kernels/cpu/scratch.hpp — working memory of CPU kernels, from the device's pool: no page faults once it is warm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "sparsert/buffer.hpp"

namespace sparsert::backend::cpu {

/// `count` elements with undefined contents. Throws `OutOfMemory`.
template <class T>
class Scratch {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Scratch(std::int64_t count, const Stream& stream)
      : buffer_(static_cast<std::size_t>(count) * sizeof(T), stream), count_(count) {}

  T* data() noexcept { return static_cast<T*>(buffer_.data()); }
  const T* data() const noexcept { return static_cast<const T*>(buffer_.data()); }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + count_; }
  T& operator[](std::int64_t i) noexcept { return data()[i]; }
  const T& operator[](std::int64_t i) const noexcept { return data()[i]; }

 private:
  Buffer buffer_;
  std::int64_t count_;
};

}  // namespace sparsert::backend::cpu
