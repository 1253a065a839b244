// device/error.cpp — error codes as words.
#include "sparsert/error.hpp"

namespace sparsert {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_supported: return "not_supported";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::device_unavailable: return "device_unavailable";
    case ErrorCode::device_lost: return "device_lost";
    case ErrorCode::file: return "file";
    case ErrorCode::communication: return "communication";
    case ErrorCode::internal: return "internal";
  }
  return "unknown";
}

Error::Error(ErrorCode code, const std::string& message, SourceLocation where)
    : std::runtime_error(message), code_(code), where_(where) {}

}  // namespace sparsert
