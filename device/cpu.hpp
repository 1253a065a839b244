// device/cpu.hpp — which instruction set the CPU kernels run on, and how a test forces another.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparsert {

/// The instruction sets of the CPU kernels that this machine can run, best first: "AVX3", "AVX2", ..., "scalar".
std::vector<std::string> cpu_targets();

/// The one in use. The environment variable SPARSERT_CPU_TARGET chooses at start; a name that this
/// machine cannot run is an error at the first use, never ignored.
std::string cpu_target();

/// Uses `target` from now on; "" goes back to the best. Throws `Error{invalid_argument}`.
/// Not while an operation runs.
void set_cpu_target(std::string_view target);

}  // namespace sparsert
