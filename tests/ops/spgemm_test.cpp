// tests/ops/spgemm_test.cpp — sparse times sparse and sparse plus sparse: pattern and bits, on every device.
#include <map>

#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

template <class T, class I>
void expect_csr(const Csr& got, const Matrix<T, I>& expected) {
  EXPECT_EQ(got.shape(), (Shape{expected.m, expected.k}));
  EXPECT_TRUE(same_bits(got.row_offsets(), expected.offsets));
  EXPECT_TRUE(same_bits(got.columns(), expected.columns));
  EXPECT_TRUE(same_bits(widened(to_vector<T>(got.values())), widened(expected.values)));
  got.validate();
}

/// A·B with every sum in canonical order.
template <class T, class I>
Matrix<T, I> product_of(const Matrix<T, I>& a, const Matrix<T, I>& b) {
  struct Sum {
    Wide<T> total = 0;
    Wide<T> piece = 0;
    std::int64_t at = 0;
  };
  Matrix<T, I> out{a.m, b.k};
  for (std::int64_t i = 0; i < a.m; ++i) {
    std::map<I, Sum> row;
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      const I k = a.columns[e];
      for (I f = b.offsets[k]; f < b.offsets[k + 1]; ++f) {
        Sum& sum = row[b.columns[f]];
        if (k / kPiece != sum.at) {
          sum.total += sum.piece;
          sum.piece = 0;
          sum.at = k / kPiece;
        }
        sum.piece = std::fma(wide(a.values[e]), wide(b.values[f]), sum.piece);
      }
    }
    for (const auto& [column, sum] : row) {
      out.columns.push_back(column);
      out.values.push_back(stored<T>(static_cast<double>(sum.total + sum.piece + Wide<T>{0})));
    }
    out.offsets.push_back(static_cast<I>(out.columns.size()));
  }
  return out;
}

template <class T, class I>
void check(std::int64_t m, std::int64_t k, std::int64_t n, double density, Values kind, const Device& device) {
  SCOPED_TRACE(to_string(device) + " " + to_string(Shape{m, k, n}) + " " + to_string(kind));
  const auto a = random_matrix<T, I>(m, k, density, kind, 3);
  const auto b = random_matrix<T, I>(k, n, density, kind, 4);
  expect_csr(spgemm(a.on(device), b.on(device)), product_of(a, b));
}

TEST(Spgemm, ShapesAndValues) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& s :
         {Shape{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {1, 1, 1}, {31, 33, 32}, {20, 600, 15}, {9, 1100, 40}}) {
      for (const double density : {0.0, 0.05, 0.5}) {
        check<float, std::int32_t>(s[0], s[1], s[2], density, Values::normal, device);
      }
    }
    for (const Values kind : kAllValues) check<float, std::int32_t>(20, 530, 17, 0.1, kind, device);
  }
}

TEST(Spgemm, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    check<float, std::int64_t>(17, 530, 20, 0.1, Values::normal, device);
    check<double, std::int32_t>(17, 530, 20, 0.1, Values::normal, device);
    check<double, std::int64_t>(17, 530, 20, 0.1, Values::normal, device);
    check<float16, std::int32_t>(17, 530, 20, 0.1, Values::normal, device);
    check<float16, std::int64_t>(17, 530, 20, 0.1, Values::normal, device);
    check<bfloat16, std::int32_t>(17, 530, 20, 0.1, Values::normal, device);
  }
}

TEST(Spgemm, SameBitsWithAnyNumberOfThreads) {
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    check<float, std::int32_t>(400, 1200, 300, 0.03, Values::normal, cpu_device);
  }
}

TEST(Spgemm, WideResultsNeedNoWideAccumulator) {
  constexpr std::int64_t kWide = std::int64_t{1} << 40;
  for (const Device& device : devices_under_test()) {
    const Csr a(Tensor::from(std::vector<std::int64_t>{0, 2}, {2}, device),
                Tensor::from(std::vector<std::int64_t>{0, 1}, {2}, device),
                Tensor::from(std::vector<float>{2.0f, 3.0f}, {2}, device), {1, 2});
    const Csr b(Tensor::from(std::vector<std::int64_t>{0, 2, 3}, {3}, device),
                Tensor::from(std::vector<std::int64_t>{7, kWide - 1, kWide - 1}, {3}, device),
                Tensor::from(std::vector<float>{1.0f, 10.0f, 100.0f}, {3}, device), {2, kWide});
    const Csr c = spgemm(a, b);
    EXPECT_TRUE(same_bits(c.columns(), std::vector<std::int64_t>{7, kWide - 1}));
    EXPECT_TRUE(same_bits(c.values(), std::vector<float>{2.0f, 320.0f}));
  }
}

TEST(Spgemm, IsCappedBeforeItIsMade) {
  for (const Device& device : devices_under_test()) {
    const Csr a = random_matrix<float>(20, 20, 1.0, Values::normal).on(device);
    const std::int64_t bytes = 400 * 8 + 21 * 4;
    EXPECT_EQ(spgemm(a, a, {.max_bytes = bytes}).nbytes(), bytes);
    expect_error(ErrorCode::out_of_memory, {"spgemm", "400 entries", "3284 bytes", "max_bytes = 3283"},
                 [&] { spgemm(a, a, {.max_bytes = bytes - 1}); });
  }
}

TEST(SparseAdd, UnionOfPatterns) {
  for (const Device& device : devices_under_test()) {
    const auto check_add = [&]<class T, class I>(Values kind) {
      const auto a = random_matrix<T, I>(33, 40, 0.3, kind, 3);
      const auto b = random_matrix<T, I>(33, 40, 0.3, kind, 4);
      Matrix<T, I> out{33, 40};
      for (std::int64_t i = 0; i < 33; ++i) {
        std::map<I, T> row;
        for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) row[a.columns[e]] = a.values[e];
        for (I e = b.offsets[i]; e < b.offsets[i + 1]; ++e) {
          const auto [at, is_new] = row.emplace(b.columns[e], b.values[e]);
          if (!is_new) at->second = stored<T>(static_cast<double>(wide(at->second) + wide(b.values[e])));
        }
        for (const auto& [column, value] : row) {
          out.columns.push_back(column);
          out.values.push_back(value);
        }
        out.offsets.push_back(static_cast<I>(out.columns.size()));
      }
      expect_csr(add(a.on(device), b.on(device)), out);
    };
    check_add.operator()<float, std::int32_t>(Values::normal);
    check_add.operator()<float, std::int64_t>(Values::special);
    check_add.operator()<double, std::int64_t>(Values::normal);
    check_add.operator()<float16, std::int32_t>(Values::normal);
    check_add.operator()<bfloat16, std::int64_t>(Values::normal);
    const Tensor x = Tensor::from(std::vector<std::int32_t>{INT32_MAX, 0, 3, 0}, {2, 2}, device);
    const Tensor y = Tensor::from(std::vector<std::int32_t>{1, 2, 0, 0}, {2, 2}, device);
    EXPECT_TRUE(same_bits(add(to_csr(x), to_csr(y)).values(), std::vector<std::int32_t>{INT32_MIN, 2, 3}));
  }
}

TEST(Spgemm, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  const Csr wide = random_matrix<float, std::int64_t>(6, 4, 0.5, Values::normal).on(cpu_device);
  const Csr other = random_matrix<double>(6, 4, 0.5, Values::normal).on(cpu_device);
  expect_error(bad, {"spgemm", "b", "4 rows", "a.cols() = 6"}, [&] { spgemm(a, a); });
  expect_error(bad, {"spgemm", "b", "int64 indices", "int32"}, [&] { spgemm(a, wide); });
  expect_error(bad, {"spgemm", "b", "float64", "float32"}, [&] { spgemm(a, other); });
  expect_error(bad, {"add", "b", "(6, 4)", "(4, 6)"}, [&] { add(a, transpose(a)); });
  expect_error(bad, {"spgemm", "max_bytes"}, [&] { spgemm(a, transpose(a), {.max_bytes = -1}); });
}

}  // namespace
}  // namespace sparsert::test
