// runtime/files/pickle.cpp — a machine that reads pickles and runs nothing.
#include "runtime/files/pickle.hpp"

#include <algorithm>
#include <bit>
#include <set>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files {
namespace {

constexpr std::uint64_t kMaxOperations = 50'000'000;
constexpr std::size_t kMaxNodes = 4'000'000;
constexpr std::size_t kMaxItems = 16'000'000;  // of all containers together, which calls of dict() may repeat
constexpr std::size_t kMaxStack = 1'000'000;
constexpr std::size_t kMaxMemo = 10'000'000;
constexpr std::uint64_t kMaxText = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxLine = 4096;
constexpr std::uint64_t kMaxInteger = 1024;  // bytes
constexpr std::uint64_t kMaxProtocol = 5;
constexpr std::uint64_t kPiece = std::uint64_t{64} << 10;

// Nodes that every pickle has, so that a byte of input that says None does not cost one.
constexpr Pickle::Ref kNone = 0;
constexpr Pickle::Ref kFalse = 1;
constexpr Pickle::Ref kTrue = 2;
constexpr Pickle::Ref kEmptyTuple = 3;

// The operations of protocols 2 to 5 that need no code to run: what PyTorch and Lightning write, and what newer
// protocols write for the same objects.
namespace op {
constexpr unsigned char kMark = '(', kStop = '.', kPop = '0', kPopMark = '1', kDup = '2';
constexpr unsigned char kBinFloat = 'G', kBinInt = 'J', kBinInt1 = 'K', kBinInt2 = 'M', kNone = 'N';
constexpr unsigned char kBinPersId = 'Q', kReduce = 'R', kBinString = 'T', kShortBinString = 'U', kBinUnicode = 'X';
constexpr unsigned char kAppend = 'a', kBuild = 'b', kGlobal = 'c', kAppends = 'e', kBinGet = 'h', kLongBinGet = 'j';
constexpr unsigned char kEmptyList = ']', kEmptyTuple = ')', kEmptyDict = '}', kList = 'l', kDict = 'd';
constexpr unsigned char kBinPut = 'q', kLongBinPut = 'r', kSetItem = 's', kTuple = 't', kSetItems = 'u';
constexpr unsigned char kBinBytes = 'B', kShortBinBytes = 'C';
constexpr unsigned char kProto = 0x80, kNewObj = 0x81, kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87;
constexpr unsigned char kNewTrue = 0x88, kNewFalse = 0x89, kLong1 = 0x8a, kLong4 = 0x8b;
constexpr unsigned char kShortBinUnicode = 0x8c, kBinUnicode8 = 0x8d, kBinBytes8 = 0x8e, kEmptySet = 0x8f;
constexpr unsigned char kAddItems = 0x90, kFrozenSet = 0x91, kNewObjEx = 0x92, kStackGlobal = 0x93;
constexpr unsigned char kMemoize = 0x94, kFrame = 0x95;
}  // namespace op

}  // namespace

Pickle::Pickle(const char* format, const Bytes& bytes, std::uint64_t offset, std::uint64_t max_bytes)
    : format_(format), bytes_(bytes), begin_(offset), place_(bytes.place(offset)), max_bytes_(max_bytes) {
  if (offset > bytes_.size()) fail("starts behind the end");
  add(Kind::none);
  add(Kind::boolean, 0);
  add(Kind::boolean, 1);
  add(Kind::tuple);
  run();
}

void Pickle::fail(const std::string& reason) const { malformed(format_, place_ + at_, "pickle: " + reason); }

void Pickle::run() {
  for (std::uint64_t operations = 0; !stopped_; ++operations) {
    if (operations == kMaxOperations) fail("more than 50,000,000 operations");
    const auto opcode = static_cast<unsigned char>(take(1));
    if (!step(opcode)) {
      --at_;
      fail("the operation " + std::to_string(opcode) + " is not one that a model needs");
    }
  }
}

bool Pickle::step(unsigned char opcode) {
  return constants(opcode) || numbers(opcode) || strings(opcode) || containers(opcode) || references(opcode) ||
         objects(opcode);
}

bool Pickle::constants(unsigned char opcode) {
  switch (opcode) {
    case op::kProto:
      if (take(1) > kMaxProtocol) fail("a protocol above 5");
      return true;
    case op::kFrame: {
      const std::uint64_t length = take(8);
      if (length > bytes_.size() - begin_ - at_) fail("a frame longer than the file");
      return true;
    }
    case op::kNone: push(kNone); return true;
    case op::kNewTrue: push(kTrue); return true;
    case op::kNewFalse: push(kFalse); return true;
    case op::kEmptyTuple: push(kEmptyTuple); return true;
    case op::kEmptyList: push(add(Kind::list)); return true;
    case op::kEmptyDict: push(add(Kind::dict)); return true;
    case op::kEmptySet: push(add(Kind::set)); return true;
    case op::kMark:
      marks_.push_back(stack_.size());
      if (marks_.size() > kMaxStack) fail("the stack is too deep");
      return true;
    case op::kStop:
      root_ = pop();
      if (!stack_.empty() || !marks_.empty()) fail("values are left on the stack");
      stopped_ = true;
      return true;
    default: return false;
  }
}

bool Pickle::numbers(unsigned char opcode) {
  switch (opcode) {
    case op::kBinInt: {
      const auto value = static_cast<std::int32_t>(static_cast<std::uint32_t>(take(4)));
      push(add(Kind::integer, static_cast<std::uint64_t>(static_cast<std::int64_t>(value))));
      return true;
    }
    case op::kBinInt1: push(add(Kind::integer, take(1))); return true;
    case op::kBinInt2: push(add(Kind::integer, take(2))); return true;
    case op::kBinFloat: push(add(Kind::real, __builtin_bswap64(take(8)))); return true;
    case op::kLong1:
    case op::kLong4: {
      const std::uint64_t length = take(opcode == op::kLong1 ? 1 : 4);
      if (length > kMaxInteger) fail("an integer of more than 1,024 bytes");
      if (length > 8) {
        push(take_text(Kind::big_integer, length));
        return true;
      }
      std::uint64_t value = take(static_cast<int>(length));
      const bool negative = length != 0 && (value >> (8 * length - 1)) != 0;
      if (negative && length < 8) value |= ~std::uint64_t{0} << (8 * length);
      push(add(Kind::integer, value));
      return true;
    }
    default: return false;
  }
}

bool Pickle::strings(unsigned char opcode) {
  switch (opcode) {
    case op::kShortBinUnicode: push(take_text(Kind::text, take(1))); return true;
    case op::kBinUnicode: push(take_text(Kind::text, take(4))); return true;
    case op::kBinUnicode8: push(take_text(Kind::text, take(8))); return true;
    // Python 2 has one type for both; names and keys are meant.
    case op::kShortBinString: push(take_text(Kind::text, take(1))); return true;
    case op::kBinString: push(take_text(Kind::text, take(4))); return true;
    case op::kShortBinBytes: push(take_text(Kind::bytes, take(1))); return true;
    case op::kBinBytes: push(take_text(Kind::bytes, take(4))); return true;
    case op::kBinBytes8: push(take_text(Kind::bytes, take(8))); return true;
    default: return false;
  }
}

bool Pickle::containers(unsigned char opcode) {
  switch (opcode) {
    case op::kTuple1:
    case op::kTuple2:
    case op::kTuple3: {
      std::vector<Ref> items(static_cast<std::size_t>(opcode - op::kTuple1 + 1));
      for (auto item = items.rbegin(); item != items.rend(); ++item) *item = pop();
      push(add_sequence(Kind::tuple, std::move(items)));
      return true;
    }
    case op::kTuple: push(add_sequence(Kind::tuple, pop_to_mark())); return true;
    case op::kList: push(add_sequence(Kind::list, pop_to_mark())); return true;
    case op::kFrozenSet: push(add_sequence(Kind::set, pop_to_mark())); return true;
    case op::kDict: {
      const Ref dict = add(Kind::dict);
      set_items(dict, pop_to_mark());
      push(dict);
      return true;
    }
    case op::kAppend: {
      const Ref item = pop();
      append(top(), {&item, 1});
      return true;
    }
    case op::kAppends: {
      const auto items = pop_to_mark();
      append(top(), items);
      return true;
    }
    case op::kSetItem: {
      const Ref value = pop();
      const Ref key = pop();
      const Ref pair[] = {key, value};
      set_items(top(), pair);
      return true;
    }
    case op::kSetItems: {
      const auto items = pop_to_mark();
      set_items(top(), items);
      return true;
    }
    case op::kAddItems: {
      const auto items = pop_to_mark();
      if (!is(top(), Kind::set)) fail("items are added to what is no set");
      append(top(), items);
      return true;
    }
    default: return false;
  }
}

bool Pickle::references(unsigned char opcode) {
  switch (opcode) {
    case op::kPop:
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop();
      }
      return true;
    case op::kPopMark: pop_to_mark(); return true;
    case op::kDup: push(top()); return true;
    case op::kBinPut: memoize(static_cast<std::uint32_t>(take(1))); return true;
    case op::kLongBinPut: memoize(static_cast<std::uint32_t>(take(4))); return true;
    case op::kMemoize: memoize(static_cast<std::uint32_t>(memo_.size() + sparse_.size())); return true;
    case op::kBinGet: push(recall(static_cast<std::uint32_t>(take(1)))); return true;
    case op::kLongBinGet: push(recall(static_cast<std::uint32_t>(take(4)))); return true;
    default: return false;
  }
}

bool Pickle::objects(unsigned char opcode) {
  switch (opcode) {
    case op::kGlobal: {
      const Ref module = take_text(Kind::text, take_line().size());
      ++at_;
      const Ref name = take_text(Kind::text, take_line().size());
      ++at_;
      push(add(Kind::global, name, module));
      return true;
    }
    case op::kStackGlobal: {
      const Ref name = pop();
      const Ref module = pop();
      if (!is(name, Kind::text) || !is(module, Kind::text)) fail("a name of a class is no string");
      push(add(Kind::global, name, module));
      return true;
    }
    case op::kBinPersId: {
      const Ref id = pop();
      push(add(Kind::persistent, 0, id));
      return true;
    }
    case op::kReduce:
    case op::kNewObj: {
      const Ref arguments = pop();
      const Ref callable = pop();
      push(make_object(callable, arguments));
      return true;
    }
    case op::kNewObjEx: {
      pop();  // keyword arguments, which nothing here would know
      const Ref arguments = pop();
      const Ref callable = pop();
      push(make_object(callable, arguments));
      return true;
    }
    case op::kBuild: build(); return true;
    default: return false;
  }
}

void Pickle::need(std::uint64_t count) {
  if (count <= buffer_.size() - at_) return;
  const std::uint64_t left = bytes_.size() - begin_ - at_;
  if (count > left) fail("needs " + std::to_string(count) + " bytes, got " + std::to_string(left));
  if (count > max_bytes_ - std::min(max_bytes_, at_)) {
    fail("has more than " + std::to_string(max_bytes_) + " bytes");
  }
  // At least a piece, and at least as much again as there is, so that the whole is copied few times.
  const std::uint64_t wanted = std::max({count, kPiece, std::uint64_t{buffer_.size()}});
  const std::uint64_t end = std::min(bytes_.size() - begin_, at_ + wanted);
  const std::size_t before = buffer_.size();
  buffer_.resize(static_cast<std::size_t>(end));
  bytes_.read(begin_ + before, buffer_.data() + before, end - before);
}

std::uint64_t Pickle::take(int bytes) {
  need(static_cast<std::uint64_t>(bytes));
  std::uint64_t value = 0;
  for (int i = bytes; i-- > 0;) {
    value = value << 8 | std::to_integer<std::uint64_t>(buffer_[at_ + static_cast<std::size_t>(i)]);
  }
  at_ += static_cast<std::uint64_t>(bytes);
  return value;
}

Pickle::Ref Pickle::take_text(Kind kind, std::uint64_t length) {
  if (length > kMaxText) fail("a string of " + std::to_string(length) + " bytes, expected at most 16 MiB");
  need(length);
  const Ref text = add(kind, at_, static_cast<std::uint32_t>(length));
  at_ += length;
  return text;
}

std::string_view Pickle::take_line() {
  for (std::uint64_t length = 0; length < kMaxLine; ++length) {
    need(length + 1);
    if (buffer_[at_ + length] == std::byte{'\n'}) {
      return {reinterpret_cast<const char*>(buffer_.data()) + at_, static_cast<std::size_t>(length)};
    }
  }
  fail("a line of more than 4,096 bytes");
}

Pickle::Ref Pickle::add(Kind kind, std::uint64_t value, std::uint32_t extra) {
  if (nodes_.size() == kMaxNodes) fail("more than 4,000,000 values");
  nodes_.push_back({kind, extra, value});
  return static_cast<Ref>(nodes_.size() - 1);
}

void Pickle::push(Ref ref) {
  if (stack_.size() == kMaxStack) fail("the stack is too deep");
  stack_.push_back(ref);
}

Pickle::Ref Pickle::pop() {
  const Ref ref = top();
  stack_.pop_back();
  return ref;
}

Pickle::Ref Pickle::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack is empty");
  return stack_.back();
}

std::vector<Pickle::Ref> Pickle::pop_to_mark() {
  if (marks_.empty()) fail("no mark on the stack");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Ref> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

Pickle::Ref Pickle::add_sequence(Kind kind, std::vector<Ref> items) {
  if (items.empty()) return kind == Kind::tuple ? kEmptyTuple : add(kind);
  count_items(items.size());
  sequences_.push_back(std::move(items));
  return add(kind, sequences_.size());
}

void Pickle::append(Ref sequence, std::span<const Ref> items) {
  if (is(sequence, Kind::object)) return;  // of a class that nothing here knows: its items are not looked at
  if (!is(sequence, Kind::list) && !is(sequence, Kind::set)) fail("items are appended to what is no list");
  extend(sequence, items);
}

void Pickle::extend(Ref sequence, std::span<const Ref> items) {
  if (items.empty()) return;
  count_items(items.size());
  Node& node = nodes_[sequence];
  if (node.value == 0) {
    sequences_.emplace_back();
    node.value = sequences_.size();
  }
  auto& all = sequences_[node.value - 1];
  all.insert(all.end(), items.begin(), items.end());
}

void Pickle::count_items(std::size_t count) {
  if (count > kMaxItems - items_count_) fail("more than 16,000,000 values in containers");
  items_count_ += count;
}

void Pickle::set_items(Ref target, std::span<const Ref> items) {
  if (items.size() % 2 != 0) fail("a key without a value");
  if (is(target, Kind::object)) return;
  if (!is(target, Kind::dict)) fail("items are set in what is no dictionary");
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const Kind key = kind(items[i]);
    if (key == Kind::list || key == Kind::dict || key == Kind::set) fail("a key that cannot be one");
  }
  extend(target, items);
}

void Pickle::memoize(std::uint32_t key) {
  const Ref ref = top();
  if (memo_.size() + sparse_.size() >= kMaxMemo) fail("more than 10,000,000 remembered values");
  if (key < memo_.size()) {
    memo_[key] = ref;
  } else if (key == memo_.size() && !sparse_.contains(key)) {
    memo_.push_back(ref);
  } else {
    sparse_[key] = ref;
  }
}

Pickle::Ref Pickle::recall(std::uint32_t key) const {
  if (key < memo_.size()) return memo_[key];
  const auto found = sparse_.find(key);
  if (found == sparse_.end()) fail("the value " + std::to_string(key) + " was not remembered");
  return found->second;
}

// The dictionaries of the standard library are dictionaries; everything else stays what it is called.
Pickle::Ref Pickle::make_object(Ref callable, Ref arguments) {
  if (!is(arguments, Kind::tuple)) fail("the arguments of a call are no tuple");
  const bool is_dict = is_global(callable, "collections", "OrderedDict") ||
                       is_global(callable, "collections", "defaultdict") ||
                       is_global(callable, "collections", "Counter") || is_global(callable, "__builtin__", "dict") ||
                       is_global(callable, "builtins", "dict");
  if (!is_dict) {
    if (!is(callable, Kind::global) && !is(callable, Kind::object) && !is(callable, Kind::persistent)) {
      fail("a call of what is no name");
    }
    return add(Kind::object, arguments, callable);
  }
  const Ref dict = add(Kind::dict);
  const auto given = items(arguments);
  if (given.size() != 1) return dict;
  // Python 2 gives the items as a list of pairs.
  if (is(given[0], Kind::list)) {
    std::vector<Ref> pairs;
    count_items(items(given[0]).size());
    for (const Ref pair : items(given[0])) {
      if ((!is(pair, Kind::list) && !is(pair, Kind::tuple)) || items(pair).size() != 2) return dict;
      pairs.push_back(items(pair)[0]);
      pairs.push_back(items(pair)[1]);
    }
    set_items(dict, pairs);
  }
  if (is(given[0], Kind::dict)) {
    const std::vector<Ref> pairs(items(given[0]).begin(), items(given[0]).end());
    set_items(dict, pairs);
  }
  return dict;
}

void Pickle::build() {
  const Ref state = pop();
  const Ref target = top();
  if (is(target, Kind::dict)) return;  // attributes of an OrderedDict, such as the versions of a state dict's modules
  if (!is(target, Kind::object)) fail("a state for what is no object");
  nodes_[target].value = arguments(target) | std::uint64_t{state} << 32;
}

double Pickle::real(Ref ref) const noexcept { return std::bit_cast<double>(nodes_[ref].value); }

std::string_view Pickle::text(Ref ref) const noexcept {
  const Node& node = nodes_[ref];
  return {reinterpret_cast<const char*>(buffer_.data()) + node.value, node.extra};
}

std::span<const Pickle::Ref> Pickle::items(Ref ref) const noexcept {
  const Node& node = nodes_[ref];
  if (node.value == 0) return {};
  return sequences_[node.value - 1];
}

bool Pickle::is_global(Ref ref, std::string_view module, std::string_view name) const noexcept {
  return is(ref, Kind::global) && module_of(ref) == module && name_of(ref) == name;
}

std::vector<std::string> Pickle::globals() const {
  std::set<std::string> names;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto ref = static_cast<Ref>(i);
    if (is(ref, Kind::global)) names.insert(std::string(module_of(ref)) + "." + std::string(name_of(ref)));
  }
  return {names.begin(), names.end()};
}

}  // namespace sparsert::files
