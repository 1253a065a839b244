// python/src/prune.cpp — making zeros, counting them, and choosing the largest.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using Named = std::vector<std::pair<std::string, ArrayLike>>;

std::vector<std::pair<std::string, Tensor>> global_magnitude(const Named& tensors, double amount) {
  prune::NamedTensors named;
  for (const auto& [name, x] : tensors) named.emplace_back(name, as_tensor("global_magnitude", name.c_str(), x));
  return unlocked([&] { return prune::global_magnitude(named, amount); });
}

double sparsity_of(nb::handle x) {
  if (!nb::isinstance<Csr>(x)) {
    const Tensor tensor = as_tensor("sparsity", "x", x);
    return unlocked([&] { return sparsity(tensor); });
  }
  const Csr& matrix = nb::cast<const Csr&>(x);
  const double size = static_cast<double>(matrix.rows()) * static_cast<double>(matrix.cols());
  const auto nonzero = static_cast<double>(unlocked([&] { return count_nonzero(matrix.values()); }));
  return size == 0 ? 0.0 : (size - nonzero) / size;
}

nb::typed<nb::tuple, Tensor, Tensor> topk_of(const ArrayLike& x, std::int64_t k) {
  const Tensor tensor = as_tensor("topk", "x", x);
  Topk result = unlocked([&] { return topk(tensor, k); });
  return nb::typed<nb::tuple, Tensor, Tensor>(nb::make_tuple(std::move(result.values), std::move(result.indices)));
}

}  // namespace

void bind_prune(nb::module_& module) {
  module.def(
      "prune_magnitude",
      [](const ArrayLike& x, double amount) {
        const Tensor tensor = as_tensor("magnitude", "x", x);
        return unlocked([&] { return prune::magnitude(tensor, amount); });
      },
      nb::arg("x"), nb::arg("amount"));
  module.def("prune_global_magnitude", &global_magnitude, nb::arg("tensors"), nb::arg("amount"));
  module.def(
      "count_nonzero",
      [](const ArrayLike& x) {
        const Tensor tensor = as_tensor("count_nonzero", "x", x);
        return unlocked([&] { return count_nonzero(tensor); });
      },
      nb::arg("x"), "Elements that are not zero. NaN counts, -0 does not.");
  module.def(
      "sparsity", [](nb::object x) { return sparsity_of(x); }, nb::arg("x"),
      nb::sig("def sparsity(x: Csr | sparsert.typing.ArrayLike) -> float"),
      "Exact zeros / elements, of a tensor or of a whole sparse matrix; 0 for an empty one.");
  module.def(
      "topk", &topk_of, nb::arg("x"), nb::arg("k"),
      "(values, indices) of the k largest by magnitude along the last dimension, descending.\n\n"
      "Ties to the lower index, NaN above Inf. Both (..., k); indices are int64. ValueError for k outside 0 to n.");
}

}  // namespace sparsert::python
