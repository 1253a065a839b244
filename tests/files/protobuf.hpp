// tests/files/protobuf.hpp — messages of Protocol Buffers for tests, written as they are said.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sparsert::test::pb {

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value > 0x7f; value >>= 7) out += static_cast<char>(value | 0x80);
  return out += static_cast<char>(value);
}

inline std::string tag(std::uint64_t field, unsigned wire) { return varint(field << 3 | wire); }
inline std::string number(std::uint64_t field, std::uint64_t value) { return tag(field, 0).append(varint(value)); }
inline std::string bytes(std::uint64_t field, std::string_view value) {
  return tag(field, 2).append(varint(value.size())).append(value);
}

inline std::string fixed(std::uint64_t field, std::uint64_t value, std::size_t size) {
  std::string out = tag(field, size == 4 ? 5 : 1);
  for (std::size_t i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::string packed(std::uint64_t field, const std::vector<std::uint64_t>& values) {
  std::string out;
  for (const std::uint64_t value : values) out += varint(value);
  return bytes(field, out);
}

/// Where a message breaks the wire format, whatever it is: each of these in the place of its last field.
struct Broken {
  const char* rule;
  std::string bytes;
  const char* word;
};

inline std::vector<Broken> broken() {
  return {
      {"a group", tag(9, 3), "wire type 3"},
      {"the end of a group", tag(9, 4), "wire type 4"},
      {"wire type 6", tag(9, 6), "wire type 6"},
      {"wire type 7", tag(9, 7), "wire type 7"},
      {"field 0", tag(0, 0) + "x", "the number 0"},
      {"a field number above 2^29", tag(std::uint64_t{1} << 29, 0) + "x", "the number 536870912"},
      {"a tag that does not end", "\x80", "a varint does not end"},
      {"a tag of eleven bytes", std::string(10, '\xff') + "\1", "more than 64 bits"},
      {"a number that does not end", tag(9, 0) + "\xff\xff", "a varint does not end"},
      {"a number of 65 bits", tag(9, 0) + std::string(9, '\xff') + "\x02", "more than 64 bits"},
      {"a 32-bit number that is cut", tag(9, 5) + "abc", "its message ends after 3"},
      {"a 64-bit number that is cut", tag(9, 1) + "abcdefg", "its message ends after 7"},
      {"bytes past the end by one", tag(9, 2) + varint(4) + "abc", "has 4 bytes, its message ends after 3"},
      {"bytes past the end by 2^31", tag(9, 2) + varint(std::uint64_t{1} << 31), "has 2147483648 bytes"},
      {"bytes past the end by 2^63", tag(9, 2) + varint(std::uint64_t{1} << 63), "has 9223372036854775808 bytes"},
      {"bytes past the end by 2^64", tag(9, 2) + varint(~std::uint64_t{0}), "has 18446744073709551615 bytes"},
      {"a length that does not end", tag(9, 2) + "\x80", "a varint does not end"},
  };
}

}  // namespace sparsert::test::pb
