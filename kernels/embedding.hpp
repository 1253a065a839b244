// kernels/embedding.hpp — one bag of an embedding table, on host and device alike.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/contract/embedding.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend {

/// What a maximum becomes with one more value: the first of equals stays, and a NaN stays for good.
template <class A>
constexpr bool is_larger(A x, A most) {
  return most == most && !(x <= most);
}

/// One element of one bag: number b · dim + d.
template <template <class> class P, class T, class I>
struct SumBag {
  std::int64_t dim;
  P<const T> table;
  P<const I> indices;
  P<const I> offsets;
  P<const T> weights;
  bool weighted;
  BagMode mode;
  P<T> out;

  constexpr void operator()(std::int64_t at) const {
    using A = Compute<T>;
    const std::int64_t d = at % dim;
    const std::int64_t first = static_cast<I>(offsets[at / dim]);
    const std::int64_t last = static_cast<I>(offsets[at / dim + 1]);
    A result = 0;
    for (std::int64_t e = first; e < last; ++e) {
      const std::int64_t row = static_cast<I>(indices[e]);
      const A x = widen(static_cast<T>(table[row * dim + d]));
      if (mode == BagMode::max) result = e == first || is_larger(x, result) ? x : result;
      else if (weighted) result = std::fma(widen(static_cast<T>(weights[e])), x, result);
      else result = result + x;
    }
    if (mode == BagMode::mean && last > first) result = result / static_cast<A>(last - first);
    out[at] = narrow<T>(result + A{0});
  }
};

template <template <class> class P, class T, class I>
struct FindWinner {
  std::int64_t dim;
  P<const T> table;
  P<const I> indices;
  P<const I> offsets;
  P<std::int64_t> winners;

  constexpr void operator()(std::int64_t at) const {
    const std::int64_t first = static_cast<I>(offsets[at / dim]);
    const std::int64_t last = static_cast<I>(offsets[at / dim + 1]);
    Compute<T> most = 0;
    std::int64_t winner = -1;
    for (std::int64_t e = first; e < last; ++e) {
      const std::int64_t row = static_cast<I>(indices[e]);
      const Compute<T> x = widen(static_cast<T>(table[row * dim + at % dim]));
      if (e > first && !is_larger(x, most)) continue;
      most = x;
      winner = row;
    }
    winners[at] = winner;
  }
};

template <template <class> class P, class T, class I>
struct SumWins {
  std::int64_t dim;
  P<const T> grad;
  P<const std::int64_t> winners;
  P<const std::int64_t> rows;
  P<const I> bag_offsets;
  P<const I> bags;
  P<T> out;

  constexpr void operator()(std::int64_t at) const {
    const std::int64_t d = at % dim;
    const std::int64_t row = rows[at / dim];
    const std::int64_t last = static_cast<I>(bag_offsets[at / dim + 1]);
    Compute<T> sum = 0;
    for (std::int64_t e = static_cast<I>(bag_offsets[at / dim]); e < last; ++e) {
      const std::int64_t element = static_cast<std::int64_t>(static_cast<I>(bags[e])) * dim + d;
      if (static_cast<std::int64_t>(winners[element]) == row) sum = sum + widen(static_cast<T>(grad[element]));
    }
    out[at] = narrow<T>(sum + Compute<T>{0});
  }
};

/// The family's operations for a backend that runs rules (kernels/formats.hpp).
template <class Each>
struct Embedding {
  template <class T>
  using P = typename Each::template Pointer<T>;

  static void embedding_bag(const EmbeddingBagArgs& args, const Stream& stream) {
    dispatch_any_float("embedding_bag", args.dtype, [&]<class T>() {
      dispatch_index("embedding_bag", args.index, [&]<class I>() {
        Each::rows(args.bags * args.dim,
                   SumBag<P, T, I>{args.dim, static_cast<const T*>(args.table), static_cast<const I*>(args.indices),
                                   static_cast<const I*>(args.offsets), static_cast<const T*>(args.weights),
                                   args.weights != nullptr, args.mode, static_cast<T*>(args.out)},
                   stream);
      });
    });
  }

  static void bag_winners(const BagWinnersArgs& args, const Stream& stream) {
    dispatch_any_float("bag_winners", args.dtype, [&]<class T>() {
      dispatch_index("bag_winners", args.index, [&]<class I>() {
        Each::rows(args.bags * args.dim,
                   FindWinner<P, T, I>{args.dim, static_cast<const T*>(args.table), static_cast<const I*>(args.indices),
                                       static_cast<const I*>(args.offsets), args.winners},
                   stream);
      });
    });
  }

  static void bag_max_backward(const BagMaxBackwardArgs& args, const Stream& stream) {
    dispatch_any_float("bag_max_backward", args.dtype, [&]<class T>() {
      dispatch_index("bag_max_backward", args.index, [&]<class I>() {
        Each::rows(args.count * args.dim,
                   SumWins<P, T, I>{args.dim, static_cast<const T*>(args.grad), args.winners, args.table_rows,
                                    static_cast<const I*>(args.bag_offsets), static_cast<const I*>(args.bags),
                                    static_cast<T*>(args.out)},
                   stream);
      });
    });
  }
};

}  // namespace sparsert::backend
