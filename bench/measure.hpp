// bench/measure.hpp — how time is taken: contenders in turn, many short samples, disturbed ones dropped.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace sparsert::bench {

/// Seconds of a monotonic clock.
double now() noexcept;

/// One measured call (the mean of a short series), and whether the kernel took the processor away meanwhile.
struct Sample {
  double seconds;      ///< by the clock on the wall
  double cpu_seconds;  ///< of processor time, all threads of the process together
  bool disturbed;
};

/// What the samples of one contender say.
struct Timing {
  double min = 0;
  double median = 0;
  int samples = 0;         ///< that the figures stand on
  int dropped = 0;         ///< disturbed and left out
  bool disturbed = false;  ///< too few undisturbed samples: the figures stand on all of them
  bool cpu_time = false;   ///< and, one thread being at work, on its processor time
  double processors = 0;   ///< processor time over time on the wall: the threads that were really at work
};

/// Minimum and median of the undisturbed samples. Where fewer than three were undisturbed (a long call on a busy
/// machine), of all of them: by processor time if all the work is one thread's (unless others of the process spin,
/// then by whichever is less), else by the clock on the wall.
Timing summarize(std::span<const Sample> samples, bool one_thread);

/// How long a case may be measured.
struct Effort {
  double case_seconds = 1.0;      ///< all contenders together
  double sample_seconds = 0.002;  ///< a sample repeats the call until it takes about this long
  int min_rounds = 5;             ///< whatever the time
  int max_rounds = 400;
};

/// Times every contender once per round, in turn, so that a slow moment of the machine meets them all alike.
/// Each is called once before its sample, so that all find the caches as they leave them.
std::vector<Timing> time_interleaved(std::span<const std::function<void()>> runs, const Effort& effort,
                                     bool one_thread);

}  // namespace sparsert::bench
