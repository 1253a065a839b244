// python/src/activation.cpp — activations that come out sparse, their kin, and how sparse they are.
#include <nanobind/stl/map.h>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

SparseReluOptions options_of(const char* op, double threshold, const std::optional<DTypeLike>& index_dtype) {
  return {threshold, index_dtype ? as_dtype(op, *index_dtype) : DType::int32};
}

nb::typed<nb::dict, std::string, nb::dict> layers_of(const ActivationStatistics& statistics) {
  nb::dict layers;
  for (const auto& [name, layer] : statistics.layers()) {
    nb::dict entry;
    entry["rows"] = layer.rows;
    entry["elements"] = layer.elements;
    entry["zeros"] = layer.zeros;
    entry["features"] = layer.features;
    entry["dead"] = layer.dead;
    entry["sparsity"] = layer.sparsity();
    layers[nb::cast(name)] = entry;
  }
  return nb::typed<nb::dict, std::string, nb::dict>(layers);
}

}  // namespace

void bind_activation(nb::module_& module) {
  module.def(
      "relu_to_csr",
      [](const ArrayLike& x, double threshold, const std::optional<DTypeLike>& index_dtype) {
        const Tensor tensor = as_tensor("relu_to_csr", "x", x);
        const SparseReluOptions options = options_of("relu_to_csr", threshold, index_dtype);
        return unlocked([&] { return relu_to_csr(tensor, options); });
      },
      nb::arg("x"), nb::arg("threshold") = 0.0, nb::arg("index_dtype") = nb::none(),
      "ReLU of a matrix as a Csr, without a dense intermediate: what is above the threshold, and NaN.");
  module.def(
      "relu_to_bitmap",
      [](const ArrayLike& x, double threshold, const std::optional<DTypeLike>& index_dtype) {
        const Tensor tensor = as_tensor("relu_to_bitmap", "x", x);
        const SparseReluOptions options = options_of("relu_to_bitmap", threshold, index_dtype);
        return unlocked([&] { return relu_to_bitmap(tensor, options); });
      },
      nb::arg("x"), nb::arg("threshold") = 0.0, nb::arg("index_dtype") = nb::none(), "The same as a Bitmap.");
  module.def(
      "leaky_relu",
      [](const ArrayLike& x, double slope) {
        const Tensor tensor = as_tensor("leaky_relu", "x", x);
        return unlocked([&] { return leaky_relu(tensor, slope); });
      },
      nb::arg("x"), nb::arg("slope") = 0.01, "x above 0, else slope * x; NaN stays.");
  module.def(
      "leaky_relu_backward",
      [](const ArrayLike& grad, const ArrayLike& x, double slope) {
        const Tensor tensor_grad = as_tensor("leaky_relu_backward", "grad", grad);
        const Tensor tensor_x = as_tensor("leaky_relu_backward", "x", x);
        return unlocked([&] { return leaky_relu_backward(tensor_grad, tensor_x, slope); });
      },
      nb::arg("grad"), nb::arg("x"), nb::arg("slope") = 0.01, "grad where x is above 0, else slope * grad.");
  module.def(
      "squared_relu",
      [](const ArrayLike& x) {
        const Tensor tensor = as_tensor("squared_relu", "x", x);
        return unlocked([&] { return squared_relu(tensor); });
      },
      nb::arg("x"), "max(x, 0) squared; NaN stays.");
  module.def(
      "squared_relu_backward",
      [](const ArrayLike& grad, const ArrayLike& x) {
        const Tensor tensor_grad = as_tensor("squared_relu_backward", "grad", grad);
        const Tensor tensor_x = as_tensor("squared_relu_backward", "x", x);
        return unlocked([&] { return squared_relu_backward(tensor_grad, tensor_x); });
      },
      nb::arg("grad"), nb::arg("x"), "(x + x) * grad where x is above 0, else 0.");
  module.def(
      "topk_activation",
      [](const ArrayLike& x, std::int64_t k) {
        const Tensor tensor = as_tensor("topk_activation", "x", x);
        return unlocked([&] { return topk_activation(tensor, k); });
      },
      nb::arg("x"), nb::arg("k"),
      "The k largest magnitudes of each row (the last dimension), zeros elsewhere; ties to the lower index.");
  nb::class_<ActivationStatistics>(module, "ActivationStatistics",
                                   "How sparse the activations of each layer are over a run.")
      .def(nb::init<>())
      .def(
          "add",
          [](ActivationStatistics& statistics, const std::string& layer, const ArrayLike& activations) {
            const Tensor tensor = as_tensor("ActivationStatistics", "activations", activations);
            unlocked([&] { statistics.add(layer, tensor); });
          },
          nb::arg("layer"), nb::arg("activations"), "Adds a batch (rows, features) of a layer.")
      .def("layers", &layers_of,
           "By layer: rows, elements, zeros, features, dead (features that were zero in every row) and sparsity.");
}

}  // namespace sparsert::python
