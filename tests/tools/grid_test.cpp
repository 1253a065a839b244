// tests/tools/grid_test.cpp — how much the equivalence grid covers: its cases by (operation, dtype, index type, shape,
// kind of values), however many variants (amounts, patterns, with a plan or without) each of them has.
#include "tools/verify/grid.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>

namespace sparsert::verify {
namespace {

constexpr std::size_t kCompared = 20'000;  // over the devices of CI that are compared with the reference: cpu and simt
constexpr std::size_t kDevices = 2;

bool is_dtype(const std::string& word) {
  for (int i = 0; i <= static_cast<int>(DType::float64); ++i) {
    if (word == to_string(static_cast<DType>(i))) return true;
  }
  return false;
}

bool is_kind(const std::string& word) {
  return std::ranges::any_of(equivalence::kAllValues, [&](auto kind) { return word == equivalence::to_string(kind); });
}

bool is_shape(const std::string& word) {
  return std::isdigit(static_cast<unsigned char>(word.front())) &&
         word.find_first_not_of("0123456789x") == std::string::npos;
}

/// "topk float32 3x64 k 6 normal" -> "topk float32 3x64 normal"
std::string key_of(const Case& one) {
  std::istringstream words(one.name);
  std::string word;
  words >> word;
  std::string key = word;
  for (std::string before = word; words >> word; before = word) {
    if (before == "k" || before == "amount") continue;
    if (is_dtype(word) || is_kind(word) || is_shape(word)) key += " " + word;
  }
  return key;
}

TEST(Grid, CoversEnough) {
  const std::vector<Case> grid = make_grid();
  std::set<std::string> keys;
  std::map<std::string, int> operations;
  for (const Case& one : grid) {
    keys.insert(key_of(one));
    ++operations[one.name.substr(0, one.name.find(' '))];
  }
  std::printf("%zu cases, %zu of them by (operation, dtype, index type, shape, values), of %zu operations\n",
              grid.size(), keys.size(), operations.size());
  EXPECT_GE(keys.size() * kDevices, kCompared);
}

}  // namespace
}  // namespace sparsert::verify
