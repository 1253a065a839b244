// tests/index_limit_test.cpp — what happens past the last int32 index, at toy size: the limit is made 100 for this
// program.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sparsert/sparsert.hpp"
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

const int kLimited = ::setenv("SPARSERT_TEST_INT32_MAX", "100", 1);

Tensor ones(Shape shape) {
  const std::vector<float> values(static_cast<std::size_t>(element_count(shape)), 1.0f);
  return Tensor::from(values, std::move(shape));
}

constexpr ErrorCode kBad = ErrorCode::invalid_argument;

TEST(IndexLimit, DenseToSparse) {
  ASSERT_EQ(kLimited, 0);
  EXPECT_EQ(to_csr(ones({10, 10})).nnz(), 100);
  expect_error(kBad, {"to_csr", "110 non-zeros", "int64"}, [] { to_csr(ones({10, 11})); });
  EXPECT_EQ(to_csr(ones({10, 11}), DType::int64).nnz(), 110);
  expect_error(kBad, {"to_csr", "101 rows"}, [] { to_csr(ones({101, 1})); });
  expect_error(kBad, {"to_csr", "101 columns"}, [] { to_csr(ones({1, 101})); });
  EXPECT_EQ(to_csr(Tensor::zeros({100, 100}, DType::float32)).nnz(), 0) << "zeros are not counted";
  EXPECT_EQ(to_nm(ones({20, 20}), 4, 4).to_dense().numel(), 400) << "N:M has no indices that could overflow";
  expect_error(kBad, {"to_csr", "int64"}, [] { to_nm(ones({20, 20}), 4, 4).to_csr(DType::int32); });
}

TEST(IndexLimit, ConstructorsAndConversions) {
  const Tensor none = Tensor::zeros({0}, DType::int32);
  const Tensor values = Tensor::zeros({0}, DType::float32);
  expect_error(kBad, {"coo", "(101, 1)", "int64"}, [&] { Coo(none, none, values, {101, 1}); });
  const Csr sparse = to_csr(ones({10, 3}));
  EXPECT_EQ(to_bsr(sparse, {1, 1}).to_csr().nnz(), 30);
  // One entry in each block of 4 x 4: as entries of CSR the blocks are too many.
  Tensor corner = Tensor::zeros({28, 4}, DType::float32);
  for (std::int64_t i = 0; i < 28; i += 4) corner.mutable_span<float>()[static_cast<std::size_t>(i * 4)] = 1;
  const Bsr blocks = to_bsr(corner, {4, 4});
  EXPECT_EQ(blocks.nnz(), 112);
  expect_error(kBad, {"to_csr", "112 entries", "int64"}, [&] { blocks.to_csr(); });
  const Csr wide = to_csr(ones({10, 6}));
  expect_error(kBad, {"concatenate", "120 entries", "int64"}, [&] { concatenate({wide, wide}); });
  const Tensor bits = cast(ones({1, 13}), DType::uint8);
  expect_error(kBad, {"bitmap", "int64"}, [&] { Bitmap(bits, ones({13}), {1, 104}); });
}

TEST(IndexLimit, ProductsAreCountedBeforeTheyWrap) {
  const Csr column = to_csr(ones({11, 1}));
  const Csr row = to_csr(ones({1, 11}));
  expect_error(kBad, {"spgemm", "121 entries", "int64"}, [&] { spgemm(column, row); });
  EXPECT_EQ(spgemm(to_csr(ones({11, 1}), DType::int64), to_csr(ones({1, 11}), DType::int64)).nnz(), 121);
  const Csr left = to_csr(ones({10, 10}));
  EXPECT_EQ(add(left, left).nnz(), 100);
}

TEST(IndexLimit, FilesChooseWideIndices) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("limit" + std::to_string(::getpid()) + ".mtx");
  std::ofstream(path) << "%%MatrixMarket matrix coordinate real general\n101 2 1\n101 2 5\n";
  EXPECT_EQ(read_matrix_market(path).index_dtype(), DType::int64);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sparsert::test
