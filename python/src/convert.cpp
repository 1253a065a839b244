// python/src/convert.cpp — Python objects to tensors, dtypes and shapes, and back.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

#include "bindings.hpp"
#include "dlpack.hpp"

namespace sparsert::python {
namespace {

constexpr const char* kDTypes = "bool, uint8, int32, int64, float16, bfloat16, float32 or float64";

/// NumPy's objects that conversions need, looked up once and kept for the life of the process.
struct Numpy {
  nb::object asarray;
  nb::object array_type;
  nb::object scalar_type;
  nb::object dtype_type;
};

const Numpy& numpy() {
  static const Numpy* const objects = [] {
    const nb::module_ module = nb::module_::import_("numpy");
    return new Numpy{module.attr("asarray"), module.attr("ndarray"), module.attr("generic"), module.attr("dtype")};
  }();
  return *objects;
}

bool is_instance(nb::handle object, const nb::object& type) {
  const int result = PyObject_IsInstance(object.ptr(), type.ptr());
  if (result < 0) nb::raise_python_error();
  return result == 1;
}

std::string class_name(nb::handle object) { return Py_TYPE(object.ptr())->tp_name; }

std::string named(const char* op, const char* argument) { return std::string(op) + ": " + argument; }

[[noreturn]] void not_an_array(const char* op, const char* argument, const std::string& got) {
  throw nb::type_error((named(op, argument) + " is " + got + ", expected a tensor, an array or numbers").c_str());
}

// ---- arrays

/// The dtype that a buffer's format names, if it is one of ours in this machine's byte order.
std::optional<DType> dtype_from_format(const char* format, Py_ssize_t item) {
  std::string_view text = format == nullptr ? "B" : format;
  constexpr char native = std::endian::native == std::endian::little ? '<' : '>';
  if (!text.empty() && (text[0] == '@' || text[0] == '=' || text[0] == native)) text.remove_prefix(1);
  if (text.size() != 1) return std::nullopt;
  switch (text[0]) {
    case '?': return DType::boolean;
    case 'B': return DType::uint8;
    case 'i':
    case 'l':
    case 'q': return item == 4 ? DType::int32 : DType::int64;
    case 'e': return DType::float16;
    case 'f': return DType::float32;
    case 'd': return DType::float64;
    default: return std::nullopt;
  }
}

using View = std::shared_ptr<Py_buffer>;

/// The array's memory, or null where NumPy has no format for its type.
View view_of(nb::handle array) {
  auto buffer = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(array.ptr(), buffer.get(), PyBUF_RECORDS_RO) != 0) {
    PyErr_Clear();
    return nullptr;
  }
  return held_for_python(buffer.release(), [](Py_buffer* held) {
    PyBuffer_Release(held);
    delete held;
  });
}

bool is_shareable(const Py_buffer& view, DType dtype) {
  return view.len == 0 ||
         (PyBuffer_IsContiguous(&view, 'C') == 1 && reinterpret_cast<std::uintptr_t>(view.buf) % size_of(dtype) == 0);
}

Tensor wrap_view(View view, DType dtype) {
  Shape shape(view->shape, view->shape + view->ndim);
  void* const data = view->buf;
  const bool read_only = view->readonly != 0;
  return Tensor::wrap(
      data, std::move(shape), dtype, cpu_device, [view = std::move(view)] {}, read_only);
}

/// A wider type of ours that holds every value of a foreign NumPy type, or null.
const char* exact_superset(char kind, int item) {
  if (kind == 'i' && item < 4) return "int32";
  if (kind == 'u' && item == 2) return "int32";
  if (kind == 'u' && item == 4) return "int64";
  return nullptr;
}

struct Viewed {
  View view;  // null: not a type of ours in native byte order
  DType dtype;
};

Viewed view_array(nb::handle array) {
  View view = view_of(array);
  if (view != nullptr) {
    const auto dtype = dtype_from_format(view->format, view->itemsize);
    return dtype ? Viewed{std::move(view), *dtype} : Viewed{nullptr, DType::float32};
  }
  const nb::object dtype = array.attr("dtype");
  if (nb::cast<std::string>(dtype.attr("name")) != "bfloat16") return {nullptr, DType::float32};
  return {view_of(array.attr("view")("uint16")), DType::bfloat16};  // NumPy has no buffer format for it
}

Imported import_array(const char* op, const char* argument, nb::handle array, std::optional<DType> wanted) {
  if (Viewed viewed = view_array(array); viewed.view && is_shareable(*viewed.view, viewed.dtype)) {
    return {wrap_view(std::move(viewed.view), viewed.dtype), false};
  }
  // A contiguous copy in native byte order.
  const nb::object dtype = array.attr("dtype");
  const char kind = nb::cast<std::string>(dtype.attr("kind"))[0];
  const auto name = nb::cast<std::string>(dtype.attr("name"));
  if (kind == 'O' || kind == 'U' || kind == 'S') {
    not_an_array(op, argument, "an array of " + std::string(kind == 'O' ? "Python objects" : "strings"));
  }
  nb::object target = dtype.attr("newbyteorder")("=");
  if (const char* wider = wanted ? exact_superset(kind, nb::cast<int>(dtype.attr("itemsize"))) : nullptr) {
    target = numpy().dtype_type(wider);
  }
  const nb::object copy = array.attr("astype")(target, nb::arg("order") = "C", nb::arg("copy") = true);
  Viewed viewed = view_array(copy);
  require(viewed.view != nullptr, [&] { return named(op, argument) + " is " + name + ", expected " + kDTypes; });
  return {wrap_view(std::move(viewed.view), viewed.dtype), true};
}

/// True where the first element of nested lists is a number of Python's own, which has no dtype to keep.
bool is_plain_number(nb::object object) {
  while ((PyList_CheckExact(object.ptr()) || PyTuple_CheckExact(object.ptr())) && nb::len(object) > 0)
    object = object[0];
  return object.is_none() || PyFloat_CheckExact(object.ptr()) || PyLong_Check(object.ptr()) ||
         PyList_CheckExact(object.ptr()) || PyTuple_CheckExact(object.ptr());
}

/// Numbers and nested lists of them. Floats become float32, as everywhere in deep learning; integers int64.
Imported import_numbers(const char* op, const char* argument, nb::handle object, std::optional<DType> wanted) {
  nb::object array;
  try {
    array = numpy().asarray(object);
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    throw Error(ErrorCode::invalid_argument, named(op, argument) + " is a list that forms no array: " + error.what());
  }
  Imported imported = import_array(op, argument, array, wanted);
  if (imported.tensor.dtype() == DType::float64 && !wanted && is_plain_number(nb::borrow(object))) {
    imported.tensor = cast(imported.tensor, DType::float32);
  }
  imported.fresh = true;
  return imported;
}

}  // namespace

Imported import_tensor(const char* op, const char* argument, nb::handle object, std::optional<DType> wanted) {
  if (nb::isinstance<Tensor>(object)) return {nb::cast<const Tensor&>(object), false};
  if (is_instance(object, numpy().array_type)) return import_array(op, argument, object, wanted);
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()) || is_scalar(object)) {
    return import_numbers(op, argument, object, wanted);
  }
  if (has_dlpack(object)) return import_dlpack(op, argument, object, true);
  const bool bytes = PyBytes_Check(object.ptr()) || PyByteArray_Check(object.ptr());
  if (!bytes && (PyObject_CheckBuffer(object.ptr()) || nb::hasattr(object, "__array__") ||
                 nb::hasattr(object, "__array_interface__"))) {
    return import_array(op, argument, numpy().asarray(object), wanted);
  }
  not_an_array(op, argument, "of type " + class_name(object));
}

Tensor as_output(const char* op, const char* argument, nb::handle object) {
  Tensor tensor;
  if (nb::isinstance<Tensor>(object)) {
    tensor = nb::cast<const Tensor&>(object);
  } else if (is_instance(object, numpy().array_type)) {
    Viewed viewed = view_array(object);
    require(viewed.view != nullptr && is_shareable(*viewed.view, viewed.dtype), [&] {
      return named(op, argument) +
             " is an array that cannot be written in place, expected a contiguous, aligned one of " + kDTypes;
    });
    tensor = wrap_view(std::move(viewed.view), viewed.dtype);
  } else if (has_dlpack(object)) {
    tensor = import_dlpack(op, argument, object, false).tensor;
  } else {
    not_an_array(op, argument, "of type " + class_name(object));
  }
  require(!tensor.read_only(), [&] { return named(op, argument) + " is read-only, expected writable memory"; });
  return tensor;
}

// ---- scalars

bool is_scalar(nb::handle object) {
  return PyFloat_Check(object.ptr()) || PyLong_Check(object.ptr()) || is_instance(object, numpy().scalar_type);
}

Tensor scalar_like(const char* op, const char* argument, nb::handle scalar, const Tensor& like) {
  const nb::object value = is_instance(scalar, numpy().scalar_type) && !PyFloat_Check(scalar.ptr())
                               ? nb::object(scalar.attr("item")())
                               : nb::borrow(scalar);
  const auto refuse = [&](const char* expected) {
    return Error(ErrorCode::invalid_argument, named(op, argument) + " is " + nb::cast<std::string>(nb::repr(value)) +
                                                  ", expected " + expected + " for a tensor of " +
                                                  std::string(to_string(like.dtype())));
  };
  // One element: broadcast to any shape, and of the tensor's own shape where that has one element too.
  const Shape shape = like.numel() == 1 ? like.shape() : Shape{};
  if (is_floating(like.dtype())) {
    if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr())) throw refuse("a real number");
    const double number = PyFloat_AsDouble(value.ptr());
    if (PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      throw refuse("a number within range");
    }
    if (like.dtype() == DType::float32) {
      return Tensor::from(std::vector<float>{static_cast<float>(number)}, shape, like.device());
    }
    return cast(Tensor::from(std::vector<double>{number}, shape, like.device()), like.dtype());
  }
  if (!PyLong_Check(value.ptr())) throw refuse("an integer");
  if (like.dtype() == DType::boolean && !PyBool_Check(value.ptr())) throw refuse("a bool");
  int overflow = 0;
  const std::int64_t number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  const bool fits = overflow == 0 && (like.dtype() == DType::int64 ||
                                      (like.dtype() == DType::int32 && number >= INT32_MIN && number <= INT32_MAX) ||
                                      (like.dtype() != DType::int32 && number >= 0 && number <= 255));
  if (!fits) throw refuse("an integer within range");
  return cast(Tensor::from(std::vector<std::int64_t>{number}, shape, like.device()), like.dtype());
}

// ---- dtypes and shapes

DType as_dtype(const char* op, nb::handle object) {
  std::string name;
  if (PyUnicode_Check(object.ptr())) name = nb::cast<std::string>(object);
  if (name != "bfloat16") {
    try {
      name = nb::cast<std::string>(numpy().dtype_type(object).attr("name"));
    } catch (nb::python_error& error) {
      if (!error.matches(PyExc_TypeError)) throw;
      if (!PyUnicode_Check(object.ptr())) {
        throw nb::type_error(
            (std::string(op) + ": dtype is of type " + class_name(object) + ", expected " + kDTypes).c_str());
      }
    }
  }
  for (const DType dtype : {DType::boolean, DType::uint8, DType::int32, DType::int64, DType::float16, DType::bfloat16,
                            DType::float32, DType::float64}) {
    if (name == to_string(dtype)) return dtype;
  }
  throw Error(ErrorCode::invalid_argument, std::string(op) + ": dtype is " + name + ", expected " + kDTypes);
}

NumpyDType numpy_dtype(DType dtype) {
  // One object per type, kept for the life of the process.
  static PyObject* known[8] = {};
  PyObject*& object = known[static_cast<std::size_t>(dtype)];
  if (object == nullptr) {
    const std::string name(to_string(dtype));
    nb::object made;
    if (dtype != DType::bfloat16) {
      made = numpy().dtype_type(name);
    } else {
      try {
        made = numpy().dtype_type(nb::module_::import_("ml_dtypes").attr("bfloat16"));
      } catch (nb::python_error& error) {
        if (!error.matches(PyExc_ImportError)) throw;
        made = nb::str(name.c_str());
      }
    }
    object = made.release().ptr();
  }
  return nb::borrow<NumpyDType>(object);
}

Shape as_shape(const char* op, nb::handle object) {
  const auto one = [&](nb::handle item) {
    const nb::object index = nb::steal(PyNumber_Index(item.ptr()));
    if (!index.is_valid()) {
      PyErr_Clear();
      throw nb::type_error((std::string(op) + ": shape holds a " + class_name(item) + ", expected integers").c_str());
    }
    int overflow = 0;
    const std::int64_t size = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    require(overflow == 0, [&] { return std::string(op) + ": shape has a size beyond 2^63"; });
    return size;
  };
  if (!PyTuple_Check(object.ptr()) && !PyList_Check(object.ptr())) return {one(object)};
  Shape shape;
  for (const nb::handle item : nb::borrow(object)) shape.push_back(one(item));
  return shape;
}

ShapeTuple shape_tuple(const Shape& shape) {
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(shape.size()));
  if (tuple == nullptr) nb::raise_python_error();
  for (std::size_t d = 0; d < shape.size(); ++d) {
    PyTuple_SetItem(tuple, static_cast<Py_ssize_t>(d), PyLong_FromLongLong(shape[d]));
  }
  return nb::steal<ShapeTuple>(tuple);
}

NumpyArray as_numpy(nb::handle object) {
  const Tensor& tensor = nb::cast<const Tensor&>(object);
  require(tensor.device().is_host(), [&] {
    return "numpy: the tensor is on " + to_string(tensor.device()) + ", expected host memory; use cpu()";
  });
  if (tensor.dtype() != DType::bfloat16) return nb::borrow<NumpyArray>(nb::object(numpy().asarray(object)));
  const NumpyDType dtype = numpy_dtype(DType::bfloat16);
  require(!PyUnicode_Check(dtype.ptr()),
          [] { return std::string("numpy: bfloat16 needs the module ml_dtypes; or use astype(\"float32\")"); });
  // Buffers have no format for it: the bytes, under ml_dtypes' type.
  const Tensor bytes = Tensor::wrap(
      const_cast<void*>(tensor.data()), {tensor.nbytes()}, DType::uint8, tensor.device(), [tensor] {},
      tensor.read_only());
  const nb::object array = numpy().asarray(nb::cast(bytes)).attr("view")(dtype);
  return nb::borrow<NumpyArray>(nb::object(array.attr("reshape")(shape_tuple(tensor.shape()))));
}

}  // namespace sparsert::python
