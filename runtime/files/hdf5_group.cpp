// runtime/files/hdf5_group.cpp — the links of HDF5 groups: a B-tree with names in a heap, or messages, or both new.
//
// Soft links, external links and whatever else does not lead to an object of this file are refused.
#include <algorithm>
#include <functional>

#include "runtime/files/hdf5_file.hpp"
#include "runtime/files/hdf5_heap.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/utf8.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr std::uint32_t kHeap = 0x50414548;        // "HEAP"
constexpr std::uint32_t kSymbolNode = 0x444f4e53;  // "SNOD"
constexpr std::uint64_t kSymbolBytes = 40;
constexpr std::uint64_t kMaxSymbols = 65'535;  // of a node
constexpr std::size_t kMaxLinks = 1'000'000;   // of a group

}  // namespace

bool File::is_group(const Object& object) const {
  return object.find(message::symbol_table) != nullptr || object.find(message::link_info) != nullptr ||
         object.find(message::link) != nullptr;
}

std::vector<Link> File::links(const Object& group) {
  std::vector<Link> out;
  for (const Message& message : group.messages) {
    if (message.type == message::symbol_table) {
      if (message.data.size() < 16) window_.fail(message.data.begin, "a symbol table is too short");
      old_links(message.data, out);
    } else if (message.type == message::link) {
      out.push_back(link(message.data));
    } else if (message.type == message::link_info) {
      const bool has_order = message.data.size() > 1 && (window_.number(message.data.begin + 1, 1) & 1) != 0;
      const std::uint64_t at = message.data.begin + 2 + (has_order ? 8 : 0);
      if (at + 16 > message.data.end) window_.fail(message.data.begin, "link information is too short");
      const std::uint64_t heap = window_.number(at, 8);
      if (heap != kUndefined) dense_links(heap, window_.number(at + 8, 8), out);
    }
    if (out.size() > kMaxLinks) window_.fail(group.address, "a group has more than a million links");
  }
  std::vector<std::string_view> names;
  for (const Link& link : out) names.push_back(link.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) window_.fail(group.address, "a group has the name " + in_quotes(*twice) + " twice");
  return out;
}

void File::old_links(Range symbol_table, std::vector<Link>& out) {
  const std::uint64_t tree = window_.number(symbol_table.begin, 8);
  const std::uint64_t heap = window_.number(symbol_table.begin + 8, 8);
  if (window_.number(heap, 4) != kHeap || window_.number(heap + 4, 1) != 0)
    window_.fail(heap, "expected a heap of names");
  const std::uint64_t names = window_.number(heap + 24, 8);
  const Range text{names, names + window_.number(heap + 8, 8)};
  window_.check(text);
  BTree(window_, 0, 8).walk(tree, [&](std::uint64_t, std::uint64_t node) {
    if (window_.number(node, 4) != kSymbolNode || window_.number(node + 4, 1) != 1)
      window_.fail(node, "expected a node of symbols");
    const std::uint64_t count = std::min(window_.number(node + 6, 2), kMaxSymbols);
    window_.check({node, node + 8 + count * kSymbolBytes});
    count_header_bytes({node, node + 8 + count * kSymbolBytes});
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t at = node + 8 + i * kSymbolBytes;
      const std::uint64_t name = window_.number(at, 8);
      if (name >= text.size()) window_.fail(at, "a name lies outside its heap");
      if (window_.number(at + 16, 4) > 1) window_.fail(at, "a soft link, which is not followed");
      out.push_back({zero_ended({text.begin + name, text.end}), window_.number(at + 8, 8)});
    }
  });
}

std::string File::zero_ended(Range range) {
  std::string text;
  for (std::uint64_t at = range.begin;; ++at) {
    if (at == range.end) window_.fail(range.begin, "a name has no end");
    if (text.size() == kMaxName)
      window_.fail(range.begin, "a name has more than " + std::to_string(kMaxName) + " bytes");
    const char c = static_cast<char>(window_.byte(at));
    if (c == '\0') break;
    text += c;
  }
  check_name(range.begin, text);
  return text;
}

void File::check_name(std::uint64_t at, const std::string& name) {
  text_bytes_ += name.size();
  if (text_bytes_ > kFreeTextBytes + 16 * window_.size()) window_.fail(at, "names are longer than the file");
  if (name.empty() || name.find('/') != name.npos || name == "." || name == "..")
    window_.fail(at, "a link has the name " + in_quotes(name));
  if (!is_utf8(name)) window_.fail(at, "a name is not UTF-8: " + in_quotes(name));
}

Link File::link(Range data) {
  window_.check(data);
  std::uint64_t at = data.begin;
  const auto take = [&](unsigned bytes) {
    if (bytes > data.end - at) window_.fail(data.begin, "a link is too short");
    at += bytes;
    return window_.number(at - bytes, bytes);
  };
  const std::uint64_t version = take(1);
  if (version != 1) window_.fail(data.begin, "a link has the version " + std::to_string(version));
  const std::uint64_t flags = take(1);
  const std::uint64_t kind = (flags & 8) != 0 ? take(1) : 0;
  if (kind != 0) {
    window_.fail(data.begin, kind == 1    ? "a soft link, which is not followed"
                             : kind == 64 ? "a link to another file, which is not opened"
                                          : "a link of type " + std::to_string(kind));
  }
  if ((flags & 4) != 0) take(8);
  if ((flags & 16) != 0) take(1);
  const std::uint64_t bytes = take(1u << (flags & 3));
  if (bytes > kMaxName || bytes > data.end - at) window_.fail(data.begin, "a name is too long");
  const std::string name = window_.text({at, at + bytes});
  check_name(data.begin, name);
  at += bytes;
  return {name, take(8)};
}

void File::dense_links(std::uint64_t heap, std::uint64_t index, std::vector<Link>& out) {
  FractalHeap objects(window_, heap);
  constexpr unsigned kLinksByName = 5;
  constexpr std::uint64_t kHash = 4;
  each_record(window_, index, kLinksByName, [&](Range record) {
    out.push_back(link(objects.find({record.begin + kHash, record.end})));
    if (out.size() > kMaxLinks) window_.fail(index, "a group has more than a million links");
  });
}

}  // namespace sparsert::files::hdf5
