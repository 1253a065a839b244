// runtime/advise.cpp — every format's product, timed in turn, and what follows from it in words.
#include "sparsert/advise.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "runtime/advice_cache.hpp"
#include "runtime/ops/check.hpp"
#include "sparsert/version.hpp"

namespace sparsert {
namespace {

constexpr double kSeconds = 0.5;  // for all candidates together
constexpr int kLeastRounds = 3;
constexpr int kMostRounds = 200;
constexpr double kMostDenseBytes = 2e9;  // a dense copy larger than this is not made for a measurement
constexpr Block kBlock{4, 4};
constexpr int kGroup = 4;  // of N:M

std::string number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string percent(double share) { return number(100 * share, share > 0.99 || share < 0.01 ? 1 : 0) + " %"; }

/// What decides whether old measurements hold.
std::string key_of(const Csr& a, std::int64_t n) {
  const CpuInfo cpu = cpu_info();
  return std::string(kVersion) + "|" + to_string(a.device()) + "|" + cpu.name + "|" + cpu.simd + "|threads " +
         std::to_string(num_threads()) + "|" + std::string(to_string(a.dtype())) + "|" +
         std::string(to_string(a.index_dtype())) + "|" + std::to_string(a.rows()) + "x" + std::to_string(a.cols()) +
         "x" + std::to_string(n) + "|density " + number(a.density(), 2);
}

/// A product that can be timed.
struct Contender {
  AdviceCandidate candidate;
  std::function<void()> run;
};

void time_in_turn(std::vector<Contender>& contenders, const Device& device) {
  using Clock = std::chrono::steady_clock;
  const Stream stream(device);
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto begin = Clock::now();
  for (int round = 0; round < kMostRounds; ++round) {
    for (Contender& c : contenders) {
      const auto start = Clock::now();
      c.run();
      stream.synchronize();
      const double taken = seconds(Clock::now() - start);
      // The first round warms up caches and pools.
      if (round == 1 || (round > 1 && taken < c.candidate.seconds)) c.candidate.seconds = taken;
    }
    if (round >= kLeastRounds && seconds(Clock::now() - begin) > kSeconds) break;
  }
}

/// The matrix as at most n of each kGroup, with the least n; none where only n = kGroup would do.
std::optional<Nm> as_nm(const Csr& a, const Stream& stream) {
  for (int n = 1; n < kGroup; ++n) {
    try {
      return to_nm(a, n, kGroup, stream);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_argument) throw;
    }
  }
  return std::nullopt;
}

Advice measure(const Csr& a, std::int64_t n, const Stream& stream) {
  const Tensor one = cast(Tensor::from(std::vector<float>{1.0f}, {1}), a.dtype()).to(a.device());
  const Tensor b = add(Tensor::zeros({a.cols(), n}, a.dtype(), a.device(), stream), one, stream);
  Tensor out = Tensor::zeros({a.rows(), n}, a.dtype(), a.device(), stream);
  std::vector<Contender> contenders;
  std::vector<AdviceCandidate> left_out;
  const double dense_bytes =
      static_cast<double>(a.rows()) * static_cast<double>(a.cols()) * static_cast<double>(size_of(a.dtype()));
  const bool with_dense = dense_bytes <= kMostDenseBytes;
  if (with_dense) {
    const Tensor dense = a.to_dense(stream);
    contenders.push_back({{"dense", 0, dense.nbytes(), ""}, [=, &out] { matmul(dense, b, {&out}, stream); }});
  } else {
    left_out.push_back({"dense", -1, static_cast<std::int64_t>(dense_bytes), "too large to be measured"});
  }
  const Plan plan(a, n, stream);
  contenders.push_back(
      {{"csr", 0, a.nbytes() + plan.nbytes(), "with a plan"}, [=, &out] { spmm(plan, b, {.out = &out}, stream); }});
  const Bsr bsr = to_bsr(a, kBlock, stream);
  contenders.push_back({{"bsr", 0, bsr.nbytes(), "blocks of 4x4"}, [=, &out] { spmm(bsr, b, {.out = &out}, stream); }});
  const Bitmap bitmap = to_bitmap(a, stream);
  contenders.push_back({{"bitmap", 0, bitmap.nbytes(), ""}, [=, &out] { spmm(bitmap, b, {.out = &out}, stream); }});
  if (const std::optional<Nm> nm = as_nm(a, stream)) {
    contenders.push_back({{"nm", 0, nm->nbytes(), std::to_string(nm->n()) + ":" + std::to_string(kGroup)},
                          [=, matrix = *nm, &out] { spmm(matrix, b, {.out = &out}, stream); }});
  } else {
    left_out.push_back({"nm", -1, 0, "some 4 columns of a row are all entries"});
  }
  const std::size_t formats = contenders.size();
  // A single product: nothing is prepared, the conversion counts.
  contenders.push_back({{"csr once", 0, 0, ""}, [=, &out] { spmm(a, b, {.out = &out}, stream); }});
  if (with_dense) {
    contenders.push_back({{"dense once", 0, 0, ""}, [=, &out] { matmul(a.to_dense(stream), b, {&out}, stream); }});
  }
  time_in_turn(contenders, a.device());

  Advice advice;
  for (std::size_t c = 0; c < formats; ++c) advice.candidates.push_back(contenders[c].candidate);
  std::stable_sort(advice.candidates.begin(), advice.candidates.end(),
                   [](const auto& x, const auto& y) { return x.seconds < y.seconds; });
  advice.choice = advice.candidates.front().format;
  advice.candidates.insert(advice.candidates.end(), left_out.begin(), left_out.end());
  // The check that B is finite is to be paid for, and noise is not to decide.
  advice.densify =
      with_dense && contenders[formats + 1].candidate.seconds < 0.9 * contenders[formats].candidate.seconds;
  return advice;
}

const AdviceCandidate* find(const Advice& advice, const char* format) {
  for (const AdviceCandidate& c : advice.candidates) {
    if (c.format == format && c.seconds >= 0) return &c;
  }
  return nullptr;
}

std::string times(double factor) { return number(factor, factor < 10 ? 1 : 0) + "x"; }

void explain(Advice& advice, const Csr& a, std::int64_t n) {
  const double zeros = 1 - a.density();
  const AdviceCandidate& best = advice.candidates.front();
  const AdviceCandidate* const dense = find(advice, "dense");
  const AdviceCandidate* const csr = find(advice, "csr");
  const std::string here = percent(zeros) + " zeros at n = " + std::to_string(n);
  const std::string how = best.note.empty() ? "" : " (" + best.note + ")";
  if (dense != nullptr && csr != nullptr && dense->seconds > 0 && csr->seconds > 0) {
    if (best.format == "dense") {
      // The time of a sparse product follows its entries: that many zeros more, and it would be as fast.
      const double break_even = std::max(0.0, 1 - a.density() * dense->seconds / csr->seconds);
      advice.reasons.push_back("dense: " + here + " pays only above about " + percent(break_even) + " here");
    } else {
      advice.reasons.push_back(best.format + how + ": " + times(dense->seconds / best.seconds) +
                               " as fast as dense at " + here);
    }
  } else if (dense == nullptr) {
    advice.reasons.push_back(best.format + how + ": dense was not measured, it would take " +
                             number(static_cast<double>(a.rows()) * static_cast<double>(a.cols()) *
                                        static_cast<double>(size_of(a.dtype())) / 1e9,
                                    1) +
                             " GB");
  }
  for (std::size_t c = 1; c < advice.candidates.size(); ++c) {
    const AdviceCandidate& other = advice.candidates[c];
    if (other.seconds < 0) {
      advice.reasons.push_back(other.format + ": not measured, " + other.note);
    } else if (best.seconds > 0) {
      advice.reasons.push_back(other.format + (other.note.empty() ? "" : " (" + other.note + ")") + ": " +
                               times(other.seconds / best.seconds) + " the time of " + best.format);
    }
  }
  const auto item = static_cast<double>(size_of(a.dtype()));
  const auto entry = item + static_cast<double>(size_of(a.index_dtype()));
  const double dense_bytes = static_cast<double>(a.rows()) * static_cast<double>(a.cols()) * item;
  const auto csr_bytes = static_cast<double>(a.nbytes());
  advice.reasons.push_back("bytes: csr takes " + number(entry, 0) + " an entry, dense " + number(item, 0) +
                           " an element: csr is " + (csr_bytes > dense_bytes ? "larger" : "smaller") + " here, " +
                           number(csr_bytes, 0) + " against " + number(dense_bytes, 0) + ", and larger above " +
                           percent(item / entry) + " density");
}

bool is_host_finite(const Tensor& b) {
  const auto all = [](const auto& values) {
    bool finite = true;
    for (const auto x : values) finite = finite && std::isfinite(x);
    return finite;
  };
  if (b.dtype() == DType::float32) return all(b.span<float>());
  if (b.dtype() == DType::float64) return all(b.span<double>());
  const Tensor wide = cast(b, DType::float32);
  return all(wide.span<float>());
}

}  // namespace

Advice advise(const Csr& a, std::int64_t n, bool measure_again, const Stream& stream) {
  check_floating("advise", "a", a.dtype());
  require(n >= 1, [&] { return "advise: n is " + std::to_string(n) + ", expected at least 1"; });
  const std::string key = key_of(a, n);
  if (!measure_again) {
    if (std::optional<Advice> known = cached_advice(key)) return *known;
  }
  Advice advice = measure(a, n, stream.on(a.device()));
  explain(advice, a, n);
  cache_advice(key, advice);
  return advice;
}

Tensor matmul(const Csr& a, const Tensor& b, const MatmulOptions& options, const Stream& stream) {
  const SpmmOptions sparse{.out = options.out, .order = options.order};
  // Sparser than this nobody makes a matrix dense: the look-up is not worth it.
  constexpr double kLeastDensity = 0.1;
  const bool fits = a.device().is_host() && b.device() == a.device() && b.dtype() == a.dtype() && b.rank() == 2 &&
                    b.size(0) == a.cols() && is_floating(a.dtype());
  if (fits && a.density() >= kLeastDensity) {
    const std::optional<Advice> advice = cached_advice(key_of(a, b.size(1)));
    if (advice && advice->densify && is_host_finite(b)) return matmul(a.to_dense(stream), b, options, stream);
  }
  return spmm(a, b, sparse, stream);
}

}  // namespace sparsert
