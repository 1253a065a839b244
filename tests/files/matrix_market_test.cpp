// tests/files/matrix_market_test.cpp — Matrix Market files: read, written, refused.
#include "sparsert/matrix_market.hpp"

#include <filesystem>
#include <fstream>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

class MatrixMarket : public ::testing::Test {
 protected:
  MatrixMarket() : path_(std::filesystem::path(::testing::TempDir()) / ("m" + std::to_string(::getpid()) + ".mtx")) {}
  ~MatrixMarket() override { std::filesystem::remove(path_); }

  Coo read(const std::string& text, DType dtype = DType::float64) {
    std::ofstream(path_) << text;
    return read_matrix_market(path_, dtype);
  }
  std::vector<double> dense(const std::string& text) { return to_vector<double>(read(text).to_dense()); }
  void refuse(const std::string& text, const std::vector<std::string>& words) {
    SCOPED_TRACE(text);
    expect_error(ErrorCode::file, words, [&] { read(text); });
  }

  std::filesystem::path path_;
};

TEST_F(MatrixMarket, ReadsEveryKind) {
  EXPECT_EQ(dense("%%MatrixMarket matrix coordinate real general\n% note\n\n2 3 3\n1 1 1.5\n2 3 -2e0\r\n1 1 +.5\n"),
            (std::vector<double>{2, 0, 0, 0, 0, -2}));
  EXPECT_EQ(dense("%%matrixmarket MATRIX Coordinate Pattern General\n2 2 2\n1 2\n2 1\n"),
            (std::vector<double>{0, 1, 1, 0}));
  EXPECT_EQ(dense("%%MatrixMarket matrix coordinate integer symmetric\n2 2 2\n1 1 3\n2 1 4\n"),
            (std::vector<double>{3, 4, 4, 0}));
  EXPECT_EQ(dense("%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 4\n"),
            (std::vector<double>{0, -4, 4, 0}));
  EXPECT_EQ(dense("%%MatrixMarket matrix array real general\n2 2\n1\n0\n3\n4\n"), (std::vector<double>{1, 3, 0, 4}));
  EXPECT_EQ(dense("%%MatrixMarket matrix array real symmetric\n2 2\n1\n2\n3"), (std::vector<double>{1, 2, 2, 3}));
  EXPECT_EQ(read("%%MatrixMarket matrix coordinate real general\n0 5 0\n").shape(), (Shape{0, 5}));
  const Coo large = read("%%MatrixMarket matrix coordinate real general\n3000000000 2 1\n3000000000 2 1e-400\n");
  EXPECT_EQ(large.index_dtype(), DType::int64);
  EXPECT_EQ(to_vector<double>(large.values()), (std::vector<double>{0}));
  EXPECT_EQ(to_vector<float>(
                read("%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 0.1\n", DType::float32).values()),
            (std::vector<float>{0.1f}));
}

TEST_F(MatrixMarket, EveryValueComesBackWithItsBits) {
  for (const Values kind : kAllValues) {
    if (kind == Values::special) continue;
    const auto values = make_values<double>(kind, 200, 3);
    std::vector<std::int64_t> places(200);
    for (std::size_t i = 0; i < 200; ++i) places[i] = static_cast<std::int64_t>(i * 7 % 200);
    const Coo a(Tensor::from(places, {200}), Tensor::from(places, {200}), Tensor::from(values, {200}), {200, 200});
    write_matrix_market(path_, a);
    const Coo b = read_matrix_market(path_);
    EXPECT_TRUE(same_bits(b.values(), values));
    EXPECT_EQ(b.shape(), a.shape());
    EXPECT_EQ(to_vector<std::int32_t>(b.rows()), std::vector<std::int32_t>(places.begin(), places.end()));
  }
}

TEST_F(MatrixMarket, RefusesWhatIsNoMatrix) {
  const std::string head = "%%MatrixMarket matrix coordinate real general\n";
  refuse("", {"%%MatrixMarket"});
  refuse("hello", {"line 1", "%%MatrixMarket"});
  refuse("%%MatrixMarket vector coordinate real general\n", {"vector"});
  refuse("%%MatrixMarket matrix sideways real general\n", {"sideways"});
  refuse("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n", {"complex"});
  refuse("%%MatrixMarket matrix coordinate real hermitian\n", {"hermitian"});
  refuse("%%MatrixMarket matrix array pattern general\n", {"pattern"});
  refuse(head, {"no sizes"});
  refuse(head + "2 2\n", {"line 2", "entries"});
  refuse(head + "-1 2 0\n", {"rows", "-1"});
  refuse(head + "99999999999999999999 2 0\n", {"rows"});
  refuse(head + "2 2 1000000000000\n1 1 1\n", {"1000000000000 entries cannot be in a file"});
  refuse(head + "2 2 2\n1 1 1\n", {"entry 2 of 2 is missing"});
  refuse(head + "2 2 1\n3 1 1\n", {"line 3", "row", "3", "1 to 2"});
  refuse(head + "2 2 1\n1 0 1\n", {"column", "0"});
  refuse(head + "2 2 1\n1 1 x\n", {"value", "x"});
  refuse(head + "2 2 1\n1 1\n", {"value"});
  refuse(head + "2 2 1\n1 1 1 1\n", {"unexpected", "1"});
  refuse(head + "2 2 1\n1 1 1\n2 2 2\n", {"more entries"});
  refuse("%%MatrixMarket matrix array real general\n1000000 1000000\n1\n", {"cannot be in a file"});
  refuse("%%MatrixMarket matrix coordinate real symmetric\n2 3 0\n", {"symmetric", "(2, 3)"});
  refuse("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n1 2 1\n", {"above the diagonal"});
  refuse("%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n1 1 1\n", {"on the diagonal"});
  expect_error(ErrorCode::file, {}, [&] { read_matrix_market(path_.string() + ".missing"); });
  const Tensor place = Tensor::from(std::vector<std::int32_t>{0}, {1});
  expect_error(ErrorCode::invalid_argument, {"write_matrix_market", "finite"}, [&] {
    write_matrix_market(path_, Coo(place, place, Tensor::from(std::vector<double>{NAN}, {1}), {1, 1}));
  });
}

TEST_F(MatrixMarket, AnyPrefixIsReadOrRefused) {
  const std::string text = "%%MatrixMarket matrix coordinate real symmetric\n% c\n3 3 3\n1 1 1\n3 2 2.5\n3 3 -1e3\n";
  for (std::size_t length = 0; length < text.size(); ++length) {
    try {
      read(text.substr(0, length)).validate();
    } catch (const FileError&) {
    }
  }
}

}  // namespace
}  // namespace sparsert::test
