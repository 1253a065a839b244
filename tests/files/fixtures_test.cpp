// tests/files/fixtures_test.cpp — files written by each format's own library, equal bit by bit to what that library
// reads. tests/files/fixtures/make.py makes both.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

std::filesystem::path fixtures() { return SPARSERT_FIXTURES; }

struct Expected {
  std::string name;
  std::string dtype;
  Shape shape;
  std::string layout;
  std::string bytes;
};

std::vector<std::string> split(const std::string& line, char by) {
  std::vector<std::string> parts;
  std::istringstream stream(line);
  for (std::string part; std::getline(stream, part, by);) parts.push_back(part);
  return parts;
}

/// What expected.txt says of each file.
std::map<std::string, std::vector<Expected>> expectations() {
  std::map<std::string, std::vector<Expected>> files;
  std::ifstream list(fixtures() / "expected.txt");
  for (std::string line; std::getline(list, line);) {
    const auto parts = split(line, '\t');
    if (parts.size() != 6) throw std::runtime_error("a line of expected.txt has no six parts: " + line);
    Expected one{parts[1], parts[2], {}, parts[4], {}};
    if (parts[3] != "-") {
      for (const std::string& size : split(parts[3], ',')) one.shape.push_back(std::stoll(size));
    }
    if (parts[5] != "-") {
      for (std::size_t i = 0; i < parts[5].size(); i += 2) {
        one.bytes += static_cast<char>(std::stoi(parts[5].substr(i, 2), nullptr, 16));
      }
    }
    files[parts[0]].push_back(std::move(one));
  }
  return files;
}

std::string bytes_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.data()), static_cast<std::size_t>(tensor.nbytes())};
}

class Fixtures : public ::testing::TestWithParam<std::string> {};

TEST_P(Fixtures, AreWhatTheirOwnLibraryReads) {
  const auto path = fixtures() / GetParam();
  const auto expected = expectations().at(GetParam());
  const ModelFile model(path);
  const FileInfo& info = model.info();
  LoadOptions options;
  for (const TensorInfo& tensor : info.tensors) {
    if (!tensor.storage) options.exclude.push_back(tensor.name);
  }
  const StateDict state = load(path, options);
  EXPECT_EQ(state.size(), expected.size()) << "tensors that are too many or missing";
  for (const Expected& one : expected) {
    ASSERT_TRUE(state.contains(one.name)) << one.name;
    const auto tensor = std::find_if(info.tensors.begin(), info.tensors.end(),
                                     [&](const TensorInfo& listed) { return listed.name == one.name; });
    ASSERT_NE(tensor, info.tensors.end());
    EXPECT_EQ(tensor->shape, one.shape) << one.name;
    EXPECT_EQ(to_string(*tensor->storage), one.dtype) << one.name;
    Tensor dense;
    if (one.layout == "dense") {
      EXPECT_EQ(tensor->layout, Layout::dense) << one.name;
      dense = state.at(one.name);
    } else {
      const SparseTensor& sparse = state.sparse_at(one.name);
      EXPECT_EQ((tensor->layout == Layout::csr ? "csr:" : "coo:") + std::to_string(sparse.nnz()), one.layout)
          << one.name;
      EXPECT_EQ(tensor->nnz, sparse.nnz()) << one.name;
      dense = sparse.to_dense();
    }
    EXPECT_EQ(to_string(dense.dtype()), one.dtype) << one.name;
    EXPECT_EQ(dense.shape(), one.shape) << one.name;
    EXPECT_EQ(bytes_of(dense), one.bytes) << one.name;
  }
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& [name, unused] : expectations()) out.push_back(name);
  return out;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Formats, Fixtures, ::testing::ValuesIn(names()), test_name);

TEST(Fixtures, AreAllThere) { EXPECT_GE(expectations().size(), 15u); }

// What Keras says of its layers: their order, and the order of the dimensions of their weights.
TEST(Keras, OrdersLayersAndKnowsAxes) {
  const FileInfo info = inspect_file(fixtures() / "keras.h5");
  EXPECT_EQ(info.format, "keras");
  EXPECT_TRUE(info.metadata.contains("model_config"));
  std::map<std::string, std::string> axes;
  for (const TensorInfo& tensor : info.tensors) axes[tensor.name] = tensor.axes;
  EXPECT_EQ(axes.at("model_weights/conv/sequential/conv/kernel"), "HWIO");
  EXPECT_EQ(axes.at("model_weights/transpose/sequential/transpose/kernel"), "HWOI");
  EXPECT_EQ(axes.at("model_weights/depthwise/sequential/depthwise/kernel"), "HWCM");
  EXPECT_EQ(axes.at("model_weights/dense/sequential/dense/kernel"), "IO");
  EXPECT_EQ(axes.at("model_weights/dense/sequential/dense/bias"), "");
  std::vector<std::string> layers;
  for (const TensorInfo& tensor : info.tensors) {
    const std::string layer = split(tensor.name, '/').at(1);
    if (tensor.name.starts_with("model_weights/") && (layers.empty() || layers.back() != layer))
      layers.push_back(layer);
  }
  EXPECT_EQ(layers, (std::vector<std::string>{"conv", "depthwise", "transpose", "norm", "dense"}));

  const FileInfo old = inspect_file(fixtures() / "old_keras.h5");
  EXPECT_EQ(old.metadata.at("keras_version"), "2.1.3");
  EXPECT_EQ(old.tensors.front().name, "conv_1/conv_1/kernel:0");
  EXPECT_EQ(old.tensors.back().name, "conv_11/conv_11/bias:0");
}

TEST(Keras, AnArchiveKnowsItsLayers) {
  const FileInfo info = inspect_file(fixtures() / "model.keras");
  EXPECT_EQ(info.format, "keras archive");
  EXPECT_EQ(info.metadata.at("layers/conv2d_transpose"), "transpose");
  EXPECT_TRUE(info.metadata.contains("config.json"));
  std::map<std::string, std::string> axes;
  for (const TensorInfo& tensor : info.tensors) axes[tensor.name] = tensor.axes;
  EXPECT_EQ(axes.at("layers/conv2d/vars/0"), "HWIO");
  EXPECT_EQ(axes.at("layers/conv2d/vars/1"), "");
  EXPECT_EQ(axes.at("layers/conv2d_transpose/vars/0"), "HWOI");
  EXPECT_EQ(axes.at("layers/depthwise_conv2d/vars/0"), "HWCM");
  EXPECT_EQ(axes.at("layers/dense/vars/0"), "IO");
}

TEST(Hdf5, TiesTheNamesOfOneDataset) {
  const FileInfo info = inspect_file(fixtures() / "h5py.h5");
  int tied = 0;
  for (const TensorInfo& tensor : info.tensors) tied += tensor.tied_to.empty() ? 0 : 1;
  EXPECT_EQ(tied, 1);
}

TEST(Tflite, GivesScalesAndDequantizes) {
  const auto path = fixtures() / "int8.tflite";
  const ModelFile model(path);
  LoadOptions options;
  options.dequantize = true;
  const StateDict real = load(path, options);
  int per_channel = 0;
  int axes = 0;
  for (std::size_t i = 0; i < model.info().tensors.size(); ++i) {
    const TensorInfo& tensor = model.info().tensors[i];
    axes += tensor.axes.empty() ? 0 : 1;
    if (!tensor.quantization) continue;
    const Quantization& how = *tensor.quantization;
    if (how.scales.size() > 1) ++per_channel;
    const auto stored = to_vector<std::int32_t>(model.read(i));
    const auto got = to_vector<float>(real.at(tensor.name));
    std::int64_t inner = 1;
    for (std::size_t d = static_cast<std::size_t>(how.axis) + 1; d < tensor.shape.size(); ++d) inner *= tensor.shape[d];
    for (std::size_t k = 0; k < stored.size(); ++k) {
      const auto along = static_cast<std::size_t>(static_cast<std::int64_t>(k) / inner) % how.scales.size();
      const std::int64_t zero = how.zero_points.empty() ? 0 : how.zero_points[along];
      ASSERT_EQ(got[k], how.scales[along] * static_cast<float>(stored[k] - zero)) << tensor.name << " " << k;
    }
  }
  EXPECT_GE(per_channel, 3);
  EXPECT_EQ(axes, 2) << "a convolution and a depthwise one";
}

// Nothing outside the folder of a model is opened, whatever its external data are called.
TEST(Onnx, OpensNoFileOutsideItsFolder) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "model");
  std::filesystem::copy_file(fixtures() / "external.bin", folder / "external.bin");
  std::filesystem::copy_file(fixtures() / "external.bin", folder / "model/real.bin");
  const std::string model = read_file(fixtures() / "external.onnx");
  const auto with_location = [&](const std::string& location) {
    std::string changed = model;
    for (std::size_t at = 0; (at = changed.find("external.bin", at)) != changed.npos; at += location.size()) {
      changed.replace(at, location.size(), location);
    }
    write_file(folder / "model/m.onnx", changed);
  };
  std::filesystem::create_symlink("real.bin", folder / "model/external.bin");
  with_location("external.bin");
  EXPECT_EQ(load(folder / "model/m.onnx").size(), 3u) << "a link that stays in the folder";
  for (const std::string location :
       {"../external.", "/xternal.bin", "./../externa", "external.\xff\xfe.", "missing.file"}) {
    with_location(location.substr(0, 12));
    expect_error(ErrorCode::file, {"m.onnx"}, [&] { load(folder / "model/m.onnx"); });
  }
  std::filesystem::remove(folder / "model/external.bin");
  with_location("external.bin");
  std::filesystem::create_symlink("../external.bin", folder / "model/external.bin");
  expect_error(ErrorCode::file, {"external.bin"}, [&] { load(folder / "model/m.onnx"); });
  std::filesystem::remove(folder / "model/external.bin");
  std::filesystem::create_directory(folder / "model/external.bin");
  expect_error(ErrorCode::file, {"external.bin"}, [&] { load(folder / "model/m.onnx"); });
}

TEST(Tensorflow, ASavedModelFollowsItsVariables) {
  const FileInfo info = inspect_file(fixtures() / "saved_model/saved_model.pb");
  EXPECT_EQ(info.format, "tensorflow saved model");
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixtures() / "saved_model/saved_model.pb", folder / "saved_model.pb");
  const FileInfo alone = inspect_file(folder / "saved_model.pb");
  for (const TensorInfo& tensor : alone.tensors) EXPECT_EQ(tensor.name.find("VARIABLE_VALUE"), std::string::npos);
}

}  // namespace
}  // namespace sparsert::test
