// tests/ops/spmm_test.cpp — CSR times dense, and the sparse layer, to the bit on every device.
#include "device/simt/simt.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

bool is_slow(const Device& device) { return device.type == Device::Type::simt; }

/// Runs spmm with and without a plan, and linear with and without one, and expects the canonical bits of all four.
template <class T, class I>
void expect_canonical(const Matrix<T, I>& a, const Product<T>& x, const Device& device, const std::string& what) {
  const auto expected = canonical(a, x);
  const Csr matrix = a.on(device);
  const Plan plan(matrix, x.n);
  const Tensor b = Tensor::from(x.b, {a.k, x.n}, device);
  const Tensor bias = Tensor::from(x.bias, {static_cast<std::int64_t>(x.bias.size())}, device);
  const auto nan = stored<T>(std::numeric_limits<double>::quiet_NaN());
  for (const bool planned : {false, true}) {
    Tensor out = Tensor::from(x.beta != 0 ? x.c : std::vector<T>(expected.size(), nan), {a.m, x.n}, device);
    const SpmmOptions options{x.bias.empty() ? nullptr : &bias, x.relu, x.alpha, x.beta, &out};
    if (planned) spmm(plan, b, options);
    else spmm(matrix, b, options);
    EXPECT_TRUE(same_bits(widened(to_vector<T>(out)), expected))
        << what << (planned ? " planned" : " direct") << " spmm";
  }
  if (x.alpha != 1 || x.beta != 0) return;
  const Tensor bt = Tensor::from(transposed(x.b, a.k, x.n), {x.n, a.k}, device);
  for (const bool planned : {false, true}) {
    Tensor out = Tensor::from(std::vector<T>(expected.size(), nan), {x.n, a.m}, device);
    const LinearOptions options{x.bias.empty() ? nullptr : &bias, x.relu, &out};
    if (planned) linear(bt, plan, options);
    else linear(bt, matrix, options);
    EXPECT_TRUE(same_bits(widened(to_vector<T>(out)), transposed(expected, a.m, x.n)))
        << what << (planned ? " planned" : " direct") << " linear";
  }
}

template <class T, class I>
void expect_canonical(const Matrix<T, I>& a, const Product<T>& x, const std::string& what) {
  for (const Device& device : devices_under_test()) expect_canonical(a, x, device, to_string(device) + " " + what);
}

template <class T>
Product<T> product(std::int64_t k, std::int64_t n, Values kind) {
  Product<T> x;
  x.n = n;
  x.b = values_of<T>(kind, k * n, 5);
  return x;
}

std::string shape_name(std::int64_t m, std::int64_t k, std::int64_t n) { return to_string(Shape{m, k, n}); }

TEST(Spmm, Shapes) {
  const std::vector<Shape> shapes{
      {0, 5, 4},     {4, 0, 5},    {5, 4, 0},    {1, 1, 1},     {1, 7, 1},    {7, 1, 1},     {1, 1, 9},
      {31, 32, 33},  {32, 33, 31}, {33, 31, 32}, {63, 64, 65},  {65, 63, 64}, {12, 255, 8},  {12, 256, 16},
      {12, 257, 40}, {9, 511, 17}, {9, 512, 24}, {9, 513, 100}, {5, 1023, 7}, {5, 1025, 64}, {127, 251, 130}};
  for (const Shape& s : shapes) {
    for (const double density : {0.05, 0.5, 1.0}) {
      const auto a = random_matrix<float>(s[0], s[1], density, Values::normal);
      expect_canonical(a, product<float>(s[1], s[2], Values::normal), shape_name(s[0], s[1], s[2]));
    }
  }
}

TEST(Spmm, LongAndWideShapes) {
  for (const Device& device : devices_under_test()) {
    const std::int64_t large = is_slow(device) ? 3'000 : 100'000;
    for (const Shape& s : {Shape{large, 3, 5}, Shape{3, large, 5}, Shape{3, 3, large}}) {
      const auto a = random_matrix<float>(s[0], s[1], 0.3, Values::small_integers);
      expect_canonical(a, product<float>(s[1], s[2], Values::small_integers), device,
                       to_string(device) + shape_name(s[0], s[1], s[2]));
    }
  }
}

TEST(Spmm, Patterns) {
  constexpr std::int64_t kRows = 70;
  constexpr std::int64_t kInner = 1100;
  std::mt19937_64 random(1);
  const auto coin = [&](double p) { return static_cast<double>(random() >> 11) * 0x1p-53 < p; };
  for (const Values kind : {Values::normal, Values::small_integers}) {
    const auto check = [&](const char* name, auto has) {
      for (const std::int64_t n : {1, 20, 64}) {
        expect_canonical(matrix_of<float>(kRows, kInner, kind, has), product<float>(kInner, n, kind), name);
      }
    };
    check("no entries", [](auto, auto) { return false; });
    check("empty rows", [&](auto i, auto) { return i % 3 == 0 && coin(0.1); });
    check("one full row", [](auto i, auto) { return i == 33; });
    check("one full column", [](auto, auto p) { return p == 700; });
    check("full", [](auto, auto) { return true; });
    check("diagonal", [](auto i, auto p) { return i == p; });
    check("banded", [](auto i, auto p) { return std::abs(i * 15 - p) < 20; });
    check("power law", [&](auto i, auto) { return coin(1.0 / static_cast<double>(i + 1)); });
    check("last piece only", [](auto, auto p) { return p >= 1024; });
    check("ends of pieces", [](auto, auto p) { return p % kPiece == kPiece - 1 || p % kPiece == 0; });
  }
}

TEST(Spmm, Values) {
  for (const Values kind : kAllValues) {
    const auto a = random_matrix<float>(40, 600, 0.2, kind);
    expect_canonical(a, product<float>(600, 37, kind), to_string(kind));
    expect_canonical(a, product<float>(600, 37, Values::special), std::string(to_string(kind)) + " times special");
  }
}

template <class T, class I>
void expect_typed() {
  for (const Values kind : {Values::normal, Values::small_integers, Values::special}) {
    const auto a = random_matrix<T, I>(37, 530, 0.1, kind);
    auto x = product<T>(530, 45, kind);
    expect_canonical(a, x, std::string(to_string(dtype_of<T>)));
    x.bias = values_of<T>(Values::normal, 37, 9);
    x.c = values_of<T>(Values::normal, 37 * 45, 10);
    x.relu = true;
    expect_canonical(a, x, std::string(to_string(dtype_of<T>)) + " bias");
    x.alpha = -0.37;
    x.beta = 1.7;
    expect_canonical(a, x, std::string(to_string(dtype_of<T>)) + " beta");
  }
}

TEST(Spmm, EveryDtypeAndIndexType) {
  expect_typed<float, std::int32_t>();
  expect_typed<float, std::int64_t>();
  expect_typed<double, std::int32_t>();
  expect_typed<double, std::int64_t>();
  expect_typed<float16, std::int32_t>();
  expect_typed<float16, std::int64_t>();
  expect_typed<bfloat16, std::int32_t>();
  expect_typed<bfloat16, std::int64_t>();
}

TEST(Spmm, AlphaBetaBiasRelu) {
  const auto a = random_matrix<float>(33, 90, 0.2, Values::normal);
  for (const double alpha : {1.0, 0.0, -2.5}) {
    for (const double beta : {0.0, 1.0, -0.75}) {
      for (const bool bias : {false, true}) {
        for (const bool relu : {false, true}) {
          auto x = product<float>(90, 50, Values::normal);
          x.alpha = alpha;
          x.beta = beta;
          x.relu = relu;
          x.c = make_values(Values::normal, 33 * 50, 6);
          if (bias) x.bias = make_values(Values::normal, 33, 7);
          expect_canonical(a, x, "alpha " + std::to_string(alpha) + " beta " + std::to_string(beta));
        }
      }
    }
  }
}

TEST(Spmm, AlphaZeroReadsNeitherMatrix) {
  auto a = random_matrix<float>(20, 30, 0.5, Values::normal);
  std::fill(a.values.begin(), a.values.end(), std::numeric_limits<float>::quiet_NaN());
  auto x = product<float>(30, 20, Values::normal);
  std::fill(x.b.begin(), x.b.end(), std::numeric_limits<float>::infinity());
  x.alpha = 0;
  expect_canonical(a, x, "beta 0");
  x.beta = 2;
  x.c = make_values(Values::normal, 20 * 20, 6);
  expect_canonical(a, x, "beta 2");
}

TEST(Spmm, NothingLeaksFromWhereNoEntryIs) {
  const auto a =
      matrix_of<float>(64, 300, Values::normal, [](auto i, auto p) { return p % 3 == 1 && (i + p) % 5 != 0; });
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto x = product<float>(300, 70, Values::normal);
    for (std::int64_t p = 0; p < 300; ++p) {
      if (p % 3 != 1) std::fill_n(x.b.begin() + p * 70, 70, bad);
    }
    for (const float sum : canonical(a, x)) ASSERT_TRUE(std::isfinite(sum));
    expect_canonical(a, x, "bad rows of b");
  }
}

TEST(Spmm, StoredZerosMultiply) {
  auto a = matrix_of<float>(8, 8, Values::zeros, [](auto i, auto p) { return i == p; });
  auto x = product<float>(8, 16, Values::normal);
  std::fill(x.b.begin(), x.b.end(), std::numeric_limits<float>::infinity());
  for (std::int64_t i = 0; i < 8; ++i) ASSERT_TRUE(std::isnan(canonical(a, x)[i * 16]));
  expect_canonical(a, x, "stored zeros against Inf");
}

TEST(Spmm, ZeroResultsArePositive) {
  const auto a = matrix_of<float>(3, 4, Values::positive, [](auto, auto) { return true; });
  Product<float> x;
  x.n = 20;
  x.b.assign(4 * 20, -0.0f);
  for (const float sum : canonical(a, x)) ASSERT_FALSE(std::signbit(sum));
  expect_canonical(a, x, "-0");
  x.b.assign(4 * 20, -std::numeric_limits<float>::denorm_min());
  auto tiny = a;
  for (float& v : tiny.values) v = 1e-3f;
  for (const float sum : canonical(tiny, x)) ASSERT_FALSE(std::signbit(sum));
  expect_canonical(tiny, x, "underflow from below");
}

TEST(Spmm, SameBitsWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(500, 1200, 0.1, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    for (const std::int64_t n : {1, 70, 300}) {
      expect_canonical(a, product<float>(1200, n, Values::normal), cpu_device, std::to_string(threads) + " threads");
    }
  }
}

TEST(Spmm, WithinTheBound) {
  for (const Values kind : {Values::normal, Values::positive, Values::cancelling, Values::wide, Values::denormal}) {
    const auto check = [&]<class T>() {
      const auto a = random_matrix<T>(40, 1100, 0.3, kind);
      const auto x = product<T>(1100, 33, kind);
      for (const Device& device : devices_under_test()) {
        for (const Order order : {Order::canonical, Order::fast}) {
          const Tensor c = spmm(a.on(device), Tensor::from(x.b, {1100, 33}, device), {.order = order});
          EXPECT_TRUE(within_bound(widened(to_vector<T>(c)), a, x)) << to_string(device) << " " << to_string(kind);
        }
      }
    };
    check.operator()<float>();
    check.operator()<double>();
    if (kind != Values::cancelling && kind != Values::wide) check.operator()<float16>();
    check.operator()<bfloat16>();
  }
}

TEST(Spmm, TheComparisonNoticesEveryFault) {
  for (const Values kind : {Values::small_integers, Values::normal}) {
    const auto a = random_matrix<float>(20, 1300, 0.2, kind);
    auto x = product<float>(1300, 33, kind);
    for (const Device& device : devices_under_test()) {
      const auto plain = to_vector<float>(spmm(a.on(device), Tensor::from(x.b, {1300, 33}, device)));
      for (const Fault fault : {Fault::dropped_term, Fault::term_twice, Fault::skipped_tail}) {
        EXPECT_FALSE(same_bits(plain, canonical(a, x, fault))) << static_cast<int>(fault);
        EXPECT_FALSE(within_bound(canonical(a, x, fault), a, x)) << static_cast<int>(fault);
      }
      if (kind == Values::normal) {
        EXPECT_FALSE(same_bits(plain, canonical(a, x, Fault::late_piece)));
      }
      auto y = x;
      y.beta = 0.5;
      y.c = make_values(kind, 20 * 33, 8);
      y.bias = make_values(Values::positive, 20, 8);
      Tensor out = Tensor::from(y.c, {20, 33}, device);
      const Tensor bias = Tensor::from(y.bias, {20}, device);
      const auto full = to_vector<float>(
          spmm(a.on(device), Tensor::from(y.b, {1300, 33}, device), {.bias = &bias, .beta = 0.5, .out = &out}));
      EXPECT_TRUE(same_bits(full, canonical(a, y)));
      EXPECT_FALSE(same_bits(full, canonical(a, y, Fault::wrong_beta)));
      EXPECT_FALSE(same_bits(full, canonical(a, y, Fault::no_bias)));
    }
  }
}

TEST(Spmm, WritesOnlyItsOutput) {
  for (const Device& device : devices_under_test()) {
    if (!device.is_host()) continue;
    for (const std::int64_t n : {1, 7, 33, 64, 100}) {
      const auto a = random_matrix<float>(45, 77, 0.3, Values::normal);
      const auto x = product<float>(77, n, Values::normal);
      Guarded<float> b({77, n}, device, 0.0f);
      std::copy(x.b.begin(), x.b.end(), b.tensor().mutable_span<float>().begin());
      Guarded<float> bt({n, 77}, device, 0.0f);
      const auto flipped = transposed(x.b, 77, n);
      std::copy(flipped.begin(), flipped.end(), bt.tensor().mutable_span<float>().begin());
      const Plan plan(a.on(device), n);
      Guarded<float> c({45, n}, device, std::numeric_limits<float>::quiet_NaN());
      Guarded<float> y({n, 45}, device, std::numeric_limits<float>::quiet_NaN());
      spmm(plan, b.tensor(), {.out = &c.tensor()});
      linear(bt.tensor(), plan, {.out = &y.tensor()});
      EXPECT_TRUE(same_bits(c.tensor(), canonical(a, x)));
      EXPECT_TRUE(same_bits(y.tensor(), transposed(canonical(a, x), 45, n)));
      spmm(a.on(device), b.tensor(), {.out = &c.tensor()});
      linear(bt.tensor(), a.on(device), {.out = &y.tensor()});
    }
  }
}

/// What the launches of `kernel` did while `f` ran, requests included.
template <class F>
simt::Counters counted(const char* kernel, F&& f) {
  simt::reset_counters();
  simt::set_profiling(true);
  f();
  simt::set_profiling(false);
  return simt::counters(kernel);
}

TEST(SpmmKernel, MovesLittleMoreThanItMust) {
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    constexpr std::int64_t kN = 128;
    const auto a = random_matrix<float>(96, 640, 0.1, Values::normal);
    const auto x = product<float>(640, kN, Values::normal);
    const Csr matrix = a.on(device);
    const Tensor b = Tensor::from(x.b, {640, kN}, device);
    const Plan plan(matrix, kN);
    const auto c = counted("spmm_kernel", [&] { spmm(plan, b); });
    EXPECT_EQ(c.launches, 1);
    EXPECT_EQ(c.global_bytes_written, 96 * kN * 4);
    // A row of B for each entry, and each entry once: B comes from memory as often as the matrix has entries.
    const std::int64_t necessary = matrix.nnz() * (kN * 4 + 8);
    EXPECT_GE(c.global_bytes_read, necessary);
    EXPECT_LE(c.global_bytes_read, necessary + necessary / 20);
    EXPECT_LE(c.global_sectors, c.ideal_sectors + c.ideal_sectors / 20);
    EXPECT_EQ(c.bank_conflicts, 0);
    const auto y = counted("transpose_kernel", [&] { linear(Tensor::from(x.b, {kN, 640}, device), plan); });
    EXPECT_EQ(y.launches, 2);
    EXPECT_EQ(y.global_bytes_read, kN * (640 + 96) * 4);
    EXPECT_EQ(y.global_bytes_written, kN * (640 + 96) * 4);
    EXPECT_EQ(y.global_sectors, y.ideal_sectors);
    EXPECT_EQ(y.bank_conflicts, 0);
  }
}

TEST(SpmmKernel, DoesNotCareAboutTheOrderOfThreads) {
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    const simt::ThreadOrder before = simt::order();
    for (const simt::ThreadOrder order : {simt::ThreadOrder::forward, simt::ThreadOrder::reverse}) {
      simt::set_order(order);
      const auto a = random_matrix<float>(45, 1100, 0.1, Values::normal);
      for (const std::int64_t n : {3, 20, 33, 136}) {
        expect_canonical(a, product<float>(1100, n, Values::normal), device, "n " + std::to_string(n));
      }
    }
    simt::set_order(before);
  }
}

TEST(Plan, TakesNewValuesAndKeepsItsOwn) {
  for (const Device& device : devices_under_test()) {
    auto a = random_matrix<float>(50, 700, 0.2, Values::normal);
    const auto x = product<float>(700, 40, Values::normal);
    const Tensor b = Tensor::from(x.b, {700, 40}, device);
    Csr matrix = a.on(device);
    Plan plan(matrix, 40);
    Plan copy = plan;
    const auto before = canonical(a, x);
    const auto nnz = static_cast<std::int64_t>(a.values.size());
    if (device.is_host()) {  // the matrix's owner changes a value: not the plan's
      Tensor shared = matrix.values();
      shared.mutable_span<float>()[0] = 1e30f;
      EXPECT_TRUE(same_bits(spmm(plan, b), before)) << to_string(device);
    }
    a.values = make_values(Values::positive, nnz, 21);
    Tensor values = Tensor::from(a.values, {nnz}, device);
    plan.update_values(values);
    if (device.is_host()) values.mutable_span<float>()[0] = 1e30f;
    EXPECT_TRUE(same_bits(spmm(plan, b), canonical(a, x))) << to_string(device);
    EXPECT_TRUE(same_bits(spmm(copy, b), canonical(a, x))) << to_string(device);
    EXPECT_TRUE(same_bits(plan.matrix().values(), a.values)) << to_string(device);
    const bool is_packed =
        device.type != Device::Type::reference && !(device.type == Device::Type::cpu && cpu_info().simd == "scalar");
    EXPECT_EQ(plan.nbytes() > 0, is_packed) << to_string(device);
  }
}

TEST(Plan, WorksForOtherWidthsThanItsOwn) {
  const auto a = random_matrix<float>(60, 300, 0.3, Values::normal);
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t planned : {0, 1, 16, 64, 1000}) {
      const Plan plan(a.on(device), planned);
      for (const std::int64_t n : {1, 5, 31, 64, 130}) {
        const auto x = product<float>(300, n, Values::normal);
        EXPECT_TRUE(same_bits(spmm(plan, Tensor::from(x.b, {300, n}, device)), canonical(a, x)))
            << to_string(device) << " planned " << planned << " n " << n;
      }
    }
  }
}

TEST(Spmm, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  const Tensor b = Tensor::zeros({6, 3}, DType::float32);
  expect_error(bad, {"spmm", "b", "5", "a.cols() = 6"}, [&] { spmm(a, Tensor::zeros({5, 3}, DType::float32)); });
  expect_error(bad, {"spmm", "b", "(6,)"}, [&] { spmm(a, Tensor::zeros({6}, DType::float32)); });
  expect_error(bad, {"spmm", "b", "float64", "float32"}, [&] { spmm(a, Tensor::zeros({6, 3}, DType::float64)); });
  expect_error(bad, {"spmm", "b", "reference", "cpu"}, [&] { spmm(a, b.to(Device::parse("reference"))); });
  const Tensor bias = Tensor::zeros({3}, DType::float32);
  expect_error(bad, {"spmm", "bias", "(3,)", "(4,)"}, [&] { spmm(a, b, {.bias = &bias}); });
  expect_error(bad, {"spmm", "beta", "out"}, [&] { spmm(a, b, {.beta = 1}); });
  Tensor out = Tensor::zeros({4, 4}, DType::float32);
  expect_error(bad, {"spmm", "out", "(4, 4)", "(4, 3)"}, [&] { spmm(a, b, {.out = &out}); });
  Tensor fixed = Tensor::zeros({4, 3}, DType::float32).as_read_only();
  expect_error(bad, {"read-only"}, [&] { spmm(a, b, {.out = &fixed}); });
  const Csr integers = a.with_values(Tensor::zeros({a.nnz()}, DType::int32));
  expect_error(bad, {"spmm", "int32"}, [&] { spmm(integers, Tensor::zeros({6, 3}, DType::int32)); });
  expect_error(bad, {"plan", "int32"}, [&] { Plan{integers}; });
  expect_error(bad, {"plan", "n", "-1"}, [&] { Plan(a, -1); });
  Plan plan(a);
  expect_error(bad, {"update_values", "values"},
               [&] { plan.update_values(Tensor::zeros({a.nnz() + 1}, DType::float32)); });
  expect_error(bad, {"update_values", "float64"},
               [&] { plan.update_values(Tensor::zeros({a.nnz()}, DType::float64)); });
  expect_error(bad, {"linear", "x", "5", "6"}, [&] { linear(Tensor::zeros({3, 5}, DType::float32), a); });
  expect_error(bad, {"linear", "bias", "(3,)"}, [&] {
    linear(Tensor::zeros({2, 6}, DType::float32), a, {.bias = &bias});
  });
}

TEST(Spmm, RefusesAnOutputThatOverlapsAnInput) {
  std::vector<float> memory(64);
  const auto part = [&](std::int64_t at, Shape shape) {
    return Tensor::wrap(memory.data() + at, std::move(shape), DType::float32, cpu_device, [] {});
  };
  const Csr a = random_matrix<float>(4, 4, 1.0, Values::normal).on(cpu_device);
  Tensor out = part(8, {4, 4});
  for (const std::int64_t at : {0, 8, 23}) {
    expect_error(ErrorCode::invalid_argument, {"spmm", "out overlaps b"}, [&] {
      spmm(a, part(at, {4, 4}), {.out = &out});
    });
    expect_error(ErrorCode::invalid_argument, {"linear", "out overlaps x"}, [&] {
      linear(part(at, {4, 4}), a, {.out = &out});
    });
  }
  const Tensor bias = part(20, {4});
  expect_error(ErrorCode::invalid_argument, {"spmm", "out overlaps bias"}, [&] {
    spmm(a, part(40, {4, 4}), {.bias = &bias, .out = &out});
  });
  Tensor values = a.values().reshape({4, 4});
  expect_error(ErrorCode::invalid_argument, {"spmm", "values"}, [&] { spmm(a, part(40, {4, 4}), {.out = &values}); });
  spmm(a, part(24, {4, 4}), {.out = &out});  // side by side is fine
}

}  // namespace
}  // namespace sparsert::test
