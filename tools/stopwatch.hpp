// tools/stopwatch.hpp — times several actions in turn, so that whatever disturbs the machine disturbs all of them.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace sparsert::tools {

/// Rounds over a list of actions. Each is run once to warm up, and once on the clock.
class Stopwatch {
 public:
  /// What it costs: at least `min_rounds`, then until `seconds` are over or `max_rounds` are done.
  struct Limits {
    int min_rounds = 9;
    int max_rounds = 201;
    double seconds = 4;
  };

  void add(std::function<void()> action) { actions_.emplace_back(std::move(action), std::vector<double>{}); }

  /// Gives the number of rounds.
  int run(const Limits& limits);

  /// The median time of the action that was added as number `action`.
  double median_ms(std::size_t action) const;

 private:
  std::vector<std::pair<std::function<void()>, std::vector<double>>> actions_;
};

}  // namespace sparsert::tools
