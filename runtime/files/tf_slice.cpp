// runtime/files/tf_slice.cpp — slices of partitioned variables in TensorFlow checkpoints, and the keys they have.
#include "runtime/files/tf_slice.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "runtime/files/bytes.hpp"

namespace sparsert::files::tensorflow {
namespace {

using protobuf::Message;

constexpr std::size_t kMaxSlices = 512;  // of one variable: they are compared with each other

Extent bounds(const Slice& slice, const Shape& shape, std::size_t dimension) {
  const Extent& extent = slice[dimension];
  return extent.length < 0 ? Extent{0, shape[dimension]} : extent;
}

bool are_disjoint(const Slice& a, const Slice& b, const Shape& shape) {
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const Extent one = bounds(a, shape, d);
    const Extent other = bounds(b, shape, d);
    if (one.start + one.length <= other.start || other.start + other.length <= one.start) return true;
  }
  return false;
}

// The encodings keep the order of what they encode. An unsigned number: how many bytes, then these, the highest first.
void append_unsigned(std::string& key, std::uint64_t value) {
  const int bytes = (std::bit_width(value) + 7) / 8;
  key += static_cast<char>(bytes);
  for (int i = bytes; i-- > 0;) key += static_cast<char>(value >> (8 * i));
}

// Text: 0 and 255 escaped, and an end mark.
void append_text(std::string& key, std::string_view text) {
  for (const char c : text) {
    key += c;
    if (c == '\0') key += '\xff';
    if (c == '\xff') key += '\0';
  }
  key += '\0';
  key += '\1';
}

// A signed number that is not negative, in n bytes: n ones, a zero, and 7n - 1 bits for the number, the sign bit 0.
void append_signed(std::string& key, std::uint64_t value) {
  const int bits = std::bit_width(value) + 1;
  const int bytes = bits <= 63 ? (bits + 6) / 7 : 10;
  std::array<unsigned char, 10> out{};
  for (int i = 0; i < bytes && i < 8; ++i) {
    out[static_cast<std::size_t>(bytes - 1 - i)] = static_cast<unsigned char>(value >> (8 * i));
  }
  for (int bit = 0; bit < bytes; ++bit) {
    out[static_cast<std::size_t>(bit / 8)] |= static_cast<unsigned char>(0x80 >> (bit % 8));
  }
  key.append(reinterpret_cast<const char*>(out.data()), static_cast<std::size_t>(bytes));
}

}  // namespace

Slice parse_slice(Message message) {
  Slice slice;
  while (message.next()) {
    if (message.field() != 1) continue;
    if (slice.size() == kMaxRank) message.fail("a slice has more than " + std::to_string(kMaxRank) + " dimensions");
    Extent extent;
    for (Message fields = message.message(); fields.next();) {
      if (fields.field() == 1) extent.start = static_cast<std::int64_t>(fields.varint());
      if (fields.field() != 2) continue;
      extent.length = static_cast<std::int64_t>(fields.varint());
      if (extent.length < 0) fields.fail("a slice has the length " + std::to_string(extent.length));
    }
    slice.push_back(extent);
  }
  return slice;
}

std::optional<std::string> slices_problem(const std::vector<Slice>& slices, const Shape& shape) {
  if (slices.size() > kMaxSlices) return "more than " + std::to_string(kMaxSlices) + " slices";
  std::uint64_t covered = 0;
  for (const Slice& slice : slices) {
    if (slice.size() != shape.size()) return "a slice has another rank than the variable";
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const Extent extent = bounds(slice, shape, d);
      if (extent.start < 0 || extent.start > shape[d] || extent.length > shape[d] - extent.start) {
        return "a slice is " + std::to_string(extent.length) + " from " + std::to_string(extent.start) +
               " on in dimension " + std::to_string(d) + " of " + to_string(shape);
      }
    }
    covered += *shape_bits(slice_shape(slice, shape), 1);
  }
  for (std::size_t i = 0; i < slices.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (!are_disjoint(slices[i], slices[k], shape)) return "two slices overlap";
    }
  }
  if (covered != *shape_bits(shape, 1)) return "the slices do not cover the variable";
  return std::nullopt;
}

Shape slice_shape(const Slice& slice, const Shape& shape) {
  Shape sizes(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) sizes[d] = bounds(slice, shape, d).length;
  return sizes;
}

std::string slice_key(std::string_view name, const Slice& slice) {
  std::string key;
  append_unsigned(key, 0);
  append_text(key, name);
  append_unsigned(key, slice.size());
  for (const Extent& extent : slice) {
    append_signed(key, static_cast<std::uint64_t>(extent.start));
    if (extent.length < 0) {
      key += '\x7f';  // -1
    } else {
      append_signed(key, static_cast<std::uint64_t>(extent.length));
    }
  }
  return key;
}

void copy_slice(const Tensor& part, const Slice& slice, Tensor& whole) {
  const Shape& shape = whole.shape();
  const std::size_t rank = shape.size();
  if (part.numel() == 0) return;
  const std::size_t item = size_of(whole.dtype());
  const auto* from = static_cast<const std::byte*>(part.data());
  auto* const to = static_cast<std::byte*>(whole.mutable_data());
  const std::size_t run = rank == 0 ? item : static_cast<std::size_t>(part.shape()[rank - 1]) * item;
  std::vector<std::int64_t> index(rank, 0);
  for (std::size_t done = 0; done < static_cast<std::size_t>(part.nbytes()); done += run) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < rank; ++d) at = at * shape[d] + bounds(slice, shape, d).start + index[d];
    std::memcpy(to + static_cast<std::size_t>(at) * item, from + done, run);
    for (std::size_t d = rank < 2 ? 0 : rank - 1; d-- > 0 && ++index[d] == part.shape()[d];) index[d] = 0;
  }
}

}  // namespace sparsert::files::tensorflow
