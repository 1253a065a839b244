// tests/ops/reduce_test.cpp — sums over rows and columns of a sparse matrix, and their scaling, on every device.
#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

template <class T, class I>
std::vector<Wide<T>> sums_of(const Matrix<T, I>& a) {
  std::vector<Wide<T>> out;
  for (std::int64_t i = 0; i < a.m; ++i) {
    Wide<T> sum = 0;
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) sum += wide(a.values[e]);
    out.push_back(wide(stored<T>(static_cast<double>(sum))));
  }
  return out;
}

template <class T, class I>
std::vector<Wide<T>> scaled(const Matrix<T, I>& a, const std::vector<T>& factors, bool by_column) {
  std::vector<Wide<T>> out;
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      const Wide<T> product = wide(a.values[e]) * wide(factors[by_column ? a.columns[e] : i]);
      out.push_back(wide(stored<T>(static_cast<double>(product))));
    }
  }
  return out;
}

template <class T, class I>
void check(const Shape& shape, Values kind) {
  const auto a = random_matrix<T, I>(shape[0], shape[1], 0.3, kind);
  const auto rows = values_of<T>(kind, a.m, 5);
  const auto cols = values_of<T>(kind, a.k, 6);
  for (const Device& device : devices_under_test()) {
    SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " " + to_string(kind));
    const Csr csr = a.on(device);
    EXPECT_TRUE(same_bits(widened(to_vector<T>(row_sums(csr))), sums_of(a)));
    EXPECT_TRUE(same_bits(widened(to_vector<T>(column_sums(csr))), sums_of(transposed_matrix(a))));
    EXPECT_TRUE(same_bits(widened(to_vector<T>(scale_rows(csr, Tensor::from(rows, {a.m}, device)).values())),
                          scaled(a, rows, false)));
    EXPECT_TRUE(same_bits(widened(to_vector<T>(scale_columns(csr, Tensor::from(cols, {a.k}, device)).values())),
                          scaled(a, cols, true)));
  }
}

TEST(Reduce, ShapesValuesAndTypes) {
  for (const Shape& s : {Shape{0, 4}, {4, 0}, {1, 1}, {33, 31}, {5, 300}, {300, 5}}) {
    for (const Values kind : {Values::normal, Values::special, Values::small_integers}) {
      check<float, std::int32_t>(s, kind);
    }
  }
  check<float, std::int64_t>({20, 30}, Values::normal);
  check<double, std::int32_t>({20, 30}, Values::normal);
  check<double, std::int64_t>({20, 30}, Values::normal);
  check<float16, std::int32_t>({20, 30}, Values::normal);
  check<bfloat16, std::int64_t>({20, 30}, Values::normal);
}

TEST(Reduce, IntegersWrap) {
  for (const Device& device : devices_under_test()) {
    const Csr a = to_csr(Tensor::from(std::vector<std::int32_t>{INT32_MAX, 1, 0, 5}, {2, 2}, device));
    EXPECT_TRUE(same_bits(row_sums(a), std::vector<std::int32_t>{INT32_MIN, 5}));
    EXPECT_TRUE(same_bits(column_sums(a), std::vector<std::int32_t>{INT32_MAX, 6}));
  }
}

TEST(Reduce, RefusesBadArguments) {
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  expect_error(ErrorCode::invalid_argument, {"scale_rows", "factors", "(6,)", "(4,)"},
               [&] { scale_rows(a, Tensor::zeros({6}, DType::float32)); });
  expect_error(ErrorCode::invalid_argument, {"scale_columns", "factors", "float64"},
               [&] { scale_columns(a, Tensor::zeros({6}, DType::float64)); });
}

}  // namespace
}  // namespace sparsert::test
