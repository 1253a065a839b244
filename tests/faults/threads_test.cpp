// tests/faults/threads_test.cpp — 8 threads, 1,000 operations each, at once: the bits of a serial run. Streams too.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/faults/scenarios.hpp"
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

constexpr int kThreads = 8;
constexpr int kOperations = 1000;

struct Question {
  std::string name;
  std::function<Prepared(const Device&)> prepare;
  std::vector<std::vector<std::byte>> answer;
};

/// Every operation, with the answer of a serial run.
std::vector<Question> questions() {
  std::vector<Question> all;
  for (const Scenario& scenario : scenarios()) {
    const Prepared prepared = scenario.prepare(cpu_device);
    prepared.run();
    auto answer = contents(prepared.results());
    all.push_back({scenario.name, scenario.prepare, std::move(answer)});
  }
  return all;
}

TEST(Threads, TogetherGiveTheSerialBits) {
  std::vector<Question> all;
  {
    const Threads one(1);
    all = questions();
  }
  std::atomic<int> wrong{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < kOperations; ++i) {
        const Question& question = all[random() % all.size()];
        try {
          const Prepared prepared = question.prepare(cpu_device);  // which runs some operations more
          prepared.run();
          if (contents(prepared.results()) != question.answer) ++wrong;
        } catch (const std::exception& error) {
          ++wrong;
          ADD_FAILURE() << question.name << ": " << error.what();
        }
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(done, kThreads * kOperations);
}

/// Each stream gets a chain of operations, one of each in turn, before any of them is waited for.
TEST(Streams, SideBySideGiveTheBitsOfTheDefaultOne) {
  constexpr std::size_t kStreams = 4;
  constexpr int kRounds = 5;
  for (const Device& device : devices_under_test()) {
    const std::int64_t n = device.type == Device::Type::simt ? 20 : 200;
    std::vector<Stream> streams;
    std::vector<Tensor> operands;
    std::vector<Tensor> expected;
    const auto step = [](const Tensor& x, const Tensor& y, const Stream& stream) {
      return relu(matmul(x, y, {}, stream), stream);
    };
    for (std::size_t s = 0; s < kStreams; ++s) {
      streams.push_back(Stream::create(device));
      operands.push_back(
          equivalence::make_values(equivalence::Values::normal, {n, n}, DType::float32, s + 1).to(device));
      Tensor serial = operands.back();
      for (int round = 0; round < kRounds; ++round) serial = step(serial, operands.back(), {});
      expected.push_back(serial.cpu());
    }
    std::vector<Tensor> results = operands;
    for (int round = 0; round < kRounds; ++round) {
      for (std::size_t s = 0; s < kStreams; ++s) results[s] = step(results[s], operands[s], streams[s]);
    }
    for (std::size_t s = 0; s < kStreams; ++s) {
      streams[s].synchronize();
      EXPECT_EQ(contents({results[s]}), contents({expected[s]})) << to_string(device) << ", stream " << s;
    }
  }
}

}  // namespace
}  // namespace sparsert::test
