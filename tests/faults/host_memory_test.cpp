// tests/faults/host_memory_test.cpp — every host allocation of every operation fails once.
//
// The operation gives the right bits all the same (a pool that had something to give back), or throws `OutOfMemory`
// with its name and sizes. Nothing leaks, inputs and `out` are as they were, and the next run works.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/faults/allocations.hpp"
#include "tests/faults/scenarios.hpp"
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

constexpr std::int64_t kPoints = 3000;  // what the campaign is to reach
constexpr Device kReference{Device::Type::reference, 0};

void* kept = nullptr;  // what a test leaks on purpose: reachable, so that a sanitizer has no quarrel with it

struct Campaign {
  std::int64_t points = 0;
  std::int64_t errors = 0;    // that came out as OutOfMemory
  std::int64_t survived = 0;  // right results in spite of it
};

/// Every allocation gets fresh memory: a pool with blocks in it would hide some.
void empty_pools() {
  trim_pool(cpu_device);
  trim_pool(kReference);
}

bool is_named(const std::string& message, const std::string& op) {
  return message.starts_with(op + ":") && message.find_first_of("0123456789") != std::string::npos;
}

std::vector<std::vector<std::byte>> results_of(const Prepared& prepared) {
  prepared.reset();
  prepared.run();
  return contents(prepared.results());
}

/// What went wrong, or nothing.
std::string fail_once(const Scenario& scenario, const Prepared& prepared,
                      const std::vector<std::vector<std::byte>>& inputs,
                      const std::vector<std::vector<std::byte>>& expected, std::int64_t n, Campaign& campaign) {
  prepared.reset();
  empty_pools();
  const std::int64_t live = allocations::live();
  const std::size_t in_use = pool_statistics(cpu_device).in_use + pool_statistics(kReference).in_use;
  bool threw = false;
  {
    std::string message;
    try {
      allocations::fail(n);
      prepared.run();
      allocations::stop();
    } catch (const OutOfMemory& error) {
      allocations::stop();
      threw = true;
      message = error.what();
    } catch (const std::exception& error) {
      allocations::stop();
      return std::string("threw another error: ") + error.what();
    }
    if (!allocations::has_failed()) return "the allocation was never asked for";
    if (threw && !is_named(message, scenario.op)) return "the error does not name operation and sizes: " + message;
    const auto got = contents(prepared.results());
    if (!threw && got != expected) return "other results";
  }
  ++campaign.points;
  ++(threw ? campaign.errors : campaign.survived);
  if (threw && contents(prepared.inputs) != inputs) return "an input or out has changed";
  prepared.reset();
  empty_pools();
  if (allocations::live() != live) return std::to_string(allocations::live() - live) + " blocks leaked";
  if (pool_statistics(cpu_device).in_use + pool_statistics(kReference).in_use != in_use) return "pooled memory leaked";
  if (results_of(prepared) != expected) return "the next run gives other results";
  return "";
}

void disturb(const Scenario& scenario, const Device& device, Campaign& campaign) {
  const Prepared prepared = scenario.prepare(device);
  const auto inputs = contents(prepared.inputs);
  results_of(prepared);  // what is made once for a process is there from now on
  const auto expected = results_of(prepared);
  prepared.reset();
  empty_pools();
  allocations::count();
  prepared.run();
  const std::int64_t points = allocations::stop();
  prepared.results();
  for (std::int64_t n = 1; n <= points; ++n) {
    const std::string wrong = fail_once(scenario, prepared, inputs, expected, n, campaign);
    EXPECT_EQ(wrong, "") << scenario.name << " on " << to_string(device) << ", allocation " << n << " of " << points;
    if (!wrong.empty()) break;
  }
}

TEST(HostMemory, EveryAllocationFailsOnce) {
  const Threads one(1);  // other threads' allocations are theirs
  Campaign campaign;
  for (const Device& device : {cpu_device, kReference}) {
    for (const Scenario& scenario : scenarios()) disturb(scenario, device, campaign);
  }
  std::printf("%lld host allocation points: %lld typed errors, %lld survived\n",
              static_cast<long long>(campaign.points), static_cast<long long>(campaign.errors),
              static_cast<long long>(campaign.survived));
  EXPECT_GE(campaign.points, kPoints);
  EXPECT_GT(campaign.errors, campaign.survived);
}

TEST(HostMemory, TheCampaignCanFail) {
  // An operation that swallows the failure and gives something else is found, and so is a leak.
  const Tensor x = Tensor::zeros({4}, DType::float32);
  const Tensor other = Tensor::zeros({5}, DType::float32);
  const Scenario scenario{"add", "swallowing", nullptr};
  for (const bool leak : {false, true}) {
    bool failed = false;
    const Prepared prepared{{x},
                            [&failed, leak] {
                              try {
                                ::operator delete(::operator new(4));  // no compiler may leave it out
                                failed = false;
                              } catch (const std::bad_alloc&) {
                                failed = true;
                                if (leak) kept = ::operator new(4);
                              }
                            },
                            [&] { return std::vector{failed && !leak ? other : x}; }};
    Campaign campaign;
    EXPECT_EQ(fail_once(scenario, prepared, contents({x}), contents({x}), 1, campaign),
              leak ? "1 blocks leaked" : "other results");
  }
}

}  // namespace
}  // namespace sparsert::test
