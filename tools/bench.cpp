// tools/bench.cpp — `sparsert bench`: every operation against the machine and the libraries installed on it.
#include "bench/command.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {

Action declare_bench(CLI::App& app) { return bench::declare(app); }

}  // namespace sparsert::tools
