// device/simt/record.hpp — how the engine hands in what a launch counted.
#pragma once

#include <string>

#include "device/simt/simt.hpp"

namespace sparsert::simt {

/// Adds to the counters of a kernel.
void record(const std::string& kernel, const Counters& launch);

}  // namespace sparsert::simt
