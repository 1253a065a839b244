// device/parallel.cpp — oneTBB behind parallel_for, in an arena of the size the user asked for.
#include "device/parallel.hpp"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#ifdef SPARSERT_TSAN
#include <exception>
#include <functional>
#include <vector>
#endif

#include "sparsert/device.hpp"
#include "sparsert/error.hpp"
#include "sparsert/interrupt.hpp"

namespace sparsert {
namespace {

std::atomic<InterruptCheck> interrupt_check{nullptr};

/// Asks the check, on the thread that called the operation, but not all the time.
class Interrupts {
 public:
  void poll() {
    const InterruptCheck check = interrupt_check.load(std::memory_order_relaxed);
    if (check == nullptr || std::this_thread::get_id() != caller_) return;
    using Clock = std::chrono::steady_clock;
    thread_local Clock::time_point last;
    const Clock::time_point now = Clock::now();
    if (now - last < std::chrono::milliseconds(20)) return;
    last = now;
    check();
  }

 private:
  std::thread::id caller_ = std::this_thread::get_id();
};

int machine_threads() { return std::max(1, oneapi::tbb::info::default_concurrency()); }

struct Pool {
  std::mutex mutex;
  int threads = machine_threads();
  bool forked = false;
  std::unique_ptr<oneapi::tbb::global_control>
      limit;  // raises TBB's own, where more threads than processors are wanted
  std::shared_ptr<oneapi::tbb::task_arena> arena = std::make_shared<oneapi::tbb::task_arena>(threads);
};

// Held while the process forks, so that the child finds the mutex free.
void hold_for_fork();
void release_in_parent();
void release_in_child();

// Leaked on purpose: worker threads may outlive static destruction.
Pool& pool() {
  static Pool* const instance = [] {
    pthread_atfork(hold_for_fork, release_in_parent, release_in_child);
    return new Pool;
  }();
  return *instance;
}

void hold_for_fork() { pool().mutex.lock(); }
void release_in_parent() { pool().mutex.unlock(); }
void release_in_child() {
  pool().forked = true;
  pool().mutex.unlock();
}

#ifdef SPARSERT_TSAN
/// Plain threads in the place of oneTBB, whose library ThreadSanitizer does not see into: half of its protocol looks
/// like races, and none of ours would be found behind them.
void run_parts(oneapi::tbb::task_arena& arena, std::int64_t parts, const std::function<void(std::int64_t)>& part) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&] {
    try {
      for (std::int64_t p = next++; p < parts; p = next++) part(p);
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
    }
  };
  std::vector<std::thread> team;
  for (int i = 1; i < arena.max_concurrency(); ++i) team.emplace_back(work);
  work();
  for (std::thread& member : team) member.join();
  if (error) std::rethrow_exception(error);
}
#else
template <class Part>
void run_parts(oneapi::tbb::task_arena& arena, std::int64_t parts, const Part& part) {
  arena.execute([&] { oneapi::tbb::parallel_for(std::int64_t{0}, parts, part); });
}
#endif

}  // namespace

void set_num_threads(int threads) {
  require(threads >= 0 && threads <= 4096,
          [&] { return "set_num_threads: got " + std::to_string(threads) + ", expected 0 (all) to 4096"; });
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  p.threads = threads == 0 ? machine_threads() : threads;
  p.limit.reset();
  if (p.threads > machine_threads()) {
    p.limit = std::make_unique<oneapi::tbb::global_control>(oneapi::tbb::global_control::max_allowed_parallelism,
                                                            static_cast<std::size_t>(p.threads));
  }
  p.arena = std::make_shared<oneapi::tbb::task_arena>(p.threads);
}

int num_threads() noexcept {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  return p.threads;
}

void set_interrupt_check(InterruptCheck check) noexcept { interrupt_check = check; }

void parallel_for(std::int64_t n, std::int64_t grain, LoopBody body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t parts = (n + grain - 1) / grain;
  if (parts == 1) {
    body(0, n);
    return;
  }
  Interrupts interrupts;
  const auto run_part = [&](std::int64_t part) {
    interrupts.poll();
    body(part * grain, std::min(n, (part + 1) * grain));
  };
  std::shared_ptr<oneapi::tbb::task_arena> arena;
  {
    Pool& p = pool();
    const std::lock_guard lock(p.mutex);
    if (p.threads > 1 && !p.forked) arena = p.arena;
  }
  if (!arena) {
    for (std::int64_t part = 0; part < parts; ++part) run_part(part);
    return;
  }
  run_parts(*arena, parts, run_part);
}

}  // namespace sparsert
