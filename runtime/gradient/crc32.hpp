// runtime/gradient/crc32.hpp — the checksum of packets and messages: CRC-32 (IEEE 802.3), eight bytes at a time.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace sparsert::gradient {

namespace detail {
using Crc32Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Crc32Tables make_crc32_tables() {
  Crc32Tables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
    tables[0][i] = crc;
  }
  for (std::size_t t = 1; t < tables.size(); ++t) {
    for (std::size_t i = 0; i < 256; ++i) {
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xff];
    }
  }
  return tables;
}
inline constexpr Crc32Tables kCrc32Tables = make_crc32_tables();
}  // namespace detail

inline std::uint32_t crc32(std::span<const std::byte> bytes) {
  const auto& t = detail::kCrc32Tables;
  std::uint32_t crc = 0xffffffffu;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t b = 0; b < 8; ++b) crc ^= t[7 - b][(word >> (8 * b)) & 0xff];
  }
  for (; i < bytes.size(); ++i) crc = (crc >> 8) ^ t[0][(crc ^ static_cast<std::uint32_t>(bytes[i])) & 0xff];
  return ~crc;
}

}  // namespace sparsert::gradient
