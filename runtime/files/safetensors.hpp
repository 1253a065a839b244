// runtime/files/safetensors.hpp — the safetensors container: a length, a JSON header, and the bytes of the tensors.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "runtime/files/element.hpp"
#include "runtime/files/format.hpp"

namespace sparsert::files::safetensors {

inline constexpr const char* kFormat = "safetensors";
inline constexpr std::uint64_t kPrefixBytes = 8;  ///< the length of the header, little-endian
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr std::size_t kMaxMetadataEntries = 100'000;
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// An element type as the format spells it.
struct TypeName {
  std::string_view name;
  unsigned bits;
  std::optional<Element> element;  ///< none: it can be listed, not loaded
};

/// All of them.
std::span<const TypeName> type_names() noexcept;

/// True where a '{' follows the eight bytes of a length.
bool sniff(const Source& source);

/// True where the length would fit the format's limit, or where the file is too short for one.
bool is_plausible(const Source& source);

/// Reads and checks the header. Everything it says of places and sizes is proven when this returns.
std::unique_ptr<Reader> open(const Source& source);

/// Writes a state to an open file, without `commit`. Throws `Error{invalid_argument}` for what the format cannot hold.
void write(OutputFile& file, const StateDict& state);

}  // namespace sparsert::files::safetensors
