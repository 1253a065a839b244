// bench/cases/product.cpp — spmm and linear with a sparse operand, and the dense product, against every library found.
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/linalg.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::bench {
namespace {

struct Size {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
};

// A, B and the results, here and on the CPU for the peers. A transposed product has B and C as (n, k) and (n, m).
struct Data {
  Size size;
  bool transposed;
  Tensor dense;  // A
  Csr a;
  std::optional<Plan> plan;
  Tensor b;
  Tensor out;
  Tensor host_dense;
  Tensor host_b;
  Tensor host_out;  // of the peers
  Csr host_a;
};

std::shared_ptr<Data> make_data(const Size& size, double zeros, bool transposed, const Device& device) {
  Tensor dense = random_tensor({size.m, size.k}, DType::float32, cpu_device, 1);
  make_zeros(dense.mutable_span<float>().data(), dense.numel(), zeros, 2);
  const Csr host_a = to_csr(dense);
  const Tensor b =
      random_tensor(transposed ? Shape{size.n, size.k} : Shape{size.k, size.n}, DType::float32, cpu_device, 3);
  const Shape out = transposed ? Shape{size.n, size.m} : Shape{size.m, size.n};
  return std::make_shared<Data>(Data{size, transposed, dense.to(device), host_a.to(device), std::nullopt, b.to(device),
                                     Tensor::zeros(out, DType::float32, device), dense, b,
                                     Tensor::zeros(out, DType::float32), host_a});
}

// A dozen rows of C, slow and in double precision, within the bound that holds for any order of the sums.
std::string check(const Data& data, const Tensor& device_out) {
  constexpr std::int64_t kRows = 12;
  constexpr double kUnit = 0x1p-24;
  const auto [m, k, n] = data.size;
  const Tensor out = device_out.cpu();
  const float* const a = data.host_dense.span<float>().data();
  const float* const b = data.host_b.span<float>().data();
  const float* const c = out.span<float>().data();
  for (std::int64_t at = 0; at < std::min(m, kRows); ++at) {
    const std::int64_t row = m <= kRows ? at : at * (m - 1) / (kRows - 1);
    for (std::int64_t column = 0; column < n; ++column) {
      double sum = 0;
      double magnitude = 0;
      double terms = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        const double term =
            static_cast<double>(a[row * k + i]) * (data.transposed ? b[column * k + i] : b[i * n + column]);
        sum += term;
        magnitude += std::abs(term);
        terms += term != 0 ? 1 : 0;
      }
      const double got = data.transposed ? c[column * m + row] : c[row * n + column];
      const double bound = kUnit * std::abs(sum) + (terms + 1) * kUnit / (1 - (terms + 1) * kUnit) * magnitude +
                           terms * std::numeric_limits<float>::denorm_min();
      if (!(std::abs(got - sum) <= bound)) {
        return "row " + std::to_string(row) + ", column " + std::to_string(column) + ": got " + std::to_string(got) +
               ", expected " + std::to_string(sum) + " within " + std::to_string(bound);
      }
    }
  }
  return "";
}

Contender ours(const std::string& name, const std::shared_ptr<Data>& data, std::function<void()> run) {
  const Device device = data->b.device();
  return {name, "", Role::ours,
          [run = std::move(run), device] {
            run();
            Stream(device).synchronize();
          },
          [data] { return check(*data, data->out); }};
}

void add_peers(const Context& context, const std::shared_ptr<Data>& data, bool sparse_too, Trial& trial) {
  const auto [m, k, n] = data->size;
  const Product product{.m = m,
                        .k = k,
                        .n = n,
                        .nnz = data->host_a.nnz(),
                        .row_offsets = data->host_a.row_offsets().span<std::int32_t>().data(),
                        .columns = data->host_a.columns().span<std::int32_t>().data(),
                        .values = data->host_a.values().span<float>().data(),
                        .dense = data->host_dense.span<float>().data(),
                        .b = data->host_b.span<float>().data(),
                        .c = data->host_out.mutable_span<float>().data(),
                        .column_major = data->transposed,
                        .threads = context.threads};
  for (const Peer& peer : context.peers) {
    if (peer.kind == PeerKind::sparse && !sparse_too) continue;
    std::function<void()> run = peer.prepare(product);
    if (!run) continue;
    trial.contenders.push_back({peer.name, peer.version, Role::peer, [data, run = std::move(run)] { run(); },
                                [data] {
                                  std::string wrong = check(*data, data->host_out);
                                  const auto c = data->host_out.mutable_span<float>();
                                  std::fill(c.begin(), c.end(), std::numeric_limits<float>::quiet_NaN());
                                  return wrong;
                                }});
  }
}

double bytes_of(const Size& size, double nnz, bool sparse) {
  const double a = sparse ? 8 * nnz + 4 * static_cast<double>(size.m + 1) : 4 * static_cast<double>(size.m * size.k);
  return a + 4 * static_cast<double>(size.k * size.n);
}

Work work_of(const Data& data, bool sparse) {
  const auto nnz = static_cast<double>(sparse ? data.host_a.nnz() : data.size.m * data.size.k);
  const double read = bytes_of(data.size, nnz, sparse);
  const auto written = static_cast<double>(data.out.nbytes());
  return {.flops = 2 * nnz * static_cast<double>(data.size.n),
          .read = read,
          .written = written,
          .footprint = read + written};
}

Trial prepare_sparse(const Context& context, const Size& size, double zeros, bool transposed) {
  const auto data = make_data(size, zeros, transposed, context.device);
  data->plan.emplace(data->a, size.n);
  Trial trial;
  trial.work = work_of(*data, true);
  if (transposed) {
    trial.contenders.push_back(ours("plan", data, [data] { linear(data->b, *data->plan, {.out = &data->out}); }));
    trial.contenders.push_back(ours("no plan", data, [data] { linear(data->b, data->a, {.out = &data->out}); }));
  } else if (size.n == 1) {
    const Tensor x = data->b.reshape({size.k});
    trial.contenders.push_back(ours("plan", data, [data, x] { data->out = spmv(*data->plan, x); }));
    trial.contenders.push_back(ours("no plan", data, [data, x] { data->out = spmv(data->a, x); }));
  } else {
    trial.contenders.push_back(ours("plan", data, [data] { spmm(*data->plan, data->b, {.out = &data->out}); }));
    trial.contenders.push_back(ours("no plan", data, [data] { spmm(data->a, data->b, {.out = &data->out}); }));
  }
  add_peers(context, data, true, trial);
  if (!transposed && size.n == 128 && zeros >= 0.7 && zeros <= 0.95) {
    trial.goals.push_back({"1.8x of the best peer", "best peer", 1 / 1.8});
  }
  return trial;
}

Trial prepare_dense(const Context& context, const Size& size, bool transposed) {
  const auto data = make_data(size, 0, transposed, context.device);
  Trial trial;
  trial.work = work_of(*data, false);
  if (transposed) {
    trial.contenders.push_back(ours("linear", data, [data] { linear(data->b, data->dense, {.out = &data->out}); }));
  } else {
    trial.contenders.push_back(ours("matmul", data, [data] { matmul(data->dense, data->b, {.out = &data->out}); }));
  }
  add_peers(context, data, false, trial);
  return trial;
}

std::string size_text(const Size& size) {
  return std::to_string(size.m) + "x" + std::to_string(size.k) + " n=" + std::to_string(size.n);
}

void add_sparse(std::vector<Case>& cases, const std::string& op, const Size& size, int zeros, bool quick) {
  cases.push_back(
      {op,
       size_text(size) + " " + std::to_string(zeros) + "% zeros",
       {{"m", size.m}, {"k", size.k}, {"n", size.n}, {"zeros", zeros / 100.0}},
       quick,
       [=](const Context& context) { return prepare_sparse(context, size, zeros / 100.0, op == "linear"); }});
}

void add_dense(std::vector<Case>& cases, const std::string& op, const Size& size, bool quick) {
  cases.push_back({op,
                   size_text(size) + " dense",
                   {{"m", size.m}, {"k", size.k}, {"n", size.n}},
                   quick,
                   [=](const Context& context) { return prepare_dense(context, size, op == "linear"); }});
}

}  // namespace

void add_product_cases(std::vector<Case>& cases) {
  for (const std::int64_t n : {1, 16, 128}) {
    for (const int zeros : {50, 70, 80, 90, 95, 98}) {
      add_sparse(cases, n == 1 ? "spmv" : "spmm", {1024, 1024, n}, zeros, false);
    }
  }
  for (const int zeros : {70, 90, 95}) {
    add_sparse(cases, "spmm", {512, 512, 128}, zeros, zeros == 90);
    add_sparse(cases, "spmm", {768, 3072, 128}, zeros, false);
    add_sparse(cases, "spmm", {4096, 4096, 128}, zeros, false);
    add_sparse(cases, "spmv", {4096, 4096, 1}, zeros, false);
  }
  add_sparse(cases, "spmv", {128, 128, 1}, 90, true);
  for (const int zeros : {70, 90, 95}) add_sparse(cases, "linear", {1024, 1024, 256}, zeros, false);
  add_sparse(cases, "linear", {128, 128, 32}, 90, true);
  for (const std::int64_t size : {128, 512, 1024}) add_dense(cases, "matmul", {size, size, size}, size == 128);
  add_dense(cases, "linear", {1024, 1024, 256}, false);
}

}  // namespace sparsert::bench
