// bench/machine.hpp — what a result must say of the machine and the build it comes from.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sparsert/device.hpp"

namespace sparsert::bench {

/// Bytes of the first processor's data cache of a level, 1 to 3: L1 and L2 are a core's own, L3 is what it shares.
std::int64_t cache_bytes(int level);

/// CPU, memory, load, system; and the GPU where the device is one.
nlohmann::ordered_json machine_json(const Device& device);

/// What makes the figures of this run unfair or unsteady, one sentence each.
std::vector<std::string> environment_notes();

/// The commit that the binary was built from, with "-dirty" where the tree had changes; "unknown" outside git.
std::string commit();

/// Now, as ISO 8601 in UTC.
std::string date();

}  // namespace sparsert::bench
