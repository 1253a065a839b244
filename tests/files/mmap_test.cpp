// tests/files/mmap_test.cpp — tensors that view a mapped file: no copy, the same bytes, alive for as long as they are.
#include <sparsert/files.hpp>

#include <cstring>
#include <numeric>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

constexpr std::int64_t kCount = 1000;

LoadOptions mapped() {
  LoadOptions options;
  options.mmap = true;
  return options;
}

StateDict numbers() {
  std::vector<float> values(kCount);
  std::iota(values.begin(), values.end(), 1.0f);
  StateDict state;
  state.insert("a", Tensor::from(values, {10, 100}));
  state.insert("b", Tensor::from(values, {kCount}));
  return state;
}

TEST(Mmap, ViewsLieInTheFileAsItSays) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save(path, numbers());
  const FileInfo info = inspect_file(path);
  const StateDict state = load(path, mapped());
  const auto* const first = static_cast<const std::byte*>(state.at("a").data());
  const auto* const second = static_cast<const std::byte*>(state.at("b").data());
  // One mapping: the tensors are as far from each other as in the file, and begin as far into a page.
  EXPECT_EQ(second - first, static_cast<std::ptrdiff_t>(info.tensors[1].offset - info.tensors[0].offset));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 4096, info.tensors[0].offset % 4096);
  EXPECT_TRUE(state.at("a").read_only());
  EXPECT_THROW(Tensor(state.at("a")).mutable_data(), Error);
}

TEST(Mmap, OutlivesModelAndName) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save(path, numbers());
  Tensor tensor;
  {
    const ModelFile model(path, mapped());
    tensor = model.read(0);
  }
  std::filesystem::remove(path);
  EXPECT_EQ(std::memcmp(tensor.data(), numbers().at("a").data(), 4 * kCount), 0);
  Tensor copy = tensor.clone();
  EXPECT_NO_THROW(copy.mutable_data());
}

TEST(Mmap, SaveReplacesTheFileUnderItsViews) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save(path, numbers());
  const StateDict state = load(path, mapped());
  // Written beside it and renamed: the views keep the old file.
  save(path, state);
  EXPECT_EQ(std::memcmp(state.at("b").data(), numbers().at("b").data(), 4 * kCount), 0);
  EXPECT_EQ(std::memcmp(load(path).at("b").data(), numbers().at("b").data(), 4 * kCount), 0);
}

TEST(Mmap, SameBytesInEveryFormat) {
  const TemporaryFolder folder;
  save(folder / "model.npz", numbers());
  const StateDict copied = load(folder / "model.npz");
  const StateDict viewed = load(folder / "model.npz", mapped());
  for (const auto& [name, tensor] : copied.entries()) {
    EXPECT_EQ(std::memcmp(viewed.at(name).data(), tensor.data(), 4 * kCount), 0) << name;
  }
}

TEST(Mmap, CopiesWhatTheFileDoesNotHaveAsItIs) {
  const TemporaryFolder folder;
  // "b" is not aligned, "c" is widened.
  const std::string text =
      header({entry("a", "BOOL", "[1]", "[0,1]"), entry("b", "F32", "[1]", "[1,5]"), entry("c", "I8", "[1]", "[5,6]")});
  const std::size_t odd = (8 + text.size()) % 4;
  const std::string padded = text + std::string((4 - odd) % 4, ' ');
  write_file(folder / "odd.safetensors", container(padded, std::string("\1\0\0\x80\x3f\xff", 6)));
  const StateDict state = load(folder / "odd.safetensors", mapped());
  EXPECT_TRUE(state.at("a").read_only());
  EXPECT_TRUE(state.at("a").span<bool>()[0]);
  EXPECT_FALSE(state.at("b").read_only());
  EXPECT_EQ(state.at("b").span<float>()[0], 1.0f);
  EXPECT_EQ(state.at("c").span<std::int32_t>()[0], -1);
}

TEST(Mmap, BooleansAreChecked) {
  const TemporaryFolder folder;
  write_file(folder / "two.safetensors", container(header({entry("a", "BOOL", "[2]", "[0,2]")}), std::string("\1\2")));
  expect_error(ErrorCode::file, {"two.safetensors", "a boolean is 2"},
               [&] { load(folder / "two.safetensors", mapped()); });
}

TEST(Mmap, FileThatWasCutBeforeTheReadIsAnError) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save(path, numbers());
  const ModelFile model(path, mapped());
  std::filesystem::resize_file(path, 300);
  expect_error(ErrorCode::file, {"changed while being read"}, [&] { model.read(0); });
}

TEST(Mmap, OnADeviceAsACopy) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save(path, numbers());
  for (const Device& device : devices_under_test()) {
    LoadOptions options = mapped();
    options.device = device;
    const StateDict state = load(path, options).to(device).to(cpu_device);
    EXPECT_EQ(std::memcmp(state.at("a").data(), numbers().at("a").data(), 4 * kCount), 0) << to_string(device);
  }
}

}  // namespace
}  // namespace sparsert::test
