// python/src/dlpack.cpp — capsules in both directions.
//
// A capsule is consumed once: whoever takes its content renames it, and runs the content's deleter when done. A capsule
// that is dropped unconsumed runs the deleter itself. The structures below are the protocol's binary interface.
#include "dlpack.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace sparsert::python {
namespace {

struct DlDevice {
  std::int32_t type;
  std::int32_t id;
};

struct DlType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t rank;
  DlType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: contiguous
  std::uint64_t byte_offset;
};

struct DlManaged {
  static constexpr const char* kName = "dltensor";
  static constexpr const char* kUsedName = "used_dltensor";

  DlTensor tensor;
  void* context;
  void (*deleter)(DlManaged*);
};

struct DlManagedVersioned {
  static constexpr const char* kName = "dltensor_versioned";
  static constexpr const char* kUsedName = "used_dltensor_versioned";

  std::uint32_t major;
  std::uint32_t minor;
  void* context;
  void (*deleter)(DlManagedVersioned*);
  std::uint64_t flags;
  DlTensor tensor;
};

constexpr std::uint64_t kReadOnly = 1;
constexpr std::uint64_t kIsCopied = 2;

enum DeviceCode : std::int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

DlType type_of(DType dtype) {
  const auto bits = static_cast<std::uint8_t>(size_of(dtype) * 8);
  switch (dtype) {
    case DType::boolean: return {kBool, bits, 1};
    case DType::uint8: return {kUInt, bits, 1};
    case DType::int32:
    case DType::int64: return {kInt, bits, 1};
    case DType::bfloat16: return {kBfloat, bits, 1};
    case DType::float16:
    case DType::float32:
    case DType::float64: return {kFloat, bits, 1};
  }
  return {};
}

DlDevice device_of(const Device& device) {
  return device.is_host() ? DlDevice{kCpu, 0} : DlDevice{kCuda, device.index};
}

// ---- import

/// The message's start: "op: argument".
std::string named(const char* op, const char* argument) { return std::string(op) + ": " + argument; }

DType dtype_from(const char* op, const char* argument, const DlType& type) {
  for (const DType dtype : {DType::boolean, DType::uint8, DType::int32, DType::int64, DType::float16, DType::bfloat16,
                            DType::float32, DType::float64}) {
    const DlType ours = type_of(dtype);
    if (ours.code == type.code && ours.bits == type.bits && ours.lanes == type.lanes) return dtype;
  }
  throw Error(ErrorCode::invalid_argument,
              named(op, argument) + " has DLPack type code " + std::to_string(type.code) + " of " +
                  std::to_string(type.bits) + " bits and " + std::to_string(type.lanes) +
                  " lane(s), expected bool, uint8, int32, int64, float16, bfloat16, float32 or float64");
}

Device device_from(const char* op, const char* argument, const DlDevice& device) {
  switch (device.type) {
    case kCpu:
    case kCudaHost: return cpu_device;
    case kCuda:
    case kCudaManaged: return {Device::Type::cuda, device.id};
    default:
      throw Error(ErrorCode::invalid_argument, named(op, argument) + " is on DLPack device type " +
                                                   std::to_string(device.type) + ", expected a CPU or a CUDA device");
  }
}

bool is_contiguous(const DlTensor& tensor) {
  if (tensor.strides == nullptr) return true;
  std::int64_t expected = 1;
  for (std::int32_t d = tensor.rank - 1; d >= 0; --d) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) return false;
    expected *= tensor.shape[d];
  }
  return true;
}

void copy_strided(const DlTensor& from, std::int32_t dim, const char* source, std::size_t item, char*& to) {
  for (std::int64_t i = 0; i < from.shape[dim]; ++i) {
    const char* const element = source + i * from.strides[dim] * static_cast<std::int64_t>(item);
    if (dim + 1 < from.rank) {
      copy_strided(from, dim + 1, element, item, to);
    } else {
      std::memcpy(to, element, item);
      to += item;
    }
  }
}

template <class Managed>
Imported take(const char* op, const char* argument, nb::handle capsule, bool may_copy) {
  auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if (managed == nullptr) nb::raise_python_error();
  bool read_only = false;
  if constexpr (std::is_same_v<Managed, DlManagedVersioned>) {
    require(managed->major == 1, [&] {
      return named(op, argument) + " has DLPack version " + std::to_string(managed->major) + ", expected 1";
    });
    read_only = (managed->flags & kReadOnly) != 0;
  }
  const DlTensor& source = managed->tensor;
  require(source.rank >= 0 && (source.rank == 0 || source.shape != nullptr),
          [&] { return named(op, argument) + " has no valid DLPack shape"; });
  Shape shape(source.shape, source.shape + source.rank);
  const DType dtype = dtype_from(op, argument, source.dtype);
  const Device device = device_from(op, argument, source.device);
  const std::int64_t numel = element_count(shape, size_of(dtype));
  char* const data = static_cast<char*>(source.data) + (numel == 0 ? 0 : source.byte_offset);
  const bool shareable =
      numel == 0 || (is_contiguous(source) && reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) == 0);
  require(shareable || (may_copy && device.is_host()), [&] {
    return named(op, argument) + " of shape " + to_string(shape) +
           " is strided or not aligned, expected contiguous memory";
  });
  if (!shareable) {
    Tensor tensor = Tensor::empty(std::move(shape), dtype);
    char* to = static_cast<char*>(tensor.mutable_data());
    if (is_contiguous(source)) {
      std::memcpy(to, data, static_cast<std::size_t>(tensor.nbytes()));
    } else {
      copy_strided(source, 0, data, size_of(dtype), to);
    }
    return {std::move(tensor), true};  // the capsule is left unconsumed: it frees its own content
  }
  // From here on the content is ours.
  auto owner = held_for_python(managed, [](Managed* content) {
    if (content->deleter != nullptr) content->deleter(content);
  });
  if (PyCapsule_SetName(capsule.ptr(), Managed::kUsedName) != 0) nb::raise_python_error();
  return {Tensor::wrap(
              data, std::move(shape), dtype, device, [owner = std::move(owner)] {}, read_only),
          false};
}

nb::object ask_for_capsule(nb::handle object) {
  const nb::object producer = object.attr("__dlpack__");
  nb::dict arguments;
  const nb::tuple device = nb::cast<nb::tuple>(object.attr("__dlpack_device__")());
  // 1 is CUDA's legacy default stream, on which our work on that device is ordered.
  if (const int type = nb::cast<int>(device[0]); type == kCuda || type == kCudaManaged) arguments["stream"] = 1;
  try {
    return producer(**arguments, nb::arg("max_version") = nb::make_tuple(1, 0));
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;
  }
  return producer(**arguments);  // a producer that does not know versions
}

// ---- export

/// What a capsule keeps alive: a copy of the tensor (which shares the memory) and the arrays the protocol points to.
template <class Managed>
struct Exported {
  Managed managed{};
  Tensor tensor;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

template <class Managed>
nb::capsule make_capsule(const Tensor& tensor, std::uint64_t flags) {
  auto exported = std::make_unique<Exported<Managed>>();
  exported->tensor = tensor;
  exported->shape = tensor.shape();
  exported->strides.assign(exported->shape.size(), 1);
  for (std::size_t d = exported->shape.size(); d-- > 1;) {
    exported->strides[d - 1] = exported->strides[d] * std::max<std::int64_t>(1, exported->shape[d]);
  }
  Managed& managed = exported->managed;
  managed.tensor = {const_cast<void*>(tensor.data()),
                    device_of(tensor.device()),
                    static_cast<std::int32_t>(tensor.rank()),
                    type_of(tensor.dtype()),
                    exported->shape.data(),
                    exported->strides.data(),
                    0};
  if constexpr (std::is_same_v<Managed, DlManagedVersioned>) {
    managed.major = 1;
    managed.minor = 0;
    managed.flags = flags;
  }
  managed.context = exported.get();
  managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->context); };
  PyObject* const capsule = PyCapsule_New(&managed, Managed::kName, [](PyObject* object) {
    if (!PyCapsule_IsValid(object, Managed::kName)) return;  // consumed: no longer ours
    const nb::error_scope pending;
    auto* const unused = static_cast<Managed*>(PyCapsule_GetPointer(object, Managed::kName));
    unused->deleter(unused);
  });
  if (capsule == nullptr) nb::raise_python_error();
  exported.release();
  return nb::steal<nb::capsule>(capsule);
}

}  // namespace

bool has_dlpack(nb::handle object) {
  return nb::hasattr(object, "__dlpack__") && nb::hasattr(object, "__dlpack_device__");
}

Imported import_dlpack(const char* op, const char* argument, nb::handle object, bool may_copy) {
  const nb::object capsule = PyCapsule_CheckExact(object.ptr()) ? nb::borrow(object) : ask_for_capsule(object);
  if (PyCapsule_IsValid(capsule.ptr(), DlManagedVersioned::kName)) {
    return take<DlManagedVersioned>(op, argument, capsule, may_copy);
  }
  if (PyCapsule_IsValid(capsule.ptr(), DlManaged::kName)) return take<DlManaged>(op, argument, capsule, may_copy);
  throw Error(ErrorCode::invalid_argument,
              named(op, argument) + " gave something other than an unused DLPack capsule (each can be taken once)");
}

nb::typed<nb::tuple, int, int> dlpack_device(const Tensor& tensor) {
  const DlDevice device = device_of(tensor.device());
  return nb::typed<nb::tuple, int, int>(nb::make_tuple(device.type, device.id));
}

nb::capsule export_dlpack(const Tensor& tensor, nb::handle stream, nb::handle max_version, nb::handle dl_device,
                          std::optional<bool> copy) {
  Tensor shared = tensor;
  std::uint64_t flags = 0;
  if (!dl_device.is_none()) {
    const DlDevice wanted{nb::cast<std::int32_t>(dl_device[0]), nb::cast<std::int32_t>(dl_device[1])};
    const DlDevice here = device_of(tensor.device());
    if (wanted.type == kCpu && here.type != kCpu && copy != false) {
      shared = unlocked([&] { return tensor.cpu(); });
      flags |= kIsCopied;
    } else if (wanted.type != here.type || wanted.id != here.id) {
      PyErr_SetString(PyExc_BufferError, "__dlpack__: the tensor is not on dl_device, and cannot be exported there");
      nb::raise_python_error();
    }
  }
  if (copy == true && flags == 0) {
    shared = unlocked([&] { return tensor.clone(); });
    flags |= kIsCopied;
  }
  if (shared.device().is_host()) {
    require(stream.is_none(), [] { return std::string("__dlpack__: got a stream, expected None for host memory"); });
  } else if (stream.is_none() || nb::cast<int>(stream) != -1) {
    // The consumer's stream is not ours: what has been given to ours must be done before it reads.
    unlocked([&] { Stream(shared.device()).synchronize(); });
  }
  const bool versioned = !max_version.is_none() && nb::cast<int>(max_version[0]) >= 1;
  if (versioned) return make_capsule<DlManagedVersioned>(shared, flags | (shared.read_only() ? kReadOnly : 0));
  if (shared.read_only()) {
    PyErr_SetString(PyExc_BufferError, "__dlpack__: read-only memory needs a consumer that knows DLPack 1.0");
    nb::raise_python_error();
  }
  return make_capsule<DlManaged>(shared, 0);
}

}  // namespace sparsert::python
