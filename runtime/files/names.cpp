// runtime/files/names.cpp — names of tensors: globs, close names, and how they are quoted.
#include "runtime/files/names.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "sparsert/files.hpp"

namespace sparsert {
namespace files {
namespace {

constexpr std::size_t kMaxQuoted = 96;
constexpr std::size_t kMaxCompared = 10'000;  // names, so that a message stays cheap
constexpr std::size_t kMaxDistanceLength = 256;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0u) == 0x80u; }

// Edits between two texts: insertions, deletions and replacements of one byte.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// 0 for a name that holds the wanted one or is held by it, else the edits; none where they are not alike at all.
std::size_t difference(std::string_view wanted, std::string_view name) {
  constexpr std::size_t kUnlike = SIZE_MAX;
  if (wanted.empty() || name.empty() || std::max(wanted.size(), name.size()) > kMaxDistanceLength) return kUnlike;
  if (name.find(wanted) != name.npos || wanted.find(name) != wanted.npos) return 0;
  const std::size_t edits = edit_distance(wanted, name);
  return edits <= std::max<std::size_t>(2, wanted.size() / 3) ? edits : kUnlike;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t length = first < 0x80                    ? 1
                               : first >= 0xc2 && first < 0xe0 ? 2
                               : first >= 0xe0 && first < 0xf0 ? 3
                               : first >= 0xf0 && first < 0xf5 ? 4
                                                               : 0;
    if (first == 0 || length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if (!is_continuation(text[i + k])) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0u;
    // Overlong forms, surrogates, and what lies above U+10FFFF.
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second >= 0x90)) {
      return false;
    }
    i += length;
  }
  return true;
}

std::string in_quotes(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  const bool valid = is_utf8(text);
  std::size_t taken = 0;
  for (; taken < text.size(); ++taken) {
    const char c = text[taken];
    if (out.size() > kMaxQuoted && !(valid && is_continuation(c))) break;
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !valid)) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + (taken < text.size() ? "...\"" : "\"");
}

std::string close_names(std::string_view wanted, const std::vector<std::string_view>& names) {
  std::vector<std::pair<std::size_t, std::string_view>> close;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxCompared); ++i) {
    const std::size_t edits = difference(wanted, names[i]);
    if (edits != SIZE_MAX) close.emplace_back(edits, names[i]);
  }
  if (close.empty()) return " among " + std::to_string(names.size());
  std::stable_sort(close.begin(), close.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  close.resize(std::min<std::size_t>(close.size(), 3));
  std::string text;
  for (const auto& entry : close) text += (text.empty() ? "; close names: " : ", ") + in_quotes(entry.second);
  return text;
}

}  // namespace files

// Two pointers and one place to go back to, the last star: no recursion, at most pattern × name steps.
bool glob_match(std::string_view pattern, std::string_view name) noexcept {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = pattern.npos;
  std::size_t after_star = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      do ++n;
      while (n < name.size() && files::is_continuation(name[n]));
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != pattern.npos) {
      p = star + 1;
      n = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace sparsert
