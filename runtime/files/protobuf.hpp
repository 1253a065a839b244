// runtime/files/protobuf.hpp — the wire format of Protocol Buffers, read field by field: no message is ever built.
//
// Every length is checked against the message that holds it before anything is done with it; what is not asked for is
// skipped without being read. Groups, which no model format uses, are refused.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/files/window.hpp"

namespace sparsert::files::protobuf {

enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

inline constexpr int kMaxDepth = 100;            ///< messages within messages
inline constexpr std::size_t kMaxText = 65'536;  ///< bytes of a name

/// The fields of one message, in the order of the file.
class Message {
 public:
  Message(Window& window, Range range, int depth = 0);

  /// Moves on to the next field; false behind the last.
  bool next();

  std::uint32_t field() const noexcept { return field_; }
  Wire wire() const noexcept { return wire_; }
  /// Of the field's tag.
  std::uint64_t offset() const noexcept { return offset_; }
  Range range() const noexcept { return range_; }
  Window& window() const noexcept { return window_; }
  int depth() const noexcept { return depth_; }

  // Each throws where the field is of another wire type.
  std::uint64_t varint() const;  ///< also of an enumeration or a bool; a negative int32 is a large number here
  std::uint64_t fixed64() const;
  std::uint32_t fixed32() const;
  Range bytes() const;                                  ///< of a string, bytes, a message or a packed list
  std::string text(std::size_t most = kMaxText) const;  ///< UTF-8
  Message message() const;                              ///< throws below kMaxDepth

  [[noreturn]] void fail(const std::string& reason, SourceLocation where = SourceLocation::current()) const {
    window_.fail(offset_, reason, where);
  }

  /// For a field that may come once: throws where `seen` is set, and sets it.
  void once(bool& seen, const char* name) const {
    if (seen) fail(std::string("has ") + name + " twice");
    seen = true;
  }

 private:
  void expect(Wire wire) const;

  Window& window_;
  Range range_;
  int depth_;
  std::uint64_t at_;
  std::uint64_t offset_;
  std::uint32_t field_ = 0;
  Wire wire_ = Wire::varint;
  std::uint64_t value_ = 0;  // of a varint or a fixed number
  Range payload_;
};

/// A varint at `at`, which moves behind it; it ends before `end`.
std::uint64_t read_varint(Window& window, std::uint64_t& at, std::uint64_t end);

/// How many numbers the repeated field `field` of a message holds, packed, unpacked or both. `wire` is that of one
/// number. Reads the bytes of packed varints, and nothing else.
std::uint64_t count_numbers(Message message, std::uint32_t field, Wire wire);

/// Gives each of these numbers to `take`, in order.
template <class Take>
void each_number(Message message, std::uint32_t field, Wire wire, Take&& take) {
  Window& window = message.window();
  while (message.next()) {
    if (message.field() != field) continue;
    if (message.wire() != Wire::bytes) {
      take(wire == Wire::varint ? message.varint() : wire == Wire::fixed32 ? message.fixed32() : message.fixed64());
      continue;
    }
    const Range packed = message.bytes();
    const unsigned bytes = wire == Wire::fixed32 ? 4 : 8;
    for (std::uint64_t at = packed.begin; at < packed.end;) {
      if (wire == Wire::varint) {
        take(read_varint(window, at, packed.end));
        continue;
      }
      if (packed.end - at < bytes) window.fail(at, "a packed list ends within a number");
      take(window.number(at, bytes));
      at += bytes;
    }
  }
}

}  // namespace sparsert::files::protobuf
