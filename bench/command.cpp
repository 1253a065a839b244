// bench/command.cpp — options, and where the table and the JSON go.
#include "bench/command.hpp"

#include <unistd.h>

#include <iostream>
#include <memory>

#include "bench/data.hpp"
#include "bench/report.hpp"
#include "sparsert/advise.hpp"

namespace sparsert::bench {
namespace {

struct Request {
  Options options;
  bool json = false;
  bool advise = false;
};

/// What `advise` says of a few shapes and densities: a line for each, and its reasons.
int run_advice(const Request& request) {
  const Device device = Device::parse(request.options.device);
  Json report = Json::array();
  for (const std::int64_t size :
       request.options.quick ? std::vector<std::int64_t>{256} : std::vector<std::int64_t>{256, 1024}) {
    for (const std::int64_t n : {1, 16, 128}) {
      for (const double zeros : {0.3, 0.5, 0.7, 0.9, 0.98}) {
        Tensor dense = random_tensor({size, size}, DType::float32, cpu_device, 1);
        make_zeros(dense.mutable_span<float>().data(), dense.numel(), zeros, 2);
        const Advice advice = advise(to_csr(dense).to(device), n);
        Json line{{"m", size}, {"k", size}, {"n", n}, {"zeros", zeros}, {"choice", advice.choice}};
        for (const AdviceCandidate& c : advice.candidates) {
          line["candidates"].push_back(
              {{"format", c.format}, {"seconds", c.seconds}, {"bytes", c.bytes}, {"note", c.note}});
        }
        line["reasons"] = advice.reasons;
        if (!request.json) {
          std::cout << size << "x" << size << " n=" << n << " " << 100 * zeros << "% zeros: " << advice.choice
                    << std::endl;
          for (const std::string& reason : advice.reasons) std::cout << "    " << reason << std::endl;
        }
        report.push_back(std::move(line));
      }
    }
  }
  if (request.json) std::cout << Json{{"advice", report}, {"file", advice_file()}}.dump(2) << '\n';
  return 0;
}

int run(const Request& request) {
  if (request.advise) return run_advice(request);
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
  app.add_flag("--advise", request->advise,
               "instead: which format is fastest at a few shapes, and why; kept for sp.advise and matmul");
  app.add_flag("--json", request->json, "machine, ceilings, peers and cases as JSON");
  return [request] { return run(*request); };
}

}  // namespace sparsert::bench
