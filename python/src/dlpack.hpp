// python/src/dlpack.hpp — memory shared with other array libraries, by the DLPack protocol (ABI 1.x and the one
// before).
#pragma once

#include "bindings.hpp"

namespace sparsert::python {

/// True for objects that offer their memory by DLPack.
bool has_dlpack(nb::handle object);

/// Takes an object's memory; the producer's deleter runs once, when the last tensor that shares it goes.
/// Strided host memory is copied where `may_copy`; else, and on a GPU, it is refused with ValueError.
Imported import_dlpack(const char* op, const char* argument, nb::handle object, bool may_copy);

/// `(device_type, device_id)` as the protocol numbers them.
nb::typed<nb::tuple, int, int> dlpack_device(const Tensor& tensor);

/// A capsule that shares the tensor's memory: with version and flags where the consumer's `max_version` allows.
nb::capsule export_dlpack(const Tensor& tensor, nb::handle stream, nb::handle max_version, nb::handle dl_device,
                          std::optional<bool> copy);

}  // namespace sparsert::python
