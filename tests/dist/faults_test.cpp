// tests/dist/faults_test.cpp — peers that die, stall or lie, at each phase: no hang, one error for all, nothing lost.
#include "sparsert/dist.hpp"

#include <atomic>
#include <string>

#include "tests/dist/support.hpp"

namespace sparsert::test {
namespace {

using dist::Group;
using gradient::Compressor;

constexpr std::chrono::milliseconds kDeadline{300};  // of which a busy machine may take a good part

std::vector<float> all_residuals(const Compressor& compressor) {
  std::vector<float> all;
  const Compressor::State state = compressor.state();
  for (const auto& [name, residual] : state.residuals) {
    const auto part = to_vector<float>(residual);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

struct FaultRun {
  int size;
  int who;
  FaultPlan plan;
  dist::Algorithm algorithm = dist::Algorithm::packets;
};

std::string name_of(const FaultRun& run) {
  return std::string(to_string(run.plan.fault)) + " of rank " + std::to_string(run.who) + " of " +
         std::to_string(run.size) + " in phase " + std::to_string(run.plan.phase) +
         (run.plan.only_to < 0 ? "" : ", to rank " + std::to_string(run.plan.only_to)) +
         (run.algorithm == dist::Algorithm::ranges ? ", by ranges" : "");
}

std::vector<float> flat_gradients(int rank) {
  std::vector<float> all;
  for (const auto& [name, gradient] : gradients_of(rank, 1, Values::small_integers)) {
    const auto part = to_vector<float>(gradient);
    all.insert(name == "layer.bias" ? all.begin() : all.end(), part.begin(), part.end());
  }
  return all;
}

/// A collective in which a rank fails as planned.
void run_fault(const FaultRun& run) {
  SCOPED_TRACE(name_of(run));
  std::vector<std::vector<float>> after(static_cast<std::size_t>(run.size));
  const auto outcomes = run_ranks(dist::loopback(run.size), [&](int rank, std::unique_ptr<dist::Transport> end) {
    const bool faulty = rank == run.who;
    if (faulty) end = std::make_unique<FaultyTransport>(std::move(end), run.plan);
    Group group(std::move(end), {.deadline = kDeadline, .algorithm = run.algorithm});
    Compressor compressor({.ratio = faulty && run.plan.fault == Fault::mismatch ? 0.4 : 0.2});
    const gradient::Packet packet = compressor.compress(gradients_of(rank, 1, Values::small_integers));
    try {
      return group.allreduce(packet);
    } catch (const dist::GroupError&) {
      compressor.restore(packet);
      after[static_cast<std::size_t>(rank)] = all_residuals(compressor);
      EXPECT_TRUE(group.poisoned());
      EXPECT_THROW(group.allreduce(packet), dist::GroupError);
      throw;
    }
  });
  for (int rank = 0; rank < run.size; ++rank) {
    const Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
    if (outcome.killed) continue;
    EXPECT_FALSE(outcome.result.has_value()) << "rank " << rank << " did not notice";
    if (rank == run.who) continue;  // a rank that stalls may see it otherwise: it has an error too
    EXPECT_LT(outcome.seconds, std::chrono::duration<double>(kDeadline).count() + 2.0) << "rank " << rank;
    // Of two that differ none is more right: it is rank 1, everywhere.
    const bool tie = run.plan.fault == Fault::mismatch && run.size == 2;
    EXPECT_EQ(outcome.blamed, tie ? 1 : run.who) << "rank " << rank;
    EXPECT_EQ(static_cast<int>(outcome.phase), run.plan.phase) << "rank " << rank;
    EXPECT_TRUE(same_bits(after[static_cast<std::size_t>(rank)], flat_gradients(rank)))
        << "rank " << rank << " lost something";
  }
}

/// Whatever becomes of a rank or a message while all agree: all others go on, or all blame that rank.
void run_fault_of_agreement(const FaultRun& run) {
  SCOPED_TRACE(name_of(run));
  const auto outcomes = run_ranks(dist::loopback(run.size), [&](int rank, std::unique_ptr<dist::Transport> end) {
    if (rank == run.who) end = std::make_unique<FaultyTransport>(std::move(end), run.plan);
    Group group(std::move(end), {.deadline = kDeadline});
    Compressor compressor({.ratio = 0.2});
    return group.allreduce(compressor.compress(gradients_of(rank, 1)));
  });
  int succeeded = 0;
  int failed = 0;
  for (int rank = 0; rank < run.size; ++rank) {
    const Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
    if (rank == run.who) continue;
    ++(outcome.result ? succeeded : failed);
    EXPECT_TRUE(outcome.result.has_value() || outcome.blamed == run.who) << "rank " << rank;
  }
  EXPECT_TRUE(succeeded == 0 || failed == 0) << succeeded << " went on, " << failed << " did not";
  const Outcome& faulty = outcomes[static_cast<std::size_t>(run.who)];
  if (failed > 0) {
    EXPECT_FALSE(faulty.result.has_value()) << "it went on alone";
  }
}

/// Some at a time: a run mostly waits.
void run_all(const std::vector<FaultRun>& runs, void (*run)(const FaultRun&)) {
  constexpr std::size_t kAtATime = 4;
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> workers;
  for (std::size_t w = 0; w < kAtATime; ++w) {
    workers.emplace_back([&] {
      for (std::size_t i = next++; i < runs.size(); i = next++) run(runs[i]);
    });
  }
  for (std::thread& worker : workers) worker.join();
}

FaultPlan plan_of(Fault fault, int phase, int only_to) {
  FaultPlan plan{fault, phase, only_to, std::chrono::milliseconds(0)};
  if (fault == Fault::stop) plan.pause = kDeadline + std::chrono::milliseconds(1900);  // beyond the agreement's end
  if (fault == Fault::late) plan.pause = kDeadline + std::chrono::milliseconds(300);
  return plan;
}

class Faults : public ::testing::TestWithParam<Fault> {};

TEST_P(Faults, AreOneErrorOnEveryRankThatIsLeft) {
  using dist::Algorithm;
  std::vector<FaultRun> runs;
  for (const Algorithm algorithm : {Algorithm::packets, Algorithm::ranges}) {
    const bool by_ranges = algorithm == Algorithm::ranges;
    for (const int size : {2, 3, 4}) {
      for (int who = 0; who < size; ++who) {
        for (int phase = by_ranges ? 2 : 0; phase < (by_ranges ? 4 : 3); ++phase) {
          if (GetParam() == Fault::mismatch && phase > 0) continue;
          runs.push_back({size, who, plan_of(GetParam(), phase, -1), algorithm});
          if (size < 3 || GetParam() == Fault::mismatch) continue;
          runs.push_back({size, who, plan_of(GetParam(), phase, (who + 1) % size), algorithm});
        }
      }
    }
  }
  run_all(runs, run_fault);
  RecordProperty("runs", static_cast<int>(runs.size()));
  EXPECT_EQ(runs.size(), GetParam() == Fault::mismatch ? 9u : 80u);  // 489 in all
}

INSTANTIATE_TEST_SUITE_P(Each, Faults, ::testing::ValuesIn(kFaults),
                         [](const auto& info) { return to_string(info.param); });

TEST_P(Faults, OfTheAgreementAreSeenByAllOrNone) {
  if (GetParam() == Fault::mismatch) return;  // has no such phase
  std::vector<FaultRun> runs;
  for (const int size : {2, 3, 4}) {
    for (int who = 0; who < size; ++who) {
      for (const int kind : {4, 5}) {
        runs.push_back({size, who, plan_of(GetParam(), kind, -1)});
        if (size < 3) continue;
        runs.push_back({size, who, plan_of(GetParam(), kind, (who + 1) % size)});
        runs.push_back({size, who, plan_of(GetParam(), kind, (who + 2) % size)});
      }
    }
  }
  run_all(runs, run_fault_of_agreement);
}

TEST(FaultsOfOne, ADelayWithinTheDeadlineIsNone) {
  for (int phase = 0; phase < 6; ++phase) {
    const auto outcomes = run_ranks(dist::loopback(3), [&](int rank, std::unique_ptr<dist::Transport> end) {
      if (rank == 1) {
        end = std::make_unique<FaultyTransport>(std::move(end),
                                                FaultPlan{Fault::late, phase, -1, std::chrono::milliseconds(60)});
      }
      Group group(std::move(end), {.deadline = std::chrono::milliseconds(4000)});
      Compressor compressor({.ratio = 0.2});
      return group.allreduce(compressor.compress(gradients_of(rank, 1)));
    });
    for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.result.has_value()) << "phase " << phase;
  }
}

}  // namespace
}  // namespace sparsert::test
