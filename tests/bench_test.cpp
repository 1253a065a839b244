// tests/bench_test.cpp — the bench's statistics and limits, and a quick run of it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/measure.hpp"
#include "bench/report.hpp"
#include "bench/suite.hpp"
#include "tests/support.hpp"

namespace sparsert::bench {
namespace {

TEST(Summarize, TakesTheUndisturbedSamples) {
  const std::vector<Sample> samples{{3, 3, false}, {0.5, 0.4, true}, {1, 1, false}, {2, 2, false}, {9, 1, true}};
  const Timing timing = summarize(samples, true);
  EXPECT_EQ(timing.min, 1);
  EXPECT_EQ(timing.median, 2);
  EXPECT_EQ(timing.samples, 3);
  EXPECT_EQ(timing.dropped, 2);
  EXPECT_FALSE(timing.disturbed);
  EXPECT_FALSE(timing.cpu_time);
}

TEST(Summarize, FallsBackToProcessorTimeOfOneThread) {
  const std::vector<Sample> samples{{5, 2, true}, {6, 3, true}, {1, 1, false}, {7, 4, true}, {8, 5, true}};
  const Timing timing = summarize(samples, true);
  EXPECT_EQ(timing.min, 1);
  EXPECT_EQ(timing.median, 3);
  EXPECT_EQ(timing.samples, 5);
  EXPECT_EQ(timing.dropped, 0);
  EXPECT_TRUE(timing.disturbed);
  EXPECT_TRUE(timing.cpu_time);
}

TEST(Summarize, StaysWithTheWallClockForSeveralThreads) {
  const std::vector<Sample> samples{{5, 2, true}, {6, 3, true}, {7, 4, true}};
  const Timing timing = summarize(samples, false);
  EXPECT_EQ(timing.min, 5);
  EXPECT_EQ(timing.median, 6);
  EXPECT_TRUE(timing.disturbed);
  EXPECT_FALSE(timing.cpu_time);
}

TEST(Summarize, ThreadsThatSpinElsewhereDoNotCount) {
  const std::vector<Sample> samples{{5, 9, true}, {6, 11, true}, {7, 13, true}};
  EXPECT_EQ(summarize(samples, true).min, 5);
}

TEST(Summarize, AFewUndisturbedSamplesAreEnoughWhenThereAreNoOthers) {
  const std::vector<Sample> samples{{2, 2, false}, {1, 1, false}};
  const Timing timing = summarize(samples, true);
  EXPECT_EQ(timing.min, 1);
  EXPECT_EQ(timing.samples, 2);
  EXPECT_FALSE(timing.disturbed);
}

TEST(Summarize, TellsHowManyProcessorsWereAtWork) {
  const std::vector<Sample> samples{{1, 2, false}, {2, 4, false}, {3, 3, false}};
  EXPECT_EQ(summarize(samples, true).processors, 2);
}

TEST(Summarize, NothingGivesNothing) { EXPECT_EQ(summarize({}, true).samples, 0); }

TEST(TimeInterleaved, CallsEveryContender) {
  int first = 0;
  int second = 0;
  const std::vector<std::function<void()>> runs{[&] { ++first; }, [&] { ++second; }};
  const Effort effort{.case_seconds = 0, .sample_seconds = 1e-6, .min_rounds = 3, .max_rounds = 3};
  const auto timings = time_interleaved(runs, effort, true);
  ASSERT_EQ(timings.size(), 2u);
  EXPECT_GT(timings[0].min, 0);
  EXPECT_GE(first, 3);
  EXPECT_GE(second, 3);
}

// A machine of 100 flop/s whose cache of 1,000 bytes reads 40 B/s and copies 20 B/s, its memory 10 and 4 or 8 B/s.
Ceilings toy() { return {"toy", 100, {{"L1", 1000, 500, 40, 20, 0}, {"DRAM", 0, 8000, 10, 4, 8}}}; }

TEST(Limit, IsTheSlowerOfComputeAndMemory) {
  EXPECT_EQ(limit_of({.flops = 1000, .read = 40, .written = 0, .footprint = 100}, toy()).by, "compute");
  EXPECT_DOUBLE_EQ(limit_of({.flops = 1000, .read = 40, .written = 0, .footprint = 100}, toy()).seconds, 10);
  EXPECT_EQ(limit_of({.flops = 10, .read = 40, .written = 0, .footprint = 100}, toy()).by, "L1");
}

TEST(Limit, BytesBothWaysMoveAtTheSpeedOfTheBestCopy) {
  EXPECT_DOUBLE_EQ(limit_of({.flops = 0, .read = 40, .written = 40, .footprint = 100}, toy()).seconds, 4);
  EXPECT_DOUBLE_EQ(limit_of({.flops = 0, .read = 120, .written = 40, .footprint = 100}, toy()).seconds, 6);
  EXPECT_DOUBLE_EQ(limit_of({.flops = 0, .read = 40, .written = 40, .footprint = 5000}, toy()).seconds, 10);
}

TEST(Limit, AWorkingSetMustLeaveRoomInItsLevel) {
  EXPECT_EQ(limit_of({.flops = 0, .read = 1, .written = 0, .footprint = 750}, toy()).by, "L1");
  EXPECT_EQ(limit_of({.flops = 0, .read = 1, .written = 0, .footprint = 751}, toy()).by, "DRAM");
}

TEST(Cases, HaveNamesOfTheirOwn) {
  std::vector<std::string> names;
  for (const Case& item : all_cases()) names.push_back(item.op + " " + item.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(RunBench, AQuickRunChecksAndTimes) {
  Options options;
  options.quick = true;
  options.op = "relu";
  std::vector<std::string> lines;
  const Json report = run_bench(options, [&](const std::string& line) { lines.push_back(line); });
  ASSERT_EQ(report["runs"].size(), 1u);
  const Json& run = report["runs"][0];
  EXPECT_GT(run["ceilings"]["fma_gflops"], 0);
  ASSERT_GT(run["cases"].size(), 1u);
  for (const Json& result : run["cases"]) {
    EXPECT_TRUE(result["checked"]);
    EXPECT_GT(result["min_s"], 0);
    EXPECT_LE(result["min_s"], result["median_s"]);
  }
  EXPECT_GT(lines.size(), run["cases"].size());
}

TEST(RunBench, AnUnknownDeviceIsAnError) {
  Options options;
  options.device = "abacus";
  test::expect_error(ErrorCode::invalid_argument, {"abacus"}, [&] { run_bench(options, [](const std::string&) {}); });
}

}  // namespace
}  // namespace sparsert::bench
