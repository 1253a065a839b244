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

prune::Norm norm_of(const std::string& name) {
  if (name == "1") return prune::Norm::l1;
  if (name == "2") return prune::Norm::l2;
  if (name == "inf") return prune::Norm::max;
  throw Error(ErrorCode::invalid_argument, "prune: norm is " + name + ", expected 1, 2 or inf");
}

prune::Group group_of(const std::string& name) {
  if (name == "tensor") return prune::Group::tensor;
  if (name == "row") return prune::Group::row;
  throw Error(ErrorCode::invalid_argument, "prune: group is " + name + ", expected tensor or row");
}

using BlockSize = std::pair<std::int64_t, std::int64_t>;

std::vector<std::pair<std::string, Tensor>> global_block(const Named& tensors, BlockSize shape, double amount,
                                                         const std::string& norm) {
  prune::NamedTensors named;
  for (const auto& [name, x] : tensors) named.emplace_back(name, as_tensor("global_block", name.c_str(), x));
  const prune::Norm code = norm_of(norm);
  return unlocked([&] { return prune::global_block(named, {shape.first, shape.second}, amount, code); });
}

/// The functions behind sparsert.prune; their documentation is there.
void bind_methods(nb::module_& module) {
  module.def("prune_random", [](const ArrayLike& x, double amount, std::uint64_t seed) {
    const Tensor tensor = as_tensor("random", "x", x);
    return unlocked([&] { return prune::random(tensor, amount, seed); });
  });
  module.def("prune_n_m", [](const ArrayLike& x, int n, int m, int axis) {
    const Tensor tensor = as_tensor("n_m", "x", x);
    return unlocked([&] { return prune::n_m(tensor, n, m, axis); });
  });
  module.def("prune_block", [](const ArrayLike& x, BlockSize shape, double amount, const std::string& norm) {
    const Tensor tensor = as_tensor("block", "x", x);
    const prune::Norm code = norm_of(norm);
    return unlocked([&] { return prune::block(tensor, {shape.first, shape.second}, amount, code); });
  });
  module.def("prune_global_block", &global_block);
  module.def("prune_block_norms", [](const ArrayLike& x, BlockSize shape, const std::string& norm) {
    const Tensor tensor = as_tensor("block_norms", "x", x);
    const prune::Norm code = norm_of(norm);
    return unlocked([&] { return prune::block_norms(tensor, {shape.first, shape.second}, code); });
  });
  module.def("prune_structured",
             [](const ArrayLike& x, double amount, int axis, const std::string& norm, std::int64_t width) {
               const Tensor tensor = as_tensor("structured", "x", x);
               const prune::SliceOptions options{axis, norm_of(norm), width};
               return unlocked([&] { return prune::structured(tensor, amount, options); });
             });
  module.def("prune_kept_slices",
             [](const ArrayLike& x, double amount, int axis, const std::string& norm, std::int64_t width) {
               const Tensor tensor = as_tensor("kept_slices", "x", x);
               const prune::SliceOptions options{axis, norm_of(norm), width};
               return unlocked([&] { return prune::kept_slices(tensor, amount, options); });
             });
  module.def("prune_take", [](const ArrayLike& x, const ArrayLike& indices, int axis) {
    const Tensor tensor = as_tensor("take", "x", x);
    const Tensor places = as_tensor("take", "indices", indices);
    return unlocked([&] { return prune::take(tensor, places, axis); });
  });
  module.def("prune_wanda",
             [](const ArrayLike& x, const ArrayLike& input_norms, double amount, const std::string& group) {
               const Tensor tensor = as_tensor("wanda", "x", x);
               const Tensor norms = as_tensor("wanda", "input_norms", input_norms);
               const prune::Group code = group_of(group);
               return unlocked([&] { return prune::wanda(tensor, norms, amount, code); });
             });
  module.def("prune_soft_threshold", [](const ArrayLike& x, double lambda) {
    const Tensor tensor = as_tensor("soft_threshold", "x", x);
    return unlocked([&] { return prune::soft_threshold(tensor, lambda); });
  });
  module.def("prune_hard_threshold", [](const ArrayLike& x, double lambda) {
    const Tensor tensor = as_tensor("hard_threshold", "x", x);
    return unlocked([&] { return prune::hard_threshold(tensor, lambda); });
  });
  module.def("prune_group_soft_threshold", [](const ArrayLike& x, double lambda, int axis) {
    const Tensor tensor = as_tensor("group_soft_threshold", "x", x);
    return unlocked([&] { return prune::group_soft_threshold(tensor, lambda, axis); });
  });
  nb::class_<prune::InputNorms>(module, "InputNorms",
                                "Norms of a layer's inputs over a calibration run, for `prune.wanda`.")
      .def(nb::init<>())
      .def(
          "add",
          [](prune::InputNorms& norms, const ArrayLike& batch) {
            const Tensor tensor = as_tensor("InputNorms", "batch", batch);
            unlocked([&] { norms.add(tensor); });
          },
          nb::arg("batch"), "Adds a batch (n, in); all have one number of columns and one device.")
      .def(
          "norms", [](const prune::InputNorms& norms) { return unlocked([&] { return norms.norms(); }); },
          "sqrt of each column's sum of squares: (in), float64. ValueError before any batch.")
      .def_prop_ro("rows", &prune::InputNorms::rows, "Rows added so far.");
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
      [](const ArrayLike& x, double amount, const std::string& group) {
        const Tensor tensor = as_tensor("magnitude", "x", x);
        const prune::Group code = group_of(group);
        return unlocked([&] { return prune::magnitude(tensor, amount, code); });
      },
      nb::arg("x"), nb::arg("amount"), nb::arg("group"));
  bind_methods(module);
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
