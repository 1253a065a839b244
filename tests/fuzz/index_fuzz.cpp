// tests/fuzz/index_fuzz.cpp — libFuzzer on the index of a model in several files: whatever it says, nothing but the
// files beside it is opened.
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/fuzz/reader.hpp"

namespace {

/// A folder with two files of a model, for as long as the process runs.
class Folder {
 public:
  Folder() {
    std::string name =
        std::filesystem::exists("/dev/shm") ? "/dev/shm/sparsert-fuzz-XXXXXX" : "/tmp/sparsert-fuzz-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    for (const char* const part : {"a", "b"}) {
      sparsert::StateDict state;
      state.insert(part, sparsert::Tensor::zeros({2}, sparsert::DType::float32));
      sparsert::save(path_ / (std::string(part) + ".safetensors"), state);
    }
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string set(const std::uint8_t* data, std::size_t size) {
    std::ofstream index(path_ / "model.safetensors.index.json", std::ios::binary | std::ios::trunc);
    index.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    return path_ / "model.safetensors.index.json";
  }

 private:
  std::filesystem::path path_;
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
  static Folder folder;
  sparsert::fuzz::read_all(folder.set(data, size));
  return 0;
}
