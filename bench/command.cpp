// bench/command.cpp — options, and where the table and the JSON go.
#include "bench/command.hpp"

#include <unistd.h>

#include <iostream>
#include <memory>

#include "bench/report.hpp"

namespace sparsert::bench {
namespace {

struct Request {
  Options options;
  bool json = false;
};

int run(const Request& request) {
  if (!request.json) {
    const Progress to_table = [](const std::string& line) { std::cout << line << std::endl; };
    to_table(header());
    run_bench(request.options, to_table);
    return 0;
  }
  // The table is progress then: for a person at a terminal, and nothing in a pipe.
  const bool shown = isatty(STDERR_FILENO) != 0;
  const Json report = run_bench(request.options, [shown](const std::string& line) {
    if (shown) std::cerr << line << std::endl;
  });
  std::cout << report.dump(2) << '\n';
  return 0;
}

}  // namespace

std::function<int()> declare(CLI::App& app) {
  const auto request = std::make_shared<Request>();
  Options& options = request->options;
  app.add_option("--op", options.op, "only operations whose name contains this");
  app.add_option("--device", options.device, "cpu, cuda:0, ...")->capture_default_str();
  app.add_option("--threads", options.threads, "numbers of threads, one run for each")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "measuring time of a case")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--peer-path", options.peer_paths, "folders with libraries to compare with (also SPARSERT_PEER_PATH)")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--quick", options.quick, "small cases only, a few seconds in all");
  app.add_flag("--json", request->json, "machine, ceilings, peers and cases as JSON");
  return [request] { return run(*request); };
}

}  // namespace sparsert::bench
