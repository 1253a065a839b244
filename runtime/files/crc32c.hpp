// runtime/files/crc32c.hpp — the Castagnoli CRC of TensorFlow's checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sparsert::files {

/// Of `bytes`; of several pieces where the result for those before is given.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

/// As it is stored: turned by 15 bits and moved, so that the CRC of data with CRCs in it stays a good one.
constexpr std::uint32_t masked_crc(std::uint32_t crc) noexcept { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

}  // namespace sparsert::files
