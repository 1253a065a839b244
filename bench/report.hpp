// bench/report.hpp — a run of the cases as JSON (docs/schemas/bench.schema.json) and as text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/suite.hpp"

namespace sparsert::bench {

/// What the user asked for.
struct Options {
  std::string op;  ///< only cases of operations that contain it; "": all
  std::string device = "cpu";
  std::vector<int> threads{1};  ///< one run for each
  bool quick = false;
  double seconds = 1.0;                 ///< a case may take, without its preparation
  std::vector<std::string> peer_paths;  ///< folders with libraries of peers
};

/// Called with a line of the table when a case is done, and with notes worth a line of their own.
using Progress = std::function<void(const std::string& line)>;

/// Measures ceilings, then every case. Throws `sparsert::Error` where a result of ours is wrong.
Json run_bench(const Options& options, const Progress& progress);

/// One case of the JSON as a line of a table; `header()` is its heading.
std::string to_line(const Json& result);
std::string header();

}  // namespace sparsert::bench
