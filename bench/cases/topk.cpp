// bench/cases/topk.cpp — exact top-k by magnitude against one read of the input.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::bench {
namespace {

struct Data {
  Tensor x;
  Tensor host_x;
  Topk result;
  std::vector<std::int64_t> indices;  // of the standard library's way
};

std::string at(std::size_t i, const std::string& wrong) { return "entry " + std::to_string(i) + ": " + wrong; }

// Descending, ties ascending, each the value at its index: so all differ. Then nothing larger may be left behind, and
// of those as large as the smallest only the first ones belong here.
std::string check(const Data& data, std::int64_t k) {
  const auto x = data.host_x.span<float>();
  const Tensor value_tensor = data.result.values.cpu();
  const Tensor index_tensor = data.result.indices.cpu();
  const auto values = value_tensor.span<float>();
  const auto indices = index_tensor.span<std::int64_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= data.host_x.numel()) return at(i, "index out of range");
    if (x[static_cast<std::size_t>(indices[i])] != values[i]) return at(i, "not the value at its index");
    if (i == 0) continue;
    const float above = std::abs(values[i - 1]);
    const float here = std::abs(values[i]);
    if (!(above > here || (above == here && indices[i - 1] < indices[i]))) return at(i, "out of order");
  }
  const float smallest = std::abs(values.back());
  const std::int64_t last_tie = indices.back();
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < data.host_x.numel(); ++i) {
    const float magnitude = std::abs(x[static_cast<std::size_t>(i)]);
    if (magnitude > smallest || (magnitude == smallest && i <= last_tie)) ++expected;
  }
  return expected == k
             ? ""
             : "got " + std::to_string(k) + " entries, expected these and " + std::to_string(expected - k) + " more";
}

// What one writes without a library for it: a partial sort of indices by magnitude.
void standard_library(Data& data, std::int64_t k) {
  const auto x = data.host_x.span<float>();
  std::iota(data.indices.begin(), data.indices.end(), std::int64_t{0});
  const auto larger = [x](std::int64_t a, std::int64_t b) {
    const float of_a = std::abs(x[static_cast<std::size_t>(a)]);
    const float of_b = std::abs(x[static_cast<std::size_t>(b)]);
    return of_a > of_b || (of_a == of_b && a < b);
  };
  std::nth_element(data.indices.begin(), data.indices.begin() + k - 1, data.indices.end(), larger);
  std::sort(data.indices.begin(), data.indices.begin() + k, larger);
}

std::string check_standard_library(const Data& data, std::int64_t k) {
  const Tensor index_tensor = data.result.indices.cpu();
  const auto indices = index_tensor.span<std::int64_t>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i) {
    if (indices[i] != data.indices[i]) return at(i, "another index than ours");
  }
  return "";
}

Trial prepare(const Context& context, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kLargestSort = 10'000'000;
  const auto data = std::make_shared<Data>();
  data->host_x = random_tensor({n}, DType::float32, cpu_device, 1);
  data->x = data->host_x.to(context.device);
  const Device device = context.device;
  Trial trial;
  trial.work = {.flops = 0,
                .read = 4.0 * static_cast<double>(n),
                .written = 12.0 * static_cast<double>(k),
                .footprint = 4.0 * static_cast<double>(n)};
  trial.contenders.push_back({"topk", "", Role::ours,
                              [data, k, device] {
                                data->result = {};
                                data->result = topk(data->x, k);
                                Stream(device).synchronize();
                              },
                              [data, k] { return check(*data, k); }});
  if (!device.is_host()) return trial;
  const float* const x = data->host_x.span<float>().data();
  Team& team = context.team;
  trial.contenders.push_back({"one read", "", Role::yardstick, [data, x, n, &team] { read_pass(team, x, n); }, {}});
  if (n <= kLargestSort) {
    data->indices.resize(static_cast<std::size_t>(n));
    trial.contenders.push_back({"std::nth_element", "C++ library", Role::peer,
                                [data, k] { standard_library(*data, k); },
                                [data, k] { return check_standard_library(*data, k); }});
  }
  if (n >= 10'000'000) trial.goals.push_back({"1.8x one read", "one read", 1.8});
  return trial;
}

void add(std::vector<Case>& cases, std::int64_t n, double share, bool quick) {
  const std::int64_t k = std::llround(static_cast<double>(n) * share);
  cases.push_back(
      {"topk", "n=" + count_text(n) + " k=" + count_text(k), {{"n", n}, {"k", k}}, quick, [=](const Context& context) {
         return prepare(context, n, k);
       }});
}

}  // namespace

void add_topk_cases(std::vector<Case>& cases) {
  add(cases, 100'000, 0.01, true);
  for (const std::int64_t n : {1'000'000, 10'000'000, 100'000'000}) {
    add(cases, n, 0.001, false);
    add(cases, n, 0.01, false);
  }
}

}  // namespace sparsert::bench
