// python/src/errors.cpp — the library's errors as Python exceptions (the classes are in sparsert/errors.py).
#include <thread>

#include "bindings.hpp"
#include "sparsert/interrupt.hpp"

namespace sparsert::python {
namespace {

/// The package's own exception types, looked up once and kept for the life of the process.
struct Exceptions {
  nb::object device_unavailable;
  nb::object device_lost;
  nb::object file;
  nb::object communication;
};

PyObject* exception_for(const Exceptions& own, ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return PyExc_ValueError;
    case ErrorCode::not_supported: return PyExc_NotImplementedError;
    case ErrorCode::out_of_memory: return PyExc_MemoryError;
    case ErrorCode::device_unavailable: return own.device_unavailable.ptr();
    case ErrorCode::device_lost: return own.device_lost.ptr();
    case ErrorCode::file: return own.file.ptr();
    case ErrorCode::communication: return own.communication.ptr();
    case ErrorCode::internal: return PyExc_RuntimeError;
  }
  return PyExc_RuntimeError;
}

std::thread::id importing_thread;

/// Ctrl-C in a long operation. Python runs signal handlers in its main thread only.
void check_signals() {
  if (std::this_thread::get_id() != importing_thread) return;
  const nb::gil_scoped_acquire lock;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

void translate(const std::exception_ptr& exception, void* own) {
  try {
    std::rethrow_exception(exception);
  } catch (const dist::GroupError& error) {
    const auto& known = *static_cast<const Exceptions*>(own);
    const nb::object instance = known.communication(error.what());
    instance.attr("rank") = error.rank();
    instance.attr("phase") = dist::to_string(error.phase());
    PyErr_SetObject(known.communication.ptr(), instance.ptr());
  } catch (const Error& error) {
    PyErr_SetString(exception_for(*static_cast<const Exceptions*>(own), error.code()), error.what());
  }
}

}  // namespace

void bind_errors(nb::module_&) {
  const nb::module_ classes = nb::module_::import_("sparsert.errors");
  static const Exceptions* const own = new Exceptions{classes.attr("DeviceUnavailable"), classes.attr("DeviceLost"),
                                                      classes.attr("FileError"), classes.attr("CommError")};
  importing_thread = std::this_thread::get_id();
  set_interrupt_check(&check_signals);
  nb::register_exception_translator(translate, const_cast<Exceptions*>(own));
}

}  // namespace sparsert::python
