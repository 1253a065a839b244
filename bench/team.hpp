// bench/team.hpp — a few threads that do the same thing at once: the ceilings at more than one thread.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace sparsert::bench {

/// `count` threads, the caller being the first. The others sleep between runs, so they disturb nothing.
class Team {
 public:
  explicit Team(int count);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  /// Calls `body(member)` on every member at once; returns when all are done.
  void run(const std::function<void(int member)>& body);

 private:
  std::atomic<int> round_{0};
  std::atomic<int> done_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int)>* body_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace sparsert::bench
