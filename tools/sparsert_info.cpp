// tools/sparsert_info.cpp — what sparsert finds on this machine: devices, CUDA and why not, the CPU, the operations.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/selftest.hpp"

namespace {

using nlohmann::ordered_json;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr std::string_view kHelp = R"(usage: sparsert-info [--json] [--ops] [--selftest]

What sparsert finds on this machine. Exit code 0 with or without a GPU.

  --json       one JSON object instead of text
  --ops        the operations, and the backends that have them
  --selftest   every family of operations on every device against the reference, in seconds; exit code 1 on a difference
  --version    the version of the library
  --help       this text
)";

struct Options {
  bool json = false;
  bool ops = false;
  bool selftest = false;
};

/// CUDA writes 13.0 as 13000.
std::string version_text(int version) {
  return version == 0 ? "none" : std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

ordered_json version_json(int version) { return version == 0 ? ordered_json() : ordered_json(version_text(version)); }

std::string capability(const sparsert::cuda::DeviceProperties& device) {
  return std::to_string(device.compute_capability_major) + "." + std::to_string(device.compute_capability_minor);
}

std::vector<sparsert::cuda::DeviceProperties> gpus() {
  std::vector<sparsert::cuda::DeviceProperties> all;
  for (int id = 0; id < sparsert::cuda::device_count(); ++id) all.push_back(sparsert::cuda::device_properties(id));
  return all;
}

ordered_json version_of(const sparsert::Library& library) {
  return library.found ? ordered_json(library.version) : ordered_json();
}

ordered_json cuda_json() {
  const sparsert::cuda::Status& status = sparsert::cuda::status();
  ordered_json devices = ordered_json::array();
  for (const auto& gpu : gpus()) {
    devices.push_back({{"id", gpu.id},
                       {"name", gpu.name},
                       {"compute_capability", capability(gpu)},
                       {"memory_total", gpu.memory_total},
                       {"memory_free", gpu.memory_free},
                       {"multiprocessors", gpu.multiprocessors}});
  }
  ordered_json libraries = ordered_json::object();
  for (const auto& library : sparsert::cuda::libraries()) {
    libraries[library.name] = version_of(library);
  }
  return {{"built", status.built},
          {"runtime_version", version_json(status.runtime_version)},
          {"driver_version", version_json(status.driver_version)},
          {"available", status.available},
          {"reason", sparsert::cuda::to_string(status.reason)},
          {"detail", status.detail},
          {"device_count", status.device_count},
          {"current_device", status.available ? ordered_json(sparsert::cuda::current_device()) : ordered_json()},
          {"devices", std::move(devices)},
          {"libraries", std::move(libraries)}};
}

ordered_json ops_json() {
  ordered_json ops = ordered_json::array();
  for (const auto& operation : sparsert::operations()) {
    ordered_json backends = ordered_json::array();
    for (const auto type : operation.backends) backends.push_back(to_string(type));
    ops.push_back({{"name", operation.name}, {"family", operation.family}, {"backends", std::move(backends)}});
  }
  return ops;
}

ordered_json report_json(const Options& options) {
  const sparsert::CpuInfo cpu = sparsert::cpu_info();
  ordered_json devices = ordered_json::array();
  for (const auto& device : sparsert::devices()) devices.push_back(to_string(device));
  ordered_json report{
      {"version", sparsert::kVersion},
      {"commit", sparsert::kCommit},
      {"cuda", cuda_json()},
      {"cpu",
       {{"name", cpu.name}, {"threads", cpu.threads}, {"simd", cpu.simd}, {"blas", version_of(sparsert::cpu_blas())}}},
      {"devices", std::move(devices)},
      {"default_device", to_string(sparsert::default_device().device)},
      {"reason", sparsert::default_device().reason}};
  if (options.ops) report["ops"] = ops_json();
  return report;
}

bool use_color() {
  const char* const no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
}

std::string bold(const std::string& text) { return use_color() ? "\033[1m" + text + "\033[0m" : text; }

std::string yes_no(bool value) { return value ? "yes" : "no"; }

void print_line(const std::string& name, const std::string& value) {
  std::printf("  %-18s %s\n", name.c_str(), value.c_str());
}

void print_library(const sparsert::Library& library) {
  print_line(library.name, library.found ? library.version : "not found: order=fast runs sparsert's own kernels");
}

void print_gpu(const sparsert::cuda::DeviceProperties& gpu) {
  constexpr double kGiB = 1 << 30;
  std::printf("  cuda:%-13d %s, compute capability %s, %d multiprocessors, %.1f of %.1f GiB free\n", gpu.id,
              gpu.name.c_str(), capability(gpu).c_str(), gpu.multiprocessors,
              static_cast<double>(gpu.memory_free) / kGiB, static_cast<double>(gpu.memory_total) / kGiB);
}

void print_report() {
  const sparsert::CpuInfo cpu = sparsert::cpu_info();
  const sparsert::cuda::Status& status = sparsert::cuda::status();
  std::string names;
  for (const auto& device : sparsert::devices()) names += (names.empty() ? "" : ", ") + to_string(device);

  std::printf("%s %s (%s)\n", bold("sparsert").c_str(), sparsert::kVersion, sparsert::kCommit);
  print_line("devices", names);
  print_line("default device",
             to_string(sparsert::default_device().device) + " (" + sparsert::default_device().reason + ")");

  std::printf("\n%s\n", bold("CPU").c_str());
  print_line("name", cpu.name);
  print_line("threads", std::to_string(cpu.threads));
  print_line("instruction set", cpu.simd);
  print_library(sparsert::cpu_blas());

  std::printf("\n%s\n", bold("CUDA").c_str());
  print_line("usable", status.available ? "yes" : "no: " + status.detail);
  print_line("built in", status.built ? "yes, CUDA " + version_text(status.runtime_version) : "no");
  print_line("driver", status.driver_version == 0 ? "none" : "up to CUDA " + version_text(status.driver_version));
  if (!status.available) return;
  for (const auto& library : sparsert::cuda::libraries()) print_library(library);
  for (const auto& gpu : gpus()) print_gpu(gpu);
}

void print_ops() {
  using sparsert::Device;
  constexpr Device::Type kBackends[] = {Device::Type::reference, Device::Type::cpu, Device::Type::simt,
                                        Device::Type::cuda};
  std::printf("%s\n", bold("operation            family        reference  cpu  simt  cuda").c_str());
  for (const auto& operation : sparsert::operations()) {
    std::string cells[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const auto& backends = operation.backends;
      cells[i] = yes_no(std::find(backends.begin(), backends.end(), kBackends[i]) != backends.end());
    }
    std::printf("%-20s %-13s %-10s %-4s %-5s %s\n", operation.name.c_str(), operation.family.c_str(), cells[0].c_str(),
                cells[1].c_str(), cells[2].c_str(), cells[3].c_str());
  }
}

ordered_json selftest_json(const sparsert::tools::SelftestReport& report) {
  ordered_json devices = ordered_json::array();
  for (const auto& device : report.devices) {
    ordered_json differences = ordered_json::array();
    for (const auto& difference : device.differences) {
      differences.push_back({{"case", difference.name}, {"got", difference.got}, {"expected", difference.expected}});
    }
    devices.push_back({{"name", device.name},
                       {"operations", device.operations},
                       {"cases", device.cases},
                       {"differences", std::move(differences)}});
  }
  return {{"version", sparsert::kVersion},
          {"commit", sparsert::kCommit},
          {"seconds", report.seconds},
          {"devices", std::move(devices)},
          {"passed", report.passed()}};
}

void print_selftest(const sparsert::tools::SelftestReport& report) {
  for (const auto& device : report.devices) {
    std::printf("%-10s %zu operations, %d cases, %zu different from the reference\n", device.name.c_str(),
                device.operations.size(), device.cases, device.differences.size());
    for (const auto& difference : device.differences) {
      std::printf("  %s: got %s, expected %s\n", difference.name.c_str(), difference.got.c_str(),
                  difference.expected.c_str());
    }
  }
  std::printf("%s in %.1f s\n", report.passed() ? "passed" : "FAILED", report.seconds);
}

int selftest(const Options& options) {
  const sparsert::tools::SelftestReport report = sparsert::tools::run_selftest();
  if (options.json) std::cout << selftest_json(report).dump(2) << '\n';
  else print_selftest(report);
  return report.passed() ? 0 : kFailed;
}

int run(const Options& options) {
  if (options.selftest) return selftest(options);
  if (options.json) {
    std::cout << report_json(options).dump(2) << '\n';
  } else if (options.ops) {
    print_ops();
  } else {
    print_report();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--ops") {
      options.ops = true;
    } else if (argument == "--selftest") {
      options.selftest = true;
    } else if (argument == "--version") {
      std::printf("%s\n", sparsert::kVersion);
      return 0;
    } else if (argument == "--help" || argument == "-h") {
      std::fwrite(kHelp.data(), 1, kHelp.size(), stdout);
      return 0;
    } else {
      std::fprintf(stderr, "sparsert-info: unknown argument %s\n%.*s", argv[i], static_cast<int>(kHelp.size()),
                   kHelp.data());
      return kUsage;
    }
  }
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sparsert-info: %s\n", error.what());
    return kFailed;
  }
}
