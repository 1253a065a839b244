// bench/command.cpp — the command line of the bench.
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/report.hpp"
#include "sparsert/error.hpp"

namespace sparsert::bench {

int bench_main(int argc, const char* const* argv, const char* program) {
  Options options;
  bool json = false;
  CLI::App app{
      "Measures the machine, then every operation against it and against the libraries installed; each result "
      "is checked before it is timed.",
      program};
  app.add_option("--op", options.op, "only operations whose name contains this");
  app.add_option("--device", options.device, "cpu, cuda:0, ...")->capture_default_str();
  app.add_option("--threads", options.threads, "numbers of threads, one run for each")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "measuring time of a case")->capture_default_str();
  app.add_option("--peer-path", options.peer_paths, "folders with libraries to compare with (also SPARSERT_PEER_PATH)");
  app.add_flag("--quick", options.quick, "small cases only, a few seconds in all");
  app.add_flag("--json", json,
               "machine, ceilings and cases as JSON on standard output; the table goes to standard error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    std::ostream& table = json ? std::cerr : std::cout;
    table << header() << std::endl;
    const Json report = run_bench(options, [&](const std::string& line) { table << line << std::endl; });
    if (json) std::cout << report.dump(2) << '\n';
    return 0;
  } catch (const Error& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace sparsert::bench
