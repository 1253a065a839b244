// bench/cases/prune.cpp — magnitude pruning at an exact amount against one read and one copy of the same memory.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/prune.hpp"

namespace sparsert::bench {
namespace {

struct Data {
  Tensor x;
  Tensor host_x;
  Tensor out;
  Tensor other;  // what yardsticks and peers write
  std::vector<float> magnitudes;
};

// The magnitude of the last entry to go, found by sorting nothing but that one into place.
float threshold_of(Data& data, std::int64_t remove) {
  const auto x = data.host_x.span<float>();
  data.magnitudes.resize(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) data.magnitudes[i] = std::abs(x[i]);
  const auto last = data.magnitudes.begin() + remove - 1;
  std::nth_element(data.magnitudes.begin(), last, data.magnitudes.end());
  return *last;
}

// Everything below the threshold is gone, everything above it is there; ties went from the highest index.
std::string check(Data& data, const Tensor& device_out, std::int64_t remove) {
  const float threshold = threshold_of(data, remove);
  const Tensor host_out = device_out.cpu();
  const auto x = data.host_x.span<float>();
  const auto out = host_out.span<float>();
  std::int64_t ties = remove;
  for (const float v : x) ties -= std::abs(v) < threshold ? 1 : 0;
  for (std::size_t i = x.size(); i-- > 0;) {
    const bool tie = std::abs(x[i]) == threshold && ties > 0;
    ties -= tie ? 1 : 0;
    const float expected = std::abs(x[i]) < threshold || tie ? 0.0f : x[i];
    if (!(out[i] == expected)) {
      return "element " + std::to_string(i) + ": got " + std::to_string(out[i]) + ", expected " +
             std::to_string(expected);
    }
  }
  return "";
}

void standard_library(Data& data, std::int64_t remove) {
  const float threshold = threshold_of(data, remove);
  const auto x = data.host_x.span<float>();
  const auto out = data.other.mutable_span<float>();
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = std::abs(x[i]) <= threshold ? 0.0f : x[i];
}

// The peer takes every tie: right up to those.
std::string check_standard_library(const Data& data, std::int64_t remove) {
  const auto out = data.other.span<float>();
  const auto zeros = std::count(out.begin(), out.end(), 0.0f);
  return zeros >= remove ? "" : "got " + std::to_string(zeros) + " zeros, expected " + std::to_string(remove);
}

Trial prepare(const Context& context, std::int64_t n, double amount) {
  const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(n)));
  const auto data = std::make_shared<Data>();
  data->host_x = random_tensor({n}, DType::float32, cpu_device, 1);
  data->x = data->host_x.to(context.device);
  data->other = Tensor::zeros({n}, DType::float32);
  const Device device = context.device;
  const double bytes = 4.0 * static_cast<double>(n);
  Trial trial;
  trial.work = {.flops = 0, .read = 2 * bytes, .written = bytes, .footprint = 2 * bytes};
  trial.contenders.push_back({"prune::magnitude", "", Role::ours,
                              [data, amount, device] {
                                data->out = Tensor();
                                data->out = prune::magnitude(data->x, amount);
                                Stream(device).synchronize();
                              },
                              [data, remove] { return check(*data, data->out, remove); }});
  if (!device.is_host()) return trial;
  constexpr std::int64_t kPastCache = std::int64_t{16} << 20;
  const float* const from = data->host_x.span<float>().data();
  float* const to = data->other.mutable_span<float>().data();
  Team& team = context.team;
  trial.contenders.push_back({"read and copy",
                              "",
                              Role::yardstick,
                              [data, from, to, n, &team] {
                                read_pass(team, from, n);
                                copy_pass(team, from, to, n, 4 * n >= kPastCache);
                              },
                              {}});
  trial.contenders.push_back({"std::nth_element", "C++ library", Role::peer,
                              [data, remove] { standard_library(*data, remove); },
                              [data, remove] { return check_standard_library(*data, remove); }});
  if (n >= 10'000'000) trial.goals.push_back({"1.3x of read and copy", "read and copy", 1.3});
  return trial;
}

void add(std::vector<Case>& cases, std::int64_t n, double amount, bool quick) {
  cases.push_back({"prune",
                   "n=" + count_text(n) + " " + std::to_string(std::lround(100 * amount)) + "%",
                   {{"n", n}, {"amount", amount}},
                   quick,
                   [=](const Context& context) { return prepare(context, n, amount); }});
}

}  // namespace

void add_prune_cases(std::vector<Case>& cases) {
  add(cases, 100'000, 0.9, true);
  for (const std::int64_t n : {std::int64_t{1} << 20, std::int64_t{16} << 20, std::int64_t{64} << 20}) {
    add(cases, n, 0.5, false);
    add(cases, n, 0.9, false);
  }
}

}  // namespace sparsert::bench
