// sparsert/operations.hpp — which operation runs on which backend of this build.
#pragma once

#include <string>
#include <vector>

#include "sparsert/device.hpp"

namespace sparsert {

/// One operation of the library, and the backends that have it.
struct OperationInfo {
  std::string name;
  std::string family;                  ///< operations of a family share a source file in every backend
  std::vector<Device::Type> backends;  ///< built into this library, usable here or not
};

/// Every operation, in the order of the families.
std::vector<OperationInfo> operations();

}  // namespace sparsert
