// tests/ops/spmv_test.cpp — sparse times a vector, to the bit on every device.
#include <bit>

#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

template <class T, class I>
void expect_canonical(const Matrix<T, I>& a, Values kind, const Device& device, const std::string& what) {
  Product<T> x;
  x.n = 1;
  x.b = values_of<T>(kind, a.k, 5);
  const auto expected = canonical(a, x);
  const Tensor vector = Tensor::from(x.b, {a.k}, device);
  const Csr matrix = a.on(device);
  EXPECT_TRUE(same_bits(widened(to_vector<T>(spmv(matrix, vector))), expected)) << to_string(device) << " " << what;
  const Plan plan(matrix, 1);
  EXPECT_TRUE(same_bits(widened(to_vector<T>(spmv(plan, vector))), expected)) << to_string(device) << " " << what;
}

TEST(Spmv, ShapesPatternsAndValues) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& s :
         {Shape{0, 5}, {5, 0}, {1, 1}, {1, 700}, {700, 1}, {31, 511}, {9, 512}, {17, 513}, {40, 1600}}) {
      for (const double density : {0.02, 0.5, 1.0}) {
        for (const Values kind : {Values::normal, Values::small_integers, Values::special}) {
          expect_canonical(random_matrix<float>(s[0], s[1], density, kind), kind, device, to_string(s));
        }
      }
    }
    const auto check = [&](const char* name, auto has) {
      expect_canonical(matrix_of<float>(50, 1100, Values::normal, has), Values::normal, device, name);
    };
    check("one full row", [](auto i, auto) { return i == 33; });
    check("one full column", [](auto, auto p) { return p == 700; });
    check("banded", [](auto i, auto p) { return std::abs(i * 15 - p) < 20; });
    check("ends of pieces", [](auto, auto p) { return p % kPiece == kPiece - 1 || p % kPiece == 0; });
    check("further apart than a window moves", [](auto, auto p) { return p < 40 || p == 400 || p == 1099; });
    check("one entry where others have many", [](auto i, auto p) { return i % 8 == 3 ? p == 511 : p % 2 == 0; });
    check("rows of all lengths", [](auto i, auto p) { return p < i * i; });
  }
}

TEST(Spmv, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    const auto check = [&]<class T, class I>() {
      for (const Values kind : {Values::normal, Values::special}) {
        expect_canonical(random_matrix<T, I>(37, 1030, 0.1, kind), kind, device, std::string(to_string(dtype_of<T>)));
      }
    };
    check.operator()<float, std::int64_t>();
    check.operator()<double, std::int32_t>();
    check.operator()<double, std::int64_t>();
    check.operator()<float16, std::int32_t>();
    check.operator()<float16, std::int64_t>();
    check.operator()<bfloat16, std::int32_t>();
    check.operator()<bfloat16, std::int64_t>();
  }
}

TEST(Spmv, SameBitsWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(3000, 1200, 0.05, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    expect_canonical(a, Values::normal, cpu_device, std::to_string(threads) + " threads");
  }
}

TEST(Spmv, NothingLeaksFromWhereNoEntryIs) {
  for (const Device& device : devices_under_test()) {
    const auto a = matrix_of<float>(64, 300, Values::normal, [](auto i, auto p) { return p % 3 == 1 && (i + p) % 5; });
    std::vector<float> x(300, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t p = 1; p < 300; p += 3) x[p] = static_cast<float>(p);
    for (const float y : to_vector<float>(spmv(Plan(a.on(device), 1), Tensor::from(x, {300}, device)))) {
      EXPECT_TRUE(std::isfinite(y));
    }
  }
}

TEST(Spmv, ZerosThatUnderflowLeaveNoSign) {
  for (const Device& device : devices_under_test()) {
    auto a = matrix_of<float>(40, 64, Values::normal, [](auto i, auto p) { return (i + p) % 3 != 0; });
    std::fill(a.values.begin(), a.values.end(), -0x1p-100F);
    const std::vector<float> x(64, 0x1p-100F);
    for (const float y : to_vector<float>(spmv(Plan(a.on(device), 1), Tensor::from(x, {64}, device)))) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(y), 0U);
    }
  }
}

TEST(Spmv, PlanTakesNewValues) {
  for (const Device& device : devices_under_test()) {
    auto a = random_matrix<float>(50, 700, 0.2, Values::normal);
    Plan plan(a.on(device), 1);
    a.values = make_values(Values::positive, static_cast<std::int64_t>(a.values.size()), 21);
    plan.update_values(Tensor::from(a.values, {static_cast<std::int64_t>(a.values.size())}, device));
    Product<float> x;
    x.n = 1;
    x.b = make_values(Values::normal, 700, 5);
    EXPECT_TRUE(same_bits(spmv(plan, Tensor::from(x.b, {700}, device)), canonical(a, x)));
  }
}

TEST(Spmv, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  expect_error(bad, {"spmv", "x", "(5,)", "(6,)"}, [&] { spmv(a, Tensor::zeros({5}, DType::float32)); });
  expect_error(bad, {"spmv", "x", "(6, 1)"}, [&] { spmv(a, Tensor::zeros({6, 1}, DType::float32)); });
  expect_error(bad, {"spmv", "float64", "float32"}, [&] { spmv(a, Tensor::zeros({6}, DType::float64)); });
  expect_error(bad, {"spmv", "reference", "cpu"},
               [&] { spmv(a, Tensor::zeros({6}, DType::float32).to(Device::parse("reference"))); });
  expect_error(bad, {"spmv", "int32"},
               [&] { spmv(a.with_values(Tensor::zeros({a.nnz()}, DType::int32)), Tensor::zeros({6}, DType::int32)); });
}

}  // namespace
}  // namespace sparsert::test
