// kernels/cpu/softmax.cpp — softmax over the rows of a sparse matrix, with Highway and TBB.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <limits>

#include "device/parallel.hpp"
#include "kernels/contract/softmax.hpp"
#include "kernels/cpu/exp.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/widened.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/lanes.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// The 16 lanes of a sum as vectors.
template <class A>
using LanesTag = hn::CappedTag<A, kSumLanes>;
template <class A>
inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(LanesTag<A>()));
template <class A>
inline constexpr int kVectors = kSumLanes / kWidth<A>;

/// LaneSum::value of lanes held in vectors.
template <class A, class V>
HWY_INLINE A tree(LanesTag<A> d, const V* sums) {
  HWY_ALIGN A lanes[kSumLanes];
  for (int v = 0; v < kVectors<A>; ++v) hn::Store(sums[v], d, lanes + v * kWidth<A>);
  for (int width = kSumLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0] + A{0};
}

/// Calls f(vector number, first element, mask or whole) over n elements, 16 at a time.
template <class A, class F>
HWY_INLINE void each_vector(int64_t n, const F& f) {
  for (int64_t t = 0; t < n; t += kSumLanes) {
    for (int v = 0; v < kVectors<A>; ++v) {
      const int64_t left = n - t - v * kWidth<A>;
      if (left <= 0) return;
      f(v, t + v * kWidth<A>, HWY_MIN(left, int64_t{kWidth<A>}));
    }
  }
}

template <class A>
HWY_INLINE hn::Vec<LanesTag<A>> load_part(LanesTag<A> d, const A* x, int64_t count) {
  return count == kWidth<A> ? hn::LoadU(d, x) : hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, x);
}

template <class A, class V>
HWY_INLINE void store_part(LanesTag<A> d, V x, A* out, int64_t count) {
  if (count == kWidth<A>) {
    hn::StoreU(x, d, out);
    return;
  }
  HWY_ALIGN A lanes[kWidth<A>];
  hn::Store(x, d, lanes);
  std::copy_n(lanes, count, out);
}

template <class A>
void softmax_row(const A* x, int64_t n, A* out) {
  const LanesTag<A> d;
  using V = hn::Vec<decltype(d)>;
  const V lowest = hn::Set(d, -std::numeric_limits<A>::infinity());
  V most_of[kVectors<A>];
  V sums[kVectors<A>];
  for (int v = 0; v < kVectors<A>; ++v) most_of[v] = lowest;
  for (int v = 0; v < kVectors<A>; ++v) sums[v] = hn::Zero(d);
  each_vector<A>(n, [&](int v, int64_t at, int64_t count) HWY_ATTR {
    V xs = load_part(d, x + at, count);
    if (count != kWidth<A>) xs = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(count)), xs, lowest);
    most_of[v] = hn::IfThenElse(hn::Gt(xs, most_of[v]), xs, most_of[v]);  // a NaN is never greater
  });
  A most = -std::numeric_limits<A>::infinity();
  HWY_ALIGN A lanes[kWidth<A>];
  for (int v = 0; v < kVectors<A>; ++v) {
    hn::Store(most_of[v], d, lanes);
    for (const A lane : lanes) most = lane > most ? lane : most;
  }
  const V shift = hn::Set(d, most);
  each_vector<A>(n, [&](int v, int64_t at, int64_t count) HWY_ATTR {
    const V e = exp_vector(d, hn::Sub(load_part(d, x + at, count), shift));
    store_part<A>(d, e, out + at, count);
    sums[v] =
        hn::Add(sums[v], count == kWidth<A> ? e : hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(count)), e));
  });
  const V total = hn::Set(d, tree<A>(d, sums));
  each_vector<A>(n, [&](int, int64_t at, int64_t count) HWY_ATTR {
    store_part<A>(d, hn::Div(load_part<A>(d, out + at, count), total), out + at, count);
  });
}

template <class A>
void backward_row(const A* y, const A* grad, int64_t n, A* out) {
  const LanesTag<A> d;
  using V = hn::Vec<decltype(d)>;
  V sums[kVectors<A>];
  for (int v = 0; v < kVectors<A>; ++v) sums[v] = hn::Zero(d);
  each_vector<A>(n, [&](int v, int64_t at, int64_t count) HWY_ATTR {
    sums[v] = fused_multiply_add(load_part(d, grad + at, count), load_part(d, y + at, count), sums[v]);
  });
  const V total = hn::Set(d, tree<A>(d, sums));
  each_vector<A>(n, [&](int, int64_t at, int64_t count) HWY_ATTR {
    store_part<A>(d, hn::Mul(load_part(d, y + at, count), hn::Sub(load_part(d, grad + at, count), total)), out + at,
                  count);
  });
}

void softmax_f32(const float* x, int64_t n, float* out) { softmax_row(x, n, out); }
void softmax_f64(const double* x, int64_t n, double* out) { softmax_row(x, n, out); }
void backward_f32(const float* y, const float* grad, int64_t n, float* out) { backward_row(y, grad, n, out); }
void backward_f64(const double* y, const double* grad, int64_t n, double* out) { backward_row(y, grad, n, out); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(softmax_f32);
HWY_EXPORT(softmax_f64);
HWY_EXPORT(backward_f32);
HWY_EXPORT(backward_f64);

/// Calls f(first entry, entries) for every row, on threads.
template <class F>
void each_row(const CsrView& a, const F& f) {
  dispatch_index("sparse_softmax", a.index, [&]<class I>() {
    const auto* offsets = static_cast<const I*>(a.row_offsets);
    const int64_t grain = std::max<int64_t>(1, (1 << 13) / (a.nnz / std::max<int64_t>(1, a.rows) + 1));
    parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(int64_t{offsets[i]}, int64_t{offsets[i + 1]} - int64_t{offsets[i]});
    });
  });
}

}  // namespace

void sparse_softmax(const SparseSoftmaxArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  dispatch_any_float("sparse_softmax", a.dtype, [&]<class T>() {
    using A = Compute<T>;
    const Widened<T> x(a.values, a.nnz, stream);
    Narrowed<T> out(args.out, a.nnz, stream);
    const auto run = [] {
      if constexpr (sizeof(A) == 4) return HWY_DYNAMIC_DISPATCH(softmax_f32);
      else return HWY_DYNAMIC_DISPATCH(softmax_f64);
    }();
    A* const to = out.data();
    each_row(a, [&](int64_t first, int64_t n) { run(x.data() + first, n, to + first); });
    out.finish();
  });
}

void sparse_softmax_backward(const SparseSoftmaxBackwardArgs& args, const Stream& stream) {
  const CsrView& y = args.y;
  dispatch_any_float("sparse_softmax_backward", y.dtype, [&]<class T>() {
    using A = Compute<T>;
    const Widened<T> values(y.values, y.nnz, stream);
    const Widened<T> grad(args.grad, y.nnz, stream);
    Narrowed<T> out(args.out, y.nnz, stream);
    const auto run = [] {
      if constexpr (sizeof(A) == 4) return HWY_DYNAMIC_DISPATCH(backward_f32);
      else return HWY_DYNAMIC_DISPATCH(backward_f64);
    }();
    A* const to = out.data();
    each_row(y, [&](int64_t first, int64_t n) { run(values.data() + first, grad.data() + first, n, to + first); });
    out.finish();
  });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
