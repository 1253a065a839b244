// tests/fuzz/index_fuzz.cpp — libFuzzer on the index of a model in several files: whatever it says, nothing but the
// files beside it is opened.
#include "tests/fuzz/reader.hpp"

namespace {

/// A folder with two files of a model.
class ModelFolder : public sparsert::fuzz::Folder {
 public:
  ModelFolder() {
    for (const char* const part : {"a", "b"}) {
      sparsert::StateDict state;
      state.insert(part, sparsert::Tensor::zeros({2}, sparsert::DType::float32));
      sparsert::save(path() / (std::string(part) + ".safetensors"), state);
    }
  }
};

constexpr std::string_view kSeed =
    R"({"metadata":{"total_size":16},"weight_map":{"a":"a.safetensors","b":"b.safetensors"}})";

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned) {
  if (size < 2 && max_size >= kSeed.size()) {
    std::copy(kSeed.begin(), kSeed.end(), data);
    return kSeed.size();
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ModelFolder folder;
  sparsert::fuzz::read_all(folder.set("model.safetensors.index.json", data, size));
  return 0;
}
