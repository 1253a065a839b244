// bench/ceilings.cpp — FMA peak and bandwidth per level of the memory hierarchy.
#include "bench/ceilings.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>

#include "bench/ceiling_kernels.hpp"
#include "bench/machine.hpp"
#include "bench/measure.hpp"
#include "sparsert/error.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::bench {
namespace {

constexpr std::int64_t kChunk = 512;  // floats: what the loops take at a time, on every vector width
constexpr double kFits = 0.75;        // share of a level that a working set may use and still count as inside

// The best of many short runs of `body`, in units of work per second: a run that fits between two interruptions is
// what the machine can do.
double best_rate(double budget, double work, const std::function<void()>& body) {
  constexpr int kMinRuns = 5;
  body();
  double best = 0;
  const double deadline = now() + budget;
  for (int run = 0; run < kMinRuns || now() < deadline; ++run) {
    const double start = now();
    body();
    best = std::max(best, work / (now() - start));
  }
  return best;
}

double budget_of(bool quick) { return quick ? 0.02 : 0.4; }

double fma_peak(Team& team, bool quick) {
  constexpr std::int64_t kIterations = 20'000;
  const double flops = 12.0 * 2.0 * static_cast<double>(kIterations * vector_lanes() * team.size());
  return best_rate(budget_of(quick), flops, [&] { team.run([&](int) { run_fma(kIterations); }); });
}

// Touched memory in large pages where the system has them: the ceiling is the machine's, not the allocator's.
class Memory {
 public:
  explicit Memory(std::int64_t count) : bytes_((4 * static_cast<std::size_t>(count) + kPage - 1) / kPage * kPage) {
    data_.reset(static_cast<float*>(std::aligned_alloc(kPage, bytes_)));
    if (data_ == nullptr) throw OutOfMemory("bench: no memory for " + std::to_string(bytes_) + " bytes");
    madvise(data_.get(), bytes_, MADV_HUGEPAGE);
    std::fill_n(data_.get(), bytes_ / sizeof(float), 1.0f);
  }
  float* data() const { return data_.get(); }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::size_t bytes_;
  std::unique_ptr<float[], Free> data_;
};

// `bytes` is the working set of all members together: one array when reading, half in each of two when copying.
// Large sets are walked a window at a time, so that a run stays short while every window has long left the caches.
Level measure_level(Team& team, const std::string& name, std::int64_t size, std::int64_t bytes, bool quick) {
  constexpr std::int64_t kWindow = std::int64_t{512} << 10;  // floats a member copies in a run at most
  constexpr double kRun = 1e7;                               // bytes of a run inside the caches
  Level level{.name = name, .size = size, .bytes = bytes};
  const std::int64_t count = std::max(bytes / 8 / team.size() / kChunk, std::int64_t{1}) * kChunk;  // copied by each
  const std::int64_t window = std::min(count, kWindow);
  const std::int64_t windows = count / window;
  const Memory from(2 * count * team.size());
  const Memory to(count * team.size());
  const double moved = 2.0 * 4.0 * static_cast<double>(window * team.size());
  const auto repeats = windows > 1 ? 1 : std::max<std::int64_t>(1, static_cast<std::int64_t>(kRun / moved));
  const double work = moved * static_cast<double>(repeats);
  const double budget = budget_of(quick);
  const float* const source = from.data();
  float* const target = to.data();
  std::int64_t turn = 0;
  level.read = best_rate(budget, work, [&] {
    const std::int64_t at = 2 * window * (turn++ % windows);
    team.run([&](int member) { run_read(source + 2 * count * member + at, 2 * window, repeats); });
  });
  const auto copy = [&](bool past_cache) {
    return best_rate(budget, work, [&] {
      const std::int64_t at = window * (turn++ % windows);
      team.run([&](int member) {
        run_copy(source + count * member + at, target + count * member + at, window, repeats, past_cache);
      });
    });
  };
  level.copy = copy(false);
  if (name == "DRAM") level.copy_past_cache = copy(true);
  return level;
}

Ceilings measure_host(int threads, bool quick) {
  Team team(threads);
  Ceilings ceilings;
  ceilings.vector = cpu_info().simd;
  ceilings.flops = fma_peak(team, quick);
  const std::int64_t l1 = cache_bytes(1) * threads;
  const std::int64_t l2 = cache_bytes(2) * threads;
  const std::int64_t l3 = cache_bytes(3);
  ceilings.levels.push_back(measure_level(team, "L1", l1, l1 / 2, quick));
  ceilings.levels.push_back(measure_level(team, "L2", l2, l2 / 2, quick));
  ceilings.levels.push_back(measure_level(team, "L3", l3, std::max(l3 / 16, 2 * l2), quick));
  ceilings.levels.push_back(
      measure_level(team, "DRAM", 0, std::max((quick ? 2 : 8) * l3, std::int64_t{64} << 20), quick));
  return ceilings;
}

// A GPU's bandwidth is that of its own copies; its arithmetic peak is not measured here.
Ceilings measure_device(const Device& device, bool quick) {
  const std::int64_t bytes = quick ? 64 << 20 : 512 << 20;
  const Stream stream(device);
  Tensor from = Tensor::zeros({bytes}, DType::uint8, device);
  Tensor to = Tensor::zeros({bytes}, DType::uint8, device);
  Ceilings ceilings;
  ceilings.vector = to_string(device);
  Level level{.name = "device", .size = 0, .bytes = 2 * bytes};
  level.copy = best_rate(budget_of(quick), 2.0 * static_cast<double>(bytes), [&] {
    copy_bytes(to.mutable_data(), device, from.data(), device, static_cast<std::size_t>(bytes), stream);
    stream.synchronize();
  });
  level.read = level.copy;
  ceilings.levels.push_back(level);
  return ceilings;
}

const Level& level_for(double footprint, const std::vector<Level>& levels) {
  for (const Level& level : levels) {
    if (level.size == 0 || footprint <= kFits * static_cast<double>(level.size)) return level;
  }
  return levels.back();
}

// Calls `body(begin, count)` with each member's share of whole chunks.
void share(Team& team, std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& body) {
  const std::int64_t chunks = count / kChunk;
  team.run([&](int member) {
    const std::int64_t begin = chunks * member / team.size();
    const std::int64_t end = chunks * (member + 1) / team.size();
    body(begin * kChunk, (end - begin) * kChunk);
  });
}

}  // namespace

void read_pass(Team& team, const float* data, std::int64_t count) {
  share(team, count, [&](std::int64_t begin, std::int64_t n) { run_read(data + begin, n, 1); });
}

void copy_pass(Team& team, const float* from, float* to, std::int64_t count, bool past_cache) {
  share(team, count, [&](std::int64_t begin, std::int64_t n) { run_copy(from + begin, to + begin, n, 1, past_cache); });
}

Limit limit_of(const Work& work, const Ceilings& ceilings) {
  Limit limit;
  if (!ceilings.levels.empty()) {
    const Level& level = level_for(work.footprint, ceilings.levels);
    const double both = std::min(work.read, work.written);
    const double rest = std::max(work.read, work.written) - both;
    limit = {2 * both / level.best_copy() + rest / level.read, level.name};
  }
  if (ceilings.flops > 0 && work.flops / ceilings.flops > limit.seconds) {
    limit = {work.flops / ceilings.flops, "compute"};
  }
  return limit;
}

Ceilings measure_ceilings(const Device& device, int threads, bool quick) {
  return device.is_host() ? measure_host(threads, quick) : measure_device(device, quick);
}

}  // namespace sparsert::bench
