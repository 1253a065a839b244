// device/parallel.hpp — loops over the CPU backend's threads. No result may depend on how a loop is split.
#pragma once

#include <cstdint>
#include <functional>

namespace sparsert {

/// Calls `body(begin, end)` over disjoint parts of [0, n), each of `grain` items (the last may be shorter),
/// on `num_threads()` threads. An exception from any part comes out of the call.
void parallel_for(std::int64_t n, std::int64_t grain,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& body);

}  // namespace sparsert
