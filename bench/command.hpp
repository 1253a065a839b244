// bench/command.hpp — the command line that `sparsert-bench` and `sparsert bench` share.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace sparsert::bench {

/// Adds the bench's options to `app`; returns what runs it once they are parsed, and gives the exit code.
std::function<int()> declare(CLI::App& app);

}  // namespace sparsert::bench
