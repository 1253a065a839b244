// tests/faults/scenarios_test.cpp — the campaigns leave no operation out: the timeline names every one.
#include "tests/faults/scenarios.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace sparsert::test {
namespace {

TEST(Scenarios, RunEveryOperation) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("sparsert_scenarios_" + std::to_string(getpid()) + ".json");
  setenv("SPARSERT_TRACE", path.c_str(), 1);  // read once, by the first operation of the process
  for (const Scenario& scenario : scenarios()) {
    const Prepared prepared = scenario.prepare(cpu_device);
    prepared.run();
    EXPECT_FALSE(prepared.results().empty()) << scenario.name;
  }
  std::ifstream file(path);
  const std::string timeline{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  for (const OperationInfo& operation : operations()) {
    EXPECT_NE(timeline.find("\"" + operation.name + "\""), std::string::npos) << "no scenario runs " << operation.name;
  }
}

}  // namespace
}  // namespace sparsert::test
