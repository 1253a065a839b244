// tests/ops/prune_methods_test.cpp — pruning by pattern, norm, activation or chance, and the proximal steps, on every
// device.
#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

/// Which of `scores` stay: the lowest go, of equal ones the highest index first, NaN last. Empty: a NaN would go.
std::vector<bool> keep_oracle(const std::vector<double>& scores, std::int64_t remove) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto rank = [&](std::size_t i) { return std::isnan(scores[i]) ? std::pair(1, 0.0) : std::pair(0, scores[i]); };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return rank(a) != rank(b) ? rank(a) < rank(b) : a > b; });
  std::vector<bool> keep(scores.size(), true);
  for (std::int64_t i = 0; i < remove; ++i) {
    if (std::isnan(scores[order[static_cast<std::size_t>(i)]])) return {};
    keep[order[static_cast<std::size_t>(i)]] = false;
  }
  return keep;
}

std::int64_t count_of(double amount, std::int64_t n) {
  return static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(n)));
}

/// The norm in the documented order: chunks of 4096, 16 lanes, a tree; in double.
double norm_oracle(const std::vector<double>& unit, prune::Norm norm) {
  const auto join = [&](double a, double b) {
    if (norm != prune::Norm::max) return a + b;
    return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b);
  };
  std::vector<double> parts;
  for (std::size_t first = 0; first < unit.size(); first += 4096) {
    std::array<double, 16> lane{};
    for (std::size_t e = first; e < std::min(first + 4096, unit.size()); ++e) {
      const double v = std::abs(unit[e]);
      double& l = lane[(e - first) % 16];
      l = norm == prune::Norm::l2 ? std::fma(v, v, l) : join(l, v);
    }
    for (std::size_t d = 8; d > 0; d /= 2) {
      for (std::size_t l = 0; l < d; ++l) lane[l] = join(lane[l], lane[l + d]);
    }
    parts.push_back(lane[0]);
  }
  while (parts.size() > 1) {
    std::vector<double> next;
    for (std::size_t i = 0; i < parts.size(); i += 2) {
      next.push_back(i + 1 < parts.size() ? join(parts[i], parts[i + 1]) : parts[i]);
    }
    parts = next;
  }
  const double total = parts.empty() ? 0 : parts[0];
  return norm == prune::Norm::l2 ? std::sqrt(total) : total;
}

/// Elements of each unit of a matrix, and the unit of each element.
struct Cut {
  std::vector<std::vector<std::size_t>> units;
  Cut(std::int64_t rows, std::int64_t cols, std::int64_t r, std::int64_t c) {
    for (std::int64_t i = 0; i < rows; i += r) {
      for (std::int64_t j = 0; j < cols; j += c) {
        units.emplace_back();
        for (std::int64_t y = i; y < std::min(i + r, rows); ++y) {
          for (std::int64_t x = j; x < std::min(j + c, cols); ++x)
            units.back().push_back(static_cast<std::size_t>(y * cols + x));
        }
      }
    }
  }
};

template <class T>
std::vector<double> norms_oracle(const std::vector<T>& x, const Cut& cut, prune::Norm norm) {
  std::vector<double> norms;
  for (const auto& unit : cut.units) {
    std::vector<double> values;
    for (const std::size_t i : unit) values.push_back(static_cast<double>(x[i]));
    norms.push_back(norm_oracle(values, norm));
  }
  return norms;
}

template <class T>
std::vector<T> without(std::vector<T> x, const Cut& cut, const std::vector<bool>& keep) {
  for (std::size_t u = 0; u < keep.size(); ++u) {
    for (const std::size_t i : cut.units[u]) {
      if (!keep[u]) x[i] = T{0};
    }
  }
  return x;
}

/// The result, or the error that a NaN would go.
template <class T>
void check_pruned(const Device& device, const char* op, const std::function<Tensor()>& prune, const std::vector<T>& x,
                  const Cut& cut, const std::vector<bool>& keep) {
  for (const int threads : device == cpu_device ? kThreadCounts : std::vector<int>{2}) {
    const Threads use(threads);
    if (keep.empty() && !cut.units.empty()) {
      expect_error(ErrorCode::invalid_argument, {op, "NaN"}, prune);
    } else {
      EXPECT_TRUE(same_bits(prune(), without(x, cut, keep))) << threads << " threads";
    }
  }
}

constexpr prune::Norm kNorms[] = {prune::Norm::l1, prune::Norm::l2, prune::Norm::max};
const std::vector<Shape> kShapes{{0, 5}, {5, 0}, {1, 1}, {3, 3}, {1, 257}, {63, 1}, {31, 33}, {64, 65}, {300, 40}};
const std::vector<double> kAmounts{0.0, 0.1, 0.5, 0.93, 1.0};

template <class T>
void check_blocks(const Device& device) {
  for (const Shape& shape : kShapes) {
    if (device.type == Device::Type::simt && element_count(shape) > 5000) continue;
    for (const Values kind : kAllValues) {
      const std::vector<T> x = make_values<T>(kind, element_count(shape), 5);
      const Tensor tensor = Tensor::from(x, shape, device);
      for (const prune::BlockShape block :
           {prune::BlockShape{1, 1}, prune::BlockShape{4, 4}, prune::BlockShape{2, 7}, prune::BlockShape{1000, 1}}) {
        const Cut cut(shape[0], shape[1], block.rows, block.cols);
        const prune::Norm norm = kNorms[(shape[0] + block.cols) % 3];
        const std::vector<double> norms = norms_oracle(x, cut, norm);
        SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " " + to_string(kind) + " block " +
                     std::to_string(block.rows) + "x" + std::to_string(block.cols));
        EXPECT_TRUE(same_bits(prune::block_norms(tensor, block, norm), norms));
        const double amount = kAmounts[static_cast<std::size_t>(shape[1] + block.rows) % kAmounts.size()];
        const auto remove = count_of(amount, static_cast<std::int64_t>(norms.size()));
        check_pruned<T>(
            device, "prune::block", [&] { return prune::block(tensor, block, amount, norm); }, x, cut,
            keep_oracle(norms, remove));
      }
    }
  }
}

TEST(PruneBlocks, ByNormInTheDocumentedOrder) {
  for (const Device& device : devices_under_test()) {
    check_blocks<float>(device);
    check_blocks<double>(device);
  }
}

TEST(PruneBlocks, LongUnitsAreSummedInChunks) {
  for (const Device& device : devices_under_test()) {
    const Shape shape{3, 9001};
    const std::vector<float> x = make_values(Values::wide, element_count(shape), 6);
    const Tensor tensor = Tensor::from(x, shape, device);
    for (const prune::Norm norm : kNorms) {
      EXPECT_TRUE(same_bits(prune::block_norms(tensor, {1, 9001}, norm), norms_oracle(x, Cut(3, 9001, 1, 9001), norm)));
      EXPECT_TRUE(same_bits(prune::block_norms(tensor, {3, 5000}, norm), norms_oracle(x, Cut(3, 9001, 3, 5000), norm)));
      const Tensor tall = tensor.reshape({9001, 3});
      EXPECT_TRUE(same_bits(prune::block_norms(tall, {9001, 1}, norm), norms_oracle(x, Cut(9001, 3, 9001, 1), norm)));
      EXPECT_TRUE(same_bits(prune::block_norms(tall, {5000, 2}, norm), norms_oracle(x, Cut(9001, 3, 5000, 2), norm)));
    }
  }
}

TEST(PruneBlocks, ManyUnitsAndTies) {
  // Long enough for the selection that goes over the whole array, on every device; few different scores.
  const std::int64_t n = 70'001;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i * 7919 % 5) - 2.0f;
  const Cut cut(1, n, 1, 1);
  const std::vector<double> norms = norms_oracle(x, cut, prune::Norm::l1);
  for (const Device& device : devices_under_test()) {
    if (device.type == Device::Type::simt) continue;
    const Tensor tensor = Tensor::from(x, {1, n}, device);
    for (const double amount : {0.0, 0.1, 0.2, 0.5, 0.999}) {
      check_pruned<float>(
          device, "prune::block",
          [&] {
            return prune::block(tensor, {1, 1}, amount, prune::Norm::l1);
          },
          x, cut, keep_oracle(norms, count_of(amount, n)));
    }
  }
}

TEST(PruneBlocks, ManyUnitsAndTiesOnSimt) {
  const std::int64_t n = 65'537;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i * 7919 % 5) - 2.0f;
  const Cut cut(1, n, 1, 1);
  const std::vector<bool> keep = keep_oracle(norms_oracle(x, cut, prune::Norm::l1), count_of(0.5, n));
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    EXPECT_TRUE(
        same_bits(prune::block(Tensor::from(x, {1, n}, device), {1, 1}, 0.5, prune::Norm::l1), without(x, cut, keep)));
  }
}

TEST(PruneBlocks, OverAllTensors) {
  const std::vector<float> a = make_values(Values::normal, 12 * 9, 7);
  const std::vector<float> b = make_values(Values::small_integers, 5 * 20, 8);
  const Cut cut_a(12, 9, 4, 4);
  const Cut cut_b(5, 20, 4, 4);
  std::vector<double> norms = norms_oracle(a, cut_a, prune::Norm::l2);
  const std::vector<double> more = norms_oracle(b, cut_b, prune::Norm::l2);
  norms.insert(norms.end(), more.begin(), more.end());
  const std::vector<bool> keep = keep_oracle(norms, count_of(0.6, static_cast<std::int64_t>(norms.size())));
  const auto middle = keep.begin() + static_cast<std::ptrdiff_t>(cut_a.units.size());
  for (const Device& device : devices_under_test()) {
    const prune::NamedTensors got = prune::global_block(
        {{"a", Tensor::from(a, {12, 3, 3}, device)}, {"b", Tensor::from(b, {5, 20}, device)}}, {4, 4}, 0.6);
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0].second.shape(), (Shape{12, 3, 3}));
    EXPECT_TRUE(same_bits(got[0].second, without(a, cut_a, std::vector<bool>(keep.begin(), middle))));
    EXPECT_TRUE(same_bits(got[1].second, without(b, cut_b, std::vector<bool>(middle, keep.end()))));
  }
  EXPECT_TRUE(prune::global_block({}, {4, 4}, 0.5).empty());
}

TEST(PruneStructured, RowsColumnsChannelsAndHeads) {
  const Shape shape{6, 4, 5};
  const std::vector<float> x = make_values(Values::normal, element_count(shape), 9);
  struct Along {
    int axis;
    std::int64_t width;
    std::int64_t outer;
    std::int64_t inner;  // elements of a slice side by side
  };
  for (const Device& device : devices_under_test()) {
    const Tensor tensor = Tensor::from(x, shape, device);
    for (const Along& along : {Along{0, 1, 1, 20}, Along{0, 3, 1, 60}, Along{1, 1, 6, 5}, Along{-2, 2, 6, 10},
                               Along{2, 1, 24, 1}, Along{-1, 5, 24, 5}}) {
      const Cut cut(along.outer, 120 / along.outer, along.outer, along.inner);
      for (const prune::Norm norm : kNorms) {
        for (const double amount : {0.0, 0.34, 0.5, 1.0}) {
          SCOPED_TRACE(to_string(device) + " axis " + std::to_string(along.axis) + " " + std::to_string(amount));
          const auto count = static_cast<std::int64_t>(cut.units.size());
          const std::vector<bool> keep = keep_oracle(norms_oracle(x, cut, norm), count_of(amount, count));
          const prune::SliceOptions options{along.axis, norm, along.width};
          const Tensor got = prune::structured(tensor, amount, options);
          EXPECT_EQ(got.shape(), shape);
          EXPECT_TRUE(same_bits(got, without(x, cut, keep)));
          std::vector<std::int64_t> kept;
          for (std::int64_t i = 0; i < count * along.width; ++i) {
            if (keep[static_cast<std::size_t>(i / along.width)]) kept.push_back(i);
          }
          EXPECT_TRUE(same_bits(prune::kept_slices(tensor, amount, options), kept));
        }
      }
    }
  }
}

TEST(PruneStructured, ShrunkLayersComputeWhatPrunedOnesDo) {
  for (const Device& device : devices_under_test()) {
    const auto tensor = [&](std::int64_t n, Shape shape, std::uint64_t seed) {
      return Tensor::from(make_values(Values::small_integers, n, seed), std::move(shape), device);
    };
    const Tensor x = tensor(6 * 10, {6, 10}, 1);
    const Tensor w1 = tensor(8 * 10, {8, 10}, 2);
    const Tensor b1 = tensor(8, {8}, 3);
    const Tensor w2 = tensor(5 * 8, {5, 8}, 4);
    const Tensor kept = prune::kept_slices(w1, 0.5);
    const Tensor small_b1 = prune::take(b1, kept);
    const Tensor hidden = linear(x, prune::take(w1, kept), {.bias = &small_b1, .relu = true});
    EXPECT_EQ(hidden.shape(), (Shape{6, 4}));
    const Tensor got = linear(hidden, prune::take(w2, kept, 1));
    // Of the full network: the neurons that went have neither weights nor a bias.
    Tensor mask = Tensor::zeros({8}, DType::float32);
    const Tensor host_kept = kept.cpu();
    for (const std::int64_t i : host_kept.span<std::int64_t>())
      mask.mutable_span<float>()[static_cast<std::size_t>(i)] = 1;
    const Tensor masked_b1 = multiply(b1, mask.to(device));
    const Tensor full = linear(linear(x, prune::structured(w1, 0.5), {.bias = &masked_b1, .relu = true}), w2);
    EXPECT_TRUE(same_bits(got, to_vector<float>(full))) << to_string(device);
  }
}

TEST(PruneNM, KeepsTheLargestOfEachGroup) {
  struct Pattern {
    int n;
    int m;
  };
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape :
         {Shape{1, 4}, Shape{8, 64}, Shape{3, 33}, Shape{64, 130}, Shape{5, 6, 7}, Shape{0, 4}, Shape{40}}) {
      for (const Values kind : kAllValues) {
        const std::vector<float> x = make_values(kind, element_count(shape), 11);
        const Tensor tensor = Tensor::from(x, shape, device);
        for (const Pattern p : {Pattern{2, 4}, Pattern{1, 2}, Pattern{4, 8}, Pattern{1, 4}, Pattern{3, 7},
                                Pattern{0, 3}, Pattern{16, 32}, Pattern{5, 5}, Pattern{31, 32}}) {
          for (int axis = 0; axis < tensor.rank(); ++axis) {
            std::int64_t inner = 1;
            for (int d = axis + 1; d < tensor.rank(); ++d) inner *= shape[static_cast<std::size_t>(d)];
            const std::int64_t size = shape[static_cast<std::size_t>(axis)];
            std::vector<float> expected = x;
            for (std::int64_t i = 0; i < element_count(shape); ++i) {
              const std::int64_t at = i / inner % size;
              const std::int64_t first = i - at % p.m * inner;
              int ahead = 0;
              for (std::int64_t j = 0; j < std::min<std::int64_t>(p.m, size - at / p.m * p.m); ++j) {
                const float mine = x[static_cast<std::size_t>(i)];
                const float other = x[static_cast<std::size_t>(first + j * inner)];
                const auto rank = [](float v) {
                  return std::isnan(v) ? std::pair(1, 0.0f) : std::pair(0, std::abs(v));
                };
                if (rank(other) > rank(mine) || (rank(other) == rank(mine) && j < at % p.m)) ++ahead;
              }
              if (ahead >= p.n) expected[static_cast<std::size_t>(i)] = 0;
            }
            EXPECT_TRUE(same_bits(prune::n_m(tensor, p.n, p.m, axis), expected))
                << to_string(device) << " " << to_string(shape) << " " << to_string(kind) << " " << p.n << ":" << p.m
                << " axis " << axis;
          }
        }
      }
    }
  }
}

TEST(PruneNM, ByHand) {
  const std::vector<float> x{1, -3, 2, 0.5f, 4, 4, -4, 4, NAN, 1, INFINITY, -0.0f};
  const std::vector<float> expected{0, -3, 2, 0, 4, 4, 0, 0, NAN, 0, INFINITY, 0};
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(same_bits(prune::n_m(Tensor::from(x, {3, 4}, device), 2, 4), expected)) << to_string(device);
    const std::vector<float> square{1, 2, 3, 4, 5, 6, 7, 8, 9};
    EXPECT_TRUE(same_bits(prune::n_m(Tensor::from(square, {3, 3}, device), 1, 2, 0),
                          std::vector<float>{0, 0, 0, 4, 5, 6, 7, 8, 9}));
    EXPECT_TRUE(same_bits(prune::block(Tensor::from(square, {3, 3}, device), {2, 2}, 0.5),
                          std::vector<float>{0, 0, 0, 0, 0, 0, 7, 8, 9}));  // norms 6.8, 6.7, 10.6, 9
    EXPECT_TRUE(same_bits(prune::structured(Tensor::from(square, {3, 3}, device), 0.34, {.axis = 1}),
                          std::vector<float>{0, 2, 3, 0, 5, 6, 0, 8, 9}));
  }
}

/// Philox4x32-10, written out again from the paper.
std::array<std::uint32_t, 4> philox(std::uint64_t counter, std::uint64_t seed) {
  std::array<std::uint32_t, 4> c{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
  std::uint32_t k0 = static_cast<std::uint32_t>(seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int r = 0; r < 10; ++r, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const std::uint64_t p0 = 0xD2511F53ull * c[0];
    const std::uint64_t p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
  }
  return c;
}

TEST(PruneRandom, IsPhiloxAndTheSameEverywhere) {
  // The authors' known answer for counter 0 and key 0.
  EXPECT_EQ(philox(0, 0), (std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : {0, 1, 5, 33, 1000, 4099}) {
      for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{0x123456789abcdef0u}}) {
        const std::vector<float> x = make_values(Values::normal, n, 12);
        std::vector<double> scores;
        for (std::int64_t i = 0; i < n; ++i) {
          scores.push_back(philox(static_cast<std::uint64_t>(i / 4), seed)[static_cast<std::size_t>(i % 4)]);
        }
        for (const double amount : kAmounts) {
          SCOPED_TRACE(to_string(device) + " " + std::to_string(n));
          check_pruned<float>(
              device, "prune::random", [&] { return prune::random(Tensor::from(x, {n}, device), amount, seed); }, x,
              Cut(1, n, 1, 1), keep_oracle(scores, count_of(amount, n)));
        }
      }
    }
    const Tensor with_nan = Tensor::from(std::vector<float>{NAN, 1, 2, NAN}, {4}, device);
    EXPECT_TRUE(same_bits(prune::random(with_nan, 0.5), std::vector<float>{NAN, 0, 0, NAN}));
    expect_error(ErrorCode::invalid_argument, {"prune::random", "NaN"}, [&] { prune::random(with_nan, 0.75); });
  }
}

TEST(PruneWanda, RowsAreRankedByWeightTimesInput) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : {Shape{1, 1}, Shape{7, 33}, Shape{40, 64}, Shape{0, 3}, Shape{3, 0}}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::special, Values::wide}) {
        const std::vector<float> x = make_values(kind, element_count(shape), 13);
        std::vector<float> norms = make_values(Values::positive, shape[1], 14);
        if (!norms.empty()) norms[0] = 0;
        const Tensor tensor = Tensor::from(x, shape, device);
        const Tensor input = Tensor::from(norms, {shape[1]}, device);
        for (const double amount : {0.0, 0.5, 0.8}) {
          SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " " + to_string(kind));
          std::vector<double> scores;
          for (std::size_t i = 0; i < x.size(); ++i) {
            scores.push_back(std::abs(static_cast<double>(x[i])) *
                             static_cast<double>(norms[i % static_cast<std::size_t>(shape[1])]));
          }
          const Cut cut(shape[0], shape[1], 1, 1);
          check_pruned<float>(
              device, "prune::wanda", [&] { return prune::wanda(tensor, input, amount, prune::Group::tensor); }, x, cut,
              keep_oracle(scores, count_of(amount, element_count(shape))));
          std::vector<bool> keep;
          bool reaches_nan = false;
          for (std::int64_t r = 0; r < shape[0]; ++r) {
            const auto first = scores.begin() + r * shape[1];
            const std::vector<bool> row = keep_oracle({first, first + shape[1]}, count_of(amount, shape[1]));
            reaches_nan |= row.size() != static_cast<std::size_t>(shape[1]);
            keep.insert(keep.end(), row.begin(), row.end());
          }
          if (reaches_nan) keep.clear();
          check_pruned<float>(
              device, "prune::wanda", [&] { return prune::wanda(tensor, input, amount); }, x, cut, keep);
        }
      }
    }
  }
}

TEST(PruneWanda, CalibrationSumsSquaresOverBatches) {
  for (const Device& device : devices_under_test()) {
    prune::InputNorms norms;
    expect_error(ErrorCode::invalid_argument, {"InputNorms", "no batch"}, [&] { norms.norms(); });
    norms.add(Tensor::from(std::vector<float>{3, 1, 0, 0}, {2, 2}, device));
    norms.add(Tensor::from(std::vector<float>{4, 1}, {1, 2}, device));
    EXPECT_EQ(norms.rows(), 3);
    EXPECT_TRUE(same_bits(norms.norms(), std::vector<double>{5, std::sqrt(2.0)}));
    expect_error(ErrorCode::invalid_argument, {"InputNorms", "3 columns", "expected 2"}, [&] {
      norms.add(Tensor::zeros({4, 3}, DType::float32, device));
    });
  }
}

TEST(PruneMagnitude, EachRowByItself) {
  for (const Device& device : devices_under_test()) {
    const std::vector<float> x = make_values(Values::normal, 5 * 41, 15);
    std::vector<bool> keep;
    for (std::size_t r = 0; r < 5; ++r) {
      std::vector<double> scores;
      for (std::size_t c = 0; c < 41; ++c) scores.push_back(std::abs(static_cast<double>(x[r * 41 + c])));
      const std::vector<bool> row = keep_oracle(scores, 20);
      keep.insert(keep.end(), row.begin(), row.end());
    }
    check_pruned<float>(
        device, "prune::magnitude",
        [&] {
          return prune::magnitude(Tensor::from(x, {5, 41}, device), 0.5, prune::Group::row);
        },
        x, Cut(5, 41, 1, 1), keep);
  }
}

template <class T>
void check_thresholds(const Device& device) {
  for (const std::int64_t n : {0, 1, 31, 65, 1000}) {
    for (const Values kind : kAllValues) {
      const std::vector<T> x = make_values<T>(kind, n, 16);
      for (const double lambda : {0.0, 0.25, 2.0}) {
        std::vector<T> soft;
        std::vector<T> hard;
        const T limit = static_cast<T>(lambda);
        for (const T v : x) {
          const bool goes = std::abs(v) <= limit;
          hard.push_back(goes ? T{0} : v);
          soft.push_back(goes ? T{0} : (std::isnan(v) ? v : std::copysign(std::abs(v) - limit, v)));
        }
        Tensor tensor = Tensor::from(x, {n}, device);
        SCOPED_TRACE(to_string(device) + " " + to_string(kind) + " " + std::to_string(lambda));
        EXPECT_TRUE(same_bits(prune::soft_threshold(tensor, lambda), soft));
        EXPECT_TRUE(same_bits(prune::hard_threshold(tensor, lambda), hard));
        EXPECT_TRUE(same_bits(tensor, x)) << "the input was written";
        prune::soft_threshold_(tensor, lambda);
        EXPECT_TRUE(same_bits(tensor, soft));
        tensor = Tensor::from(x, {n}, device);
        prune::hard_threshold_(tensor, lambda);
        EXPECT_TRUE(same_bits(tensor, hard));
      }
    }
  }
}

TEST(Proximal, SoftAndHardThresholds) {
  for (const Device& device : devices_under_test()) {
    check_thresholds<float>(device);
    check_thresholds<double>(device);
  }
}

TEST(Proximal, GroupsShrinkTogether) {
  for (const Device& device : devices_under_test()) {
    for (const Values kind : kAllValues) {
      const std::vector<float> x = make_values(kind, 6 * 35, 17);
      const Cut cut(6, 35, 1, 35);
      const std::vector<double> norms = norms_oracle(x, cut, prune::Norm::l2);
      for (const double lambda : {0.0, 3.0}) {
        std::vector<float> expected = x;
        for (std::size_t u = 0; u < norms.size(); ++u) {
          const double factor = norms[u] <= lambda ? 0 : 1 - lambda / norms[u];
          for (const std::size_t i : cut.units[u]) {
            expected[i] = factor == 0 ? 0 : static_cast<float>(static_cast<double>(x[i]) * factor);
          }
        }
        EXPECT_TRUE(same_bits(prune::group_soft_threshold(Tensor::from(x, {6, 35}, device), lambda), expected))
            << to_string(device) << " " << to_string(kind);
      }
    }
  }
}

TEST(PruneMethods, SixteenBitFloatsAreRankedLikeTheirFloat32) {
  for (const Device& device : devices_under_test()) {
    const Tensor input = equivalence::make_values(Values::positive, {40}, DType::float64, 19).to(device);
    const Tensor places = Tensor::from(std::vector<std::int64_t>{3, 0, 3}, {3}, device);
    const std::vector<std::function<Tensor(const Tensor&)>> methods{
        [&](const Tensor& x) { return prune::n_m(x, 2, 4); },
        [&](const Tensor& x) { return prune::n_m(x, 3, 7, 0); },
        [&](const Tensor& x) { return prune::random(x, 0.5, 3); },
        [&](const Tensor& x) {
          return prune::block(x, {4, 4}, 0.5);
        },
        [&](const Tensor& x) { return prune::structured(x, 0.5, {.axis = 1, .norm = prune::Norm::l1}); },
        [&](const Tensor& x) { return prune::wanda(x, input, 0.5); },
        [&](const Tensor& x) { return prune::soft_threshold(x, 0.3); },
        [&](const Tensor& x) { return prune::hard_threshold(x, 0.3); },
        [&](const Tensor& x) { return prune::take(x, places, 1); }};
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::wide}) {
        const Tensor x = equivalence::make_values(kind, {24, 40}, dtype, 18).to(device);
        for (std::size_t i = 0; i < methods.size(); ++i) {
          const Tensor got = methods[i](x);
          EXPECT_EQ(got.dtype(), dtype);
          // Where a method computes, it does so in float32 and rounds once at the end.
          const Tensor expected = cast(methods[i](cast(x, DType::float32)), dtype);
          const auto difference = equivalence::first_difference(got, expected);
          EXPECT_FALSE(difference) << to_string(device) << " " << to_string(dtype) << " method " << i;
        }
        const Tensor rows = prune::group_soft_threshold(x, 2.0);
        const Tensor doubles = cast(prune::group_soft_threshold(cast(x, DType::float64), 2.0), dtype);
        EXPECT_FALSE(equivalence::first_difference(rows, doubles)) << to_string(device) << " " << to_string(dtype);
      }
    }
  }
}

TEST(PruneMethodErrors, NameWhatIsWrong) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::zeros({4, 6}, DType::float32, device);
    const Tensor whole = Tensor::zeros({4, 6}, DType::int32, device);
    const auto bad = ErrorCode::invalid_argument;
    expect_error(bad, {"prune::n_m", "5:4", "n <= m"}, [&] { prune::n_m(x, 5, 4); });
    expect_error(bad, {"prune::n_m", "1:33", "32"}, [&] { prune::n_m(x, 1, 33); });
    expect_error(bad, {"prune::n_m", "axis is 2", "-2 to 1"}, [&] { prune::n_m(x, 1, 2, 2); });
    expect_error(bad, {"prune::block", "0 x 2"}, [&] { prune::block(x, {0, 2}, 0.5); });
    expect_error(bad, {"prune::block", "amount is 1.5"}, [&] { prune::block(x, {2, 2}, 1.5); });
    expect_error(bad, {"prune::structured", "width is 5", "divisor of 4"},
                 [&] { prune::structured(x, 0.5, {.width = 5}); });
    expect_error(bad, {"prune::wanda", "input_norms", "(4,)", "(6,)"},
                 [&] { prune::wanda(x, Tensor::zeros({4}, DType::float32, device), 0.5); });
    expect_error(bad, {"prune::soft_threshold", "lambda"}, [&] { prune::soft_threshold(x, -1); });
    expect_error(bad, {"prune::take", "7", "0 to 3"}, [&] {
      prune::take(x, Tensor::from(std::vector<std::int64_t>{0, 7}, {2}, device));
    });
    for (const auto& call : std::vector<std::function<void()>>{
             [&] { prune::n_m(whole, 2, 4); }, [&] { prune::random(whole, 0.5); },
             [&] {
               prune::block(whole, {2, 2}, 0.5);
             },
             [&] { prune::structured(whole, 0.5); }, [&] { prune::hard_threshold(whole, 1); }}) {
      expect_error(ErrorCode::not_supported, {"int32"}, call);
    }
  }
}

}  // namespace
}  // namespace sparsert::test
