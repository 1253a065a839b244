// tools/stopwatch.hpp — times several actions in turn, so that whatever disturbs the machine disturbs all of them.
#pragma once

#include <chrono>
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

  /// `pause`: what to wait after it, for a library whose threads go on spinning when it has returned.
  void add(std::function<void()> action, std::chrono::milliseconds pause = {}) {
    actions_.push_back({std::move(action), pause, {}});
  }

  /// Gives the number of rounds.
  int run(const Limits& limits);

  /// The median time of the action that was added as number `action`.
  double median_ms(std::size_t action) const;

 private:
  struct Action {
    std::function<void()> run;
    std::chrono::milliseconds pause;
    std::vector<double> times_ms;
  };
  std::vector<Action> actions_;
};

}  // namespace sparsert::tools
