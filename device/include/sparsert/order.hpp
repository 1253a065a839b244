// sparsert/order.hpp — how an operation orders its sums.
#pragma once

#include <cstdint>

namespace sparsert {

/// `canonical`: the same bits on every device, in any format, with any number of threads.
/// `fast`: whatever is fastest, within the bound of docs/numerics.md.
enum class Order : std::uint8_t { canonical, fast };

}  // namespace sparsert
