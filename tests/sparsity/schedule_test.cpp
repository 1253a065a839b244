// tests/sparsity/schedule_test.cpp — amounts over time, their state, and amounts shared out over layers.
#include "sparsert/schedule.hpp"

#include <cmath>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

namespace schedule = prune::schedule;
using prune::Schedule;

TEST(Schedules, FollowTheirFormulas) {
  EXPECT_EQ(schedule::one_shot(9, 10, 0.5), 0.0);
  EXPECT_EQ(schedule::one_shot(10, 10, 0.5), 0.5);
  const std::vector<std::pair<std::int64_t, double>> points{{0, 0.3}, {100, 0.5}, {200, 0.7}};
  for (const auto& [step, amount] : std::vector<std::pair<std::int64_t, double>>{
           {-1, 0.0}, {0, 0.3}, {99, 0.3}, {100, 0.5}, {199, 0.5}, {200, 0.7}, {1'000'000, 0.7}}) {
    EXPECT_EQ(schedule::stepwise(step, points), amount) << step;
  }
  for (const std::int64_t step : {-5, 10, 12, 15, 19, 20, 99}) {
    const double t = std::clamp(static_cast<double>(step - 10) / 10.0, 0.0, 1.0);
    EXPECT_NEAR(schedule::linear(step, 10, 20, 0.1, 0.9), 0.1 + 0.8 * t, 1e-15);
    EXPECT_NEAR(schedule::cubic(step, 10, 20, 0.1, 0.9), 0.9 - 0.8 * std::pow(1 - t, 3), 1e-15);
    EXPECT_NEAR(schedule::cosine(step, 10, 20, 0.1, 0.9), 0.9 - 0.4 * (1 + std::cos(3.14159265358979324 * t)), 1e-15);
  }
  for (const auto& f : {schedule::linear, schedule::cubic, schedule::cosine}) {
    EXPECT_EQ(f(0, 0, 7, 0.1, 0.9), 0.1);  // the ends exactly
    EXPECT_EQ(f(7, 0, 7, 0.1, 0.9), 0.9);
    EXPECT_EQ(f(3, 3, 3, 0.1, 0.9), 0.9);
    EXPECT_LT(f(3, 0, 7, 0.1, 0.9), f(4, 0, 7, 0.1, 0.9));
    expect_error(ErrorCode::invalid_argument, {"end is 2", "begin, 3"}, [&] { f(0, 3, 2, 0.1, 0.9); });
    expect_error(ErrorCode::invalid_argument, {"amount is 1.9"}, [&] { f(0, 0, 2, 0.1, 1.9); });
  }
  expect_error(ErrorCode::invalid_argument, {"stepwise", "point 1"}, [&] {
    schedule::stepwise(0, {{5, 0.1}, {5, 0.2}});
  });
}

TEST(Schedules, StateIsSavedAndLoaded) {
  Schedule cubic = Schedule::cubic(0, 10, 0.0, 0.9);
  std::vector<double> all;
  for (int i = 0; i < 12; ++i) all.push_back(cubic.advance());
  EXPECT_EQ(all.front(), 0.0);
  EXPECT_EQ(all.back(), 0.9);
  Schedule again = Schedule::cubic(0, 10, 0.0, 0.9);
  for (int i = 0; i < 4; ++i) again.advance();
  const Schedule::State saved = again.state();
  EXPECT_EQ(saved.step, 4);
  Schedule resumed = Schedule::cubic(0, 10, 0.0, 0.9);
  resumed.load_state(saved);
  for (std::size_t i = 4; i < all.size(); ++i) EXPECT_EQ(resumed.advance(), all[i]);
  expect_error(ErrorCode::invalid_argument, {"cubic(begin=0, end=10", "cubic(begin=0, end=11"}, [&] {
    Schedule other = Schedule::cubic(0, 11, 0.0, 0.9);
    other.load_state(saved);
  });
  for (const Schedule& s : {Schedule::one_shot(1, 0.5), Schedule::stepwise({{0, 0.3}, {2, 0.5}}),
                            Schedule::linear(0, 4, 0, 1), Schedule::cosine(0, 4, 0, 1)}) {
    Schedule copy = s;
    EXPECT_GE(copy.advance(), 0.0);
    EXPECT_EQ(copy.state().step, 1);
  }
  Schedule own("mine", [](std::int64_t step) { return static_cast<double>(step) * 0.6; });
  EXPECT_EQ(own.advance(), 0.0);
  EXPECT_EQ(own.advance(), 0.6);
  expect_error(ErrorCode::invalid_argument, {"mine", "step 2", "1.2"}, [&] { own.amount(); });
}

double removed(const std::vector<prune::Layer>& layers, const prune::Budget& budget) {
  double sum = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(budget[i].first, layers[i].name);
    EXPECT_GE(budget[i].second, 0.0);
    EXPECT_LE(budget[i].second, 1.0);
    sum += budget[i].second * static_cast<double>(element_count(layers[i].shape));
  }
  return sum;
}

TEST(Budgets, AddUpToTheAmount) {
  const std::vector<prune::Layer> layers{{"conv1", {16, 3, 3, 3}}, {"fc1", {512, 1024}}, {"fc2", {10, 512}}};
  const double total = 432 + 512 * 1024 + 5120;
  for (const double amount : {0.0, 0.3, 0.9, 0.98}) {
    EXPECT_NEAR(removed(layers, prune::uniform_budget(layers, amount)), amount * total, 1e-6 * total);
    EXPECT_NEAR(removed(layers, prune::erk_budget(layers, amount)), amount * total, 1e-6 * total);
    const prune::Budget kept = prune::uniform_budget(layers, amount, {"conv*", "fc2"});
    EXPECT_EQ(kept[0].second, 0.0);
    EXPECT_EQ(kept[2].second, 0.0);
    EXPECT_NEAR(removed(layers, kept), amount * total, 1e-6 * total);
  }
  // Of two layers that are not full, densities are as (sum of sizes) / (product).
  const prune::Budget erk = prune::erk_budget(layers, 0.98);
  const double fc1 = 1 - erk[1].second;
  const double fc2 = 1 - erk[2].second;
  EXPECT_NEAR(fc2 / fc1, (522.0 / 5120) / (1536.0 / (512 * 1024)), 1e-9);
  const prune::Budget denser = prune::erk_budget(layers, 0.9);
  EXPECT_EQ(denser[0].second, 0.0);  // both capped: they would be 1.5 and 2.6
  EXPECT_EQ(denser[2].second, 0.0);
  expect_error(ErrorCode::invalid_argument, {"uniform_budget", "0.99"}, [&] {
    prune::uniform_budget(layers, 0.99, {"fc2", "conv1"});
  });
}

TEST(Budgets, SensitiveLayersKeepMore) {
  const prune::Sensitivity tough{{"tough", {100, 100}}, {{0, 1.0}, {0.5, 1.01}, {0.9, 1.1}}};
  const prune::Sensitivity tender{{"tender", {100, 100}}, {{0, 1.0}, {0.5, 1.5}, {0.9, 4.0}}};
  for (const double amount : {0.0, 0.2, 0.5, 0.8, 0.9}) {
    const prune::Budget budget = prune::sensitivity_budget({tough, tender}, amount);
    EXPECT_NEAR(removed({tough.layer, tender.layer}, budget), amount * 20'000, 0.01);
    EXPECT_GE(budget[0].second, budget[1].second);
  }
  expect_error(ErrorCode::invalid_argument, {"sensitivity_budget", "0.95", "0.9"},
               [&] { prune::sensitivity_budget({tough}, 0.95); });
  expect_error(ErrorCode::invalid_argument, {"sensitivity_budget", "tough", "ascend from 0"}, [&] {
    prune::sensitivity_budget({{{"tough", {4}}, {{0.1, 1}}}}, 0.1);
  });
}

}  // namespace
}  // namespace sparsert::test
