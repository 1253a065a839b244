// python/src/schedule.cpp — amounts over time and by layer, and dynamic sparse training.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using NamedShapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;
using Points = std::vector<std::pair<double, double>>;

std::vector<prune::Layer> layers_of(const NamedShapes& shapes) {
  std::vector<prune::Layer> layers;
  for (const auto& [name, shape] : shapes) layers.push_back({name, shape});
  return layers;
}

prune::Budget sensitivity(const std::vector<std::tuple<std::string, std::vector<std::int64_t>, Points>>& scan,
                          double amount) {
  std::vector<prune::Sensitivity> layers;
  for (const auto& [name, shape, loss] : scan) layers.push_back({{name, shape}, loss});
  return prune::sensitivity_budget(layers, amount);
}

prune::DynamicOptions options_of(const std::string& method, const std::string& pattern, double fraction,
                                 std::uint64_t seed, DType index) {
  require(method == "rigl" || method == "set",
          [&] { return "prune::DynamicSparse: method is " + method + ", expected rigl or set"; });
  require(pattern == "magnitude" || pattern == "random",
          [&] { return "prune::DynamicSparse: pattern is " + pattern + ", expected magnitude or random"; });
  return {method == "rigl" ? prune::Growth::rigl : prune::Growth::set,
          pattern == "magnitude" ? prune::Pattern::magnitude : prune::Pattern::random, fraction, seed, index};
}

/// Arrays of the state are moved with their entries: new ones come back.
nb::typed<nb::list, Tensor> step(prune::DynamicSparse& dynamic, const std::optional<ArrayLike>& dense_grad,
                                 const std::vector<ArrayLike>& state) {
  const Tensor grad = dense_grad ? as_tensor("DynamicSparse", "dense_grad", *dense_grad) : Tensor();
  std::vector<Tensor> arrays;
  for (const ArrayLike& array : state) arrays.push_back(as_tensor("DynamicSparse", "state", array));
  std::vector<Tensor*> pointers;
  for (Tensor& array : arrays) pointers.push_back(&array);
  unlocked([&] { return dense_grad ? dynamic.step(grad, pointers) : dynamic.step(pointers); });
  nb::list moved;
  for (Tensor& array : arrays) moved.append(nb::cast(std::move(array)));
  return nb::typed<nb::list, Tensor>(moved);
}

}  // namespace

void bind_schedule(nb::module_& module) {
  module.def("schedule_one_shot", &prune::schedule::one_shot);
  module.def("schedule_stepwise", &prune::schedule::stepwise);
  module.def("schedule_linear", &prune::schedule::linear);
  module.def("schedule_cubic", &prune::schedule::cubic);
  module.def("schedule_cosine", &prune::schedule::cosine);
  module.def("budget_uniform",
             [](const NamedShapes& shapes, double amount, const std::vector<std::string>& keep_dense) {
               return prune::uniform_budget(layers_of(shapes), amount, keep_dense);
             });
  module.def("budget_erk", [](const NamedShapes& shapes, double amount, const std::vector<std::string>& keep_dense) {
    return prune::erk_budget(layers_of(shapes), amount, keep_dense);
  });
  module.def("budget_sensitivity", &sensitivity);

  nb::class_<prune::DynamicSparse>(
      module, "DynamicSparse",
      "Dynamic sparse training: a weight (Csr) with round(density * elements) entries, always.\n\n"
      "Each step drops the smallest entries and grows as many elsewhere, which start as stored zeros: where the\n"
      "gradient is largest (`rigl`), or at random (`set`). The pattern is the same for one seed on every device.")
      .def(
          "__init__",
          [](prune::DynamicSparse* self, const ArrayLike& w, double density, const std::string& method,
             std::uint64_t seed, double fraction, const std::string& pattern,
             const std::optional<DTypeLike>& index_dtype) {
            const Tensor tensor = as_tensor("DynamicSparse", "w", w);
            const DType index = index_dtype ? as_dtype("DynamicSparse", *index_dtype) : DType::int32;
            const prune::DynamicOptions options = options_of(method, pattern, fraction, seed, index);
            unlocked([&] { new (self) prune::DynamicSparse(tensor, density, options); });
          },
          nb::arg("w"), nb::arg("density"), nb::arg("method") = "rigl", nb::arg("seed") = 0, nb::kw_only(),
          nb::arg("fraction") = 0.3, nb::arg("pattern") = "magnitude", nb::arg("index_dtype") = nb::none())
      .def_prop_rw("weight", &prune::DynamicSparse::weight, &prune::DynamicSparse::set_weight, nb::rv_policy::copy,
                   "The matrix. A step makes a new one; setting takes one of the same shape and number of entries.")
      .def_prop_rw("fraction", &prune::DynamicSparse::fraction, &prune::DynamicSparse::set_fraction,
                   "Share of the entries that a step drops and grows.")
      .def_prop_rw("steps", &prune::DynamicSparse::steps, &prune::DynamicSparse::set_steps,
                   "Steps so far, the generator's counter: set it when a saved run goes on.")
      .def_prop_ro("nbytes", &prune::DynamicSparse::nbytes)
      .def("step", &step, nb::arg("dense_grad").none() = nb::none(), nb::arg("state") = std::vector<ArrayLike>(),
           "One drop-and-grow. `state` are arrays of one value per entry, such as an optimizer's moments: returned\n"
           "moved with their entries, 0 for those that grew. `set` reads no gradient.");
}

}  // namespace sparsert::python
