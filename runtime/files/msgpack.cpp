// runtime/files/msgpack.cpp — reading MessagePack as Flax and msgpack-numpy write it.
//
// Maps nest, and the keys on the way to an array are its name. Flax has an extension type for arrays, and cuts large
// ones into chunks; msgpack-numpy has a map with the keys nd, type, kind, shape and data. The file is read from front
// to back and nothing is allocated by a count: every value that is announced has to be there.
#include "runtime/files/msgpack.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <utility>

#include "runtime/files/element.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/npy.hpp"
#include "runtime/files/stream.hpp"

namespace sparsert::files::msgpack {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::uint64_t kMaxKeyBytes = 4096;
constexpr std::size_t kMaxNameBytes = 4096;
constexpr std::uint64_t kMaxMetadataBytes = 4096;
constexpr std::size_t kMaxMetadata = 1000;
constexpr std::string_view kChunked = "__msgpack_chunked_array__";
constexpr std::uint8_t kFlaxArray = 1;
constexpr std::uint8_t kFlaxComplex = 2;
constexpr std::uint8_t kFlaxScalar = 3;

enum class Kind { nil, boolean, integer, real, text, binary, array, map, extension };

/// The head of a value: what it is, and how much follows.
struct Head {
  Kind kind = Kind::nil;
  std::uint64_t length = 0;  // bytes of text, binary and extension, elements of an array, pairs of a map
  std::int64_t integer = 0;  // also of a boolean
  double real = 0;
  std::uint8_t type = 0;  // of an extension
};

/// One tensor: pieces of its data in order.
struct Array {
  std::vector<Bytes> pieces;
  std::optional<Element> element;
  bool big_endian = false;
};

constexpr std::array<Element, 17> kElements{
    Element::boolean,     Element::int8,       Element::uint8,   Element::int16,     Element::uint16,
    Element::int32,       Element::uint32,     Element::int64,   Element::uint64,    Element::float16,
    Element::bfloat16,    Element::float32,    Element::float64, Element::complex64, Element::complex128,
    Element::float8_e4m3, Element::float8_e5m2};

std::optional<Element> element_named(std::string_view name) {
  const auto* const found =
      std::find_if(kElements.begin(), kElements.end(), [&](Element e) { return name == name_of(e); });
  if (found == kElements.end()) return std::nullopt;
  return *found;
}

Head read_head(ByteStream& stream) {
  const auto byte = stream.read<std::uint8_t>();
  const auto integer = [](std::int64_t value) { return Head{.kind = Kind::integer, .integer = value}; };
  const auto sized = [](Kind kind, std::uint64_t length) { return Head{.kind = kind, .length = length}; };
  const auto extension = [&](std::uint64_t length) {
    return Head{.kind = Kind::extension, .length = length, .type = stream.read<std::uint8_t>()};
  };
  if (byte < 0x80) return integer(byte);
  if (byte < 0x90) return sized(Kind::map, byte & 0xfu);
  if (byte < 0xa0) return sized(Kind::array, byte & 0xfu);
  if (byte < 0xc0) return sized(Kind::text, byte & 0x1fu);
  if (byte >= 0xe0) return integer(static_cast<std::int8_t>(byte));
  switch (byte) {
    case 0xc0: return {};
    case 0xc2: return {.kind = Kind::boolean, .integer = 0};
    case 0xc3: return {.kind = Kind::boolean, .integer = 1};
    case 0xc4: return sized(Kind::binary, stream.read<std::uint8_t>());
    case 0xc5: return sized(Kind::binary, stream.read_big<std::uint16_t>());
    case 0xc6: return sized(Kind::binary, stream.read_big<std::uint32_t>());
    case 0xc7: return extension(stream.read<std::uint8_t>());
    case 0xc8: return extension(stream.read_big<std::uint16_t>());
    case 0xc9: return extension(stream.read_big<std::uint32_t>());
    case 0xca: return {.kind = Kind::real, .real = std::bit_cast<float>(stream.read_big<std::uint32_t>())};
    case 0xcb: return {.kind = Kind::real, .real = std::bit_cast<double>(stream.read_big<std::uint64_t>())};
    case 0xcc: return integer(stream.read<std::uint8_t>());
    case 0xcd: return integer(stream.read_big<std::uint16_t>());
    case 0xce: return integer(stream.read_big<std::uint32_t>());
    case 0xcf: {
      const auto value = stream.read_big<std::uint64_t>();
      if (value > static_cast<std::uint64_t>(INT64_MAX)) stream.fail("an integer is not less than 2^63");
      return integer(static_cast<std::int64_t>(value));
    }
    case 0xd0: return integer(static_cast<std::int8_t>(stream.read<std::uint8_t>()));
    case 0xd1: return integer(static_cast<std::int16_t>(stream.read_big<std::uint16_t>()));
    case 0xd2: return integer(static_cast<std::int32_t>(stream.read_big<std::uint32_t>()));
    case 0xd3: return integer(static_cast<std::int64_t>(stream.read_big<std::uint64_t>()));
    case 0xd4: return extension(1);
    case 0xd5: return extension(2);
    case 0xd6: return extension(4);
    case 0xd7: return extension(8);
    case 0xd8: return extension(16);
    case 0xd9: return sized(Kind::text, stream.read<std::uint8_t>());
    case 0xda: return sized(Kind::text, stream.read_big<std::uint16_t>());
    case 0xdb: return sized(Kind::text, stream.read_big<std::uint32_t>());
    case 0xdc: return sized(Kind::array, stream.read_big<std::uint16_t>());
    case 0xdd: return sized(Kind::array, stream.read_big<std::uint32_t>());
    case 0xde: return sized(Kind::map, stream.read_big<std::uint16_t>());
    case 0xdf: return sized(Kind::map, stream.read_big<std::uint32_t>());
    default: stream.fail("the byte 0xc1, which no value begins with");
  }
}

/// Throws where more is announced than there are bytes left: each value takes one at least.
void check_count(const ByteStream& stream, const Head& head) {
  const std::uint64_t least = head.kind == Kind::map ? 2 : 1;
  if (head.length > stream.remaining() / least) {
    stream.fail(std::to_string(head.length) + " values are announced, and " + std::to_string(stream.remaining()) +
                " bytes are left");
  }
}

Shape read_shape(ByteStream& stream) {
  const Head head = read_head(stream);
  if (head.kind != Kind::array || head.length > 64) stream.fail("a shape is no list of at most 64 sizes");
  Shape shape;
  for (std::uint64_t i = 0; i < head.length; ++i) {
    const Head size = read_head(stream);
    if (size.kind != Kind::integer || size.integer < 0) stream.fail("a size is no integer of at least 0");
    shape.push_back(size.integer);
  }
  return shape;
}

std::string read_text(ByteStream& stream, const char* what) {
  const Head head = read_head(stream);
  if (head.kind != Kind::text && head.kind != Kind::binary) stream.fail(std::string(what) + " is no string");
  return stream.text(head.length, kMaxKeyBytes);
}

Bytes read_binary(ByteStream& stream) {
  const Head head = read_head(stream);
  if (head.kind != Kind::binary && head.kind != Kind::text) stream.fail("the data of an array is no binary");
  return stream.part(head.length);
}

class MsgpackReader : public Reader {
 public:
  explicit MsgpackReader(const Source& source)
      : stream_(kFormat, source.bytes), max_tensors_(source.options->max_tensors) {
    read_value("", 0);
    if (stream_.remaining() != 0) stream_.fail("bytes behind the value");
    // Without a magic number a few bytes of anything may be numbers in a list: what holds no array is no model.
    if (arrays_.empty()) stream_.fail("there is no array in it");
  }

  Tensor read(std::size_t position) const override {
    const Array& array = arrays_[position];
    const TensorInfo& tensor = info.tensors[position];
    if (array.pieces.size() == 1) {
      return read_tensor(kFormat, array.pieces[0], tensor.shape, *array.element, array.big_endian);
    }
    Tensor whole = Tensor::empty(tensor.shape, *tensor.storage);
    if (whole.numel() == 0) return whole;
    auto* to = static_cast<std::byte*>(whole.mutable_data());
    for (const Bytes& piece : array.pieces) {
      const auto count = static_cast<std::int64_t>(piece.size() / bytes_of(*array.element));
      const Tensor part = read_tensor(kFormat, piece, {count}, *array.element, array.big_endian);
      std::copy_n(static_cast<const std::byte*>(part.data()), part.nbytes(), to);
      to += part.nbytes();
    }
    return whole;
  }

 private:
  static std::string below(const std::string& name, std::string_view key) {
    return name.empty() ? std::string(key) : name + "." + std::string(key);
  }

  void read_value(const std::string& name, int depth) {
    if (depth == kMaxDepth) stream_.fail("values nest deeper than 64");
    if (name.size() > kMaxNameBytes) stream_.fail("a name of more than 4,096 bytes");
    const Head head = read_head(stream_);
    switch (head.kind) {
      case Kind::map: return read_map(name, head, depth);
      case Kind::array:
        check_count(stream_, head);
        for (std::uint64_t i = 0; i < head.length; ++i) read_value(below(name, std::to_string(i)), depth + 1);
        return;
      case Kind::extension: return read_extension(name, head);
      case Kind::text:
        if (head.length > kMaxMetadataBytes) return stream_.skip(head.length);
        return keep(name, stream_.text(head.length, kMaxMetadataBytes));
      case Kind::binary: return stream_.skip(head.length);
      case Kind::integer: return keep(name, std::to_string(head.integer));
      case Kind::boolean: return keep(name, head.integer != 0 ? "true" : "false");
      case Kind::real: {
        std::array<char, 32> text;
        return keep(name, {text.data(), std::to_chars(text.data(), text.data() + text.size(), head.real).ptr});
      }
      case Kind::nil: return;
    }
  }

  void keep(const std::string& name, const std::string& value) {
    if (info.metadata.size() < kMaxMetadata && is_utf8(name) && is_utf8(value)) info.metadata.emplace(name, value);
  }

  void read_map(const std::string& name, const Head& head, int depth) {
    check_count(stream_, head);
    for (std::uint64_t i = 0; i < head.length; ++i) {
      const std::string key = read_key();
      if (i == 0 && key == kChunked) return read_chunked(name, head.length);
      if (i == 0 && key == "nd" && is_boolean()) return read_numpy(name, head.length);
      read_value(below(name, key), depth + 1);
    }
  }

  std::string read_key() {
    const Head head = read_head(stream_);
    if (head.kind == Kind::integer) return std::to_string(head.integer);
    if (head.kind != Kind::text && head.kind != Kind::binary) stream_.fail("a key is neither a string nor an integer");
    std::string key = stream_.text(head.length, kMaxKeyBytes);
    if (!is_utf8(key)) stream_.fail("the key " + in_quotes(key) + " is not valid UTF-8");
    return key;
  }

  bool is_boolean() { return stream_.peek() == 0xc2 || stream_.peek() == 0xc3; }

  /// Flax: (shape, name of the type, bytes), packed in an extension.
  void read_extension(const std::string& name, const Head& head) {
    const Bytes payload = stream_.part(head.length);
    if (head.type == kFlaxArray || head.type == kFlaxScalar) {
      TensorInfo tensor;
      Array array;
      read_packed(payload, tensor, array);
      // Only of these is the order of the dimensions known: Flax's dense layers and 2-D convolutions.
      if (name.ends_with("kernel"))
        tensor.axes = tensor.shape.size() == 2 ? "IO" : tensor.shape.size() == 4 ? "HWIO" : "";
      add(name, std::move(tensor), std::move(array));
    } else if (head.type != kFlaxComplex) {
      stream_.fail("an extension of type " + std::to_string(head.type) + ", which is no array");
    }
  }

  static void read_packed(const Bytes& payload, TensorInfo& tensor, Array& array) {
    ByteStream stream(kFormat, payload);
    const Head head = read_head(stream);
    if (head.kind != Kind::array || head.length != 3) stream.fail("an array that is not shape, type and bytes");
    tensor.shape = read_shape(stream);
    tensor.dtype = read_text(stream, "the type of an array");
    array.element = element_named(tensor.dtype);
    array.pieces.push_back(read_binary(stream));
    if (stream.remaining() != 0) stream.fail("bytes behind an array");
    check_size(stream, tensor, array);
  }

  /// Throws unless the pieces have the bytes of the shape; for a type that is not read the shape cannot be proven.
  static void check_size(const ByteStream& stream, TensorInfo& tensor, const Array& array) {
    std::uint64_t got = 0;
    for (const Bytes& piece : array.pieces) got += piece.size();
    tensor.nbytes = got;
    const std::uint64_t place = stream.bytes().place(stream.position());
    const std::uint64_t expected = tensor_bytes(kFormat, place, tensor.shape, array.element.value_or(Element::uint8));
    if (array.element && expected != got) {
      stream.fail("an array of shape " + to_string(tensor.shape) + " and type " + in_quotes(tensor.dtype) + " has " +
                  std::to_string(got) + " bytes, expected " + std::to_string(expected));
    }
  }

  /// Flax: {"__msgpack_chunked_array__": True, "shape": {"0": ..}, "chunks": {"0": array, ..}}.
  void read_chunked(const std::string& name, std::uint64_t pairs) {
    if (pairs != 3 || !is_boolean()) stream_.fail("a malformed array in chunks");
    static_cast<void>(read_head(stream_));
    TensorInfo tensor;
    Array array;
    for (const std::string_view wanted : {"shape", "chunks"}) {
      if (read_key() != wanted) stream_.fail("an array in chunks without " + std::string(wanted));
      const Head map = read_head(stream_);
      if (map.kind != Kind::map) stream_.fail("a malformed array in chunks");
      check_count(stream_, map);
      for (std::uint64_t i = 0; i < map.length; ++i) {
        if (read_key() != std::to_string(i)) stream_.fail("the chunks of an array are not in order");
        const Head head = read_head(stream_);
        if (wanted == "shape") {
          if (head.kind != Kind::integer || head.integer < 0 || tensor.shape.size() == 64) {
            stream_.fail("a size is no integer of at least 0");
          }
          tensor.shape.push_back(head.integer);
          continue;
        }
        if (head.kind != Kind::extension || head.type != kFlaxArray) stream_.fail("a chunk is no array");
        TensorInfo chunk;
        Array piece;
        read_packed(stream_.part(head.length), chunk, piece);
        if (i != 0 && piece.element != array.element) stream_.fail("the chunks of an array are of several types");
        array.element = piece.element;
        tensor.dtype = chunk.dtype;
        array.pieces.push_back(piece.pieces[0]);
      }
    }
    check_size(stream_, tensor, array);
    add(name, std::move(tensor), std::move(array));
  }

  /// msgpack-numpy: {nd: True, type: "<f4", kind: "", shape: [..], data: bytes}; a scalar has no kind and no shape.
  void read_numpy(const std::string& name, std::uint64_t pairs) {
    const bool is_array = read_head(stream_).integer != 0;
    if (pairs != (is_array ? 5u : 3u)) stream_.fail("a malformed NumPy array");
    TensorInfo tensor;
    Array array;
    if (read_key() != "type") stream_.fail("a NumPy array without type");
    if (const Head head = read_head(stream_); head.kind == Kind::text || head.kind == Kind::binary) {
      tensor.dtype = stream_.text(head.length, kMaxKeyBytes);
    } else {
      stream_.fail("the type of a NumPy array is no string");
    }
    bool is_object = false;
    if (is_array) {
      if (read_key() != "kind") stream_.fail("a NumPy array without kind");
      is_object = !read_text(stream_, "the kind of a NumPy array").empty();
      if (read_key() != "shape") stream_.fail("a NumPy array without shape");
      tensor.shape = read_shape(stream_);
    }
    if (read_key() != "data") stream_.fail("a NumPy array without data");
    array.pieces.push_back(read_binary(stream_));
    const auto type = npy::element_of(tensor.dtype);
    if (type && !is_object) {
      array.element = type->first;
      array.big_endian = type->second;
    } else {
      tensor.refusal = "is of type " + in_quotes(tensor.dtype) + ", which is not stored here";
    }
    check_size(stream_, tensor, array);
    add(name, std::move(tensor), std::move(array));
  }

  void add(const std::string& name, TensorInfo tensor, Array array) {
    if (arrays_.size() == max_tensors_) stream_.fail("more than " + std::to_string(max_tensors_) + " tensors");
    tensor.name = name;
    if (array.element) tensor.storage = storage_of(*array.element);
    if (!is_utf8(tensor.dtype)) stream_.fail("the type " + in_quotes(tensor.dtype) + " is not valid UTF-8");
    if (!array.pieces.empty()) tensor.offset = array.pieces[0].place(0);
    info.tensors.push_back(std::move(tensor));
    arrays_.push_back(std::move(array));
  }

  ByteStream stream_;
  std::uint64_t max_tensors_;
  std::vector<Array> arrays_;
};

}  // namespace

// There is no magic number: a file of this kind is one map or list.
bool sniff(const Source& source) {
  if (source.bytes.size() < 2) return false;
  const auto first = std::to_integer<unsigned>(source.bytes.read(0, 1)[0]);
  return (first > 0x80 && first < 0xa0 && first != 0x90) || (first >= 0xdc && first <= 0xdf);
}

std::unique_ptr<Reader> open(const Source& source) { return std::make_unique<MsgpackReader>(source); }

}  // namespace sparsert::files::msgpack
