// bench/cases/gradient.cpp — one step of a gradient compressor against the pass r += g that error feedback needs
// anyway.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/gradient.hpp"

namespace sparsert::bench {
namespace {

struct Data {
  Tensor grad;
  Tensor host_grad;
  Tensor sums;  // of the yardstick
  std::unique_ptr<gradient::Compressor> compressor;
  gradient::Packet packet;
  std::int64_t k;
};

/// k entries went, none that stayed is larger than the smallest of them.
std::string check(const Data& data) {
  const gradient::Section& section = data.packet.sections()[0];
  if (static_cast<std::int64_t>(section.indices.size()) != data.k) return "wrong number of entries";
  float smallest = INFINITY;
  for (const float value : section.values) smallest = std::min(smallest, std::abs(value));
  const gradient::Compressor::State state = data.compressor->state();
  const Tensor residual = state.residuals[0].second.cpu();
  for (const float value : residual.span<float>()) {
    if (!(std::abs(value) <= smallest)) return "an entry that was kept is larger than one that was sent";
  }
  return "";
}

Trial prepare(const Context& context, std::int64_t n, double ratio) {
  const auto data = std::make_shared<Data>();
  data->host_grad = random_tensor({n}, DType::float32, cpu_device, 1);
  data->grad = data->host_grad.to(context.device);
  data->sums = Tensor::zeros({n}, DType::float32);
  data->k = std::llround(ratio * static_cast<double>(n));
  data->compressor = std::make_unique<gradient::Compressor>(gradient::CompressorOptions{.k = data->k});
  const Device device = context.device;
  const double bytes = 4.0 * static_cast<double>(n);
  Trial trial;
  trial.work = {.flops = 0, .read = 2 * bytes, .written = bytes, .footprint = 2 * bytes};
  trial.contenders.push_back({"gradient::Compressor", "", Role::ours,
                              [data, device] {
                                data->packet = data->compressor->compress({{"w", data->grad}});
                                Stream(device).synchronize();
                              },
                              [data] { return check(*data); }});
  if (!device.is_host()) return trial;
  const float* const grad = data->host_grad.span<float>().data();
  float* const sums = data->sums.mutable_span<float>().data();
  Team& team = context.team;
  trial.contenders.push_back({"r += g",
                              "",
                              Role::yardstick,
                              [data, grad, sums, n, &team] {
                                team.run([&](int member) {
                                  const std::int64_t begin = n * member / team.size();
                                  const std::int64_t end = n * (member + 1) / team.size();
                                  for (std::int64_t i = begin; i < end; ++i) sums[i] += grad[i];
                                });
                              },
                              {}});
  if (n >= 10'000'000 && ratio <= 0.001) trial.goals.push_back({"1.1x of r += g", "r += g", 1.1});
  return trial;
}

void add(std::vector<Case>& cases, std::int64_t n, double ratio, bool quick) {
  cases.push_back({"error feedback",
                   "n=" + count_text(n) + " " + (ratio < 0.01 ? "0.1%" : "1%"),
                   {{"n", n}, {"ratio", ratio}},
                   quick,
                   [=](const Context& context) { return prepare(context, n, ratio); }});
}

}  // namespace

void add_gradient_cases(std::vector<Case>& cases) {
  add(cases, 100'000, 0.01, true);
  for (const std::int64_t n : {std::int64_t{1} << 20, std::int64_t{16} << 20}) {
    add(cases, n, 0.001, false);
    add(cases, n, 0.01, false);
  }
}

}  // namespace sparsert::bench
