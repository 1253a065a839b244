// bench/cases/to_csr.cpp — dense to CSR against one read of the dense matrix.
#include <memory>
#include <optional>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/sparse.hpp"

namespace sparsert::bench {
namespace {

struct Data {
  Tensor dense;
  Tensor host_dense;
  std::optional<Csr> result;
};

std::string check(const Data& data) {
  const Csr a = data.result->cpu();
  const auto dense = data.host_dense.span<float>();
  const auto offsets = a.row_offsets().span<std::int32_t>();
  const auto columns = a.columns().span<std::int32_t>();
  const auto values = a.values().span<float>();
  std::size_t entry = 0;
  for (std::int64_t row = 0; row < a.rows(); ++row) {
    if (static_cast<std::size_t>(offsets[static_cast<std::size_t>(row)]) != entry)
      return "row " + std::to_string(row) + ": wrong offset";
    for (std::int64_t column = 0; column < a.cols(); ++column) {
      const float x = dense[static_cast<std::size_t>(row * a.cols() + column)];
      if (x == 0) continue;
      if (entry >= values.size() || columns[entry] != column || values[entry] != x)
        return "row " + std::to_string(row) + ": wrong entry";
      ++entry;
    }
  }
  return entry == values.size() ? "" : "too many entries";
}

Trial prepare(const Context& context, std::int64_t size, double zeros) {
  const auto data = std::make_shared<Data>();
  data->host_dense = random_tensor({size, size}, DType::float32, cpu_device, 1);
  make_zeros(data->host_dense.mutable_span<float>().data(), size * size, zeros, 2);
  data->dense = data->host_dense.to(context.device);
  const Device device = context.device;
  Trial trial;
  trial.contenders.push_back({"to_csr", "", Role::ours,
                              [data, device] {
                                data->result.reset();
                                data->result = to_csr(data->dense);
                                Stream(device).synchronize();
                              },
                              [data] { return check(*data); }});
  const auto read = static_cast<double>(data->dense.nbytes());
  const double written = (1 - zeros) * 2 * read + 4 * static_cast<double>(size);
  trial.work = {.flops = 0, .read = read, .written = written, .footprint = read + written};
  if (device.is_host()) {
    const float* const x = data->host_dense.span<float>().data();
    Team& team = context.team;
    trial.contenders.push_back(
        {"one read", "", Role::yardstick, [data, x, size, &team] { read_pass(team, x, size * size); }, {}});
  }
  return trial;
}

void add(std::vector<Case>& cases, std::int64_t size, int zeros, bool quick) {
  cases.push_back({"to_csr",
                   std::to_string(size) + "x" + std::to_string(size) + " " + std::to_string(zeros) + "% zeros",
                   {{"rows", size}, {"cols", size}, {"zeros", zeros / 100.0}},
                   quick,
                   [=](const Context& context) { return prepare(context, size, zeros / 100.0); }});
}

}  // namespace

void add_to_csr_cases(std::vector<Case>& cases) {
  add(cases, 256, 90, true);
  add(cases, 1024, 90, false);
  for (const int zeros : {50, 90, 98}) add(cases, 4096, zeros, false);
}

}  // namespace sparsert::bench
