// bench/cases/attention.cpp — attention behind masks against our own dense attention, backward against forward, and
// what making the mask costs.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/attention.hpp"

namespace sparsert::bench {
namespace {

using attention::Mask;

enum class Kind { window, bigbird, full };

constexpr std::int64_t kDepth = 64;
constexpr std::int64_t kWindow = 256;

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::window: return "causal window 256";
    case Kind::bigbird: return "bigbird 192+128+192";
    case Kind::full: return "dense";
  }
  return "unknown";
}

Mask make_mask(Kind kind, std::int64_t n) {
  switch (kind) {
    case Kind::window: return attention::causal(n) & attention::sliding_window(n, kWindow);
    case Kind::bigbird: return attention::bigbird(n, 192, 128, 192, 1);
    case Kind::full: break;
  }
  return attention::full(n);
}

struct Data {
  std::int64_t heads;
  std::int64_t n;
  Mask mask;
  Tensor q;
  Tensor k;
  Tensor v;
  Tensor grad;
  Tensor out;
  attention::AttendGradients gradients{};
};

std::shared_ptr<Data> make_data(Kind kind, std::int64_t heads, std::int64_t n, const Device& device) {
  const Shape shape{1, heads, n, kDepth};
  const auto operand = [&](std::uint64_t seed) { return random_tensor(shape, DType::float32, device, seed); };
  auto data = std::make_shared<Data>(Data{heads, n, make_mask(kind, n), operand(1), operand(2), operand(3), operand(4),
                                          Tensor::zeros(shape, DType::float32, device)});
  attention::attend(data->q, data->k, data->v, data->mask, {.out = &data->out});  // so that the mask is evaluated
  return data;
}

/// A few queries of the last head, slow and in double precision.
std::string check(const Data& data) {
  const Tensor host_q = data.q.cpu();
  const Tensor host_k = data.k.cpu();
  const Tensor host_v = data.v.cpu();
  const Tensor host_out = data.out.cpu();
  const std::int64_t plane = (data.heads - 1) * data.n * kDepth;
  const float* const q = host_q.span<float>().data() + plane;
  const float* const k = host_k.span<float>().data() + plane;
  const float* const v = host_v.span<float>().data() + plane;
  const float* const out = host_out.span<float>().data() + plane;
  for (const std::int64_t i : {std::int64_t{0}, data.n / 3, data.n - 1}) {
    double sum = 0;
    double expected[kDepth] = {};
    for (std::int64_t j = 0; j < data.n; ++j) {
      if (!data.mask.contains(i, j)) continue;
      double score = 0;
      for (std::int64_t c = 0; c < kDepth; ++c) score += static_cast<double>(q[i * kDepth + c]) * k[j * kDepth + c];
      const double weight = std::exp(score / std::sqrt(static_cast<double>(kDepth)));
      sum += weight;
      for (std::int64_t c = 0; c < kDepth; ++c) expected[c] += weight * v[j * kDepth + c];
    }
    for (std::int64_t c = 0; c < kDepth; ++c) {
      const double want = sum == 0 ? 0 : expected[c] / sum;
      if (!(std::abs(out[i * kDepth + c] - want) <= 1e-5)) {
        return "query " + std::to_string(i) + ", column " + std::to_string(c) + ": got " +
               std::to_string(out[i * kDepth + c]) + ", expected " + std::to_string(want);
      }
    }
  }
  return "";
}

void forward(Data& data, const Mask& mask) {
  attention::attend(data.q, data.k, data.v, mask, {.out = &data.out});
  Stream(data.q.device()).synchronize();
}

void backward(Data& data) {
  data.gradients = attention::attend_backward(data.grad, data.q, data.k, data.v, data.mask);
  Stream(data.q.device()).synchronize();
}

/// `products`: two for the forward pass, five for the backward.
Work work_of(const Data& data, int products) {
  const auto pairs = static_cast<double>(data.mask.nnz()) * static_cast<double>(data.heads);
  const auto operand = static_cast<double>(data.q.nbytes());
  return {.flops = 2.0 * products * pairs * kDepth,
          .read = (products == 2 ? 3 : 4) * operand,
          .written = (products == 2 ? 1 : 3) * operand,
          .footprint = (products == 2 ? 4 : 7) * operand};
}

Trial prepare_forward(const Context& context, Kind kind, std::int64_t heads, std::int64_t n, bool against_dense) {
  const auto data = make_data(kind, heads, n, context.device);
  Trial trial;
  trial.work = work_of(*data, 2);
  trial.contenders.push_back(
      {to_string(kind), "", Role::ours, [data] { forward(*data, data->mask); }, [data] { return check(*data); }});
  if (against_dense) {
    const Mask full = attention::full(n);
    trial.contenders.push_back({"dense", "", Role::yardstick, [data, full] { forward(*data, full); }, {}});
    trial.goals.push_back({"0.7 / density against dense", "dense", data->mask.density() / 0.7});
  }
  return trial;
}

Trial prepare_backward(const Context& context, Kind kind, std::int64_t heads, std::int64_t n) {
  const auto data = make_data(kind, heads, n, context.device);
  Trial trial;
  trial.work = work_of(*data, 5);
  trial.contenders.push_back({to_string(kind), "", Role::ours, [data] { backward(*data); }, {}});
  trial.contenders.push_back({"forward", "", Role::yardstick, [data] { forward(*data, data->mask); }, {}});
  trial.goals.push_back({"2.5x of the forward pass", "forward", 2.5});
  return trial;
}

/// A new mask, made as the kernels read it: what the first call with it takes beyond the others.
Trial prepare_mask(const Context& context, Kind kind, std::int64_t n) {
  const auto data = make_data(kind, 8, n, context.device);
  const Shape one{1, 1, n, 1};
  const auto small = std::make_shared<Tensor>(Tensor::zeros(one, DType::float32, context.device));
  Trial trial;
  trial.work = {.flops = 0, .read = 0, .written = 0, .footprint = 0};
  const Mask kept = make_mask(kind, n);
  attention::attend(*small, *small, *small, kept);
  trial.contenders.push_back({"new mask, 1 head of depth 1",
                              "",
                              Role::ours,
                              [=] { attention::attend(*small, *small, *small, make_mask(kind, n)); },
                              {}});
  trial.contenders.push_back(
      {"the same, mask kept", "", Role::yardstick, [=] { attention::attend(*small, *small, *small, kept); }, {}});
  trial.contenders.push_back({"forward", "", Role::yardstick, [data] { forward(*data, data->mask); }, {}});
  return trial;
}

}  // namespace

void add_attention_cases(std::vector<Case>& cases) {
  const auto name = [](Kind kind, std::int64_t heads, std::int64_t n) {
    return std::to_string(n) + " tokens, " + std::to_string(heads) + " heads of 64, " + to_string(kind);
  };
  const auto add = [&](Kind kind, std::int64_t heads, std::int64_t n, bool against_dense, bool quick) {
    cases.push_back({"attend",
                     name(kind, heads, n),
                     {{"n", n}, {"heads", heads}, {"depth", kDepth}, {"mask", to_string(kind)}},
                     quick,
                     [=](const Context& context) { return prepare_forward(context, kind, heads, n, against_dense); }});
  };
  add(Kind::window, 8, 4096, true, false);
  add(Kind::window, 1, 512, false, true);
  for (const std::int64_t n : {1024, 8192, 16384, 32768, 65536}) add(Kind::window, 1, n, n == 8192, false);
  add(Kind::bigbird, 1, 16384, true, false);
  add(Kind::full, 1, 2048, false, false);
  for (const Kind kind : {Kind::window, Kind::full}) {
    const std::int64_t n = kind == Kind::full ? 2048 : 4096;
    cases.push_back({"attend_backward",
                     name(kind, 8, n),
                     {{"n", n}, {"heads", 8}, {"depth", kDepth}, {"mask", to_string(kind)}},
                     false,
                     [=](const Context& context) { return prepare_backward(context, kind, 8, n); }});
  }
  cases.push_back({"attention mask",
                   std::to_string(32768) + " tokens, " + to_string(Kind::window),
                   {{"n", 32768}, {"mask", to_string(Kind::window)}},
                   false,
                   [](const Context& context) { return prepare_mask(context, Kind::window, 32768); }});
}

}  // namespace sparsert::bench
