// bench/main.cpp — sparsert-bench: `sparsert bench` as a program of its own.
#include <exception>
#include <iostream>

#include "bench/command.hpp"

int main(int argc, char** argv) {
  CLI::App app(
      "Measures the machine, then every operation against it and against the libraries installed; each result is "
      "checked "
      "before it is timed.",
      "sparsert-bench");
  const auto action = sparsert::bench::declare(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return action();
  } catch (const std::exception& error) {
    std::cerr << "sparsert-bench: " << error.what() << '\n';
    return 1;
  }
}
