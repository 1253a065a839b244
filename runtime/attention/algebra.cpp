// runtime/attention/algebra.cpp — masks made of masks: what a row of blocks sees follows from what its parts see.
#include <algorithm>
#include <utility>

#include "runtime/attention/mask.hpp"

namespace sparsert::attention {
namespace {

/// Where one part sees the whole block the union does; two partly seen blocks may add up to anything but nothing.
Coverage either(Coverage a, Coverage b) {
  if (a == Coverage::full || b == Coverage::full) return Coverage::full;
  if (a == Coverage::none) return b;
  if (b == Coverage::none) return a;
  return Coverage::unresolved;
}

Coverage both(Coverage a, Coverage b) {
  if (a == Coverage::none || b == Coverage::none) return Coverage::none;
  if (a == Coverage::full) return b;
  if (b == Coverage::full) return a;
  return Coverage::unresolved;
}

/// `out` = the blocks of both lists, each with what `join` makes of the two coverages.
template <class Join>
void merge(const Runs& a, const Runs& b, Join join, Runs& out) {
  std::size_t i = 0;
  std::size_t j = 0;
  std::int64_t at = 0;
  while (i < a.size() || j < b.size()) {
    const auto state = [at](const Runs& runs, std::size_t k, std::int64_t& next) {
      if (k == runs.size()) return Coverage::none;
      const bool inside = runs[k].begin <= at;
      next = std::min(next, inside ? runs[k].end : runs[k].begin);
      return inside ? runs[k].coverage : Coverage::none;
    };
    std::int64_t next = INT64_MAX;
    const Coverage of_a = state(a, i, next);
    const Coverage of_b = state(b, j, next);
    append_run(out, at, next, join(of_a, of_b));
    at = next;
    if (i < a.size() && a[i].end == at) ++i;
    if (j < b.size() && b[j].end == at) ++j;
  }
}

template <class Join>
void merge_parts(const std::vector<NodePtr>& parts, std::int64_t head, Span rows, std::int64_t block, Join join,
                 Runs& out) {
  Runs next;
  Runs joined;
  for (const NodePtr& part : parts) {
    next.clear();
    part->runs(part->heads() == 1 ? 0 : head, rows, block, next);
    if (part == parts.front()) {
      out = next;
      continue;
    }
    joined.clear();
    merge(out, next, join, joined);
    out.swap(joined);
  }
}

/// The parts of a node of kind `Kind`, or the node itself.
template <class Kind>
void collect(const NodePtr& node, std::vector<NodePtr>& parts) {
  if (const auto* const same = dynamic_cast<const Kind*>(node.get()); same != nullptr) {
    parts.insert(parts.end(), same->parts().begin(), same->parts().end());
  } else {
    parts.push_back(node);
  }
}

template <class Kind>
NodePtr chain(const NodePtr& a, const NodePtr& b) {
  std::vector<NodePtr> parts;
  collect<Kind>(a, parts);
  collect<Kind>(b, parts);
  return std::make_shared<Kind>(a->lengths(), std::max(a->heads(), b->heads()), std::move(parts));
}

}  // namespace

Combination::Combination(Lengths lengths, std::int64_t heads, std::vector<NodePtr> parts)
    : Node(lengths, heads), parts_(std::move(parts)), depth_(1) {
  for (const NodePtr& part : parts_) depth_ = std::max(depth_, part->depth() + 1);
  require(depth_ <= kMostDepth, [&] {
    return "mask: the expression is " + std::to_string(depth_) + " levels deep, expected at most " +
           std::to_string(kMostDepth);
  });
}

std::int64_t Combination::bytes() const noexcept {
  auto bytes = static_cast<std::int64_t>(sizeof(Combination) + parts_.size() * sizeof(NodePtr));
  for (const NodePtr& part : parts_) bytes += part->bytes();
  return bytes;
}

std::int64_t Combination::count(std::int64_t head, Span rows) const {
  const std::int64_t keys = lengths().key;
  std::int64_t count = 0;
  Runs seen;
  for (std::int64_t q = rows.begin; q < rows.end; q += kTile) {
    const Span part{q, std::min(rows.end, q + kTile)};
    seen.clear();
    runs(head, part, kTile, seen);
    for (const Run& run : seen) {
      const Span columns{run.begin * kTile, std::min(keys, run.end * kTile)};
      count += run.coverage == Coverage::full ? part.size() * columns.size() : count_pairs(*this, head, part, columns);
    }
  }
  return count;
}

std::int64_t Complement::count(std::int64_t head, Span rows) const {
  return rows.size() * lengths().key - parts().front()->count(head, rows);
}

std::int64_t PerHead::count(std::int64_t head, Span rows) const {
  return parts()[static_cast<std::size_t>(head)]->count(0, rows);
}

void Union::accept(NodeVisitor& visitor) const { visitor.visit(*this); }
void Intersection::accept(NodeVisitor& visitor) const { visitor.visit(*this); }
void Complement::accept(NodeVisitor& visitor) const { visitor.visit(*this); }
void PerHead::accept(NodeVisitor& visitor) const { visitor.visit(*this); }

void Union::runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const {
  merge_parts(parts(), head, rows, block, either, out);
}

void Union::tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const {
  bits.fill(0);
  TileBits other;
  for (const NodePtr& part : parts()) {
    part->tile(head_of(*part, head), rows, key, other);
    for (std::size_t r = 0; r < bits.size(); ++r) bits[r] |= other[r];
  }
}

void Intersection::runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const {
  merge_parts(parts(), head, rows, block, both, out);
}

void Intersection::tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const {
  bits.fill(~std::uint64_t{0});
  TileBits other;
  for (const NodePtr& part : parts()) {
    part->tile(head_of(*part, head), rows, key, other);
    for (std::size_t r = 0; r < bits.size(); ++r) bits[r] &= other[r];
  }
}

void Complement::runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const {
  Runs seen;
  parts().front()->runs(head, rows, block, seen);
  std::int64_t at = 0;
  for (const Run& run : seen) {
    append_run(out, at, run.begin, Coverage::full);
    if (run.coverage != Coverage::full) append_run(out, run.begin, run.end, run.coverage);
    at = run.end;
  }
  append_run(out, at, (lengths().key + block - 1) / block, Coverage::full);
}

void Complement::tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const {
  parts().front()->tile(head, rows, key, bits);
  const std::uint64_t there = bits_between(0, std::min(kTile, lengths().key - key));
  for (std::int64_t r = 0; r < rows.size(); ++r) {
    bits[static_cast<std::size_t>(r)] = ~bits[static_cast<std::size_t>(r)] & there;
  }
}

void PerHead::runs(std::int64_t head, Span rows, std::int64_t block, Runs& out) const {
  parts()[static_cast<std::size_t>(head)]->runs(0, rows, block, out);
}

void PerHead::tile(std::int64_t head, Span rows, std::int64_t key, TileBits& bits) const {
  parts()[static_cast<std::size_t>(head)]->tile(0, rows, key, bits);
}

NodePtr unite(const NodePtr& a, const NodePtr& b) { return chain<Union>(a, b); }
NodePtr intersect(const NodePtr& a, const NodePtr& b) { return chain<Intersection>(a, b); }

NodePtr complement(const NodePtr& a) {
  if (const auto* const twice = dynamic_cast<const Complement*>(a.get()); twice != nullptr) {
    return twice->parts().front();
  }
  return std::make_shared<Complement>(a);
}

}  // namespace sparsert::attention
