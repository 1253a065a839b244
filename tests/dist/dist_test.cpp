// tests/dist/dist_test.cpp — sparse allreduce: the same bits on every rank, whatever the world and the cuts.
#include "sparsert/dist.hpp"

#include <set>

#include "sparsert/ops.hpp"

#include "tests/dist/support.hpp"

namespace sparsert::test {
namespace {

using dist::Group;
using gradient::Compressor;
using gradient::Packet;

/// Dense sums in ascending rank order, from what each rank sent.
std::vector<std::vector<float>> sum_oracle(const std::vector<Packet>& packets) {
  std::vector<std::vector<float>> totals;
  for (std::size_t s = 0; s < packets[0].sections().size(); ++s) {
    std::vector<float> total(static_cast<std::size_t>(element_count(packets[0].sections()[s].shape)));
    for (const Packet& packet : packets) {
      const gradient::Section& section = packet.sections()[s];
      for (std::size_t j = 0; j < section.indices.size(); ++j) {
        total[static_cast<std::size_t>(section.indices[j])] += section.values[j];
      }
    }
    totals.push_back(total);
  }
  return totals;
}

TEST(Allreduce, EveryRankHasTheBitsOfOneProcess) {
  using dist::Algorithm;
  for (const int size : {1, 2, 3, 4, 5, 8}) {
    for (const Algorithm algorithm : {Algorithm::automatic, Algorithm::packets, Algorithm::ranges}) {
      for (const std::int64_t max_message : {std::int64_t{64}, std::int64_t{1} << 30}) {
        for (const DType wire : {DType::float32, DType::float16}) {
          SCOPED_TRACE(std::to_string(size) + " ranks, " + std::to_string(max_message) + " bytes a message");
          constexpr int kSteps = 3;
          // What one process would compute.
          std::vector<std::vector<std::vector<float>>> expected;
          std::vector<std::vector<Packet>> packets_of;
          {
            std::vector<Compressor> compressors(static_cast<std::size_t>(size),
                                                Compressor({.ratio = 0.2, .wire = wire}));
            for (int step = 0; step < kSteps; ++step) {
              std::vector<Packet> packets;
              for (int r = 0; r < size; ++r) {
                packets.push_back(compressors[static_cast<std::size_t>(r)].compress(gradients_of(r, step)));
              }
              expected.push_back(sum_oracle(packets));
              packets_of.push_back(std::move(packets));
            }
          }
          const auto outcomes = run_ranks(dist::loopback(size), [&](int rank, std::unique_ptr<dist::Transport> end) {
            Group group(std::move(end), {.max_message = max_message, .algorithm = algorithm});
            Compressor compressor({.ratio = 0.2, .wire = wire});
            gradient::NamedTensors result;
            for (int step = 0; step < kSteps; ++step) {
              const Packet packet = compressor.compress(gradients_of(rank, step));
              result = group.allreduce(packet);
              for (std::size_t s = 0; s < result.size(); ++s) {
                EXPECT_TRUE(same_bits(result[s].second, expected[static_cast<std::size_t>(step)][s]))
                    << "step " << step;
              }
              const dist::Traffic& traffic = group.traffic();
              EXPECT_EQ(traffic.entries, 13);  // 12 and 1
              EXPECT_EQ(traffic.numel, 67);
              if (size == 1) {
                EXPECT_EQ(traffic.bytes_sent, 0);
              } else if (algorithm == Algorithm::packets) {
                EXPECT_GE(traffic.bytes_sent, (size - 1) * packet.nbytes());
              }
              if (algorithm != Algorithm::automatic) {
                EXPECT_EQ(traffic.by_ranges, algorithm == Algorithm::ranges);
              }
              std::set<std::int64_t> places;
              for (const Packet& sent : packets_of[static_cast<std::size_t>(step)]) {
                for (std::size_t s = 0; s < 2; ++s) {
                  for (const std::int64_t i : sent.sections()[s].indices) {
                    places.insert(static_cast<std::int64_t>(100 * s) + i);
                  }
                }
              }
              EXPECT_EQ(traffic.union_entries, static_cast<std::int64_t>(places.size()));
            }
            return result;
          });
          for (const Outcome& outcome : outcomes) {
            ASSERT_TRUE(outcome.result);
            EXPECT_EQ((*outcome.result)[0].first, "layer.weight");
            EXPECT_EQ((*outcome.result)[0].second.shape(), (Shape{6, 10}));
          }
        }
      }
    }
  }
}

/// What an allreduce of packets moves, by an algorithm.
dist::Traffic traffic_of(int size, dist::Algorithm algorithm, DType dtype, const std::function<Packet(int)>& packet,
                         gradient::NamedTensors* sums = nullptr) {
  std::vector<dist::Traffic> traffic(static_cast<std::size_t>(size));
  const auto outcomes = run_ranks(dist::loopback(size), [&](int rank, std::unique_ptr<dist::Transport> end) {
    Group group(std::move(end), {.algorithm = algorithm});
    gradient::NamedTensors result = group.allreduce(packet(rank));
    EXPECT_EQ(result[0].second.dtype(), dtype);
    traffic[static_cast<std::size_t>(rank)] = group.traffic();
    return result;
  });
  if (sums != nullptr) *sums = *outcomes[0].result;
  return traffic[0];
}

TEST(Allreduce, RangesAreDenseWhereTheUnionIsPastBreakEven) {
  using dist::Algorithm;
  // Four ranks, each a quarter of the places: the union is everything.
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto quarter = [&](int rank) {
      gradient::Section section{"w", {4000}, dtype, {}, {}};
      for (std::int64_t i = rank; i < 4000; i += 4) {
        section.indices.push_back(i);
        section.values.push_back(static_cast<float>(i));
      }
      return Packet({section}, DType::float32, 1000, 0);
    };
    gradient::NamedTensors sums;
    const dist::Traffic ranges = traffic_of(4, Algorithm::ranges, dtype, quarter, &sums);
    const auto values = to_vector<double>(
        sums[0].second.dtype() == DType::float64 ? sums[0].second : cast(sums[0].second, DType::float64));
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<double>(i));
    EXPECT_EQ(ranges.union_entries, 4000);
    const std::int64_t width = dtype == DType::float64 ? 8 : 4;
    // A thousand sums to each of three peers, no indices; 250 entries to each.
    EXPECT_LT(ranges.bytes_sent, 3 * 1000 * width + 3 * 250 * 5 + 3000);
    EXPECT_TRUE(traffic_of(8, Algorithm::automatic, dtype, [&](int rank) { return quarter(rank % 4); }).by_ranges);
  }
  // Few entries of many: packets to all, whatever the overlap.
  const auto few = [](int rank) {
    return Packet({{"w", {100'000}, DType::float32, {rank, 500 + rank}, {1, 2}}}, DType::float32, 2, 0);
  };
  EXPECT_FALSE(traffic_of(3, Algorithm::automatic, DType::float32, few).by_ranges);
}

TEST(Allreduce, ManyStepsInWhateverOrderRanksArrive) {
  const auto outcomes = run_ranks(dist::loopback(4), [&](int rank, std::unique_ptr<dist::Transport> end) {
    Group group(std::move(end), {.deadline = std::chrono::milliseconds(20'000)});
    gradient::NamedTensors result;
    for (int step = 0; step < 200; ++step) {
      if (step % 17 == rank) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      Compressor compressor({.ratio = 0.1});
      result = group.allreduce(compressor.compress(gradients_of(rank, step)));
    }
    return result;
  });
  for (const Outcome& outcome : outcomes) {
    ASSERT_TRUE(outcome.result);
    EXPECT_TRUE(same_bits((*outcome.result)[0].second, to_vector<float>((*outcomes[0].result)[0].second)));
  }
}

TEST(Allreduce, AMismatchIsTheSameErrorEverywhere) {
  struct Wrong {
    const char* what;
    std::function<Packet(std::int64_t step)> packet;
  };
  const auto packet_of = [](const char* name, Shape shape, DType dtype, DType wire, std::int64_t k, std::int64_t step) {
    return Packet({{name, std::move(shape), dtype, {1}, {2.0f}}}, wire, k, step);
  };
  const std::vector<Wrong> wrongs{
      {"name", [&](auto step) { return packet_of("v", {8}, DType::float32, DType::float32, 1, step); }},
      {"shape",
       [&](auto step) {
         return packet_of("w", {2, 4}, DType::float32, DType::float32, 1, step);
       }},
      {"size", [&](auto step) { return packet_of("w", {9}, DType::float32, DType::float32, 1, step); }},
      {"dtype", [&](auto step) { return packet_of("w", {8}, DType::float64, DType::float32, 1, step); }},
      {"wire", [&](auto step) { return packet_of("w", {8}, DType::float32, DType::float16, 1, step); }},
      {"k", [&](auto step) { return packet_of("w", {8}, DType::float32, DType::float32, 2, step); }},
      {"step", [&](auto step) { return packet_of("w", {8}, DType::float32, DType::float32, 1, step + 1); }},
  };
  for (const Wrong& wrong : wrongs) {
    for (const int size : {3, 5}) {
      for (const int who : {0, size - 1}) {
        SCOPED_TRACE(std::string(wrong.what) + " of rank " + std::to_string(who));
        const auto outcomes = run_ranks(dist::loopback(size), [&](int rank, std::unique_ptr<dist::Transport> end) {
          Group group(std::move(end), {.deadline = std::chrono::milliseconds(5000)});
          const Packet good = packet_of("w", {8}, DType::float32, DType::float32, 1, 7);
          try {
            return group.allreduce(rank == who ? wrong.packet(7) : good);
          } catch (const dist::GroupError&) {
            EXPECT_TRUE(group.poisoned());
            EXPECT_THROW(group.allreduce(good), dist::GroupError);  // at once
            throw;
          }
        });
        for (const Outcome& outcome : outcomes) {
          EXPECT_EQ(outcome.blamed, who);
          EXPECT_EQ(outcome.phase, dist::Phase::fingerprint);
          EXPECT_LT(outcome.seconds, 4.0);  // long before the deadline
        }
      }
    }
  }
}

TEST(Allreduce, UnequalCountsAreNormal) {
  const auto outcomes = run_ranks(dist::loopback(3), [&](int rank, std::unique_ptr<dist::Transport> end) {
    Group group(std::move(end), {});
    gradient::Section section{"w", {100}, DType::float32, {}, {}};
    for (std::int64_t i = 0; i < 40 * rank; ++i) {
      section.indices.push_back(i);
      section.values.push_back(1.0f);
    }
    return group.allreduce(Packet({section}, DType::float32, 40, 0));
  });
  std::vector<float> expected(100);
  for (std::size_t i = 0; i < 80; ++i) expected[i] = i < 40 ? 2.0f : 1.0f;
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(same_bits((*outcome.result)[0].second, expected));
}

TEST(Group, ErrorsNameWhatIsWrong) {
  expect_error(ErrorCode::invalid_argument, {"loopback", "size is 0"}, [] { dist::loopback(0); });
  expect_error(ErrorCode::invalid_argument, {"deadline"},
               [] { Group(std::move(dist::loopback(1)[0]), {.deadline = std::chrono::milliseconds(0)}); });
  const Packet a({{"a", {2}, DType::float32, {}, {}}}, DType::float32, 0, 0);
  const Packet b({{"b", {2}, DType::float32, {}, {}}}, DType::float32, 0, 0);
  expect_error(ErrorCode::invalid_argument, {"dist::sum", "a"}, [&] { dist::sum({a, b}); });
  EXPECT_TRUE(dist::sum({}).empty());
}

}  // namespace
}  // namespace sparsert::test
