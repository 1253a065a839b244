// tests/files/checkpoints_test.cpp — files made by the formats' own libraries hold, bit for bit, what those libraries
// read.
//
// checkpoints/make.py made them: beside each model `x.*` stands `x.expected.safetensors`.
#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

namespace fs = std::filesystem;

const fs::path kData = SPARSERT_TEST_DATA;

/// Expectations by the path of their model.
std::vector<std::pair<fs::path, fs::path>> fixtures() {
  constexpr std::string_view kSuffix = ".expected.safetensors";
  std::vector<std::pair<fs::path, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(kData)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    const std::string stem = name.substr(0, name.size() - kSuffix.size());
    for (const auto& other : fs::directory_iterator(kData)) {
      const fs::path& path = other.path();
      if (path != entry.path() && path.filename().replace_extension() == stem) found.emplace_back(path, entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void expect_same(const Tensor& got, const Tensor& expected, const std::string& what) {
  EXPECT_EQ(got.shape(), expected.shape()) << what;
  EXPECT_EQ(got.dtype(), expected.dtype()) << what;
  EXPECT_FALSE(equivalence::first_difference(got, expected).has_value()) << what;
}

Coo as_coo(const SparseTensor& tensor) {
  return std::visit(
      [](const auto& matrix) {
        if constexpr (std::is_same_v<std::decay_t<decltype(matrix)>, Csr>) return matrix.to_coo();
        else return matrix;
      },
      tensor.matrix);
}

void expect_state(const StateDict& state, const StateDict& expected, const std::string& file) {
  std::size_t sparse = 0;
  for (const auto& [name, tensor] : expected.entries()) {
    const std::string what = file + ": " + name;
    const std::size_t slash = name.rfind('/');
    if (state.contains(name) && !state.is_sparse(name)) {
      expect_same(state.at(name), tensor, what);
      continue;
    }
    const std::string base = name.substr(0, slash);
    ASSERT_TRUE(slash != name.npos && state.is_sparse(base)) << what << " is missing";
    const Coo coo = as_coo(state.sparse_at(base));
    ++sparse;
    const std::string part = name.substr(slash + 1);
    expect_same(part == "rows" ? coo.rows() : part == "columns" ? coo.columns() : coo.values(), tensor, what);
  }
  EXPECT_EQ(state.entries().size() + 2 * state.sparse_entries().size(), expected.size() - sparse / 3) << file;
}

TEST(Checkpoints, HoldWhatTheirOwnLibraryReads) {
  const auto all = fixtures();
  EXPECT_GE(all.size(), 15u);
  for (const auto& [model, expectation] : all) {
    SCOPED_TRACE(model.string());
    const StateDict expected = load(expectation);
    StateDict state;
    ASSERT_NO_THROW(state = load(model)) << model;
    expect_state(state, expected, model.filename().string());
  }
}

TEST(Checkpoints, MappedFilesHoldTheSame) {
  LoadOptions options;
  options.mmap = true;
  for (const auto& [model, expectation] : fixtures()) {
    expect_state(load(model, options), load(expectation, options), model.filename().string());
  }
}

TEST(Checkpoints, PartsOfAModelAreOne) {
  const StateDict expected = load(kData / "parts.whole.safetensors");
  expect_state(load(kData / "parts-00001-of-00003.gguf"), expected, "three files");
  const TemporaryFolder folder;
  const auto copy = [&](int from, int to) {
    const auto name = [](int part) { return "parts-0000" + std::to_string(part) + "-of-00003.gguf"; };
    write_file(folder / name(to), read_file(kData / name(from)));
  };
  for (int part = 1; part <= 3; ++part) copy(part, part);
  // A folder with the parts has one model.
  expect_state(load(folder.path()), expected, "a folder");
  expect_error(ErrorCode::file, {"is one of 3 parts", "expected the first"},
               [&] { load(folder / "parts-00002-of-00003.gguf"); });
  copy(2, 3);
  expect_error(ErrorCode::file, {"\"parts-00003-of-00003.gguf\"", "is not part 3 of 3"}, [&] { load(folder.path()); });
  fs::remove(folder / "parts-00003-of-00003.gguf");
  expect_error(ErrorCode::file, {"\"parts-00003-of-00003.gguf\""}, [&] { load(folder.path()); });
}

TEST(Checkpoints, AreKnownByContentUnderAnyName) {
  const TemporaryFolder folder;
  for (const auto& [model, expectation] : fixtures()) {
    const fs::path renamed = folder / "model.txt";
    write_file(renamed, read_file(model));
    EXPECT_EQ(inspect_file(renamed).format, inspect_file(model).format) << model;
  }
}

TEST(Checkpoints, OneTensorReadsAsInTheWhole) {
  for (const auto& [model, expectation] : fixtures()) {
    const ModelFile file(model);
    const StateDict state = load(model);
    for (std::size_t i = file.info().tensors.size(); i-- > 0;) {
      const TensorInfo& tensor = file.info().tensors[i];
      if (!tensor.storage) continue;
      if (tensor.layout != Layout::dense) {
        EXPECT_EQ(file.read_sparse(i).nnz(), tensor.nnz) << model << " " << tensor.name;
        continue;
      }
      expect_same(file.read(i), state.at(tensor.name), model.string() + ": " + tensor.name);
    }
  }
}

TEST(Checkpoints, TiedTensorsShareTheirMemory) {
  for (const char* const name : {"views.pt", "views_legacy.pt"}) {
    const FileInfo info = inspect_file(kData / name);
    const auto tied =
        std::find_if(info.tensors.begin(), info.tensors.end(), [](const auto& t) { return t.name == "tied"; });
    ASSERT_NE(tied, info.tensors.end());
    EXPECT_EQ(tied->tied_to, "whole");
    const StateDict state = load(kData / name);
    EXPECT_EQ(state.at("tied").data(), state.at("whole").data());
    EXPECT_NE(state.at("rows").data(), state.at("whole").data());
    for (const Device& device : devices_under_test()) {
      const StateDict moved = state.to(device);
      EXPECT_EQ(moved.at("tied").data(), moved.at("whole").data());
    }
  }
}

TEST(Checkpoints, CheckpointsSayWhatWasTakenAndWhatIsPlain) {
  const FileInfo info = inspect_file(kData / "lightning.pt");
  EXPECT_EQ(info.metadata.at("checkpoint"), "state_dict");
  EXPECT_EQ(info.metadata.at("epoch"), "3");
  EXPECT_EQ(info.metadata.at("global_step"), "12");
  EXPECT_EQ(info.metadata.at("pytorch-lightning_version"), "1.9.0");
  EXPECT_EQ(info.metadata.at("not read"), "\"pathlib.PurePosixPath\"");
  LoadOptions options;
  options.strict = true;
  expect_error(ErrorCode::file, {"lightning.pt", "pathlib.PurePosixPath", "strict"},
               [&] { load(kData / "lightning.pt", options); });
  EXPECT_NO_THROW(load(kData / "views.pt", options));
}

TEST(Checkpoints, AnotherPartOfACheckpointIsSelected) {
  LoadOptions options;
  options.select = "optimizer_states";
  const StateDict state = load(kData / "lightning_legacy.pt", options);
  EXPECT_EQ(state.metadata().at("checkpoint"), "optimizer_states");
  EXPECT_EQ(state.at("0.state.0.exp_avg").shape(), (Shape{3}));
  options.select = "state_dikt";
  expect_error(ErrorCode::invalid_argument, {"\"state_dikt\"", "\"state_dict\""},
               [&] { load(kData / "lightning.pt", options); });
  expect_error(ErrorCode::invalid_argument, {"holds one model"}, [&] { load(kData / "arrays.npz", options); });
}

TEST(Checkpoints, QuantizedTensorsAreRealOnRequest) {
  const FileInfo info = inspect_file(kData / "quantized.pt");
  ASSERT_TRUE(info.tensors.at(0).quantization && info.tensors.at(1).quantization);
  EXPECT_EQ(info.tensors[0].quantization->scales, std::vector<float>{0.25f});
  EXPECT_EQ(info.tensors[0].quantization->zero_points, std::vector<std::int64_t>{3});
  EXPECT_EQ(info.tensors[1].quantization->scales.size(), 4u);
  LoadOptions options;
  options.dequantize = true;
  const StateDict real = load(kData / "quantized.pt", options);
  expect_state(real, load(kData / "quantized.real.expected.safetensors"), "quantized.pt");
}

TEST(Checkpoints, ObjectArraysAreListedAndNeverRead) {
  const fs::path path = kData / "objects.npz";
  const FileInfo info = inspect_file(path);
  ASSERT_EQ(info.tensors.size(), 2u);
  EXPECT_FALSE(info.tensors[1].storage.has_value());
  expect_error(ErrorCode::file, {"objects.npz", "\"o\"", "Python objects", "`exclude`"}, [&] { load(path); });
  expect_error(ErrorCode::file, {"\"o\"", "pickle"}, [&] { ModelFile(path).read(1); });
  LoadOptions options;
  options.exclude = {"o"};
  EXPECT_EQ(load(path, options).size(), 1u);
}

TEST(Checkpoints, NamesAreFilteredAndRenamed) {
  LoadOptions options;
  options.include = {"*.weight", "*.bias"};
  options.exclude = {"1.*"};
  options.rename = {{"0.weight", "conv.kernel"}, {"2.bias", "0.weight"}};
  const StateDict state = load(kData / "protocol4.pt", options);
  ASSERT_EQ(state.size(), 4u);
  EXPECT_EQ(state.at("conv.kernel").shape(), (Shape{2, 1, 3, 3}));
  EXPECT_EQ(state.at("0.weight").shape(), (Shape{3}));
  options.rename = {{"1.weight", "x"}};
  expect_error(ErrorCode::invalid_argument, {"rename", "\"1.weight\"", "no tensor that is loaded"},
               [&] { load(kData / "protocol4.pt", options); });
  options.rename = {{"0.weight", "2.weight"}};
  expect_error(ErrorCode::invalid_argument, {"\"2.weight\"", "already"},
               [&] { load(kData / "protocol4.pt", options); });
  options.rename = {};
  options.exclude = {"nothing*"};
  expect_error(ErrorCode::invalid_argument, {"exclude", "nothing*"}, [&] { load(kData / "protocol4.pt", options); });
}

}  // namespace
}  // namespace sparsert::test
