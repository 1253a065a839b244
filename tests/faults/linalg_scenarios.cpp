// tests/faults/linalg_scenarios.cpp — conversions between formats, products, softmax, sums and their gradients.
#include "sparsert/linalg.hpp"

#include <memory>
#include <utility>
#include <vector>

#include "tests/faults/scenario_support.hpp"

namespace sparsert::test {
namespace {

struct Adder : ScenarioAdder {
  Size size;

  /// An operation on one sparse matrix; `compute` takes it.
  template <class Compute>
  void add_unary(const char* op, Compute compute, const char* how = "") const {
    add(
        op,
        [self = *this, compute](const Device& d) {
          const Csr a = self.matrix(d);
          return prepared(tensors_of(a), [=] { return compute(a); });
        },
        how);
  }

  /// An operation on one sparse matrix and one dense operand, which `make(device)` makes.
  template <class Make, class Compute>
  void add_binary(const char* op, Make make, Compute compute, const char* how = "") const {
    add(
        op,
        [self = *this, make, compute](const Device& d) {
          const Csr a = self.matrix(d);
          const Tensor x = make(d);
          return prepared({a.row_offsets(), a.columns(), a.values(), x}, [=] { return compute(a, x); });
        },
        how);
  }

  Csr matrix(const Device& d) const { return sparse(size.m, size.k, dtype, index, d); }
};

/// A matrix made of the arrays of another one. The shape is moved in, so that what is allocated is the constructor's.
template <class Convert, class Make>
void add_constructor(const Adder& to, const char* op, Convert convert, Make make) {
  to.add(op, [=](const Device& d) {
    const auto a = convert(to.matrix(cpu_device)).to(d);
    const auto shape = std::make_shared<Shape>(a.shape());
    Prepared made = prepared(tensors_of(a), [=] { return make(a, std::move(*shape)); });
    made.reset = [=] { *shape = a.shape(); };
    return made;
  });
}

void add_formats(const Adder& to) {
  to.add_unary("transpose", [](const Csr& a) { return transpose(a); });
  to.add_unary("to_bsr", [](const Csr& a) { return to_bsr(a, {2, 4}); });
  to.add_unary("to_nm", [](const Csr& a) { return to_nm(a, 2, 4); });
  to.all.back().idle_kernels_fail = true;
  to.add_unary("to_bitmap", [](const Csr& a) { return to_bitmap(a); });
  to.add_unary("prune_zeros", [](const Csr& a) { return prune_zeros(a); });
  to.add_unary("slice_rows", [](const Csr& a) { return slice_rows(a, 1, 4); });
  to.add("bsr.to_csr", [to](const Device& d) {
    const Bsr a = to_bsr(to.matrix(d), {2, 4});
    return prepared(tensors_of(a), [=] { return a.to_csr(); });
  });
  to.add("nm.to_csr", [to](const Device& d) {
    const Nm a = to_nm(to.matrix(cpu_device), 2, 4).to(d);
    return prepared(tensors_of(a), [=] { return a.to_csr(to.index); });
  });
  to.add("bitmap.to_csr", [to](const Device& d) {
    const Bitmap a = to_bitmap(to.matrix(d));
    return prepared(tensors_of(a), [=] { return a.to_csr(); });
  });
  add_constructor(
      to, "csc", [](const Csr& a) { return to_csc(a); },
      [](const Csc& a, Shape shape) { return Csc(a.col_offsets(), a.rows(), a.values(), std::move(shape)); });
  add_constructor(
      to, "bsr",
      [](const Csr& a) {
        return to_bsr(a, {2, 4});
      },
      [](const Bsr& a, Shape shape) { return Bsr(a.row_offsets(), a.columns(), a.values(), std::move(shape)); });
  add_constructor(
      to, "nm", [](const Csr& a) { return to_nm(a, 2, 4); },
      [](const Nm& a, Shape shape) { return Nm(a.values(), a.positions(), std::move(shape), 2, 4); });
  add_constructor(
      to, "bitmap", [](const Csr& a) { return to_bitmap(a); },
      [](const Bitmap& a, Shape shape) { return Bitmap(a.bits(), a.values(), std::move(shape), a.index_dtype()); });
  for (const int axis : {0, 1}) {
    to.add(
        "concatenate",
        [to, axis](const Device& d) {
          const std::vector<Csr> both{to.matrix(d), to.matrix(d)};
          return prepared(tensors_of(both[0]), [=] { return concatenate(both, axis); });
        },
        axis == 0 ? " rows" : " columns");
  }
}

void add_products(const Adder& to) {
  to.add_binary(
      "spmv", [to](const Device& d) { return vector_of(to.size.k, to.dtype, d); },
      [](const Csr& a, const Tensor& x) { return spmv(a, x); });
  to.add(
      "spmv",
      [to](const Device& d) {
        const Plan plan(to.matrix(d), 1);
        const Tensor x = vector_of(to.size.k, to.dtype, d);
        return prepared({plan.matrix().values(), x}, [=] { return spmv(plan, x); });
      },
      " plan");
  to.add_binary(
      "spmm_transposed", [to](const Device& d) { return dense(to.size.m, to.size.n, to.dtype, 4, d); },
      [](const Csr& a, const Tensor& b) { return spmm_transposed(a, b); });
  to.add_binary(
      "matmul", [to](const Device& d) { return dense(to.size.n, to.size.m, to.dtype, 5, d); },
      [](const Csr& a, const Tensor& x) { return matmul(x, a); });
  to.add(
      "spmm",
      [to](const Device& d) {
        const Bsr a = to_bsr(to.matrix(d), {2, 4});
        const Tensor b = dense(to.size.k, to.size.n, to.dtype, 3, d);
        return prepared({a.values(), b}, [=] { return spmm(a, b); });
      },
      " bsr");
  to.add("sddmm", [to](const Device& d) {
    const Csr a = to.matrix(d);
    const Tensor x = dense(to.size.m, to.size.n, to.dtype, 3, d);
    const Tensor y = dense(to.size.k, to.size.n, to.dtype, 4, d);
    return prepared({x, y}, [=] { return sddmm(a, x, y); });
  });
  to.add("spgemm", [to](const Device& d) {
    const Csr a = to.matrix(d);
    const Csr b = sparse(to.size.k, to.size.n, to.dtype, to.index, d);
    return prepared({a.values(), b.values()}, [=] { return spgemm(a, b); });
  });
  to.add_unary(
      "add", [](const Csr& a) { return add(a, a); }, " sparse");
  to.add("spmm_backward", [to](const Device& d) {
    const Csr a = to.matrix(d);
    const Tensor grad = dense(to.size.m, to.size.n, to.dtype, 3, d);
    const Tensor b = dense(to.size.k, to.size.n, to.dtype, 4, d);
    return prepared({a.values(), grad, b}, [=] { return spmm_backward(grad, a, b); });
  });
  to.add("sddmm_backward", [to](const Device& d) {
    const Csr a = to.matrix(d);
    const Tensor x = dense(to.size.m, to.size.n, to.dtype, 3, d);
    const Tensor y = dense(to.size.k, to.size.n, to.dtype, 4, d);
    return prepared({a.values(), x, y}, [=] { return sddmm_backward(a.values(), a, x, y); });
  });
  for (const bool sparse_weight : {true, false}) {
    to.add(
        "linear_backward",
        [to, sparse_weight](const Device& d) {
          const Csr w = to.matrix(d);
          const Tensor dense_w = w.to_dense();
          const Tensor grad = dense(to.size.n, to.size.m, to.dtype, 3, d);
          const Tensor x = dense(to.size.n, to.size.k, to.dtype, 4, d);
          return prepared({w.values(), grad, x}, [=] {
            return sparse_weight ? linear_backward(grad, x, w) : linear_backward(grad, x, dense_w);
          });
        },
        sparse_weight ? " sparse" : " dense");
  }
}

void add_rows(const Adder& to) {
  to.add_unary("sparse_softmax", [](const Csr& a) { return sparse_softmax(a); });
  to.add_unary("sparse_softmax_backward", [](const Csr& a) { return sparse_softmax_backward(a.values(), a); });
  to.add_unary("row_sums", [](const Csr& a) { return row_sums(a); });
  to.add_binary(
      "scale_rows", [to](const Device& d) { return vector_of(to.size.m, to.dtype, d); },
      [](const Csr& a, const Tensor& x) { return scale_rows(a, x); });
  to.add_binary(
      "scale_columns", [to](const Device& d) { return vector_of(to.size.k, to.dtype, d); },
      [](const Csr& a, const Tensor& x) { return scale_columns(a, x); });
}

}  // namespace

void add_linalg_scenarios(std::vector<Scenario>& all, Size size, DType dtype, DType index) {
  const Adder to{{all, dtype, index}, size};
  add_formats(to);
  add_products(to);
  add_rows(to);
}

}  // namespace sparsert::test
