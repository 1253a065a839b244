// python/src/module.cpp — the module `sparsert._sparsert`, family by family.
#include <cstdlib>

#include "bindings.hpp"

NB_MODULE(_sparsert, module) {
  using namespace sparsert::python;
  module.doc() = "The compiled part of sparsert. Its names are public through the package `sparsert`.";
  module.attr("__version__") = sparsert::kVersion;
  // Objects that outlive the interpreter, such as those of a daemon thread, are no concern of the user's.
  nb::set_leak_warnings(std::getenv("SPARSERT_LEAK_WARNINGS") != nullptr);
  bind_errors(module);
  bind_device(module);
  bind_tensor(module);
  bind_elementwise(module);
  bind_sparse(module);
  bind_formats(module);
  bind_products(module);
  bind_linalg(module);
  bind_advise(module);
  bind_embedding(module);
  bind_prune(module);
  bind_attention(module);
  bind_schedule(module);
  bind_lowrank(module);
  bind_gradient(module);
  bind_activation(module);
  bind_files(module);
}
