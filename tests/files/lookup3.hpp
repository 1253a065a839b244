// tests/files/lookup3.hpp — the checksum of HDF5's metadata, for files that are changed behind it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sparsert::test {

/// Bob Jenkins' lookup3 as HDF5 uses it.
inline std::uint32_t lookup3(const std::uint8_t* data, std::size_t size) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(size), b = a, c = a;
  while (size > 12) {
    std::uint32_t words[3];
    std::memcpy(words, data, 12);
    a += words[0], b += words[1], c += words[2];
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
    data += 12, size -= 12;
  }
  if (size == 0) return c;
  std::uint32_t words[3] = {};
  std::memcpy(words, data, size);
  a += words[0], b += words[1], c += words[2];
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

}  // namespace sparsert::test
