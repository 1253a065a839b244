// tests/tools/cli_test.cpp — the sparsert command as a user runs it: output, exit codes, terminals, hostile files.
#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

using nlohmann::json;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

std::vector<char*> pointers(std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return argv;
}

Result wait_for(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, {}, {}};
}

class Command : public ::testing::Test {
 protected:
  // Runs the command with its output in files, as in a pipe.
  Result run(std::vector<std::string> arguments, const std::string& out = "") {
    arguments.insert(arguments.begin(), SPARSERT_COMMAND);
    const std::vector<char*> argv = pointers(arguments);
    const std::string out_path = out.empty() ? (folder_ / "stdout").string() : out;
    const std::string err_path = (folder_ / "stderr").string();
    const pid_t child = ::fork();
    if (child == 0) {
      const int out_fd = ::open(out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int err_fd = ::open(err_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(out_fd, STDOUT_FILENO);
      ::dup2(err_fd, STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    Result result = wait_for(child);
    if (out.empty()) result.out = read_file(out_path);
    result.err = read_file(err_path);
    return result;
  }

  // Runs the command on a terminal, which gets both streams.
  Result run_on_terminal(std::vector<std::string> arguments, const char* no_color) {
    arguments.insert(arguments.begin(), SPARSERT_COMMAND);
    const std::vector<char*> argv = pointers(arguments);
    int terminal = -1;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
      ::setenv("NO_COLOR", no_color, 1);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t got = 0; (got = ::read(terminal, part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<std::size_t>(got));
    }
    ::close(terminal);
    Result result = wait_for(child);
    result.out = text;
    return result;
  }

  // Two matrices, a bias, a mask, and a token table; 14 of 20 elements of the matrices are not zero.
  std::string model() {
    StateDict state;
    state.insert("fc1.weight", Tensor::from(std::vector<float>{1, -2, 3, 0, 5, -6, 7, 0, 9, 10, 0, 0}, {3, 4}));
    state.insert("fc1.bias", Tensor::from(std::vector<float>{0.5f, 0, 0.25f}, {3}));
    state.insert("fc2.weight", Tensor::from(std::vector<double>{0.1, 0.2, 0.3, 0.4, 0, 0, 0.7, 0.8}, {2, 4}));
    state.insert("tokens", Tensor::from(std::vector<std::int64_t>{0, 1, 2, 3}, {2, 2}));
    state.metadata() = {{"format", "pt"}};
    save(folder_ / "in.safetensors", state);
    return (folder_ / "in.safetensors").string();
  }

  std::string out() const { return (folder_ / "out.safetensors").string(); }

  TemporaryFolder folder_;
};

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << word << " is not in:\n" << text;
}

TEST_F(Command, SaysWhatItCanDo) {
  const Result help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  expect_words(help.out, {"inspect", "prune", "convert"});
  EXPECT_EQ(help.err, "");
  EXPECT_EQ(run({"prune", "--help"}).code, 0);
  const Result version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out, std::string(kVersion) + "\n");
}

TEST_F(Command, WrongUsageIsCodeTwoAndOnStandardError) {
  const std::string in = model();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"no-such-command"},
                                             {"inspect"},
                                             {"inspect", in, "--no-such-option"},
                                             {"inspect", in, in},
                                             {"convert", in},
                                             {"convert", in, "-o", "model.bin"},
                                             {"prune", in, "-o", out()},
                                             {"prune", in, "--amount", "0.5"},
                                             {"prune", in, "-o", "model.bin", "--amount", "0.5"},
                                             {"prune", in, "-o", out(), "--amount", "1.5"},
                                             {"prune", in, "-o", out(), "--amount", "-0.1"},
                                             {"prune", in, "-o", out(), "--amount", "nan"},
                                             {"prune", in, "-o", out(), "--amount", "half"},
                                             {"prune", in, "-o", out(), "--amount", ""},
                                             {"prune", in, "-o", out(), "--amount", "0.5", "--method", "magic"},
                                             {"prune", in, "-o", out(), "--amount", "0.5", "--scope", "world"}}) {
    const Result result = run(arguments);
    SCOPED_TRACE(::testing::PrintToString(arguments));
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err, "");
    EXPECT_FALSE(std::filesystem::exists(out()));
  }
}

TEST_F(Command, FailuresAreCodeOneAndOneLine) {
  const std::string in = model();
  write_file(folder_ / "bad.safetensors", container("{]"));
  const std::string bad = (folder_ / "bad.safetensors").string();
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"inspect", "no-such-file"},
           {"inspect", bad},
           {"inspect", "--json", bad},
           {"inspect", "/dev/null"},
           {"convert", bad, "-o", out()},
           {"convert", in, "-o", "no-such-folder/x.safetensors"},
           {"convert", in, "-o", out(), "--include", "no-such-tensor"},
           {"prune", bad, "-o", out(), "--amount", "0.5"},
           {"prune", in, "-o", out(), "--amount", "0.5", "--exclude", "no-such-tensor"},
           {"prune", in, "-o", out(), "--amount", "0.5", "--exclude", "*"}}) {
    const Result result = run(arguments);
    SCOPED_TRACE(::testing::PrintToString(arguments));
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.err.starts_with("sparsert: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(out()));
  }
}

TEST_F(Command, AFullDiskUnderStandardOutputIsAFailure) { EXPECT_EQ(run({"inspect", model()}, "/dev/full").code, 1); }

TEST_F(Command, InspectPrintsATable) {
  const Result result = run({"inspect", model()});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  expect_words(result.out, {"in.safetensors: safetensors, 4 tensors, 27 elements, 156 bytes, density 70.37 %",
                            "metadata format = pt", "fc1.weight", "(3, 4)", "66.67 %", "F64", "I64"});
  EXPECT_EQ(result.out.find('\033'), std::string::npos);
  EXPECT_EQ(run({"inspect", folder_.path().string()}).out, result.out);
}

TEST_F(Command, InspectGivesJson) {
  const Result result = run({"inspect", "--json", model()});
  ASSERT_EQ(result.code, 0);
  const json report = json::parse(result.out);
  EXPECT_EQ(report.at("format"), "safetensors");
  EXPECT_EQ(report.at("elements"), 27);
  EXPECT_EQ(report.at("bytes"), 156);
  EXPECT_DOUBLE_EQ(report.at("density").get<double>(), 19.0 / 27);
  EXPECT_EQ(report.at("metadata"), (json{{"format", "pt"}}));
  EXPECT_EQ(report.at("refused"), json::array());
  ASSERT_EQ(report.at("tensors").size(), 4u);
  const json& tensor = report.at("tensors").at(0);
  EXPECT_EQ(tensor.at("name"), "fc1.weight");
  EXPECT_EQ(tensor.at("dtype"), "F32");
  EXPECT_EQ(tensor.at("shape"), (json{3, 4}));
  EXPECT_EQ(tensor.at("bytes"), 48);
  EXPECT_DOUBLE_EQ(tensor.at("density").get<double>(), 8.0 / 12);

  const json quick = json::parse(run({"inspect", "--json", "--no-density", model()}).out);
  EXPECT_TRUE(quick.at("density").is_null());
  EXPECT_TRUE(quick.at("tensors").at(0).at("density").is_null());
}

TEST_F(Command, InspectSaysWhatIsRefusedAndWhy) {
  const std::string path = (folder_ / "a.safetensors").string();
  write_file(path, container(header({entry("q", "F8_E4M3", "[2]", "[0,2]"), entry("w", "U8", "[1]", "[2,3]")}), "abc"));
  const Result text = run({"inspect", path});
  EXPECT_EQ(text.code, 0);
  expect_words(text.out, {"refused q: F8_E4M3 is not stored here"});
  const json report = json::parse(run({"inspect", "--json", path}).out);
  ASSERT_EQ(report.at("refused").size(), 1u);
  EXPECT_EQ(report.at("refused").at(0).at("name"), "q");
  EXPECT_EQ(report.at("tensors").size(), 2u);
  EXPECT_DOUBLE_EQ(report.at("density").get<double>(), 1.0);
  const Result convert = run({"convert", path, "-o", out()});
  EXPECT_EQ(convert.code, 1);
  expect_words(convert.err, {"\"q\"", "F8_E4M3"});
  EXPECT_EQ(run({"convert", path, "-o", out(), "--include", "w"}).code, 0);
}

TEST_F(Command, AFileCannotSpeakToTheTerminal) {
  const std::string path = (folder_ / "a.safetensors").string();
  write_file(path, container(header({R"("__metadata__":{"\u001b[2J":"\u009b31m\u0007"})",
                                     entry("\\u001b]0;title\\u0007\\n\\r", "U8", "[0]", "[0,0]"),
                                     entry("\\u009b1A", "F4", "[2]", "[0,1]")}),
                             "d"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"inspect", path}, {"convert", path, "-o", out()}}) {
    const Result result = run(arguments);
    for (const std::string& text : {result.out, result.err}) {
      EXPECT_TRUE(
          std::none_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7f; }));
      EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
    }
  }
  // In JSON the name is whole, and escaped by JSON's rules.
  const json report = json::parse(run({"inspect", "--json", path}).out);
  EXPECT_EQ(report.at("tensors").at(0).at("name"), "\x1b]0;title\x07\n\r");
}

TEST_F(Command, ColorsAndProgressAreForTerminals) {
  const std::string in = model();
  const Result colored = run_on_terminal({"inspect", in}, "");
  EXPECT_EQ(colored.code, 0);
  EXPECT_NE(colored.out.find("\033[1m"), std::string::npos);
  EXPECT_NE(colored.out.find("reading tensor 4 of 4"), std::string::npos);
  const Result plain = run_on_terminal({"inspect", in}, "1");
  EXPECT_EQ(plain.out.find("\033[1m"), std::string::npos);
}

TEST_F(Command, PruneRemovesExactlyTheAmountOfEachMatrix) {
  const Result result = run({"prune", model(), "-o", out(), "--method", "magnitude", "--amount", "0.5"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const StateDict pruned = load(out());
  EXPECT_EQ(to_vector<float>(pruned.at("fc1.weight")), (std::vector<float>{0, 0, 3, 0, 5, -6, 7, 0, 9, 10, 0, 0}));
  EXPECT_EQ(to_vector<double>(pruned.at("fc2.weight")), (std::vector<double>{0, 0, 0.3, 0.4, 0, 0, 0.7, 0.8}));
  EXPECT_EQ(to_vector<float>(pruned.at("fc1.bias")), (std::vector<float>{0.5f, 0, 0.25f}));
  EXPECT_EQ(to_vector<std::int64_t>(pruned.at("tokens")), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(pruned.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(pruned.entries()[3].first, "tokens");
}

TEST_F(Command, PruneIsHonestAboutBytes) {
  const std::string in = model();
  const Result result = run({"prune", in, "-o", out(), "--amount", "0.5"});
  ASSERT_EQ(result.code, 0);
  const std::string size = std::to_string(std::filesystem::file_size(in));
  EXPECT_EQ(std::filesystem::file_size(in), std::filesystem::file_size(out()));
  // As CSR: 6 of 12 floats with 3 rows, 4 of 8 doubles with 2 rows; offsets and columns of 4 bytes.
  expect_words(result.out, {"file: " + size + " bytes before, " + size + " bytes after (dense: zeros are stored",
                            "as CSR: the pruned tensors would take 124 bytes instead of 112",
                            "pruned: 20 elements, zeros 30.00 % before, 50.00 % after", "33.33 %", "25.00 %",
                            "left alone: 1 tensor, not a matrix", "left alone: 1 tensor, not of a floating type",
                            "left alone in all: 7 elements"});
}

TEST_F(Command, PruneExcludesByGlob) {
  const Result result = run({"prune", model(), "-o", out(), "--amount", "1", "--exclude", "fc2.*"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_words(result.out, {"left alone: 1 tensor, excluded by fc2.*"});
  const StateDict pruned = load(out());
  EXPECT_EQ(count_nonzero(pruned.at("fc1.weight")), 0);
  EXPECT_EQ(count_nonzero(pruned.at("fc2.weight")), 6);
}

TEST_F(Command, GlobalScopeTakesTheSmallestOfAll) {
  StateDict state;
  state.insert("large", Tensor::from(std::vector<float>{10, 20, 30, 40}, {2, 2}));
  state.insert("small", Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}));
  save(folder_ / "in.safetensors", state);
  const std::string in = (folder_ / "in.safetensors").string();
  ASSERT_EQ(run({"prune", in, "-o", out(), "--amount", "0.5", "--scope", "global"}).code, 0);
  EXPECT_EQ(count_nonzero(load(out()).at("large")), 4);
  EXPECT_EQ(count_nonzero(load(out()).at("small")), 0);
}

TEST_F(Command, PruneByEveryMethod) {
  StateDict state;
  const Tensor weight = equivalence::make_values(equivalence::Values::normal, {64, 48}, DType::float32, 1);
  const Tensor norms = equivalence::make_values(equivalence::Values::positive, {48}, DType::float32, 2);
  state.insert("w", weight);
  const std::string in = (folder_ / "in.safetensors").string();
  save(in, state);
  StateDict inputs;
  inputs.insert("w", norms);
  const std::string input_file = (folder_ / "inputs.safetensors").string();
  save(input_file, inputs);
  const auto pruned = [&](std::vector<std::string> options) {
    std::vector<std::string> arguments{"prune", in, "-o", out()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    return to_vector<float>(load(out()).at("w"));
  };
  EXPECT_EQ(pruned({"--amount", "0.7", "--method", "random", "--seed", "5"}),
            to_vector<float>(prune::random(weight, 0.7, 5)));
  EXPECT_EQ(pruned({"--method", "n_m", "--pattern", "1:4"}), to_vector<float>(prune::n_m(weight, 1, 4)));
  EXPECT_EQ(pruned({"--amount", "0.5", "--method", "block", "--block", "8x4", "--norm", "1"}),
            to_vector<float>(prune::block(weight, {8, 4}, 0.5, prune::Norm::l1)));
  EXPECT_EQ(pruned({"--amount", "0.5", "--method", "block", "--scope", "global"}),
            to_vector<float>(prune::block(weight, {4, 4}, 0.5)));
  EXPECT_EQ(pruned({"--amount", "0.25", "--method", "structured", "--axis", "1", "--width", "4"}),
            to_vector<float>(prune::structured(weight, 0.25, {.axis = 1, .width = 4})));
  EXPECT_EQ(pruned({"--amount", "0.5", "--method", "wanda", "--inputs", input_file}),
            to_vector<float>(prune::wanda(weight, norms, 0.5)));
  EXPECT_EQ(pruned({"--amount", "0.5", "--budget", "erk"}), to_vector<float>(prune::magnitude(weight, 0.5)));
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--amount", "0.5", "--method", "wanda"},
                                             {"--amount", "0.5", "--method", "block", "--block", "4"},
                                             {"--method", "n_m", "--pattern", "5:4"},
                                             {"--amount", "0.5", "--method", "random", "--scope", "global"}}) {
    std::vector<std::string> arguments{"prune", in, "-o", out()};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("prune"), std::string::npos) << result.err;
  }
}

TEST_F(Command, ZerosLeaveTheFile) {
  StateDict state;
  state.insert("w", equivalence::make_values(equivalence::Values::normal, {256, 300}, DType::float32, 1));
  const std::string in = (folder_ / "in.safetensors").string();
  save(in, state);
  const auto size_after = [&](std::vector<std::string> options, const char* words) {
    std::vector<std::string> arguments{"prune", in, "-o", out()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    expect_words(result.out, {words});
    return static_cast<double>(std::filesystem::file_size(out())) / (4 * 256 * 300);
  };
  EXPECT_NEAR(size_after({"--amount", "0.9"}, "1 tensor as bitmap"), 0.1 + 1.0 / 32, 0.01);
  EXPECT_NEAR(size_after({"--amount", "0.995"}, "1 tensor as csr"), 2 * 0.005, 0.005);
  EXPECT_NEAR(size_after({"--method", "n_m", "--pattern", "1:16"}, "1 tensor as nm"), (4 + 0.5) / 64, 0.01);
  EXPECT_NEAR(size_after({"--amount", "0.9", "--dense"}, "as --dense asks"), 1.0, 0.01);
  EXPECT_NEAR(size_after({"--amount", "0"}, "dense: zeros are stored, since"), 1.0, 0.01);
}

TEST_F(Command, PruneMayWriteOverItsInput) {
  const std::string in = model();
  ASSERT_EQ(run({"prune", in, "-o", in, "--amount", "1"}).code, 0);
  EXPECT_EQ(count_nonzero(load(in).at("fc1.weight")), 0);
}

TEST_F(Command, ConvertKeepsEverything) {
  const std::string in = model();
  const Result result = run({"convert", in, "-o", out()});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_words(result.out, {"out.safetensors: 4 tensors, 156 bytes"});
  EXPECT_EQ(read_file(in), read_file(out()));
}

}  // namespace
}  // namespace sparsert::test
