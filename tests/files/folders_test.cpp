// tests/files/folders_test.cpp — which model a folder holds, models in several files, and what is written.
#include <sys/stat.h>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

namespace fs = std::filesystem;

/// A state whose one tensor tells it from others.
StateDict state_of(float value, const std::string& name = "w") {
  StateDict state;
  state.insert(name, Tensor::from(std::vector<float>{value}, {1}));
  return state;
}

void put(const fs::path& path, float value, const std::string& name = "w") {
  fs::create_directories(path.parent_path());
  save(path, state_of(value, name));
}

void put_text(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  write_file(path, text);
}

float loaded(const fs::path& path, const std::string& select = "", const std::string& name = "w") {
  LoadOptions options;
  options.select = select;
  return to_vector<float>(load(path, options).at(name)).at(0);
}

const std::string kCommit(40, 'a');

TEST(Folders, TheHubsNamesGoBeforeAllOthers) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::file, {"folder without a model file"}, [&] { load(folder.path()); });
  put_text(folder / "config.json", "{}");
  put_text(folder / "tokenizer.json", "{}");
  expect_error(ErrorCode::file, {"folder without a model file"}, [&] { load(folder.path()); });
  put(folder / "other.bin", 1);
  EXPECT_EQ(loaded(folder.path()), 1);
  EXPECT_EQ(inspect_file(folder.path()).path, folder / "other.bin");
  put(folder / "pytorch_model.bin", 2);
  EXPECT_EQ(loaded(folder.path()), 2);
  put(folder / "model.safetensors", 3);
  put(folder / "model.fp16.safetensors", 4);
  EXPECT_EQ(loaded(folder.path()), 3);
  EXPECT_EQ(loaded(folder.path(), "fp16"), 4);
  EXPECT_EQ(loaded(folder.path(), "other.bin"), 1);
  EXPECT_EQ(loaded(folder.path(), "pytorch*"), 2);
  expect_error(ErrorCode::file, {"\"bf16\"", "0 models", "\"model.safetensors\""},
               [&] { loaded(folder.path(), "bf16"); });
  expect_error(ErrorCode::file, {"\"model*\"", "2 models"}, [&] { loaded(folder.path(), "model*"); });
}

TEST(Folders, AmbiguityListsTheChoices) {
  const TemporaryFolder folder;
  put(folder / "a.pt", 1);
  put(folder / "b.weights", 2);
  put_text(folder / "notes.txt", "text");
  expect_error(ErrorCode::file, {"2 models", "`select`", "\"a.pt\", \"b.weights\""}, [&] { load(folder.path()); });
  EXPECT_EQ(loaded(folder.path(), "b.*"), 2);
  for (int i = 0; i < 30; ++i) put(folder / (std::to_string(i) + ".safetensors"), 0);
  expect_error(ErrorCode::file, {"32 models", ", ..."}, [&] { load(folder.path()); });
}

TEST(Folders, WellKnownFoldersAreLookedInto) {
  for (const char* const name : {"weights", "checkpoints", "saved_model", "onnx_models"}) {
    const TemporaryFolder folder;
    put_text(folder / "README.md", "text");
    put(folder / name / "x.safetensors", 5);
    EXPECT_EQ(loaded(folder.path()), 5) << name;
    put(folder / "model/x.safetensors", 6);
    expect_error(ErrorCode::file, {"2 folders", "`select`", name}, [&] { load(folder.path()); });
    EXPECT_EQ(loaded(folder.path(), name), 5);
    EXPECT_EQ(loaded(folder.path(), std::string(name) + "/x.safetensors"), 5);
  }
}

TEST(Folders, AnIndexMakesOneModelOfSeveralFiles) {
  const TemporaryFolder folder;
  StateDict state;
  for (int i = 0; i < 10; ++i) {
    state.insert("layer." + std::to_string(i), Tensor::from(std::vector<float>(100, static_cast<float>(i)), {100}));
  }
  state.metadata()["format"] = "pt";
  save(folder / "model.safetensors", state, {.max_shard_bytes = 1000});
  EXPECT_TRUE(fs::exists(folder / "model-00001-of-00005.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "model.safetensors"));
  for (const fs::path& path : {folder.path(), folder / "model.safetensors.index.json"}) {
    const StateDict back = load(path);
    ASSERT_EQ(back.size(), 10u);
    EXPECT_EQ(back.metadata(), state.metadata());
    for (const auto& [name, tensor] : state.entries()) {
      EXPECT_FALSE(equivalence::first_difference(back.at(name), tensor).has_value());
    }
  }
  const FileInfo info = inspect_file(folder.path());
  EXPECT_EQ(info.format, "safetensors");
  EXPECT_EQ(info.tensors.at(9).file, "model-00005-of-00005.safetensors");
  save(folder / "one.safetensors", state, {.max_shard_bytes = 1 << 20});
  EXPECT_TRUE(fs::exists(folder / "one.safetensors"));
  // An index goes before one file of the same model.
  put(folder / "model.safetensors", 1);
  EXPECT_EQ(load(folder.path()).size(), 10u);
}

TEST(Folders, AnIndexIsNotBelieved) {
  const TemporaryFolder folder;
  put(folder / "m/a.safetensors", 1);
  put(folder / "secret.safetensors", 2);
  const fs::path index = folder / "m/model.safetensors.index.json";
  const auto refused = [&](const std::string& text, const std::vector<std::string>& words) {
    write_file(index, text);
    expect_error(ErrorCode::file, words, [&] { load(folder / "m"); });
    expect_error(ErrorCode::file, words, [&] { load(index); });
  };
  const auto map = [](const std::string& content) { return R"({"weight_map":{)" + content + "}}"; };
  for (const std::string& name : {std::string("../secret.safetensors"), std::string("/etc/passwd"), std::string(".."),
                                  std::string("."), std::string("x/a.safetensors"), std::string("")}) {
    refused(map(R"("w":")" + name + "\""), {"\"w\"", "expected a file of the same folder"});
  }
  refused(map(R"("w":"a\u0000.safetensors")"), {"expected a file of the same folder"});
  refused(map(R"("w":"b.safetensors")"), {"\"b.safetensors\"", "No such file"});
  refused(map(R"("w":"a.safetensors","x":"a.safetensors")"), {"\"x\"", "no such tensor"});
  refused(map(R"("w":"a.safetensors","w":"a.safetensors")"), {"\"w\"", "twice"});
  refused(map(""), {"names no tensor"});
  refused(R"({"weight_map":[]})", {"names no tensor"});
  refused(R"({"weight_map":{"w":5}})", {"names no tensor"});
  refused("{", {"no valid JSON"});
  refused("", {"no valid JSON"});
  refused(map(R"("w":"a.safetensors")") + "x", {"no valid JSON"});
  refused(std::string(20, '['), {"nests deeper"});
  // A shard that points out of the folder.
  fs::create_symlink("../secret.safetensors", folder / "m/link.safetensors");
  refused(map(R"("w":"link.safetensors")"), {"link.safetensors", "leaves the folder"});
  fs::create_symlink(folder / "secret.safetensors", folder / "m/absolute.safetensors");
  refused(map(R"("w":"absolute.safetensors")"), {"absolute.safetensors", "leaves the folder"});
  fs::create_symlink("loop.safetensors", folder / "m/loop.safetensors");
  refused(map(R"("w":"loop.safetensors")"), {"loop.safetensors", "too many symbolic links"});
  ASSERT_EQ(::mkfifo((folder / "m/pipe.safetensors").c_str(), 0600), 0);
  refused(map(R"("w":"pipe.safetensors")"), {"pipe.safetensors", "is a pipe"});
  // Tensors that the index leaves out are left out; `strict` refuses the file.
  StateDict two = state_of(1);
  two.insert("v", Tensor::from(std::vector<float>{2}, {1}));
  save(folder / "m/a.safetensors", two);
  write_file(index, map(R"("w":"a.safetensors")"));
  EXPECT_EQ(load(folder / "m").size(), 1u);
  LoadOptions options;
  options.strict = true;
  expect_error(ErrorCode::file, {"the index does not name"}, [&] { load(folder / "m", options); });
}

TEST(Folders, AHubCacheIsReadThroughItsLinks) {
  const TemporaryFolder folder;
  const fs::path repository = folder / "models--org--name";
  const fs::path snapshot = repository / "snapshots" / kCommit;
  put(repository / "blobs/0123.safetensors", 7);
  fs::rename(repository / "blobs/0123.safetensors", repository / "blobs/0123");
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/0123", snapshot / "model.safetensors");
  put_text(repository / "refs/main", kCommit);
  put_text(repository / "refs/v2", std::string(40, 'b'));
  for (const fs::path& path : {repository, snapshot, snapshot / "model.safetensors", folder.path()}) {
    EXPECT_EQ(loaded(path), 7) << path;
  }
  expect_error(ErrorCode::file, {"refs/v2", "not there"}, [&] { loaded(repository, "v2"); });
  put(repository / "snapshots" / std::string(40, 'b') / "model.safetensors", 8);
  EXPECT_EQ(loaded(repository), 7);
  EXPECT_EQ(loaded(repository, "v2"), 8);
  EXPECT_EQ(loaded(repository, "bbb*"), 8);
  fs::remove_all(repository / "refs/main");
  expect_error(ErrorCode::file, {"2 snapshots", "`select`"}, [&] { load(repository); });
  // A reference is a name, never a path; a link may not leave the repository.
  put_text(repository / "refs/main", "../../x");
  expect_error(ErrorCode::file, {"refs/main", "not there"}, [&] { load(repository); });
  put(folder / "secret.safetensors", 9);
  put_text(repository / "refs/main", kCommit);
  fs::remove(snapshot / "model.safetensors");
  fs::create_symlink("../../../secret.safetensors", snapshot / "model.safetensors");
  expect_error(ErrorCode::file, {"without a model file"}, [&] { load(repository); });
}

TEST(Folders, ComponentsOfDiffusersAreOneModel) {
  const TemporaryFolder folder;
  put_text(folder / "model_index.json",
           R"({"_class_name":"P","unet":["diffusers","U"],"vae":["diffusers","V"],"scheduler":["diffusers","S"]})");
  put(folder / "unet/diffusion_pytorch_model.safetensors", 1);
  put(folder / "vae/diffusion_pytorch_model.safetensors", 2);
  put(folder / "vae/diffusion_pytorch_model.fp16.safetensors", 3);
  put_text(folder / "scheduler/scheduler_config.json", "{}");
  const StateDict state = load(folder.path());
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(to_vector<float>(state.at("unet.w")), std::vector<float>{1});
  EXPECT_EQ(to_vector<float>(state.at("vae.w")), std::vector<float>{2});
  EXPECT_EQ(inspect_file(folder.path()).tensors.at(1).file, "vae");
  EXPECT_EQ(loaded(folder.path(), "vae"), 2);
  EXPECT_EQ(loaded(folder / "vae", "fp16"), 3);
  put_text(folder / "model_index.json", R"({"..":["diffusers","U"]})");
  expect_error(ErrorCode::file, {"model_index.json", "\"..\""}, [&] { load(folder.path()); });
}

TEST(Folders, ModulesOfSentenceTransformersAreOneModel) {
  const TemporaryFolder folder;
  put_text(folder / "modules.json",
           R"([{"idx":0,"name":"0","path":"","type":"T"},{"idx":1,"name":"1","path":"1_Pooling","type":"P"},
               {"idx":2,"name":"2","path":"2_Dense","type":"D"}])");
  put(folder / "model.safetensors", 1);
  put_text(folder / "1_Pooling/config.json", "{}");
  put(folder / "2_Dense/model.safetensors", 2);
  const StateDict state = load(folder.path());
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(to_vector<float>(state.at("w")), std::vector<float>{1});
  EXPECT_EQ(to_vector<float>(state.at("2_Dense.w")), std::vector<float>{2});
  const TemporaryFolder old;
  put_text(old / "modules.json", R"([{"idx":0,"name":"0","path":"0_Transformer","type":"T"}])");
  put(old / "0_Transformer/pytorch_model.bin", 3);
  EXPECT_EQ(loaded(old.path(), "", "0_Transformer.w"), 3);
}

TEST(Npz, IsWrittenAndReadBack) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("matrix", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  state.insert("scalar", Tensor::from(std::vector<double>{0.5}, {}));
  state.insert("empty", Tensor::empty({0, 4}, DType::float16));
  state.insert("flags", Tensor::from(std::vector<std::uint8_t>{1, 0}, {2}));
  state.insert("brain", Tensor::from(std::vector<bfloat16>{to_bfloat16(1.5f), to_bfloat16(-2)}, {2}));
  state.insert("a/b.c \xc3\xa9", Tensor::from(std::vector<std::int64_t>{-1}, {1}));
  state.metadata()["lost"] = "yes";
  save(folder / "a.npz", state);
  const StateDict back = load(folder / "a.npz");
  EXPECT_EQ(inspect_file(folder / "a.npz").format, "npz");
  ASSERT_EQ(back.size(), state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_EQ(back.entries()[i].first, state.entries()[i].first);
    EXPECT_EQ(back.entries()[i].second.dtype(), state.entries()[i].second.dtype());
    EXPECT_FALSE(equivalence::first_difference(back.entries()[i].second, state.entries()[i].second).has_value());
  }
  save(folder / "none.npz", StateDict());
  EXPECT_EQ(load(folder / "none.npz").size(), 0u);
  expect_error(ErrorCode::invalid_argument, {"one file"},
               [&] { save(folder / "a.npz", state, {.max_shard_bytes = 1}); });
  StateDict sparse;
  sparse.insert("s", SparseTensor{to_csr(state.at("matrix")), {2, 3}});
  expect_error(ErrorCode::invalid_argument, {"\"s\"", "sparse"}, [&] { save(folder / "b.npz", sparse); });
  expect_error(ErrorCode::invalid_argument, {"\"s\"", "sparse"}, [&] { save(folder / "b.safetensors", sparse); });
}

}  // namespace
}  // namespace sparsert::test
