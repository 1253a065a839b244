// tools/verify/outcome.hpp — one case on one device, compared with the reference.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/verify/grid.hpp"

namespace sparsert::verify {

inline constexpr Device kBaseline{Device::Type::reference, 0};

/// Where a device's outcome of a case first differs from the reference's: in an element of an output, or in the error.
struct CaseDifference {
  std::optional<std::size_t> output;  ///< none: one of the two threw
  std::int64_t element = 0;
  std::string got;
  std::string expected;
};

/// Nothing where bits or errors agree. Throws `DeviceLost`: nothing after it on the device can be trusted.
std::optional<CaseDifference> difference_from_reference(const Case& one, const Device& device);

}  // namespace sparsert::verify
