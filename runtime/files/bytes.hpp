// runtime/files/bytes.hpp — what every reader of a file format stands on: checked sizes, a bounded cursor, errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "sparsert/error.hpp"

namespace sparsert::files {

/// Dimensions of a tensor in a file: as many as NumPy has.
inline constexpr std::size_t kMaxRank = 64;

/// Throws `FileError` "format, offset n: reason". The path is put in front by whoever opened the file.
[[noreturn]] inline void malformed(const char* format, std::uint64_t offset, const std::string& reason,
                                   SourceLocation where = SourceLocation::current()) {
  throw FileError(std::string(format) + ", offset " + std::to_string(offset) + ": " + reason, where);
}

/// Bits of a tensor: dimensions multiplied from left to right, then the bits of an item. None where 2^64 is reached
/// on the way, so a zero after an overflow does not save a shape, and one before it does.
inline std::optional<std::uint64_t> shape_bits(std::span<const std::int64_t> shape, std::uint64_t item_bits) {
  std::uint64_t bits = 1;
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(size), &bits)) return std::nullopt;
  }
  if (__builtin_mul_overflow(bits, item_bits, &bits)) return std::nullopt;
  return bits;
}

/// Reads little-endian values from bytes in memory, never past their end.
class ByteCursor {
 public:
  /// `base` is the place of the first byte in the file, for messages.
  ByteCursor(const char* format, std::span<const std::byte> bytes, std::uint64_t base = 0)
      : format_(format), bytes_(bytes), base_(base) {}

  std::uint64_t offset() const noexcept { return base_ + position_; }
  std::size_t remaining() const noexcept { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) {
      malformed(format_, offset(), "needs " + std::to_string(count) + " bytes, got " + std::to_string(remaining()));
    }
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }

  template <class T>
  T read() {
    static_assert(std::is_unsigned_v<T>);
    const auto taken = take(sizeof(T));
    T value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) {
      value = static_cast<T>((value << (sizeof(T) > 1 ? 8 : 0)) | std::to_integer<T>(taken[i]));
    }
    return value;
  }

 private:
  const char* format_;
  std::span<const std::byte> bytes_;
  std::uint64_t base_;
  std::size_t position_ = 0;
};

}  // namespace sparsert::files
