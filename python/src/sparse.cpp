// python/src/sparse.cpp — Csr and Coo: made from arrays, from dense tensors and from SciPy, and back.
#include "sparse.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace sparsert::python {

Indices import_indices(const char* op, const char* argument, nb::handle object) {
  Indices indices{as_tensor(op, argument, object), PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())};
  if (indices.plain && indices.tensor.numel() == 0) indices.tensor = cast(indices.tensor, DType::int64);
  indices.plain = indices.plain && indices.tensor.dtype() == DType::int64;
  return indices;
}

namespace {

bool fits_int32(const Tensor& indices) {
  const auto values = indices.span<std::int64_t>();
  constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
  return std::all_of(values.begin(), values.end(), [](std::int64_t i) { return i >= -limit && i <= limit; });
}

}  // namespace

void settle_indices(Indices& x, Indices& y, const Shape& shape) {
  const auto narrow = [](const Indices& i) { return !i.plain || fits_int32(i.tensor); };
  const bool both = x.plain && y.plain;
  const bool small = std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n <= INT32_MAX; });
  const bool to_int32 = narrow(x) && narrow(y) && (both ? small : (x.plain ? y : x).tensor.dtype() == DType::int32);
  for (Indices* indices : {&x, &y}) {
    if (indices->plain && to_int32) indices->tensor = cast(indices->tensor, DType::int32);
  }
}

nb::object scipy_array(const Tensor& tensor) { return as_numpy(nb::cast(tensor.cpu())).attr("copy")(); }

namespace {

AnyObject csr_to_scipy(const Csr& a) {
  const nb::object arrays =
      nb::make_tuple(scipy_array(a.values()), scipy_array(a.columns()), scipy_array(a.row_offsets()));
  const nb::object type = nb::module_::import_("scipy.sparse").attr("csr_array");
  return nb::borrow<AnyObject>(nb::object(type(arrays, nb::arg("shape") = shape_tuple(a.shape()))));
}

AnyObject coo_to_scipy(const Coo& a) {
  const nb::object arrays =
      nb::make_tuple(scipy_array(a.values()), nb::make_tuple(scipy_array(a.rows()), scipy_array(a.columns())));
  const nb::object type = nb::module_::import_("scipy.sparse").attr("coo_array");
  return nb::borrow<AnyObject>(nb::object(type(arrays, nb::arg("shape") = shape_tuple(a.shape()))));
}

Coo coo_from_scipy(nb::handle matrix) {
  return Coo(as_tensor("from_scipy", "row", matrix.attr("row")), as_tensor("from_scipy", "col", matrix.attr("col")),
             as_tensor("from_scipy", "data", matrix.attr("data")), as_shape("from_scipy", matrix.attr("shape")));
}

Csc csc_from_scipy(nb::handle matrix) {
  if (!nb::cast<bool>(matrix.attr("has_canonical_format"))) return to_csc(csr_from_scipy(matrix.attr("tocoo")()));
  return Csc(as_tensor("from_scipy", "indptr", matrix.attr("indptr")),
             as_tensor("from_scipy", "indices", matrix.attr("indices")),
             as_tensor("from_scipy", "data", matrix.attr("data")), as_shape("from_scipy", matrix.attr("shape")));
}

Bsr bsr_from_scipy(nb::handle matrix) {
  if (!nb::cast<bool>(matrix.attr("has_canonical_format"))) {
    const auto block = nb::cast<std::pair<std::int64_t, std::int64_t>>(matrix.attr("blocksize"));
    return to_bsr(csr_from_scipy(matrix.attr("tocoo")()), {block.first, block.second});
  }
  return Bsr(as_tensor("from_scipy", "indptr", matrix.attr("indptr")),
             as_tensor("from_scipy", "indices", matrix.attr("indices")),
             as_tensor("from_scipy", "data", matrix.attr("data")), as_shape("from_scipy", matrix.attr("shape")));
}

template <class Matrix>
AnyObject on_device(const Matrix& matrix, const Device& device) {
  return nb::borrow<AnyObject>(nb::object(nb::cast(matrix.to(device))));
}

AnyObject from_scipy(const AnyObject& matrix, const std::optional<std::string>& device) {
  if (!nb::cast<bool>(nb::module_::import_("scipy.sparse").attr("issparse")(matrix))) {
    throw nb::type_error((std::string("from_scipy: m is of type ") + Py_TYPE(matrix.ptr())->tp_name +
                          ", expected a matrix or array of scipy.sparse")
                             .c_str());
  }
  const Device target = as_device(device, cpu_device);
  const auto format = nb::cast<std::string>(matrix.attr("format"));
  if (format == "coo") return on_device(coo_from_scipy(matrix), target);
  if (format == "csc") return on_device(csc_from_scipy(matrix), target);
  if (format == "bsr") return on_device(bsr_from_scipy(matrix), target);
  return on_device(csr_from_scipy(matrix), target);
}

}  // namespace

Csr csr_from_scipy(nb::handle matrix) {
  const auto format = nb::cast<std::string>(matrix.attr("format"));
  if (format == "coo") return coo_from_scipy(matrix).to_csr();
  const nb::object csr = format == "csr" ? nb::borrow(matrix) : nb::object(matrix.attr("tocsr")());
  // Unsorted or duplicate columns: by way of coordinates, whose duplicates are summed in the order stored.
  if (!nb::cast<bool>(csr.attr("has_canonical_format"))) return coo_from_scipy(csr.attr("tocoo")()).to_csr();
  return Csr(as_tensor("from_scipy", "indptr", csr.attr("indptr")),
             as_tensor("from_scipy", "indices", csr.attr("indices")), as_tensor("from_scipy", "data", csr.attr("data")),
             as_shape("from_scipy", csr.attr("shape")));
}

std::optional<Csr> csr_of(nb::handle matrix) {
  if (nb::isinstance<Csr>(matrix)) return nb::cast<const Csr&>(matrix);
  const auto converted = [](const auto& a) { return std::optional(unlocked([&] { return a.to_csr(); })); };
  if (nb::isinstance<Coo>(matrix)) return converted(nb::cast<const Coo&>(matrix));
  if (nb::isinstance<Csc>(matrix)) return converted(nb::cast<const Csc&>(matrix));
  if (nb::isinstance<Bsr>(matrix)) return converted(nb::cast<const Bsr&>(matrix));
  if (nb::isinstance<Nm>(matrix)) return converted(nb::cast<const Nm&>(matrix));
  if (nb::isinstance<Bitmap>(matrix)) return converted(nb::cast<const Bitmap&>(matrix));
  return std::nullopt;
}

namespace {

Csr rows_of(const Csr& a, const nb::slice& rows) {
  const auto [begin, end, step, count] = rows.compute(static_cast<std::size_t>(a.rows()));
  require(step == 1, [&] { return "csr: rows are sliced with step " + std::to_string(step) + ", expected 1"; });
  const auto first = static_cast<std::int64_t>(begin);
  const auto rows_taken = static_cast<std::int64_t>(count);
  return unlocked([&] { return slice_rows(a, first, first + rows_taken); });
}

void bind_csr(nb::module_& module) {
  nb::class_<Csr> type(
      module, "Csr",
      "Compressed sparse rows: within a row the columns ascend, without duplicates.\n\n"
      "`row_offsets` (rows + 1) and `columns` (nnz) are int32 or int64, `values` (nnz) of any dtype. Arrays\n"
      "are copied and checked: ValueError that says what is wrong (offsets, range, order, duplicates), and where.");
  type.def(
      "__init__",
      [](Csr* self, const ArrayLike& row_offsets, const ArrayLike& columns, const ArrayLike& values,
         const ShapeLike& shape) {
        Indices offsets = import_indices("csr", "row_offsets", row_offsets);
        Indices column = import_indices("csr", "columns", columns);
        const Tensor value = as_tensor("csr", "values", values);
        Shape sizes = as_shape("csr", shape);
        settle_indices(offsets, column, sizes);
        unlocked([&] { new (self) Csr(offsets.tensor, column.tensor, value, std::move(sizes)); });
      },
      nb::arg("row_offsets"), nb::arg("columns"), nb::arg("values"), nb::arg("shape"));
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("row_offsets", &Csr::row_offsets, nb::rv_policy::copy, "(rows + 1), read-only.")
      .def_prop_ro("columns", &Csr::columns, nb::rv_policy::copy, "(nnz), read-only.")
      .def_prop_ro("values", &Csr::values, nb::rv_policy::copy, "(nnz): the matrix's own memory.")
      .def(
          "with_values",
          [](const Csr& a, const ArrayLike& values) {
            const Imported imported = import_tensor("with_values", "values", values);
            const bool owned = imported.fresh || nb::isinstance<Tensor>(values);
            return unlocked([&] { return a.with_values(owned ? imported.tensor : imported.tensor.clone()); });
          },
          nb::arg("values"),
          "The same pattern with other values (nnz), of any dtype, on the same device. A tensor is shared, an array "
          "copied.")
      .def("__repr__", [](const Csr& a) { return repr_of("Csr", a); })
      .def("__getitem__", &rows_of, nb::arg("rows"), "Rows, as a slice without steps.")
      .def("to_scipy", &csr_to_scipy, "A copy as scipy.sparse.csr_array.")
      .def(
          "__reduce__",
          [](const Csr& a) {
            return nb::make_tuple(nb::type<Csr>(),
                                  nb::make_tuple(a.row_offsets(), a.columns(), a.values(), shape_tuple(a.shape())));
          },
          nb::sig("def __reduce__(self) -> tuple[typing.Any, ...]"));
}

void bind_coo(nb::module_& module) {
  nb::class_<Coo> type(
      module, "Coo",
      "Coordinates in any order; duplicates mean their sum, in the order given.\n\n"
      "`rows`, `columns` (nnz) are int32 or int64, `values` (nnz) of any dtype. Arrays are copied and checked:\n"
      "ValueError that says which index is out of range, and where.");
  type.def(
      "__init__",
      [](Coo* self, const ArrayLike& rows, const ArrayLike& columns, const ArrayLike& values, const ShapeLike& shape) {
        Indices row = import_indices("coo", "rows", rows);
        Indices column = import_indices("coo", "columns", columns);
        const Tensor value = as_tensor("coo", "values", values);
        Shape sizes = as_shape("coo", shape);
        settle_indices(row, column, sizes);
        unlocked([&] { new (self) Coo(row.tensor, column.tensor, value, std::move(sizes)); });
      },
      nb::arg("rows"), nb::arg("columns"), nb::arg("values"), nb::arg("shape"));
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("rows", &Coo::rows, nb::rv_policy::copy, "(nnz), read-only.")
      .def_prop_ro("columns", &Coo::columns, nb::rv_policy::copy, "(nnz), read-only.")
      .def_prop_ro("values", &Coo::values, nb::rv_policy::copy, "(nnz): the matrix's own memory.")
      .def("__repr__", [](const Coo& a) { return repr_of("Coo", a); })
      .def(
          "coalesce", [](const Coo& a) { return unlocked([&] { return coalesce(a); }); },
          "Sorted by row and column; duplicates summed left to right, in the order given.")
      .def("to_scipy", &coo_to_scipy, "A copy as scipy.sparse.coo_array.")
      .def(
          "__reduce__",
          [](const Coo& a) {
            return nb::make_tuple(nb::type<Coo>(),
                                  nb::make_tuple(a.rows(), a.columns(), a.values(), shape_tuple(a.shape())));
          },
          nb::sig("def __reduce__(self) -> tuple[typing.Any, ...]"));
}

template <class To, class FromDense>
nb::typed<nb::object, To> converted(const char* op, const Convertible& x, const std::optional<DTypeLike>& index_dtype,
                                    FromDense from_dense) {
  if (nb::hasattr(x, "to_csr") && nb::hasattr(x, "to_bitmap")) {
    require(!index_dtype,
            [&] { return std::string(op) + ": index_dtype is for a dense x; a sparse one keeps its own"; });
    return nb::typed<nb::object, To>(x.attr(op)());
  }
  const Tensor dense = as_tensor(op, "x", x);
  const DType index = index_dtype ? as_dtype(op, *index_dtype) : DType::int32;
  return nb::typed<nb::object, To>(nb::cast(unlocked([&] { return from_dense(dense, index, Stream()); })));
}

}  // namespace

void bind_sparse(nb::module_& module) {
  bind_csr(module);
  bind_coo(module);
  constexpr const char* kDoc =
      "The non-zeros of a dense x (rows, columns): NaN is one, -0 is not. A sparse x is converted.\n\n"
      "Indices are int32 unless `index_dtype` says int64. ValueError for another rank or where they are too small.";
  module.def(
      "to_csr",
      [](const Convertible& x, const std::optional<DTypeLike>& index_dtype) {
        return converted<Csr>("to_csr", x, index_dtype, to_csr);
      },
      nb::arg("x"), nb::arg("index_dtype") = nb::none(), kDoc);
  module.def(
      "to_coo",
      [](const Convertible& x, const std::optional<DTypeLike>& index_dtype) {
        return converted<Coo>("to_coo", x, index_dtype, to_coo);
      },
      nb::arg("x"), nb::arg("index_dtype") = nb::none(), kDoc);
  module.def(
      "read_matrix_market",
      [](const nb::object& path, const std::optional<DTypeLike>& dtype) {
        const auto file = nb::cast<std::string>(nb::module_::import_("os").attr("fspath")(path));
        const DType type = dtype ? as_dtype("read_matrix_market", *dtype) : DType::float64;
        return unlocked([&] { return read_matrix_market(file, type); });
      },
      nb::arg("path"), nb::arg("dtype") = nb::none(),
      nb::sig("def read_matrix_market(path: str | os.PathLike[str], dtype: sparsert.typing.DTypeLike | None = None) -> "
              "Coo"),
      "A matrix of a Matrix Market file, in its order; float64 unless `dtype` says another float. FileError with the "
      "line.");
  module.def(
      "write_matrix_market",
      [](const nb::object& path, const Convertible& a) {
        const auto file = nb::cast<std::string>(nb::module_::import_("os").attr("fspath")(path));
        const Coo coo =
            nb::isinstance<Coo>(a) ? nb::cast<const Coo&>(a) : nb::cast<Coo>(nb::object(a.attr("to_coo")()));
        unlocked([&] { write_matrix_market(file, coo); });
      },
      nb::arg("path"), nb::arg("a"),
      nb::sig("def write_matrix_market(path: str | os.PathLike[str], a: sparsert.typing.SparseLike) -> None"),
      "Writes a `coordinate real general` file; every value is read back with its bits.");
  module.def("from_scipy", &from_scipy, nb::arg("m"), nb::arg("device") = nb::none(),
             "A copy of a scipy.sparse matrix or array: Coo, Csc and Bsr for its COO, CSC and BSR, else Csr; unsorted "
             "indices are sorted, duplicates summed.\n\n"
             "TypeError for anything else, ValueError for a dtype that sparsert lacks.");
}

}  // namespace sparsert::python
