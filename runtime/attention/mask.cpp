// runtime/attention/mask.cpp — the mask: its algebra, what it knows of itself, and what it is turned into.
#include "runtime/attention/mask.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

namespace sparsert::attention {
namespace {

constexpr std::int64_t kMostLength = std::int64_t{1} << 36;
constexpr std::int64_t kMostOffset = std::int64_t{1} << 40;

void check_block_size(std::int64_t block_size) {
  require(block_size == 16 || block_size == 32 || block_size == 64 || block_size == 128,
          [&] { return "mask: block_size is " + std::to_string(block_size) + ", expected 16, 32, 64 or 128"; });
}

void check_head(const char* op, const Mask& mask, std::int64_t head) {
  require(head >= 0 && head < mask.heads(), [&] {
    return std::string(op) + ": head is " + std::to_string(head) + ", expected 0 to " +
           std::to_string(mask.heads() - 1);
  });
}

std::string text_of(Lengths n) { return "(" + std::to_string(n.query) + ", " + std::to_string(n.key) + ")"; }

void check_pair(const char* op, const Mask& a, const Mask& b) {
  require(a.lengths() == b.lengths(), [&] {
    return std::string(op) + ": the masks are for lengths " + text_of(a.lengths()) + " and " + text_of(b.lengths()) +
           ", expected the same";
  });
  require(a.heads() == b.heads() || a.heads() == 1 || b.heads() == 1, [&] {
    return std::string(op) + ": the masks have " + std::to_string(a.heads()) + " and " + std::to_string(b.heads()) +
           " heads, expected the same number, or 1";
  });
}

/// Calls f(query, word, first key) for every 64 keys that a row of tiles does not see nothing of, query by query.
template <class F>
void for_each_word(const Node& node, std::int64_t head, Span rows, F&& f) {
  const std::int64_t keys = node.lengths().key;
  Runs runs;
  node.runs(head, rows, kTile, runs);
  std::vector<std::pair<std::int64_t, TileBits>> tiles;
  for (const Run& run : runs) {
    for (std::int64_t t = run.begin; t < run.end; ++t) {
      tiles.emplace_back(t * kTile, TileBits{});
      if (run.coverage == Coverage::full) {
        tiles.back().second.fill(bits_between(0, std::min(kTile, keys - t * kTile)));
      } else {
        node.tile(head, rows, t * kTile, tiles.back().second);
      }
    }
  }
  for (std::int64_t r = 0; r < rows.size(); ++r) {
    for (const auto& [key, bits] : tiles) f(rows.begin + r, bits[static_cast<std::size_t>(r)], key);
  }
}

template <class F>
void for_each_pair(const Node& node, std::int64_t head, F&& f) {
  const std::int64_t queries = node.lengths().query;
  for (std::int64_t q = 0; q < queries; q += kTile) {
    for_each_word(node, head, {q, std::min(queries, q + kTile)},
                  [&](std::int64_t query, std::uint64_t word, std::int64_t key) {
                    for (; word != 0; word &= word - 1) f(query, key + std::countr_zero(word));
                  });
  }
}

template <class T>
Tensor ones(std::int64_t n, T one) {
  return Tensor::from(std::vector<T>(static_cast<std::size_t>(n), one), {n});
}

Tensor ones_of(DType dtype, std::int64_t n) {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: {
      Tensor values = Tensor::empty({n}, dtype);
      std::fill_n(static_cast<std::uint8_t*>(values.mutable_data()), n, std::uint8_t{1});
      return values;
    }
    case DType::int32: return ones<std::int32_t>(n, 1);
    case DType::int64: return ones<std::int64_t>(n, 1);
    case DType::float16: return ones(n, to_float16(1.0f));
    case DType::bfloat16: return ones(n, to_bfloat16(1.0f));
    case DType::float32: return ones(n, 1.0f);
    case DType::float64: return ones(n, 1.0);
  }
  return {};
}

template <class I>
Csr csr_of(const Node& node, std::int64_t head, std::int64_t nnz, DType dtype) {
  const Lengths n = node.lengths();
  std::vector<I> offsets(static_cast<std::size_t>(n.query + 1));
  std::vector<I> columns;
  columns.reserve(static_cast<std::size_t>(nnz));
  for_each_pair(node, head, [&](std::int64_t query, std::int64_t key) {
    ++offsets[static_cast<std::size_t>(query + 1)];
    columns.push_back(static_cast<I>(key));
  });
  for (std::size_t r = 1; r < offsets.size(); ++r) offsets[r] = static_cast<I>(offsets[r] + offsets[r - 1]);
  return Csr::unchecked(Tensor::from(offsets, {n.query + 1}).as_read_only(),
                        Tensor::from(columns, {static_cast<std::int64_t>(columns.size())}).as_read_only(),
                        ones_of(dtype, nnz), n.query, n.key);
}

}  // namespace

Mask make_mask(NodePtr node, std::int64_t block_size) {
  check_block_size(block_size);
  auto impl = std::make_shared<MaskImpl>();
  impl->evaluation = std::make_shared<const Evaluation>(std::move(node));
  impl->block_size = block_size;
  return Mask(std::move(impl));
}

void check_lengths(const char* op, Lengths n, const MaskOptions& options) {
  require(n.query >= 0 && n.key >= 0 && n.query <= kMostLength && n.key <= kMostLength,
          [&] { return std::string(op) + ": n is " + text_of(n) + ", expected lengths from 0 to 2^36"; });
  require(options.offset >= -kMostOffset && options.offset <= kMostOffset, [&] {
    return std::string(op) + ": offset is " + std::to_string(options.offset) + ", expected at most 2^40 either way";
  });
  check_block_size(options.block_size);
}

std::int64_t count_pairs(const Node& node, std::int64_t head, Span rows, Span keys) {
  TileBits bits;
  std::int64_t count = 0;
  for (std::int64_t q = rows.begin; q < rows.end; q += kTile) {
    const Span part{q, std::min(rows.end, q + kTile)};
    for (std::int64_t k = keys.begin; k < keys.end; k += kTile) {
      node.tile(head, part, k, bits);
      const std::uint64_t inside = bits_between(0, std::min(kTile, keys.end - k));
      for (const std::uint64_t word : bits) count += std::popcount(word & inside);
    }
  }
  return count;
}

std::int64_t Mask::heads() const noexcept { return node_of(*this).heads(); }
Lengths Mask::lengths() const noexcept { return node_of(*this).lengths(); }
std::int64_t Mask::block_size() const noexcept { return impl_->block_size; }

Mask Mask::with_block_size(std::int64_t block_size) const {
  check_block_size(block_size);
  auto impl = std::make_shared<MaskImpl>();
  impl->evaluation = impl_->evaluation;
  impl->block_size = block_size;
  return Mask(std::move(impl));
}

bool Mask::contains(std::int64_t query, std::int64_t key, std::int64_t head) const {
  check_head("contains", *this, head);
  const Lengths n = lengths();
  require(query >= 0 && query < n.query && key >= 0 && key < n.key, [&] {
    return "contains: the pair is (" + std::to_string(query) + ", " + std::to_string(key) +
           "), expected one of lengths " + text_of(n);
  });
  TileBits bits;
  node_of(*this).tile(head, {query, query + 1}, key, bits);
  return (bits[0] & 1) != 0;
}

BlockCounts Mask::blocks() const {
  const std::scoped_lock lock(impl_->mutex);
  if (!impl_->blocks) {
    const Node& node = node_of(*this);
    const Lengths n = lengths();
    const std::int64_t block = impl_->block_size;
    BlockCounts counts;
    for (std::int64_t head = 0; head < heads(); ++head) {
      for (std::int64_t q = 0; q < n.query; q += block) {
        for_each_run(node, head, {q, std::min(n.query, q + block)}, block,
                     [&](std::int64_t begin, std::int64_t end, Coverage coverage) {
                       (coverage == Coverage::full ? counts.full : counts.partial) += end - begin;
                     });
      }
    }
    const auto blocks_of = [block](std::int64_t length) { return (length + block - 1) / block; };
    counts.empty = heads() * blocks_of(n.query) * blocks_of(n.key) - counts.full - counts.partial;
    impl_->blocks = counts;
  }
  return *impl_->blocks;
}

std::int64_t Mask::nnz() const { return impl_->evaluation->nnz(); }

double Mask::density() const {
  const Lengths n = lengths();
  const double pairs = static_cast<double>(heads()) * static_cast<double>(n.query) * static_cast<double>(n.key);
  return pairs == 0 ? 0.0 : static_cast<double>(nnz()) / pairs;
}

std::int64_t Mask::nbytes() const { return static_cast<std::int64_t>(sizeof(MaskImpl)) + impl_->evaluation->bytes(); }

Csr Mask::to_csr(DType dtype, std::int64_t head) const {
  check_head("to_csr", *this, head);
  const Node& node = node_of(*this);
  const Lengths n = lengths();
  const std::int64_t count = node.count(head, {0, n.query});
  const bool is_small = std::max({count, n.query, n.key}) <= std::numeric_limits<std::int32_t>::max();
  return is_small ? csr_of<std::int32_t>(node, head, count, dtype) : csr_of<std::int64_t>(node, head, count, dtype);
}

Bsr Mask::to_bsr(std::int64_t size, DType dtype, std::int64_t head) const {
  return sparsert::to_bsr(to_csr(dtype, head), {size, size});
}

Tensor Mask::to_dense() const {
  const Lengths n = lengths();
  Shape shape{n.query, n.key};
  if (heads() != 1) shape.insert(shape.begin(), heads());
  Tensor dense = Tensor::zeros(std::move(shape), DType::boolean);
  auto* const data = static_cast<std::uint8_t*>(dense.mutable_data());
  for (std::int64_t head = 0; head < heads(); ++head) {
    for_each_pair(node_of(*this), head,
                  [&](std::int64_t query, std::int64_t key) { data[(head * n.query + query) * n.key + key] = 1; });
  }
  return dense;
}

Mask operator&(const Mask& a, const Mask& b) {
  check_pair("mask &", a, b);
  return make_mask(intersect(a.impl().evaluation->pointer(), b.impl().evaluation->pointer()),
                   std::min(a.block_size(), b.block_size()));
}

Mask operator|(const Mask& a, const Mask& b) {
  check_pair("mask |", a, b);
  return make_mask(unite(a.impl().evaluation->pointer(), b.impl().evaluation->pointer()),
                   std::min(a.block_size(), b.block_size()));
}

Mask Mask::operator~() const { return make_mask(complement(impl_->evaluation->pointer()), impl_->block_size); }

Mask per_head(std::span<const Mask> masks) {
  require(!masks.empty(), [] { return std::string("per_head: got no masks, expected one for each head"); });
  std::vector<NodePtr> parts;
  for (const Mask& mask : masks) {
    check_pair("per_head", masks.front(), mask);
    require(mask.heads() == 1, [&] {
      return "per_head: mask " + std::to_string(parts.size()) + " has " + std::to_string(mask.heads()) +
             " heads, expected a shared one";
    });
    parts.push_back(mask.impl().evaluation->pointer());
  }
  const std::int64_t block_size = masks.front().block_size();
  return make_mask(parts.size() == 1 ? parts.front() : std::make_shared<const PerHead>(std::move(parts)), block_size);
}

}  // namespace sparsert::attention
