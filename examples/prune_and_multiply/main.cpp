// examples/prune_and_multiply/main.cpp — a dense layer pruned to 90 % zeros, run as a sparse one, and compared.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include <sparsert/sparsert.hpp>

namespace {

constexpr std::int64_t kBatch = 64;
constexpr std::int64_t kIn = 256;
constexpr std::int64_t kOut = 512;

/// Some weights or activations: a fixed sequence between -1 and 1.
sparsert::Tensor make(const sparsert::Shape& shape, std::uint32_t seed, const sparsert::Device& device) {
  std::vector<float> values(static_cast<std::size_t>(sparsert::element_count(shape)));
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<std::int32_t>(seed)) / 2147483648.0f;
  }
  return sparsert::Tensor::from(values, shape, device);
}

int run() {
  const sparsert::DefaultDevice& chosen = sparsert::default_device();
  std::printf("device %s (%s)\n", to_string(chosen.device).c_str(), chosen.reason.c_str());

  const sparsert::Tensor x = make({kBatch, kIn}, 1, chosen.device);
  const sparsert::Tensor weights = make({kOut, kIn}, 2, chosen.device);
  const sparsert::Tensor bias = make({kOut}, 3, chosen.device);

  const sparsert::Tensor pruned = sparsert::prune::magnitude(weights, 0.9);
  const sparsert::Csr sparse = sparsert::to_csr(pruned);
  const sparsert::Plan layer(sparse, kBatch);

  const sparsert::LinearOptions options{.bias = &bias, .relu = true};
  const sparsert::Tensor y = sparsert::linear(x, layer, options);
  const sparsert::Tensor dense = sparsert::linear(x, pruned, options);

  std::printf("%.1f %% zeros: %lld bytes as CSR, %lld dense\n", 100 * sparsert::sparsity(pruned),
              static_cast<long long>(sparse.nbytes()), static_cast<long long>(pruned.nbytes()));
  const bool same = sparsert::equal(y, dense);
  std::printf("sparse equal to dense: %s\n", same ? "yes" : "no");
  return same ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
