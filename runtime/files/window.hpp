// runtime/files/window.hpp — a file seen through a small buffer, for readers that follow a structure and skip the data.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/source.hpp"

namespace sparsert::files {

/// A part of a file: the bytes from `begin` up to `end`.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const noexcept { return end - begin; }
};

/// Random access with a buffer that grows while the accesses are neighbours, and stays small where they jump.
class Window {
 public:
  Window(Bytes source, const char* format) : source_(std::move(source)), format_(format) {}

  std::uint64_t size() const noexcept { return source_.size(); }
  const Bytes& source() const noexcept { return source_; }
  const char* format() const noexcept { return format_; }

  [[noreturn]] void fail(std::uint64_t offset, const std::string& reason,
                         SourceLocation where = SourceLocation::current()) const {
    malformed(format_, source_.place(offset), reason, where);
  }

  std::uint8_t byte(std::uint64_t offset) {
    // Unsigned: an offset before the buffer wraps to a large number.
    const std::uint64_t at = offset - begin_;
    if (at < buffer_.size()) return std::to_integer<std::uint8_t>(buffer_[static_cast<std::size_t>(at)]);
    fill(offset);
    return std::to_integer<std::uint8_t>(buffer_[0]);
  }

  /// A little-endian unsigned number of 1 to 8 bytes.
  std::uint64_t number(std::uint64_t offset, unsigned bytes) {
    check({offset, offset + bytes});
    std::uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;) value = value << 8 | byte(offset + i);
    return value;
  }

  void read(std::uint64_t offset, void* to, std::uint64_t bytes) {
    check({offset, offset + bytes});
    auto* out = static_cast<std::byte*>(to);
    // What is large goes around the buffer.
    if (bytes > kSmall) return source_.read(offset, out, bytes);
    for (std::uint64_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(byte(offset + i));
  }

  std::string text(Range range) {
    std::string out(static_cast<std::size_t>(checked(range).size()), '\0');
    read(range.begin, out.data(), out.size());
    return out;
  }

  /// Throws unless the range lies in the file.
  void check(Range range) const {
    if (range.begin > range.end || range.end > size()) {
      fail(std::min(range.begin, size()), "needs bytes " + std::to_string(range.begin) + " to " +
                                              std::to_string(range.end) + " of a file of " + std::to_string(size()));
    }
  }

 private:
  static constexpr std::size_t kSmall = 4096;
  static constexpr std::size_t kLarge = std::size_t{64} << 10;

  Range checked(Range range) const {
    check(range);
    return range;
  }

  void fill(std::uint64_t offset) {
    if (offset >= size()) fail(size(), "the file ends, expected more");
    const bool follows = offset == begin_ + buffer_.size() && !buffer_.empty();
    const std::size_t wanted = follows ? std::min(kLarge, buffer_.size() * 4) : kSmall;
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, size() - offset)));
    begin_ = offset;
    source_.read(offset, buffer_.data(), buffer_.size());
  }

  Bytes source_;
  const char* format_;
  std::vector<std::byte> buffer_;
  std::uint64_t begin_ = 0;
};

}  // namespace sparsert::files
