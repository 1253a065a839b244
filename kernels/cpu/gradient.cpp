// kernels/cpu/gradient.cpp — error feedback, with TBB.
//
// With top-k it is one pass over memory: a sample of the sums that will be gives a key that a little more than k of
// them reach; each part of a block is accumulated, and while it is in the cache its entries from that key on are
// collected. Among those the k-th is found exactly. Where the sample misled, the top-k of its own family reads the
// residual again.
#include "kernels/gradient.hpp"

#include <hwy/cache_control.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "device/parallel.hpp"
#include "kernels/contract/gradient.hpp"
#include "kernels/contract/topk.hpp"
#include "kernels/cpu/add_finite.hpp"
#include "kernels/cpu/candidates.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;
constexpr std::int64_t kSample = 1 << 14;
constexpr std::int64_t kMisses = 32;  // scattered lines asked of memory together
constexpr std::int64_t kPart = 2048;  // of a block, collected while it is in the first-level cache
constexpr double kDeviations = 4.0;

/// The arrays of a step, typed.
template <class T>
struct Step {
  using A = Compute<T>;
  using K = MagnitudeKey<A>;

  const T* grad;
  A momentum;
  A* velocity;
  A* residual;
  std::int64_t n;

  explicit Step(const AccumulateArgs& args)
      : grad(static_cast<const T*>(args.grad)),
        momentum(static_cast<A>(args.momentum)),
        velocity(static_cast<A*>(args.velocity)),
        residual(static_cast<A*>(args.residual)),
        n(args.n) {}

  /// Returns how many are left out.
  std::int64_t add(std::int64_t begin, std::int64_t end) const {
    // A sum that is finite had finite parts.
    if (velocity == nullptr) return add_finite(grad + begin, residual + begin, end - begin);
    std::int64_t skipped = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      skipped += accumulate(widen(grad[i]), momentum, true, velocity[i], residual[i]) ? 0 : 1;
    }
    return skipped;
  }

  /// The key that the residual of entry i will have.
  K key_after(std::int64_t i) const {
    A moved = velocity != nullptr ? velocity[i] : A{0};
    A sum = residual[i];
    accumulate(widen(grad[i]), momentum, velocity != nullptr, moved, sum);
    return magnitude_key(sum);
  }

  /// Keys of about `wanted` entries, in bursts at the sample's places. Returns how many.
  std::int64_t sample(std::int64_t wanted, K* keys) const {
    SamplePlaces sample_places(n, wanted);
    std::int64_t begins[kMisses];
    std::int64_t count = 0;
    for (std::int64_t b = 0; b < sample_places.bursts(); b += kMisses) {
      const std::int64_t some = std::min(kMisses, sample_places.bursts() - b);
      for (std::int64_t i = 0; i < some; ++i) {
        begins[i] = sample_places.next() / kBurst * kBurst;
        hwy::Prefetch(grad + begins[i]);
        hwy::Prefetch(residual + begins[i]);
      }
      for (std::int64_t i = 0; i < some; ++i) {
        for (std::int64_t j = begins[i]; j < std::min(begins[i] + kBurst, n); ++j) keys[count++] = key_after(j);
      }
    }
    return count;
  }
};

/// The k largest of the candidates, ascending. False where they are too few, or there was no room for all.
template <class K>
bool take_largest(std::span<Block<K>> blocks, const Candidates<K>& candidates, std::int64_t k, K nan,
                  std::int64_t* indices, const Stream& stream) {
  constexpr K kMagnitude = static_cast<K>(static_cast<K>(-1) >> 1);
  const std::int64_t count = candidates.count();
  if (candidates.overflowed() || count < k) return false;
  Scratch<K> keys(count + kSelectRoom, stream);
  for (std::int64_t j = 0; j < count; ++j) keys[j] = std::min<K>(candidates.bits()[j] & kMagnitude, nan);
  const K limit = select_key(std::span<K>(keys.data(), static_cast<std::size_t>(count)), count - k + 1, nan, stream);
  std::int64_t above = 0;
  for (std::int64_t j = 0; j < count; ++j) above += std::min<K>(candidates.bits()[j] & kMagnitude, nan) > limit ? 1 : 0;
  std::int64_t ties = k - above;
  for (const Block<K>& block : blocks) {
    const K* const bits = candidates.bits(block);
    const std::uint16_t* const positions = candidates.positions(block);
    for (std::int64_t j = 0; j < block.count; ++j) {
      const K key = std::min<K>(bits[j] & kMagnitude, nan);
      if (key < limit || (key == limit && ties-- <= 0)) continue;
      *indices++ = block.start + positions[j];
    }
  }
  return true;
}

template <class T>
void accumulate_largest(const AccumulateTopkArgs& args, const Stream& stream) {
  using K = typename Step<T>::K;
  using A = typename Step<T>::A;
  const Step<T> step(args.accumulate);
  const std::int64_t count = (step.n + kBlock - 1) / kBlock;
  Scratch<Block<K>> memory(count, stream);
  const auto* const bits = reinterpret_cast<const K*>(step.residual);
  for (std::int64_t b = 0; b < count; ++b) {
    memory[b] = {bits + b * kBlock, std::min(kBlock, step.n - b * kBlock), b * kBlock};
  }
  const std::span<Block<K>> blocks(memory.data(), static_cast<std::size_t>(count));
  K low = 0;
  if (step.n > kBlock) {
    const std::int64_t wanted = std::min(kSample, step.n / 32);
    Scratch<K> sample(wanted + 2 * kBurst, stream);
    const std::int64_t drawn = step.sample(wanted, sample.data());
    low = estimate_key(std::span<const K>(sample.data(), static_cast<std::size_t>(drawn)), step.n - args.k + 1, step.n,
                       -kDeviations, kNanKey<A>, stream);
  }
  Candidates<K> candidates(std::min(step.n, std::max<std::int64_t>(kBlock, 4 * args.k + step.n / 16)), stream);
  std::atomic<std::int64_t> skipped{0};
  for_each_block(blocks, [&](Block<K>& block) {
    K found[kBlockRoom];
    std::uint16_t positions[kBlockRoom];
    std::int64_t taken = 0;
    std::int64_t left_out = 0;
    for (std::int64_t at = 0; at < block.n; at += kPart) {
      const std::int64_t size = std::min(kPart, block.n - at);
      left_out += step.add(block.start + at, block.start + at + size);
      const std::int64_t more = collect_from(block.x + at, size, low, kNanKey<A>, found + taken, positions + taken);
      for (std::int64_t i = taken; i < taken + more; ++i) positions[i] = static_cast<std::uint16_t>(positions[i] + at);
      taken += more;
    }
    skipped.fetch_add(left_out, std::memory_order_relaxed);
    candidates.take(block, found, positions, taken);
  });
  *args.accumulate.skipped = skipped.load();
  if (take_largest(blocks, candidates, args.k, kNanKey<A>, args.indices, stream)) return;
  Scratch<A> values(args.k, stream);
  topk({dtype_of<A>, 1, step.n, args.k, step.residual, values.data(), args.indices}, stream);
  std::sort(args.indices, args.indices + args.k);
}

}  // namespace

void accumulate_gradient(const AccumulateArgs& args, const Stream&) {
  std::atomic<std::int64_t> skipped{0};
  dispatch_any_float("accumulate_gradient", args.dtype, [&]<class T>() {
    const Step<T> step(args);
    parallel_for(args.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      skipped.fetch_add(step.add(begin, end), std::memory_order_relaxed);
    });
  });
  *args.skipped = skipped.load();
}

void accumulate_topk(const AccumulateTopkArgs& args, const Stream& stream) {
  if (args.k == 0) return accumulate_gradient(args.accumulate, stream);
  dispatch_any_float("accumulate_topk", args.accumulate.dtype, [&]<class T>() { accumulate_largest<T>(args, stream); });
}

void emit_gradient(const EmitArgs& args, const Stream&) {
  dispatch_float("emit_gradient", args.dtype, [&]<class A>() {
    auto* const residual = static_cast<A*>(args.residual);
    auto* const velocity = static_cast<A*>(args.velocity);
    parallel_for(args.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        hwy::Prefetch(residual + args.indices[std::min(j + kMisses, end - 1)]);
        const std::int64_t i = args.indices[j];
        args.sent[j] = to_wire(args.wire, residual[i]);
        residual[i] -= static_cast<A>(args.sent[j]);
        if (velocity != nullptr) velocity[i] = 0;
      }
    });
  });
}

}  // namespace sparsert::backend::cpu
