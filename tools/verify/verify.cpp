// tools/verify/verify.cpp — `sparsert verify`: the equivalence suite on the machine in front of you.
//
// Each device is compared with the reference backend, bit for bit, over the whole grid. The grid is cut into shards,
// each a process of its own: a fault that takes a device (or a process) with it is one shard's finding, and the
// others go on.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/cli.hpp"
#include "tools/verify/outcome.hpp"

namespace sparsert::tools {
namespace {

using nlohmann::json;

constexpr int kShards = 8;            // processes a device
constexpr int kMostDifferences = 20;  // listed for each shard; all are counted
constexpr int kThreadCounts[] = {1, 2, 3, 8};

struct Options {
  std::string devices;
  std::string output;
  bool quick = false;
  bool json_output = false;
  std::string shard;  // "index/count", set only in the processes that verify starts
};

/// Null where there is no difference.
json to_json(const std::optional<verify::CaseDifference>& difference) {
  if (!difference) return nullptr;
  json text{{"got", difference->got}, {"expected", difference->expected}};
  if (difference->output) {
    text["output"] = *difference->output;
    text["element"] = difference->element;
  }
  return text;
}

json run_shard(const Device& device, int index, int count, bool quick) {
  const std::vector<verify::Case> grid = verify::make_grid();
  const std::size_t step = static_cast<std::size_t>(count) * (quick ? 16 : 1);
  json differences = json::array();
  std::int64_t cases = 0;
  std::int64_t failed = 0;
  for (std::size_t i = static_cast<std::size_t>(index); i < grid.size(); i += step) {
    set_num_threads(kThreadCounts[static_cast<std::size_t>(cases) % std::size(kThreadCounts)]);
    ++cases;
    json difference = to_json(verify::difference_from_reference(grid[i], device));
    if (difference.is_null()) continue;
    difference["case"] = grid[i].name;
    if (++failed <= kMostDifferences) differences.push_back(std::move(difference));
  }
  return {{"cases", cases}, {"failed", failed}, {"launches", kernel_launches(device)}, {"differences", differences}};
}

/// Runs one shard in a process of its own and returns its report, or what ended it.
json shard_in_process(const Device& device, int index, const Options& options) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "exec '" + self + "' verify --devices " + to_string(device) + " --shard " +
                              std::to_string(index) + "/" + std::to_string(kShards) + (options.quick ? " --quick" : "");
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw Error(ErrorCode::internal, "verify: cannot start a process");
  std::string text;
  char chunk[4096];
  for (std::size_t got = 0; (got = std::fread(chunk, 1, sizeof chunk, pipe)) > 0;) text.append(chunk, got);
  const int status = pclose(pipe);
  if (status == 0) {
    json report = json::parse(text, nullptr, false);
    if (!report.is_discarded()) return report;
  }
  const std::string end = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status))
                                              : "exited with code " + std::to_string(WEXITSTATUS(status));
  return {{"cases", 0},
          {"failed", 1},
          {"launches", 0},
          {"differences",
           json::array({{{"case", "shard " + std::to_string(index)}, {"got", end}, {"expected", "a report"}}})}};
}

std::vector<Device> chosen_devices(const Options& options) {
  std::vector<Device> chosen;
  if (options.devices.empty()) {
    for (const Device& device : devices()) {
      if (device != verify::kBaseline) chosen.push_back(device);
    }
    return chosen;
  }
  for (std::size_t begin = 0; begin <= options.devices.size();) {
    const std::size_t end = std::min(options.devices.find(',', begin), options.devices.size());
    chosen.push_back(Device::parse(std::string_view(options.devices).substr(begin, end - begin)));
    require_usable(chosen.back());
    begin = end + 1;
  }
  return chosen;
}

json verify_device(const Device& device, const Options& options) {
  json report = {
      {"name", to_string(device)}, {"cases", 0}, {"launches", 0}, {"failed", 0}, {"differences", json::array()}};
  if (device.type == Device::Type::cuda) report["hardware"] = cuda::device_properties(device.index).name;
  if (device == cpu_device) report["hardware"] = cpu_info().name + " (" + cpu_info().simd + ")";
  Progress progress(to_string(device), kShards);
  for (int i = 0; i < kShards; ++i) {
    const json shard = shard_in_process(device, i, options);
    for (const char* const count : {"cases", "launches", "failed"}) {
      report[count] = report[count].get<std::int64_t>() + shard[count].get<std::int64_t>();
    }
    for (const json& difference : shard["differences"]) report["differences"].push_back(difference);
    progress.advance();
  }
  return report;
}

void print(const json& certificate) {
  for (const json& device : certificate["devices"]) {
    std::cout << device["name"].get<std::string>() << ": " << device["cases"] << " cases, " << device["launches"]
              << " kernel launches, " << device["failed"] << " different from the reference\n";
    for (const json& difference : device["differences"]) {
      std::cout << "  " << difference["case"].get<std::string>() << ": got " << difference["got"].get<std::string>()
                << ", expected " << difference["expected"].get<std::string>() << "\n";
    }
  }
  std::cout << (certificate["passed"].get<bool>() ? "passed: the same bits everywhere\n" : "FAILED\n");
}

int run(const Options& options) {
  const std::vector<Device> chosen = chosen_devices(options);
  if (!options.shard.empty()) {
    int index = 0;
    int count = 1;
    if (std::sscanf(options.shard.c_str(), "%d/%d", &index, &count) != 2 || count < 1) return 2;
    std::cout << run_shard(chosen.at(0), index, count, options.quick);
    return 0;
  }
  json certificate = {
      {"version", kVersion},
      {"commit", kCommit},
      {"baseline", to_string(verify::kBaseline)},
      {"cuda",
       {{"runtime_version", cuda::status().runtime_version}, {"driver_version", cuda::status().driver_version}}},
      {"devices", json::array()}};
  bool passed = true;
  for (const Device& device : chosen) {
    certificate["devices"].push_back(verify_device(device, options));
    passed = passed && certificate["devices"].back()["failed"] == 0;
  }
  certificate["passed"] = passed;
  if (!options.output.empty()) {
    std::ofstream file(options.output);
    file << certificate.dump(2) << "\n";
    if (!file.flush()) throw FileError("verify: cannot write " + options.output);
  }
  if (options.json_output) std::cout << certificate.dump(2) << "\n";
  else print(certificate);
  return passed ? 0 : 1;
}

}  // namespace

Action declare_verify(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--devices", options->devices, "devices to verify, comma-separated; default: every usable one");
  app.add_flag("--quick", options->quick, "a sixteenth of the grid, in under 30 s");
  app.add_flag("--json", options->json_output, "print the certificate");
  app.add_option("-o,--output", options->output, "write the certificate, JSON, to this file");
  app.add_option("--shard", options->shard)->group("");  // how verify calls itself
  return [options] { return run(*options); };
}

}  // namespace sparsert::tools
