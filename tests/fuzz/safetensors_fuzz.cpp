// tests/fuzz/safetensors_fuzz.cpp — libFuzzer on the safetensors reader: any bytes give a model or FileError.
//
// The mutator knows the container: in most inputs it changes header or data and writes the right length in front, so
// that the search goes on behind the first check. It needs no corpus: an input too short to be one becomes a model.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "sparsert/files.hpp"
#include "tests/fuzz/reader.hpp"

namespace {

constexpr std::size_t kPrefix = 8;
constexpr std::string_view kSeed =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]},"c":{"dtype":"F4","shape":[2,0],"data_offsets":[9,9]}})";

void write_length(std::uint8_t* data, std::uint64_t length) {
  for (std::size_t i = 0; i < kPrefix; ++i) data[i] = static_cast<std::uint8_t>(length >> (8 * i));
}

std::size_t write_seed(std::uint8_t* data, std::size_t max_size) {
  constexpr std::size_t kDataBytes = 9;
  const std::size_t size = kPrefix + kSeed.size() + kDataBytes;
  if (max_size < size) return 0;
  write_length(data, kSeed.size());
  std::memcpy(data + kPrefix, kSeed.data(), kSeed.size());
  std::memset(data + kPrefix + kSeed.size(), 1, kDataBytes);
  return size;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (size < kPrefix + 2) {
    if (const std::size_t written = write_seed(data, max_size)) return written;
  }
  std::uint64_t length = 0;
  if (size >= kPrefix) std::memcpy(&length, data, kPrefix);
  const bool coherent = size >= kPrefix && length <= size - kPrefix;
  if (!coherent || seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const auto header_size = static_cast<std::size_t>(length);
  const std::size_t data_size = size - kPrefix - header_size;
  if (seed % 8 == 1) {
    return kPrefix + header_size +
           LLVMFuzzerMutate(data + kPrefix + header_size, data_size, max_size - kPrefix - header_size);
  }
  std::string tail(reinterpret_cast<const char*>(data) + kPrefix + header_size, data_size);
  const std::size_t new_size = LLVMFuzzerMutate(data + kPrefix, header_size, max_size - kPrefix - data_size);
  write_length(data, new_size);
  std::memcpy(data + kPrefix + new_size, tail.data(), tail.size());
  return kPrefix + new_size + tail.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  try {
    const sparsert::ModelFile model(file.path());
    // Content decides: the mutator may have made another format of it.
    if (model.info().format != "safetensors") return -1;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < model.info().tensors.size(); ++i) {
      const sparsert::TensorInfo& tensor = model.info().tensors[i];
      // What the header was believed: every tensor lies in the file, and none of its bytes twice.
      if (tensor.offset > size || tensor.nbytes > size - tensor.offset) std::abort();
      bytes += tensor.nbytes;
      if (!tensor.storage) continue;
      const auto read = model.read(i);
      const bool widened =
          tensor.dtype == "I8" || tensor.dtype == "I16" || tensor.dtype == "U16" || tensor.dtype == "U32";
      if (widened) continue;
      if (static_cast<std::uint64_t>(read.nbytes()) != tensor.nbytes) std::abort();
      if (tensor.nbytes != 0 && std::memcmp(read.data(), data + tensor.offset, tensor.nbytes) != 0) std::abort();
    }
    if (bytes > size) std::abort();
    // With packed tensors, if there are any.
    sparsert::LoadOptions options;
    options.max_bytes = std::uint64_t{1} << 20;
    static_cast<void>(sparsert::load(file.path(), options));
  } catch (const sparsert::FileError&) {
  }
  return 0;
}
