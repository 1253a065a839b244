// runtime/files/element.cpp — element types as files have them, and how they become tensors.
#include "runtime/files/element.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "runtime/files/bytes.hpp"

namespace sparsert::files {
namespace {

struct Row {
  const char* name;
  std::size_t bytes;
  std::optional<DType> storage;
};

// In the order of the enumeration.
constexpr std::array<Row, 17> kRows{{
    {"bool", 1, DType::boolean},
    {"int8", 1, DType::int32},
    {"uint8", 1, DType::uint8},
    {"int16", 2, DType::int32},
    {"uint16", 2, DType::int32},
    {"int32", 4, DType::int32},
    {"uint32", 4, DType::int64},
    {"int64", 8, DType::int64},
    {"uint64", 8, {}},
    {"float16", 2, DType::float16},
    {"bfloat16", 2, DType::bfloat16},
    {"float32", 4, DType::float32},
    {"float64", 8, DType::float64},
    {"complex64", 8, {}},
    {"complex128", 16, {}},
    {"float8_e4m3fn", 1, {}},
    {"float8_e5m2", 1, {}},
}};

const Row& row(Element element) { return kRows[static_cast<std::size_t>(element)]; }

// Elements are read in pieces of this many bytes where they are not what the tensor holds.
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

template <std::size_t Bytes>
void swap_bytes(std::byte* data, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) std::reverse(data + i * Bytes, data + (i + 1) * Bytes);
}

void swap_bytes(std::byte* data, std::int64_t count, std::size_t bytes) {
  switch (bytes) {
    case 2: return swap_bytes<2>(data, count);
    case 4: return swap_bytes<4>(data, count);
    case 8: return swap_bytes<8>(data, count);
    default: return;
  }
}

template <class From, class To>
void widen(const std::byte* from, std::int64_t count, bool big_endian, std::byte* to) {
  static_assert(std::is_integral_v<From>);
  for (std::int64_t i = 0; i < count; ++i) {
    std::array<std::byte, sizeof(From)> bytes;
    std::memcpy(bytes.data(), from + i * static_cast<std::int64_t>(sizeof(From)), sizeof(From));
    if (big_endian) std::reverse(bytes.begin(), bytes.end());
    From value;
    std::memcpy(&value, bytes.data(), sizeof(From));
    const auto wide = static_cast<To>(value);
    std::memcpy(to + i * static_cast<std::int64_t>(sizeof(To)), &wide, sizeof(To));
  }
}

bool is_widened(Element element) {
  return element == Element::int8 || element == Element::int16 || element == Element::uint16 ||
         element == Element::uint32;
}

/// A byte that is neither 0 nor 1 is no bool: to read it as one would be undefined.
void check_booleans(const char* format, std::uint64_t place, const std::byte* bytes, std::int64_t count) {
  const auto* const end = bytes + count;
  const auto* const bad = std::find_if(bytes, end, [](std::byte byte) { return std::to_integer<int>(byte) > 1; });
  if (bad != end) {
    malformed(format, place + static_cast<std::uint64_t>(bad - bytes),
              "a boolean is " + std::to_string(std::to_integer<int>(*bad)) + ", expected 0 or 1");
  }
}

/// The bytes without a copy; null where that cannot be, or items of this size would not be aligned.
std::shared_ptr<const std::byte> aligned_view(const Bytes& data, std::size_t item) {
  auto view = data.view(0, data.size());
  const bool aligned = reinterpret_cast<std::uintptr_t>(view.get()) % item == 0;
  return aligned ? std::move(view) : nullptr;
}

void decode_piece(const char* format, std::uint64_t place, const std::byte* from, std::int64_t count, Element element,
                  bool big_endian, std::byte* to) {
  switch (element) {
    case Element::int8: return widen<std::int8_t, std::int32_t>(from, count, big_endian, to);
    case Element::int16: return widen<std::int16_t, std::int32_t>(from, count, big_endian, to);
    case Element::uint16: return widen<std::uint16_t, std::int32_t>(from, count, big_endian, to);
    case Element::uint32: return widen<std::uint32_t, std::int64_t>(from, count, big_endian, to);
    default: break;
  }
  if (element == Element::boolean) check_booleans(format, place, from, count);
  if (count != 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(count) * bytes_of(element));
  if (big_endian) swap_bytes(to, count, bytes_of(element));
}

}  // namespace

std::size_t bytes_of(Element element) noexcept { return row(element).bytes; }
const char* name_of(Element element) noexcept { return row(element).name; }
std::optional<DType> storage_of(Element element) noexcept { return row(element).storage; }

std::uint64_t tensor_bytes(const char* format, std::uint64_t offset, const Shape& shape, Element element) {
  if (shape.size() > kMaxRank) {
    malformed(
        format, offset,
        "a shape has " + std::to_string(shape.size()) + " dimensions, expected at most " + std::to_string(kMaxRank));
  }
  // Room for a widened element too, so that nothing overflows later.
  const auto bits = shape_bits(shape, 8 * bytes_of(element));
  if (!bits || *bits / 8 > std::uint64_t{1} << 60) {
    malformed(format, offset, "the shape " + to_string(shape) + " has more elements than a file can hold");
  }
  return *bits / 8;
}

Tensor read_tensor(const char* format, const Bytes& bytes, const Shape& shape, Element element, bool big_endian) {
  const std::uint64_t total = tensor_bytes(format, bytes.place(0), shape, element);
  const auto storage = storage_of(element);
  if (!storage) throw FileError(std::string(name_of(element)) + " is not stored here");
  const Bytes data = bytes.part(0, total);  // proves that the bytes exist before anything is allocated
  if (!is_widened(element) && !big_endian) {
    if (auto view = aligned_view(data, bytes_of(element))) {
      if (element == Element::boolean) {
        check_booleans(format, data.place(0), view.get(), static_cast<std::int64_t>(total));
      }
      // Only to carry it: the tensor is read-only.
      void* const memory = const_cast<std::byte*>(view.get());
      return Tensor::wrap(
          memory, shape, *storage, cpu_device, [view = std::move(view)] {}, true);
    }
  }
  Tensor tensor = Tensor::empty(shape, *storage);
  if (tensor.numel() == 0) return tensor;
  auto* const to = static_cast<std::byte*>(tensor.mutable_data());
  if (!is_widened(element)) {
    data.read(0, to, total);
    decode_piece(format, data.place(0), to, tensor.numel(), element, big_endian, to);
    return tensor;
  }
  const std::size_t item = bytes_of(element);
  const std::size_t wide = size_of(*storage);
  for (std::uint64_t done = 0; done < total;) {
    const auto count = std::min<std::uint64_t>(total - done, kPieceBytes);
    const auto piece = data.read(done, count);
    decode_piece(format, data.place(done), piece.data(), static_cast<std::int64_t>(count / item), element, big_endian,
                 to + done / item * wide);
    done += count;
  }
  return tensor;
}

Tensor gather(const Tensor& flat, const Shape& shape, const std::vector<std::int64_t>& strides, std::int64_t offset) {
  Tensor result = Tensor::empty(shape, flat.dtype());
  if (result.numel() == 0) return result;
  const auto bytes = static_cast<std::int64_t>(size_of(flat.dtype()));
  const auto* const from = static_cast<const std::byte*>(flat.data());
  auto* to = static_cast<std::byte*>(result.mutable_data());
  const std::size_t rank = shape.size();
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t at = offset;
  for (std::int64_t n = 0; n < result.numel(); ++n, to += bytes) {
    std::memcpy(to, from + at * bytes, static_cast<std::size_t>(bytes));
    for (std::size_t i = rank; i-- > 0;) {
      at += strides[i];
      if (++index[i] < shape[i]) break;
      at -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
  return result;
}

void decode(const char* format, std::uint64_t place, const std::byte* from, std::int64_t count, Element element,
            bool big_endian, Tensor& to) {
  decode_piece(format, place, from, count, element, big_endian, static_cast<std::byte*>(to.mutable_data()));
}

}  // namespace sparsert::files
