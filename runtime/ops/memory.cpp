// runtime/ops/memory.cpp — putting an operation's name and sizes to memory that ran out, and to a fault of the device.
#include "runtime/ops/memory.hpp"

#include <new>

#include "sparsert/error.hpp"

namespace sparsert {

void rethrow_named(const char* op, std::initializer_list<Operand> operands) {
  const auto message = [&](const std::string& what) {
    const std::string prefix = std::string(op).append(": ");
    std::string text = what.starts_with(prefix) ? what : prefix + what;
    if (text.find("; operands:") != std::string::npos) return text;
    text.append("; operands:");
    for (const Operand& operand : operands) {
      if (operand.is_given()) text.append(" ").append(operand.text());
    }
    return text;
  };
  try {
    throw;
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(message(error.what()), error.where());
  } catch (const DeviceLost& error) {
    throw DeviceLost(message(error.what()), error.where());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) throw;
    throw Error(error.code(), message(error.what()), error.where());
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message("host memory ran out"));
  }
}

}  // namespace sparsert
