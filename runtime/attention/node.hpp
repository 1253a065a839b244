// runtime/attention/node.hpp — the expression that a mask is: evaluated by rows of blocks, and by tiles of 64 x 64.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "sparsert/attention.hpp"

namespace sparsert::attention {

/// Queries or keys [begin, end).
struct Span {
  std::int64_t begin;
  std::int64_t end;

  std::int64_t size() const noexcept { return end - begin; }
  friend bool operator==(const Span&, const Span&) = default;
};

/// What a row of blocks sees of a block. `unresolved` is any of the other three: its pairs have to be looked at.
enum class Coverage : std::uint8_t { none, full, partial, unresolved };

/// Blocks [begin, end) of keys.
struct Run {
  std::int64_t begin;
  std::int64_t end;
  Coverage coverage;
};

/// Ascending, not overlapping, `none` left out.
using Runs = std::vector<Run>;

inline constexpr std::int64_t kTile = 64;
/// Bit c of word r: query r of the tile sees key c of it. Bits of queries and keys that are not there are 0.
using TileBits = std::array<std::uint64_t, kTile>;

/// Bits [begin, end) of a word, 0 <= begin, end <= 64.
constexpr std::uint64_t bits_between(std::int64_t begin, std::int64_t end) noexcept {
  if (begin >= end) return 0;
  const std::uint64_t below_end = end == kTile ? ~std::uint64_t{0} : (std::uint64_t{1} << end) - 1;
  return below_end & (~std::uint64_t{0} << begin);
}

class NodeVisitor;

/// A mask without block size. Immutable.
class Node {
 public:
  Node(Lengths lengths, std::int64_t heads) : lengths_(lengths), heads_(heads) {}
  virtual ~Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Lengths lengths() const noexcept { return lengths_; }
  std::int64_t heads() const noexcept { return heads_; }

  /// What queries `rows` see of the keys, cut into blocks of `block`. `rows` is not empty, `out` is.
  virtual void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const = 0;
  /// The pairs of at most 64 queries and the keys [key, key + 64). Words of queries beyond `rows` are 0.
  virtual void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const = 0;
  /// How many pairs queries `rows` see.
  virtual std::int64_t count(std::int64_t head, Span rows) const = 0;
  virtual std::int64_t bytes() const noexcept = 0;
  virtual int depth() const noexcept { return 1; }
  virtual void accept(NodeVisitor& visitor) const = 0;

 private:
  Lengths lengths_;
  std::int64_t heads_;
};

using NodePtr = std::shared_ptr<const Node>;

/// Appends a run, joined to the last one where it continues it.
inline void append_run(Runs& runs, std::int64_t begin, std::int64_t end, Coverage coverage) {
  if (begin >= end || coverage == Coverage::none) return;
  if (!runs.empty() && runs.back().end == begin && runs.back().coverage == coverage) runs.back().end = end;
  else runs.push_back({begin, end, coverage});
}

/// lowest <= j - p <= highest and (p - j) % step = 0.
class Band final : public Node {
 public:
  static constexpr std::int64_t kUnbounded = std::int64_t{1} << 42;  // beyond any distance

  Band(Lengths lengths, std::int64_t offset, std::int64_t lowest, std::int64_t highest, std::int64_t step)
      : Node(lengths, 1), offset_(offset), lowest_(lowest), highest_(highest), step_(step) {}

  std::int64_t offset() const noexcept { return offset_; }
  std::int64_t lowest() const noexcept { return lowest_; }
  std::int64_t highest() const noexcept { return highest_; }
  std::int64_t step() const noexcept { return step_; }

  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  std::int64_t count(std::int64_t head, Span rows) const override;
  std::int64_t bytes() const noexcept override { return sizeof(Band); }
  void accept(NodeVisitor& visitor) const override;

 private:
  std::int64_t offset_;
  std::int64_t lowest_;
  std::int64_t highest_;
  std::int64_t step_;
};

/// Lists of spans of keys; stretches of queries share one.
struct KeyLists {
  std::vector<std::int64_t> stretches;      // the first query of each, ascending from 0
  std::vector<std::int64_t> list_of;        // of each stretch
  std::vector<std::int64_t> offsets = {0};  // of each list's spans, and their end
  std::vector<Span> spans;                  // of a list: ascending, with keys between them

  /// Adds a list and gives its number.
  std::int64_t add_list(const std::vector<Span>& list);
  /// Queries from `first` on, up to the next stretch, see list number `list`.
  void add_stretch(std::int64_t first, std::int64_t list);
};

class Lists final : public Node {
 public:
  Lists(Lengths lengths, KeyLists lists) : Node(lengths, 1), lists_(std::move(lists)) {}

  const KeyLists& lists() const noexcept { return lists_; }

  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  std::int64_t count(std::int64_t head, Span rows) const override;
  std::int64_t bytes() const noexcept override;
  void accept(NodeVisitor& visitor) const override;

 private:
  /// Calls f(queries of the stretch that lie in `rows`, the stretch's list).
  template <class F>
  void for_each_stretch(Span rows, F&& f) const;

  KeyLists lists_;
};

/// A node made of others.
class Combination : public Node {
 public:
  Combination(Lengths lengths, std::int64_t heads, std::vector<NodePtr> parts);

  const std::vector<NodePtr>& parts() const noexcept { return parts_; }
  /// Tile by tile where the blocks do not say it.
  std::int64_t count(std::int64_t head, Span rows) const override;
  std::int64_t bytes() const noexcept override;
  int depth() const noexcept override { return depth_; }

 protected:
  std::int64_t head_of(const Node& part, std::int64_t head) const noexcept { return part.heads() == 1 ? 0 : head; }

 private:
  std::vector<NodePtr> parts_;
  int depth_;
};

class Union final : public Combination {
 public:
  using Combination::Combination;
  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  void accept(NodeVisitor& visitor) const override;
};

class Intersection final : public Combination {
 public:
  using Combination::Combination;
  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  void accept(NodeVisitor& visitor) const override;
};

class Complement final : public Combination {
 public:
  explicit Complement(NodePtr part) : Combination(part->lengths(), part->heads(), {part}) {}
  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  std::int64_t count(std::int64_t head, Span rows) const override;
  void accept(NodeVisitor& visitor) const override;
};

/// Part h is what head h sees.
class PerHead final : public Combination {
 public:
  explicit PerHead(std::vector<NodePtr> parts)
      : Combination(parts.front()->lengths(), static_cast<std::int64_t>(parts.size()), parts) {}
  void runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const override;
  void tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const override;
  std::int64_t count(std::int64_t head, Span rows) const override;
  void accept(NodeVisitor& visitor) const override;
};

class NodeVisitor {
 public:
  virtual ~NodeVisitor() = default;
  virtual void visit(const Band& node) = 0;
  virtual void visit(const Lists& node) = 0;
  virtual void visit(const Union& node) = 0;
  virtual void visit(const Intersection& node) = 0;
  virtual void visit(const Complement& node) = 0;
  virtual void visit(const PerHead& node) = 0;
};

/// The nodes' algebra. Chains of one kind become one node, a double complement none.
NodePtr unite(const NodePtr& a, const NodePtr& b);
NodePtr intersect(const NodePtr& a, const NodePtr& b);
NodePtr complement(const NodePtr& a);

/// Nothing that a user writes by hand is deeper; a file that is deeper is refused.
inline constexpr int kMostDepth = 128;

}  // namespace sparsert::attention
