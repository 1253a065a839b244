// tests/fuzz/protobuf.hpp — a mutator that knows messages: it changes one field somewhere, and the lengths around it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace sparsert::fuzz {

inline bool read_varint(std::string_view text, std::size_t& at, std::uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && at < text.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(text[at++]);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value > 0x7f; value >>= 7) out += static_cast<char>(value | 0x80);
  return out += static_cast<char>(value);
}

struct Field {
  std::size_t begin;    // of the tag
  std::size_t payload;  // of the bytes, where it has a length
  std::size_t end;
  std::uint64_t tag;
};

/// The fields of a message; none where it is no message.
inline std::vector<Field> fields_of(std::string_view message) {
  std::vector<Field> fields;
  for (std::size_t at = 0; at < message.size();) {
    Field field{at, 0, 0, 0};
    std::uint64_t size = 0;
    if (!read_varint(message, at, field.tag) || field.tag >> 3 == 0) return {};
    switch (field.tag & 7) {
      case 0:
        if (!read_varint(message, at, size)) return {};
        size = 0;
        break;
      case 1: size = 8; break;
      case 2:
        if (!read_varint(message, at, size)) return {};
        break;
      case 5: size = 4; break;
      default: return {};
    }
    if (size > message.size() - at) return {};
    field.payload = at;
    at += static_cast<std::size_t>(size);
    field.end = at;
    fields.push_back(field);
  }
  return fields;
}

inline std::string mutated(std::string_view bytes, std::size_t room) {
  std::vector<std::uint8_t> buffer(bytes.begin(), bytes.end());
  buffer.resize(bytes.size() + room + 1);
  const std::size_t size = LLVMFuzzerMutate(buffer.data(), bytes.size(), bytes.size() + room);
  return {reinterpret_cast<const char*>(buffer.data()), size};
}

/// Goes down into the message by the digits of `choice`, and changes what it comes to.
inline std::string mutate_field(std::string_view message, std::uint32_t choice, std::size_t room, int depth) {
  const std::vector<Field> fields = fields_of(message);
  if (fields.empty() || depth == 12 || choice % 4 == 0) return mutated(message, room);
  choice /= 4;
  const Field& field = fields[choice % fields.size()];
  choice = choice / static_cast<std::uint32_t>(fields.size()) * 2654435761u + 12345u;
  std::string out(message.substr(0, field.begin));
  const std::string_view whole = message.substr(field.begin, field.end - field.begin);
  const std::string_view payload = message.substr(field.payload, field.end - field.payload);
  if (choice % 16 == 0) {
    out.append(whole).append(whole);  // twice
  } else if (choice % 16 == 1) {
    // left out
  } else if ((field.tag & 7) == 2) {
    const std::string changed = mutate_field(payload, choice / 16, room, depth + 1);
    out.append(varint(field.tag)).append(varint(changed.size())).append(changed);
  } else {
    out.append(mutated(whole, room));
  }
  return out.append(message.substr(field.end));
}

inline std::size_t mutate_message(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  if (size == 0 || seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  const std::string out = mutate_field(message, seed / 8 * 2654435761u, std::min<std::size_t>(max_size - size, 64), 0);
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

}  // namespace sparsert::fuzz
