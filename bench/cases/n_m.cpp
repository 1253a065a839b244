// bench/cases/n_m.cpp — 2:4 pruning against a copy of the same memory.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>

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
};

void sort_each_group(const float* x, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += 4) {
    std::array<int, 4> order{0, 1, 2, 3};
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return std::abs(x[i + a]) > std::abs(x[i + b]); });
    for (int r = 0; r < 4; ++r)
      out[i + order[static_cast<std::size_t>(r)]] = r < 2 ? x[i + order[static_cast<std::size_t>(r)]] : 0;
  }
}

std::string check(Data& data) {
  sort_each_group(data.host_x.span<float>().data(), data.other.mutable_span<float>().data(), data.host_x.numel());
  const Tensor host_out = data.out.cpu();
  const auto got = host_out.span<float>();
  const auto expected = data.other.span<float>();
  const auto wrong = std::mismatch(got.begin(), got.end(), expected.begin()).first;
  return wrong == got.end() ? "" : "element " + std::to_string(wrong - got.begin()) + " is wrong";
}

Trial prepare(const Context& context, std::int64_t n) {
  const auto data = std::make_shared<Data>();
  data->host_x = random_tensor({n / 1024, 1024}, DType::float32, cpu_device, 1);
  data->x = data->host_x.to(context.device);
  data->other = Tensor::zeros({n}, DType::float32);
  const Device device = context.device;
  const double bytes = 4.0 * static_cast<double>(n);
  Trial trial;
  trial.work = {.flops = 0, .read = bytes, .written = bytes, .footprint = 2 * bytes};
  trial.contenders.push_back({"prune::n_m", "", Role::ours,
                              [data, device] {
                                data->out = Tensor();
                                data->out = prune::n_m(data->x, 2, 4);
                                Stream(device).synchronize();
                              },
                              [data] { return check(*data); }});
  if (!device.is_host()) return trial;
  constexpr std::int64_t kPastCache = std::int64_t{16} << 20;
  const float* const from = data->host_x.span<float>().data();
  float* const to = data->other.mutable_span<float>().data();
  Team& team = context.team;
  trial.contenders.push_back({"copy",
                              "",
                              Role::yardstick,
                              [data, from, to, n, &team] { copy_pass(team, from, to, n, 4 * n >= kPastCache); },
                              {}});
  trial.contenders.push_back(
      {"std::stable_sort", "C++ library", Role::peer, [data, from, to, n] { sort_each_group(from, to, n); }, {}});
  if (n >= 10'000'000) trial.goals.push_back({"1.05x of a copy", "copy", 1.05});
  return trial;
}

}  // namespace

void add_n_m_cases(std::vector<Case>& cases) {
  for (const std::int64_t n : {std::int64_t{1} << 17, std::int64_t{1} << 20, std::int64_t{16} << 20}) {
    cases.push_back({"prune 2:4", "n=" + count_text(n), {{"n", n}}, n < 1 << 20, [=](const Context& context) {
                       return prepare(context, n);
                     }});
  }
}

}  // namespace sparsert::bench
