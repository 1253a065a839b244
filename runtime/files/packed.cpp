// runtime/files/packed.cpp — states without their zeros: bitmap, compressed rows or N:M, whichever takes fewest bytes.
//
// Every encoding stores the elements that have a bit set, in row-major order, as NAME::values. Where they are:
//   bitmap  NAME::bits, uint8: one bit an element of the whole tensor, the lowest first
//   csr     NAME::row_offsets (rows + 1) and NAME::columns, of the matrix (first dimension, the rest); int32 or int64,
//           columns uint8 where there are at most 256
//   nm      NAME::positions, uint8: for each group of m elements along the last dimension n positions of b bits each,
//           b = ceil(log2 m), packed from the lowest bit. A group has n values; what is left of them is zero.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "runtime/files/packed.hpp"
#include "sparsert/packed.hpp"

namespace sparsert {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr int kGroups[] = {4, 8, 16, 32};
constexpr std::int64_t kWorthwhile = 256;  // bytes to save: about what the names and the description of the parts take

[[noreturn]] void fail(const std::string& what) { throw FileError("packed tensors: " + what); }

/// A tensor's elements as bytes.
struct Elements {
  const std::byte* data;
  std::int64_t n;
  std::size_t size;

  explicit Elements(const Tensor& x)
      : data(static_cast<const std::byte*>(x.data())), n(x.numel()), size(size_of(x.dtype())) {}

  const std::byte* at(std::int64_t i) const { return data + static_cast<std::size_t>(i) * size; }
  bool is_zero(std::int64_t i) const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, at(i), size);
    return bits == 0;
  }
};

struct Grid {
  std::int64_t rows;
  std::int64_t cols;
};

/// The tensor as a matrix: its first dimension, and the rest.
Grid grid_of(const Shape& shape) {
  const std::int64_t n = element_count(shape);
  const std::int64_t rows = shape.empty() ? 1 : shape[0];
  return {rows, rows == 0 ? 0 : n / rows};
}

DType column_dtype(std::int64_t cols) {
  if (cols <= 256) return DType::uint8;
  return cols <= INT32_MAX ? DType::int32 : DType::int64;
}

DType offset_dtype(std::int64_t n) { return n <= INT32_MAX ? DType::int32 : DType::int64; }

std::int64_t bytes_of(std::int64_t count, DType dtype) { return count * static_cast<std::int64_t>(size_of(dtype)); }

struct Pattern {
  int n = 0;
  int m = 0;
  std::int64_t groups = 0;

  int bits() const { return std::bit_width(static_cast<unsigned>(m - 1)); }
  std::int64_t position_bytes() const { return (groups * n * bits() + 7) / 8; }
};

/// Groups of m along the last dimension, and the most non-zeros that one has.
Pattern pattern_of(const Elements& x, const Shape& shape, int m) {
  const std::int64_t width = shape.empty() ? 1 : shape.back();
  Pattern pattern{0, m, 0};
  if (x.n == 0) return pattern;
  const std::int64_t lines = x.n / width;
  pattern.groups = lines * ((width + m - 1) / m);
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t first = 0; first < width; first += m) {
      int count = 0;
      for (std::int64_t i = first; i < std::min(first + m, width); ++i) count += x.is_zero(line * width + i) ? 0 : 1;
      pattern.n = std::max(pattern.n, count);
    }
  }
  return pattern;
}

struct Choice {
  std::string encoding = "dense";
  std::int64_t bytes = 0;
  Pattern pattern = {};
};

Choice smallest(const Tensor& tensor, std::int64_t nonzeros) {
  const Elements x(tensor);
  const auto item = static_cast<std::int64_t>(x.size);
  const Grid grid = grid_of(tensor.shape());
  Choice best{"dense", tensor.nbytes() - kWorthwhile};
  const auto consider = [&](const Choice& choice) {
    if (choice.bytes < best.bytes) best = choice;
  };
  consider({"bitmap", (x.n + 7) / 8 + nonzeros * item});
  consider({"csr", bytes_of(grid.rows + 1, offset_dtype(x.n)) + bytes_of(nonzeros, column_dtype(grid.cols)) +
                       nonzeros * item});
  for (const int m : kGroups) {
    const Pattern pattern = pattern_of(x, tensor.shape(), m);
    consider({"nm", pattern.groups * pattern.n * item + pattern.position_bytes(), pattern});
  }
  if (best.encoding == "dense") best.bytes = tensor.nbytes();
  return best;
}

template <class T>
void append(std::vector<std::byte>& to, T value) {
  const auto* const from = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), from, from + sizeof(T));
}

void append_index(std::vector<std::byte>& to, std::int64_t value, DType dtype) {
  switch (dtype) {
    case DType::uint8: return append(to, static_cast<std::uint8_t>(value));
    case DType::int32: return append(to, static_cast<std::int32_t>(value));
    default: return append(to, value);
  }
}

std::int64_t index_at(const Tensor& indices, std::int64_t i) {
  const auto at = static_cast<std::size_t>(i);
  switch (indices.dtype()) {
    case DType::uint8: return indices.span<std::uint8_t>()[at];
    case DType::int32: return indices.span<std::int32_t>()[at];
    default: return indices.span<std::int64_t>()[at];
  }
}

Tensor tensor_of(const std::vector<std::byte>& bytes, DType dtype) {
  Tensor tensor = Tensor::empty({static_cast<std::int64_t>(bytes.size() / size_of(dtype))}, dtype);
  if (!bytes.empty()) std::memcpy(tensor.mutable_data(), bytes.data(), bytes.size());
  return tensor;
}

/// The tensors that stand for one, by what follows their name.
using Parts = std::vector<std::pair<std::string, Tensor>>;

Parts pack(const Tensor& tensor, const Choice& choice) {
  const Elements x(tensor);
  std::vector<std::byte> values;
  const auto keep = [&](std::int64_t i) { values.insert(values.end(), x.at(i), x.at(i) + x.size); };
  if (choice.encoding == "bitmap") {
    std::vector<std::byte> bits(static_cast<std::size_t>((x.n + 7) / 8));
    for (std::int64_t i = 0; i < x.n; ++i) {
      if (x.is_zero(i)) continue;
      bits[static_cast<std::size_t>(i / 8)] |= static_cast<std::byte>(1u << (i % 8));
      keep(i);
    }
    return {{"bits", tensor_of(bits, DType::uint8)}, {"values", tensor_of(values, tensor.dtype())}};
  }
  if (choice.encoding == "csr") {
    const Grid grid = grid_of(tensor.shape());
    const DType column = column_dtype(grid.cols);
    const DType offset = offset_dtype(x.n);
    std::vector<std::byte> columns;
    std::vector<std::byte> offsets;
    std::int64_t count = 0;
    append_index(offsets, 0, offset);
    for (std::int64_t i = 0; i < x.n; ++i) {
      if (!x.is_zero(i)) {
        append_index(columns, i % grid.cols, column);
        keep(i);
        ++count;
      }
      if ((i + 1) % grid.cols == 0) append_index(offsets, count, offset);
    }
    return {{"row_offsets", tensor_of(offsets, offset)},
            {"columns", tensor_of(columns, column)},
            {"values", tensor_of(values, tensor.dtype())}};
  }
  const Pattern& pattern = choice.pattern;
  std::vector<std::byte> positions(static_cast<std::size_t>(pattern.position_bytes()));
  const std::int64_t width = tensor.shape().back();
  std::int64_t slot = 0;
  const auto put_position = [&](unsigned position) {
    for (int b = 0; b < pattern.bits(); ++b) {
      const std::int64_t bit = slot * pattern.bits() + b;
      if ((position >> b & 1) != 0)
        positions[static_cast<std::size_t>(bit / 8)] |= static_cast<std::byte>(1u << (bit % 8));
    }
    ++slot;
  };
  for (std::int64_t line = 0; line < x.n / width; ++line) {
    for (std::int64_t first = 0; first < width; first += pattern.m) {
      int used = 0;
      for (std::int64_t i = first; i < std::min(first + pattern.m, width); ++i) {
        if (x.is_zero(line * width + i)) continue;
        put_position(static_cast<unsigned>(i - first));
        keep(line * width + i);
        ++used;
      }
      for (; used < pattern.n; ++used) {
        put_position(0);
        values.resize(values.size() + x.size);
      }
    }
  }
  return {{"positions", tensor_of(positions, DType::uint8)}, {"values", tensor_of(values, tensor.dtype())}};
}

/// Writes values to their places. Every place is checked.
class Expansion {
 public:
  Expansion(std::string name, Shape shape, const Tensor& values)
      : name_(std::move(name)), values_(values), out_(Tensor::zeros(std::move(shape), values.dtype())) {}

  std::int64_t numel() const { return out_.numel(); }
  std::int64_t used() const { return used_; }

  void put(std::int64_t place) {
    if (place < 0 || place >= out_.numel()) fail(name_ + " has a value outside of its shape");
    if (used_ == values_.numel()) fail(name_ + " has fewer values than places");
    const std::size_t size = size_of(values_.dtype());
    std::memcpy(static_cast<std::byte*>(out_.mutable_data()) + static_cast<std::size_t>(place) * size,
                static_cast<const std::byte*>(values_.data()) + static_cast<std::size_t>(used_) * size, size);
    ++used_;
  }
  bool next_is_zero() const { return used_ < values_.numel() && Elements(values_).is_zero(used_); }
  void skip() { ++used_; }

  Tensor finish() const {
    if (used_ != values_.numel()) fail(name_ + " has more values than places");
    return out_;
  }

 private:
  std::string name_;
  const Tensor& values_;
  Tensor out_;
  std::int64_t used_ = 0;
};

void check_part(const std::string& name, const Tensor& part, const std::vector<DType>& dtypes, std::int64_t count) {
  if (part.rank() != 1 || std::find(dtypes.begin(), dtypes.end(), part.dtype()) == dtypes.end()) {
    fail(name + " is " + std::string(to_string(part.dtype())) + " " + to_string(part.shape()) + ", of the wrong kind");
  }
  if (part.numel() != count) {
    fail(name + " has " + std::to_string(part.numel()) + " elements, expected " + std::to_string(count));
  }
}

Tensor expand_bitmap(const std::string& name, const Shape& shape, const Tensor& bits, const Tensor& values) {
  Expansion out(name, shape, values);
  check_part(name + "::bits", bits, {DType::uint8}, (out.numel() + 7) / 8);
  const auto bytes = bits.span<std::uint8_t>();
  for (std::size_t b = 0; b < bytes.size(); ++b) {
    for (unsigned byte = bytes[b]; byte != 0; byte &= byte - 1) {
      out.put(static_cast<std::int64_t>(8 * b) + std::countr_zero(byte));
    }
  }
  return out.finish();
}

Tensor expand_csr(const std::string& name, const Shape& shape, const Tensor& offsets, const Tensor& columns,
                  const Tensor& values) {
  Expansion out(name, shape, values);
  const Grid grid = grid_of(shape);
  check_part(name + "::row_offsets", offsets, {DType::int32, DType::int64}, grid.rows + 1);
  check_part(name + "::columns", columns, {DType::uint8, DType::int32, DType::int64}, values.numel());
  if (index_at(offsets, 0) != 0) fail(name + "::row_offsets does not begin with 0");
  for (std::int64_t r = 0; r < grid.rows; ++r) {
    const std::int64_t end = index_at(offsets, r + 1);
    if (end < out.used() || end > values.numel()) fail(name + "::row_offsets does not ascend");
    std::int64_t last = -1;
    while (out.used() < end) {
      const std::int64_t column = index_at(columns, out.used());
      if (column <= last || column >= grid.cols) fail(name + "::columns is out of range or order");
      out.put(r * grid.cols + column);
      last = column;
    }
  }
  return out.finish();
}

Tensor expand_nm(const std::string& name, const Shape& shape, const Pattern& given, const Tensor& positions,
                 const Tensor& values) {
  Expansion out(name, shape, values);
  if (shape.empty()) fail(name + " is a scalar, and in groups");
  Pattern pattern = given;
  const std::int64_t width = shape.back();
  const std::int64_t lines = width == 0 ? 0 : out.numel() / width;
  pattern.groups = lines * ((width + pattern.m - 1) / pattern.m);
  check_part(name + "::values", values, {values.dtype()}, pattern.groups * pattern.n);
  check_part(name + "::positions", positions, {DType::uint8}, pattern.position_bytes());
  const auto bytes = positions.span<std::uint8_t>();
  for (std::int64_t group = 0; group < pattern.groups; ++group) {
    const std::int64_t per_line = pattern.groups / lines;
    const std::int64_t first = group % per_line * pattern.m;
    int last = -1;
    for (int slot = 0; slot < pattern.n; ++slot) {
      int position = 0;
      for (int b = 0; b < pattern.bits(); ++b) {
        const std::int64_t bit = (group * pattern.n + slot) * pattern.bits() + b;
        position |= (bytes[static_cast<std::size_t>(bit / 8)] >> (bit % 8) & 1) << b;
      }
      if (out.next_is_zero()) {
        out.skip();
        continue;
      }
      if (position <= last || first + position >= width) fail(name + "::positions is out of range or order");
      out.put(group / per_line * width + first + position);
      last = position;
    }
  }
  return out.finish();
}

/// What the metadata say of one tensor.
struct Description {
  std::string name;
  std::string encoding;
  Shape shape;
  DType dtype;
  Pattern pattern;
};

std::vector<Description> read_descriptions(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) fail("the metadata is not a JSON object");
  if (json.value("version", Json()) != kVersion) fail("version is not " + std::to_string(kVersion));
  const Json tensors = json.value("tensors", Json());
  if (!tensors.is_object()) fail("the metadata has no tensors");
  std::vector<Description> all;
  for (const auto& [name, entry] : tensors.items()) {
    try {
      Description one{name,
                      entry.at("encoding").get<std::string>(),
                      entry.at("shape").get<Shape>(),
                      dtype_from_string(entry.at("dtype").get<std::string>()),
                      {}};
      element_count(one.shape, size_of(one.dtype));
      if (one.encoding == "nm") {
        one.pattern = {entry.at("n").get<int>(), entry.at("m").get<int>(), 0};
        if (one.pattern.m < 2 || one.pattern.m > 256 || one.pattern.n < 0 || one.pattern.n > one.pattern.m) {
          fail(name + " has groups of " + std::to_string(one.pattern.m));
        }
      }
      all.push_back(std::move(one));
    } catch (const nlohmann::json::exception&) {
      fail("the metadata of " + name + " lack a field or have one of the wrong type");
    } catch (const FileError&) {
      throw;
    } catch (const Error& error) {
      fail(name + ": " + error.what());
    }
  }
  return all;
}

}  // namespace

StateDict pack_zeros(const StateDict& state, std::vector<PackedTensor>* report) {
  require(!state.metadata().contains(kPackedKey),
          [] { return std::string("pack_zeros: the state is packed already"); });
  StateDict packed;
  packed.metadata() = state.metadata();
  Json descriptions = Json::object();
  for (const auto& [name, tensor] : state.entries()) {
    const Tensor host = tensor.device().is_host() ? tensor : tensor.cpu();
    const Elements x(host);
    std::int64_t nonzeros = 0;
    for (std::int64_t i = 0; i < x.n; ++i) nonzeros += x.is_zero(i) ? 0 : 1;
    const Choice choice = smallest(host, nonzeros);
    if (report != nullptr) report->push_back({name, choice.encoding, host.nbytes(), choice.bytes});
    if (choice.encoding == "dense") {
      packed.insert(name, host);
      continue;
    }
    Json entry{{"encoding", choice.encoding}, {"dtype", to_string(host.dtype())}, {"shape", host.shape()}};
    if (choice.encoding == "nm") {
      entry["n"] = choice.pattern.n;
      entry["m"] = choice.pattern.m;
    }
    for (const auto& [part, values] : pack(host, choice)) packed.insert(name + "::" + part, values);
    descriptions[name] = std::move(entry);
  }
  for (const auto& [name, tensor] : state.sparse_entries()) packed.insert(name, tensor);
  if (!descriptions.empty()) {
    packed.metadata()[kPackedKey] = Json{{"version", kVersion}, {"tensors", std::move(descriptions)}}.dump();
  }
  return packed;
}

namespace {

StateDict expand(const StateDict& packed, std::uint64_t max_bytes) {
  const auto key = packed.metadata().find(kPackedKey);
  if (key == packed.metadata().end()) return packed;
  std::map<std::string, Tensor> expanded;
  std::map<std::string, std::string> first_part;  // after which a tensor takes its place again
  std::set<std::string> parts;
  const std::vector<Description> descriptions = read_descriptions(key->second);
  std::uint64_t bytes = 0;
  for (const Description& one : descriptions) {
    bytes += static_cast<std::uint64_t>(element_count(one.shape)) * size_of(one.dtype);
    if (bytes > max_bytes) fail("they expand to more than max_bytes, " + std::to_string(max_bytes));
  }
  for (const Description& one : descriptions) {
    const auto part = [&](const char* suffix) {
      const std::string name = one.name + "::" + suffix;
      if (!packed.contains(name) || packed.is_sparse(name)) fail("there is no " + name);
      if (parts.empty() || !first_part.contains(one.name)) first_part[one.name] = name;
      parts.insert(name);
      const Tensor& tensor = packed.at(name);
      return tensor.device().is_host() ? tensor : tensor.cpu();
    };
    if (one.encoding != "bitmap" && one.encoding != "csr" && one.encoding != "nm") {
      fail(one.name + " has the encoding " + one.encoding + ", which is not known");
    }
    const Tensor where =
        part(one.encoding == "bitmap" ? "bits" : (one.encoding == "csr" ? "row_offsets" : "positions"));
    const Tensor values = part("values");
    check_part(one.name + "::values", values, {one.dtype}, values.numel());
    if (one.encoding == "bitmap") expanded[one.name] = expand_bitmap(one.name, one.shape, where, values);
    else if (one.encoding == "csr")
      expanded[one.name] = expand_csr(one.name, one.shape, where, part("columns"), values);
    else expanded[one.name] = expand_nm(one.name, one.shape, one.pattern, where, values);
  }
  std::map<std::string, std::string> owner;
  for (const auto& [name, part] : first_part) owner[part] = name;
  StateDict state;
  for (const auto& [name, tensor] : packed.entries()) {
    if (const auto found = owner.find(name); found != owner.end())
      state.insert(found->second, expanded.at(found->second));
    else if (!parts.contains(name)) state.insert(name, tensor);
  }
  for (const auto& [name, tensor] : packed.sparse_entries()) state.insert(name, tensor);
  state.metadata() = packed.metadata();
  state.metadata().erase(kPackedKey);
  return state;
}

}  // namespace

StateDict unpack_zeros(const StateDict& packed) { return expand(packed, UINT64_MAX); }

StateDict files::load_packed(const ModelFile& model, const LoadOptions& options) {
  const FileInfo& info = model.info();
  StateDict stored;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < info.tensors.size(); ++i) {
    bytes += info.tensors[i].nbytes;
    if (bytes > options.max_bytes) fail("they are more than max_bytes, " + std::to_string(options.max_bytes));
    stored.insert(info.tensors[i].name, model.read(i));
  }
  stored.metadata() = info.metadata;
  const StateDict all = expand(stored, options.max_bytes);
  const auto any_of = [](const std::vector<std::string>& globs, const std::string& name) {
    return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return glob_match(glob, name); });
  };
  for (const std::vector<std::string>* globs : {&options.include, &options.exclude}) {
    for (const std::string& glob : *globs) {
      const bool used = std::any_of(all.entries().begin(), all.entries().end(),
                                    [&](const auto& entry) { return glob_match(glob, entry.first); });
      require(used, [&] { return "load: the glob \"" + glob + "\" matches no tensor"; });
    }
  }
  StateDict state;
  for (const auto& [name, tensor] : all.entries()) {
    if ((!options.include.empty() && !any_of(options.include, name)) || any_of(options.exclude, name)) continue;
    const auto renamed = options.rename.find(name);
    state.insert(renamed == options.rename.end() ? name : renamed->second, tensor.to(options.device));
  }
  for (const auto& rename : options.rename) {
    require(state.contains(rename.second),
            [&] { return "load: rename has " + rename.first + ", which is not loaded"; });
  }
  state.metadata() = all.metadata();
  return state;
}

}  // namespace sparsert
