// runtime/files/names.hpp — names of tensors in messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparsert::files {

/// True for valid UTF-8 without a zero byte, as Python and JSON can hold it.
bool is_utf8(std::string_view text) noexcept;

/// Text of a file, fit for a message: in quotes, shortened, control characters escaped.
std::string in_quotes(std::string_view text);

/// "; close names are ..." with up to three, nearest first; or how many names there are, where none is close.
std::string close_names(std::string_view wanted, const std::vector<std::string_view>& names);

}  // namespace sparsert::files
