// bench/suite.cpp — the list of cases.
#include "bench/suite.hpp"

namespace sparsert::bench {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_relu_cases(cases);
  return cases;
}

}  // namespace sparsert::bench
