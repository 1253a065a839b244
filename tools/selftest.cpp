// tools/selftest.cpp — which cases of the grid are run, and until when.
#include "tools/selftest.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <random>

#include "tools/verify/grid.hpp"
#include "tools/verify/outcome.hpp"

namespace sparsert::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSeconds = 3;  // of all devices together, beside the first round
constexpr std::size_t kMostRounds = 200;

/// "spmm float32 33x65x17 ..." -> "spmm"
std::string operation_of(const verify::Case& one) { return one.name.substr(0, one.name.find(' ')); }

/// The cases of each operation, in an order that is the same every time and mixes sizes, dtypes and values.
std::map<std::string, std::vector<verify::Case>> cases_by_operation() {
  std::map<std::string, std::vector<verify::Case>> cases;
  for (verify::Case& one : verify::make_grid()) cases[operation_of(one)].push_back(std::move(one));
  std::mt19937_64 random(1);
  for (auto& [operation, list] : cases) {
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random() % i]);
  }
  return cases;
}

SelftestDevice test_device(const Device& device, const std::map<std::string, std::vector<verify::Case>>& cases,
                           double seconds) {
  SelftestDevice report{to_string(device), {}, 0, {}};
  for (const auto& [operation, list] : cases) report.operations.push_back(operation);
  const auto start = Clock::now();
  for (std::size_t round = 0; round < kMostRounds; ++round) {
    for (const auto& [operation, list] : cases) {
      if (round >= list.size()) continue;
      if (round > 0 && std::chrono::duration<double>(Clock::now() - start).count() > seconds) return report;
      ++report.cases;
      if (auto difference = verify::difference_from_reference(list[round], device)) {
        report.differences.push_back({list[round].name, difference->got, difference->expected});
      }
    }
  }
  return report;
}

}  // namespace

bool SelftestReport::passed() const {
  return std::ranges::all_of(devices, [](const SelftestDevice& device) { return device.differences.empty(); });
}

SelftestReport run_selftest() {
  const auto start = Clock::now();
  const auto cases = cases_by_operation();
  std::vector<Device> chosen = devices();
  std::erase_if(chosen, [](const Device& device) { return device.type == Device::Type::reference; });
  SelftestReport report;
  for (const Device& device : chosen) {
    try {
      report.devices.push_back(test_device(device, cases, kSeconds / static_cast<double>(chosen.size())));
    } catch (const Error& error) {  // the device was lost
      report.devices.push_back({to_string(device), {}, 0, {{"all", error.what(), "results"}}});
    }
  }
  report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return report;
}

}  // namespace sparsert::tools
