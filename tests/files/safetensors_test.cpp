// tests/files/safetensors_test.cpp — safetensors written and read back: every type and shape, limits, folders,
// failures.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

namespace fs = std::filesystem;

const std::vector<DType> kAllTypes{DType::boolean, DType::uint8,    DType::int32,   DType::int64,
                                   DType::float16, DType::bfloat16, DType::float32, DType::float64};

// Every bit pattern is data, but for bool.
Tensor any_bytes(DType dtype, const Shape& shape) {
  Tensor tensor = Tensor::empty(shape, dtype);
  auto* const bytes = static_cast<unsigned char*>(tensor.mutable_data());
  for (std::int64_t i = 0; i < tensor.nbytes(); ++i) {
    bytes[i] = static_cast<unsigned char>(dtype == DType::boolean ? i % 3 == 0 : (i * 37 + 11) % 256);
  }
  return tensor;
}

::testing::AssertionResult same(const StateDict& got, const StateDict& expected) {
  if (got.metadata() != expected.metadata()) return ::testing::AssertionFailure() << "metadata differ";
  if (got.size() != expected.size()) return ::testing::AssertionFailure() << got.size() << " tensors";
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto& [name, tensor] = got.entries()[i];
    const auto& [expected_name, wanted] = expected.entries()[i];
    if (name != expected_name || tensor.dtype() != wanted.dtype() || tensor.shape() != wanted.shape()) {
      return ::testing::AssertionFailure() << name << " is not " << expected_name;
    }
    if (tensor.nbytes() != 0 &&
        std::memcmp(tensor.cpu().data(), wanted.cpu().data(), static_cast<std::size_t>(tensor.nbytes())) != 0) {
      return ::testing::AssertionFailure() << name << " has other bytes";
    }
  }
  return ::testing::AssertionSuccess();
}

StateDict every_kind() {
  StateDict state;
  for (const DType dtype : kAllTypes) {
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{3}, Shape{5, 0, 2}, Shape{7, 3}, Shape{2, 3, 5}}) {
      state.insert(std::string(to_string(dtype)) + to_string(shape), any_bytes(dtype, shape));
    }
  }
  state.metadata() = {{"format", "pt"}, {"", ""}, {"quote\"\\\n\t", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \x01"}};
  return state;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(folder)) names.push_back(file.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Safetensors, EveryTypeAndShapeComesBackInOrder) {
  const TemporaryFolder folder;
  const StateDict state = every_kind();
  save(folder / "a.safetensors", state);
  EXPECT_TRUE(same(load(folder / "a.safetensors"), state));
}

TEST(Safetensors, SavingWhatWasLoadedGivesTheSameFile) {
  const TemporaryFolder folder;
  save(folder / "a.safetensors", every_kind());
  save(folder / "b.safetensors", load(folder / "a.safetensors"));
  EXPECT_EQ(read_file(folder / "a.safetensors"), read_file(folder / "b.safetensors"));
}

TEST(Safetensors, EveryDeviceSavesAndLoads) {
  const TemporaryFolder folder;
  const StateDict state = every_kind();
  for (const Device& device : devices_under_test()) {
    save(folder / "a.safetensors", state.to(device));
    LoadOptions options;
    options.device = device;
    const StateDict back = load(folder / "a.safetensors", options);
    EXPECT_TRUE(same(back, state)) << to_string(device);
    for (const auto& entry : back.entries()) EXPECT_EQ(entry.second.device(), device);
  }
}

TEST(Safetensors, TheBytesAreTheFormats) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("w", Tensor::from(std::vector<float>{1.0f, -2.0f}, {2, 1}));
  state.metadata() = {{"a", "b"}};
  save(folder / "a.safetensors", state);
  const std::string text = R"({"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";
  const std::string padded = text + std::string((8 - text.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(folder / "a.safetensors"), container(padded, std::string("\0\0\x80\x3f\0\0\0\xc0", 8)));
}

TEST(Safetensors, EveryTensorThatWeWriteIsAligned) {
  const TemporaryFolder folder;
  StateDict state;
  for (int i = 0; i < 3; ++i) {
    for (const DType dtype : kAllTypes) {
      state.insert(std::to_string(i) + std::string(to_string(dtype)), any_bytes(dtype, {2 * i + 1}));
    }
  }
  save(folder / "a.safetensors", state);
  const FileInfo info = inspect_file(folder / "a.safetensors");
  ASSERT_EQ(info.tensors.size(), state.size());
  for (const TensorInfo& tensor : info.tensors) EXPECT_EQ(tensor.offset % size_of(*tensor.storage), 0u) << tensor.name;
  EXPECT_TRUE(same(load(folder / "a.safetensors"), state));
}

TEST(Safetensors, UnalignedDataIsCopied) {
  const TemporaryFolder folder;
  // A header of odd length, and a byte before the float.
  const std::string text = header({entry("b", "U8", "[1]", "[0,1]"), entry("f", "F32", "[1]", "[1,5]")}) + " ";
  for (const char* const padding : {"", " ", "  ", "   "}) {
    write_file(folder / "a.safetensors", container(text + padding, std::string("\x05\0\0\x80\x3f", 5)));
    const StateDict state = load(folder / "a.safetensors");
    EXPECT_EQ(to_vector<float>(state.at("f")), std::vector<float>{1.0f});
    EXPECT_EQ(to_vector<std::uint8_t>(state.at("b")), std::vector<std::uint8_t>{5});
  }
}

TEST(Safetensors, TheSmallestFileIsAnEmptyModel) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors", container("{}"));
  EXPECT_EQ(load(folder / "a.safetensors").size(), 0u);
  save(folder / "b.safetensors", StateDict());
  EXPECT_EQ(load(folder / "b.safetensors").size(), 0u);
}

TEST(Safetensors, TheHeadersOrderIsKeptWhateverTheDatasIs) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors",
             container(header({entry("late", "U8", "[1]", "[1,2]"), entry("early", "U8", "[1]", "[0,1]")}), "EL"));
  const StateDict state = load(folder / "a.safetensors");
  EXPECT_EQ(state.entries()[0].first, "late");
  EXPECT_EQ(to_vector<std::uint8_t>(state.at("late")), std::vector<std::uint8_t>{'L'});
  EXPECT_EQ(to_vector<std::uint8_t>(state.at("early")), std::vector<std::uint8_t>{'E'});
}

TEST(Safetensors, HarmlessOdditiesAreRead) {
  const TemporaryFolder folder;
  const std::string empty_huge = entry("x", "F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]");
  std::string ones = "[1";
  for (int i = 1; i < 64; ++i) ones += ",1";
  const std::string deep = entry("x", "U8", ones.append("]"), "[0,1]");
  for (const auto& [text, data] : std::vector<std::pair<std::string, std::string>>{
           {header({empty_huge}), ""},                                  // a zero before the overflow
           {header({deep}), "x"},                                       // 64 dimensions
           {header({entry("", "U8", "[1]", "[0,1]")}), "x"},            // a name without characters
           {header({entry("\\u0000\\n", "U8", "[1]", "[0,1]")}), "x"},  // and with strange ones
           {header({"\n\t\"__metadata__\" : { } \r", entry("x", "U8", "[ ]", "[ 0 , 1 ]")}).append("\n"),
            "x"},                                                                     // white space
           {"{\"x\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":\"U8\"}}", "x"},  // fields in any order
           {header({entry("a", "U8", "[0]", "[0,0]"), entry("b", "U8", "[0]", "[0,0]")}), ""},
           {header({entry("x", "\\u0055\\u0038", "[1]", "[0,1]")}), "x"},  // "U8", escaped
       }) {
    write_file(folder / "a.safetensors", container(text, data));
    EXPECT_NO_THROW(load(folder / "a.safetensors")) << text;
  }
}

TEST(Safetensors, InspectSaysWhatTheHeaderSays) {
  const TemporaryFolder folder;
  const std::string text = header(
      {R"("__metadata__":{"k":"v"})", entry("w", "F32", "[2,3]", "[0,24]"), entry("q", "F8_E4M3", "[5]", "[24,29]")});
  write_file(folder / "a.safetensors", container(text, std::string(29, 'x')));
  const FileInfo info = inspect_file(folder / "a.safetensors");
  EXPECT_EQ(info.format, "safetensors");
  EXPECT_EQ(info.path, folder / "a.safetensors");
  EXPECT_EQ(info.metadata, (std::map<std::string, std::string>{{"k", "v"}}));
  ASSERT_EQ(info.tensors.size(), 2u);
  EXPECT_EQ(info.tensors[0].name, "w");
  EXPECT_EQ(info.tensors[0].dtype, "F32");
  EXPECT_EQ(info.tensors[0].storage, DType::float32);
  EXPECT_EQ(info.tensors[0].shape, (Shape{2, 3}));
  EXPECT_EQ(info.tensors[0].offset, 8 + text.size());
  EXPECT_EQ(info.tensors[0].nbytes, 24u);
  EXPECT_EQ(info.tensors[1].storage, std::nullopt);
  EXPECT_EQ(info.tensors[1].offset, 8 + text.size() + 24);
}

TEST(Safetensors, TypesThatAreNotStoredAreListedAndRefusedByName) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, int>> types{
      {"U64", 64},        {"C64", 64},        {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
      {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}};
  for (const auto& [dtype, bits] : types) {
    const auto bytes = static_cast<std::uint64_t>(4 * bits / 8);
    const std::string text =
        header({entry("w", "F32", "[]", "[0,4]"), entry("q", dtype, "[4]", offsets(4, 4 + bytes))});
    write_file(folder / "a.safetensors", container(text, std::string(4 + bytes, 'x')));
    EXPECT_EQ(inspect_file(folder / "a.safetensors").tensors.at(1).dtype, dtype);
    expect_error(ErrorCode::file, {"a.safetensors", "\"q\"", dtype, "not stored"},
                 [&] { load(folder / "a.safetensors"); });
    expect_error(ErrorCode::file, {"\"q\"", dtype}, [&] { ModelFile(folder / "a.safetensors").read(1); });
    LoadOptions options;
    options.include = {"w"};
    EXPECT_EQ(load(folder / "a.safetensors", options).size(), 1u) << dtype;
  }
}

TEST(Safetensors, IntegersThatNoTensorHoldsAreWidened) {
  const TemporaryFolder folder;
  const auto loaded = [&](const char* dtype, std::string_view bytes) {
    write_file(folder / "a.safetensors",
               container(header({entry("x", dtype, "[2]", offsets(0, bytes.size()))}), bytes));
    EXPECT_EQ(inspect_file(folder / "a.safetensors").tensors.at(0).dtype, dtype);
    return load(folder / "a.safetensors").at("x");
  };
  EXPECT_EQ(to_vector<std::int32_t>(loaded("I8", "\x80\x7f")), (std::vector<std::int32_t>{-128, 127}));
  EXPECT_EQ(to_vector<std::int32_t>(loaded("I16", std::string_view("\0\x80\xff\x7f", 4))),
            (std::vector<std::int32_t>{-32768, 32767}));
  EXPECT_EQ(to_vector<std::int32_t>(loaded("U16", std::string_view("\0\x80\xff\xff", 4))),
            (std::vector<std::int32_t>{32768, 65535}));
  EXPECT_EQ(to_vector<std::int64_t>(loaded("U32", std::string_view("\1\0\0\0\xff\xff\xff\xff", 8))),
            (std::vector<std::int64_t>{1, 4294967295}));
}

TEST(Safetensors, ABoolIsZeroOrOne) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors",
             container(header({entry("x", "BOOL", "[3]", "[0,3]")}), std::string("\1\0\2", 3)));
  EXPECT_NO_THROW(inspect_file(folder / "a.safetensors"));
  expect_error(ErrorCode::file, {"safetensors, offset 65", "\"x\"", "a boolean is 2"},
               [&] { load(folder / "a.safetensors"); });
}

TEST(Safetensors, LimitsAreKept) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors",
             container(header({entry("a", "U8", "[3]", "[0,3]"), entry("b", "U8", "[3]", "[3,6]")}), "abcdef"));
  const auto with = [&](auto member, std::uint64_t value) {
    LoadOptions options;
    options.*member = value;
    return [&folder, options] { load(folder / "a.safetensors", options); };
  };
  EXPECT_NO_THROW(with(&LoadOptions::max_tensors, 2)());
  expect_error(ErrorCode::file, {"more than 1 tensors"}, with(&LoadOptions::max_tensors, 1));
  expect_error(ErrorCode::file, {"more than 0 tensors"}, with(&LoadOptions::max_tensors, 0));
  expect_error(ErrorCode::file, {"the header has", "at most 100"}, with(&LoadOptions::max_header_bytes, 100));
  EXPECT_NO_THROW(with(&LoadOptions::max_bytes, 6)());
  expect_error(ErrorCode::file, {"6 bytes", "max_bytes = 5"}, with(&LoadOptions::max_bytes, 5));
  LoadOptions only_one;
  only_one.include = {"b"};
  only_one.max_bytes = 3;
  EXPECT_EQ(load(folder / "a.safetensors", only_one).size(), 1u);
}

TEST(Safetensors, AHoleInTheDiskIsNotMemory) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors", container(header({entry("x", "U8", "[1099511627776]", "[0,1099511627776]")})));
  const auto size = fs::file_size(folder / "a.safetensors");
  if (::truncate((folder / "a.safetensors").c_str(), static_cast<off_t>(size + 1099511627776)) != 0) {
    GTEST_SKIP() << "the file system has no sparse files of 1 TiB";
  }
  EXPECT_EQ(inspect_file(folder / "a.safetensors").tensors.at(0).nbytes, 1099511627776u);
  expect_error(ErrorCode::file, {"1099511627776 bytes", "max_bytes"}, [&] { load(folder / "a.safetensors"); });
}

TEST(Safetensors, IncludeTakesGlobs) {
  const TemporaryFolder folder;
  StateDict state;
  for (const char* name : {"fc1.weight", "fc1.bias", "fc2.weight", "norm"})
    state.insert(name, any_bytes(DType::uint8, {2}));
  save(folder / "a.safetensors", state);
  const auto names = [&](std::vector<std::string> globs) {
    LoadOptions options;
    options.include = std::move(globs);
    std::vector<std::string> out;
    const StateDict loaded = load(folder / "a.safetensors", options);
    for (const auto& entry : loaded.entries()) out.push_back(entry.first);
    return out;
  };
  EXPECT_EQ(names({"*.weight"}), (std::vector<std::string>{"fc1.weight", "fc2.weight"}));
  EXPECT_EQ(names({"norm", "fc?.bias"}), (std::vector<std::string>{"fc1.bias", "norm"}));
  EXPECT_EQ(names({"*", "norm"}).size(), 4u);
  expect_error(ErrorCode::invalid_argument, {"\"fc1.wieght\"", "matches no tensor", "\"fc1.weight\""}, [&] {
    names({"norm", "fc1.wieght"});
  });
  expect_error(ErrorCode::invalid_argument, {"\"\"", "among 4"}, [&] { names({""}); });
}

TEST(Safetensors, AFileThatChangesIsAnError) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("a", any_bytes(DType::float32, {1000}));
  save(folder / "a.safetensors", state);
  const std::string bytes = read_file(folder / "a.safetensors");

  const ModelFile shrunk(folder / "a.safetensors");
  EXPECT_NO_THROW(shrunk.read(0));
  fs::resize_file(folder / "a.safetensors", bytes.size() - 1);
  expect_error(ErrorCode::file, {"a.safetensors", "truncated while being read"}, [&] { shrunk.read(0); });

  write_file(folder / "a.safetensors", bytes);
  const ModelFile written(folder / "a.safetensors");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the clock of the file system may be coarse
  std::fstream(folder / "a.safetensors", std::ios::in | std::ios::out | std::ios::binary) << bytes;
  expect_error(ErrorCode::file, {"changed while being read"}, [&] { written.read(0); });

  // A file that is replaced, as `save` does it, is another file: the open one is as it was.
  const ModelFile kept(folder / "a.safetensors");
  save(folder / "a.safetensors", StateDict());
  EXPECT_NO_THROW(kept.read(0));
}

TEST(Safetensors, AModelFileMovesAndChecksPositions) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("a", any_bytes(DType::int32, {3}));
  save(folder / "a.safetensors", state);
  ModelFile first(folder / "a.safetensors");
  ModelFile second(std::move(first));
  first = std::move(second);
  EXPECT_EQ(first.info().tensors.size(), 1u);
  EXPECT_EQ(first.read(0).numel(), 3);
  expect_error(ErrorCode::invalid_argument, {"read: got tensor 1", "less than 1"}, [&] { first.read(1); });
}

TEST(Safetensors, OnlyRegularFilesAreOpened) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder / "dangling");
  fs::create_symlink("circle", folder / "circle");
  // Opening the pipe must not wait for somebody to write to it.
  expect_error(ErrorCode::file, {"pipe", "is a pipe", "regular file"}, [&] { load(folder / "pipe"); });
  expect_error(ErrorCode::file, {"/dev/null", "is a device"}, [] { load("/dev/null"); });
  expect_error(ErrorCode::file, {"/dev/zero", "is a device"}, [] { inspect_file("/dev/zero"); });
  expect_error(ErrorCode::file, {"missing", "cannot open"}, [&] { load(folder / "missing"); });
  expect_error(ErrorCode::file, {"dangling", "cannot open"}, [&] { load(folder / "dangling"); });
  expect_error(ErrorCode::file, {"circle", "cannot open"}, [&] { load(folder / "circle"); });
  expect_error(ErrorCode::file, {"cannot open"}, [] { load(""); });
}

TEST(Save, ReplacesOnlyWhenComplete) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  StateDict small;
  small.insert("a", any_bytes(DType::uint8, {3}));
  save(path, small);
  StateDict large;
  large.insert("a", any_bytes(DType::float32, {1 << 20}));
  // The system refuses to write past 1 MiB, as a full disk would.
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit limit = before;
  limit.rlim_cur = 1 << 20;
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  expect_error(ErrorCode::file, {"a.safetensors", "cannot write"}, [&] { save(path, large); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_TRUE(same(load(path), small));
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a.safetensors"});
  save(path, large);
  EXPECT_TRUE(same(load(path), large));
}

TEST(Save, RefusesWhatTheFormatCannotHold) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const auto saving = [&](std::string name, const Shape& shape) {
    StateDict state;
    state.insert(std::move(name), Tensor::empty(shape, DType::float32));
    return [path, state] { save(path, state); };
  };
  expect_error(ErrorCode::invalid_argument, {"save", "__metadata__", "reserved"}, saving("__metadata__", {1}));
  expect_error(ErrorCode::invalid_argument, {"save", "UTF-8"}, saving("\xff", {1}));
  expect_error(ErrorCode::invalid_argument, {"save", "shape"}, saving("a", {std::int64_t{1} << 62, 4, 0}));
  expect_error(ErrorCode::invalid_argument, {"save", "shape"}, saving("a", Shape(65, 1)));
  StateDict state;
  state.metadata() = {{"a", "\xc3("}};
  expect_error(ErrorCode::invalid_argument, {"metadata value", "UTF-8"}, [&] { save(path, state); });
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Save, NamesWhatIsWrongWithThePlace) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "folder");
  write_file(folder / "file", "x");
  const StateDict state;
  expect_error(ErrorCode::file, {"folder", "is a folder"}, [&] { save(folder / "folder", state); });
  expect_error(ErrorCode::file, {"names no file"}, [&] { save(folder / "folder/", state); });
  expect_error(ErrorCode::file, {"missing", "cannot create"}, [&] { save(folder / "missing/a.safetensors", state); });
  expect_error(ErrorCode::file, {"cannot create"}, [&] { save(folder / "file/a.safetensors", state); });
  expect_error(ErrorCode::file, {"/dev/null", "is a device"}, [&] { save("/dev/null", state); });
  expect_error(ErrorCode::file, {"names no file"}, [&] { save("", state); });
}

TEST(Save, KeepsPermissionsAndLinks) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("a", any_bytes(DType::uint8, {3}));
  save(folder / "real.safetensors", StateDict());
  fs::permissions(folder / "real.safetensors", fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
  fs::create_symlink("real.safetensors", folder / "link.safetensors");
  save(folder / "link.safetensors", state);
  EXPECT_TRUE(fs::is_symlink(folder / "link.safetensors"));
  EXPECT_TRUE(same(load(folder / "real.safetensors"), state));
  EXPECT_EQ(fs::status(folder / "real.safetensors").permissions(),
            fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
}

TEST(Save, TakesARelativeName) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  save("a.safetensors", StateDict());
  fs::current_path(before);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a.safetensors"});
}

}  // namespace
}  // namespace sparsert::test
