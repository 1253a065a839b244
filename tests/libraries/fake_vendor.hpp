// tests/libraries/fake_vendor.hpp — what the doubles of cuBLAS and cuSPARSE share: element types, and a call that
// fails.
#pragma once

#include <cstdint>
#include <cstring>

#include "sparsert/dtype.hpp"
#include "tests/fake_cudart/fake_cudart.hpp"

namespace fake_vendor {

// cudaDataType
constexpr int kR32F = 0;
constexpr int kR64F = 1;
constexpr int kR16F = 2;
constexpr int kR16BF = 14;

inline std::size_t size_of(int type) { return type == kR64F ? 8 : type == kR32F ? 4 : 2; }

inline bool is_type(int type) { return type == kR32F || type == kR64F || type == kR16F || type == kR16BF; }

inline double load(const void* data, std::int64_t i, int type) {
  switch (type) {
    case kR64F: return static_cast<const double*>(data)[i];
    case kR32F: return static_cast<const float*>(data)[i];
    case kR16F: return sparsert::to_float(static_cast<const sparsert::float16*>(data)[i]);
    default: return sparsert::to_float(static_cast<const sparsert::bfloat16*>(data)[i]);
  }
}

/// Rounded once, from the accumulator's type.
inline void store(void* data, std::int64_t i, int type, double value) {
  switch (type) {
    case kR64F: static_cast<double*>(data)[i] = value; break;
    case kR32F: static_cast<float*>(data)[i] = static_cast<float>(value); break;
    case kR16F: static_cast<sparsert::float16*>(data)[i] = sparsert::to_float16(static_cast<float>(value)); break;
    default: static_cast<sparsert::bfloat16*>(data)[i] = sparsert::to_bfloat16(static_cast<float>(value)); break;
  }
}

/// A scalar of the compute type.
inline double scalar(const void* data, int type) { return load(data, 0, type); }

/// Counts calls, and lets one give a status.
struct Control {
  std::int64_t calls = 0;
  std::int64_t products = 0;
  std::int64_t fail_at = -1;
  int fail_with = 0;

  /// The status that this call is to give, or 0.
  int enter() { return ++calls == fail_at ? fail_with : 0; }
  void fail(std::int64_t n, int status) {
    fail_at = calls + n;
    fail_with = status;
  }
};

}  // namespace fake_vendor
