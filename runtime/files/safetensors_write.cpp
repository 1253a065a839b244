// runtime/files/safetensors_write.cpp — writing safetensors.
//
// The header lists the tensors in the state's order. Their data is ordered by item size, the largest first, so that
// each begins at a multiple of its own item size: a reader that maps the file needs no copy. Within one item size
// the order stays.
#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/safetensors.hpp"

namespace sparsert::files::safetensors {
namespace {

constexpr std::size_t kAlignment = 8;

std::string_view name_of(DType dtype) {
  const auto types = type_names();
  // The first that is stored as `dtype` is the one of the same width; the widened ones follow.
  return std::find_if(types.begin(), types.end(),
                      [&](const TypeName& type) { return type.element && storage_of(*type.element) == dtype; })
      ->name;
}

std::string json_string(const std::string& text, const char* what) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw Error(ErrorCode::invalid_argument,
                "save: " + std::string(what) + " " + in_quotes(text) + " is not valid UTF-8");
  }
}

std::string json_numbers(std::span<const std::uint64_t> numbers) {
  std::string text = "[";
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i != 0) text += ',';
    text += std::to_string(numbers[i]);
  }
  text += ']';
  return text;
}

std::string json_metadata(const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  for (const auto& [key, value] : metadata) {
    if (text.size() != 1) text += ',';
    text += json_string(key, "the metadata key");
    text += ':';
    text += json_string(value, "the metadata value");
  }
  text += '}';
  return text;
}

void check(const StateDict& state) {
  require(state.sparse_entries().empty(), [&] {
    return "save: " + in_quotes(state.sparse_entries().front().first) +
           " is sparse, which the format cannot hold; make it dense first";
  });
  require(state.metadata().size() <= kMaxMetadataEntries, [&] {
    return "save: got " + std::to_string(state.metadata().size()) + " metadata entries, expected at most " +
           std::to_string(kMaxMetadataEntries);
  });
  for (const auto& entry : state.entries()) {
    const Shape& shape = entry.second.shape();
    require(entry.first != kMetadataKey,
            [] { return "save: the name " + in_quotes(kMetadataKey) + " is reserved by the format"; });
    require(shape.size() <= kMaxRank && shape_bits(shape, 8 * size_of(entry.second.dtype())).has_value(), [&] {
      return "save: " + in_quotes(entry.first) + " has shape " + to_string(shape) + ", which the format cannot hold";
    });
  }
}

std::vector<std::size_t> order_of_data(const StateDict& state) {
  std::vector<std::size_t> order(state.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto item_bytes = [&](std::size_t i) { return size_of(state.entries()[i].second.dtype()); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return item_bytes(a) > item_bytes(b); });
  return order;
}

std::string make_header(const StateDict& state, const std::vector<std::size_t>& order) {
  std::vector<std::uint64_t> begins(state.size());
  std::uint64_t reached = 0;
  for (const std::size_t i : order) {
    begins[i] = reached;
    reached += static_cast<std::uint64_t>(state.entries()[i].second.nbytes());
  }
  std::string header = "{";
  if (!state.metadata().empty()) {
    header += json_string(std::string(kMetadataKey), "the name");
    header += ':';
    header += json_metadata(state.metadata());
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state.entries()[i];
    const std::vector<std::uint64_t> shape(tensor.shape().begin(), tensor.shape().end());
    if (header.size() != 1) header += ',';
    header += json_string(name, "the name");
    header += ":{\"dtype\":\"";
    header += name_of(tensor.dtype());
    header += "\",\"shape\":";
    header += json_numbers(shape);
    header += ",\"data_offsets\":";
    header += json_numbers(std::array{begins[i], begins[i] + static_cast<std::uint64_t>(tensor.nbytes())});
    header += '}';
  }
  header += '}';
  header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  require(header.size() <= kMaxHeaderBytes, [&] {
    return "save: the header would have " + std::to_string(header.size()) + " bytes, expected at most " +
           std::to_string(kMaxHeaderBytes);
  });
  return header;
}

}  // namespace

void write(OutputFile& file, const StateDict& state) {
  check(state);
  const std::vector<std::size_t> order = order_of_data(state);
  const std::string header = make_header(state, order);
  std::array<unsigned char, kPrefixBytes> prefix;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    prefix[i] = static_cast<unsigned char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  }
  file.write(prefix.data(), prefix.size());
  file.write(header.data(), header.size());
  for (const std::size_t i : order) {
    const Tensor host = state.entries()[i].second.cpu();
    file.write(host.data(), static_cast<std::uint64_t>(host.nbytes()));
  }
}

}  // namespace sparsert::files::safetensors
