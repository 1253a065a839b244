// tests/faults/threads_test.cpp — 8 threads, 1,000 operations each, at once: the bits of a serial run.
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

}  // namespace
}  // namespace sparsert::test
