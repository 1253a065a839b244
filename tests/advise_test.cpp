// tests/advise_test.cpp — advice: measured, explained, kept in a file; and a matmul that follows it to the bit.
#include "sparsert/advise.hpp"

#include <filesystem>
#include <fstream>

#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// A cache folder of this test's own.
class Advise : public ::testing::Test {
 protected:
  Advise() : folder_(std::filesystem::path(::testing::TempDir()) / ("advice" + std::to_string(::getpid()))) {
    ::setenv("SPARSERT_CACHE_DIR", folder_.c_str(), 1);
  }
  ~Advise() override {
    ::unsetenv("SPARSERT_CACHE_DIR");
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
};

TEST_F(Advise, MeasuresExplainsAndRemembers) {
  const Csr a = random_matrix<float>(64, 64, 0.1, Values::normal).on(cpu_device);
  const Advice first = advise(a, 16);
  EXPECT_FALSE(first.cached);
  EXPECT_EQ(first.choice, first.candidates.front().format);
  std::vector<std::string> formats;
  for (const AdviceCandidate& c : first.candidates) {
    formats.push_back(c.format);
    if (c.seconds < 0) continue;
    EXPECT_GT(c.seconds, 0) << c.format;
    EXPECT_GT(c.bytes, 0) << c.format;
  }
  std::sort(formats.begin(), formats.end());
  EXPECT_EQ(formats, (std::vector<std::string>{"bitmap", "bsr", "csr", "dense", "nm"}));
  EXPECT_GE(first.reasons.size(), 5u);
  EXPECT_EQ(advice_file(), (folder_ / "advice.json").string());
  EXPECT_TRUE(std::filesystem::exists(advice_file()));
  const Advice again = advise(a, 16);
  EXPECT_TRUE(again.cached);
  EXPECT_EQ(again.choice, first.choice);
  EXPECT_EQ(again.reasons, first.reasons);
  EXPECT_FALSE(advise(a, 16, true).cached);
  EXPECT_FALSE(advise(a, 8).cached) << "another width is another question";
}

TEST_F(Advise, TellsBytesHonestly) {
  const Csr a = random_matrix<float16>(32, 32, 0.6, Values::normal).on(cpu_device);
  const Advice advice = advise(a, 4);
  EXPECT_NE(advice.reasons.back().find("csr is larger here"), std::string::npos) << advice.reasons.back();
  EXPECT_NE(advice.reasons.back().find("larger above 33 % density"), std::string::npos) << advice.reasons.back();
  for (const AdviceCandidate& c : advice.candidates) {
    if (c.format == "dense") {
      EXPECT_EQ(c.bytes, 32 * 32 * 2);
    } else if (c.format == "bitmap") {
      EXPECT_EQ(c.bytes, to_bitmap(a).nbytes());
    }
  }
}

TEST_F(Advise, ADamagedFileCountsAsNone) {
  std::filesystem::create_directories(folder_);
  const Csr a = random_matrix<float>(20, 20, 0.2, Values::normal).on(cpu_device);
  for (const char* content :
       {"", "{", "[]", R"({"format": 1, "entries": {"x": {"choice": 3}}})", R"({"format": 99})"}) {
    std::ofstream(advice_file()) << content;
    EXPECT_FALSE(advise(a, 3, true).choice.empty()) << content;
  }
  std::filesystem::remove(advice_file());
  EXPECT_FALSE(advise(a, 3, true).choice.empty());
}

TEST_F(Advise, MatmulKeepsItsBitsWhateverTheAdvice) {
  for (const double density : {0.05, 0.5, 1.0}) {
    const auto a = random_matrix<float>(60, 700, density, Values::normal);
    const Csr matrix = a.on(cpu_device);
    advise(matrix, 40);
    // A file edited to say "make it dense" must not change a bit either.
    std::ifstream in(advice_file());
    std::string text((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t at = 0; (at = text.find("\"densify\": false", at)) != std::string::npos;) {
      text.replace(at, 16, "\"densify\": true");
    }
    const std::filesystem::path other = folder_ / "edited";
    std::filesystem::create_directories(other);
    ::setenv("SPARSERT_CACHE_DIR", other.c_str(), 1);
    std::ofstream(advice_file()) << text;
    ASSERT_TRUE(advise(matrix, 40).densify);
    for (const Values kind : {Values::normal, Values::special}) {
      Product<float> x;
      x.n = 40;
      x.b = make_values(kind, 700 * 40, 5);
      EXPECT_TRUE(same_bits(matmul(matrix, Tensor::from(x.b, {700, 40})), canonical(a, x))) << to_string(kind);
    }
    ::setenv("SPARSERT_CACHE_DIR", folder_.c_str(), 1);
    std::filesystem::remove_all(other);
  }
}

TEST_F(Advise, RefusesBadArguments) {
  const Csr a = random_matrix<float>(4, 4, 0.5, Values::normal).on(cpu_device);
  expect_error(ErrorCode::invalid_argument, {"advise", "n", "0"}, [&] { advise(a, 0); });
  expect_error(ErrorCode::invalid_argument, {"advise", "int32"},
               [&] { advise(a.with_values(Tensor::zeros({a.nnz()}, DType::int32)), 4); });
}

}  // namespace
}  // namespace sparsert::test
