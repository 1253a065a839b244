// tests/ops/matmul_test.cpp — dense times dense, and the dense layer: the bits of the sparse product.
#include "device/simt/simt.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// x·y as the oracle sees it: every element of x stored.
template <class T>
Matrix<T> full(std::int64_t m, std::int64_t k, Values kind) {
  return matrix_of<T>(m, k, kind, [](auto, auto) { return true; });
}

template <class T>
void expect_canonical(std::int64_t m, std::int64_t k, std::int64_t n, Values kind, const Device& device) {
  const auto a = full<T>(m, k, kind);
  Product<T> x;
  x.n = n;
  x.b = values_of<T>(kind, k * n, 5);
  const std::string what = to_string(device) + " " + to_string(Shape{m, k, n}) + " " + to_string(kind);
  const Tensor left = Tensor::from(a.values, {m, k}, device);
  const auto expected = canonical(a, x);
  const std::vector<T> nans(expected.size(), stored<T>(std::numeric_limits<double>::quiet_NaN()));
  Tensor out = Tensor::from(nans, {m, n}, device);
  matmul(left, Tensor::from(x.b, {k, n}, device), {.out = &out});
  EXPECT_TRUE(same_bits(widened(to_vector<T>(out)), expected)) << what;
  const Tensor w = Tensor::from(transposed(x.b, k, n), {n, k}, device);
  EXPECT_TRUE(same_bits(widened(to_vector<T>(linear(left, w))), expected)) << what << " linear";
}

TEST(Matmul, Shapes) {
  const std::vector<Shape> shapes{{0, 5, 4},     {4, 0, 5},     {5, 4, 0},    {1, 1, 1},    {1, 9, 1},
                                  {9, 1, 1},     {31, 32, 33},  {32, 33, 31}, {33, 31, 32}, {63, 64, 65},
                                  {65, 63, 64},  {7, 255, 257}, {9, 511, 17}, {9, 512, 48}, {6, 513, 100},
                                  {3, 1025, 16}, {127, 251, 30}};
  for (const Device& device : devices_under_test()) {
    for (const Shape& s : shapes) {
      for (const Values kind : {Values::normal, Values::small_integers}) {
        expect_canonical<float>(s[0], s[1], s[2], kind, device);
      }
    }
  }
}

TEST(Matmul, EveryDtypeAndKindOfValue) {
  for (const Device& device : devices_under_test()) {
    for (const Values kind : kAllValues) {
      expect_canonical<float>(14, 600, 20, kind, device);
      expect_canonical<double>(14, 600, 20, kind, device);
      expect_canonical<float16>(14, 600, 20, kind, device);
      expect_canonical<bfloat16>(14, 600, 20, kind, device);
    }
  }
}

TEST(Matmul, BitsOfTheSparseProduct) {
  const auto a = random_matrix<float>(50, 1100, 0.1, Values::normal);
  const auto b = make_values(Values::normal, 1100 * 70, 2);
  for (const Device& device : devices_under_test()) {
    const Tensor right = Tensor::from(b, {1100, 70}, device);
    const auto dense = to_vector<float>(matmul(Tensor::from(a.dense(), {50, 1100}, device), right));
    EXPECT_TRUE(same_bits(spmm(a.on(device), right), dense)) << to_string(device);
    EXPECT_TRUE(same_bits(spmm(Plan(a.on(device), 70), right), dense)) << to_string(device);
  }
}

TEST(Matmul, SameBitsWithAnyNumberOfThreads) {
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    expect_canonical<float>(130, 700, 90, Values::normal, cpu_device);
    expect_canonical<float>(3, 700, 300, Values::normal, cpu_device);
  }
}

TEST(Matmul, WithinTheBoundInAnyOrder) {
  const auto check = [&]<class T>() {
    const auto a = full<T>(30, 1500, Values::normal);
    Product<T> x;
    x.n = 33;
    x.b = values_of<T>(Values::normal, 1500 * 33, 5);
    for (const Device& device : devices_under_test()) {
      for (const Order order : {Order::canonical, Order::fast}) {
        const Tensor c =
            matmul(Tensor::from(a.values, {30, 1500}, device), Tensor::from(x.b, {1500, 33}, device), {.order = order});
        EXPECT_TRUE(within_bound(widened(to_vector<T>(c)), a, x)) << to_string(device);
      }
    }
  };
  check.operator()<float>();
  check.operator()<double>();
  check.operator()<float16>();
  check.operator()<bfloat16>();
}

TEST(DenseLinear, BiasAndRelu) {
  const std::int64_t batch = 37;
  const std::int64_t in = 130;
  const std::int64_t out = 21;
  const auto x = make_values(Values::normal, batch * in, 1);
  const auto w = make_values(Values::normal, out * in, 2);
  const auto bias = make_values(Values::normal, out, 3);
  for (const bool relu : {false, true}) {
    std::vector<float> expected;
    for (std::int64_t i = 0; i < batch; ++i) {
      for (std::int64_t o = 0; o < out; ++o) {
        float sum = 0;
        for (std::int64_t p = 0; p < in; ++p) sum = std::fma(x[i * in + p], w[o * in + p], sum);
        const float y = sum + bias[o];
        expected.push_back(relu && y <= 0 ? 0.0f : y + 0.0f);
      }
    }
    for (const Device& device : devices_under_test()) {
      const Tensor b = Tensor::from(bias, {out}, device);
      const Tensor y =
          linear(Tensor::from(x, {batch, in}, device), Tensor::from(w, {out, in}, device), {.bias = &b, .relu = relu});
      EXPECT_TRUE(same_bits(y, expected)) << to_string(device);
    }
  }
}

TEST(Matmul, WritesOnlyItsOutput) {
  for (const Device& device : devices_under_test()) {
    if (!device.is_host()) continue;
    for (const std::int64_t n : {1, 7, 33, 64, 100}) {
      Guarded<float> x({13, 50}, device, 1.5f);
      Guarded<float> y({50, n}, device, 2.0f);
      Guarded<float> c({13, n}, device, std::numeric_limits<float>::quiet_NaN());
      matmul(x.tensor(), y.tensor(), {.out = &c.tensor()});
      EXPECT_TRUE(same_bits(c.tensor(), std::vector<float>(static_cast<std::size_t>(13 * n), 150.0f)))
          << to_string(device);
    }
  }
}

TEST(MatmulKernel, ReusesEachElementSixtyFourTimes) {
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    const Tensor x = Tensor::from(make_values(Values::normal, 128 * 48, 1), {128, 48}, device);
    const Tensor y = Tensor::from(make_values(Values::normal, 48 * 128, 2), {48, 128}, device);
    const Tensor w = Tensor::from(make_values(Values::normal, 128 * 48, 2), {128, 48}, device);
    for (const bool transposed : {false, true}) {
      simt::reset_counters();
      simt::set_profiling(true);
      if (transposed) {
        linear(x, w);
      } else {
        matmul(x, y);
      }
      simt::set_profiling(false);
      const simt::Counters c = simt::counters("matmul_kernel");
      EXPECT_EQ(c.launches, 1);
      EXPECT_EQ(c.global_bytes_read, 2 * 128 * 128 * 48 * 4 / 64);
      EXPECT_EQ(c.global_bytes_written, 128 * 128 * 4);
      EXPECT_EQ(c.bank_conflicts, 0) << (transposed ? "transposed" : "straight");
    }
  }
}

TEST(Matmul, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Tensor x = Tensor::zeros({4, 6}, DType::float32);
  expect_error(bad, {"matmul", "y has 5 rows", "6"}, [&] { matmul(x, Tensor::zeros({5, 3}, DType::float32)); });
  expect_error(bad, {"matmul", "y", "float64"}, [&] { matmul(x, Tensor::zeros({6, 3}, DType::float64)); });
  expect_error(bad, {"matmul", "x", "int32"}, [&] { matmul(Tensor::zeros({4, 6}, DType::int32), x); });
  expect_error(bad, {"matmul", "y", "(6,)"}, [&] { matmul(x, Tensor::zeros({6}, DType::float32)); });
  expect_error(bad, {"matmul", "y", "reference"}, [&] {
    matmul(x, Tensor::zeros({6, 3}, DType::float32).to(Device::parse("reference")));
  });
  Tensor out = Tensor::zeros({4, 4}, DType::float32);
  expect_error(bad, {"matmul", "out", "(4, 4)", "(4, 3)"}, [&] {
    matmul(x, Tensor::zeros({6, 3}, DType::float32), {.out = &out});
  });
  Tensor square = Tensor::zeros({4, 4}, DType::float32);
  expect_error(bad, {"matmul", "out overlaps x"}, [&] { matmul(square, out, {.out = &square}); });
  expect_error(bad, {"matmul", "out overlaps y"}, [&] { matmul(out, square, {.out = &square}); });
  expect_error(bad, {"linear", "w has 5 columns", "6"}, [&] { linear(x, Tensor::zeros({3, 5}, DType::float32)); });
  const Tensor bias = Tensor::zeros({4}, DType::float32);
  expect_error(bad, {"linear", "bias", "(4,)", "(3,)"}, [&] {
    linear(x, Tensor::zeros({3, 6}, DType::float32), {.bias = &bias});
  });
}

}  // namespace
}  // namespace sparsert::test
