// python/src/formats.cpp — Csc, Bsr, Nm and Bitmap; conversions, slices and concatenations.
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <vector>

#include "sparse.hpp"

namespace sparsert::python {
namespace {

AnyObject scipy_matrix(const char* type, const nb::object& arrays, const Shape& shape) {
  const nb::object made =
      nb::module_::import_("scipy.sparse").attr(type)(arrays, nb::arg("shape") = shape_tuple(shape));
  return nb::borrow<AnyObject>(made);
}

constexpr const char* kReduce = "def __reduce__(self) -> tuple[typing.Any, ...]";

void bind_csc(nb::module_& module) {
  nb::class_<Csc> type(module, "Csc",
                       "Compressed sparse columns: within a column the rows ascend, without duplicates.\n\n"
                       "`col_offsets` (columns + 1), `rows` and `values` (nnz), copied and checked as for Csr.");
  type.def(
      "__init__",
      [](Csc* self, const ArrayLike& col_offsets, const ArrayLike& rows, const ArrayLike& values,
         const ShapeLike& shape) {
        Indices offsets = import_indices("csc", "col_offsets", col_offsets);
        Indices row = import_indices("csc", "rows", rows);
        const Tensor value = as_tensor("csc", "values", values);
        Shape sizes = as_shape("csc", shape);
        settle_indices(offsets, row, sizes);
        unlocked([&] { new (self) Csc(offsets.tensor, row.tensor, value, std::move(sizes)); });
      },
      nb::arg("col_offsets"), nb::arg("rows"), nb::arg("values"), nb::arg("shape"));
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("col_offsets", &Csc::col_offsets, nb::rv_policy::copy, "(columns + 1), read-only.")
      .def_prop_ro("rows", &Csc::rows, nb::rv_policy::copy, "(nnz), read-only.")
      .def_prop_ro("values", &Csc::values, nb::rv_policy::copy, "(nnz): the matrix's own memory.")
      .def("__repr__", [](const Csc& a) { return repr_of("Csc", a); })
      .def(
          "to_scipy",
          [](const Csc& a) {
            return scipy_matrix(
                "csc_array",
                nb::make_tuple(scipy_array(a.values()), scipy_array(a.rows()), scipy_array(a.col_offsets())),
                a.shape());
          },
          "A copy as scipy.sparse.csc_array.")
      .def(
          "__reduce__",
          [](const Csc& a) {
            return nb::make_tuple(nb::type<Csc>(),
                                  nb::make_tuple(a.col_offsets(), a.rows(), a.values(), shape_tuple(a.shape())));
          },
          nb::sig(kReduce));
}

void bind_bsr(nb::module_& module) {
  nb::class_<Bsr> type(
      module, "Bsr",
      "Block compressed sparse rows: `values` (blocks, r, c), `columns` (blocks) of blocks, `row_offsets` one more\n"
      "than there are rows of blocks. A shape that blocks do not divide is padded inside the last ones; the padding\n"
      "is never read. `block` may be given to check it, or to shape flat values.");
  type.def(
      "__init__",
      [](Bsr* self, const ArrayLike& row_offsets, const ArrayLike& columns, const ArrayLike& values,
         const ShapeLike& shape, const std::optional<std::pair<std::int64_t, std::int64_t>>& block) {
        Indices offsets = import_indices("bsr", "row_offsets", row_offsets);
        Indices column = import_indices("bsr", "columns", columns);
        Tensor value = as_tensor("bsr", "values", values);
        Shape sizes = as_shape("bsr", shape);
        settle_indices(offsets, column, sizes);
        if (block) {
          const Shape wanted{column.tensor.numel(), block->first, block->second};
          require(value.rank() == 1 || value.shape() == wanted, [&] {
            return "bsr: values has shape " + to_string(value.shape()) + ", expected " + to_string(wanted);
          });
          value = value.reshape(wanted);
        }
        unlocked([&] { new (self) Bsr(offsets.tensor, column.tensor, value, std::move(sizes)); });
      },
      nb::arg("row_offsets"), nb::arg("columns"), nb::arg("values"), nb::arg("shape"), nb::arg("block") = nb::none());
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("row_offsets", &Bsr::row_offsets, nb::rv_policy::copy, "Read-only.")
      .def_prop_ro("columns", &Bsr::columns, nb::rv_policy::copy, "(blocks), of blocks, read-only.")
      .def_prop_ro("values", &Bsr::values, nb::rv_policy::copy, "(blocks, r, c): the matrix's own memory.")
      .def_prop_ro("block", [](const Bsr& a) { return std::pair(a.block()[0], a.block()[1]); })
      .def_prop_ro("blocks", &Bsr::blocks, "Blocks stored.")
      .def("__repr__",
           [](const Bsr& a) {
             return repr_of("Bsr", a,
                            ", block=(" + std::to_string(a.block()[0]) + ", " + std::to_string(a.block()[1]) + ")");
           })
      .def(
          "to_scipy",
          [](const Bsr& a) {
            const Shape shape = a.shape();
            const Block block = a.block();
            require(shape[0] % block[0] == 0 && shape[1] % block[1] == 0, [&] {
              return "to_scipy: blocks of (" + std::to_string(block[0]) + ", " + std::to_string(block[1]) +
                     ") do not divide " + to_string(shape) + ", which scipy.sparse.bsr_array needs: use to_csr()";
            });
            return scipy_matrix(
                "bsr_array",
                nb::make_tuple(scipy_array(a.values()), scipy_array(a.columns()), scipy_array(a.row_offsets())), shape);
          },
          "A copy as scipy.sparse.bsr_array; ValueError where blocks do not divide the shape.")
      .def(
          "__reduce__",
          [](const Bsr& a) {
            return nb::make_tuple(nb::type<Bsr>(),
                                  nb::make_tuple(a.row_offsets(), a.columns(), a.values(), shape_tuple(a.shape())));
          },
          nb::sig(kReduce));
}

void bind_nm(nb::module_& module) {
  nb::class_<Nm> type(
      module, "Nm",
      "At most n entries in each m columns of a row, n <= m <= 32.\n\n"
      "`values` and `positions` (uint8) are (rows, groups * n): n slots for every m columns (the last may be fewer),\n"
      "filled from the left; positions are within the m, 255 for an empty slot. Copied and checked.");
  type.def(
      "__init__",
      [](Nm* self, const ArrayLike& values, const ArrayLike& positions, const ShapeLike& shape, int n, int m) {
        const Tensor value = as_tensor("nm", "values", values);
        const Tensor position = as_tensor("nm", "positions", positions);
        Shape sizes = as_shape("nm", shape);
        unlocked([&] { new (self) Nm(value, position, std::move(sizes), n, m); });
      },
      nb::arg("values"), nb::arg("positions"), nb::arg("shape"), nb::arg("n"), nb::arg("m"));
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("values", &Nm::values, nb::rv_policy::copy, "The matrix's own memory.")
      .def_prop_ro("positions", &Nm::positions, nb::rv_policy::copy, "Read-only.")
      .def(
          "to_sparse_tensor_cores",
          [](const Nm& a) {
            SparseTensorCoreLayout layout = unlocked([&] { return to_sparse_tensor_cores(a); });
            return std::tuple(std::move(layout.values), std::move(layout.metadata));
          },
          "Of a 2:4 matrix: its values, two for every four columns, and the metadata (uint8) that sparse tensor cores "
          "take.")
      .def_prop_ro("n", &Nm::n)
      .def_prop_ro("m", &Nm::m)
      .def(
          "__repr__",
          [](const Nm& a) { return repr_of("Nm", a, ", n=" + std::to_string(a.n()) + ", m=" + std::to_string(a.m())); })
      .def(
          "__reduce__",
          [](const Nm& a) {
            return nb::make_tuple(nb::type<Nm>(),
                                  nb::make_tuple(a.values(), a.positions(), shape_tuple(a.shape()), a.n(), a.m()));
          },
          nb::sig(kReduce));
}

void bind_bitmap(nb::module_& module) {
  nb::class_<Bitmap> type(
      module, "Bitmap",
      "One bit an element, and the values of those that are set, row by row.\n\n"
      "`bits` (uint8) is (rows, columns / 8 rounded up), lowest bit first: numpy.packbits(mask, axis=1,\n"
      "bitorder=\"little\"). Copied and checked.");
  type.def(
      "__init__",
      [](Bitmap* self, const ArrayLike& bits, const ArrayLike& values, const ShapeLike& shape,
         const std::optional<DTypeLike>& index_dtype) {
        const Tensor bit = as_tensor("bitmap", "bits", bits);
        const Tensor value = as_tensor("bitmap", "values", values);
        Shape sizes = as_shape("bitmap", shape);
        const DType index = index_dtype ? as_dtype("bitmap", *index_dtype) : DType::int32;
        unlocked([&] { new (self) Bitmap(bit, value, std::move(sizes), index); });
      },
      nb::arg("bits"), nb::arg("values"), nb::arg("shape"), nb::arg("index_dtype") = nb::none());
  bind_common(type);
  bind_conversions(type);
  type.def_prop_ro("bits", &Bitmap::bits, nb::rv_policy::copy, "Read-only.")
      .def_prop_ro("row_offsets", &Bitmap::row_offsets, nb::rv_policy::copy, "(rows + 1): values before each row.")
      .def_prop_ro("values", &Bitmap::values, nb::rv_policy::copy, "(nnz): the matrix's own memory.")
      .def("__repr__", [](const Bitmap& a) { return repr_of("Bitmap", a); })
      .def(
          "__reduce__",
          [](const Bitmap& a) {
            return nb::make_tuple(nb::type<Bitmap>(), nb::make_tuple(a.bits(), a.values(), shape_tuple(a.shape()),
                                                                     numpy_dtype(a.index_dtype())));
          },
          nb::sig(kReduce));
}

/// The matrix in CSR: converted, or the non-zeros of what is dense.
Csr as_csr(const char* op, nb::handle x, const std::optional<DTypeLike>& index_dtype) {
  if (std::optional<Csr> csr = csr_of(x)) {
    require(!index_dtype,
            [&] { return std::string(op) + ": index_dtype is for a dense x; a sparse one keeps its own"; });
    return *csr;
  }
  const Tensor dense = as_tensor(op, "x", x);
  const DType index = index_dtype ? as_dtype(op, *index_dtype) : DType::int32;
  return unlocked([&] { return to_csr(dense, index); });
}

AnyObject transpose_of(nb::handle a) {
  const auto object = [](auto made) { return nb::borrow<AnyObject>(nb::object(nb::cast(std::move(made)))); };
  if (nb::isinstance<Coo>(a)) {
    const Coo& coo = nb::cast<const Coo&>(a);
    return object(Coo::unchecked(coo.columns(), coo.rows(), coo.values(), coo.shape()[1], coo.shape()[0]));
  }
  if (nb::isinstance<Csc>(a)) {
    return object(Csc::of_transposed(unlocked([&] { return nb::cast<const Csc&>(a).to_csr(); })));
  }
  const std::optional<Csr> csr = csr_of(a);
  if (!csr) {
    throw nb::type_error(
        (std::string("transpose: a is of type ") + Py_TYPE(a.ptr())->tp_name + ", expected a sparse matrix").c_str());
  }
  return object(unlocked([&] { return transpose(*csr); }));
}

}  // namespace

void bind_formats(nb::module_& module) {
  bind_csc(module);
  bind_bsr(module);
  bind_nm(module);
  bind_bitmap(module);
  module.def(
      "to_csc",
      [](const Convertible& x, const std::optional<DTypeLike>& index_dtype) {
        const Csr csr = as_csr("to_csc", x, index_dtype);
        return unlocked([&] { return to_csc(csr); });
      },
      nb::arg("x"), nb::arg("index_dtype") = nb::none(), "In compressed columns; arguments as for `to_csr`.");
  module.def(
      "to_bsr",
      [](const Convertible& x, std::pair<std::int64_t, std::int64_t> block,
         const std::optional<DTypeLike>& index_dtype) {
        const Csr csr = as_csr("to_bsr", x, index_dtype);
        return unlocked([&] { return to_bsr(csr, {block.first, block.second}); });
      },
      nb::arg("x"), nb::arg("block"), nb::arg("index_dtype") = nb::none(),
      "The blocks (r, c) that hold an entry; their other elements are stored zeros. Any shape: the last blocks are "
      "padded.");
  module.def(
      "to_bitmap",
      [](const Convertible& x, const std::optional<DTypeLike>& index_dtype) {
        const Csr csr = as_csr("to_bitmap", x, index_dtype);
        return unlocked([&] { return to_bitmap(csr); });
      },
      nb::arg("x"), nb::arg("index_dtype") = nb::none(), "One bit an element, and the values of those that are set.");
  module.def(
      "to_nm",
      [](const Convertible& x, int n, int m) {
        const Csr csr = as_csr("to_nm", x, std::nullopt);
        return unlocked([&] { return to_nm(csr, n, m); });
      },
      nb::arg("x"), nb::arg("n"), nb::arg("m"),
      "At most n entries of each m columns of a row; ValueError that names the first m with more.");
  module.def("transpose", &transpose_of, nb::arg("a"), nb::sig("def transpose(a: typing.Any) -> typing.Any"),
             "The transposed matrix: Coo and Csc keep their format, all others give a Csr.");
  module.def(
      "concatenate",
      [](const std::vector<const Csr*>& matrices, int axis) {
        std::vector<Csr> copies;
        for (const Csr* a : matrices) copies.push_back(*a);
        return unlocked([&] { return concatenate(copies, axis); });
      },
      nb::arg("matrices"), nb::arg("axis") = 0,
      nb::sig("def concatenate(matrices: collections.abc.Sequence[Csr], axis: int = 0) -> Csr"),
      "One below the other (axis 0), or side by side (axis 1).");
  module.def(
      "prune_zeros", [](const Csr& a) { return unlocked([&] { return prune_zeros(a); }); }, nb::arg("a"),
      "Without the entries whose value is zero. NaN is none.");
}

}  // namespace sparsert::python
