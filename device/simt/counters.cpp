// device/simt/counters.cpp — the switches of the simt device, and what its launches counted.
//
// Part of the library also where the engine is not built: the counts are then zero.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>

#include "device/simt/record.hpp"
#include "device/trace.hpp"
#include "sparsert/error.hpp"

namespace sparsert::simt {
namespace {

/// The value of an environment variable that takes one of two words.
bool is_second_word(const char* variable, std::string_view first, std::string_view second) {
  const char* const value = std::getenv(variable);
  if (value == nullptr || value == first) return false;
  if (value == second) return true;
  throw Error(ErrorCode::invalid_argument, std::string(variable) + ": got \"" + value + "\", expected " +
                                               std::string(first) + " or " + std::string(second));
}

struct Switches {
  std::atomic<ThreadOrder> order =
      is_second_word("SPARSERT_SIMT_ORDER", "forward", "reverse") ? ThreadOrder::reverse : ThreadOrder::forward;
  std::atomic<Check> check = is_second_word("SPARSERT_SIMT_CHECK", "full", "plain") ? Check::plain : Check::full;
  std::atomic<bool> profiling = false;
};

Switches& switches() {
  static Switches instance;
  return instance;
}

struct Log {
  std::mutex mutex;
  std::map<std::string, Counters> by_kernel;
};

Log& log() {
  static auto* const instance = new Log;
  return *instance;
}

}  // namespace

void set_order(ThreadOrder order) { switches().order = order; }
ThreadOrder order() noexcept { return switches().order; }

void set_check(Check check) { switches().check = check; }
Check check() noexcept { return switches().check; }

void set_profiling(bool on) { switches().profiling = on; }
bool profiling() noexcept { return switches().profiling; }

Counters& Counters::operator+=(const Counters& other) {
  launches += other.launches;
  blocks += other.blocks;
  threads += other.threads;
  barriers += other.barriers;
  global_bytes_read += other.global_bytes_read;
  global_bytes_written += other.global_bytes_written;
  shared_bytes_read += other.shared_bytes_read;
  shared_bytes_written += other.shared_bytes_written;
  atomics += other.atomics;
  global_requests += other.global_requests;
  global_sectors += other.global_sectors;
  ideal_sectors += other.ideal_sectors;
  shared_requests += other.shared_requests;
  bank_conflicts += other.bank_conflicts;
  active_lanes += other.active_lanes;
  warp_lanes += other.warp_lanes;
  return *this;
}

void record(const std::string& kernel, const Counters& launch) {
  trace::note_kernel(kernel);
  Log& all = log();
  const std::lock_guard lock(all.mutex);
  all.by_kernel[kernel] += launch;
}

std::map<std::string, Counters> counters() {
  Log& all = log();
  const std::lock_guard lock(all.mutex);
  return all.by_kernel;
}

Counters counters(std::string_view kernel) {
  Counters sum;
  for (const auto& [name, counted] : counters()) {
    if (name == kernel || name.substr(0, name.find('<')) == kernel) sum += counted;
  }
  return sum;
}

std::int64_t total_launches() {
  std::int64_t sum = 0;
  for (const auto& [name, counted] : counters()) sum += counted.launches;
  return sum;
}

void reset_counters() {
  Log& all = log();
  const std::lock_guard lock(all.mutex);
  all.by_kernel.clear();
}

}  // namespace sparsert::simt
