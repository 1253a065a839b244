// sparsert/error.hpp — the one error type, its codes, and the subclasses a caller may want to catch.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace sparsert {

/// What went wrong, for programs; the message says it for people.
enum class ErrorCode : std::uint8_t {
  invalid_argument,    ///< wrong shape, dtype, device, index or value
  not_supported,       ///< valid, but this build or device does not do it
  out_of_memory,       ///< host or device memory, or an address space limit
  device_unavailable,  ///< the device asked for is not usable here
  device_lost,         ///< a sticky device fault: the device needs a new process
  file,                ///< a file that is missing, truncated, malformed or hostile
  communication,       ///< a peer that died, stalled or disagreed
  internal,            ///< a broken invariant of the library itself
};

/// The name of a code, as written in JSON reports.
const char* to_string(ErrorCode code) noexcept;

/// Where an error was raised. (clang 14 has no std::source_location.)
struct SourceLocation {
  const char* file;
  int line;

  static constexpr SourceLocation current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

/// Every exception the library throws. The message reads `op: argument, got, expected`.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, SourceLocation where = SourceLocation::current());

  ErrorCode code() const noexcept { return code_; }
  SourceLocation where() const noexcept { return where_; }

 private:
  ErrorCode code_;
  SourceLocation where_;
};

/// The device asked for cannot be used; the message carries the reason.
class DeviceUnavailable : public Error {
 public:
  explicit DeviceUnavailable(const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(ErrorCode::device_unavailable, message, where) {}
};

/// A sticky fault: every later operation on this device throws this at once; CPU work goes on.
class DeviceLost : public Error {
 public:
  explicit DeviceLost(const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(ErrorCode::device_lost, message, where) {}
};

/// An allocation that failed after the pool had been trimmed once. Inputs and outputs are unchanged.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(ErrorCode::out_of_memory, message, where) {}
};

/// A model file that cannot be read or written; the message names format, offset and reason.
class FileError : public Error {
 public:
  explicit FileError(const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(ErrorCode::file, message, where) {}
};

/// A collective that failed; every surviving rank throws the same error.
class CommError : public Error {
 public:
  explicit CommError(const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(ErrorCode::communication, message, where) {}
};

/// Throws `Error{invalid_argument}` with `message()` unless `condition` holds.
/// The message is a callable, so that the passing case builds no string.
template <class Message>
inline void require(bool condition, Message&& message, SourceLocation where = SourceLocation::current()) {
  if (!condition) throw Error(ErrorCode::invalid_argument, message(), where);
}

}  // namespace sparsert
