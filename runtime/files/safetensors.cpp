// runtime/files/safetensors.cpp — reading the header of safetensors.
//
// The header is parsed event by event, without a document in memory: the schema is three levels deep, so anything
// that is not the next thing it allows is an error at once, and nothing nests. Then every rule of the format's
// reference implementation is checked, before a byte of data is read: the tensors cover the data without hole,
// overlap or trailing byte, and each has exactly the bytes of its shape.
#include "runtime/files/safetensors.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files::safetensors {
namespace {

constexpr std::array<TypeName, 22> kTypeNames{{
    {"BOOL", 8, Element::boolean},
    {"U8", 8, Element::uint8},
    {"I32", 32, Element::int32},
    {"I64", 64, Element::int64},
    {"F16", 16, Element::float16},
    {"BF16", 16, Element::bfloat16},
    {"F32", 32, Element::float32},
    {"F64", 64, Element::float64},
    {"I8", 8, Element::int8},
    {"I16", 16, Element::int16},
    {"U16", 16, Element::uint16},
    {"U32", 32, Element::uint32},
    {"U64", 64, Element::uint64},
    {"C64", 64, Element::complex64},
    {"F8_E4M3", 8, Element::float8_e4m3},
    {"F8_E5M2", 8, Element::float8_e5m2},
    {"F8_E8M0", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"F4", 4, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
}};

constexpr int kNumberOverflow = 406;  // the parser's code for a number that a double cannot hold
constexpr const char* kNoUnsigned = "a number that is no 64-bit unsigned integer";

/// An entry of the header; its offsets still count from the start of the data.
struct Entry {
  TensorInfo info;
  unsigned bits = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Counts what the JSON parser has consumed, which its events do not tell.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  // An input iterator has both, whichever of them this version of the parser uses.
  [[maybe_unused]] friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
    return a.at_ == b.at_;
  }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** reached_;
};

/// Receives the parser's events, and builds entries. One state per thing that may come next.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const char* begin, const char** reached, std::uint64_t max_tensors)
      : begin_(begin), reached_(reached), max_tensors_(max_tensors) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    switch (next_) {
      case Next::root: return go(Next::name);
      case Next::metadata: return go(Next::metadata_key);
      case Next::entry: return go(Next::field);
      default: unexpected("an object");
    }
  }

  bool end_object() override {
    switch (next_) {
      case Next::name: return go(Next::nothing);
      case Next::metadata_key: return go(Next::name);
      case Next::field: finish_entry(); return go(Next::name);
      default: unexpected("the end of an object");
    }
  }

  bool start_array(std::size_t) override {
    switch (next_) {
      case Next::shape: return go(Next::size);
      case Next::offsets: return go(Next::offset);
      default: unexpected("an array");
    }
  }

  bool end_array() override {
    switch (next_) {
      case Next::size: return go(Next::field);
      case Next::offset:
        if (offsets_ != 2) fail(of_entry() + "data_offsets has " + std::to_string(offsets_) + " numbers, expected 2");
        return go(Next::field);
      default: unexpected("the end of an array");
    }
  }

  bool key(std::string& name) override {
    switch (next_) {
      case Next::name: return top_level(name);
      case Next::field: return field(name);
      case Next::metadata_key:
        if (metadata.contains(name)) fail(std::string(kMetadataKey) + " has the key " + in_quotes(name) + " twice");
        if (metadata.size() == kMaxMetadataEntries) {
          fail(std::string(kMetadataKey) + " has more than " + std::to_string(kMaxMetadataEntries) + " keys");
        }
        metadata_key_ = std::move(name);
        return go(Next::metadata_value);
      default: unexpected("a key");
    }
  }

  bool string(std::string& text) override {
    switch (next_) {
      case Next::metadata_value:
        metadata.emplace(std::move(metadata_key_), std::move(text));
        return go(Next::metadata_key);
      case Next::dtype: set_dtype(text); return go(Next::field);
      default: unexpected("a string");
    }
  }

  bool number_unsigned(std::uint64_t value) override {
    switch (next_) {
      case Next::size: add_size(value); return true;
      case Next::offset:
        if (offsets_ < 2) (offsets_ == 0 ? entry_.begin : entry_.end) = value;
        ++offsets_;
        return true;
      default: unexpected("a number");
    }
  }

  // "-0", "1.0", "1e3" and everything from 2^64 on come here: none of them is an unsigned integer.
  bool number_integer(std::int64_t) override { unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { unexpected(kNoUnsigned); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool null() override { unexpected("null"); }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    if (error.id == kNumberOverflow) unexpected(kNoUnsigned);
    // Of the parser's message, what it met; not the text of the file that it quotes at any length.
    const std::string_view message = error.what();
    const std::size_t dash = message.find(" - ");
    std::string reason = "the header is not valid JSON";
    if (dash != message.npos)
      reason += " (" + std::string(message.substr(dash + 3, message.find(';', dash) - dash - 3)) + ")";
    fail(reason);
  }

 private:
  enum class Next {
    root,
    name,
    metadata,
    metadata_key,
    metadata_value,
    entry,
    field,
    dtype,
    shape,
    size,
    offsets,
    offset,
    nothing
  };

  bool go(Next next) {
    next_ = next;
    return true;
  }

  [[noreturn]] void fail(const std::string& reason) const {
    malformed(kFormat, kPrefixBytes + static_cast<std::uint64_t>(*reached_ - begin_), reason);
  }

  [[noreturn]] void unexpected(const char* got) const {
    const bool in_entry = next_ >= Next::entry && next_ <= Next::offset;
    fail((in_entry ? of_entry() : std::string()) + "got " + got + ", expected " + expected());
  }

  const char* expected() const {
    switch (next_) {
      case Next::root: return "an object";
      case Next::name: return "a name";
      case Next::metadata: return "an object of strings as __metadata__";
      case Next::metadata_key: return "a key of __metadata__";
      case Next::metadata_value: return "a string as value of __metadata__";
      case Next::entry: return "an object with dtype, shape and data_offsets";
      case Next::field: return "dtype, shape or data_offsets";
      case Next::dtype: return "a string as dtype";
      case Next::shape: return "an array as shape";
      case Next::size: return "an unsigned integer in shape";
      case Next::offsets: return "an array as data_offsets";
      case Next::offset: return "an unsigned integer in data_offsets";
      case Next::nothing: return "nothing more";
    }
    return "";
  }

  std::string of_entry() const { return "tensor " + in_quotes(entry_.info.name) + ": "; }

  bool top_level(std::string& name) {
    if (name == kMetadataKey) {
      if (has_metadata_) fail("the header has " + std::string(kMetadataKey) + " twice");
      has_metadata_ = true;
      return go(Next::metadata);
    }
    if (entries.size() >= max_tensors_) fail("the header has more than " + std::to_string(max_tensors_) + " tensors");
    entry_ = {};
    entry_.info.name = std::move(name);
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_ = 0;
    return go(Next::entry);
  }

  bool field(const std::string& name) {
    if (name == "dtype") return once(has_dtype_, name, Next::dtype);
    if (name == "shape") return once(has_shape_, name, Next::shape);
    if (name == "data_offsets") return once(has_offsets_, name, Next::offsets);
    fail(of_entry() + "got the key " + in_quotes(name) + ", expected dtype, shape or data_offsets");
  }

  bool once(bool& seen, const std::string& name, Next next) {
    if (seen) fail(of_entry() + "has " + name + " twice");
    seen = true;
    return go(next);
  }

  void set_dtype(const std::string& name) {
    const auto type =
        std::find_if(kTypeNames.begin(), kTypeNames.end(), [&](const TypeName& t) { return t.name == name; });
    if (type == kTypeNames.end()) fail(of_entry() + "dtype is " + in_quotes(name) + ", which the format does not have");
    entry_.info.dtype = name;
    if (type->element) entry_.info.storage = storage_of(*type->element);
    entry_.bits = type->bits;
  }

  void add_size(std::uint64_t value) {
    Shape& shape = entry_.info.shape;
    if (shape.size() == kMaxRank) fail(of_entry() + "has more than " + std::to_string(kMaxRank) + " dimensions");
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      fail(of_entry() + "a dimension is " + std::to_string(value) + ", expected less than 2^63");
    }
    shape.push_back(static_cast<std::int64_t>(value));
  }

  void finish_entry() {
    const char* const missing = !has_dtype_     ? "dtype"
                                : !has_shape_   ? "shape"
                                : !has_offsets_ ? "data_offsets"
                                                : nullptr;
    if (missing != nullptr) fail(of_entry() + "has no " + missing);
    entry_.info.shape.shrink_to_fit();
    entries.push_back(std::move(entry_));
  }

  const char* begin_;
  const char** reached_;
  std::uint64_t max_tensors_;
  Next next_ = Next::root;
  Entry entry_;
  std::string metadata_key_;
  std::size_t offsets_ = 0;
  bool has_metadata_ = false;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
};

/// The header's text, once its length is proven to fit the limit and the file.
std::string read_header(const Bytes& file, std::uint64_t max_header_bytes) {
  std::array<std::byte, kPrefixBytes> prefix;
  if (file.size() < kPrefixBytes) {
    malformed(kFormat, 0, "the file has " + std::to_string(file.size()) + " bytes, expected at least 8");
  }
  file.read(0, prefix.data(), prefix.size());
  const auto length = ByteCursor(kFormat, prefix).read<std::uint64_t>();
  const std::uint64_t limit = std::min(max_header_bytes, kMaxHeaderBytes);
  if (length > limit) {
    malformed(kFormat, 0,
              "the header has " + std::to_string(length) + " bytes, expected at most " + std::to_string(limit));
  }
  if (length > file.size() - kPrefixBytes) {
    malformed(kFormat, 0,
              "the header has " + std::to_string(length) + " bytes, expected at most the " +
                  std::to_string(file.size() - kPrefixBytes) + " that follow in the file");
  }
  std::string header(static_cast<std::size_t>(length), '\0');
  file.read(kPrefixBytes, header.data(), length);
  if (!header.starts_with('{')) malformed(kFormat, kPrefixBytes, "the header does not begin with '{'");
  // The JSON parser takes a zero byte for the end of its input; what is behind one would go unseen.
  if (const std::size_t zero = header.find('\0'); zero != header.npos) {
    malformed(kFormat, kPrefixBytes + zero, "the header has a zero byte");
  }
  return header;
}

void check_names(const std::vector<Entry>& entries) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto name = [&](std::uint32_t i) -> const std::string& { return entries[i].info.name; };
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return name(a) < name(b); });
  const auto twice = std::adjacent_find(order.begin(), order.end(),
                                        [&](std::uint32_t a, std::uint32_t b) { return name(a) == name(b); });
  if (twice != order.end())
    malformed(kFormat, kPrefixBytes, "the header has the tensor " + in_quotes(name(*twice)) + " twice");
}

std::uint64_t checked_bytes(const Entry& entry, std::uint64_t offset) {
  const std::string of_entry = "tensor " + in_quotes(entry.info.name) + ": ";
  const auto bits = shape_bits(entry.info.shape, entry.bits);
  if (!bits) malformed(kFormat, offset, of_entry + "shape " + to_string(entry.info.shape) + " overflows 2^64 bits");
  if (*bits % 8 != 0)
    malformed(kFormat, offset, of_entry + "has " + std::to_string(*bits) + " bits, expected whole bytes");
  return *bits / 8;
}

/// The tensors, in the order of their data, cover `data_bytes` bytes from `data_start` on: no hole, no overlap, no
/// rest.
void check_places(std::vector<Entry>& entries, std::uint64_t data_start, std::uint64_t data_bytes) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(entries[a].begin, entries[a].end) < std::pair(entries[b].begin, entries[b].end);
  });
  std::uint64_t reached = 0;
  for (const std::uint32_t i : order) {
    Entry& entry = entries[i];
    const std::uint64_t offset = data_start + reached;
    const auto refuse = [&](const std::string& reason) {
      malformed(kFormat, offset,
                "tensor " + in_quotes(entry.info.name) + ": data_offsets are [" + std::to_string(entry.begin) + ", " +
                    std::to_string(entry.end) + "], " + reason);
    };
    if (entry.begin != reached) {
      refuse("expected to begin at " + std::to_string(reached) +
             (entry.begin < reached ? " (an overlap)" : " (a hole)"));
    }
    if (entry.end < entry.begin) refuse("expected the end not before the begin");
    if (entry.end > data_bytes) refuse("expected to end in the " + std::to_string(data_bytes) + " bytes of data");
    const std::uint64_t bytes = checked_bytes(entry, offset);
    if (entry.end - entry.begin != bytes) {
      refuse("expected " + std::to_string(bytes) + " bytes for " + entry.info.dtype + " " +
             to_string(entry.info.shape));
    }
    entry.info.offset = data_start + entry.begin;
    entry.info.nbytes = bytes;
    reached = entry.end;
  }
  if (reached != data_bytes) {
    malformed(kFormat, data_start + reached, std::to_string(data_bytes - reached) + " bytes belong to no tensor");
  }
}

/// The element type of an entry that has a storage type.
Element element_named(const std::string& name) {
  return *std::find_if(kTypeNames.begin(), kTypeNames.end(), [&](const TypeName& type) {
            return type.name == name;
          })->element;
}

class SafetensorsReader : public Reader {
 public:
  explicit SafetensorsReader(const Source& source) : bytes_(source.bytes) {
    std::vector<Entry> entries;
    std::uint64_t data_start = 0;
    {
      const std::string header = read_header(bytes_, source.options->max_header_bytes);
      data_start = kPrefixBytes + header.size();
      const char* const begin = header.data();
      const char* reached = begin;
      HeaderHandler handler(begin, &reached, source.options->max_tensors);
      nlohmann::json::sax_parse(CountingIterator(begin, &reached), CountingIterator(begin + header.size(), &reached),
                                &handler);
      entries = std::move(handler.entries);
      info.metadata = std::move(handler.metadata);
    }
    check_names(entries);
    check_places(entries, data_start, bytes_.size() - data_start);
    info.tensors.reserve(entries.size());
    for (Entry& entry : entries) info.tensors.push_back(std::move(entry.info));
  }

  Tensor read(std::size_t position) const override {
    const TensorInfo& tensor = info.tensors[position];
    return read_tensor(kFormat, bytes_.part(tensor.offset, tensor.nbytes), tensor.shape, element_named(tensor.dtype));
  }

 private:
  Bytes bytes_;
};

}  // namespace

std::span<const TypeName> type_names() noexcept { return kTypeNames; }

bool sniff(const Source& source) { return begins_with(source.bytes, "{", kPrefixBytes); }

bool is_plausible(const Source& source) {
  if (source.bytes.size() < kPrefixBytes) return true;
  return ByteCursor(kFormat, source.bytes.read(0, kPrefixBytes)).read<std::uint64_t>() <= kMaxHeaderBytes;
}

std::unique_ptr<Reader> open(const Source& source) { return std::make_unique<SafetensorsReader>(source); }

}  // namespace sparsert::files::safetensors
