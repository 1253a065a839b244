// runtime/advice_cache.hpp — advice that outlives the process: one JSON file, read once, written whole.
#pragma once

#include <optional>
#include <string>

#include "sparsert/advise.hpp"

namespace sparsert {

/// Advice by key. Safe to call from several threads; a file that cannot be read or written is no error.
std::optional<Advice> cached_advice(const std::string& key);
void cache_advice(const std::string& key, const Advice& advice);

}  // namespace sparsert
