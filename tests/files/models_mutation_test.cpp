// tests/files/models_mutation_test.cpp — damaged models of every format but safetensors: each gives a
// model or FileError.
//
// SPARSERT_MUTATIONS says how many of each format; the quick run is a tenth of the slow one.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

std::filesystem::path fixtures() { return SPARSERT_FIXTURES; }

struct Seed {
  const char* file;
  const char* beside;  // a second file that is copied and stays as it is
};

struct Format {
  const char* name;
  std::vector<Seed> seeds;
};

std::vector<Format> formats() {
  return {
      {"onnx", {{"types.onnx", ""}, {"constants.onnx", ""}, {"sparse.onnx", ""}, {"external.onnx", "external.bin"}}},
      {"graph", {{"frozen.pb", ""}, {"saved_model/saved_model.pb", ""}}},
      {"checkpoint",
       {{"checkpoint.index", "checkpoint.data-00000-of-00001"}, {"snappy.index", "snappy.data-00000-of-00001"}}},
      {"tflite", {{"sparse.tflite", ""}, {"int8.tflite", ""}, {"float16.tflite", ""}}},
      {"hdf5", {{"h5py.h5", ""}, {"latest.h5", ""}, {"old_keras.h5", ""}, {"chunks.h5", ""}}},
      {"keras", {{"model.keras", ""}}},
      {"torch", {{"../checkpoints/views.pt", ""}, {"../checkpoints/sparse.pt", ""}, {"../checkpoints/script.pt", ""}}},
      {"torch_legacy",
       {{"../checkpoints/views_legacy.pt", ""},
        {"../checkpoints/quantized_legacy.pt", ""},
        {"../checkpoints/lightning_legacy.pt", ""}}},
      {"npy", {{"../checkpoints/one.npy", ""}}},
      {"npz", {{"../checkpoints/arrays.npz", ""}, {"../checkpoints/deflated.npz", ""}}},
      {"msgpack", {{"../checkpoints/flax.msgpack", ""}, {"../checkpoints/numpy.msgpack", ""}}},
      {"gguf", {{"../checkpoints/blocks.gguf", ""}}},
  };
}

/// Changes a few bytes, or a number of some bytes to one that provokes.
std::string mutate(std::string bytes, std::mt19937_64& random) {
  static constexpr std::uint64_t kNumbers[] = {
      0, 1, ~std::uint64_t{0}, std::uint64_t{1} << 31, 0xffffffff, std::uint64_t{1} << 63, 0x7f, 0x80, 0xff};
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t times = 1 + pick(3); times > 0 && !bytes.empty(); --times) {
    const std::size_t at = pick(bytes.size());
    switch (pick(8)) {
      case 0: bytes[at] = static_cast<char>(random()); break;
      case 1:
      case 2: bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8))); break;
      case 3: bytes[at] = static_cast<char>(bytes[at] + (pick(2) == 0 ? 1 : -1)); break;
      case 4: {
        const std::uint64_t number = kNumbers[pick(std::size(kNumbers))];
        for (std::size_t i = 0, n = std::size_t{1} << pick(4); i < n && at + i < bytes.size(); ++i) {
          bytes[at + i] = static_cast<char>(number >> (8 * i));
        }
        break;
      }
      case 5: bytes.erase(at, 1 + pick(16)); break;
      case 6: bytes.insert(at, bytes.substr(pick(bytes.size()), 1 + pick(32))); break;
      default:
        if (pick(4) == 0) bytes.resize(at);
    }
  }
  return bytes;
}

class ModelMutations : public ::testing::TestWithParam<std::size_t> {};

TEST_P(ModelMutations, GiveAModelOrAFileError) {
  const char* const wanted = std::getenv("SPARSERT_MUTATIONS");
  const int mutations = wanted != nullptr ? std::atoi(wanted) : 2'000;
  const Format format = formats()[GetParam()];
  const TemporaryFolder folder;
  std::mt19937_64 random(GetParam() + 1);
  std::vector<std::string> seeds;
  for (const Seed& seed : format.seeds) {
    seeds.push_back(read_file(fixtures() / seed.file));
    if (seed.beside[0] != '\0') std::filesystem::copy_file(fixtures() / seed.beside, folder / seed.beside);
  }
  int models = 0;
  for (int i = 0; i < mutations; ++i) {
    const std::size_t which = static_cast<std::size_t>(i) % seeds.size();
    const auto path = folder / std::filesystem::path(format.seeds[which].file).filename().string();
    write_file(path, mutate(seeds[which], random));
    try {
      const ModelFile model(path);
      ++models;
      for (std::size_t t = 0; t < model.info().tensors.size(); ++t) {
        const TensorInfo& tensor = model.info().tensors[t];
        if (!tensor.storage) continue;
        try {
          if (tensor.layout == Layout::dense) {
            ASSERT_EQ(model.read(t).shape(), tensor.shape);
          } else {
            ASSERT_EQ(model.read_sparse(t).nnz(), tensor.nnz);
          }
        } catch (const FileError&) {
        }
      }
    } catch (const FileError&) {
    }
  }
  EXPECT_GT(models, 0) << "no mutation is a model";
  EXPECT_LT(models, mutations) << "every mutation is a model";
}

INSTANTIATE_TEST_SUITE_P(Formats, ModelMutations, ::testing::Range(std::size_t{0}, formats().size()),
                         [](const auto& info) { return std::string(formats()[info.param].name); });

// Every cut of each file, and of those that are large every seventh.
TEST_P(ModelMutations, EveryTruncationIsRefusedOrWhole) {
  const Format format = formats()[GetParam()];
  const TemporaryFolder folder;
  for (const Seed& seed : format.seeds) {
    const std::string bytes = read_file(fixtures() / seed.file);
    const auto path = folder / std::filesystem::path(seed.file).filename().string();
    const std::size_t step = bytes.size() > 4096 ? bytes.size() / 512 : 1;
    for (std::size_t size = 0; size < bytes.size(); size += step) {
      write_file(path, std::string_view(bytes).substr(0, size));
      try {
        inspect_file(path);
      } catch (const FileError&) {
      }
    }
  }
}

}  // namespace
}  // namespace sparsert::test
