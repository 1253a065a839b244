// device/config.hpp — what this library was built with.
#pragma once

namespace sparsert {

inline constexpr bool kWithSimt = SPARSERT_WITH_SIMT;
inline constexpr bool kWithCuda = SPARSERT_WITH_CUDA;

}  // namespace sparsert
