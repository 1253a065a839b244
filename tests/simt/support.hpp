// tests/simt/support.hpp — memory and orders for tests of the simt device itself.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "device/simt/simt.hpp"
#include "tests/support.hpp"

namespace sparsert::test {

inline Stream simt_stream() { return Stream(Device{Device::Type::simt, 0}); }

/// Memory of the simt device, of exactly n elements, that the test reads and writes too.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t n, T fill = T{}) : n_(n), buffer_(n * sizeof(T), simt_stream()) {
    std::fill_n(data(), n, fill);
  }

  T* data() { return static_cast<T*>(buffer_.data()); }
  T& operator[](std::size_t i) { return data()[i]; }
  std::vector<T> values() { return {data(), data() + n_}; }

 private:
  std::size_t n_;
  Buffer buffer_;
};

/// Runs `f` in forward and in reverse order of threads and blocks, and puts the old order back.
template <class F>
void in_both_orders(F f) {
  const simt::ThreadOrder before = simt::order();
  for (const simt::ThreadOrder order : {simt::ThreadOrder::forward, simt::ThreadOrder::reverse}) {
    SCOPED_TRACE(order == simt::ThreadOrder::forward ? "forward" : "reverse");
    simt::set_order(order);
    f();
  }
  simt::set_order(before);
}

}  // namespace sparsert::test
