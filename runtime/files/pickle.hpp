// runtime/files/pickle.hpp — a machine that reads pickles and runs nothing.
//
// Calls, classes and persistent ids become inert nodes: what is called, with which arguments. There is nothing here
// that could be called. A caller looks at the nodes and takes what it knows. Nodes live in one array and refer to each
// other by index, so a reference that occurs a thousand times is one node, and nothing recurses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/files/source.hpp"

namespace sparsert::files {

class Pickle {
 public:
  using Ref = std::uint32_t;
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    big_integer,  // more than 64 bits: its bytes, little-endian
    real,
    text,
    bytes,
    tuple,
    list,
    dict,  // items are key, value, key, value ...
    set,
    global,      // a name of a module
    object,      // a call or a class with arguments, and the state it was given
    persistent,  // something that lies outside the pickle
    mark
  };

  /// Reads one pickle that starts at `offset`. Throws `FileError` "format, offset: pickle: ...".
  Pickle(const char* format, const Bytes& bytes, std::uint64_t offset, std::uint64_t max_bytes);

  Ref root() const noexcept { return root_; }
  /// References are below it.
  Ref size() const noexcept { return static_cast<Ref>(nodes_.size()); }
  /// Where the pickle ends in its bytes.
  std::uint64_t end() const noexcept { return begin_ + at_; }

  Kind kind(Ref ref) const noexcept { return nodes_[ref].kind; }
  bool is(Ref ref, Kind kind) const noexcept { return nodes_[ref].kind == kind; }
  bool boolean(Ref ref) const noexcept { return nodes_[ref].value != 0; }
  std::int64_t integer(Ref ref) const noexcept { return static_cast<std::int64_t>(nodes_[ref].value); }
  double real(Ref ref) const noexcept;
  std::string_view text(Ref ref) const noexcept;  // text, bytes, big_integer
  /// Of a tuple, list, set or dict.
  std::span<const Ref> items(Ref ref) const noexcept;
  std::string_view module_of(Ref global) const noexcept { return text(nodes_[global].extra); }
  std::string_view name_of(Ref global) const noexcept { return text(static_cast<Ref>(nodes_[global].value)); }
  Ref callable(Ref object) const noexcept { return nodes_[object].extra; }
  Ref arguments(Ref object) const noexcept { return static_cast<Ref>(nodes_[object].value); }
  /// The state that BUILD gave to an object; a node of kind none where there is none.
  Ref state(Ref object) const noexcept { return static_cast<Ref>(nodes_[object].value >> 32); }
  Ref id(Ref persistent) const noexcept { return nodes_[persistent].extra; }

  /// True for a global of this module and name.
  bool is_global(Ref ref, std::string_view module, std::string_view name) const noexcept;
  /// The names "module.name" of all globals, each once, in order.
  std::vector<std::string> globals() const;
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  struct Node {
    Kind kind = Kind::none;
    std::uint32_t extra = 0;
    std::uint64_t value = 0;
  };

  void run();
  bool step(unsigned char opcode);
  bool constants(unsigned char opcode);
  bool numbers(unsigned char opcode);
  bool strings(unsigned char opcode);
  bool containers(unsigned char opcode);
  bool references(unsigned char opcode);
  bool objects(unsigned char opcode);

  void need(std::uint64_t count);
  std::uint64_t take(int bytes);
  Ref take_text(Kind kind, std::uint64_t length);
  std::string_view take_line();

  Ref add(Kind kind, std::uint64_t value = 0, std::uint32_t extra = 0);
  void push(Ref ref);
  Ref pop();
  Ref top() const;
  /// What lies above the last mark, which goes too.
  std::vector<Ref> pop_to_mark();
  Ref add_sequence(Kind kind, std::vector<Ref> items);
  void append(Ref sequence, std::span<const Ref> items);
  void set_items(Ref target, std::span<const Ref> items);
  void extend(Ref sequence, std::span<const Ref> items);
  void count_items(std::size_t count);
  void memoize(std::uint32_t key);
  Ref recall(std::uint32_t key) const;
  Ref make_object(Ref callable, Ref arguments);
  void build();

  const char* format_;
  Bytes bytes_;
  std::uint64_t begin_;
  std::uint64_t place_;
  std::uint64_t max_bytes_;
  std::vector<std::byte> buffer_;  // what was read so far, from begin_ on; texts are places in it
  std::uint64_t at_ = 0;
  std::vector<Node> nodes_;
  std::vector<std::vector<Ref>> sequences_;
  std::size_t items_count_ = 0;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::vector<Ref> memo_;                          // keys 0, 1, 2, ... as picklers give them
  std::unordered_map<std::uint32_t, Ref> sparse_;  // all others
  Ref root_ = 0;
  bool stopped_ = false;
};

}  // namespace sparsert::files
