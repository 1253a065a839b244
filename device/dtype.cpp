// device/dtype.cpp — element types by name.
#include "sparsert/dtype.hpp"

#include <array>
#include <string>

#include "sparsert/error.hpp"

namespace sparsert {
namespace {

constexpr std::array<std::string_view, 8> kNames{"bool",    "uint8",    "int32",   "int64",
                                                 "float16", "bfloat16", "float32", "float64"};

}  // namespace

std::string_view to_string(DType dtype) noexcept { return kNames[static_cast<std::size_t>(dtype)]; }

DType dtype_from_string(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<DType>(i);
  }
  throw Error(ErrorCode::invalid_argument,
              "dtype: got \"" + std::string(name) +
                  "\", expected bool, uint8, int32, int64, float16, bfloat16, float32 or float64");
}

}  // namespace sparsert
