// tools/stopwatch.cpp — the clock behind the latencies of `sparsert sweep` and `sparsert layers`.
#include "tools/stopwatch.hpp"

#include <chrono>
#include <thread>

#include "tools/cli.hpp"
#include "tools/sweep/statistics.hpp"

namespace sparsert::tools {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int Stopwatch::run(const Limits& limits) {
  const auto start = std::chrono::steady_clock::now();
  int rounds = 0;
  Progress progress("timing round", static_cast<std::size_t>(limits.max_rounds));
  for (; rounds < limits.max_rounds; ++rounds) {
    if (rounds >= limits.min_rounds && seconds_since(start) > limits.seconds) break;
    for (Action& action : actions_) {
      action.run();
      const auto before = std::chrono::steady_clock::now();
      action.run();
      action.times_ms.push_back(seconds_since(before) * 1e3);
      if (action.pause.count() > 0) std::this_thread::sleep_for(action.pause);
    }
    progress.advance();
  }
  return rounds;
}

double Stopwatch::median_ms(std::size_t action) const { return sweep::median(actions_[action].times_ms); }

}  // namespace sparsert::tools
