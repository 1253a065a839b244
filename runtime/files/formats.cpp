// runtime/files/formats.cpp — the table of formats, and choosing one by content.
#include <array>
#include <cstring>

#include "runtime/files/format.hpp"
#include "runtime/files/hdf5.hpp"
#include "runtime/files/keras_archive.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/npy.hpp"
#include "runtime/files/onnx.hpp"
#include "runtime/files/safetensors.hpp"
#include "runtime/files/tensorflow.hpp"
#include "runtime/files/tflite.hpp"

namespace sparsert::files {
namespace {

// Those with a magic number first; those that only a strict parse can tell last.
constexpr std::array kFormats{
    Format{npy::kNpy, &npy::sniff_npy, &npy::open_npy},
    Format{"keras archive", &keras::sniff_archive, &keras::open_archive},
    Format{npy::kNpz, &npy::sniff_npz, &npy::open_npz},
    Format{safetensors::kFormat, &safetensors::sniff, &safetensors::open},
    Format{"hdf5", &hdf5::sniff, &hdf5::open},
    Format{tflite::kFormat, &tflite::sniff, &tflite::open},
    Format{"tensorflow checkpoint", &tensorflow::sniff_checkpoint, &tensorflow::open_checkpoint},
    Format{"onnx", &onnx::sniff, &onnx::open},
    Format{"onnx tensor", &onnx::sniff_tensor, &onnx::open_tensor},
    Format{"tensorflow graph", &tensorflow::sniff_graph, &tensorflow::open_graph},
    Format{"tensorflow saved model", &tensorflow::sniff_saved_model, &tensorflow::open_saved_model},
};

struct Magic {
  std::string_view bytes;
  const char* what;
};

// Containers told apart so that the error says what a file is that no reader takes.
constexpr std::array<Magic, 3> kNotRead{{
    {{"PK\x03\x04", 4}, "a zip archive of no model"},
    {{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9", 9}, "a legacy PyTorch file (pickle)"},
    {{"GGUF", 4}, "a GGUF file"},
}};

}  // namespace

std::span<const Format> formats() noexcept { return kFormats; }

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
    return reader;
  }
  for (const Magic& magic : kNotRead) {
    if (begins_with(source.bytes, magic.bytes))
      throw FileError(std::string("is ") + magic.what + ", which is not read");
  }
  // A short header whose '{' is missing: the reader says best what is wrong.
  if (safetensors::is_plausible(source)) return safetensors::open(source);
  std::string names;
  for (const Format& format : kFormats) names += (names.empty() ? "" : ", ") + std::string(format.name);
  throw FileError("is of no format that is read (" + names + ")");
}

}  // namespace sparsert::files
