// bench/cases/relu.cpp — ReLU against a copy of the same memory, in every dtype, inside each cache and outside.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::bench {
namespace {

struct Data {
  Tensor x;
  Tensor out;   // what the operation gave last
  Tensor copy;  // what the yardsticks write
};

// Slow and obvious, over the bytes of any dtype: an element stays unless its sign says negative.
std::string check(const Data& data) {
  const Tensor x = cast(data.x.cpu(), DType::float64);
  const Tensor out = cast(data.out.cpu(), DType::float64);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double value = x.span<double>()[static_cast<std::size_t>(i)];
    const double expected = value > 0 ? value : 0;
    const double got = out.span<double>()[static_cast<std::size_t>(i)];
    if (!(got == expected)) {
      return "element " + std::to_string(i) + ": got " + std::to_string(got) + ", expected " + std::to_string(expected);
    }
  }
  return "";
}

Trial prepare(const Context& context, std::int64_t n, DType dtype) {
  const auto data = std::make_shared<Data>();
  data->x = random_tensor({n}, dtype, context.device, 1);
  data->copy = Tensor::zeros({n}, dtype, context.device);
  const Device device = context.device;
  Trial trial;
  const auto bytes = static_cast<double>(data->x.nbytes());
  trial.work = {.flops = 0, .read = bytes, .written = bytes, .footprint = 2 * bytes};
  trial.contenders.push_back({"relu", "", Role::ours,
                              [data, device] {
                                data->out = Tensor();  // its memory serves again: no page is fresh
                                data->out = relu(data->x);
                                Stream(device).synchronize();
                              },
                              [data] { return check(*data); }});
  if (!device.is_host()) {
    trial.contenders.push_back({"copy",
                                "",
                                Role::yardstick,
                                [data, device] {
                                  copy_bytes(data->copy.mutable_data(), device, data->x.data(), device,
                                             static_cast<std::size_t>(data->x.nbytes()), Stream(device));
                                  Stream(device).synchronize();
                                },
                                {}});
  } else {
    const auto* const from = static_cast<const float*>(data->x.data());
    auto* const to = static_cast<float*>(data->copy.mutable_data());
    const std::int64_t floats = data->x.nbytes() / 4;
    Team& team = context.team;
    trial.contenders.push_back(
        {"copy", "", Role::yardstick, [=, &team] { copy_pass(team, from, to, floats, false); }, {}});
    if (data->x.nbytes() >= std::int64_t{4} << 20) {
      trial.contenders.push_back(
          {"copy past the caches", "", Role::yardstick, [=, &team] { copy_pass(team, from, to, floats, true); }, {}});
    }
    trial.contenders.push_back({"memcpy",
                                "C library",
                                Role::yardstick,
                                [=] { std::memcpy(to, from, static_cast<std::size_t>(floats) * 4); },
                                {}});
  }
  constexpr std::int64_t kLarge = std::int64_t{64} << 20;
  if (data->x.nbytes() >= kLarge) {
    trial.goals.push_back({"0.95x of a copy", device.is_host() ? "copy past the caches" : "copy", 1 / 0.95});
  }
  return trial;
}

void add(std::vector<Case>& cases, std::int64_t n, DType dtype, bool quick) {
  const std::string type(to_string(dtype));
  cases.push_back(
      {"relu", type + " n=" + count_text(n), {{"n", n}, {"dtype", type}}, quick, [=](const Context& context) {
         return prepare(context, n, dtype);
       }});
}

}  // namespace

void add_relu_cases(std::vector<Case>& cases) {
  constexpr std::int64_t kKi = 1024;
  for (const std::int64_t n : {kKi, 16 * kKi, 256 * kKi, 4096 * kKi, 65536 * kKi}) {
    add(cases, n, DType::float32, n <= 256 * kKi);
  }
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float64, DType::int32}) {
    const std::int64_t n = 256 * kKi * kKi / static_cast<std::int64_t>(size_of(dtype));
    add(cases, 64 * kKi, dtype, dtype == DType::bfloat16);
    add(cases, n, dtype, false);
  }
}

}  // namespace sparsert::bench
