// python/src/bindings.hpp — what the files of the module share: argument types, conversions, locks.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>
#include <utility>

#include "sparsert/sparsert.hpp"

namespace sparsert::python {

namespace nb = nanobind;

void bind_errors(nb::module_& module);
void bind_device(nb::module_& module);
void bind_tensor(nb::module_& module);
void bind_elementwise(nb::module_& module);
void bind_sparse(nb::module_& module);
void bind_formats(nb::module_& module);
void bind_products(nb::module_& module);
void bind_linalg(nb::module_& module);
void bind_advise(nb::module_& module);
void bind_embedding(nb::module_& module);
void bind_prune(nb::module_& module);
void bind_activation(nb::module_& module);
void bind_attention(nb::module_& module);
void bind_gradient(nb::module_& module);
void bind_lowrank(nb::module_& module);
void bind_schedule(nb::module_& module);
void bind_files(nb::module_& module);

inline bool any_object(PyObject*) noexcept { return true; }

/// What an operation takes where it needs a tensor. Converted by `as_tensor`, in the body, where the operation and the
/// argument can be named when it fails.
class ArrayLike : public nb::object {
  NB_OBJECT_DEFAULT(ArrayLike, nb::object, "sparsert.typing.ArrayLike", any_object)
};

/// The other operand of an operator: lists, which have operators of their own, are left out.
class ArrayOperand : public nb::object {
  NB_OBJECT_DEFAULT(ArrayOperand, nb::object, "sparsert.typing.ArrayOperand", any_object)
};

/// The same where a number will do.
class Operand : public nb::object {
  NB_OBJECT_DEFAULT(Operand, nb::object, "sparsert.typing.Operand", any_object)
};

/// A tensor as a Python object. From an operator also NotImplemented, so that Python asks the other operand.
using TensorObject = nb::typed<nb::object, Tensor>;

inline TensorObject not_implemented() { return nb::borrow<TensorObject>(Py_NotImplemented); }
inline TensorObject tensor_object(Tensor tensor) { return TensorObject(nb::cast(std::move(tensor))); }

/// A dtype as NumPy's functions take it: a type, its name, a `numpy.dtype`.
class DTypeLike : public nb::object {
  NB_OBJECT_DEFAULT(DTypeLike, nb::object, "sparsert.typing.DTypeLike", any_object)
};

/// A `numpy.dtype` (for bfloat16 without ml_dtypes: its name).
class NumpyDType : public nb::object {
  NB_OBJECT_DEFAULT(NumpyDType, nb::object, "sparsert.typing.DType", any_object)
};

/// A `numpy.ndarray`.
class NumpyArray : public nb::object {
  NB_OBJECT_DEFAULT(NumpyArray, nb::object, "sparsert.typing.Array", any_object)
};

/// One size or a sequence of them.
class ShapeLike : public nb::object {
  NB_OBJECT_DEFAULT(ShapeLike, nb::object, "sparsert.typing.ShapeLike", any_object)
};

/// Memory that an operation writes to: a tensor or a NumPy array.
class Output : public nb::object {
  NB_OBJECT_DEFAULT(Output, nb::object, "sparsert.typing.Output", any_object)
};

/// "canonical" or "fast".
class OrderName : public nb::object {
  NB_OBJECT_DEFAULT(OrderName, nb::object, "sparsert.typing.Order", any_object)
};
Order as_order(const char* op, nb::handle object);

/// Anything, as far as type checkers are concerned.
class AnyObject : public nb::object {
  NB_OBJECT_DEFAULT(AnyObject, nb::object, "typing.Any", any_object)
};

using ShapeTuple = nb::typed<nb::tuple, int, nb::ellipsis>;

/// A tensor made from a Python object, and whether its memory was made for it alone.
struct Imported {
  Tensor tensor;
  bool fresh = false;
};

/// The object as a tensor: tensors as they are; contiguous arrays and DLPack without a copy; the rest copied.
/// `wanted` lets types that sparsert lacks be widened to it, where that is exact.
/// Throws TypeError for what is no array, ValueError for a dtype that sparsert lacks.
Imported import_tensor(const char* op, const char* argument, nb::handle object, std::optional<DType> wanted = {});

inline Tensor as_tensor(const char* op, const char* argument, nb::handle object) {
  return import_tensor(op, argument, object).tensor;
}

/// The memory of `object` as a tensor that an operation writes to: never a copy.
/// Throws ValueError for an array that is strided, misaligned, byte-swapped or read-only.
Tensor as_output(const char* op, const char* argument, nb::handle object);

/// A tensor of one element with the value of a Python or NumPy scalar, in the dtype and on the device of `like`.
/// Throws ValueError for a value that the dtype cannot hold.
Tensor scalar_like(const char* op, const char* argument, nb::handle scalar, const Tensor& like);
bool is_scalar(nb::handle object);

DType as_dtype(const char* op, nb::handle object);
NumpyDType numpy_dtype(DType dtype);
Device as_device(const std::optional<std::string>& name, const Device& otherwise);

Shape as_shape(const char* op, nb::handle object);
ShapeTuple shape_tuple(const Shape& shape);

/// The tensor's memory as a NumPy array, without a copy. Throws ValueError where the CPU cannot read it.
NumpyArray as_numpy(nb::handle tensor);

/// Runs `f` without the interpreter's lock, so that other Python threads go on.
template <class F>
decltype(auto) unlocked(F&& f) {
  const nb::gil_scoped_release released;
  return std::forward<F>(f)();
}

/// Keeps `value`, which belongs to Python, until the last copy of the result goes, on whatever thread that is.
/// After the interpreter has ended it is abandoned: there is nothing left that could free it.
template <class T, class Free>
std::shared_ptr<T> held_for_python(T* value, Free free) {
  return std::shared_ptr<T>(value, [free](T* held) {
    if (!Py_IsInitialized()) return;
    const nb::gil_scoped_acquire lock;
    const nb::error_scope pending;
    free(held);
  });
}

}  // namespace sparsert::python
