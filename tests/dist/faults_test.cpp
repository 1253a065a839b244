// tests/dist/faults_test.cpp — peers that die, stall or lie, at each phase: no hang, one error for all, nothing lost.
#include "sparsert/dist.hpp"
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

/// Two steps: the first goes well, in the second a rank fails as planned.
void run_fault(int size, int who, const FaultPlan& plan) {
  SCOPED_TRACE(std::string(to_string(plan.fault)) + " of rank " + std::to_string(who) + " of " + std::to_string(size) +
               " in phase " + std::to_string(plan.phase) + (plan.only_to < 0 ? "" : ", to one peer"));
  std::vector<std::vector<float>> before(static_cast<std::size_t>(size));
  std::vector<std::vector<float>> after(static_cast<std::size_t>(size));
  const auto outcomes = run_ranks(dist::loopback(size), [&](int rank, std::unique_ptr<dist::Transport> end) {
    if (rank == who) end = std::make_unique<FaultyTransport>(std::move(end), plan);
    Group group(std::move(end), {.deadline = kDeadline});
    Compressor compressor({.ratio = 0.2});
    const gradient::Packet packet = compressor.compress(gradients_of(rank, 1, Values::small_integers));
    std::vector<float>& sum = before[static_cast<std::size_t>(rank)];  // all that was computed
    for (const auto& [name, gradient] : gradients_of(rank, 1, Values::small_integers)) {
      const auto part = to_vector<float>(gradient);
      if (name == "layer.bias") sum.insert(sum.begin(), part.begin(), part.end());
      else sum.insert(sum.end(), part.begin(), part.end());
    }
    try {
      return group.allreduce(packet);
    } catch (const dist::GroupError&) {
      compressor.restore(packet);
      after[static_cast<std::size_t>(rank)] = all_residuals(compressor);
      const auto start = std::chrono::steady_clock::now();
      EXPECT_THROW(group.allreduce(packet), dist::GroupError);
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100))
          << "the group is not poisoned";
      throw;
    }
  });
  std::optional<int> blamed;
  std::optional<dist::Phase> phase;
  for (int rank = 0; rank < size; ++rank) {
    const Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
    if (outcome.killed) continue;
    EXPECT_FALSE(outcome.result.has_value()) << "rank " << rank << " did not notice";
    if (rank == who) continue;  // a rank that stalls may see it otherwise: it has an error too
    EXPECT_LT(outcome.seconds, std::chrono::duration<double>(kDeadline).count() + 2.0) << "rank " << rank;
    if (!blamed) {
      blamed = outcome.blamed;
      phase = outcome.phase;
    }
    EXPECT_EQ(outcome.blamed, who) << "rank " << rank;
    EXPECT_EQ(outcome.blamed, *blamed);
    EXPECT_EQ(outcome.phase, *phase) << "rank " << rank;
    EXPECT_TRUE(same_bits(after[static_cast<std::size_t>(rank)], before[static_cast<std::size_t>(rank)]))
        << "rank " << rank << " lost something";
  }
}

class Faults : public ::testing::TestWithParam<Fault> {};

TEST_P(Faults, AreOneErrorOnEveryRankThatIsLeft) {
  int runs = 0;
  for (const int size : {2, 3, 4}) {
    for (int who = 0; who < size; ++who) {
      for (int phase = 0; phase < 3; ++phase) {
        FaultPlan plan{GetParam(), phase, -1, std::chrono::milliseconds(0)};
        if (plan.fault == Fault::stop) plan.pause = kDeadline + std::chrono::milliseconds(1200);
        if (plan.fault == Fault::late) plan.pause = kDeadline + std::chrono::milliseconds(200);
        run_fault(size, who, plan);
        ++runs;
        if (size < 3) continue;
        plan.only_to = (who + 1) % size;
        run_fault(size, who, plan);
        ++runs;
      }
    }
  }
  RecordProperty("runs", runs);
  EXPECT_EQ(runs, 48);  // of each of six faults: 288
}

INSTANTIATE_TEST_SUITE_P(Each, Faults, ::testing::ValuesIn(kFaults),
                         [](const auto& info) { return to_string(info.param); });

TEST(FaultsOfOne, ARankThatDiesWhileAllAgreeIsSeenByAllOrNone) {
  for (const int size : {3, 4}) {
    for (int who = 0; who < size; ++who) {
      for (const int only_to : {-1, (who + 1) % size, (who + 2) % size}) {
        const FaultPlan plan{Fault::kill, 3, only_to, std::chrono::milliseconds(0)};
        const auto outcomes = run_ranks(dist::loopback(size), [&](int rank, std::unique_ptr<dist::Transport> end) {
          if (rank == who) end = std::make_unique<FaultyTransport>(std::move(end), plan);
          Group group(std::move(end), {.deadline = kDeadline});
          Compressor compressor({.ratio = 0.2});
          return group.allreduce(compressor.compress(gradients_of(rank, 1)));
        });
        int succeeded = 0;
        int failed = 0;
        for (int rank = 0; rank < size; ++rank) {
          if (rank == who) continue;
          const Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
          ++(outcome.result ? succeeded : failed);
          EXPECT_TRUE(outcome.result.has_value() || outcome.blamed == who);
        }
        EXPECT_TRUE(succeeded == 0 || failed == 0) << succeeded << " went on, " << failed << " did not";
      }
    }
  }
}

TEST(FaultsOfOne, ADelayWithinTheDeadlineIsNone) {
  for (int phase = 0; phase < 5; ++phase) {
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
