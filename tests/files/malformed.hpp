// tests/files/malformed.hpp — malformed files made byte by byte: each has to give FileError with the words of its rule.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/files/support.hpp"

namespace sparsert::test {

struct Case {
  std::string rule;
  std::string bytes;
  std::vector<std::string> words;  // of the message
  bool when_read = false;          // the tables are in order, and what a tensor holds is not
};

using Cases = std::vector<Case>;

inline void append(Cases& cases, Cases more) {
  for (Case& one : more) cases.push_back(std::move(one));
}

/// Writes each case to `path` and expects its error, from `inspect_file` and from `load`.
inline void expect_errors(const std::filesystem::path& path, const Cases& cases) {
  ::testing::Test::RecordProperty("cases", static_cast<int>(cases.size()));
  for (const Case& one : cases) {
    const ::testing::ScopedTrace trace(__FILE__, __LINE__, one.rule);
    write_file(path, one.bytes);
    if (one.when_read) {
      EXPECT_NO_THROW(inspect_file(path));
    } else {
      expect_error(ErrorCode::file, one.words, [&] { inspect_file(path); });
    }
    expect_error(ErrorCode::file, one.words, [&] { load(path); });
  }
}

inline std::string little(std::uint64_t value, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(i < 8 ? value >> (8 * i) : 0);
  return out;
}

}  // namespace sparsert::test
