// tests/dist/support.hpp — ranks as threads, and transports that fail on purpose.
#pragma once

#include <barrier>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "sparsert/dist.hpp"
#include "tests/support.hpp"

namespace sparsert::test {

enum class Fault { kill, stop, late, corrupt, drop, cut, mismatch };
inline constexpr Fault kFaults[] = {Fault::kill, Fault::stop, Fault::late,    Fault::corrupt,
                                    Fault::drop, Fault::cut,  Fault::mismatch};

inline const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::kill: return "kill";
    case Fault::stop: return "stop";
    case Fault::late: return "late";
    case Fault::corrupt: return "corrupt";
    case Fault::drop: return "drop";
    case Fault::cut: return "cut";
    case Fault::mismatch: return "mismatch";
  }
  return "";
}

/// What a rank that is killed throws: its thread ends, as a process would.
struct Killed {};

/// Fails at a phase: at its first message there, or only at the one to `only_to`.
struct FaultPlan {
  Fault fault;
  int phase;         // 0 to 5: fingerprint, counts, payload, reduced, commit, second commit
  int only_to = -1;  // -1: all peers
  std::chrono::milliseconds pause{0};
};

class FaultyTransport : public dist::Transport {
 public:
  FaultyTransport(std::unique_ptr<dist::Transport> inner, FaultPlan plan) : inner_(std::move(inner)), plan_(plan) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::optional<dist::Message> receive(int from) override { return inner_->receive(from); }
  void wait(std::chrono::microseconds limit) override { inner_->wait(limit); }

  void send(int to, dist::Message message) override {
    const bool hit = static_cast<int>(message[4]) == plan_.phase && (plan_.only_to < 0 || plan_.only_to == to);
    if (!hit) return inner_->send(to, std::move(message));
    switch (plan_.fault) {
      case Fault::kill: throw Killed{};
      case Fault::stop:
      case Fault::late:
        if (!paused_) std::this_thread::sleep_for(plan_.pause);
        paused_ = true;
        break;
      case Fault::corrupt: message[message.size() / 2] ^= std::byte{0x10}; break;
      case Fault::drop: return;
      case Fault::cut: message.resize(message.size() / 2); break;
      case Fault::mismatch: break;  // of what is sent, not of how
    }
    inner_->send(to, std::move(message));
  }

 private:
  std::unique_ptr<dist::Transport> inner_;
  FaultPlan plan_;
  bool paused_ = false;
};

/// What became of a rank.
struct Outcome {
  bool killed = false;
  std::optional<gradient::NamedTensors> result;
  int blamed = -1;
  dist::Phase phase = dist::Phase::fingerprint;
  double seconds = 0;
};

/// Runs `body(rank, transport)` on a thread for each rank.
inline std::vector<Outcome> run_ranks(
    std::vector<std::unique_ptr<dist::Transport>> ends,
    const std::function<gradient::NamedTensors(int, std::unique_ptr<dist::Transport>)>& body) {
  std::vector<Outcome> outcomes(ends.size());
  std::vector<std::thread> threads;
  std::barrier together(static_cast<std::ptrdiff_t>(ends.size()));
  for (std::size_t r = 0; r < ends.size(); ++r) {
    threads.emplace_back([&, r] {
      together.arrive_and_wait();
      const auto start = std::chrono::steady_clock::now();
      try {
        outcomes[r].result = body(static_cast<int>(r), std::move(ends[r]));
      } catch (const Killed&) {
        outcomes[r].killed = true;
      } catch (const dist::GroupError& error) {
        outcomes[r].blamed = error.rank();
        outcomes[r].phase = error.phase();
      }
      outcomes[r].seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

inline gradient::NamedTensors gradients_of(int rank, std::int64_t step, Values kind = Values::wide) {
  const auto seed = static_cast<std::uint64_t>(1000 * step + rank);
  return {{"layer.weight", Tensor::from(make_values(kind, 60, seed), {6, 10})},
          {"layer.bias", Tensor::from(make_values(kind, 7, seed + 500), {7})}};
}

}  // namespace sparsert::test
