// runtime/files/proto_kind.cpp — which message a file is.
#include "runtime/files/proto_kind.hpp"

#include <array>
#include <string_view>

#include "runtime/files/protobuf.hpp"

namespace sparsert::files::protobuf {
namespace {

constexpr std::size_t kFields = 32;
constexpr std::uint64_t kMaxCounted = 10'000'000;  // fields of a top level

// For each field number the wire types that it may have: v varint, b bytes, d 64 bits, f 32 bits, in any number.
struct Schema {
  Kind kind;
  std::array<std::string_view, kFields> fields;
  std::array<std::uint32_t, 2> needed;  // 0: no second one
};

constexpr std::array<Schema, 4> kSchemas{{
    {Kind::onnx_model,
     {"", "v", "b", "b", "b", "v", "b", "b", "b", "",  "",  "",   "",   "",   "b",  "",
      "", "",  "",  "",  "b", "",  "",  "",  "",  "b", "b", "vb", "vb", "vb", "vb", "vb"},
     {1, 7}},
    {Kind::onnx_tensor,
     {"", "vb", "v", "b", "bf", "bv", "b", "bv", "b", "b", "bd", "bv", "b", "b", "v", "", "b"},
     {2, 0}},
    {Kind::graph_def, {"", "b", "b", "v", "b", "b"}, {1, 0}},
    {Kind::saved_model, {"", "v", "b"}, {1, 2}},
}};

char letter(Wire wire) {
  switch (wire) {
    case Wire::varint: return 'v';
    case Wire::fixed64: return 'd';
    case Wire::bytes: return 'b';
    case Wire::fixed32: return 'f';
  }
  return ' ';
}

}  // namespace

Kind kind_of(const Bytes& bytes) {
  Window window(bytes, "protobuf");
  std::array<bool, kSchemas.size()> fits{true, true, true, true};
  std::array<bool, kFields> seen{};
  const auto note = [&](const Message& message) {
    const std::uint32_t field = message.field();
    if (field == 0) return;
    if (field < kFields) seen[field] = true;
    for (std::size_t i = 0; i < kSchemas.size(); ++i) {
      fits[i] =
          fits[i] && field < kFields && kSchemas[i].fields[field].find(letter(message.wire())) != std::string::npos;
    }
  };
  Message message(window, {0, bytes.size()});
  try {
    for (std::uint64_t count = 0; count < kMaxCounted && message.next(); ++count) {
      note(message);
      if (fits == std::array<bool, kSchemas.size()>{}) return Kind::none;
    }
  } catch (const FileError&) {
    note(message);
  }
  for (std::size_t i = 0; i < kSchemas.size(); ++i) {
    const auto& needed = kSchemas[i].needed;
    if (fits[i] && seen[needed[0]] && (needed[1] == 0 || seen[needed[1]])) return kSchemas[i].kind;
  }
  return Kind::none;
}

}  // namespace sparsert::files::protobuf
