// kernels/dispatch.hpp — from run-time device and dtype to the one function that does the work.
#pragma once

#include <new>
#include <optional>
#include <string>
#include <type_traits>

#include "device/cuda.hpp"
#include "device/trace.hpp"
#include "kernels/op.hpp"
#include "kernels/trace.hpp"
#include "sparsert/error.hpp"

namespace sparsert::backend {

namespace cuda {
/// In a handler: Thrust's exceptions as this library's; any other passes.
[[noreturn]] void rethrow(const Stream& stream);
}  // namespace cuda

namespace detail {
/// On CUDA the operation's name goes into errors, and what Thrust throws becomes an `Error`.
template <class Args>
void run_on_cuda(const Op<Args>& op, typename Op<Args>::Function function, const Args& args, const Stream& stream) {
  if constexpr (kWithCuda) {
    const sparsert::cuda::Scope scope(stream.device().index, op.name);
    try {
      function(args, stream);
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (...) {
      cuda::rethrow(stream);
    }
  }
}
}  // namespace detail

/// Runs an operation on the stream's device. Memory that runs out meanwhile is `OutOfMemory` with the operation's name
/// and sizes.
template <class Args>
void run(const Op<Args>& op, const std::type_identity_t<Args>& args, const Stream& stream) {
  const auto function = [&]() -> typename Op<Args>::Function {
    switch (stream.device().type) {
      case Device::Type::cpu: return op.cpu;
      case Device::Type::reference: return op.reference;
      case Device::Type::simt: return op.simt;
      case Device::Type::cuda: return op.cuda;
    }
    return nullptr;
  }();
  if (function == nullptr) {
    throw DeviceUnavailable(std::string(op.name) + ": " + to_string(stream.device()) +
                            " is not built into this library");
  }
  std::optional<trace::Span> span;
  if (trace::enabled()) [[unlikely]]
    span.emplace(op.name, stream, describe(args));
  try {
    if (stream.device().type == Device::Type::cuda) {
      detail::run_on_cuda(op, function, args, stream);
    } else {
      function(args, stream);
    }
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(std::string(op.name) + ": " + error.what() + " for {" + describe(args) + "}", error.where());
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(std::string(op.name) + ": host memory ran out for {" + describe(args) + "}");
  }
}

[[noreturn]] void throw_unsupported_dtype(const char* op, DType dtype);

/// Calls `f.template operator()<T>()` for float or double (accumulated in the same type).
template <class F>
auto dispatch_float(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    default: throw_unsupported_dtype(op, dtype);
  }
}

/// Calls `f.template operator()<T>()` with the storage type of any float, 16-bit ones included.
template <class F>
auto dispatch_any_float(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::float16: return f.template operator()<float16>();
    case DType::bfloat16: return f.template operator()<bfloat16>();
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    default: throw_unsupported_dtype(op, dtype);
  }
}

/// Calls `f.template operator()<T>()` with the storage type of any dtype; bool is stored as uint8_t.
template <class F>
auto dispatch_any(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: return f.template operator()<std::uint8_t>();
    case DType::int32: return f.template operator()<std::int32_t>();
    case DType::int64: return f.template operator()<std::int64_t>();
    case DType::float16: return f.template operator()<float16>();
    case DType::bfloat16: return f.template operator()<bfloat16>();
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
  }
  throw_unsupported_dtype(op, dtype);
}

/// Calls `f.template operator()<I>()` for int32_t or int64_t.
template <class F>
auto dispatch_index(const char* op, DType index, F&& f) {
  switch (index) {
    case DType::int32: return f.template operator()<std::int32_t>();
    case DType::int64: return f.template operator()<std::int64_t>();
    default: throw_unsupported_dtype(op, index);
  }
}

}  // namespace sparsert::backend
