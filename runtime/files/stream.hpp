// runtime/files/stream.hpp — reading bytes from front to back without knowing how many there will be.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/source.hpp"

namespace sparsert::files {

/// A place in bytes, with a small buffer ahead of it. What is read is proven to exist first.
class ByteStream {
 public:
  ByteStream(const char* format, const Bytes& bytes) : format_(format), bytes_(bytes) {}

  std::uint64_t position() const noexcept { return begin_ + at_; }
  std::uint64_t remaining() const noexcept { return bytes_.size() - position(); }
  const Bytes& bytes() const noexcept { return bytes_; }

  [[noreturn]] void fail(const std::string& reason) const { malformed(format_, bytes_.place(position()), reason); }

  template <class T>
  T read() {
    return read_in_order<T>(std::endian::little);
  }
  template <class T>
  T read_big() {
    return read_in_order<T>(std::endian::big);
  }

  /// The next byte, without taking it.
  std::uint8_t peek() {
    need(1);
    return std::to_integer<std::uint8_t>(buffer_[at_]);
  }

  std::string text(std::uint64_t count, std::uint64_t limit) {
    if (count > limit) {
      fail("a string of " + std::to_string(count) + " bytes, expected at most " + std::to_string(limit));
    }
    need(count);
    const auto* const from = reinterpret_cast<const char*>(buffer_.data()) + at_;
    at_ += static_cast<std::size_t>(count);
    return {from, static_cast<std::size_t>(count)};
  }

  /// The next `count` bytes, which are skipped.
  Bytes part(std::uint64_t count) {
    check(count);
    Bytes part = bytes_.part(position(), count);
    skip(count);
    return part;
  }

  void skip(std::uint64_t count) {
    check(count);
    if (count <= buffer_.size() - at_) {
      at_ += static_cast<std::size_t>(count);
      return;
    }
    begin_ = position() + count;
    buffer_.clear();
    at_ = 0;
  }

 private:
  static constexpr std::uint64_t kPiece = std::uint64_t{64} << 10;

  void check(std::uint64_t count) const {
    if (count > remaining()) {
      fail("needs " + std::to_string(count) + " bytes, got " + std::to_string(remaining()));
    }
  }

  void need(std::uint64_t count) {
    if (count <= buffer_.size() - at_) return;
    check(count);
    begin_ = position();
    at_ = 0;
    buffer_ = bytes_.read(begin_, std::min(std::max(count, kPiece), bytes_.size() - begin_));
  }

  template <class T>
  T read_in_order(std::endian order) {
    static_assert(std::is_unsigned_v<T>);
    need(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      const std::size_t from = order == std::endian::big ? i : sizeof(T) - 1 - i;
      value = value << 8 | std::to_integer<std::uint64_t>(buffer_[at_ + from]);
    }
    at_ += sizeof(T);
    return static_cast<T>(value);
  }

  const char* format_;
  Bytes bytes_;
  std::uint64_t begin_ = 0;  // of the buffer in the bytes
  std::vector<std::byte> buffer_;
  std::size_t at_ = 0;
};

}  // namespace sparsert::files
