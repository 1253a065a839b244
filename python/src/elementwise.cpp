// python/src/elementwise.cpp — arithmetic, comparison and ReLU: operators of Tensor, and functions.
#include <nanobind/typing.h>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using Binary = Tensor (*)(const Tensor&, const Tensor&, const Stream&);

/// x op y, as Python's operators want it: NotImplemented for what is neither a tensor, an array nor a number.
TensorObject operate(const char* op, Binary function, const Tensor& self, nb::handle other, bool reflected) {
  const char* const argument = reflected ? "x" : "y";
  Tensor operand;
  if (nb::isinstance<Tensor>(other)) {
    operand = nb::cast<const Tensor&>(other);
  } else if (is_scalar(other)) {
    operand = scalar_like(op, argument, other, self);
  } else if (nb::hasattr(other, "__array_interface__")) {
    operand = as_tensor(op, argument, other);
  } else {
    return not_implemented();
  }
  return tensor_object(unlocked([&] { return reflected ? function(operand, self, {}) : function(self, operand, {}); }));
}

/// The same as a function of two operands, of which at least one is more than a number.
Tensor apply(const char* op, Binary function, nb::handle x, nb::handle y) {
  const bool x_scalar = is_scalar(x) && !is_scalar(y);
  const bool y_scalar = is_scalar(y) && !is_scalar(x);
  Tensor left = x_scalar ? Tensor() : as_tensor(op, "x", x);
  Tensor right = y_scalar ? scalar_like(op, "y", y, left) : as_tensor(op, "y", y);
  if (x_scalar) left = scalar_like(op, "x", x, right);
  return unlocked([&] { return function(left, right, {}); });
}

template <Binary function>
void bind_binary(nb::module_& module, nb::class_<Tensor>& tensor, const char* op, const char* name,
                 const char* reflected_name, const char* doc) {
  module.def(
      op, [op](const ArrayLike& x, const ArrayLike& y) { return apply(op, function, x, y); }, nb::arg("x"),
      nb::arg("y"), doc);
  tensor.def(
      name, [op](const Tensor& x, const Operand& y) { return operate(op, function, x, y, false); }, nb::is_operator());
  tensor.def(
      reflected_name, [op](const Tensor& y, const Operand& x) { return operate(op, function, y, x, true); },
      nb::is_operator());
}

TensorObject power_operator(const Tensor& x, nb::handle exponent, nb::handle modulo) {
  if (!modulo.is_none() || !PyLong_Check(exponent.ptr())) return not_implemented();
  const int n = nb::cast<int>(exponent);
  return tensor_object(unlocked([&] { return power(x, n); }));
}

TensorObject compare(const char* name, nb::handle other) {
  if (!nb::isinstance<Tensor>(other) && !nb::hasattr(other, "__array_interface__")) return not_implemented();
  throw nb::type_error(
      (std::string("tensor: ") + name + " is not defined; sparsert.equal(x, y) compares values").c_str());
}

}  // namespace

void bind_elementwise(nb::module_& module) {
  auto tensor = nb::borrow<nb::class_<Tensor>>(module.attr("Tensor"));
  bind_binary<add>(
      module, tensor, "add", "__add__", "__radd__",
      "x + y. Same dtype and device; same shape, or one operand has one element. A number takes the other's dtype.");
  bind_binary<subtract>(module, tensor, "subtract", "__sub__", "__rsub__", "x - y. Operands as for `add`.");
  bind_binary<multiply>(module, tensor, "multiply", "__mul__", "__rmul__",
                        "x * y; integers wrap. Operands as for `add`.");
  tensor.def(
      "__pow__",
      [](const Tensor& x, nb::object exponent, nb::object modulo) { return power_operator(x, exponent, modulo); },
      nb::is_operator(), nb::arg("exponent"), nb::arg("modulo") = nb::none(),
      nb::sig("def __pow__(self, exponent: int, modulo: None = None, /) -> Tensor"));
  tensor.def(
      "__eq__", [](const Tensor&, nb::object other) { return compare("==", other); }, nb::is_operator(),
      nb::arg("other"), nb::sig("def __eq__(self, other: object, /) -> bool"));
  tensor.def(
      "__ne__", [](const Tensor&, nb::object other) { return compare("!=", other); }, nb::is_operator(),
      nb::arg("other"), nb::sig("def __ne__(self, other: object, /) -> bool"));

  module.def(
      "power",
      [](const ArrayLike& x, int exponent) {
        const Tensor tensor_x = as_tensor("power", "x", x);
        return unlocked([&] { return power(tensor_x, exponent); });
      },
      nb::arg("x"), nb::arg("exponent"), "x to an integer power of 0 to 1024, by repeated multiplication.");
  module.def(
      "equal",
      [](const ArrayLike& x, const ArrayLike& y) {
        const Tensor left = as_tensor("equal", "x", x);
        const Tensor right = as_tensor("equal", "y", y);
        return unlocked([&] { return equal(left, right); });
      },
      nb::arg("x"), nb::arg("y"),
      "True for the same shape, dtype and values; NaN equals nothing. ValueError for operands on two devices.");

  module.def(
      "relu",
      [](const ArrayLike& x) {
        const Tensor tensor_x = as_tensor("relu", "x", x);
        return unlocked([&] { return relu(tensor_x); });
      },
      nb::arg("x"), "max(x, 0), any shape and dtype: NaN stays NaN, -0 gives +0.");
  module.attr("T") = nb::type_var("T");
  module.def(
      "relu_",
      [](nb::object x) {
        Tensor out = as_output("relu_", "x", x);
        unlocked([&] { relu_(out); });
        return x;
      },
      nb::arg("x"), nb::sig("def relu_(x: T) -> T"),
      "`relu` written over x, a tensor or a contiguous array; returns x. ValueError for read-only memory.");
  module.def(
      "relu_backward",
      [](const ArrayLike& grad, nb::object x) -> nb::object {
        const Tensor tensor_grad = as_tensor("relu_backward", "grad", grad);
        if (nb::isinstance<Csr>(x)) {
          const Csr& out = nb::cast<const Csr&>(x);
          return nb::cast(unlocked([&] { return relu_backward(tensor_grad, out); }));
        }
        if (nb::isinstance<Bitmap>(x)) {
          const Bitmap& out = nb::cast<const Bitmap&>(x);
          return nb::cast(unlocked([&] { return relu_backward(tensor_grad, out); }));
        }
        const Tensor tensor_x = as_tensor("relu_backward", "x", x);
        return nb::cast(unlocked([&] { return relu_backward(tensor_grad, tensor_x); }));
      },
      nb::arg("grad"), nb::arg("x"),
      nb::sig("def relu_backward(grad: sparsert.typing.ArrayLike, x: Csr | Bitmap | sparsert.typing.ArrayLike) -> "
              "typing.Any"),
      "grad where x > 0, 0 where x <= 0, NaN where x is NaN. Same shape, dtype and device.\n\n"
      "With what `relu_to_csr` or `relu_to_bitmap` gave for x: the same on its pattern, as sparse as that is.");
}

}  // namespace sparsert::python
