// device/simt/symbols.hpp — the name of a function, from the symbol tables of the running program.
#pragma once

#include <string>

namespace sparsert::simt {

/// "relu_kernel<float>" for the address of a kernel, without namespaces and parameters; "kernel at 0x..." where the
/// program was stripped. Cached.
std::string kernel_name(const void* function);

/// The same short form of any demangled function name.
std::string short_name(const std::string& demangled);

}  // namespace sparsert::simt
