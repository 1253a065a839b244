// runtime/files/json.hpp — the strings of a small JSON file, without a document in memory.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/files/source.hpp"

namespace sparsert::files {

/// A string of a JSON file, and the keys and positions on the way to it.
struct JsonString {
  std::vector<std::string> path;
  std::string value;
};

/// All strings of a JSON file of at most 64 MiB, in order. Throws `FileError` for what is no JSON, nests deeper than 8,
/// or has the same key twice.
std::vector<JsonString> json_strings(const Bytes& bytes);

}  // namespace sparsert::files
