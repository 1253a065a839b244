// bench/cases/linalg.cpp — products on a pattern, with blocks, with vectors, and embedding bags.
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "bench/data.hpp"
#include "bench/suite.hpp"
#include "sparsert/embedding.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert::bench {
namespace {

double number(std::int64_t n) { return static_cast<double>(n); }

std::function<void()> finished(std::function<void()> run, const Device& device) {
  return [run = std::move(run), device] {
    run();
    Stream(device).synchronize();
  };
}

// ---- SDDMM

struct SampledData {
  std::int64_t size;
  std::int64_t k;
  Csr pattern;
  Tensor x;
  Tensor y;
  Tensor out;
  Tensor product;  // of the peers that multiply everything
  Tensor y_rows;   // y transposed, for them
};

// A few hundred entries against double, within the bound that holds for any order of the sum.
std::string check_sampled(const SampledData& data, const Tensor& device_out) {
  const Csr pattern = data.pattern.cpu();
  const Tensor out = device_out.cpu();
  const auto offsets = pattern.row_offsets().span<std::int32_t>();
  const auto columns = pattern.columns().span<std::int32_t>();
  const Tensor host_x = data.x.cpu();
  const Tensor host_y = data.y.cpu();
  const float* const x = host_x.span<float>().data();
  const float* const y = host_y.span<float>().data();
  for (std::int64_t i = 0; i < data.size; i += 97) {
    for (std::int64_t e = offsets[i]; e < offsets[i + 1]; e += 13) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t p = 0; p < data.k; ++p) {
        const double term = static_cast<double>(x[i * data.k + p]) * y[columns[e] * data.k + p];
        sum += term;
        magnitude += std::abs(term);
      }
      const double bound = 0x1p-24 * std::abs(sum) + number(data.k + 1) * 0x1.001p-24 * magnitude;
      if (!(std::abs(out.span<float>()[static_cast<std::size_t>(e)] - sum) <= bound)) {
        return "entry " + std::to_string(e) + " is wrong";
      }
    }
  }
  return "";
}

Trial prepare_sddmm(const Context& context, std::int64_t size, std::int64_t k, double zeros) {
  Tensor dense = random_tensor({size, size}, DType::float32, cpu_device, 1);
  make_zeros(dense.mutable_span<float>().data(), dense.numel(), zeros, 2);
  const Csr pattern = to_csr(dense);
  const Tensor x = random_tensor({size, k}, DType::float32, cpu_device, 3);
  const Tensor y = random_tensor({size, k}, DType::float32, cpu_device, 4);
  const Device& device = context.device;
  const auto data = std::make_shared<SampledData>(SampledData{
      size, k, pattern.to(device), x.to(device), y.to(device), Tensor::zeros({pattern.nnz()}, DType::float32),
      Tensor::zeros({size, size}, DType::float32), to_csr(y).cpu().to_dense()});
  const auto rows = data->y_rows.mutable_span<float>();
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t p = 0; p < k; ++p)
      rows[static_cast<std::size_t>(p * size + i)] = y.span<float>()[static_cast<std::size_t>(i * k + p)];
  }
  Trial trial;
  const double nnz = number(pattern.nnz());
  const double read = nnz * 4 + 8 * number(size * k);
  trial.work = {.flops = 2 * nnz * number(k), .read = read, .written = nnz * 4, .footprint = read + nnz * 4};
  trial.contenders.push_back({"sddmm", "", Role::ours,
                              finished([data] { data->out = sddmm(data->pattern, data->x, data->y); }, device),
                              [data] { return check_sampled(*data, data->out); }});
  // Every dense library multiplies all of it; then the entries are taken.
  const Product product{.m = size,
                        .k = k,
                        .n = size,
                        .nnz = 0,
                        .row_offsets = nullptr,
                        .columns = nullptr,
                        .values = nullptr,
                        .dense = x.span<float>().data(),
                        .b = rows.data(),
                        .c = data->product.mutable_span<float>().data(),
                        .column_major = false,
                        .threads = context.threads};
  for (const Peer& peer : context.peers) {
    if (peer.kind != PeerKind::dense) continue;
    std::function<void()> run = peer.prepare(product);
    if (!run) continue;
    const auto sampled = std::make_shared<Tensor>(Tensor::zeros({pattern.nnz()}, DType::float32));
    trial.contenders.push_back({peer.name + ", then sampled", peer.version, Role::peer,
                                [data, x, pattern, sampled, run = std::move(run)] {
                                  run();
                                  const auto offsets = pattern.row_offsets().span<std::int32_t>();
                                  const auto columns = pattern.columns().span<std::int32_t>();
                                  const auto all = data->product.span<float>();
                                  const auto out = sampled->mutable_span<float>();
                                  for (std::int64_t i = 0; i < data->size; ++i) {
                                    for (std::int32_t e = offsets[i]; e < offsets[i + 1]; ++e) {
                                      out[e] = all[static_cast<std::size_t>(i * data->size + columns[e])];
                                    }
                                  }
                                },
                                [data, sampled] { return check_sampled(*data, *sampled); }});
  }
  if (zeros >= 0.95 && zeros < 0.96) trial.goals.push_back({"5x of dense, then sampled", "best peer", 1 / 5.0});
  return trial;
}

// ---- blocks

struct BlockData {
  Bsr a;
  Tensor dense;
  Tensor b;
  Tensor out;
  Tensor peer_out;
};

std::string check_block(const BlockData& data, const Tensor& out) {
  const Tensor expected = matmul(data.dense, data.b);  // the same sums in the same order
  const auto want = expected.span<float>();
  const Tensor host = out.cpu();
  const auto got = host.span<float>();
  for (std::size_t i = 0; i < want.size(); i += 31) {
    if (!(std::abs(got[i] - want[i]) <= 1e-3 * (1 + std::abs(want[i]))))
      return "element " + std::to_string(i) + " is wrong";
  }
  return "";
}

Trial prepare_block(const Context& context, Block block, std::int64_t m, std::int64_t k, std::int64_t n, double zeros) {
  // Whole blocks are zero or not.
  const std::int64_t rows = m / block[0];
  const std::int64_t cols = k / block[1];
  Tensor chosen = Tensor::zeros({rows, cols}, DType::float32);
  for (float& v : chosen.mutable_span<float>()) v = 1;
  make_zeros(chosen.mutable_span<float>().data(), rows * cols, zeros, 2);
  Tensor dense = random_tensor({m, k}, DType::float32, cpu_device, 1);
  const auto values = dense.mutable_span<float>();
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      if (chosen.span<float>()[static_cast<std::size_t>(i / block[0] * cols + p / block[1])] == 0) {
        values[static_cast<std::size_t>(i * k + p)] = 0;
      }
    }
  }
  const Tensor b = random_tensor({k, n}, DType::float32, cpu_device, 3);
  const Device& device = context.device;
  const auto data = std::make_shared<BlockData>(BlockData{to_bsr(dense, block).to(device), dense, b,
                                                          Tensor::zeros({m, n}, DType::float32, device),
                                                          Tensor::zeros({m, n}, DType::float32)});
  const Tensor device_b = b.to(device);
  Trial trial;
  const double entries = number(data->a.nnz());
  const double read = number(data->a.nbytes()) + number(b.nbytes());
  trial.work = {.flops = 2 * entries * number(n),
                .read = read,
                .written = 4 * number(m * n),
                .footprint = read + 4 * number(m * n)};
  trial.contenders.push_back({"bsr", "", Role::ours,
                              finished([data, device_b] { spmm(data->a, device_b, {.out = &data->out}); }, device),
                              [data] { return check_block(*data, data->out); }});
  const auto plan = std::make_shared<Plan>(to_csr(dense).to(device), n);
  const auto csr_out = std::make_shared<Tensor>(Tensor::zeros({m, n}, DType::float32, device));
  trial.contenders.push_back(
      {"csr plan", "", Role::ours,
       finished([plan, device_b, csr_out] { spmm(*plan, device_b, {.out = csr_out.get()}); }, device),
       [data, csr_out] { return check_block(*data, *csr_out); }});
  const Product product{.m = m,
                        .k = k,
                        .n = n,
                        .nnz = 0,
                        .row_offsets = nullptr,
                        .columns = nullptr,
                        .values = nullptr,
                        .dense = dense.span<float>().data(),
                        .b = b.span<float>().data(),
                        .c = data->peer_out.mutable_span<float>().data(),
                        .column_major = false,
                        .threads = context.threads};
  for (const Peer& peer : context.peers) {
    if (peer.kind != PeerKind::dense) continue;
    std::function<void()> run = peer.prepare(product);
    if (!run) continue;
    trial.contenders.push_back({peer.name, peer.version, Role::peer, [data, run = std::move(run)] { run(); },
                                [data] { return check_block(*data, data->peer_out); }});
  }
  return trial;
}

// ---- embedding bags

struct BagData {
  Tensor table;
  Tensor indices;
  Tensor offsets;
  Tensor out;
};

Trial prepare_bag(const Context& context, std::int64_t rows, std::int64_t dim, std::int64_t bags, std::int64_t size) {
  std::vector<std::int32_t> indices(static_cast<std::size_t>(bags * size));
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(bags));
  std::uint64_t state = 1;
  for (auto& i : indices) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    i = static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(rows));
  }
  for (std::int64_t b = 0; b < bags; ++b) offsets[static_cast<std::size_t>(b)] = static_cast<std::int32_t>(b * size);
  const Device& device = context.device;
  const auto data = std::make_shared<BagData>(BagData{random_tensor({rows, dim}, DType::float32, device, 1),
                                                      Tensor::from(indices, {bags * size}, device),
                                                      Tensor::from(offsets, {bags}, device),
                                                      {}});
  Trial trial;
  const double read = number(bags * size) * (4 * number(dim) + 4);
  trial.work = {.flops = number(bags * size * dim),
                .read = read,
                .written = 4 * number(bags * dim),
                .footprint = 4 * number(rows * dim)};
  trial.contenders.push_back(
      {"embedding_bag", "", Role::ours,
       finished([data] { data->out = embedding_bag(data->table, data->indices, data->offsets); }, device),
       [data, size] {
         const Tensor host_out = data->out.cpu();
         const Tensor host_table = data->table.cpu();
         const Tensor host_indices = data->indices.cpu();
         const auto out = host_out.span<float>();
         const auto table = host_table.span<float>();
         const auto index = host_indices.span<std::int32_t>();
         const std::int64_t width = data->table.size(1);
         for (std::int64_t bag = 0; bag < data->offsets.numel(); bag += 101) {
           for (std::int64_t d = 0; d < width; ++d) {
             float sum = 0;
             for (std::int64_t e = bag * size; e < (bag + 1) * size; ++e) {
               sum += table[static_cast<std::size_t>(index[static_cast<std::size_t>(e)] * width + d)];
             }
             if (out[static_cast<std::size_t>(bag * width + d)] != sum)
               return std::string("bag ") + std::to_string(bag);
           }
         }
         return std::string();
       }});
  return trial;
}

}  // namespace

void add_linalg_cases(std::vector<Case>& cases) {
  for (const int zeros : {80, 90, 95, 98}) {
    cases.push_back({"sddmm",
                     "4096x4096 k=64 " + std::to_string(zeros) + "% zeros",
                     {{"m", 4096}, {"k", 64}, {"n", 4096}, {"zeros", zeros / 100.0}},
                     false,
                     [=](const Context& context) { return prepare_sddmm(context, 4096, 64, zeros / 100.0); }});
  }
  cases.push_back({"sddmm",
                   "256x256 k=64 90% zeros",
                   {{"m", 256}, {"k", 64}, {"n", 256}, {"zeros", 0.9}},
                   true,
                   [](const Context& context) { return prepare_sddmm(context, 256, 64, 0.9); }});
  for (const Block block : {Block{4, 1}, Block{4, 4}, Block{16, 16}}) {
    const std::string name = std::to_string(block[0]) + "x" + std::to_string(block[1]);
    for (const int zeros : {50, 90, 95}) {
      cases.push_back(
          {"bsr",
           "768x3072 n=128 blocks " + name + " " + std::to_string(zeros) + "% zeros",
           {{"m", 768}, {"k", 3072}, {"n", 128}, {"zeros", zeros / 100.0}, {"block", name}},
           false,
           [=](const Context& context) { return prepare_block(context, block, 768, 3072, 128, zeros / 100.0); }});
    }
  }
  cases.push_back({"bsr",
                   "128x128 n=32 blocks 4x4 90% zeros",
                   {{"m", 128}, {"k", 128}, {"n", 32}, {"zeros", 0.9}},
                   true,
                   [](const Context& context) {
                     return prepare_block(context, {4, 4}, 128, 128, 32, 0.9);
                   }});
  cases.push_back({"embedding_bag",
                   "1Mx64 4096 bags of 32",
                   {{"rows", 1'000'000}, {"dim", 64}, {"bags", 4096}, {"size", 32}},
                   false,
                   [](const Context& context) { return prepare_bag(context, 1'000'000, 64, 4096, 32); }});
  cases.push_back({"embedding_bag",
                   "10000x64 128 bags of 32",
                   {{"rows", 10'000}, {"dim", 64}, {"bags", 128}, {"size", 32}},
                   true,
                   [](const Context& context) { return prepare_bag(context, 10'000, 64, 128, 32); }});
}

}  // namespace sparsert::bench
