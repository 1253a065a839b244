// tests/ops/attention_test.cpp — attention behind masks, forward and backward: bits of the canonical order, the bound
// against float64, gradients by differences, and what must never be looked at.
#include "device/simt/simt.hpp"
#include "tests/ops/attention_runs.hpp"

namespace sparsert::test {
namespace {

/// What attention is cut into never shows: each block size on the fast devices, one or the other on simt.
TEST(Attention, EveryFamilyAtEveryLengthAndBlockSize) {
  for (const Family& family : families()) {
    std::size_t turn = 0;
    for (const std::int64_t n : {0, 1, 15, 16, 17, 63, 64, 65, 127, 257}) {
      const auto x = attention_of<float>(family, n, 5, Values::normal);
      const auto expected = CanonicalAttention<float>(x).run();
      const std::int64_t of_simt = kBlockSizes[turn++ % std::size(kBlockSizes)];
      for (const std::int64_t block_size : kBlockSizes) {
        const Mask mask = family.make(n, {.block_size = block_size});
        for (const Device& device : block_size == of_simt ? devices_under_test() : fast_devices()) {
          expect_same_bits(run(x, mask, device), expected,
                           describe(family.name, n, 5) + " in " + std::to_string(block_size) + " " + to_string(device));
        }
      }
    }
  }
}

TEST(Attention, OtherNumbersOfKeys) {
  for (const std::size_t f : {1, 2, 9, 13, 14}) {
    const Family& family = families()[f];
    for (const Lengths n : {Lengths{1, 150}, Lengths{130, 1}, Lengths{0, 20}, Lengths{20, 0}, Lengths{70, 200}}) {
      expect_canonical(attention_of<float>(family, n, 9, Values::normal), family.make(n, {}),
                       describe(family.name, n, 9));
    }
  }
}

TEST(Attention, EveryDepth) {
  const Family& family = families()[14];
  for (const std::int64_t depth : {1, 2, 7, 8, 16, 31, 33, 64, 65, 100, 127, 130, 200, 256}) {
    Attention<float> x = attention_of<float>(family, {20, 90}, depth, Values::normal);
    x.value_depth = 257 - depth;
    x.fill(Values::normal);
    expect_canonical(x, family.make(x.n, {}), describe(family.name, x.n, depth));
  }
}

TEST(Attention, EveryDtypeAndKindOfValue) {
  const Family& family = families()[14];
  const Lengths n{70, 133};
  const auto check = [&]<class T>() {
    for (const Values kind : kAllValues) {
      expect_canonical(attention_of<T>(family, n, 11, kind), family.make(n, {}),
                       std::string(to_string(dtype_of<T>)) + " " + to_string(kind));
    }
  };
  check.operator()<float>();
  check.operator()<double>();
  check.operator()<float16>();
  check.operator()<bfloat16>();
}

TEST(Attention, BlockSizesAndThreads) {
  const Family& family = families()[14];
  const Lengths n{200, 170};
  Attention<float> x = attention_of<float>(family, n, 24, Values::normal);
  x.batch = 2;
  x.heads = 6;
  x.key_heads = 3;
  x.fill(Values::normal);
  const auto expected = CanonicalAttention<float>(x).run();
  for (const std::int64_t block_size : kBlockSizes) {
    for (const int threads : kThreadCounts) {
      const Threads scope(threads);
      expect_same_bits(run(x, family.make(n, {.block_size = block_size}), cpu_device), expected,
                       std::to_string(block_size) + ", " + std::to_string(threads) + " threads");
    }
  }
  // One head of keys: its steps are then shared among the threads.
  x.batch = 1;
  x.heads = 2;
  x.key_heads = 1;
  x.fill(Values::normal);
  const auto of_one = CanonicalAttention<float>(x).run();
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    expect_same_bits(run(x, family.make(n, {}), cpu_device), of_one, std::to_string(threads) + " threads");
  }
}

TEST(Attention, HeadsWithMasksOfTheirOwnAndSharedKeys) {
  const Lengths n{80, 100};
  Attention<float> x;
  x.batch = 2;
  x.heads = 4;
  x.key_heads = 2;
  x.n = n;
  x.sees = [](std::int64_t head, std::int64_t i, std::int64_t j) {
    return head == 0 ? j <= i : head == 1 ? std::abs(i - j) < 7 : head == 2 ? j <= i && (i - j) % 5 == 0 : false;
  };
  x.fill(Values::normal);
  const Mask mask = attention::per_head(std::vector<Mask>{attention::causal(n), attention::sliding_window(n, 7),
                                                          attention::strided(n, 5), ~attention::full(n)});
  expect_canonical(x, mask, "per head");
  x.fill_bias(Values::normal);
  expect_canonical(x, mask, "per head, bias");
}

TEST(Attention, BiasIsShared) {
  const Lengths n{20, 70};
  Attention<float> x;
  x.batch = 2;
  x.n = n;
  x.fill(Values::normal);
  const auto plane = values_of<float>(Values::normal, n.query * n.key, 8);
  for (std::int64_t p = 0; p < x.batch * x.heads; ++p) x.bias.insert(x.bias.end(), plane.begin(), plane.end());
  const auto expected = CanonicalAttention<float>(x).run();
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : {Shape{20, 70}, Shape{1, 20, 70}, Shape{1, 1, 20, 70}}) {
      const Tensor bias = Tensor::from(plane, shape, device);
      const Tensor out = attend(x.q_on(device), x.k_on(device), x.v_on(device), {.scale = x.scale, .bias = &bias});
      EXPECT_TRUE(same_bits(out, expected.out)) << to_string(shape);
    }
  }
  // -Inf everywhere is a query that sees nothing.
  std::fill(x.bias.begin(), x.bias.end(), -std::numeric_limits<float>::infinity());
  expect_canonical(x, attention::full(n), "-Inf");
  for (const float e : run(x, attention::full(n), cpu_device).out) EXPECT_EQ(e, 0.0f);
}

TEST(Attention, NothingLeaksFromBehindTheMask) {
  // Documents: what is in one must not reach the other, whatever it is.
  const std::int64_t n = 150;
  const auto first = [](std::int64_t t) { return t < 70; };
  Attention<float> x;
  x.n = n;
  x.depth = 12;
  x.value_depth = 12;
  x.sees = [&](std::int64_t, std::int64_t i, std::int64_t j) { return first(i) == first(j) && j <= i; };
  x.fill(Values::normal);
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < n; ++t) ids.push_back(first(t));
  const Mask mask = attention::document(ids) & attention::causal(n);
  for (const bool second_is_poisoned : {false, true}) {
    Attention<float> y = x;
    for (auto* operand : {&y.q, &y.k, &y.v, &y.grad}) {
      const auto bad = poison(operand->size());
      for (std::size_t e = 0; e < operand->size(); ++e) {
        if (first(static_cast<std::int64_t>(e) / 12 % n) != second_is_poisoned) (*operand)[e] = bad[e];
      }
    }
    for (const Device& device : devices_under_test()) {
      const auto clean = run(x, mask, device);
      const auto dirty = run(y, mask, device);
      const auto compare = [&](const std::vector<float>& a, const std::vector<float>& b, const char* what) {
        for (std::size_t e = 0; e < a.size(); ++e) {
          if (first(static_cast<std::int64_t>(e) / 12 % n) != second_is_poisoned) continue;
          ASSERT_EQ(std::memcmp(&a[e], &b[e], sizeof(float)), 0) << to_string(device) << " " << what << " " << e;
        }
      };
      compare(clean.out, dirty.out, "out");
      compare(clean.q, dirty.q, "gradient of q");
      compare(clean.k, dirty.k, "gradient of k");
      compare(clean.v, dirty.v, "gradient of v");
    }
    // And what is poisoned is so by the rules.
    expect_canonical(y, mask, "poisoned");
  }
}

TEST(Attention, EmptyRowsGiveZeros) {
  const Lengths n{90, 80};
  Attention<float> x;
  x.n = n;
  x.sees = [](std::int64_t, std::int64_t i, std::int64_t j) { return i % 3 != 0 && j % 2 == 0; };
  Tensor dense = Tensor::zeros({n.query, n.key}, DType::uint8);
  for (std::int64_t i = 0; i < n.query; ++i) {
    for (std::int64_t j = 0; j < n.key; ++j) {
      static_cast<std::uint8_t*>(dense.mutable_data())[i * n.key + j] = x.sees(0, i, j);
    }
  }
  x.fill(Values::normal);
  // Keys that nobody sees, and gradients and queries that see nothing, may be anything.
  for (std::int64_t e = 0; e < static_cast<std::int64_t>(x.q.size()); ++e) {
    if (e / x.depth % n.query % 3 == 0) x.q[e] = x.grad[e] = std::nanf("");
  }
  for (std::int64_t e = 0; e < static_cast<std::int64_t>(x.k.size()); ++e) {
    if (e / x.depth % n.key % 2 == 1) x.k[e] = x.v[e] = std::numeric_limits<float>::infinity();
  }
  const Mask mask = attention::from_dense(dense);
  expect_canonical(x, mask, "empty rows");
  for (const Device& device : devices_under_test()) {
    const auto r = run(x, mask, device);
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(r.out.size()); ++e) {
      const bool empty = e / x.depth % n.query % 3 == 0;
      ASSERT_TRUE(std::isfinite(r.out[e]) && std::isfinite(r.q[e]));
      ASSERT_TRUE(!empty || (std::bit_cast<std::uint32_t>(r.out[e]) == 0 && std::bit_cast<std::uint32_t>(r.q[e]) == 0));
    }
    for (std::size_t row = 0; row < r.log_sum_exp.size(); ++row) {
      EXPECT_EQ(std::isinf(r.log_sum_exp[row]), row % 90 % 3 == 0);
    }
    for (const float e : r.k) ASSERT_TRUE(std::isfinite(e));
  }
}

TEST(Attention, FullMaskIsNoMask) {
  const Lengths n{75, 140};
  Attention<float> x;
  x.n = n;
  x.fill(Values::normal);
  const Mask ones = attention::from_dense(attention::full(n).to_dense());
  for (const Device& device : devices_under_test()) {
    const Tensor q = x.q_on(device);
    const Tensor k = x.k_on(device);
    const Tensor v = x.v_on(device);
    const auto without = to_vector<float>(attend(q, k, v));
    EXPECT_TRUE(same_bits(attend(q, k, v, attention::full(n)), without));
    EXPECT_TRUE(same_bits(attend(q, k, v, ones), without));
    const AttendGradients a = attend_backward(x.grad_on(device), q, k, v);
    const AttendGradients b = attend_backward(x.grad_on(device), q, k, v, ones);
    EXPECT_TRUE(same_bits(a.q, to_vector<float>(b.q)));
    EXPECT_TRUE(same_bits(a.k, to_vector<float>(b.k)));
    EXPECT_TRUE(same_bits(a.v, to_vector<float>(b.v)));
  }
}

TEST(Attention, PaddingChangesNothing) {
  const std::int64_t n = 83;
  const std::int64_t padded = 150;
  Attention<float> x;
  x.heads = 1;
  x.n = n;
  x.sees = [](std::int64_t, std::int64_t i, std::int64_t j) { return j <= i; };
  x.fill(Values::normal);
  Attention<float> y = x;
  y.n = padded;
  for (auto* operand : {&y.q, &y.k, &y.v, &y.grad}) {
    const auto bad = poison(static_cast<std::size_t>((padded - n) * 8));
    operand->insert(operand->end(), bad.begin(), bad.end());
  }
  std::vector<std::int64_t> ids(static_cast<std::size_t>(n), 0);
  ids.resize(static_cast<std::size_t>(padded), -1);
  const Mask mask = attention::document(ids) & attention::causal(padded);
  for (const Device& device : devices_under_test()) {
    const auto a = run(x, attention::causal(n), device);
    const auto b = run(y, mask, device);
    const auto starts_with = [&](const std::vector<float>& longer, const std::vector<float>& start) {
      const auto end = longer.begin() + static_cast<std::ptrdiff_t>(start.size());
      EXPECT_TRUE(same_bits(std::vector<float>(longer.begin(), end), start)) << to_string(device);
      EXPECT_TRUE(std::all_of(end, longer.end(), [](float e) { return e == 0; })) << to_string(device);
    };
    starts_with(b.out, a.out);
    starts_with(b.q, a.q);
    starts_with(b.k, a.k);
    starts_with(b.v, a.v);
  }
}

TEST(Attention, DecodingIsTheLastRows) {
  // The last queries of a causal sequence, with the earlier keys from a cache.
  const std::int64_t n = 140;
  Attention<float> x;
  x.heads = 1;
  x.n = n;
  x.fill(Values::normal);
  const auto whole = run(x, attention::causal(n), cpu_device).out;
  for (const std::int64_t last : {1, 7, 70}) {
    Attention<float> y = x;
    y.n = {last, n};
    y.q.assign(x.q.end() - last * x.depth, x.q.end());
    y.grad.assign(x.grad.end() - last * x.depth, x.grad.end());
    const std::vector<float> expected(whole.end() - last * x.depth, whole.end());
    for (const Device& device : devices_under_test()) {
      EXPECT_TRUE(same_bits(run(y, attention::causal(y.n, {.offset = n - last}), device).out, expected));
    }
  }
}

TEST(Attention, WithinTheBoundInAnyOrder) {
  const auto check = [&]<class T>() {
    for (const std::size_t f : {1, 3, 10}) {
      for (const Values kind : {Values::normal, Values::positive, Values::small_integers}) {
        const Family& family = families()[f];
        const auto x = attention_of<T>(family, 150, 16, kind);
        const auto naive = naive_attention<T, Wide<T>>(x);
        const auto exact = widened_to_double(naive_attention<T, Exact<T>>(x));
        for (const Device& device : devices_under_test()) {
          if (device.type == Device::Type::simt && (f != 10 || kind != Values::normal)) continue;
          for (const Order order : {Order::canonical, Order::fast}) {
            expect_within_bound(x, run(x, family.make(150, {}), device, order), naive, exact,
                                to_string(device) + " " + std::string(to_string(dtype_of<T>)) + " " + family.name +
                                    " " + to_string(kind));
          }
        }
      }
    }
  };
  check.operator()<float>();
  check.operator()<double>();
  check.operator()<float16>();
  check.operator()<bfloat16>();
}

TEST(Attention, GradientsAreDifferences) {
  const Family& family = families()[14];
  const Lengths n{40, 75};
  for (const Device& device : devices_under_test()) {
    Attention<double> x = attention_of<double>(family, n, 4, Values::normal);
    x.fill_bias(Values::normal);
    const Mask mask = family.make(n, {});
    const auto gradients = run(x, mask, device);
    // The loss: the sum of grad · out.
    const auto loss = [&](const Attention<double>& y) {
      const Tensor bias = y.bias_on(device);
      const auto out = to_vector<double>(
          attend(y.q_on(device), y.k_on(device), y.v_on(device), mask, {.scale = y.scale, .bias = &bias}));
      double sum = 0;
      for (std::size_t e = 0; e < out.size(); ++e) sum += out[e] * y.grad[e];
      return sum;
    };
    const std::size_t stride = device.type == Device::Type::simt ? 97 : 7;
    const auto check = [&](std::vector<double> Attention<double>::*operand, const std::vector<double>& gradient) {
      for (std::size_t e = 0; e < gradient.size(); e += stride) {
        Attention<double> y = x;
        (y.*operand)[e] = (x.*operand)[e] + 1e-6;
        const double above = loss(y);
        (y.*operand)[e] = (x.*operand)[e] - 1e-6;
        const double difference = (above - loss(y)) / 2e-6;
        EXPECT_LE(std::abs(difference - gradient[e]), 1e-5 + 1e-3 * std::abs(difference)) << to_string(device) << e;
      }
    };
    check(&Attention<double>::q, gradients.q);
    check(&Attention<double>::k, gradients.k);
    check(&Attention<double>::v, gradients.v);
  }
}

TEST(Attention, TheStepsOneByOne) {
  const Family& family = families()[14];
  const Lengths n{60, 90};
  const auto check = [&]<class T>() {
    Attention<T> x = attention_of<T>(family, n, 16, Values::normal);
    x.heads = 1;
    x.fill(Values::normal);
    const auto exact = widened_to_double(naive_attention<T, Exact<T>>(x));
    const Mask mask = family.make(n, {});
    const double u = std::is_same_v<T, double> ? 0x1p-53 : std::is_same_v<T, float> ? 0x1p-24 : 0x1p-11;
    for (const Device& device : devices_under_test()) {
      const Csr weights =
          attention::weights(x.q_on(device).reshape({n.query, x.depth}), x.k_on(device).reshape({n.key, x.depth}),
                             mask.to_csr().to(device), x.scale);
      EXPECT_EQ(weights.nnz(), mask.nnz());
      const auto out = widened(to_vector<T>(spmm(weights, x.v_on(device).reshape({n.key, x.value_depth}))));
      for (std::size_t e = 0; e < out.size(); ++e) {
        ASSERT_LE(std::abs(static_cast<double>(out[e]) - exact.out[e]), 40 * u) << to_string(device) << " " << e;
      }
    }
  };
  check.operator()<float>();
  check.operator()<double>();
  check.operator()<float16>();
}

TEST(Attention, WritesOnlyItsOutput) {
  for (const Device& device : devices_under_test()) {
    if (!device.is_host()) continue;
    for (const std::int64_t n : {1, 17, 65, 130}) {
      for (const std::int64_t depth : {1, 7, 33}) {
        Guarded<float> q({1, 2, n, depth}, device, 0.5f);
        Guarded<float> k({1, 1, n, depth}, device, 0.25f);
        Guarded<float> v({1, 1, n, depth}, device, 3.0f);
        Guarded<float> out({1, 2, n, depth}, device, std::numeric_limits<float>::quiet_NaN());
        attend(q.tensor(), k.tensor(), v.tensor(), attention::causal(n), {.out = &out.tensor()});
        EXPECT_TRUE(same_bits(out.tensor(), std::vector<float>(static_cast<std::size_t>(2 * n * depth), 3.0f)));
      }
    }
  }
}

TEST(AttentionKernel, ReadsTheTilesOfTheMaskAlone) {
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    Attention<float> x;
    x.heads = 1;
    x.n = 256;
    x.depth = 32;
    x.value_depth = 32;
    x.fill(Values::normal);
    // Blocks of 64: two key tiles for each tile of queries, three for the last.
    const Tensor layout =
        Tensor::from(std::vector<std::int32_t>{1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1}, {4, 4});
    const Mask mask = attention::block(layout, 64);
    const std::int64_t tiles = 9;
    const std::int64_t tile_bytes = 64 * 32 * 4;
    simt::reset_counters();
    simt::set_profiling(true);
    run(x, mask, device);
    simt::set_profiling(false);
    const simt::Counters forward = simt::counters("attend_kernel");
    EXPECT_EQ(forward.launches, 1);
    EXPECT_EQ(forward.blocks, 4);
    // Queries, keys and values of each tile, and the mask's lists.
    const std::int64_t lists = 4 * 2 * 8 + (3 * 2 + 3) * 3 * 4;
    EXPECT_LE(forward.global_bytes_read, tiles * 3 * tile_bytes + 256 * lists);
    EXPECT_GE(forward.global_bytes_read, tiles * 3 * tile_bytes);
    EXPECT_EQ(forward.global_bytes_written, 256 * 32 * 4 + 256 * 4);
    EXPECT_EQ(forward.bank_conflicts, 0);
    // A thread stores its results one by one; all else that the kernel reads and writes is whole sectors.
    EXPECT_LE(forward.global_sectors, forward.ideal_sectors + 2 * 256 * 32 * 4 / 32);
    EXPECT_EQ(simt::counters("attend_query_gradient_kernel").launches, 1);
    EXPECT_EQ(simt::counters("attend_key_gradient_kernel").launches, 1);
    EXPECT_EQ(simt::counters("attend_query_gradient_kernel").bank_conflicts, 0);
    EXPECT_EQ(simt::counters("attend_key_gradient_kernel").bank_conflicts, 0);
  }
}

TEST(Attention, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const auto zeros = [](Shape shape, DType dtype = DType::float32) { return Tensor::zeros(std::move(shape), dtype); };
  const Tensor q = zeros({1, 4, 10, 8});
  const Tensor k = zeros({1, 2, 20, 8});
  const Tensor v = zeros({1, 2, 20, 6});
  const Mask mask = attention::causal({10, 20});
  EXPECT_EQ(attend(q, k, v, mask).shape(), (Shape{1, 4, 10, 6}));
  expect_error(bad, {"attend", "q", "int32"}, [&] { attend(zeros({1, 4, 10, 8}, DType::int32), k, v, mask); });
  expect_error(bad, {"attend", "q", "(4, 10, 8)"}, [&] { attend(zeros({4, 10, 8}), k, v, mask); });
  expect_error(bad, {"attend", "k", "float64"}, [&] { attend(q, zeros({1, 2, 20, 8}, DType::float64), v, mask); });
  expect_error(bad, {"attend", "k", "(1, 2, 20, 7)"}, [&] { attend(q, zeros({1, 2, 20, 7}), v, mask); });
  expect_error(bad, {"attend", "v", "(1, 2, 19, 6)"}, [&] { attend(q, k, zeros({1, 2, 19, 6}), mask); });
  expect_error(bad, {"attend", "4 heads", "multiple", "3"}, [&] { attend(q, zeros({1, 3, 20, 8}), v, mask); });
  expect_error(bad, {"attend", "depth 257"}, [&] { attend(zeros({1, 4, 10, 257}), zeros({1, 2, 20, 257}), v, mask); });
  expect_error(bad, {"attend", "depth 0"}, [&] { attend(q, k, zeros({1, 2, 20, 0}), mask); });
  expect_error(bad, {"attend", "10 queries and 10 keys", "10 and 20"}, [&] { attend(q, k, v, attention::causal(10)); });
  const Mask heads = attention::per_head(std::vector<Mask>{mask, mask});
  expect_error(bad, {"attend", "2 heads", "1 or q's 4"}, [&] { attend(q, k, v, heads); });
  const Tensor bias = zeros({10, 19});
  expect_error(bad, {"attend", "bias", "(10, 19)", "(1, 4, 10, 20)"}, [&] { attend(q, k, v, mask, {.bias = &bias}); });
  Tensor out = zeros({1, 4, 10, 8});
  expect_error(bad, {"attend", "out", "(1, 4, 10, 8)"}, [&] { attend(q, k, v, mask, {.out = &out}); });
  Tensor same = q;
  expect_error(bad, {"attend", "out overlaps q"}, [&] { attend(q, k, zeros({1, 2, 20, 8}), mask, {.out = &same}); });
  expect_error(bad, {"attend_backward", "grad", "(1, 4, 10, 8)"}, [&] { attend_backward(q, q, k, v, mask); });
  expect_error(bad, {"attend", "k", "reference"}, [&] { attend(q, k.to(Device::parse("reference")), v, mask); });
}

}  // namespace
}  // namespace sparsert::test
