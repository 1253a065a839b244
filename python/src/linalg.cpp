// python/src/linalg.cpp — linear algebra of sparse matrices beside products with dense ones, and the backward of each.
#include <nanobind/stl/tuple.h>

#include <tuple>

#include "sparse.hpp"

namespace sparsert::python {
namespace {

/// A sparse matrix of any format.
class SparseLike : public nb::object {
  NB_OBJECT_DEFAULT(SparseLike, nb::object, "sparsert.typing.SparseLike", any_object)
};

Csr as_csr(const char* op, const char* argument, nb::handle matrix) {
  if (std::optional<Csr> csr = csr_of(matrix)) return *csr;
  throw nb::type_error((std::string(op) + ": " + argument + " is of type " + Py_TYPE(matrix.ptr())->tp_name +
                        ", expected a sparse matrix (to_csr and from_scipy make one)")
                           .c_str());
}

/// The values of a matrix with the pattern of `like`, or of an array.
Tensor values_of(const char* op, const char* argument, nb::handle object, const Csr& like) {
  if (const std::optional<Csr> csr = csr_of(object)) {
    require(csr->shape() == like.shape() && csr->nnz() == like.nnz(), [&] {
      return std::string(op) + ": " + argument + " has shape " + to_string(csr->shape()) + " and " +
             std::to_string(csr->nnz()) + " entries, expected the pattern's " + to_string(like.shape()) + " and " +
             std::to_string(like.nnz());
    });
    return csr->values();
  }
  return as_tensor(op, argument, object);
}

Tensor sddmm_of(const SparseLike& pattern, const ArrayLike& x, const ArrayLike& y) {
  const Csr matrix = as_csr("sddmm", "pattern", pattern);
  const Tensor left = as_tensor("sddmm", "x", x);
  const Tensor right = as_tensor("sddmm", "y", y);
  return unlocked([&] { return sddmm(matrix, left, right); });
}

Csr spgemm_of(const SparseLike& a, const SparseLike& b, const std::optional<std::int64_t>& max_bytes) {
  const Csr left = as_csr("spgemm", "a", a);
  const Csr right = as_csr("spgemm", "b", b);
  return unlocked([&] { return spgemm(left, right, {.max_bytes = max_bytes.value_or(0)}); });
}

Tensor spmm_transposed_of(const SparseLike& a, const ArrayLike& b) {
  const Csr matrix = as_csr("spmm_transposed", "a", a);
  const Tensor dense = as_tensor("spmm_transposed", "b", b);
  return unlocked([&] { return spmm_transposed(matrix, dense); });
}

std::tuple<Tensor, Tensor> spmm_backward_of(const ArrayLike& grad, const SparseLike& a, const ArrayLike& b) {
  const Tensor gradient = as_tensor("spmm_backward", "grad", grad);
  const Csr matrix = as_csr("spmm_backward", "a", a);
  const Tensor dense = as_tensor("spmm_backward", "b", b);
  SpmmGradients result = unlocked([&] { return spmm_backward(gradient, matrix, dense); });
  return {std::move(result.values), std::move(result.b)};
}

std::tuple<Tensor, Tensor, Tensor> linear_backward_of(const ArrayLike& grad, const ArrayLike& x, const Convertible& w) {
  const Tensor gradient = as_tensor("linear_backward", "grad", grad);
  const Tensor input = as_tensor("linear_backward", "x", x);
  const auto as_tuple = [](LinearGradients result) {
    return std::tuple(std::move(result.x), std::move(result.w), std::move(result.bias));
  };
  if (const std::optional<Csr> matrix = csr_of(w)) {
    return as_tuple(unlocked([&] { return linear_backward(gradient, input, *matrix); }));
  }
  const Tensor weight = as_tensor("linear_backward", "w", w);
  return as_tuple(unlocked([&] { return linear_backward(gradient, input, weight); }));
}

std::tuple<Tensor, Tensor> sddmm_backward_of(const ArrayLike& grad_values, const SparseLike& pattern,
                                             const ArrayLike& x, const ArrayLike& y) {
  const Csr matrix = as_csr("sddmm_backward", "pattern", pattern);
  const Tensor gradient = values_of("sddmm_backward", "grad_values", grad_values, matrix);
  const Tensor left = as_tensor("sddmm_backward", "x", x);
  const Tensor right = as_tensor("sddmm_backward", "y", y);
  SddmmGradients result = unlocked([&] { return sddmm_backward(gradient, matrix, left, right); });
  return {std::move(result.x), std::move(result.y)};
}

Csr sparse_softmax_backward_of(const Convertible& grad, const SparseLike& out) {
  const Csr matrix = as_csr("sparse_softmax_backward", "out", out);
  const Tensor gradient = values_of("sparse_softmax_backward", "grad", grad, matrix);
  return unlocked([&] { return sparse_softmax_backward(gradient, matrix); });
}

}  // namespace

void bind_linalg(nb::module_& module) {
  module.def(
      "sddmm", &sddmm_of, nb::arg("pattern"), nb::arg("x"), nb::arg("y"),
      "x * y^T on the pattern's entries: x (rows, k), y (columns, k), the result (nnz) in the pattern's order.\n\n"
      "The pattern's own values are not read; `pattern.with_values(result)` is the matrix.");
  module.def("spgemm", &spgemm_of, nb::arg("a"), nb::arg("b"), nb::arg("max_bytes") = nb::none(),
             "A * B, both sparse, of one dtype and index type. Its pattern is of all products, also those that add up\n"
             "to zero. MemoryError before the result is allocated where it is larger than `max_bytes`.");
  module.def("spmm_transposed", &spmm_transposed_of, nb::arg("a"), nb::arg("b"),
             "A^T * B without making A^T: A (k, m), B (k, n), the result (m, n), with the bits of "
             "spmm(transpose(a), b).");
  module.def(
      "sparse_softmax",
      [](const SparseLike& a) {
        const Csr matrix = as_csr("sparse_softmax", "a", a);
        return unlocked([&] { return sparse_softmax(matrix); });
      },
      nb::arg("a"), "Softmax over the entries of each row; what is not stored has no weight.");
  module.def(
      "row_sums",
      [](const SparseLike& a) {
        const Csr matrix = as_csr("row_sums", "a", a);
        return unlocked([&] { return row_sums(matrix); });
      },
      nb::arg("a"), "The sum of each row's entries, left to right; integers wrap.");
  module.def(
      "column_sums",
      [](const SparseLike& a) {
        const Csr matrix = as_csr("column_sums", "a", a);
        return unlocked([&] { return column_sums(matrix); });
      },
      nb::arg("a"), "The sum of each column's entries, downwards; integers wrap.");
  module.def(
      "scale_rows",
      [](const SparseLike& a, const ArrayLike& factors) {
        const Csr matrix = as_csr("scale_rows", "a", a);
        const Tensor by = as_tensor("scale_rows", "factors", factors);
        return unlocked([&] { return scale_rows(matrix, by); });
      },
      nb::arg("a"), nb::arg("factors"), "Each entry times its row's factor, (rows).");
  module.def(
      "scale_columns",
      [](const SparseLike& a, const ArrayLike& factors) {
        const Csr matrix = as_csr("scale_columns", "a", a);
        const Tensor by = as_tensor("scale_columns", "factors", factors);
        return unlocked([&] { return scale_columns(matrix, by); });
      },
      nb::arg("a"), nb::arg("factors"), "Each entry times its column's factor, (columns).");
  module.def("spmm_backward", &spmm_backward_of, nb::arg("grad"), nb::arg("a"), nb::arg("b"),
             "Gradients of C = A * B from that of C: of A's entries (nnz), and of B.");
  module.def("linear_backward", &linear_backward_of, nb::arg("grad"), nb::arg("x"), nb::arg("w"),
             "Gradients of y = x * W^T + bias from that of y: of x, of W (its entries where it is sparse), of bias.");
  module.def("sddmm_backward", &sddmm_backward_of, nb::arg("grad_values"), nb::arg("pattern"), nb::arg("x"),
             nb::arg("y"), "Gradients of sddmm from that of its result (nnz): of x and of y.");
  module.def("sparse_softmax_backward", &sparse_softmax_backward_of, nb::arg("grad"), nb::arg("out"),
             "The gradient of sparse_softmax, whose result is `out`, from that of out: a matrix of its pattern, or its "
             "values.");
  nb::borrow<nb::class_<Csr>>(module.attr("Csr"))
      .def(
          "__add__", [](const Csr& a, const Csr& b) { return unlocked([&] { return add(a, b); }); }, nb::is_operator(),
          "Entries of both are added, all others copied.");
}

}  // namespace sparsert::python
