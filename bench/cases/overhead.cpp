// bench/cases/overhead.cpp — what a call costs: every operation on 1 x 1 operands.
#include <memory>
#include <string>

#include "bench/suite.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/prune.hpp"

namespace sparsert::bench {
namespace {

// One element times one element: every product is 6, a sum is 5, everything else 2.
struct Data {
  Tensor x;
  Tensor y;
  Csr a;
  Plan plan;
  Tensor out;
};

void add(std::vector<Case>& cases, const std::string& name, float expected, std::function<Tensor(Data&)> call) {
  const auto prepare = [=](const Context& context) {
    const Tensor x = Tensor::from(std::vector<float>{2.0f}, {1, 1}, context.device);
    const Tensor y = Tensor::from(std::vector<float>{3.0f}, {1, 1}, context.device);
    const Csr a = to_csr(x);
    const auto data =
        std::make_shared<Data>(Data{x, y, a, Plan(a, 1), Tensor::zeros({1, 1}, DType::float32, context.device)});
    const Device device = context.device;
    Trial trial;
    trial.work = {.flops = 0, .read = 4, .written = 4, .footprint = 8};
    trial.contenders.push_back({name, "", Role::ours,
                                [=] {
                                  data->out = call(*data);
                                  if (!device.is_host()) Stream(device).synchronize();
                                },
                                [=] {
                                  const float got = data->out.cpu().span<float>()[0];
                                  return got == expected
                                             ? ""
                                             : "got " + std::to_string(got) + ", expected " + std::to_string(expected);
                                }});
    if (device == cpu_device) trial.goals.push_back({"under 2 us", "", 2e-6});
    return trial;
  };
  cases.push_back({"overhead", name + " 1x1", Json::object(), true, prepare});
}

}  // namespace

void add_overhead_cases(std::vector<Case>& cases) {
  add(cases, "relu", 2, [](Data& data) { return relu(data.x); });
  add(cases, "add", 5, [](Data& data) { return data.x + data.y; });
  add(cases, "cast", 2, [](Data& data) { return cast(data.x, DType::float32); });
  add(cases, "topk", 2, [](Data& data) { return topk(data.x, 1).values; });
  add(cases, "prune", 2, [](Data& data) { return prune::magnitude(data.x, 0.25); });
  add(cases, "to_csr", 2, [](Data& data) { return to_csr(data.x).values(); });
  add(cases, "spmm", 6, [](Data& data) { return spmm(data.a, data.y); });
  add(cases, "spmm with a plan", 6, [](Data& data) { return spmm(data.plan, data.y); });
  add(cases, "linear", 6, [](Data& data) { return linear(data.y, data.a); });
  add(cases, "matmul", 6, [](Data& data) { return matmul(data.x, data.y); });
}

}  // namespace sparsert::bench
