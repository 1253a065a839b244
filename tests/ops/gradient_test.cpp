// tests/ops/gradient_test.cpp — compressed gradients: the invariant bit for bit, nothing lost, packets that are
// checked.
#include "sparsert/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using gradient::Compressor;
using gradient::CompressorOptions;
using gradient::Packet;
using gradient::Section;
using sparsert::to_string;

template <class T>
std::vector<T> residual_of(const Compressor& compressor, const std::string& name) {
  const Compressor::State state = compressor.state();
  for (const auto& [known, residual] : state.residuals) {
    if (known == name) return to_vector<T>(residual);
  }
  return {};
}

/// The value that a wire holds for x, as the contract says it, in double arithmetic of the test's own.
float wire_oracle(DType wire, double x, double spacing) {
  const double limit = wire == DType::float16 ? 65504.0 : (wire == DType::bfloat16 ? 0x1.fep127 : 0x1.fffffep127);
  if (std::abs(x) > limit) return static_cast<float>(std::copysign(std::floor(limit / spacing) * spacing, x));
  const int digits = wire == DType::float16 ? 11 : (wire == DType::bfloat16 ? 8 : 24);
  const int lowest = wire == DType::float16 ? -24 : (wire == DType::bfloat16 ? -133 : -149);
  if (x == 0) return static_cast<float>(x);
  int exponent = 0;
  std::frexp(x, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - digits, lowest));
  return static_cast<float>(std::nearbyint(x / unit) * unit);  // nearest even
}

double spacing_of(float x) { return std::ldexp(1.0, std::ilogb(x) - 23); }
double spacing_of(double x) { return std::ldexp(1.0, std::ilogb(x) - 52); }

/// Which k indices are sent: the largest, ties to the lower index; ascending.
template <class A>
std::vector<std::int64_t> topk_oracle(const std::vector<A>& acc, std::int64_t k) {
  std::vector<std::int64_t> order(acc.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) {
    return std::abs(acc[static_cast<std::size_t>(p)]) > std::abs(acc[static_cast<std::size_t>(q)]);
  });
  order.resize(static_cast<std::size_t>(k));
  std::sort(order.begin(), order.end());
  return order;
}

template <class A>
void check_steps(const Device& device, DType wire, Values kind, std::int64_t n, double momentum, int steps,
                 std::int64_t& cases) {
  const std::int64_t k = std::max<std::int64_t>(1, n / 10);
  Compressor compressor({.k = k, .momentum = momentum, .wire = wire, .non_finite = gradient::NonFinite::skip});
  std::vector<A> residual(static_cast<std::size_t>(n));
  std::vector<A> velocity(static_cast<std::size_t>(n));
  for (int step = 0; step < steps; ++step) {
    const std::vector<A> grad = make_values<A>(kind, n, 100 + static_cast<std::uint64_t>(step));
    std::vector<A> acc = residual;
    for (std::size_t i = 0; i < acc.size(); ++i) {
      const A moved = momentum > 0 ? std::fma(static_cast<A>(momentum), velocity[i], grad[i]) : grad[i];
      if (!std::isfinite(moved) || !std::isfinite(acc[i] + moved)) continue;
      velocity[i] = moved;
      acc[i] = acc[i] + moved;
    }
    const Packet packet = compressor.compress({{"w", Tensor::from(grad, {n}, device)}});
    ASSERT_EQ(packet.sections().size(), 1u);
    const Section& section = packet.sections()[0];
    ASSERT_EQ(section.indices, topk_oracle(acc, k)) << to_string(device) << " " << to_string(kind);
    residual = acc;
    for (std::size_t j = 0; j < section.indices.size(); ++j) {
      const auto i = static_cast<std::size_t>(section.indices[j]);
      const A sum = acc[i];
      const float expected = wire_oracle(wire, static_cast<double>(sum), sum == 0 ? 1.0 : spacing_of(sum));
      ASSERT_EQ(section.values[j], expected) << sum << " " << to_string(wire);
      residual[i] = sum - static_cast<A>(expected);
      // Exactly: the difference has no rounding error.
      const long double exact = static_cast<long double>(sum) - static_cast<long double>(expected);
      ASSERT_EQ(static_cast<long double>(residual[i]), exact) << sum << " " << to_string(wire);
      velocity[i] = 0;
      ++cases;
    }
    ASSERT_TRUE(same_bits(residual_of<A>(compressor, "w"), residual)) << to_string(device);
  }
}

TEST(ErrorFeedback, SentPlusResidualIsTheSumExactly) {
  std::int64_t cases = 0;
  for (const Device& device : devices_under_test()) {
    const bool slow = device.type == Device::Type::simt;
    for (const DType wire : {DType::float32, DType::float16, DType::bfloat16}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::cancelling, Values::wide,
                                Values::denormal, Values::special, Values::zeros}) {
        for (const std::int64_t n : {1, 33, slow ? 257 : 3001}) {
          check_steps<float>(device, wire, kind, n, 0.0, slow ? 2 : 6, cases);
          check_steps<float>(device, wire, kind, n, 0.9, slow ? 2 : 4, cases);
        }
        check_steps<double>(device, wire, kind, 257, 0.0, 3, cases);
        check_steps<double>(device, wire, kind, 65, 0.5, 3, cases);
      }
    }
  }
  if (std::getenv("SPARSERT_TEST_DEVICE") == nullptr) {
    EXPECT_GE(cases, 100'000);
  }
}

TEST(ErrorFeedback, LongGradientsOnAnyNumberOfThreads) {
  // Long enough for the sample that guides the one pass, and inputs on which it misleads.
  std::int64_t cases = 0;
  for (const int threads : kThreadCounts) {
    const Threads use(threads);
    for (const Values kind : {Values::normal, Values::small_integers, Values::zeros, Values::special}) {
      check_steps<float>(cpu_device, DType::float32, kind, 100'003, 0.0, 2, cases);
    }
    check_steps<float>(cpu_device, DType::float16, Values::wide, 70'001, 0.9, 2, cases);
    check_steps<double>(cpu_device, DType::float32, Values::normal, 40'000, 0.0, 2, cases);
  }
  std::vector<float> late(100'000);
  for (std::size_t i = 0; i < late.size(); ++i) late[i] = i < 99'000 ? 1e-3f : static_cast<float>(i);
  for (const std::int64_t k : {1, 100, 1000, 5000, 100'000}) {
    Compressor compressor({.k = k});
    const Packet packet = compressor.compress({{"w", Tensor::from(late, {100'000})}});
    EXPECT_EQ(packet.sections()[0].indices, topk_oracle(late, k)) << k;
  }
}

TEST(ErrorFeedback, LongGradientsOnEveryDevice) {
  // Long enough for the sample that guides the one pass of each backend, and inputs on which it misleads.
  std::int64_t cases = 0;
  for (const Device& device : devices_under_test()) {
    for (const Values kind : {Values::normal, Values::zeros, Values::special}) {
      check_steps<float>(device, DType::float32, kind, 5003, 0.0, 2, cases);
    }
    check_steps<float>(device, DType::bfloat16, Values::wide, 4099, 0.9, 2, cases);
    check_steps<double>(device, DType::float32, Values::normal, 4099, 0.5, 2, cases);
    std::vector<float> late(6000);  // the largest where no sample looks, and more of them than there is room for
    for (std::size_t i = 0; i < late.size(); ++i) late[i] = i < 5000 ? 1e-3f : static_cast<float>(i);
    for (const std::int64_t k : {1, 100, 1000, 1500, 6000}) {
      Compressor compressor({.k = k});
      const Packet packet = compressor.compress({{"w", Tensor::from(late, {6000}, device)}});
      EXPECT_EQ(packet.sections()[0].indices, topk_oracle(late, k)) << to_string(device) << " " << k;
    }
  }
}

TEST(ErrorFeedback, LargeValuesSaturateWithoutALoss) {
  const std::vector<float> grad{65504, 65520, -65536, 1e5f, 1e9f, -3e38f, 1e-8f, 0x1p-149f, 3.3e38f, 0};
  for (const Device& device : devices_under_test()) {
    for (const DType wire : {DType::float16, DType::bfloat16}) {
      Compressor compressor({.ratio = 1.0, .wire = wire});
      std::vector<double> sent(grad.size());
      for (int step = 0; step < 3; ++step) {
        const std::vector<float> now = step == 0 ? grad : std::vector<float>(grad.size());
        const Packet packet = compressor.compress({{"w", Tensor::from(now, {10}, device)}});
        const Section& section = packet.sections()[0];
        for (std::size_t j = 0; j < section.indices.size(); ++j) {
          EXPECT_TRUE(std::isfinite(section.values[j]));
          sent[static_cast<std::size_t>(section.indices[j])] += static_cast<double>(section.values[j]);
        }
        const auto residual = residual_of<float>(compressor, "w");
        for (std::size_t i = 0; i < grad.size(); ++i) {
          EXPECT_EQ(sent[i] + static_cast<double>(residual[i]), static_cast<double>(grad[i])) << i;
        }
      }
    }
  }
}

TEST(ErrorFeedback, AThousandStepsLoseNothing) {
  const std::int64_t n = 200;
  for (const Device& device : devices_under_test()) {
    const int steps = device.type == Device::Type::simt ? 50 : 1000;
    for (const DType wire : {DType::float32, DType::float16}) {
      Compressor compressor({.ratio = 0.05, .wire = wire});
      std::vector<std::int64_t> computed(n);
      std::vector<std::int64_t> sent(n);
      for (int step = 0; step < steps; ++step) {
        const auto grad = make_values<float>(Values::small_integers, n, static_cast<std::uint64_t>(step));
        for (std::size_t i = 0; i < grad.size(); ++i) computed[i] += static_cast<std::int64_t>(grad[i]);
        const Packet packet = compressor.compress({{"w", Tensor::from(grad, {n}, device)}});
        const Section& section = packet.sections()[0];
        ASSERT_EQ(section.indices.size(), 10u);
        for (std::size_t j = 0; j < section.indices.size(); ++j) {
          sent[static_cast<std::size_t>(section.indices[j])] += static_cast<std::int64_t>(section.values[j]);
        }
      }
      const auto residual = residual_of<float>(compressor, "w");
      for (std::size_t i = 0; i < sent.size(); ++i) {
        ASSERT_EQ(sent[i] + static_cast<std::int64_t>(residual[i]), computed[i]) << to_string(device);
      }
    }
  }
}

TEST(Compressor, ScopesAndSelections) {
  for (const Device& device : devices_under_test()) {
    const std::vector<float> a{5, -1, 3, 3, 0.5f};
    const std::vector<float> b{-4, 3, 2};
    const gradient::NamedTensors both{{"a", Tensor::from(a, {5}, device)}, {"b", Tensor::from(b, {3, 1}, device)}};
    const auto indices = [&](const CompressorOptions& options) {
      std::vector<std::vector<std::int64_t>> all;
      Compressor compressor(options);
      const Packet packet = compressor.compress(both);
      for (const Section& section : packet.sections()) all.push_back(section.indices);
      return all;
    };
    using Indices = std::vector<std::vector<std::int64_t>>;
    EXPECT_EQ(indices({.k = 2}), (Indices{{0, 2}, {0, 1}}));
    EXPECT_EQ(indices({.k = 3, .scope = gradient::Scope::global}), (Indices{{0, 2}, {0}}));
    EXPECT_EQ(indices({.k = 5, .scope = gradient::Scope::global}), (Indices{{0, 2, 3}, {0, 1}}));
    EXPECT_EQ(indices({.ratio = 0.5}), (Indices{{0, 2, 3}, {0, 1}}));  // 2.5 and 1.5, away from zero
    EXPECT_EQ(indices({.selection = gradient::Selection::threshold, .threshold = 2.5}), (Indices{{0, 2, 3}, {0, 1}}));
    EXPECT_EQ(indices({.k = 0}), (Indices{{}, {}}));
    const auto random = indices({.k = 2, .selection = gradient::Selection::random, .seed = 9});
    EXPECT_EQ(random[0].size(), 2u);
    EXPECT_EQ(random, indices({.k = 2, .selection = gradient::Selection::random, .seed = 9}));
  }
}

TEST(Compressor, ACarriedLimitIsFoundAnewEveryFewSteps) {
  constexpr std::int64_t kN = 2000;
  constexpr std::int64_t kEvery = 4;
  for (const Device& device : devices_under_test()) {
    for (const DType wire : {DType::float32, DType::float16}) {
      Compressor compressor({.k = 50, .carry_steps = kEvery, .wire = wire});
      std::vector<float> residual(kN);
      float limit = 0;
      for (int step = 0; step < 9; ++step) {
        const auto grad = make_values<float>(Values::normal, kN, 70 + static_cast<std::uint64_t>(step));
        for (std::size_t i = 0; i < residual.size(); ++i) residual[i] += grad[i];
        std::vector<std::int64_t> expected;
        if (step % kEvery == 0) {
          expected = topk_oracle(residual, 50);
          limit = INFINITY;
          for (const std::int64_t i : expected)
            limit = std::min(limit, std::abs(residual[static_cast<std::size_t>(i)]));
        } else {
          for (std::int64_t i = 0; i < kN; ++i) {
            if (std::abs(residual[static_cast<std::size_t>(i)]) >= limit) expected.push_back(i);
          }
        }
        const Packet packet = compressor.compress({{"w", Tensor::from(grad, {kN}, device)}});
        const Section& section = packet.sections()[0];
        ASSERT_EQ(section.indices, expected) << to_string(device) << " step " << step;
        EXPECT_EQ(packet.k(), 50);
        for (std::size_t j = 0; j < expected.size(); ++j) {
          residual[static_cast<std::size_t>(expected[j])] -= section.values[j];
        }
        ASSERT_TRUE(same_bits(residual_of<float>(compressor, "w"), residual));
        if (step == 5) {  // the limit is part of the state
          Compressor resumed({.k = 50, .carry_steps = kEvery, .wire = wire});
          resumed.load_state(compressor.state());
          compressor = resumed;
        }
      }
    }
  }
  expect_error(ErrorCode::invalid_argument, {"carry_steps is 0"}, [] { Compressor({.carry_steps = 0}); });
  expect_error(ErrorCode::invalid_argument, {"carry_steps", "scope tensor"},
               [] { Compressor({.carry_steps = 2, .scope = gradient::Scope::global}); });
}

TEST(Compressor, WarmUpLowersTheRatioStepByStep) {
  const Compressor compressor({.ratio = 0.001, .warmup_steps = 4, .warmup_ratio = 0.25});
  double before = 1;
  for (int step = 0; step < 4; ++step) {
    const double ratio = compressor.ratio_at(step);
    EXPECT_NEAR(ratio, 0.25 * std::pow(0.004, step / 4.0), 1e-12);
    EXPECT_LT(ratio, before);
    before = ratio;
  }
  EXPECT_EQ(compressor.ratio_at(4), 0.001);
  EXPECT_EQ(compressor.ratio_at(1000), 0.001);
}

TEST(Compressor, WithoutErrorFeedbackTheRestIsForgotten) {
  for (const Device& device : devices_under_test()) {
    Compressor compressor({.k = 1, .error_feedback = false});
    const Tensor grad = Tensor::from(std::vector<float>{1, 3, 2}, {3}, device);
    for (int step = 0; step < 3; ++step) {
      const Packet packet = compressor.compress({{"w", grad}});
      EXPECT_EQ(packet.sections()[0].indices, (std::vector<std::int64_t>{1}));
      EXPECT_EQ(packet.sections()[0].values, (std::vector<float>{3}));
    }
  }
}

TEST(Compressor, NonFiniteGradientsAreAnErrorOrCounted) {
  for (const Device& device : devices_under_test()) {
    const Tensor bad = Tensor::from(std::vector<float>{1, NAN, -INFINITY, 4}, {4}, device);
    Compressor strict({.k = 1});
    expect_error(ErrorCode::invalid_argument, {"gradient", "2 entries", "NaN"}, [&] { strict.compress({{"w", bad}}); });
    EXPECT_EQ(residual_of<float>(strict, "w"), (std::vector<float>{1, 0, 0, 4}));  // what is finite is not lost
    Compressor lenient({.k = 1, .non_finite = gradient::NonFinite::skip});
    const Packet packet = lenient.compress({{"w", bad}});
    EXPECT_EQ(packet.sections()[0].values, (std::vector<float>{4}));
    EXPECT_EQ(lenient.skipped(), 2);
    // A sum that overflows is left out as well.
    lenient.compress({{"w", Tensor::from(std::vector<float>{3e38f, 0, 0, 0}, {4}, device)}});
    Compressor overflow({.k = 0, .non_finite = gradient::NonFinite::skip});
    for (int i = 0; i < 2; ++i) overflow.compress({{"w", Tensor::from(std::vector<float>{3e38f}, {1}, device)}});
    EXPECT_EQ(overflow.skipped(), 1);
    EXPECT_EQ(residual_of<float>(overflow, "w"), (std::vector<float>{3e38f}));
  }
}

TEST(Compressor, StateIsSavedLoadedAndRefused) {
  const auto grads = [](const Device& device, std::uint64_t seed) {
    return gradient::NamedTensors{{"a", Tensor::from(make_values(Values::normal, 40, seed), {8, 5}, device)},
                                  {"b", Tensor::from(make_values(Values::normal, 30, seed + 1), {30}, device)}};
  };
  const CompressorOptions options{.ratio = 0.1, .momentum = 0.9, .warmup_steps = 10};
  for (const Device& device : devices_under_test()) {
    Compressor whole(options);
    for (std::uint64_t step = 0; step < 3; ++step) whole.compress(grads(device, step));
    const Compressor::State saved = whole.state();
    Compressor resumed(options);
    resumed.load_state(saved);
    // In other buckets, and in another order: the state is by name.
    const auto next = grads(device, 3);
    const Packet expected = whole.compress(next);
    const Packet got = resumed.compress({next[1], next[0]});
    EXPECT_EQ(got.sections()[0].indices, expected.sections()[1].indices);
    EXPECT_EQ(got.sections()[1].values, expected.sections()[0].values);
    EXPECT_EQ(got.step(), 3);
    // Another ratio is fine; other names, shapes and dtypes are not.
    Compressor wider({.ratio = 0.5, .momentum = 0.9});
    wider.load_state(saved);
    const auto bad = ErrorCode::invalid_argument;
    expect_error(bad, {"c", "not in the state"}, [&] {
      resumed.compress({{"c", Tensor::zeros({2}, DType::float32, device)}});
    });
    expect_error(bad, {"a", "(40,)", "(8, 5)"}, [&] {
      resumed.compress({{"a", Tensor::zeros({40}, DType::float32, device)}});
    });
    expect_error(bad, {"a", "float64", "float32"}, [&] {
      resumed.compress({{"a", Tensor::zeros({8, 5}, DType::float64, device)}});
    });
    Compressor other(options);
    other.compress({{"a", next[0].second}});
    expect_error(bad, {"b", "unknown"}, [&] { other.load_state(saved); });
    Compressor more(options);
    more.compress({next[0], next[1], {"c", next[1].second}});
    expect_error(bad, {"no c"}, [&] { more.load_state(saved); });
    Compressor plain({.ratio = 0.1});
    expect_error(bad, {"velocities"}, [&] { plain.load_state(saved); });
  }
}

TEST(Compressor, APacketThatWasNotDeliveredIsPutBack) {
  for (const Device& device : devices_under_test()) {
    for (const double momentum : {0.0, 0.9}) {
      const Tensor first = Tensor::from(make_values(Values::wide, 50, 1), {50}, device);
      const Tensor second = Tensor::from(make_values(Values::wide, 50, 2), {50}, device);
      Compressor lost({.k = 7, .momentum = momentum, .wire = DType::float16});
      lost.compress({{"w", first}});
      const Packet packet = lost.compress({{"w", second}});
      Compressor kept({.k = 0, .momentum = momentum, .wire = DType::float16});
      lost.restore(packet);
      // As if nothing had been sent in that step.
      Compressor once({.k = 7, .momentum = momentum, .wire = DType::float16});
      once.compress({{"w", first}});
      kept.load_state(once.state());
      kept.compress({{"w", second}});
      EXPECT_TRUE(same_bits(residual_of<float>(lost, "w"), residual_of<float>(kept, "w"))) << to_string(device);
      if (momentum > 0) {
        EXPECT_TRUE(same_bits(to_vector<float>(lost.state().velocities[0].second),
                              to_vector<float>(kept.state().velocities[0].second)));
      }
      expect_error(ErrorCode::invalid_argument, {"restore"}, [&] { lost.restore(packet); });
    }
  }
}

Packet packet_of(std::int64_t numel, std::vector<std::int64_t> indices, DType wire = DType::float32) {
  std::vector<float> values(indices.size());
  for (std::size_t j = 0; j < values.size(); ++j) values[j] = static_cast<float>(j) + 0.5f;
  return Packet({{"w", {numel}, DType::float32, std::move(indices), std::move(values)}}, wire, 1, 2);
}

TEST(Packets, AreReadBackWhateverTheEncoding) {
  const auto range = [](std::int64_t first, std::int64_t step, std::int64_t last) {
    std::vector<std::int64_t> all;
    for (std::int64_t i = first; i < last; i += step) all.push_back(i);
    return all;
  };
  const std::int64_t huge = std::int64_t{1} << 40;
  struct Example {
    std::int64_t numel;
    std::vector<std::int64_t> indices;
    std::int64_t most;  // bytes of indices
  };
  for (const Example& example :
       {Example{0, {}, 0}, Example{1, {0}, 1}, Example{8, range(0, 1, 8), 1}, Example{1000, range(3, 2, 1000), 125},
        Example{1000, {0, 999}, 3}, Example{100'000, range(0, 100, 100'000), 1000},
        Example{1 << 30, {0, 1 << 29, (1 << 30) - 1}, 12}, Example{huge, {5, huge - 1}, 7}}) {
    for (const DType wire : {DType::float32, DType::float16, DType::bfloat16}) {
      const Packet packet = packet_of(example.numel, example.indices, wire);
      const Packet back = Packet::from_bytes(packet.bytes());
      ASSERT_EQ(back.sections().size(), 1u);
      EXPECT_EQ(back.sections()[0].indices, example.indices);
      EXPECT_EQ(back.k(), 1);
      EXPECT_EQ(back.step(), 2);
      EXPECT_EQ(back.wire(), wire);
      if (example.indices.size() < 200) {  // small enough for every wire to hold the values
        EXPECT_EQ(back.sections()[0].values, packet.sections()[0].values);
      }
      const std::int64_t value = wire == DType::float32 ? 4 : 2;
      const std::int64_t fixed = 56 + 28 + 1 + 8;
      EXPECT_LE(packet.nbytes(), fixed + example.most + value * static_cast<std::int64_t>(example.indices.size()));
    }
  }
  EXPECT_EQ(Packet::from_bytes(Packet({}, DType::float32, 0, 0).bytes()).numel(), 0);
}

TEST(Packets, ThatAreWrongAreRefused) {
  const Packet packet = packet_of(1000, {3, 77, 500, 999});
  const std::vector<std::byte> good(packet.bytes().begin(), packet.bytes().end());
  const auto bad = ErrorCode::invalid_argument;
  for (std::size_t cut = 0; cut < good.size(); ++cut) {  // truncated anywhere
    expect_error(bad, {"gradient packet"}, [&] { Packet::from_bytes(std::span(good).first(cut)); });
  }
  for (std::size_t at = 0; at < good.size(); ++at) {  // one bit wrong anywhere
    std::vector<std::byte> wrong = good;
    wrong[at] ^= static_cast<std::byte>(1u << (at % 8));
    expect_error(bad, {"gradient packet"}, [&] { Packet::from_bytes(wrong); });
  }
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{0});
  expect_error(bad, {"gradient packet"}, [&] { Packet::from_bytes(longer); });
  expect_error(bad, {"out of range or order"}, [&] { packet_of(10, {3, 3}); });
  expect_error(bad, {"out of range or order"}, [&] { packet_of(10, {10}); });
  expect_error(bad, {"wire is float64"}, [&] { packet_of(10, {1}, DType::float64); });
}

TEST(Packets, DecompressToDenseTensors) {
  for (const Device& device : devices_under_test()) {
    const Packet packet({{"a", {2, 3}, DType::float32, {1, 5}, {2, -3}}, {"b", {2}, DType::float64, {0}, {0.5f}}},
                        DType::float32, 3, 0);
    const gradient::NamedTensors dense = packet.decompress(device);
    EXPECT_EQ(dense[0].second.shape(), (Shape{2, 3}));
    EXPECT_TRUE(same_bits(dense[0].second, std::vector<float>{0, 2, 0, 0, 0, -3}));
    EXPECT_TRUE(same_bits(dense[1].second, std::vector<double>{0.5, 0}));
    EXPECT_EQ(packet.entries(), 3);
    EXPECT_EQ(packet.density(), 3.0 / 8);
  }
}

TEST(CompressorErrors, NameWhatIsWrong) {
  const auto bad = ErrorCode::invalid_argument;
  expect_error(bad, {"ratio is 0"}, [] { Compressor({.ratio = 0}); });
  expect_error(bad, {"momentum is 1"}, [] { Compressor({.momentum = 1}); });
  expect_error(bad, {"wire is float64"}, [] { Compressor({.wire = DType::float64}); });
  expect_error(bad, {"scope global"},
               [] { Compressor({.selection = gradient::Selection::random, .scope = gradient::Scope::global}); });
  Compressor compressor;
  const Tensor grad = Tensor::zeros({3}, DType::float32);
  expect_error(bad, {"w is there twice"}, [&] { compressor.compress({{"w", grad}, {"w", grad}}); });
  expect_error(ErrorCode::not_supported, {"int32"}, [&] {
    compressor.compress({{"i", Tensor::zeros({3}, DType::int32)}});
  });
  EXPECT_EQ(Compressor().compress({}).entries(), 0);
}

}  // namespace
}  // namespace sparsert::test
