// runtime/files/gguf.cpp — reading GGUF.
//
// A header of keys and values, a table of tensors, and their data, each at the running sum of the padded sizes before
// it. Sizes are listed with the fastest first. Blocks of quantized values are read as float32 (gguf_blocks.hpp); what
// has no rule there is listed and not read.
#include "runtime/files/gguf.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <set>
#include <utility>

#include "runtime/files/element.hpp"
#include "runtime/files/gguf_blocks.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/stream.hpp"

namespace sparsert::files::gguf {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kMinVersion = 2;
constexpr std::uint32_t kMaxVersion = 3;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::uint64_t kMaxKeyBytes = 65'535;
constexpr std::uint64_t kMaxNameBytes = 4096;
constexpr std::uint64_t kMaxMetadataBytes = 4096;  // of a value that is kept as metadata
constexpr std::uint64_t kMaxValues = 100'000;
constexpr std::uint32_t kDefaultAlignment = 32;
constexpr std::uint32_t kMaxAlignment = 1 << 16;

struct Type {
  std::uint32_t code;
  const char* name;
  std::uint32_t values;  // of a block
  std::uint32_t bytes;   // of a block
};

constexpr std::array<Type, 34> kTypes{{
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
}};

std::optional<Element> element_of(std::uint32_t code) {
  switch (code) {
    case 0: return Element::float32;
    case 1: return Element::float16;
    case 24: return Element::int8;
    case 25: return Element::int16;
    case 26: return Element::int32;
    case 27: return Element::int64;
    case 28: return Element::float64;
    case 30: return Element::bfloat16;
    default: return std::nullopt;
  }
}

enum class Value : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

std::uint64_t bytes_of_value(Value type) {
  switch (type) {
    case Value::u8:
    case Value::i8:
    case Value::boolean: return 1;
    case Value::u16:
    case Value::i16: return 2;
    case Value::u32:
    case Value::i32:
    case Value::f32: return 4;
    default: return 8;
  }
}

template <class T>
std::string number(T value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

class GgufReader : public Reader {
 public:
  explicit GgufReader(const Source& source) : bytes_(source.bytes), stream_(kFormat, source.bytes) {
    stream_.skip(kMagic.size());
    const auto version = stream_.read<std::uint32_t>();
    if (version < kMinVersion || version > kMaxVersion) {
      stream_.fail((version & 0xffffu) == 0 && version != 0
                       ? "the file is big-endian, which is not read"
                       : "version " + std::to_string(version) + ", expected 2 or 3");
    }
    const auto tensors = stream_.read<std::uint64_t>();
    const auto values = stream_.read<std::uint64_t>();
    if (tensors > source.options->max_tensors) {
      stream_.fail(std::to_string(tensors) + " tensors, expected at most " +
                   std::to_string(source.options->max_tensors));
    }
    if (values > kMaxValues) stream_.fail(std::to_string(values) + " keys, expected at most 100,000");
    read_values(values);
    read_tensors(tensors);
    place_tensors();
  }

  Tensor read(std::size_t position) const override {
    const TensorInfo& tensor = info.tensors[position];
    const std::uint32_t code = codes_[position];
    const Bytes data = bytes_.part(tensor.offset - bytes_.place(0), tensor.nbytes);
    if (const auto element = element_of(code)) return read_tensor(kFormat, data, tensor.shape, *element);
    return read_blocks(code, data, tensor.shape);
  }

 private:
  static Tensor read_blocks(std::uint32_t code, const Bytes& data, const Shape& shape) {
    constexpr std::uint64_t kBlocksAtOnce = 2'048;
    const Type& type = *std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& one) { return one.code == code; });
    const std::uint64_t block_bytes = type.bytes;
    Tensor tensor = Tensor::empty(shape, DType::float32);
    if (tensor.numel() == 0) return tensor;
    float* out = tensor.mutable_span<float>().data();
    for (std::uint64_t done = 0; done < data.size();) {
      const auto piece = data.read(done, std::min(data.size() - done, kBlocksAtOnce * block_bytes));
      for (std::uint64_t at = 0; at < piece.size(); at += block_bytes, out += type.values) {
        dequantize_block(code, piece.data() + at, out);
      }
      done += piece.size();
    }
    return tensor;
  }

  std::string scalar(Value type) {
    switch (type) {
      case Value::u8: return std::to_string(stream_.read<std::uint8_t>());
      case Value::i8: return std::to_string(static_cast<std::int8_t>(stream_.read<std::uint8_t>()));
      case Value::u16: return std::to_string(stream_.read<std::uint16_t>());
      case Value::i16: return std::to_string(static_cast<std::int16_t>(stream_.read<std::uint16_t>()));
      case Value::u32: return std::to_string(stream_.read<std::uint32_t>());
      case Value::i32: return std::to_string(static_cast<std::int32_t>(stream_.read<std::uint32_t>()));
      case Value::f32: return number(std::bit_cast<float>(stream_.read<std::uint32_t>()));
      case Value::u64: return std::to_string(stream_.read<std::uint64_t>());
      case Value::i64: return std::to_string(static_cast<std::int64_t>(stream_.read<std::uint64_t>()));
      case Value::f64: return number(std::bit_cast<double>(stream_.read<std::uint64_t>()));
      case Value::boolean: {
        const auto value = stream_.read<std::uint8_t>();
        if (value > 1) stream_.fail("a boolean is " + std::to_string(value) + ", expected 0 or 1");
        return value != 0 ? "true" : "false";
      }
      default: return {};
    }
  }

  /// What is kept of a value as metadata; none for long strings and for arrays.
  std::optional<std::string> read_value(Value type) {
    if (type == Value::string) {
      const auto length = stream_.read<std::uint64_t>();
      if (length <= kMaxMetadataBytes) return stream_.text(length, kMaxMetadataBytes);
      stream_.skip(length);
      return std::nullopt;
    }
    if (type != Value::array) return scalar(type);
    const auto items = read_type();
    const auto count = stream_.read<std::uint64_t>();
    if (items == Value::array) stream_.fail("an array of arrays");
    if (items == Value::string) {
      if (count > stream_.remaining() / 8) stream_.fail("an array longer than the file");
      for (std::uint64_t i = 0; i < count; ++i) stream_.skip(stream_.read<std::uint64_t>());
      return std::nullopt;
    }
    if (count > stream_.remaining() / bytes_of_value(items)) stream_.fail("an array longer than the file");
    stream_.skip(count * bytes_of_value(items));
    return std::nullopt;
  }

  Value read_type() {
    const auto type = stream_.read<std::uint32_t>();
    if (type > static_cast<std::uint32_t>(Value::f64)) stream_.fail("a value of type " + std::to_string(type));
    return static_cast<Value>(type);
  }

  void read_values(std::uint64_t count) {
    std::set<std::string> keys;
    for (std::uint64_t i = 0; i < count; ++i) {
      std::string key = stream_.text(stream_.read<std::uint64_t>(), kMaxKeyBytes);
      if (!is_utf8(key) || key.empty()) stream_.fail("a key that is empty or not valid UTF-8");
      const Value type = read_type();
      const auto value = read_value(type);
      if (key == "general.alignment") set_alignment(type, value.value_or(""));
      if (value && is_utf8(*value)) info.metadata.emplace(key, *value);
      const auto place = keys.insert(std::move(key));
      if (!place.second) stream_.fail("the key " + in_quotes(*place.first) + " is there twice");
    }
  }

  void set_alignment(Value type, const std::string& value) {
    std::uint32_t alignment = 0;
    std::from_chars(value.data(), value.data() + value.size(), alignment);
    if (type != Value::u32 || !std::has_single_bit(alignment) || alignment > kMaxAlignment) {
      stream_.fail("general.alignment is " + in_quotes(value) + ", expected a power of two up to 65536");
    }
    alignment_ = alignment;
  }

  void read_tensors(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      TensorInfo tensor;
      tensor.name = stream_.text(stream_.read<std::uint64_t>(), kMaxNameBytes);
      const auto rank = stream_.read<std::uint32_t>();
      if (rank > kMaxDimensions)
        stream_.fail("a tensor of " + std::to_string(rank) + " dimensions, expected at most 4");
      for (std::uint32_t d = 0; d < rank; ++d) {
        const auto size = stream_.read<std::uint64_t>();
        if (size > static_cast<std::uint64_t>(INT64_MAX)) stream_.fail("a dimension is not less than 2^63");
        tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(size));
      }
      const auto code = stream_.read<std::uint32_t>();
      tensor.offset = stream_.read<std::uint64_t>();
      set_type(tensor, code);
      codes_.push_back(code);
      info.tensors.push_back(std::move(tensor));
    }
  }

  void set_type(TensorInfo& tensor, std::uint32_t code) {
    const auto* const type =
        std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& one) { return one.code == code; });
    if (type == kTypes.end()) {
      stream_.fail("tensor " + in_quotes(tensor.name) + " is of type " + std::to_string(code) + ", which is unknown");
    }
    tensor.dtype = type->name;
    const std::uint64_t values = tensor_bytes(kFormat, bytes_.place(stream_.position()), tensor.shape, Element::uint8);
    static_cast<void>(tensor_bytes(kFormat, bytes_.place(stream_.position()), tensor.shape, Element::float64));
    const auto fastest = static_cast<std::uint64_t>(tensor.shape.empty() ? 1 : tensor.shape.back());
    if (fastest % type->values != 0) {
      stream_.fail("tensor " + in_quotes(tensor.name) + ": rows of " + std::to_string(fastest) +
                   " values are no whole blocks of " + std::to_string(type->values));
    }
    tensor.nbytes = values / type->values * type->bytes;
    if (const auto element = element_of(code)) tensor.storage = storage_of(*element);
    if (is_dequantized(code)) tensor.storage = DType::float32;
  }

  std::uint64_t padded(std::uint64_t offset) const {
    const std::uint64_t rest = offset % alignment_;
    return rest == 0 ? offset : offset + (alignment_ - rest);
  }

  void place_tensors() {
    const std::uint64_t end = stream_.position();
    const std::uint64_t start = padded(end);
    // A file without tensors may end with its header.
    if (start > bytes_.size() && !info.tensors.empty()) stream_.fail("the data is missing");
    std::uint64_t reached = 0;
    for (TensorInfo& tensor : info.tensors) {
      const auto refuse = [&](const std::string& reason) {
        malformed(kFormat, bytes_.place(start + reached), "tensor " + in_quotes(tensor.name) + ": " + reason);
      };
      if (tensor.offset != reached) {
        refuse("begins at " + std::to_string(tensor.offset) + ", expected " + std::to_string(reached));
      }
      if (tensor.nbytes > bytes_.size() - start || reached > bytes_.size() - start - tensor.nbytes) {
        refuse("its " + std::to_string(tensor.nbytes) + " bytes do not fit the file");
      }
      tensor.offset = bytes_.place(start + reached);
      reached = padded(start + reached + tensor.nbytes) - start;
    }
    if (!info.tensors.empty() && bytes_.size() - start > reached) {
      malformed(kFormat, bytes_.place(start + reached), "bytes behind the last tensor");
    }
  }

  Bytes bytes_;
  ByteStream stream_;
  std::uint32_t alignment_ = kDefaultAlignment;
  std::vector<std::uint32_t> codes_;
};

}  // namespace

bool sniff(const Source& source) { return begins_with(source.bytes, kMagic); }

std::unique_ptr<Reader> open(const Source& source) { return std::make_unique<GgufReader>(source); }

}  // namespace sparsert::files::gguf
