// tests/ops/spmm_transposed_test.cpp — the transpose of a sparse matrix times dense, and dense times sparse, to the
// bit.
#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

template <class T, class I>
void expect_canonical(const Matrix<T, I>& a, std::int64_t n, Values kind, const Device& device) {
  SCOPED_TRACE(to_string(device) + " " + to_string(Shape{a.m, a.k, n}) + " " + to_string(kind));
  Product<T> x;
  x.n = n;
  x.b = values_of<T>(kind, a.m * n, 5);
  const auto expected = canonical(transposed_matrix(a), x);
  const Csr matrix = a.on(device);
  const Tensor c = spmm_transposed(matrix, Tensor::from(x.b, {a.m, n}, device));
  EXPECT_EQ(c.shape(), (Shape{a.k, n}));
  EXPECT_TRUE(same_bits(widened(to_vector<T>(c)), expected));
  const Tensor left = Tensor::from(transposed(x.b, a.m, n), {n, a.m}, device);
  EXPECT_TRUE(same_bits(widened(to_vector<T>(matmul(left, matrix))), transposed(expected, a.k, n)));
}

TEST(SpmmTransposed, ShapesAndPatterns) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& s : {Shape{0, 5, 4},
                           {4, 0, 5},
                           {5, 4, 0},
                           {1, 1, 1},
                           {33, 31, 32},
                           {65, 63, 7},
                           {512, 9, 33},
                           {513, 12, 40},
                           {1100, 20, 3},
                           {3, 300, 65}}) {
      for (const double density : {0.05, 0.6}) {
        expect_canonical(random_matrix<float>(s[0], s[1], density, Values::normal), s[2], Values::normal, device);
      }
    }
    for (const Values kind : kAllValues) {
      expect_canonical(random_matrix<float>(700, 20, 0.2, kind), 17, kind, device);
    }
    expect_canonical(matrix_of<float>(600, 40, Values::normal, [](auto i, auto) { return i == 3; }), 20, Values::normal,
                     device);
    expect_canonical(matrix_of<float>(600, 40, Values::normal, [](auto, auto p) { return p == 3; }), 20, Values::normal,
                     device);
  }
}

TEST(SpmmTransposed, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    const auto check = [&]<class T, class I>() {
      expect_canonical(random_matrix<T, I>(540, 37, 0.1, Values::normal), 21, Values::special, device);
    };
    check.operator()<float, std::int64_t>();
    check.operator()<double, std::int32_t>();
    check.operator()<double, std::int64_t>();
    check.operator()<float16, std::int32_t>();
    check.operator()<bfloat16, std::int64_t>();
  }
}

TEST(SpmmTransposed, SameBitsWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(1200, 300, 0.1, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    for (const std::int64_t n : {1, 20, 200}) expect_canonical(a, n, Values::normal, cpu_device);
  }
}

TEST(SpmmTransposed, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  expect_error(bad, {"spmm_transposed", "b", "6", "a.rows() = 4"}, [&] {
    spmm_transposed(a, Tensor::zeros({6, 2}, DType::float32));
  });
  expect_error(bad, {"spmm_transposed", "b", "float64"}, [&] {
    spmm_transposed(a, Tensor::zeros({4, 2}, DType::float64));
  });
  expect_error(bad, {"spmm_transposed", "b", "2 dim"}, [&] { spmm_transposed(a, Tensor::zeros({4}, DType::float32)); });
  expect_error(bad, {"matmul", "4 rows", "columns, 6"}, [&] { matmul(Tensor::zeros({2, 6}, DType::float32), a); });
}

}  // namespace
}  // namespace sparsert::test
