// kernels/cuda/attention.cu — attention behind a mask, both directions: a block for 64 queries or keys of a head.
//
// A block owns 64 rows of one side, walks the tiles of the other side that the mask pairs with them, and never sees the
// others (block-sparse FlashAttention: Dao et al. 2022). Operands go through shared memory a slice of the contraction
// at a time; a thread holds 4 x 4 results. The weights of a tile pass through shared memory once, other side outermost.
// Gradients: one kernel by queries, which leaves what the softmax came to, one by keys; each sum belongs to one thread,
// so they need no atomics and are the same in every run. Read from memory: each tile's operands once for each 64 rows.
// 16-bit floats with order=fast go to the tensor cores where there are any (attention_mma.cuh).
#include <algorithm>

#include "device/kernel.cuh"
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

using namespace attention_tile;

template <class A>
struct AttendShared {
  Slices<A> slices;
  TileOf<A> weights;
  SoftmaxState<A> state;
  SeenPairs seen;
};

// grid: (tiles of 64 queries; batch · heads, at most kMostHeads; pieces of kChunks · 64 columns of the result)
// block: kThreads
// shared: AttendShared
// requires: the lists of key tiles by query tiles
template <int kChunks, class T>
__global__ __launch_bounds__(kThreads, 1) void attend_kernel(Parameters<T> p, Global<T> out,
                                                             Global<Compute<T>> log_sum_exp) {
  using A = Compute<T>;
  auto& memory = shared<AttendShared<A>>();
  const std::int64_t tile = blockIdx.x;
  const std::int64_t column0 = std::int64_t{blockIdx.z} * kChunks * kTile;
  for (std::int64_t bh = blockIdx.y; bh < p.batch_heads; bh += gridDim.y) {
    A sums[kChunks][4][4] = {};
    begin_softmax(memory.state);
    const Rows<T> own = rows_of(p.query, bh, p.queries, p.depth, tile);
    const std::int64_t list = (p.mask_heads == 1 ? 0 : bh % p.heads) * attention_tiles(p.queries) + tile;
    for_each_run_tile(p.offsets, p.runs, list, [&](std::int64_t key_tile, std::int64_t at) {
      const bool partial = load_seen(p, at, memory.seen);
      const Rows<T> keys = rows_of(p.key, key_plane(p, bh), p.keys, p.depth, key_tile);
      const Rows<T> values = rows_of(p.value, key_plane(p, bh), p.keys, p.value_depth, key_tile);
      A scores[4][4];
      dot_rows(own, keys, memory.slices, scores);
      finish_scores<true>(p, bh, tile, key_tile, scores);
      put_tile<true>(scores, keys.count, partial, memory.seen, -kInfinity<A>, memory.weights);
      __syncthreads();
      A exponentials[4][4];
      add_to_softmax(memory.weights, memory.state, exponentials);
      for (int pass = 0; pass < 4; ++pass) {
        for (int t = 0; t < 4; ++t) {
          memory.weights[tile_index(thread_x() + t * kAttentionLanes, query_of(pass))] = exponentials[pass][t];
        }
      }
      __syncthreads();
      for (int i = 0; i < 4; ++i) {
        const A rescale = memory.state.rescale[place(thread_y(), i)];
        for (int n = 0; n < kChunks; ++n) {
          for (int j = 0; j < 4; ++j) sums[n][i][j] = rescale * sums[n][i][j];
        }
      }
      for (int n = 0; n < kChunks; ++n) {
        add_products<true>(memory.weights, values, column0 + n * kTile, partial, memory.seen, memory.slices, sums[n]);
      }
    });
    for (int i = 0; i < 4; ++i) {
      const int row = place(thread_y(), i);
      if (row >= own.count) continue;
      const std::int64_t query = bh * p.queries + tile * kTile + row;
      const A sum = memory.state.sum[row];
      for (int n = 0; n < kChunks; ++n) {
        for (int j = 0; j < 4; ++j) {
          const std::int64_t column = column0 + n * kTile + place(thread_x(), j);
          if (column >= p.value_depth) continue;
          out[query * p.value_depth + column] = narrow<T>(quotient_of(sums[n][i][j], sum) + A{0});
        }
      }
      if (log_sum_exp != nullptr && thread_x() == 0 && blockIdx.z == 0) {
        log_sum_exp[query] = log_sum_exp_of(static_cast<A>(memory.state.largest[row]), sum);
      }
    }
    __syncthreads();
  }
}

/// The scores of a tile and the gradients of its weights, in the thread's 4 x 4.
template <bool kByQuery, class T, class A = Compute<T>>
__device__ __forceinline__ void score_tile(const Parameters<T>& p, Global<const T> grad, std::int64_t bh,
                                           std::int64_t query_tile, std::int64_t key_tile, Slices<A>& slices,
                                           A (&scores)[4][4], A (&gradients)[4][4]) {
  const Rows<T> query = rows_of(p.query, bh, p.queries, p.depth, query_tile);
  const Rows<T> grads = rows_of(grad, bh, p.queries, p.value_depth, query_tile);
  const Rows<T> key = rows_of(p.key, key_plane(p, bh), p.keys, p.depth, key_tile);
  const Rows<T> value = rows_of(p.value, key_plane(p, bh), p.keys, p.value_depth, key_tile);
  if constexpr (kByQuery) {
    dot_rows(query, key, slices, scores);
    dot_rows(grads, value, slices, gradients);
  } else {
    dot_rows(key, query, slices, scores);
    dot_rows(value, grads, slices, gradients);
  }
  finish_scores<kByQuery>(p, bh, query_tile, key_tile, scores);
}

// grid: (tiles of 64 queries; batch · heads, at most kMostHeads; pieces of kChunks · 64 columns of the gradient)
// block: kThreads
// shared: AttendShared
// requires: the lists of key tiles by query tiles; origins and averages of batch · heads · queries
template <int kChunks, class T>
__global__ __launch_bounds__(kThreads, 1) void attend_query_gradient_kernel(Parameters<T> p, Global<const T> grad,
                                                                            Global<T> query_grad,
                                                                            Global<Compute<T>> origins,
                                                                            Global<Compute<T>> averages) {
  using A = Compute<T>;
  auto& memory = shared<AttendShared<A>>();
  const std::int64_t tile = blockIdx.x;
  const std::int64_t column0 = std::int64_t{blockIdx.z} * kChunks * kTile;
  for (std::int64_t bh = blockIdx.y; bh < p.batch_heads; bh += gridDim.y) {
    SoftmaxState<A>& state = memory.state;
    begin_softmax(state);
    const std::int64_t list = (p.mask_heads == 1 ? 0 : bh % p.heads) * attention_tiles(p.queries) + tile;
    A scores[4][4];
    A gradients[4][4];
    // First what the softmax comes to, and the average of the weights' gradients.
    for_each_run_tile(p.offsets, p.runs, list, [&](std::int64_t key_tile, std::int64_t at) {
      const bool partial = load_seen(p, at, memory.seen);
      const int keys = static_cast<int>(min(std::int64_t{kTile}, p.keys - key_tile * kTile));
      score_tile<true>(p, grad, bh, tile, key_tile, memory.slices, scores, gradients);
      put_tile<true>(scores, keys, partial, memory.seen, -kInfinity<A>, memory.weights);
      __syncthreads();
      A exponentials[4][4];
      add_to_softmax(memory.weights, state, exponentials);
      __syncthreads();
      put_tile<true>(gradients, keys, partial, memory.seen, A{0}, memory.weights);
      __syncthreads();
      for (int pass = 0; pass < 4; ++pass) {
        const int query = query_of(pass);
        A total = 0;
        for (int t = 0; t < 4; ++t) {
          const A gradient = memory.weights[tile_index(thread_x() + t * kAttentionLanes, query)];
          total = fma(exponentials[pass][t], gradient, total);
        }
        total = sum_of_lanes(total);
        if (thread_x() == 0) {
          state.average[query] = fma(static_cast<A>(state.average[query]), static_cast<A>(state.rescale[query]), total);
        }
      }
      __syncthreads();
    });
    if (threadIdx.x < kTile) {
      const A sum = state.sum[threadIdx.x];
      const A origin = weight_origin(static_cast<A>(state.largest[threadIdx.x]), sum);
      const A average = quotient_of(static_cast<A>(state.average[threadIdx.x]), sum);
      state.largest[threadIdx.x] = origin;
      state.average[threadIdx.x] = average;
      const std::int64_t query = tile * kTile + threadIdx.x;
      if (query < p.queries && blockIdx.z == 0) {
        origins[bh * p.queries + query] = origin;
        averages[bh * p.queries + query] = average;
      }
    }
    __syncthreads();
    // Then the gradient.
    A totals[kChunks][4][4] = {};
    for_each_run_tile(p.offsets, p.runs, list, [&](std::int64_t key_tile, std::int64_t at) {
      const bool partial = load_seen(p, at, memory.seen);
      const Rows<T> keys = rows_of(p.key, key_plane(p, bh), p.keys, p.depth, key_tile);
      score_tile<true>(p, grad, bh, tile, key_tile, memory.slices, scores, gradients);
      for (int i = 0; i < 4; ++i) {
        const int row = place(thread_y(), i);
        const A origin = state.largest[row];
        const A average = state.average[row];
        for (int j = 0; j < 4; ++j) scores[i][j] = exp_of(scores[i][j] - origin) * (gradients[i][j] - average);
      }
      put_tile<true>(scores, keys.count, partial, memory.seen, A{0}, memory.weights);
      __syncthreads();
      for (int n = 0; n < kChunks; ++n) {
        A piece[4][4] = {};
        add_products<true>(memory.weights, keys, column0 + n * kTile, partial, memory.seen, memory.slices, piece);
        for (int i = 0; i < 4; ++i) {
          for (int j = 0; j < 4; ++j) totals[n][i][j] = totals[n][i][j] + piece[i][j];
        }
      }
    });
    for (int n = 0; n < kChunks; ++n) {
      for (int i = 0; i < 4; ++i) {
        const std::int64_t query = tile * kTile + place(thread_y(), i);
        for (int j = 0; j < 4; ++j) {
          const std::int64_t column = column0 + n * kTile + place(thread_x(), j);
          if (query >= p.queries || column >= p.depth) continue;
          query_grad[(bh * p.queries + query) * p.depth + column] = narrow<T>(p.scale * totals[n][i][j] + A{0});
        }
      }
    }
    __syncthreads();
  }
}

template <class A>
struct KeyGradientShared {
  Slices<A> slices;
  TileOf<A> weights;
  SharedArray<A, kTile> origin;
  SharedArray<A, kTile> average;
  SeenPairs seen;
};

// grid: (tiles of 64 keys; batch · key heads, at most kMostHeads; pieces of kChunks · 64 columns of the gradients)
// block: kThreads
// shared: KeyGradientShared
// requires: the lists of query tiles by key tiles; origins and averages as attend_query_gradient_kernel leaves them
template <int kChunks, class T>
__global__ __launch_bounds__(kThreads, 1) void attend_key_gradient_kernel(Parameters<T> p, Global<const T> grad,
                                                                          Global<T> key_grad, Global<T> value_grad,
                                                                          Global<const Compute<T>> origins,
                                                                          Global<const Compute<T>> averages) {
  using A = Compute<T>;
  auto& memory = shared<KeyGradientShared<A>>();
  const std::int64_t tile = blockIdx.x;
  const std::int64_t column0 = std::int64_t{blockIdx.z} * kChunks * kTile;
  const std::int64_t group = p.heads / p.key_heads;
  const std::int64_t planes = p.batch_heads / group;
  for (std::int64_t plane = blockIdx.y; plane < planes; plane += gridDim.y) {
    const int keys = static_cast<int>(min(std::int64_t{kTile}, p.keys - tile * kTile));
    A key_totals[kChunks][4][4] = {};
    A value_totals[kChunks][4][4] = {};
    for (std::int64_t g = 0; g < group; ++g) {
      const std::int64_t bh = plane / p.key_heads * p.heads + plane % p.key_heads * group + g;
      const std::int64_t list = (p.mask_heads == 1 ? 0 : bh % p.heads) * attention_tiles(p.keys) + tile;
      for_each_run_tile(p.key_offsets, p.key_runs, list, [&](std::int64_t query_tile, std::int64_t at) {
        const bool partial = load_seen(p, at, memory.seen);
        const Rows<T> query = rows_of(p.query, bh, p.queries, p.depth, query_tile);
        const Rows<T> grads = rows_of(grad, bh, p.queries, p.value_depth, query_tile);
        if (static_cast<int>(threadIdx.x) < query.count) {
          const std::int64_t row = bh * p.queries + query_tile * kTile + threadIdx.x;
          memory.origin[threadIdx.x] = origins[row];
          memory.average[threadIdx.x] = averages[row];
        }
        A weights[4][4];
        A changes[4][4];
        score_tile<false>(p, grad, bh, query_tile, tile, memory.slices, weights, changes);
        for (int j = 0; j < 4; ++j) {
          const int other = place(thread_x(), j);
          if (other >= query.count) continue;
          const A origin = memory.origin[other];
          const A average = memory.average[other];
          for (int i = 0; i < 4; ++i) {
            weights[i][j] = exp_of(weights[i][j] - origin);
            changes[i][j] = weights[i][j] * (changes[i][j] - average);
          }
        }
        const auto add = [&](const A(&factors)[4][4], const Rows<T>& rows, A(&totals)[kChunks][4][4]) {
          put_tile<false>(factors, rows.count, partial, memory.seen, A{0}, memory.weights);
          __syncthreads();
          for (int n = 0; n < kChunks; ++n) {
            A piece[4][4] = {};
            add_products<false>(memory.weights, rows, column0 + n * kTile, partial, memory.seen, memory.slices, piece);
            for (int i = 0; i < 4; ++i) {
              for (int j = 0; j < 4; ++j) totals[n][i][j] = totals[n][i][j] + piece[i][j];
            }
          }
          __syncthreads();
        };
        add(changes, query, key_totals);
        add(weights, grads, value_totals);
      });
    }
    for (int n = 0; n < kChunks; ++n) {
      for (int i = 0; i < 4; ++i) {
        const int row = place(thread_y(), i);
        if (row >= keys) continue;
        const std::int64_t key = plane * p.keys + tile * kTile + row;
        for (int j = 0; j < 4; ++j) {
          const std::int64_t column = column0 + n * kTile + place(thread_x(), j);
          if (column < p.depth) key_grad[key * p.depth + column] = narrow<T>(p.scale * key_totals[n][i][j] + A{0});
          if (column < p.value_depth)
            value_grad[key * p.value_depth + column] = narrow<T>(value_totals[n][i][j] + A{0});
        }
      }
    }
  }
}

template <class T>
Parameters<T> parameters_of(const AttentionInputs& in) {
  return {in.batch * in.heads,
          in.heads,
          in.key_heads,
          in.queries,
          in.keys,
          in.depth,
          in.value_depth,
          static_cast<const T*>(in.query),
          static_cast<const T*>(in.key),
          static_cast<const T*>(in.value),
          static_cast<const T*>(in.bias),
          in.bias_batch_stride,
          in.bias_head_stride,
          static_cast<Compute<T>>(in.scale),
          in.mask.heads,
          in.mask.offsets,
          in.mask.runs,
          in.mask.key_offsets,
          in.mask.key_runs,
          in.mask.bits};
}

/// Calls f.operator()<kChunks>(pieces): the results that a thread holds stay in registers up to 128 columns.
template <class F>
void choose(std::int64_t columns, F&& f) {
  const std::int64_t chunks = attention_tiles(columns);
  if (chunks == 1) f.template operator()<1>(std::int64_t{1});
  else f.template operator()<2>((chunks + 1) / 2);
}

/// On tensor cores.
template <class T>
void attend_fast(const AttendArgs& args, const Stream& stream) {
  const Parameters<T> p = parameters_of<T>(args.in);
  attention_mma::choose(p.depth, [&]<int kDepth>() {
    launch(stream,
           {.grid = {attention_tiles(p.queries), std::min(p.batch_heads, kMostHeads), attention_tiles(p.value_depth)},
            .block = attention_mma::kThreads},
           &attention_mma::attend_mma_kernel<kDepth, T>, p, attention_mma::is_wide<T>(args.in),
           static_cast<T*>(args.out), static_cast<float*>(args.log_sum_exp));
  });
}

}  // namespace

void attend(const AttendArgs& args, const Stream& stream) {
  if (args.order == Order::fast && has_mma(stream)) {
    if (args.in.dtype == DType::float16) return attend_fast<float16>(args, stream);
    if (args.in.dtype == DType::bfloat16) return attend_fast<bfloat16>(args, stream);
  }
  dispatch_any_float("attend", args.in.dtype, [&]<class T>() {
    const Parameters<T> p = parameters_of<T>(args.in);
    choose(p.value_depth, [&]<int kChunks>(std::int64_t pieces) {
      launch(stream,
             {.grid = {attention_tiles(p.queries), std::min(p.batch_heads, kMostHeads), pieces}, .block = kThreads},
             &attend_kernel<kChunks, T>, p, static_cast<T*>(args.out), static_cast<Compute<T>*>(args.log_sum_exp));
    });
  });
}

void attend_backward(const AttendBackwardArgs& args, const Stream& stream) {
  dispatch_any_float("attend_backward", args.in.dtype, [&]<class T>() {
    using A = Compute<T>;
    const Parameters<T> p = parameters_of<T>(args.in);
    const auto rows = static_cast<std::size_t>(p.batch_heads * p.queries);
    const Buffer origins(rows * sizeof(A), stream);
    const Buffer averages(rows * sizeof(A), stream);
    auto* const origin = static_cast<A*>(origins.data());
    auto* const average = static_cast<A*>(averages.data());
    const auto* const grad = static_cast<const T*>(args.grad);
    choose(p.depth, [&]<int kChunks>(std::int64_t pieces) {
      launch(stream,
             {.grid = {attention_tiles(p.queries), std::min(p.batch_heads, kMostHeads), pieces}, .block = kThreads},
             &attend_query_gradient_kernel<kChunks, T>, p, grad, static_cast<T*>(args.query_grad), origin, average);
    });
    const std::int64_t planes = p.batch_heads / (p.heads / p.key_heads);
    choose(std::max(p.depth, p.value_depth), [&]<int kChunks>(std::int64_t pieces) {
      launch(stream, {.grid = {attention_tiles(p.keys), std::min(planes, kMostHeads), pieces}, .block = kThreads},
             &attend_key_gradient_kernel<kChunks, T>, p, grad, static_cast<T*>(args.key_grad),
             static_cast<T*>(args.value_grad), origin, average);
    });
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
