// python/src/sparse.hpp — what the classes of sparse matrices share.
#pragma once

#include <nanobind/stl/pair.h>

#include <string>
#include <utility>

#include "bindings.hpp"

namespace sparsert::python {

/// A matrix in any format, or a dense tensor.
class Convertible : public nb::object {
  NB_OBJECT_DEFAULT(Convertible, nb::object, "sparsert.typing.Convertible", any_object)
};

/// An index array, and whether it came as a list, whose integers have no dtype of their own to keep.
struct Indices {
  Tensor tensor;
  bool plain = false;
};

Indices import_indices(const char* op, const char* argument, nb::handle object);

/// Lists take the dtype of the other array; where both are lists: int32 where it is wide enough, as in SciPy.
void settle_indices(Indices& x, Indices& y, const Shape& shape);

/// The matrix in CSR, whatever its format; empty for what is no sparse matrix.
std::optional<Csr> csr_of(nb::handle matrix);

/// A NumPy array of its own, which SciPy may sort and change.
nb::object scipy_array(const Tensor& tensor);

/// Any matrix of scipy.sparse, its duplicates summed in the order stored.
Csr csr_from_scipy(nb::handle matrix);

template <class Matrix>
std::string repr_of(const char* name, const Matrix& a, const std::string& extra = "") {
  std::string text = std::string(name) + "(shape=" + to_string(a.shape()) + ", nnz=" + std::to_string(a.nnz()) + extra +
                     ", dtype=" + std::string(to_string(a.dtype()));
  if constexpr (requires { a.index_dtype(); }) text += ", index_dtype=" + std::string(to_string(a.index_dtype()));
  return text + ", device='" + to_string(a.device()) + "')";
}

/// What every format has.
template <class Matrix>
void bind_common(nb::class_<Matrix>& type) {
  type.def_prop_ro("shape",
                   [](const Matrix& a) { return nb::typed<nb::tuple, int, int>(nb::object(shape_tuple(a.shape()))); })
      .def_prop_ro("nnz", &Matrix::nnz, "Entries stored, zeros among them.")
      .def_prop_ro("density", &Matrix::density, "Entries / (rows * columns); 0 for an empty matrix.")
      .def_prop_ro("nbytes", &Matrix::nbytes, "Bytes of all its arrays.")
      .def_prop_ro("dtype", [](const Matrix& a) { return numpy_dtype(a.dtype()); })
      .def_prop_ro("device", [](const Matrix& a) { return to_string(a.device()); })
      .def(
          "to",
          [](const Matrix& a, const std::string& device) {
            const Device target = Device::parse(device);
            return unlocked([&] { return a.to(target); });
          },
          nb::arg("device"), "On `device`: shares what is there already. DeviceUnavailable with the reason.")
      .def(
          "cpu", [](const Matrix& a) { return unlocked([&] { return a.cpu(); }); }, "`to(\"cpu\")`.")
      .def(
          "to_dense", [](const Matrix& a) { return unlocked([&] { return a.to_dense(); }); },
          "A dense tensor of the same shape.")
      .def(
          "validate", [](const Matrix& a) { unlocked([&] { a.validate(); }); },
          "Checks again what the constructor checks; ValueError that says what is wrong, and where.");
  if constexpr (requires(const Matrix& a) { a.index_dtype(); }) {
    type.def_prop_ro("index_dtype", [](const Matrix& a) { return numpy_dtype(a.index_dtype()); });
  }
}

/// to_csr() ... to_nm(n, m), by way of CSR. A matrix that is in the format already is given back.
template <class Matrix>
void bind_conversions(nb::class_<Matrix>& type) {
  const auto csr = [](const Matrix& a) { return *csr_of(nb::cast(&a, nb::rv_policy::reference)); };
  if constexpr (std::is_same_v<Matrix, Csr>) {
    type.def(
        "to_csr", [](nb::handle_t<Csr> self) { return nb::borrow<nb::typed<nb::object, Csr>>(self); }, "This matrix.");
  } else {
    type.def(
        "to_csr", [csr](const Matrix& a) { return csr(a); }, "In compressed rows; stored zeros stay.");
  }
  if constexpr (std::is_same_v<Matrix, Coo>) {
    type.def(
        "to_coo", [](nb::handle_t<Coo> self) { return nb::borrow<nb::typed<nb::object, Coo>>(self); }, "This matrix.");
  } else {
    type.def(
        "to_coo",
        [csr](const Matrix& a) {
          const Csr matrix = csr(a);
          return unlocked([&] { return matrix.to_coo(); });
        },
        "In coordinates, row by row.");
  }
  type.def(
          "to_csc",
          [csr](const Matrix& a) {
            const Csr matrix = csr(a);
            return unlocked([&] { return to_csc(matrix); });
          },
          "In compressed columns.")
      .def(
          "to_bsr",
          [csr](const Matrix& a, std::pair<std::int64_t, std::int64_t> block) {
            const Csr matrix = csr(a);
            return unlocked([&] { return to_bsr(matrix, {block.first, block.second}); });
          },
          nb::arg("block"), "In the blocks (r, c) that hold an entry.")
      .def(
          "to_bitmap",
          [csr](const Matrix& a) {
            const Csr matrix = csr(a);
            return unlocked([&] { return to_bitmap(matrix); });
          },
          "One bit an element, and the values.")
      .def(
          "to_nm",
          [csr](const Matrix& a, int n, int m) {
            const Csr matrix = csr(a);
            return unlocked([&] { return to_nm(matrix, n, m); });
          },
          nb::arg("n"), nb::arg("m"), "At most n of each m columns of a row; ValueError where there are more.");
}

}  // namespace sparsert::python
