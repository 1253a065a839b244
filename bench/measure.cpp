// bench/measure.cpp — the timing loop and its statistics.
#include "bench/measure.hpp"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace sparsert::bench {
namespace {

constexpr int kEnoughUndisturbed = 3;
constexpr double kSlowCall = 0.02;  // seconds from which a call in a sample's place of warming up is not worth its time

long involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

double cpu_now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double time_once(const std::function<void()>& run) {
  const double start = now();
  run();
  return now() - start;
}

Sample take_sample(const std::function<void()>& run, int calls) {
  const long before = involuntary_switches();
  const double cpu_start = cpu_now();
  const double start = now();
  for (int i = 0; i < calls; ++i) run();
  const double seconds = (now() - start) / calls;
  const double cpu_seconds = (cpu_now() - cpu_start) / calls;
  return {seconds, cpu_seconds, involuntary_switches() != before};
}

}  // namespace

double now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Timing summarize(std::span<const Sample> samples, bool one_thread) {
  std::vector<double> kept;
  for (const Sample& sample : samples) {
    if (!sample.disturbed) kept.push_back(sample.seconds);
  }
  Timing timing;
  timing.dropped = static_cast<int>(samples.size() - kept.size());
  if (static_cast<int>(kept.size()) < kEnoughUndisturbed && kept.size() < samples.size()) {
    kept.clear();
    for (const Sample& sample : samples)
      kept.push_back(one_thread ? std::min(sample.cpu_seconds, sample.seconds) : sample.seconds);
    timing.dropped = 0;
    timing.disturbed = true;
    timing.cpu_time = one_thread;
  }
  if (kept.empty()) return timing;
  std::vector<double> processors;
  for (const Sample& sample : samples) processors.push_back(sample.cpu_seconds / sample.seconds);
  timing.processors = median_of(processors);
  timing.samples = static_cast<int>(kept.size());
  timing.min = *std::min_element(kept.begin(), kept.end());
  timing.median = median_of(kept);
  return timing;
}

std::vector<Timing> time_interleaved(std::span<const std::function<void()>> runs, const Effort& effort,
                                     bool one_thread) {
  std::vector<int> calls;
  std::vector<bool> warm;
  for (const auto& run : runs) {
    run();
    const double once = std::min(time_once(run), time_once(run));
    calls.push_back(std::clamp(static_cast<int>(effort.sample_seconds / std::max(once, 1e-9)), 1, 100'000));
    warm.push_back(once < kSlowCall);
  }
  std::vector<std::vector<Sample>> samples(runs.size());
  const double deadline = now() + effort.case_seconds;
  for (int round = 0; round < effort.max_rounds && (round < effort.min_rounds || now() < deadline); ++round) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (warm[i]) runs[i]();
      samples[i].push_back(take_sample(runs[i], calls[i]));
    }
  }
  std::vector<Timing> timings;
  for (const auto& of_run : samples) timings.push_back(summarize(of_run, one_thread));
  return timings;
}

}  // namespace sparsert::bench
