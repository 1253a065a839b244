// runtime/files/protobuf.cpp — the wire format of Protocol Buffers, read field by field.
#include "runtime/files/protobuf.hpp"

#include "runtime/files/names.hpp"
#include "runtime/files/utf8.hpp"

namespace sparsert::files::protobuf {
namespace {

constexpr std::uint64_t kMaxField = (std::uint64_t{1} << 29) - 1;

const char* name_of(Wire wire) {
  switch (wire) {
    case Wire::varint: return "a varint";
    case Wire::fixed64: return "a 64-bit number";
    case Wire::bytes: return "bytes";
    case Wire::fixed32: return "a 32-bit number";
  }
  return "";
}

}  // namespace

std::uint64_t read_varint(Window& window, std::uint64_t& at, std::uint64_t end) {
  const std::uint64_t begin = at;
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at >= end) window.fail(begin, "a varint does not end in its message");
    const std::uint64_t byte = window.byte(at++);
    // The tenth byte holds the 64th bit alone.
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  window.fail(begin, "a varint has more than 64 bits");
}

Message::Message(Window& window, Range range, int depth)
    : window_(window), range_(range), depth_(depth), at_(range.begin), offset_(range.begin) {
  window.check(range);
}

bool Message::next() {
  if (at_ == range_.end) return false;
  offset_ = at_;
  const std::uint64_t tag = read_varint(window_, at_, range_.end);
  const std::uint64_t number = tag >> 3;
  if (number == 0 || number > kMaxField) fail("a field has the number " + std::to_string(number));
  field_ = static_cast<std::uint32_t>(number);
  std::uint64_t size = 0;
  switch (tag & 7) {
    case 0: {
      wire_ = Wire::varint;
      value_ = read_varint(window_, at_, range_.end);
      return true;
    }
    case 1:
      wire_ = Wire::fixed64;
      size = 8;
      break;
    case 2:
      wire_ = Wire::bytes;
      size = read_varint(window_, at_, range_.end);
      break;
    case 5:
      wire_ = Wire::fixed32;
      size = 4;
      break;
    default: fail("field " + std::to_string(number) + " is of wire type " + std::to_string(tag & 7));
  }
  if (size > range_.end - at_) {
    fail("field " + std::to_string(number) + " has " + std::to_string(size) + " bytes, its message ends after " +
         std::to_string(range_.end - at_));
  }
  payload_ = {at_, at_ + size};
  if (wire_ != Wire::bytes) value_ = window_.number(at_, static_cast<unsigned>(size));
  at_ += size;
  return true;
}

void Message::expect(Wire wire) const {
  if (wire_ != wire) fail("field " + std::to_string(field_) + " is " + name_of(wire_) + ", expected " + name_of(wire));
}

std::uint64_t Message::varint() const {
  expect(Wire::varint);
  return value_;
}

std::uint64_t Message::fixed64() const {
  expect(Wire::fixed64);
  return value_;
}

std::uint32_t Message::fixed32() const {
  expect(Wire::fixed32);
  return static_cast<std::uint32_t>(value_);
}

Range Message::bytes() const {
  expect(Wire::bytes);
  return payload_;
}

std::string Message::text(std::size_t most) const {
  const Range range = bytes();
  if (range.size() > most) {
    fail("a text has " + std::to_string(range.size()) + " bytes, expected at most " + std::to_string(most));
  }
  std::string text = window_.text(range);
  if (!is_utf8(text)) fail("a text is not UTF-8: " + in_quotes(text));
  return text;
}

Message Message::message() const {
  if (depth_ == kMaxDepth) fail("messages are nested deeper than " + std::to_string(kMaxDepth));
  return Message(window_, bytes(), depth_ + 1);
}

std::uint64_t count_numbers(Message message, std::uint32_t field, Wire wire) {
  std::uint64_t count = 0;
  while (message.next()) {
    if (message.field() != field) continue;
    if (message.wire() != Wire::bytes) {
      if (message.wire() != wire) {
        message.fail("field " + std::to_string(field) + " is " + name_of(message.wire()) + ", expected " +
                     name_of(wire));
      }
      ++count;
      continue;
    }
    const Range packed = message.bytes();
    if (wire == Wire::varint) {
      for (std::uint64_t at = packed.begin; at < packed.end; ++count) read_varint(message.window(), at, packed.end);
      continue;
    }
    const unsigned bytes = wire == Wire::fixed32 ? 4 : 8;
    if (packed.size() % bytes != 0) {
      message.fail("a packed list has " + std::to_string(packed.size()) + " bytes, expected a multiple of " +
                   std::to_string(bytes));
    }
    count += packed.size() / bytes;
  }
  return count;
}

}  // namespace sparsert::files::protobuf
