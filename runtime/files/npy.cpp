// runtime/files/npy.cpp — reading NumPy's array files.
//
// The header is a Python dict literal with exactly three keys; a tokenizer of strings, integers, tuples and the two
// booleans is all it takes. Arrays of Python objects are pickles: they are listed, and never read.
#include "runtime/files/npy.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/zip.hpp"

namespace sparsert::files::npy {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};
constexpr std::string_view kSuffix = ".npy";
constexpr int kMaxNesting = 16;  // of a structured descr, which is only skipped

struct Code {
  std::string_view name;  // kind and bytes, behind the byte order
  Element element;
};

constexpr std::array<Code, 16> kCodes{{
    {"b1", Element::boolean},
    {"i1", Element::int8},
    {"u1", Element::uint8},
    {"i2", Element::int16},
    {"u2", Element::uint16},
    {"i4", Element::int32},
    {"u4", Element::uint32},
    {"i8", Element::int64},
    {"u8", Element::uint64},
    {"f2", Element::float16},
    {"f4", Element::float32},
    {"f8", Element::float64},
    {"c8", Element::complex64},
    {"c16", Element::complex128},
    // NumPy has no bfloat16: ml_dtypes and JAX write it as two bytes without a type.
    {"V2", Element::bfloat16},
    {"bfloat16", Element::bfloat16},
}};

/// A Python literal of the few kinds that a header has, read from left to right.
class Literal {
 public:
  Literal(std::string_view text, std::uint64_t place) : text_(text), place_(place) {}

  [[noreturn]] void fail(const std::string& reason) const { malformed(kNpy, place_ + at_, "the header: " + reason); }

  bool skip(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!skip(c)) fail(std::string("expected '") + c + "'");
  }

  char peek() {
    skip_spaces();
    return at_ == text_.size() ? '\0' : text_[at_];
  }

  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a string");
    ++at_;
    const std::size_t end = text_.find(quote, at_);
    if (end == text_.npos) fail("a string does not end");
    const std::string_view text = text_.substr(at_, end - at_);
    if (text.find('\\') != text.npos) fail("a string with an escape");
    at_ = end + 1;
    return std::string(text);
  }

  bool boolean() {
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      peek();
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    fail("expected True or False");
  }

  Shape shape() {
    expect('(');
    Shape shape;
    while (!skip(')')) {
      if (shape.size() == kMaxRank) fail("more than " + std::to_string(kMaxRank) + " dimensions");
      shape.push_back(size());
      if (skip(',')) continue;
      expect(')');
      if (shape.size() == 1) fail("a tuple of one number needs a comma");
      break;
    }
    return shape;
  }

  /// Skips a list or tuple of strings, integers and such.
  void skip_nested() {
    int depth = 0;
    do {
      const char c = peek();
      if (c == '[' || c == '(') {
        if (++depth > kMaxNesting) fail("nests too deep");
        ++at_;
      } else if (c == ']' || c == ')') {
        --depth;
        ++at_;
      } else if (c == '\'' || c == '"') {
        string();
      } else if (c == ',' || (c >= '0' && c <= '9')) {
        ++at_;
      } else {
        fail("an unexpected character in descr");
      }
    } while (depth > 0);
  }

  void end() {
    skip_spaces();
    if (at_ != text_.size()) fail("text behind it");
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  std::int64_t size() {
    peek();
    std::int64_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text_[at_] - '0', &value)) {
        fail("a dimension is not less than 2^63");
      }
    }
    if (at_ == begin) fail("expected a dimension");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2
    return value;
  }

  std::string_view text_;
  std::uint64_t place_;
  std::size_t at_ = 0;
};

std::string_view without_order(std::string_view descr) {
  return descr.substr(!descr.empty() && std::string_view("<>|=").find(descr.front()) != std::string_view::npos ? 1 : 0);
}

void set_type(Header& header, const Literal& literal) {
  const std::string& descr = header.descr;
  const std::string_view code = without_order(descr);
  if (code.empty()) literal.fail("descr is empty");
  if (const auto type = element_of(descr)) {
    header.element = type->first;
    header.big_endian = type->second;
    if (descr.front() == '|' && bytes_of(type->first) > 1 && code != "V2") literal.fail("descr has no byte order");
    return;
  }
  header.refusal = code.front() == 'O' ? "is an array of Python objects (a pickle), which is never read"
                                       : "has the type " + in_quotes(descr) + ", which is not stored here";
}

Header parse_dictionary(std::string_view text, std::uint64_t place) {
  Header header;
  Literal literal(text, place);
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
  const auto once = [&](bool& seen) {
    if (seen) literal.fail("a key is there twice");
    seen = true;
  };
  literal.expect('{');
  while (!literal.skip('}')) {
    const std::string key = literal.string();
    literal.expect(':');
    if (key == "descr") {
      once(has_descr);
      if (literal.peek() == '[' || literal.peek() == '(') {
        literal.skip_nested();
        header.refusal = "is a structured array, which is not stored here";
      } else {
        header.descr = literal.string();
        set_type(header, literal);
      }
    } else if (key == "fortran_order") {
      once(has_order);
      header.fortran_order = literal.boolean();
    } else if (key == "shape") {
      once(has_shape);
      header.shape = literal.shape();
    } else {
      literal.fail("the key " + in_quotes(key) + ", expected descr, fortran_order or shape");
    }
    if (!literal.skip(',')) {
      literal.expect('}');
      break;
    }
  }
  literal.end();
  if (!has_descr || !has_order || !has_shape) literal.fail("descr, fortran_order or shape is missing");
  return header;
}

TensorInfo info_of(const Header& header, std::string name, std::uint64_t offset) {
  TensorInfo tensor;
  tensor.name = std::move(name);
  tensor.dtype = header.descr.empty() ? "structured" : header.descr;
  if (header.element) tensor.storage = storage_of(*header.element);
  tensor.shape = header.shape;
  tensor.offset = offset;
  tensor.nbytes = header.nbytes;
  tensor.refusal = header.refusal;
  return tensor;
}

/// Throws unless the array has exactly the bytes of its shape.
void check_size(const Header& header, std::uint64_t place, std::uint64_t size) {
  const std::uint64_t got = size - header.data;
  if (!header.element || got == header.nbytes) return;
  malformed(kNpy, place + header.data,
            "the shape " + to_string(header.shape) + " of " + header.descr + " has " + std::to_string(header.nbytes) +
                " bytes, got " + std::to_string(got));
}

class NpyReader : public Reader {
 public:
  explicit NpyReader(const Source& source) : bytes_(source.bytes) {
    const auto head = bytes_.read(0, std::min(bytes_.size(), kMaxPrefixBytes + kMaxHeaderBytes));
    header_ = parse(head, bytes_.place(0));
    check_size(header_, bytes_.place(0), bytes_.size());
    info.tensors.push_back(info_of(header_, "array", header_.data));
  }

  Tensor read(std::size_t) const override { return npy::read(header_, bytes_); }

 private:
  Bytes bytes_;
  Header header_;
};

class NpzReader : public Reader {
 public:
  explicit NpzReader(const Source& source) : archive_(source.bytes) {
    if (archive_.members().size() > source.options->max_tensors) {
      malformed(kNpz, 0, "has more than " + std::to_string(source.options->max_tensors) + " members");
    }
    for (const ZipArchive::Member& member : archive_.members()) {
      if (!member.name.ends_with(kSuffix)) {
        if (source.options->strict) malformed(kNpz, member.header, in_quotes(member.name) + " is no array");
        continue;
      }
      // Member by member, so that one that is no array names itself.
      const auto head = archive_.head(member, kMaxPrefixBytes + kMaxHeaderBytes);
      Header header = parse(head, member.data);
      check_size(header, member.data, member.size);
      const std::string name = member.name.substr(0, member.name.size() - kSuffix.size());
      info.tensors.push_back(info_of(header, name, member.data + (member.method == 0 ? header.data : 0)));
      arrays_.push_back({&member, std::move(header)});
    }
  }

  Tensor read(std::size_t position) const override {
    const Array& array = arrays_[position];
    const Bytes bytes = archive_.open(*array.member, UINT64_MAX);
    archive_.check(*array.member);
    return npy::read(array.header, bytes);
  }

 private:
  struct Array {
    const ZipArchive::Member* member;
    Header header;
  };

  ZipArchive archive_;
  std::vector<Array> arrays_;
};

}  // namespace

std::optional<std::pair<Element, bool>> element_of(std::string_view descr) {
  const std::string_view code = without_order(descr);
  const auto* const found = std::find_if(kCodes.begin(), kCodes.end(), [&](const Code& c) { return c.name == code; });
  if (found == kCodes.end()) return std::nullopt;
  return std::pair{found->element, descr.front() == '>'};
}

Header parse(std::span<const std::byte> head, std::uint64_t place) {
  ByteCursor cursor(kNpy, head, place);
  const auto magic = cursor.take(kMagic.size());
  if (std::string_view(reinterpret_cast<const char*>(magic.data()), magic.size()) != kMagic) {
    malformed(kNpy, place, "does not begin with \\x93NUMPY");
  }
  const auto major = cursor.read<std::uint8_t>();
  const auto minor = cursor.read<std::uint8_t>();
  if (major < 1 || major > 3 || minor != 0) {
    malformed(kNpy, place + kMagic.size(),
              "version " + std::to_string(major) + "." + std::to_string(minor) + ", expected 1.0, 2.0 or 3.0");
  }
  const std::uint64_t length = major == 1 ? cursor.read<std::uint16_t>() : cursor.read<std::uint32_t>();
  if (length > kMaxHeaderBytes) {
    malformed(
        kNpy, cursor.offset(),
        "the header has " + std::to_string(length) + " bytes, expected at most " + std::to_string(kMaxHeaderBytes));
  }
  const std::uint64_t text_place = cursor.offset();
  const auto text = cursor.take(length);
  Header header =
      parse_dictionary(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()), text_place);
  header.data = cursor.offset() - place;
  if (header.element) header.nbytes = tensor_bytes(kNpy, text_place, header.shape, *header.element);
  // A shape that no tensor could have is refused even where its type is.
  else static_cast<void>(tensor_bytes(kNpy, text_place, header.shape, Element::uint8));
  return header;
}

Tensor read(const Header& header, const Bytes& array) {
  const Bytes data = array.part(header.data, header.nbytes);
  if (!header.fortran_order || header.shape.size() < 2) {
    return read_tensor(kNpy, data, header.shape, *header.element, header.big_endian);
  }
  const Shape stored(header.shape.rbegin(), header.shape.rend());
  std::vector<std::int64_t> strides(header.shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < strides.size(); ++i) {
    strides[i] = stride;
    stride *= header.shape[i];
  }
  const Tensor flat = read_tensor(kNpy, data, stored, *header.element, header.big_endian);
  return gather(flat, header.shape, strides, 0);
}

bool sniff_npy(const Source& source) { return begins_with(source.bytes, kMagic); }

bool sniff_npz(const Source& source) {
  if (!ZipArchive::sniff(source.bytes)) return false;
  const ZipArchive archive(source.bytes);
  const auto& members = archive.members();
  return members.empty() || std::any_of(members.begin(), members.end(), [](const ZipArchive::Member& member) {
           return member.name.ends_with(kSuffix);
         });
}

std::unique_ptr<Reader> open_npy(const Source& source) { return std::make_unique<NpyReader>(source); }
std::unique_ptr<Reader> open_npz(const Source& source) { return std::make_unique<NpzReader>(source); }

}  // namespace sparsert::files::npy
