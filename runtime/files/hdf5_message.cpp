// runtime/files/hdf5_message.cpp — what the messages of an HDF5 object say: type, shape, layout, filters, attributes.
#include <algorithm>
#include <array>

#include "runtime/files/bytes.hpp"
#include "runtime/files/hdf5_fields.hpp"
#include "runtime/files/hdf5_file.hpp"
#include "runtime/files/hdf5_heap.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/utf8.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr std::uint64_t kMaxTexts = 1'000'000;  // of one attribute
constexpr std::uint64_t kMaxText = std::uint64_t{64} << 20;
constexpr std::size_t kMaxFilters = 32;

constexpr std::uint64_t padded(std::uint64_t bytes) { return (bytes + 7) / 8 * 8; }

std::string number_name(char kind, std::uint32_t bytes, bool big_endian) {
  return (bytes == 1 ? "|" : big_endian ? ">" : "<") + std::string(1, kind) + std::to_string(bytes);
}

std::optional<Element> integer_element(std::uint32_t bytes, bool is_signed) {
  switch (bytes) {
    case 1: return is_signed ? Element::int8 : Element::uint8;
    case 2: return is_signed ? Element::int16 : Element::uint16;
    case 4: return is_signed ? Element::int32 : Element::uint32;
    case 8: return is_signed ? Element::int64 : Element::uint64;
    default: return std::nullopt;
  }
}

struct FloatLayout {
  std::uint32_t bytes;
  std::array<std::uint64_t, 5> bits;  // exponent's place and size, mantissa's place and size, bias
  Element element;
};

constexpr std::array<FloatLayout, 4> kFloats{{
    {2, {10, 5, 0, 10, 15}, Element::float16},
    {2, {7, 8, 0, 7, 127}, Element::bfloat16},
    {4, {23, 8, 0, 23, 127}, Element::float32},
    {8, {52, 11, 0, 52, 1023}, Element::float64},
}};

void float_type(Fields& fields, std::uint64_t bits, Datatype& type) {
  type.big_endian = (bits & 1) != 0;
  const std::uint64_t offset = fields.number(2);
  const std::uint64_t precision = fields.number(2);
  std::array<std::uint64_t, 5> layout{};
  for (std::size_t i = 0; i < 4; ++i) layout[i] = fields.number(1);
  layout[4] = fields.number(4);
  const bool is_vax = (bits & 0x40) != 0;
  for (const FloatLayout& known : kFloats) {
    if (is_vax || offset != 0 || precision != 8 * std::uint64_t{type.bytes}) continue;
    if (known.bytes == type.bytes && known.bits == layout) type.element = known.element;
  }
  type.kind = type.element ? TypeClass::number : TypeClass::other;
  type.name = !type.element                       ? "a float of " + std::to_string(type.bytes) + " bytes"
              : type.element == Element::bfloat16 ? "bfloat16"
                                                  : number_name('f', type.bytes, type.big_endian);
}

void integer_type(Fields& fields, std::uint64_t bits, Datatype& type) {
  type.big_endian = (bits & 1) != 0;
  const bool is_signed = (bits & 8) != 0;
  const std::uint64_t offset = fields.number(2);
  const std::uint64_t precision = fields.number(2);
  if (offset == 0 && precision == 8 * std::uint64_t{type.bytes}) type.element = integer_element(type.bytes, is_signed);
  type.kind = type.element ? TypeClass::number : TypeClass::other;
  type.name = type.element ? number_name(is_signed ? 'i' : 'u', type.bytes, type.big_endian)
                           : "an integer of " + std::to_string(type.bytes) + " bytes";
}

}  // namespace

Datatype File::datatype(Range data) {
  Fields fields(window_, data);
  const std::uint64_t first = fields.number(1);
  const std::uint64_t bits = fields.number(3);
  Datatype type;
  type.bytes = static_cast<std::uint32_t>(fields.number(4));
  if (type.bytes == 0) window_.fail(data.begin, "a type has 0 bytes");
  static constexpr std::array<const char*, 12> kNames{"integer",     "float",           "time",     "text",
                                                      "bits",        "opaque",          "compound", "reference",
                                                      "enumeration", "variable length", "array",    "complex"};
  const auto kind = static_cast<std::size_t>(first & 15);
  if (kind >= kNames.size() || first >> 4 == 0 || first >> 4 > 5)
    window_.fail(data.begin, "a type is of class " + std::to_string(kind) + ", version " + std::to_string(first >> 4));
  type.name = kNames[kind];
  switch (kind) {
    case 0: integer_type(fields, bits, type); break;
    case 1: float_type(fields, bits, type); break;
    case 3: type.kind = TypeClass::text; break;
    case 8: {
      // What h5py makes of a bool: FALSE = 0, TRUE = 1, of one byte.
      const std::uint64_t count = bits & 0xffff;
      constexpr std::uint64_t kNumberType = 12;
      const bool names_padded = first >> 4 < 3;
      const std::uint64_t names = kNumberType + (names_padded ? 16 : 11);
      if (count == 2 && type.bytes == 1 && fields.left() >= names + 2 && (window_.number(fields.at(), 1) & 15) == 0) {
        const std::uint64_t at = fields.at() + kNumberType;
        const std::string text = window_.text({at, at + (names_padded ? 16 : 11)});
        const std::string expected =
            names_padded ? std::string("FALSE\0\0\0TRUE\0\0\0\0", 16) : std::string("FALSE\0TRUE\0", 11);
        if (text == expected && window_.number(fields.at() + names, 2) == 0x0100) {
          type.kind = TypeClass::number;
          type.element = Element::boolean;
          type.name = "|b1";
        }
      }
      break;
    }
    case 9:
      if ((bits & 15) == 1) {
        if (type.bytes != 16)
          window_.fail(data.begin, "a text of variable length has " + std::to_string(type.bytes) + " bytes");
        type.kind = TypeClass::variable_text;
        type.name = "text";
      }
      break;
    default: break;
  }
  return type;
}

Dataspace File::dataspace(Range data) {
  Fields fields(window_, data);
  const std::uint64_t version = fields.number(1);
  const std::uint64_t rank = fields.number(1);
  const bool has_maximum = (fields.number(1) & 1) != 0;
  Dataspace space;
  if (version == 1) {
    fields.skip(5);
  } else if (version == 2) {
    const std::uint64_t kind = fields.number(1);
    if (kind > 2) window_.fail(data.begin, "a dataspace is of type " + std::to_string(kind));
    space.is_null = kind == 2;
    if (kind != 1 && rank != 0) window_.fail(data.begin, "a scalar has " + std::to_string(rank) + " dimensions");
  } else {
    window_.fail(data.begin, "a dataspace has the version " + std::to_string(version));
  }
  if (rank > kMaxRank) window_.fail(data.begin, "a dataset has " + std::to_string(rank) + " dimensions");
  for (std::uint64_t d = 0; d < rank; ++d) {
    const std::uint64_t size = fields.number(8);
    if (size > static_cast<std::uint64_t>(INT64_MAX))
      window_.fail(data.begin, "a dimension is " + std::to_string(size));
    space.shape.push_back(static_cast<std::int64_t>(size));
    space.maximum.push_back(size);
  }
  for (std::uint64_t d = 0; has_maximum && d < rank; ++d) {
    const std::uint64_t most = fields.number(8);
    if (most < space.maximum[d])
      window_.fail(data.begin,
                   "a dimension is " + std::to_string(space.shape[d]) + ", at most " + std::to_string(most));
    space.maximum[d] = most;
  }
  return space;
}

void File::filters(Range data, Dataset& dataset) {
  Fields fields(window_, data);
  const std::uint64_t version = fields.number(1);
  const std::uint64_t count = fields.number(1);
  if (version < 1 || version > 2) window_.fail(data.begin, "filters have the version " + std::to_string(version));
  if (count > kMaxFilters) window_.fail(data.begin, std::to_string(count) + " filters");
  if (version == 1) fields.skip(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    Filter filter;
    filter.id = static_cast<unsigned>(fields.number(2));
    const bool has_name = version == 1 || filter.id >= 256;
    const std::uint64_t name = has_name ? fields.number(2) : 0;
    fields.skip(2);
    const std::uint64_t values = fields.number(2);
    fields.skip(version == 1 ? padded(name) : name);
    for (std::uint64_t k = 0; k < values; ++k) filter.values.push_back(static_cast<std::uint32_t>(fields.number(4)));
    if (version == 1 && values % 2 == 1) fields.skip(4);
    constexpr unsigned kFletcher32 = 3;
    if (filter.id == 0 || filter.id > kFletcher32) {
      dataset.refusal = "went through filter " + std::to_string(filter.id) + ", which is not read";
    }
    dataset.layout.filters.push_back(std::move(filter));
  }
}

void File::layout(const Message& message, Dataset& dataset) {
  Fields fields(window_, message.data);
  hdf5::Layout& out = dataset.layout;
  const std::uint64_t version = fields.number(1);
  if (version < 3 || version > 5) {
    dataset.refusal = "has a layout of version " + std::to_string(version) + ", which is not read";
    return;
  }
  const std::uint64_t kind = fields.number(1);
  switch (kind) {
    case 0: {
      out.kind = hdf5::Layout::Kind::compact;
      const std::uint64_t bytes = fields.number(2);
      out.place = fields.take(bytes);
      return;
    }
    case 1: {
      const std::uint64_t address = fields.number(8);
      const std::uint64_t bytes = fields.number(8);
      if (address == kUndefined) return;
      if (address > window_.size() || bytes > window_.size() - address) {
        window_.fail(message.data.begin, "a dataset has " + std::to_string(bytes) + " bytes at offset " +
                                             std::to_string(address) + " of a file of " +
                                             std::to_string(window_.size()));
      }
      out.place = {address, address + bytes};
      return;
    }
    case 2: out.kind = hdf5::Layout::Kind::chunked; break;
    case 3: window_.fail(message.data.begin, "a virtual dataset, whose elements are in other files");
    default: window_.fail(message.data.begin, "a dataset has a layout of class " + std::to_string(kind));
  }
  if (version > 3) return find_chunks(window_, fields.take(fields.left()), dataset);
  const std::uint64_t rank = fields.number(1);
  if (rank != dataset.space.shape.size() + 1) {
    fields.fail("a chunk has " + std::to_string(rank) + " - 1 dimensions, its dataset " +
                std::to_string(dataset.space.shape.size()));
  }
  const std::uint64_t tree = fields.number(8);
  for (std::uint64_t d = 0; d < rank; ++d) out.chunk.push_back(fields.number(4));
  if (tree == kUndefined) return;
  BTree(window_, 1, 8 + 8 * rank).walk(tree, [&](std::uint64_t key, std::uint64_t child) {
    Chunk chunk;
    chunk.bytes = window_.number(key, 4);
    chunk.skipped = static_cast<std::uint32_t>(window_.number(key + 4, 4));
    for (std::uint64_t d = 0; d + 1 < rank; ++d) chunk.offset.push_back(window_.number(key + 8 + 8 * d, 8));
    chunk.address = child;
    out.chunks.push_back(std::move(chunk));
  });
}

/// The chunks are in the file, cover the dataset, each once, and are not much larger than what is stored.
void File::check_chunks(Dataset& dataset) const {
  hdf5::Layout& out = dataset.layout;
  const Shape& shape = dataset.space.shape;
  const auto refuse = [&](const std::string& reason) {
    window_.fail(out.chunks.empty() ? 0 : out.chunks[0].address, reason);
  };
  std::uint64_t chunk_bytes = 1;
  std::uint64_t expected = 1;
  bool overflow = out.chunk.back() != dataset.type.bytes;
  for (std::size_t d = 0; d < out.chunk.size(); ++d) {
    if (out.chunk[d] == 0) refuse("a chunk has a dimension of 0");
    overflow = overflow || __builtin_mul_overflow(chunk_bytes, out.chunk[d], &chunk_bytes);
    if (d == shape.size()) break;
    const auto size = static_cast<std::uint64_t>(shape[d]);
    const std::uint64_t count = size / out.chunk[d] + (size % out.chunk[d] != 0 ? 1 : 0);
    overflow = overflow || __builtin_mul_overflow(expected, count, &expected);
  }
  if (overflow) refuse("chunks do not fit the type or overflow 2^64 bytes");
  out.chunk_bytes = chunk_bytes;
  if (out.chunks.size() != expected) {
    refuse("a dataset has " + std::to_string(out.chunks.size()) + " chunks, expected " + std::to_string(expected));
  }
  bool is_deflated = false;
  for (const Filter& filter : out.filters) is_deflated = is_deflated || filter.id == 1;
  std::uint64_t stored = 0;
  std::set<std::vector<std::uint64_t>> places;
  for (const Chunk& chunk : out.chunks) {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (chunk.offset[d] % out.chunk[d] != 0 || chunk.offset[d] >= static_cast<std::uint64_t>(shape[d]))
        refuse("a chunk begins at " + std::to_string(chunk.offset[d]) + " in dimension " + std::to_string(d) + " of " +
               to_string(shape));
    }
    if (!places.insert(chunk.offset).second) refuse("a chunk is there twice");
    if (chunk.address > window_.size() || chunk.bytes > window_.size() - chunk.address)
      refuse("a chunk has " + std::to_string(chunk.bytes) + " bytes at offset " + std::to_string(chunk.address) +
             " of a file of " + std::to_string(window_.size()));
    // Without deflate a chunk is as large as what is stored, but for a checksum.
    const bool whole = !is_deflated && (chunk_bytes > chunk.bytes || chunk.bytes - chunk_bytes > 4);
    if (whole) refuse("a chunk has " + std::to_string(chunk.bytes) + " bytes, expected " + std::to_string(chunk_bytes));
    stored += chunk.bytes;
    // Deflate reaches 1032 : 1; what is far above real models is refused.
    constexpr std::uint64_t kMaxRatio = 1032;
    constexpr std::uint64_t kFreeChunk = 64;
    if (chunk_bytes / kMaxRatio > chunk.bytes + kFreeChunk)
      refuse("a chunk of " + std::to_string(chunk.bytes) + " bytes says that it has " + std::to_string(chunk_bytes));
  }
  constexpr std::uint64_t kFreeTotal = std::uint64_t{64} << 20;
  constexpr std::uint64_t kMaxTotalRatio = 100;
  std::uint64_t total = 0;
  if (__builtin_mul_overflow(chunk_bytes, expected, &total) || (total > kFreeTotal && total / kMaxTotalRatio > stored))
    refuse("a dataset of " + std::to_string(stored) + " stored bytes says that it has " + std::to_string(total));
}

Dataset File::dataset_as(const Object& object, std::optional<Element> element) {
  const Message* const type = object.find(message::datatype);
  const Message* const space = object.find(message::dataspace);
  const Message* const place = object.find(message::layout);
  if (type == nullptr || space == nullptr || place == nullptr)
    window_.fail(object.address, "an object is neither a group nor a whole dataset");
  Dataset out;
  out.type = datatype(type->data);
  if (element) {
    out.type.kind = TypeClass::number;
    out.type.element = element;
    out.type.name = name_of(*element);
  }
  out.space = dataspace(space->data);
  const auto bits = shape_bits(out.space.shape, 8 * std::uint64_t{out.type.bytes});
  if (!bits || *bits >> 60 != 0)
    window_.fail(space->data.begin, "the shape " + to_string(out.space.shape) + " is too large");
  const std::uint64_t bytes = out.space.is_null ? 0 : *bits / 8;
  if (const Message* const message = object.find(message::filters)) filters(message->data, out);
  layout(*place, out);
  if (out.type.kind != TypeClass::number) {
    out.refusal = "is " + out.type.name + ", which is no tensor";
  } else if (out.space.is_null) {
    out.refusal = "has no shape";
  }
  if (!out.refusal.empty()) return out;
  if (out.layout.kind == hdf5::Layout::Kind::chunked) {
    check_chunks(out);
  } else if (out.layout.place.size() != bytes) {
    window_.fail(place->data.begin, "a dataset has " + std::to_string(out.layout.place.size()) + " bytes, expected " +
                                        std::to_string(bytes) + " for " + out.type.name + " " +
                                        to_string(out.space.shape));
  }
  return out;
}

Attribute File::attribute(Range data) {
  Fields fields(window_, data);
  const std::uint64_t version = fields.number(1);
  if (version < 1 || version > 3) window_.fail(data.begin, "an attribute has the version " + std::to_string(version));
  const std::uint64_t flags = fields.number(1);
  if (version > 1 && flags != 0) window_.fail(data.begin, "an attribute shares its type, which is not read");
  const std::uint64_t name_bytes = fields.number(2);
  const std::uint64_t type_bytes = fields.number(2);
  const std::uint64_t space_bytes = fields.number(2);
  if (version == 3) fields.skip(1);
  const auto place = [&](std::uint64_t bytes) { return version == 1 ? padded(bytes) : bytes; };
  Attribute out;
  const Range name = fields.take(place(name_bytes));
  out.name = window_.text({name.begin, name.begin + name_bytes});
  out.name.resize(std::min(out.name.size(), out.name.find('\0')));
  if (!is_utf8(out.name)) window_.fail(data.begin, "the name of an attribute is not UTF-8");
  const Range type = fields.take(place(type_bytes));
  out.type = datatype({type.begin, type.begin + type_bytes});
  const Range space = fields.take(place(space_bytes));
  out.space = dataspace({space.begin, space.begin + space_bytes});
  const auto bits = shape_bits(out.space.shape, 8 * std::uint64_t{out.type.bytes});
  if (!bits) window_.fail(data.begin, "an attribute has the shape " + to_string(out.space.shape));
  out.data = out.space.is_null ? Range{fields.at(), fields.at()} : fields.take(*bits / 8);
  return out;
}

std::vector<Attribute> File::attributes(const Object& object) {
  std::vector<Attribute> out;
  for (const Message& message : object.messages) {
    if (message.type == message::attribute) out.push_back(attribute(message.data));
    if (message.type != message::attribute_info) continue;
    Fields fields(window_, message.data);
    fields.skip(1);
    const std::uint64_t flags = fields.number(1);
    if ((flags & 1) != 0) fields.skip(2);
    const std::uint64_t heap = fields.number(8);
    const std::uint64_t index = fields.number(8);
    if (heap == kUndefined) continue;
    constexpr unsigned kAttributesByName = 8;
    constexpr std::uint64_t kIdentifier = 8;
    FractalHeap objects(window_, heap);
    each_record(window_, index, kAttributesByName, [&](Range record) {
      if (record.size() < kIdentifier) window_.fail(record.begin, "a record of an attribute is too short");
      const Range place = objects.find({record.begin, record.begin + kIdentifier});
      count_header_bytes(place);
      out.push_back(attribute(place));
    });
  }
  return out;
}

Range File::global_object(std::uint64_t collection, std::uint32_t index) {
  const auto known = collections_.find(collection);
  if (known == collections_.end()) {
    if (window_.number(collection, 4) != 0x4c4f4347 || window_.number(collection + 4, 1) != 1)  // "GCOL"
      window_.fail(collection, "expected a collection of a global heap");
    const std::uint64_t size = window_.number(collection + 8, 8);
    window_.check({collection, collection + size});
    count_header_bytes({collection, collection + size});
    std::map<std::uint32_t, Range> objects;
    constexpr std::uint64_t kHeader = 16;
    for (std::uint64_t at = collection + kHeader; at + kHeader <= collection + size;) {
      const auto number = static_cast<std::uint32_t>(window_.number(at, 2));
      const std::uint64_t bytes = window_.number(at + 8, 8);
      if (number == 0) break;  // what is left is free
      if (bytes > collection + size - at - kHeader) window_.fail(at, "an object is longer than its collection");
      objects[number] = {at + kHeader, at + kHeader + bytes};
      at += std::min(kHeader + padded(bytes), collection + size - at);
    }
    collections_.emplace(collection, std::move(objects));
  }
  const auto& objects = collections_.at(collection);
  const auto found = objects.find(index);
  if (found == objects.end()) window_.fail(collection, "a collection has no object " + std::to_string(index));
  return found->second;
}

std::vector<std::string> File::texts(const Attribute& attribute) {
  std::vector<std::string> out;
  const bool is_variable = attribute.type.kind == TypeClass::variable_text;
  if (!is_variable && attribute.type.kind != TypeClass::text) return out;
  const std::uint64_t count = attribute.data.size() / attribute.type.bytes;
  if (count > kMaxTexts) window_.fail(attribute.data.begin, "an attribute has " + std::to_string(count) + " texts");
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = attribute.data.begin + i * attribute.type.bytes;
    Range place{at, at + attribute.type.bytes};
    if (is_variable) {
      const std::uint64_t bytes = window_.number(at, 4);
      const std::uint64_t collection = window_.number(at + 4, 8);
      place = {0, 0};
      if (collection != 0 && bytes != 0) {
        place = global_object(collection, static_cast<std::uint32_t>(window_.number(at + 12, 4)));
        if (bytes > place.size()) window_.fail(at, "a text is longer than its object in the heap");
        place.end = place.begin + bytes;
      }
    }
    // Many texts may be the same object: together they are no longer than some times the file.
    text_bytes_ += place.size();
    if (place.size() > kMaxText || text_bytes_ > kFreeTextBytes + 16 * window_.size())
      window_.fail(at, "the texts of attributes are too long");
    std::string text = window_.text(place);
    text.resize(std::min(text.size(), text.find('\0')));
    if (!is_utf8(text)) window_.fail(at, "the attribute " + in_quotes(attribute.name) + " is not UTF-8");
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace sparsert::files::hdf5
