// bench/machine.cpp — the machine as it describes itself.
#include "bench/machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "bench_commit.hpp"

namespace sparsert::bench {
namespace {

// A line of the kernel's description of a cache, or "" where there is none.
std::string cache_property(int index, const char* name) {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/" + name);
  std::string text;
  std::getline(file, text);
  return text;
}

double load_average() {
  std::array<double, 1> load{};
  return getloadavg(load.data(), 1) == 1 ? load[0] : 0;
}

double memory_gib() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30);
}

nlohmann::ordered_json gpu_json(int id) {
  const cuda::DeviceProperties gpu = cuda::device_properties(id);
  return {{"name", gpu.name},
          {"compute_capability",
           std::to_string(gpu.compute_capability_major) + "." + std::to_string(gpu.compute_capability_minor)},
          {"memory_total", gpu.memory_total},
          {"multiprocessors", gpu.multiprocessors},
          {"runtime_version", cuda::status().runtime_version},
          {"driver_version", cuda::status().driver_version}};
}

}  // namespace

// Not sysconf: the C library gives the L3 of all core complexes of a socket together, of which a core reaches one.
std::int64_t cache_bytes(int level) {
  constexpr std::array<std::int64_t, 3> kTypical{32 << 10, 512 << 10, 8 << 20};
  for (int index = 0; !cache_property(index, "level").empty(); ++index) {
    if (cache_property(index, "level") != std::to_string(level)) continue;
    if (cache_property(index, "type") == "Instruction") continue;
    const std::string size = cache_property(index, "size");  // "32768K"
    const std::int64_t unit = size.ends_with('K') ? 1 << 10 : size.ends_with('M') ? 1 << 20 : 1;
    return std::max<std::int64_t>(1 << 10, std::atoll(size.c_str()) * unit);
  }
  return kTypical.at(static_cast<std::size_t>(level - 1));
}

nlohmann::ordered_json machine_json(const Device& device) {
  const CpuInfo cpu = cpu_info();
  utsname system{};
  uname(&system);
  nlohmann::ordered_json machine = {{"cpu", cpu.name},
                                    {"threads", cpu.threads},
                                    {"simd", cpu.simd},
                                    {"l1d_bytes", cache_bytes(1)},
                                    {"l2_bytes", cache_bytes(2)},
                                    {"l3_bytes", cache_bytes(3)},
                                    {"memory_gib", memory_gib()},
                                    {"system", std::string(system.sysname) + " " + system.release},
                                    {"compiler", __VERSION__},
                                    {"load_average", load_average()}};
  if (device.type == Device::Type::cuda) machine["gpu"] = gpu_json(device.index);
  return machine;
}

std::vector<std::string> environment_notes() {
  std::vector<std::string> notes;
  for (const char* const name :
       {"OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "SPARSERT_CPU_TARGET"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr) {
      notes.push_back(std::string(name) + "=" + value +
                      " is set: kernels are not chosen for this machine, and ratios are not fair");
    }
  }
  const double load = load_average();
  if (load > 0.5) {
    std::ostringstream text;
    text.precision(2);
    text << "the machine is busy: load average " << load << " at the start";
    notes.push_back(text.str());
  }
  return notes;
}

std::string commit() { return kBenchCommit; }

std::string date() {
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

}  // namespace sparsert::bench
