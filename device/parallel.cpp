// device/parallel.cpp — oneTBB behind parallel_for, in an arena of the size the user asked for.
#include "device/parallel.hpp"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>

#include "sparsert/device.hpp"
#include "sparsert/error.hpp"

namespace sparsert {
namespace {

int machine_threads() { return std::max(1, oneapi::tbb::info::default_concurrency()); }

struct Pool {
  std::mutex mutex;
  int threads = machine_threads();
  std::shared_ptr<oneapi::tbb::task_arena> arena = std::make_shared<oneapi::tbb::task_arena>(threads);
};

// Leaked on purpose: worker threads may outlive static destruction.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

void set_num_threads(int threads) {
  require(threads >= 0 && threads <= 4096,
          [&] { return "set_num_threads: got " + std::to_string(threads) + ", expected 0 (all) to 4096"; });
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  p.threads = threads == 0 ? machine_threads() : threads;
  p.arena = std::make_shared<oneapi::tbb::task_arena>(p.threads);
}

int num_threads() noexcept {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  return p.threads;
}

void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t parts = (n + grain - 1) / grain;
  if (parts == 1) {
    body(0, n);
    return;
  }
  std::shared_ptr<oneapi::tbb::task_arena> arena;
  {
    Pool& p = pool();
    const std::lock_guard lock(p.mutex);
    if (p.threads > 1) arena = p.arena;
  }
  if (!arena) {
    for (std::int64_t part = 0; part < parts; ++part) body(part * grain, std::min(n, (part + 1) * grain));
    return;
  }
  arena->execute([&] {
    oneapi::tbb::parallel_for(std::int64_t{0}, parts,
                              [&](std::int64_t part) { body(part * grain, std::min(n, (part + 1) * grain)); });
  });
}

}  // namespace sparsert
