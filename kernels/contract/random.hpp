// kernels/contract/random.hpp — random numbers by counter: the same on every device, in any order, with any threads.
#pragma once

#include <cstdint>

namespace sparsert::backend {

/// Four 32-bit random numbers of a counter, a stream and a key: Philox4x32 with ten rounds (Salmon and others 2011).
struct Philox {
  std::uint32_t word[4];

  constexpr Philox(std::uint64_t counter, std::uint64_t stream, std::uint64_t seed)
      : word{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
             static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)} {
    auto key0 = static_cast<std::uint32_t>(seed);
    auto key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * word[0];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * word[2];
      const std::uint32_t word1 = word[1];
      const std::uint32_t word3 = word[3];
      word[0] = static_cast<std::uint32_t>(product1 >> 32) ^ word1 ^ key0;
      word[1] = static_cast<std::uint32_t>(product1);
      word[2] = static_cast<std::uint32_t>(product0 >> 32) ^ word3 ^ key1;
      word[3] = static_cast<std::uint32_t>(product0);
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
  }
};

/// The number for a place: word place % 4 of counter place / 4.
constexpr std::uint32_t random_number(std::uint64_t seed, std::uint64_t stream, std::int64_t place) {
  return Philox(static_cast<std::uint64_t>(place) / 4, stream, seed).word[place % 4];
}

}  // namespace sparsert::backend
