// python/src/tensor.cpp — the class Tensor, and making tensors from what Python has.
#include <algorithm>
#include <memory>
#include <vector>

#include "bindings.hpp"
#include "dlpack.hpp"

namespace sparsert::python {
namespace {

// ---- the buffer protocol: NumPy and memoryview read a host tensor's memory through it

const char* buffer_format(DType dtype) {
  switch (dtype) {
    case DType::boolean: return "?";
    case DType::uint8: return "B";
    case DType::int32: return "i";
    case DType::int64: return "q";
    case DType::float16: return "e";
    case DType::bfloat16: return nullptr;
    case DType::float32: return "f";
    case DType::float64: return "d";
  }
  return nullptr;
}

struct BufferArrays {
  std::vector<Py_ssize_t> shape;
  std::vector<Py_ssize_t> strides;
};

int get_buffer(PyObject* self, Py_buffer* view, int flags) noexcept {
  const auto refuse = [&](const char* why) {
    view->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, why);
    return -1;
  };
  try {
    const Tensor& tensor = *nb::inst_ptr<Tensor>(self);
    if (!tensor.device().is_host()) return refuse("tensor: is on a GPU, expected host memory; use cpu()");
    if (buffer_format(tensor.dtype()) == nullptr) return refuse("tensor: buffers have no format for bfloat16");
    if (tensor.read_only() && (flags & PyBUF_WRITABLE) != 0) return refuse("tensor: read-only memory");
    auto arrays = std::make_unique<BufferArrays>();
    const auto item = static_cast<Py_ssize_t>(size_of(tensor.dtype()));
    arrays->shape.assign(tensor.shape().begin(), tensor.shape().end());
    arrays->strides.assign(arrays->shape.size(), item);
    for (std::size_t d = arrays->shape.size(); d-- > 1;) {
      arrays->strides[d - 1] = arrays->strides[d] * std::max<Py_ssize_t>(1, arrays->shape[d]);
    }
    view->buf = const_cast<void*>(tensor.data());
    view->len = tensor.nbytes();
    view->itemsize = item;
    view->readonly = tensor.read_only() ? 1 : 0;
    view->ndim = tensor.rank();
    view->format = (flags & PyBUF_FORMAT) != 0 ? const_cast<char*>(buffer_format(tensor.dtype())) : nullptr;
    view->shape = (flags & PyBUF_ND) != 0 ? arrays->shape.data() : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? arrays->strides.data() : nullptr;
    view->suboffsets = nullptr;
    view->internal = arrays.release();
    Py_INCREF(self);
    view->obj = self;
    return 0;
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
}

void release_buffer(PyObject*, Py_buffer* view) noexcept { delete static_cast<BufferArrays*>(view->internal); }

PyType_Slot tensor_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
                              {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
                              {0, nullptr}};

// ---- making tensors

Tensor tensor(const ArrayLike& array, const std::optional<DTypeLike>& dtype, const std::optional<std::string>& device) {
  std::optional<DType> wanted;
  if (dtype) wanted = as_dtype("tensor", *dtype);
  Imported imported = import_tensor("tensor", "array", array, wanted);
  const Device target = as_device(device, imported.tensor.device());
  return unlocked([&] {
    if (wanted && *wanted != imported.tensor.dtype()) imported = {cast(imported.tensor, *wanted), true};
    if (target != imported.tensor.device()) return imported.tensor.to(target);
    return imported.fresh ? imported.tensor : imported.tensor.clone();
  });
}

Tensor from_dlpack(nb::object object) {
  require(has_dlpack(object) || PyCapsule_CheckExact(object.ptr()), [&] {
    return "from_dlpack: x is of type " + std::string(Py_TYPE(object.ptr())->tp_name) +
           ", expected an object with __dlpack__";
  });
  return import_dlpack("from_dlpack", "x", object, false).tensor;
}

Tensor filled(const char* op, const ShapeLike& shape, const std::optional<DTypeLike>& dtype,
              const std::optional<std::string>& device) {
  const DType type = dtype ? as_dtype(op, *dtype) : DType::float32;
  return Tensor::zeros(as_shape(op, shape), type, as_device(device, cpu_device));
}

// ---- methods

Tensor reshape(const Tensor& x, const nb::args& sizes) {
  Shape shape = sizes.size() == 1 ? as_shape("reshape", sizes[0]) : as_shape("reshape", sizes);
  const auto open = std::find(shape.begin(), shape.end(), -1);
  if (open != shape.end()) {
    *open = 1;
    const std::int64_t rest = element_count(shape);
    require(rest != 0 && x.numel() % rest == 0, [&] {
      return "reshape: " + std::to_string(x.numel()) + " elements do not fill the other sizes of " + to_string(shape);
    });
    *open = x.numel() / rest;
  }
  return x.reshape(std::move(shape));
}

Tensor astype(const Tensor& x, const DTypeLike& dtype) {
  const DType wanted = as_dtype("astype", dtype);
  return unlocked([&] { return wanted == x.dtype() ? x.clone() : cast(x, wanted); });
}

nb::object host_array(const Tensor& x) {
  return as_numpy(nb::cast(x.device().is_host() ? x : unlocked([&] { return x.cpu(); })));
}

nb::object to_array(nb::handle self, const std::optional<DTypeLike>& dtype, std::optional<bool> copy) {
  nb::object array = as_numpy(self);
  if (dtype) {
    const nb::object converted = array.attr("astype")(*dtype, nb::arg("copy") = false);
    require(copy != false || converted.is(array),
            [] { return std::string("__array__: the dtype asked for needs a copy"); });
    array = converted;
  }
  return copy == true ? nb::object(array.attr("copy")()) : array;
}

std::string repr(const Tensor& x) {
  std::string text = "tensor(";
  if (x.dtype() == DType::bfloat16 && PyUnicode_Check(numpy_dtype(x.dtype()).ptr())) {
    text += "shape=" + to_string(x.shape());
  } else {
    const nb::object array_text = nb::module_::import_("numpy").attr("array2string");
    text +=
        nb::cast<std::string>(array_text(host_array(x), nb::arg("separator") = ", ", nb::arg("prefix") = "tensor("));
  }
  return text + ", dtype=" + std::string(to_string(x.dtype())) + ", device='" + to_string(x.device()) + "')";
}

std::int64_t length(const Tensor& x) {
  if (x.rank() == 0) throw nb::type_error("len: the tensor is a scalar, which has no length");
  return x.size(0);
}

AnyObject item(const Tensor& x) {
  require(x.numel() == 1, [&] { return "item: shape is " + to_string(x.shape()) + ", expected one element"; });
  return nb::borrow<AnyObject>(nb::object(host_array(x).attr("item")()));
}

nb::tuple reduce(nb::handle self) {
  const Tensor& x = nb::cast<const Tensor&>(self);
  return nb::make_tuple(nb::module_::import_("sparsert._restore").attr("tensor"),
                        nb::make_tuple(host_array(x), std::string(to_string(x.dtype())), to_string(x.device())));
}

void bind_class(nb::module_& module) {
  nb::class_<Tensor>(
      module, "Tensor", nb::type_slots(tensor_slots),
      "A contiguous, row-major array on one device. Made by `tensor`, `from_dlpack`, `zeros` and the operations.")
      .def_prop_ro("shape", [](const Tensor& x) { return shape_tuple(x.shape()); })
      .def_prop_ro("ndim", &Tensor::rank)
      .def_prop_ro("dtype", [](const Tensor& x) { return numpy_dtype(x.dtype()); })
      .def_prop_ro("device", [](const Tensor& x) { return to_string(x.device()); })
      .def_prop_ro("nbytes", &Tensor::nbytes)
      .def_prop_ro("read_only", &Tensor::read_only,
                   "True for memory that nothing may write to, such as a matrix's indices.")
      .def("numel", &Tensor::numel, "Number of elements.")
      .def(
          "data_ptr", [](const Tensor& x) { return reinterpret_cast<std::uintptr_t>(x.data()); },
          "Address of the first element.")
      .def(
          "to",
          [](const Tensor& x, const std::string& device) {
            const Device target = Device::parse(device);
            return unlocked([&] { return x.to(target); });
          },
          nb::arg("device"),
          "This tensor where it is on `device` already, else a copy there. DeviceUnavailable with the reason.")
      .def(
          "cpu", [](const Tensor& x) { return unlocked([&] { return x.cpu(); }); }, "`to(\"cpu\")`.")
      .def(
          "clone", [](const Tensor& x) { return unlocked([&] { return x.clone(); }); }, "A copy in writable memory.")
      .def(
          "numpy", [](nb::handle_t<Tensor> self) { return as_numpy(self); },
          "The memory as a NumPy array, without a copy; read-only where the tensor is. ValueError on a GPU: use "
          "`cpu()`.")
      .def("reshape", &reshape, nb::arg("shape"),
           nb::sig("def reshape(self, *shape: sparsert.typing.ShapeLike) -> Tensor"),
           "The same memory under another shape; one size may be -1.")
      .def("astype", &astype, nb::arg("dtype"),
           "A copy in another dtype: nearest even to floats; toward zero, saturating, NaN to 0, to integers.")
      .def("item", &item, "The value of a tensor of one element.")
      .def(
          "tolist", [](const Tensor& x) { return nb::borrow<AnyObject>(nb::object(host_array(x).attr("tolist")())); },
          "Nested lists of numbers.")
      .def("__len__", &length)
      .def("__bool__", [](const Tensor& x) { return PyObject_IsTrue(item(x).ptr()) == 1; })
      .def("__repr__", &repr)
      .def(
          "__reduce__", [](nb::handle_t<Tensor> self) { return reduce(self); },
          nb::sig("def __reduce__(self) -> tuple[typing.Any, ...]"))
      .def(
          "__array__",
          [](nb::handle_t<Tensor> self, const std::optional<DTypeLike>& dtype, std::optional<bool> copy) {
            return NumpyArray(to_array(self, dtype, copy).release(), nb::detail::steal_t{});
          },
          nb::arg("dtype") = nb::none(), nb::arg("copy") = nb::none())
      .def(
          "__dlpack__",
          [](const Tensor& x, nb::object stream, nb::object max_version, nb::object dl_device,
             std::optional<bool> copy) { return export_dlpack(x, stream, max_version, dl_device, copy); },
          nb::kw_only(), nb::arg("stream") = nb::none(), nb::arg("max_version") = nb::none(),
          nb::arg("dl_device") = nb::none(), nb::arg("copy") = nb::none(),
          nb::sig(
              "def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, int] | None = None, "
              "dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> typing_extensions.CapsuleType"))
      .def("__dlpack_device__", &dlpack_device);
  // NumPy's operators leave mixed expressions to the tensor's own.
  module.attr("Tensor").attr("__array_priority__") = 1000;
}

}  // namespace

void bind_tensor(nb::module_& module) {
  bind_class(module);
  module.def(
      "tensor", &tensor, nb::arg("array"), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
      "A copy of an array, of nested lists of numbers, a scalar, a tensor, or anything with DLPack.\n\n"
      "Without `dtype` arrays keep theirs; Python's floats become float32, its integers int64. Without `device`\n"
      "host data goes to the CPU, and a tensor's stays where it is. ValueError for a dtype that sparsert lacks,\n"
      "TypeError for what is no array, DeviceUnavailable with the reason.");
  module.def("from_dlpack", &from_dlpack, nb::arg("x"),
             "The memory of another library's array, without a copy. ValueError where it is strided.");
  module.def(
      "zeros",
      [](const ShapeLike& shape, const std::optional<DTypeLike>& dtype, const std::optional<std::string>& device) {
        return filled("zeros", shape, dtype, device);
      },
      nb::arg("shape"), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
      "Zeros of `shape`, float32 and on the CPU unless said.");
}

}  // namespace sparsert::python
