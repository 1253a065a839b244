// tools/selftest.hpp — a few seconds of the equivalence grid: every operation on every device against the reference.
#pragma once

#include <string>
#include <vector>

namespace sparsert::tools {

struct SelftestDifference {
  std::string name;  ///< of the case
  std::string got;
  std::string expected;
};

struct SelftestDevice {
  std::string name;
  std::vector<std::string> operations;
  int cases = 0;
  std::vector<SelftestDifference> differences;
};

struct SelftestReport {
  std::vector<SelftestDevice> devices;
  double seconds = 0;

  bool passed() const;
};

/// At least one case of every operation on every device, then more of them as long as there is time.
SelftestReport run_selftest();

}  // namespace sparsert::tools
