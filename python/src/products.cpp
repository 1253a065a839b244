// python/src/products.cpp — plans, and products of sparse and dense matrices.
#include <mutex>
#include <shared_mutex>

#include "bindings.hpp"
#include "sparse.hpp"

namespace sparsert::python {
namespace {

/// A plan that threads may share: products read it together, an update waits for them.
struct SharedPlan {
  explicit SharedPlan(Plan made) : plan(std::move(made)) {}

  Plan plan;
  mutable std::shared_mutex mutex;
};

class MatrixLike : public nb::object {
  NB_OBJECT_DEFAULT(MatrixLike, nb::object, "sparsert.typing.MatrixLike", any_object)
};

class WeightLike : public nb::object {
  NB_OBJECT_DEFAULT(WeightLike, nb::object, "sparsert.typing.WeightLike", any_object)
};

/// The optional operands of a product, kept while it runs.
class Operands {
 public:
  Operands(const char* op, const std::optional<ArrayLike>& bias, const std::optional<Output>& out) {
    if (bias) bias_ = as_tensor(op, "bias", *bias);
    if (out) out_ = as_output(op, "out", *out);
  }

  const Tensor* bias() const { return bias_ ? &*bias_ : nullptr; }
  Tensor* out() { return out_ ? &*out_ : nullptr; }

 private:
  std::optional<Tensor> bias_;
  std::optional<Tensor> out_;
};

/// The output that was named, as the object it came as; else the new tensor.
TensorObject named_or_new(const std::optional<Output>& out, Tensor made) {
  return out ? nb::borrow<TensorObject>(*out) : tensor_object(std::move(made));
}

[[noreturn]] void not_a_matrix(const char* op, const char* argument, nb::handle got) {
  throw nb::type_error((std::string(op) + ": " + argument + " is of type " + Py_TYPE(got.ptr())->tp_name +
                        ", expected a Csr or a Plan (to_csr and from_scipy make matrices)")
                           .c_str());
}

/// Runs `product(matrix or plan)` unlocked, the plan guarded against updates meanwhile.
template <class Product>
Tensor with_matrix(const char* op, const char* argument, nb::handle matrix, Product product) {
  if (nb::isinstance<Csr>(matrix)) {
    const Csr& csr = nb::cast<const Csr&>(matrix);
    return unlocked([&] { return product(csr); });
  }
  if (nb::isinstance<SharedPlan>(matrix)) {
    const SharedPlan& shared = nb::cast<const SharedPlan&>(matrix);
    return unlocked([&] {
      const std::shared_lock lock(shared.mutex);
      return product(shared.plan);
    });
  }
  if (const std::optional<Csr> csr = csr_of(matrix)) return unlocked([&] { return product(*csr); });
  not_a_matrix(op, argument, matrix);
}

bool is_sparse(nb::handle object) {
  return nb::isinstance<Csr>(object) || nb::isinstance<SharedPlan>(object) || nb::isinstance<Coo>(object) ||
         nb::isinstance<Csc>(object) || nb::isinstance<Bsr>(object) || nb::isinstance<Nm>(object) ||
         nb::isinstance<Bitmap>(object);
}

TensorObject spmm_of(const MatrixLike& a, const ArrayLike& b, const std::optional<ArrayLike>& bias, bool relu,
                     double alpha, double beta, const std::optional<Output>& out, const OrderName& order) {
  const Tensor dense = as_tensor("spmm", "b", b);
  Operands operands("spmm", bias, out);
  const SpmmOptions options{operands.bias(), relu, alpha, beta, operands.out(), as_order("spmm", order)};
  if (nb::isinstance<Bsr>(a)) {
    const Bsr& blocks = nb::cast<const Bsr&>(a);
    return named_or_new(out, unlocked([&] { return spmm(blocks, dense, options); }));
  }
  return named_or_new(out,
                      with_matrix("spmm", "a", a, [&](const auto& matrix) { return spmm(matrix, dense, options); }));
}

TensorObject linear_of(const Convertible& x, const WeightLike& w, const std::optional<ArrayLike>& bias, bool relu,
                       const std::optional<Output>& out, const OrderName& order) {
  Operands operands("linear", bias, out);
  const LinearOptions options{operands.bias(), relu, operands.out(), as_order("linear", order)};
  if (nb::isinstance<Csr>(x) || nb::isinstance<Bitmap>(x)) {  // a compressed activation
    const Tensor weight = as_tensor("linear", "w", w);
    const Csr activation = nb::isinstance<Csr>(x) ? nb::cast<Csr>(x) : nb::cast<const Bitmap&>(x).to_csr();
    return named_or_new(out, unlocked([&] { return linear(activation, weight, options); }));
  }
  const Tensor dense = as_tensor("linear", "x", x);
  if (nb::isinstance<Bsr>(w)) {
    const Bsr& blocks = nb::cast<const Bsr&>(w);
    return named_or_new(out, unlocked([&] { return linear(dense, blocks, options); }));
  }
  if (is_sparse(w)) {
    return named_or_new(
        out, with_matrix("linear", "w", w, [&](const auto& matrix) { return linear(dense, matrix, options); }));
  }
  const Tensor weight = as_tensor("linear", "w", w);
  return named_or_new(out, unlocked([&] { return linear(dense, weight, options); }));
}

TensorObject spmv_of(const MatrixLike& a, const ArrayLike& v) {
  const Tensor x = as_tensor("spmv", "v", v);
  return tensor_object(with_matrix("spmv", "a", a, [&](const auto& matrix) { return spmv(matrix, x); }));
}

/// Both sparse: the product in CSR.
AnyObject sparse_matmul(nb::handle x, nb::handle y) {
  const std::optional<Csr> left = csr_of(x);
  const std::optional<Csr> right = csr_of(y);
  if (!left) not_a_matrix("matmul", "x", x);
  if (!right) not_a_matrix("matmul", "y", y);
  return nb::borrow<AnyObject>(nb::object(nb::cast(unlocked([&] { return spgemm(*left, *right); }))));
}

AnyObject matmul_of(const Convertible& x, const Convertible& y, const std::optional<Output>& out,
                    const OrderName& order) {
  if (is_sparse(x) && is_sparse(y)) {
    require(!out,
            [] { return std::string("matmul: out is for a dense result, expected none for two sparse operands"); });
    return sparse_matmul(x, y);
  }
  Operands operands("matmul", std::nullopt, out);
  const Order wanted = as_order("matmul", order);
  if (is_sparse(x)) {
    const Tensor right = as_tensor("matmul", "y", y);
    const MatmulOptions options{operands.out(), wanted};
    return nb::borrow<AnyObject>(named_or_new(out, with_matrix("matmul", "x", x, [&](const auto& matrix) {
                                                if constexpr (std::is_same_v<std::decay_t<decltype(matrix)>, Plan>) {
                                                  return spmm(matrix, right, {.out = options.out, .order = wanted});
                                                } else {
                                                  return matmul(matrix, right, options);
                                                }
                                              })));
  }
  const Tensor left = as_tensor("matmul", "x", x);
  if (is_sparse(y)) {
    require(!out, [] { return std::string("matmul: out, expected none where y is sparse"); });
    const auto multiply = [&](const Csr& matrix) { return matmul(left, matrix); };
    return nb::borrow<AnyObject>(tensor_object(with_matrix("matmul", "y", y, [&](const auto& matrix) {
      if constexpr (std::is_same_v<std::decay_t<decltype(matrix)>, Plan>) return multiply(matrix.matrix());
      else return multiply(matrix);
    })));
  }
  const Tensor right = as_tensor("matmul", "y", y);
  const MatmulOptions options{operands.out(), wanted};
  return nb::borrow<AnyObject>(named_or_new(out, unlocked([&] { return matmul(left, right, options); })));
}

// ---- the operator @

bool is_array(nb::handle object) {
  return nb::isinstance<Tensor>(object) || nb::hasattr(object, "__array_interface__");
}

TensorObject matmul_operator(nb::handle x, nb::handle y) {
  if (is_array(x) && is_sparse(y) && !nb::isinstance<SharedPlan>(y)) {
    const Tensor dense = as_tensor("matmul", "x", x);
    const Csr sparse = *csr_of(y);
    return tensor_object(unlocked([&] { return matmul(dense, sparse); }));
  }
  if (!is_array(x) || !is_array(y)) return not_implemented();
  const Tensor left = as_tensor("matmul", "x", x);
  const Tensor right = as_tensor("matmul", "y", y);
  return tensor_object(unlocked([&] { return matmul(left, right); }));
}

TensorObject spmm_operator(nb::handle a, nb::handle b) {
  if (!is_array(b)) return not_implemented();
  const Tensor dense = as_tensor("spmm", "b", b);
  return tensor_object(with_matrix("spmm", "a", a, [&](const auto& matrix) { return spmm(matrix, dense); }));
}

void bind_plan(nb::module_& module) {
  nb::class_<SharedPlan>(
      module, "Plan",
      "A matrix packed once for its device, to be multiplied many times; tuned for products with `n` columns.\n\n"
      "Every operation that takes the matrix takes the plan.")
      .def(
          "__init__",
          [](SharedPlan* self, const Csr& a, std::int64_t n) { unlocked([&] { new (self) SharedPlan(Plan(a, n)); }); },
          nb::arg("a"), nb::arg("n") = 256)
      .def_prop_ro(
          "matrix",
          [](const SharedPlan& self) {
            return unlocked([&] {
              const std::shared_lock lock(self.mutex);
              return self.plan.matrix();
            });
          },
          "The matrix that was packed, with values of its own.")
      .def_prop_ro("shape",
                   [](const SharedPlan& self) {
                     return nb::typed<nb::tuple, int, int>(nb::object(shape_tuple(self.plan.matrix().shape())));
                   })
      .def_prop_ro("device", [](const SharedPlan& self) { return to_string(self.plan.matrix().device()); })
      .def_prop_ro(
          "nbytes", [](const SharedPlan& self) { return self.plan.nbytes(); },
          "Bytes of the packing, beside the matrix itself.")
      .def(
          "update_values",
          [](SharedPlan& self, const ArrayLike& values) {
            const Tensor tensor = as_tensor("update_values", "values", values);
            unlocked([&] {
              const std::unique_lock lock(self.mutex);
              self.plan.update_values(tensor);
            });
          },
          nb::arg("values"), "New values for the same pattern: (nnz), of the matrix's dtype and device, in its order.")
      .def(
          "__matmul__", [](nb::handle_t<SharedPlan> a, const ArrayOperand& b) { return spmm_operator(a, b); },
          nb::is_operator())
      .def("__repr__", [](const SharedPlan& self) {
        return unlocked([&] {
          const std::shared_lock lock(self.mutex);
          const Csr& a = self.plan.matrix();
          return "Plan(shape=" + to_string(a.shape()) + ", nnz=" + std::to_string(a.nnz()) + ", device='" +
                 to_string(a.device()) + "', nbytes=" + std::to_string(self.plan.nbytes()) + ")";
        });
      });
}

}  // namespace

Order as_order(const char* op, nb::handle object) {
  const auto name =
      PyUnicode_Check(object.ptr()) ? nb::cast<std::string>(object) : nb::cast<std::string>(nb::repr(object));
  if (name == "canonical") return Order::canonical;
  if (name == "fast") return Order::fast;
  throw Error(ErrorCode::invalid_argument, std::string(op) + ": order is " + name + ", expected canonical or fast");
}

void bind_products(nb::module_& module) {
  bind_plan(module);
  module.def(
      "spmm", &spmm_of, nb::arg("a"), nb::arg("b"), nb::arg("bias") = nb::none(), nb::arg("relu") = false,
      nb::arg("alpha") = 1.0, nb::arg("beta") = 0.0, nb::arg("out") = nb::none(), nb::arg("order") = "canonical",
      "act(alpha * A * B + beta * C + bias): A sparse (m, k), B (k, n), bias (m), C and the result (m, n).\n\n"
      "All of A's floating dtype and on its device. `out` is C: read where beta is not 0, written, and returned; it\n"
      "must not overlap B. `order`: \"canonical\" gives the same bits everywhere, \"fast\" a stated bound. ValueError "
      "for\n"
      "operands that do not fit, NotImplementedError for a dtype that products lack.");
  module.def("linear", &linear_of, nb::arg("x"), nb::arg("w"), nb::arg("bias") = nb::none(), nb::arg("relu") = false,
             nb::arg("out") = nb::none(), nb::arg("order") = "canonical",
             "act(x * W^T + bias), the deep-learning layer: x (batch, in), W (out, in) sparse or dense, bias (out).\n\n"
             "The result and `out` are (batch, out). Dtypes, devices, `order` and errors as for `spmm`.");
  module.def("matmul", &matmul_of, nb::arg("x"), nb::arg("y"), nb::arg("out") = nb::none(),
             nb::arg("order") = "canonical",
             "x * y: (m, k) and (k, n), each dense or sparse. Two sparse ones give a Csr, all others a tensor.\n\n"
             "In canonical order the bits do not depend on which of them is sparse.");
  module.def("spmv", &spmv_of, nb::arg("a"), nb::arg("v"),
             "A * v: A sparse (m, k), v (k), the result (m), with the bits of spmm with one column.");

  auto tensor = nb::borrow<nb::class_<Tensor>>(module.attr("Tensor"));
  tensor
      .def(
          "__matmul__", [](nb::handle_t<Tensor> x, const ArrayOperand& y) { return matmul_operator(x, y); },
          nb::is_operator())
      .def(
          "__rmatmul__", [](nb::handle_t<Tensor> y, const ArrayOperand& x) { return matmul_operator(x, y); },
          nb::is_operator());
  nb::borrow<nb::class_<Csr>>(module.attr("Csr"))
      .def(
          "__matmul__", [](nb::handle_t<Csr> a, const ArrayOperand& b) { return spmm_operator(a, b); },
          nb::is_operator());
}

}  // namespace sparsert::python
