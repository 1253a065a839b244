// tests/faults/scenarios.hpp — operations to be disturbed: each with its inputs, its `out`, and a way to run it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sparsert/sparsert.hpp"

namespace sparsert::test {

/// One operation, ready to run on a device.
struct Prepared {
  std::vector<Tensor> inputs;                    ///< and `out`, where the operation writes to one
  std::function<void()> run;                     ///< allocates nothing beside what the operation does
  std::function<std::vector<Tensor>()> results;  ///< of the last run, which is then forgotten
  std::function<void()> reset = [] {};           ///< makes `out` what it was; before every run
};

struct Scenario {
  std::string op;    ///< as its errors begin
  std::string name;  ///< "spmm float32 int64 plan"
  std::function<Prepared(const Device&)> prepare;
  bool idle_kernels_fail = false;  ///< kernels that do nothing leave it nothing valid: it throws invalid_argument
};

/// Every operation × dtype × index type × size.
std::vector<Scenario> scenarios();

/// The bytes of each tensor, wherever it is.
std::vector<std::vector<std::byte>> contents(const std::vector<Tensor>& tensors);

}  // namespace sparsert::test
