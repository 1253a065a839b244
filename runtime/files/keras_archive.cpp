// runtime/files/keras_archive.cpp — Keras 3's .keras archives.
//
// The configuration is read for two things only: which class a layer is of, so that the order of a weight's dimensions
// is known, and what the user called it. Nothing is made from it.
#include "runtime/files/keras_archive.hpp"

#include <cstring>
#include <string>

#include "runtime/files/bytes.hpp"
#include "runtime/files/hdf5.hpp"
#include "runtime/files/keras.hpp"
#include "runtime/files/npy.hpp"
#include "runtime/files/utf8.hpp"
#include "runtime/files/zip.hpp"

namespace sparsert::files::keras {
namespace {

constexpr const char* kFormat = "keras archive";
constexpr const char* kConfig = "config.json";
constexpr const char* kMetadata = "metadata.json";
constexpr const char* kHdf5Weights = "model.weights.h5";
constexpr const char* kNpzWeights = "model.weights.npz";
constexpr std::uint64_t kMaxText = std::uint64_t{64} << 20;

/// A member that is text; empty where there is none.
std::string text_of(const ZipArchive& archive, const char* name) {
  const ZipArchive::Member* const member = archive.find(name);
  if (member == nullptr) return {};
  if (member->size > kMaxText) {
    malformed(kFormat, member->header, std::string(name) + " has " + std::to_string(member->size) + " bytes");
  }
  const Bytes bytes = archive.open(*member, kMaxText);
  const auto data = bytes.read(0, bytes.size());
  archive.check(*member, data.data(), data.size());
  std::string text(reinterpret_cast<const char*>(data.data()), data.size());
  if (!is_utf8(text)) malformed(kFormat, member->data, std::string(name) + " is not UTF-8");
  return text;
}

}  // namespace

bool sniff_archive(const Source& source) {
  if (!ZipArchive::sniff(source.bytes)) return false;
  const ZipArchive archive(source.bytes);
  return archive.find(kConfig) != nullptr &&
         (archive.find(kHdf5Weights) != nullptr || archive.find(kNpzWeights) != nullptr);
}

std::unique_ptr<Reader> open_archive(const Source& source) {
  const ZipArchive archive(source.bytes);
  const bool is_hdf5 = archive.find(kHdf5Weights) != nullptr;
  const ZipArchive::Member& member = *archive.find(is_hdf5 ? kHdf5Weights : kNpzWeights);
  const Bytes weights = archive.open(member, source.options->max_bytes);
  archive.check(member);
  const Source inner{weights, source.root, source.name, source.options};
  if (is_hdf5 ? !hdf5::sniff(inner) : !npy::sniff_npz(inner))
    malformed(kFormat, member.data, "the weights are not what their name says");
  auto reader = is_hdf5 ? hdf5::open(inner) : npy::open_npz(inner);
  reader->info.format = kFormat;
  const std::string config = text_of(archive, kConfig);
  const std::vector<Layer> layers = layers_of(config);
  std::map<std::string, std::string, std::less<>> classes;
  for (const auto& [path, layer] : saved_paths(layers)) {
    classes.emplace(path.substr(path.rfind('/') + 1), layer.class_name);
    reader->info.metadata.emplace(path, layer.name);
  }
  for (TensorInfo& tensor : reader->info.tensors) tensor.axes = axes_of(tensor.name, tensor.shape.size(), classes);
  reader->info.metadata.emplace(kConfig, config);
  if (std::string text = text_of(archive, kMetadata); !text.empty()) {
    reader->info.metadata.emplace(kMetadata, std::move(text));
  }
  return reader;
}

}  // namespace sparsert::files::keras
