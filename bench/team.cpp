// bench/team.cpp — start together, wait for the last.
#include "bench/team.hpp"

namespace sparsert::bench {

Team::Team(int count) {
  for (int member = 1; member < count; ++member) {
    workers_.emplace_back([this, member] {
      for (int seen = 0;; ++seen) {
        round_.wait(seen, std::memory_order_acquire);
        if (stop_.load(std::memory_order_relaxed)) return;
        (*body_)(member);
        done_.fetch_add(1, std::memory_order_release);
      }
    });
  }
}

Team::~Team() {
  stop_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::run(const std::function<void(int)>& body) {
  body_ = &body;
  done_.store(0, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  body(0);
  while (done_.load(std::memory_order_acquire) != static_cast<int>(workers_.size())) std::this_thread::yield();
}

}  // namespace sparsert::bench
