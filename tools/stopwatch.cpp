// tools/stopwatch.cpp — the clock behind the latencies of `sparsert sweep` and `sparsert layers`.
#include "tools/stopwatch.hpp"

#include <chrono>

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
    for (auto& [action, times] : actions_) {
      action();
      const auto before = std::chrono::steady_clock::now();
      action();
      times.push_back(seconds_since(before) * 1e3);
    }
    progress.advance();
  }
  return rounds;
}

double Stopwatch::median_ms(std::size_t action) const { return sweep::median(actions_[action].second); }

}  // namespace sparsert::tools
