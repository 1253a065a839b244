// runtime/dist/report.hpp — what a rank says of a collective, and what follows from all that was said.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sparsert/dist.hpp"

namespace sparsert::dist {

/// What is wrong, whose fault it is, and where.
struct Failure {
  int rank;
  Phase phase;
  std::string what;
};

/// What one rank saw. It says what it saw itself, never what it heard: a failure that is passed on keeps its author.
struct Report {
  int rank = 0;
  Phase phase = Phase::commit;        ///< where it stopped; commit: it got through
  bool well = false;                  ///< it got through, in time
  std::optional<Failure> evidence;    ///< a message that was damaged, missing or not what it should be
  std::vector<std::int32_t> waiting;  ///< whose messages of that phase had not come
  std::int64_t elapsed_us = 0;        ///< since it began
  std::int64_t away_us = 0;           ///< the longest time in which it did not look at the clock
};

using Reports = std::map<int, Report>;

std::vector<std::byte> to_bytes(const Report& report);

/// Throws `Error{invalid_argument}`.
Report report_from(std::span<const std::byte> bytes, int size);

/// The same from the same reports, on whatever rank; none where all of `size` ranks are well. docs/decisions.md has
/// the reasons.
std::optional<Failure> resolve(const Reports& reports, int size);

}  // namespace sparsert::dist
