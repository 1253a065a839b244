// sparsert/attention.hpp — masks as an algebra, and attention over what they let through.
//
// A mask says which keys a query sees. It is kept as an expression, evaluated a row of blocks at a time where it is
// needed, and never as an array of queries times keys. Formulas: i is a query, j a key, p = i + offset the position of
// the query among the keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sparsert/formats.hpp"
#include "sparsert/order.hpp"
#include "sparsert/sparse.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::attention {

/// How many queries and keys there are; one number means both.
struct Lengths {
  std::int64_t query;
  std::int64_t key;

  constexpr Lengths(std::int64_t n) noexcept : query(n), key(n) {}
  constexpr Lengths(std::int64_t queries, std::int64_t keys) noexcept : query(queries), key(keys) {}

  friend constexpr bool operator==(const Lengths&, const Lengths&) = default;
};

struct MaskOptions {
  std::int64_t offset = 0;       ///< position of query 0 among the keys: the cached keys before it when decoding
  std::int64_t block_size = 64;  ///< 16, 32, 64 or 128
};

/// Blocks of a mask whose every pair is seen, some pairs, none; summed over the heads it holds.
struct BlockCounts {
  std::int64_t full = 0;
  std::int64_t partial = 0;
  std::int64_t empty = 0;

  friend constexpr bool operator==(const BlockCounts&, const BlockCounts&) = default;
};

struct MaskImpl;

/// Which keys each query sees, for all heads alike or for each its own. Immutable, cheap to copy, safe to share between
/// threads. What is computed of it (blocks, density, what kernels read) is computed when first asked for, and kept.
class Mask {
 public:
  std::int64_t heads() const noexcept;  ///< 1: shared by all heads
  Lengths lengths() const noexcept;
  std::int64_t block_size() const noexcept;

  /// The same mask, cut into blocks of another size: 16, 32, 64 or 128. Attention's bits do not depend on it.
  Mask with_block_size(std::int64_t block_size) const;

  bool contains(std::int64_t query, std::int64_t key, std::int64_t head = 0) const;
  BlockCounts blocks() const;
  std::int64_t nnz() const;     ///< pairs seen, summed over the heads it holds
  double density() const;       ///< nnz / (heads · queries · keys); 0 where there are none
  std::int64_t nbytes() const;  ///< of the expression, and of what was computed of it so far

  /// One head's pairs with values of 1. Indices are int32 where they suffice.
  Csr to_csr(DType dtype = DType::float32, std::int64_t head = 0) const;
  /// One head's pairs as blocks of `size` a side: 1 where a pair is seen, 0 where it is not.
  Bsr to_bsr(std::int64_t size, DType dtype = DType::float32, std::int64_t head = 0) const;
  /// bool, (queries, keys), or (heads, queries, keys) for a mask of several heads. Small masks only.
  Tensor to_dense() const;

  /// A drawing of one head at most `cells` cells wide and high: full and partial blocks.
  std::string to_svg(std::int64_t head = 0, std::int64_t cells = 128) const;
  /// The same in characters, a line for each row of cells: # or a full block, + or a shaded one, a dot for none.
  std::string to_text(std::int64_t head = 0, std::int64_t cells = 64, bool unicode = true) const;

  /// Writes safetensors: the expression, so that the file is as small as the mask is simple. Throws `FileError`.
  void save(const std::filesystem::path& path) const;
  /// Reads what `save` wrote; any other bytes give `FileError`.
  static Mask load(const std::filesystem::path& path);

  /// A pair both see, a pair either sees, a pair it does not see. Lengths must agree, and the numbers of heads unless
  /// one is shared; the block size is the smaller one.
  friend Mask operator&(const Mask& a, const Mask& b);
  friend Mask operator|(const Mask& a, const Mask& b);
  Mask operator~() const;

  explicit Mask(std::shared_ptr<const MaskImpl> impl) noexcept : impl_(std::move(impl)) {}
  const MaskImpl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const MaskImpl> impl_;
};

// Every one of these throws `Error{invalid_argument}` for a negative length, a block size that is not 16, 32, 64 or
// 128, and for what its own line says.

/// Every key.
Mask full(Lengths n, const MaskOptions& options = {});
/// j <= p.
Mask causal(Lengths n, const MaskOptions& options = {});
/// |p - j| < window.
Mask sliding_window(Lengths n, std::int64_t window, const MaskOptions& options = {});
/// p and `width` keys on each side of it, `dilation` apart.
Mask dilated(Lengths n, std::int64_t width, std::int64_t dilation, const MaskOptions& options = {});
/// j <= p and (p - j) % stride = 0: the strided half of the Sparse Transformer.
Mask strided(Lengths n, std::int64_t stride, const MaskOptions& options = {});
/// The tokens named see every key, and every query sees them. Positions from 0, below the number of keys.
Mask global_tokens(Lengths n, std::span<const std::int64_t> tokens, const MaskOptions& options = {});
/// j < prefix or j <= p.
Mask prefix_lm(Lengths n, std::int64_t prefix, const MaskOptions& options = {});
/// sliding_window | global_tokens of the first `global` tokens | `random` keys more, counted in tokens. Each group of
/// 64 queries draws the latter together, as whole aligned groups of 64 keys and one group's beginning.
Mask bigbird(Lengths n, std::int64_t window, std::int64_t global, std::int64_t random, std::uint64_t seed,
             const MaskOptions& options = {});
/// sliding_window | global_tokens.
Mask longformer(Lengths n, std::int64_t window, std::span<const std::int64_t> tokens, const MaskOptions& options = {});
/// Blocks of `size` x `size` pairs where `layout`, (rows, columns) or (heads, rows, columns), is not zero. `n` may cut
/// the last row and column of blocks short; without it they are whole.
Mask block(const Tensor& layout, std::int64_t size, std::optional<Lengths> n = {}, const MaskOptions& options = {});
/// The pairs whose ids are equal: packed sequences. A token with a negative id is padding, sees none and is not seen.
Mask document(std::span<const std::int64_t> ids, const MaskOptions& options = {});
Mask document(std::span<const std::int64_t> query_ids, std::span<const std::int64_t> key_ids,
              const MaskOptions& options = {});
/// The pairs that are not zero, (queries, keys) or (heads, queries, keys). NaN is not zero.
Mask from_dense(const Tensor& dense, const MaskOptions& options = {});
/// The entries stored, zeros among them.
Mask from_csr(const Csr& csr, const MaskOptions& options = {});
/// The k largest scores of each query, (queries, keys) or (heads, queries, keys): ties to the lower key, NaN above Inf.
Mask topk(const Tensor& scores, std::int64_t k, const MaskOptions& options = {});
/// One mask for each head, each of them shared; lengths and block size as the first's.
Mask per_head(std::span<const Mask> masks);

// ---- Attention.

struct AttendOptions {
  std::optional<double> scale = {};  ///< of the scores; 1 / sqrt(depth) without it
  const Tensor* bias = nullptr;   ///< added to the scores: (queries, keys), with heads or 1, and batch or 1 before them
  Tensor* out = nullptr;          ///< as the result, written; must not overlap an operand
  Tensor* log_sum_exp = nullptr;  ///< becomes (batch, heads, queries): float32, or float64 for float64 operands
  Order order = Order::canonical;
};

/// softmax(scale · q·kᵀ + bias, over the keys that the mask lets each query see) · v.
///
/// q (batch, heads, queries, depth), k (batch, key heads, keys, depth), v (batch, key heads, keys, value depth), depths
/// from 1 to 256; heads is a multiple of the key heads, which as many heads in a row share. The result is (batch,
/// heads, queries, value depth). A query that sees no key gives 0, and a log-sum-exp of -Inf. What no query sees is not
/// looked at: NaN there is none here. Without a mask every query sees every key.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Mask& mask, const AttendOptions& options = {},
              const Stream& stream = {});
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttendOptions& options = {},
              const Stream& stream = {});

struct AttendBackwardOptions {
  std::optional<double> scale = {};
  const Tensor* bias = nullptr;
  Order order = Order::canonical;
};

struct AttendGradients {
  Tensor q;
  Tensor k;
  Tensor v;
};

/// The gradients of q, k and v for the gradient of `attend`'s result. Nothing of the forward pass is needed.
AttendGradients attend_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v, const Mask& mask,
                                const AttendBackwardOptions& options = {}, const Stream& stream = {});
AttendGradients attend_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                                const AttendBackwardOptions& options = {}, const Stream& stream = {});

/// The steps of attention one by one, for one head and a mask that is a matrix, with the weights to look at: scores on
/// the pattern's entries (`sddmm`), times the scale, and their softmax by row (`sparse_softmax`). `spmm(weights, v)` is
/// then the result: `attend`'s within the bound, not in its bits. q (queries, depth), k (keys, depth), pattern
/// (queries, keys), whose values are not read.
Csr weights(const Tensor& q, const Tensor& k, const Csr& pattern, std::optional<double> scale = {},
            const Stream& stream = {});

}  // namespace sparsert::attention
