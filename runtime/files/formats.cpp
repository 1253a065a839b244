// runtime/files/formats.cpp — the table of formats, and choosing one by content.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/files/format.hpp"
#include "runtime/files/gguf.hpp"
#include "runtime/files/hdf5.hpp"
#include "runtime/files/keras_archive.hpp"
#include "runtime/files/msgpack.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/npy.hpp"
#include "runtime/files/onnx.hpp"
#include "runtime/files/safetensors.hpp"
#include "runtime/files/tensorflow.hpp"
#include "runtime/files/tflite.hpp"
#include "runtime/files/torch.hpp"

namespace sparsert::files {
namespace {

// Those with a magic number first; those that only a strict parse can tell last.
constexpr std::array kFormats{
    Format{torch::kZipFormat, &torch::sniff_zip, &torch::open_zip},
    Format{torch::kLegacyFormat, &torch::sniff_legacy, &torch::open_legacy},
    Format{npy::kNpy, &npy::sniff_npy, &npy::open_npy},
    Format{"keras archive", &keras::sniff_archive, &keras::open_archive},
    Format{npy::kNpz, &npy::sniff_npz, &npy::open_npz},
    Format{gguf::kFormat, &gguf::sniff, &gguf::open},
    Format{safetensors::kFormat, &safetensors::sniff, &safetensors::open},
    Format{"hdf5", &hdf5::sniff, &hdf5::open},
    Format{tflite::kFormat, &tflite::sniff, &tflite::open},
    Format{"tensorflow checkpoint", &tensorflow::sniff_checkpoint, &tensorflow::open_checkpoint},
    Format{"onnx", &onnx::sniff, &onnx::open},
    Format{"onnx tensor", &onnx::sniff_tensor, &onnx::open_tensor},
    Format{"tensorflow graph", &tensorflow::sniff_graph, &tensorflow::open_graph},
    Format{"tensorflow saved model", &tensorflow::sniff_saved_model, &tensorflow::open_saved_model},
    Format{msgpack::kFormat, &msgpack::sniff, &msgpack::open},
};

struct Magic {
  std::string_view bytes;
  std::uint64_t offset;
  const char* what;
};

// Containers told apart so that the error says what a file is that no reader takes.
constexpr std::array<Magic, 3> kNotRead{{
    {{"PK\x03\x04", 4}, 0, "a zip archive of no model"},
    {{"\x80", 1}, 0, "a pickle, but none of PyTorch"},
    {{"ustar", 5}, 257, "a tar archive, as PyTorch wrote them up to 0.1.9"},
}};

}  // namespace

std::span<const Format> formats() noexcept { return kFormats; }

void check_names(const FileInfo& info) {
  std::vector<std::string_view> names;
  names.reserve(info.tensors.size());
  for (const TensorInfo& tensor : info.tensors) {
    if (!is_utf8(tensor.name) && tensor.name.find('\0') == tensor.name.npos) {
      throw FileError(info.format + ": the name " + in_quotes(tensor.name) + " is not valid UTF-8");
    }
    names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw FileError(info.format + ": has the tensor " + in_quotes(*twice) + " twice");
}

SparseTensor Reader::read_sparse(std::size_t position) const {
  throw Error(ErrorCode::internal, "read: tensor " + std::to_string(position) + " is not sparse");
}

bool begins_with(const Bytes& bytes, std::string_view magic, std::uint64_t offset) {
  if (bytes.size() < offset || bytes.size() - offset < magic.size()) return false;
  const auto first = bytes.read(offset, magic.size());
  return std::memcmp(first.data(), magic.data(), magic.size()) == 0;
}

std::unique_ptr<Reader> open_source(const Source& source) {
  for (const Format& format : kFormats) {
    if (!format.sniff(source)) continue;
    auto reader = format.open(source);
    if (reader->info.format.empty()) reader->info.format = format.name;
    require(source.select.empty() || reader->used_selection,
            [&] { return "load: select " + in_quotes(source.select) + ", but the file holds one model"; });
    return reader;
  }
  for (const Magic& magic : kNotRead) {
    if (begins_with(source.bytes, magic.bytes, magic.offset))
      throw FileError(std::string("is ") + magic.what + ", which is not read");
  }
  // A short header whose '{' is missing: the reader says best what is wrong.
  if (safetensors::is_plausible(source)) return safetensors::open(source);
  std::string names;
  for (const Format& format : kFormats) names += (names.empty() ? "" : ", ") + std::string(format.name);
  throw FileError("is of no format that is read (" + names + ")");
}

}  // namespace sparsert::files
