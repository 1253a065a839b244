// tools/verify/outcome.cpp — a case's outcome is its outputs' bits, or the code of the error that it throws.
#include "tools/verify/outcome.hpp"

namespace sparsert::verify {
namespace {

struct Outcome {
  std::vector<Tensor> outputs;
  std::optional<std::string> error;
};

Outcome outcome_of(const Case& one, const Device& device) {
  try {
    return {one.run(device), std::nullopt};
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error& error) {
    return {{}, std::string(to_string(error.code()))};
  }
}

}  // namespace

std::optional<CaseDifference> difference_from_reference(const Case& one, const Device& device) {
  const Outcome got = outcome_of(one, device);
  const Outcome expected = outcome_of(one, kBaseline);
  if (got.error != expected.error) {
    return CaseDifference{std::nullopt, 0, got.error.value_or("a result"), expected.error.value_or("a result")};
  }
  for (std::size_t i = 0; i < expected.outputs.size(); ++i) {
    const auto difference = equivalence::first_difference(got.outputs.at(i), expected.outputs[i]);
    if (difference) return CaseDifference{i, difference->index, difference->got, difference->expected};
  }
  return std::nullopt;
}

}  // namespace sparsert::verify
