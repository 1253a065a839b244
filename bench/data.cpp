// bench/data.cpp — a fast generator and what is made with it.
#include "bench/data.hpp"

#include "sparsert/ops.hpp"

namespace sparsert::bench {
namespace {

// SplitMix64: one multiplication chain per draw, and any counter is a fine state.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

void fill_random(float* data, std::int64_t count, std::uint64_t seed) {
  const std::uint64_t start = mix(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t a = mix(start + 2 * static_cast<std::uint64_t>(i));
    const std::uint64_t b = mix(start + 2 * static_cast<std::uint64_t>(i) + 1);
    // The sum of four uniform numbers of 32 bits, centered: standard deviation about 0.58, few ties.
    const auto sum = static_cast<std::int64_t>((a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32));
    data[i] = static_cast<float>(static_cast<double>(sum - 0x1fffffffe) * 0x1p-32);
  }
}

void make_zeros(float* data, std::int64_t count, double share, std::uint64_t seed) {
  const std::uint64_t start = mix(~seed);
  const auto bound = static_cast<std::uint64_t>(share * 0x1p53);
  for (std::int64_t i = 0; i < count; ++i) {
    if ((mix(start + static_cast<std::uint64_t>(i)) >> 11) < bound) data[i] = 0.0f;
  }
}

Tensor random_tensor(Shape shape, DType dtype, const Device& device, std::uint64_t seed) {
  Tensor tensor = Tensor::empty(std::move(shape), DType::float32);
  fill_random(tensor.mutable_span<float>().data(), tensor.numel(), seed);
  if (dtype != DType::float32) tensor = cast(tensor, dtype);
  return tensor.to(device);
}

std::string count_text(std::int64_t count) {
  for (const auto& [unit, name] : {std::pair<std::int64_t, const char*>{1 << 20, "Mi"}, {1 << 10, "Ki"}}) {
    if (count >= unit && count % unit == 0) return std::to_string(count / unit) + name;
  }
  int zeros = 0;
  std::int64_t rest = count;
  while (rest >= 10 && rest % 10 == 0) {
    rest /= 10;
    ++zeros;
  }
  return zeros < 3 ? std::to_string(count) : std::to_string(rest) + "e" + std::to_string(zeros);
}

}  // namespace sparsert::bench
