// runtime/files/proto_list.cpp — elements of a tensor as a repeated field of a message.
#include "runtime/files/proto_list.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace sparsert::files::protobuf {
namespace {

struct Limits {
  std::int64_t low;
  std::uint64_t high;
};

/// What the wire may say of an element. Negative numbers come sign-extended to 64 bits from the standard's writers, and
/// cut to 32 bits from some others.
Limits limits_of(Element element) {
  switch (element) {
    case Element::boolean: return {0, 1};
    case Element::uint8:
    case Element::float8_e4m3:
    case Element::float8_e5m2: return {0, 0xff};
    case Element::int8: return {-128, 127};
    case Element::int16: return {-32768, 32767};
    case Element::uint16:
    case Element::float16:
    case Element::bfloat16: return {0, 0xffff};
    case Element::int32: return {std::numeric_limits<std::int32_t>::min(), 0xffffffff};
    case Element::uint32:
    case Element::float32:
    case Element::complex64: return {0, 0xffffffff};
    case Element::int64:
    case Element::uint64:
    case Element::float64:
    case Element::complex128: break;
  }
  return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max()};
}

bool fits(std::uint64_t number, const Limits& limits) {
  const auto value = static_cast<std::int64_t>(number);
  return value < 0 && limits.high != std::numeric_limits<std::uint64_t>::max() ? value >= limits.low
                                                                               : number <= limits.high;
}

}  // namespace

Tensor read_list(Window& window, const NumberList& list, const Shape& shape, Element element) {
  static_assert(std::endian::native == std::endian::little);
  Tensor tensor = Tensor::empty(shape, *storage_of(element));
  const auto elements = static_cast<std::uint64_t>(tensor.numel());
  if (elements == 0) return tensor;
  const std::size_t bytes = bytes_of(element);
  // In place where the tensor has the element itself, else widened from memory of their own.
  std::vector<std::byte> narrow;
  if (bytes != size_of(tensor.dtype())) narrow.resize(elements * bytes);
  auto* const out = narrow.empty() ? static_cast<std::byte*>(tensor.mutable_data()) : narrow.data();
  const Limits limits = limits_of(element);
  std::uint64_t written = 0;
  each_number(Message(window, list.message), list.field, list.wire, [&](std::uint64_t number) {
    if (!fits(number, limits)) {
      window.fail(list.message.begin, std::string("an element of type ") + name_of(element) + " is " +
                                          std::to_string(static_cast<std::int64_t>(number)));
    }
    if (written == elements) window.fail(list.message.begin, "a list has more numbers than its tensor has elements");
    std::memcpy(out + written++ * bytes, &number, bytes);
  });
  if (written == 0) std::memset(out + written++, 0, bytes);
  for (; written < elements; ++written) std::memcpy(out + written * bytes, out + (written - 1) * bytes, bytes);
  decode(window.format(), window.source().place(list.message.begin), out, tensor.numel(), element, false, tensor);
  return tensor;
}

}  // namespace sparsert::files::protobuf
