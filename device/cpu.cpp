// device/cpu.cpp — the CPU: its name, its threads, and the instruction set that Highway chose.
#include "device/cpu.hpp"

#include <hwy/targets.h>
#include <oneapi/tbb/info.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "sparsert/device.hpp"
#include "sparsert/error.hpp"

namespace sparsert {
namespace {

// Highway's targets without a fused multiply-add are not compiled: the contract needs one, so those machines run
// the scalar code with std::fma. Both of Highway's portable targets are "scalar" to us.
struct Target {
  std::int64_t bit;
  const char* name;
};

constexpr std::int64_t kScalar = HWY_EMU128 | HWY_SCALAR;
#if HWY_ARCH_X86
constexpr Target kTargets[] = {{HWY_AVX3_DL, "AVX3_DL"}, {HWY_AVX3, "AVX3"}, {HWY_AVX2, "AVX2"}, {kScalar, "scalar"}};
#else
constexpr Target kTargets[] = {{HWY_SVE2, "SVE2"}, {HWY_SVE, "SVE"}, {HWY_NEON, "NEON"}, {kScalar, "scalar"}};
#endif

// What the machine has, read before `use` narrows it.
std::int64_t detected() {
  static const std::int64_t targets = hwy::SupportedTargets() | kScalar;
  return targets;
}

// Makes Highway's dispatch use `name`, "" being the best there is. Returns the name in use.
std::string use(std::string_view name) {
  std::string known;
  for (const Target& target : kTargets) {
    if ((detected() & target.bit) == 0) continue;
    if (name.empty() || name == target.name) {
      hwy::SetSupportedTargetsForTest(target.bit);
      hwy::GetChosenTarget().Update(target.bit);
      return target.name;
    }
    known += (known.empty() ? "" : ", ") + std::string(target.name);
  }
  throw Error(ErrorCode::invalid_argument, "cpu target: got \"" + std::string(name) + "\", expected one of " + known);
}

std::string& in_use() {
  static std::string name = [] {
    const char* const wanted = std::getenv("SPARSERT_CPU_TARGET");
    return use(wanted == nullptr ? "" : wanted);
  }();
  return name;
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

std::vector<std::string> cpu_targets() {
  std::vector<std::string> names;
  for (const Target& target : kTargets) {
    if ((detected() & target.bit) != 0) names.emplace_back(target.name);
  }
  return names;
}

std::string cpu_target() { return in_use(); }

void set_cpu_target(std::string_view name) { in_use() = use(name); }

CpuInfo cpu_info() { return {cpu_name(), std::max(1, oneapi::tbb::info::default_concurrency()), cpu_target()}; }

}  // namespace sparsert
