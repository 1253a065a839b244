// runtime/files/hdf5_file.hpp — the parts of HDF5 that Keras and h5py write: objects, their messages, groups, chunks.
//
// Not the whole format: what is not named here is refused with its name, never guessed. Addresses and lengths have
// eight bytes, and the file has no user block. Links lead to objects of the same file only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/files/element.hpp"
#include "runtime/files/window.hpp"

namespace sparsert::files::hdf5 {

inline constexpr const char* kFormat = "hdf5";
inline constexpr std::uint64_t kUndefined = ~std::uint64_t{0};
inline constexpr std::size_t kMaxName = 4096;
inline constexpr std::uint64_t kFreeTextBytes = std::uint64_t{1} << 20;  ///< beyond what the file's size allows

/// A message of an object header.
struct Message {
  unsigned type = 0;
  unsigned flags = 0;
  Range data;
};

/// Numbers of the message types.
namespace message {
enum : unsigned {
  dataspace = 0x01,
  link_info = 0x02,
  datatype = 0x03,
  link = 0x06,
  external_files = 0x07,
  layout = 0x08,
  filters = 0x0b,
  attribute = 0x0c,
  continuation = 0x10,
  symbol_table = 0x11,
  attribute_info = 0x15
};
}

/// What an object's header holds, at its address.
struct Object {
  std::uint64_t address = 0;
  std::vector<Message> messages;

  const Message* find(unsigned type) const;
};

enum class TypeClass : std::uint8_t { number, text, variable_text, other };

struct Datatype {
  TypeClass kind = TypeClass::other;
  std::string name;  ///< as h5py has it: "<f4", or what it is that is not read
  std::uint32_t bytes = 0;
  std::optional<Element> element;
  bool big_endian = false;
};

struct Dataspace {
  Shape shape;
  std::vector<std::uint64_t> maximum;  ///< that each dimension may grow to; `kUndefined`: any size
  bool is_null = false;                ///< no elements at all
};

/// A filter that chunks went through.
struct Filter {
  unsigned id = 0;
  std::vector<std::uint32_t> values;
};

struct Chunk {
  std::vector<std::uint64_t> offset;  ///< of its first element, in each dimension
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;    ///< as stored
  std::uint32_t skipped = 0;  ///< a bit for each filter that it did not go through
};

/// Where the elements of a dataset are.
struct Layout {
  enum class Kind : std::uint8_t { compact, contiguous, chunked };
  Kind kind = Kind::contiguous;
  Range place;                       ///< compact and contiguous; empty where nothing was written
  std::vector<std::uint64_t> chunk;  ///< sizes of a chunk
  std::uint64_t chunk_bytes = 0;     ///< of one before the filters
  std::vector<Chunk> chunks;
  std::vector<Filter> filters;
};

struct Dataset {
  Datatype type;
  Dataspace space;
  hdf5::Layout layout;
  std::string refusal;  ///< why its elements are not read
};

struct Link {
  std::string name;
  std::uint64_t address;
};

struct Attribute {
  std::string name;
  Datatype type;
  Dataspace space;
  Range data;
};

class File {
 public:
  explicit File(Bytes bytes) : window_(std::move(bytes), kFormat) {}

  Window& window() noexcept { return window_; }
  Window window_copy() const { return window_; }
  /// Reads the superblock; the address of the root group.
  std::uint64_t root();

  Object object(std::uint64_t address);
  bool is_group(const Object& object) const;
  /// The links of a group, in the order of the file. Throws for links that lead elsewhere.
  std::vector<Link> links(const Object& group);
  /// Throws for what no dataset of numbers can be; `refusal` says what is valid and not read.
  Dataset dataset(const Object& object) { return dataset_as(object, std::nullopt); }
  /// The same where the elements are known to be of another type than the file says, of as many bytes.
  Dataset dataset_as(const Object& object, std::optional<Element> element);
  std::vector<Attribute> attributes(const Object& object);
  /// The texts of an attribute; empty for one that holds none.
  std::vector<std::string> texts(const Attribute& attribute);

 private:
  void count_header_bytes(Range block);
  void read_block_v1(Range block, Object& object, std::vector<Range>& more);
  void read_block_v2(Range block, unsigned flags, Object& object, std::vector<Range>& more);
  void object_v1(Object& object);
  void object_v2(Object& object);
  void add_message(Object& object, const Message& message, std::vector<Range>& more);

  Datatype datatype(Range data);
  Dataspace dataspace(Range data);
  void layout(const Message& message, Dataset& dataset);
  void filters(Range data, Dataset& dataset);
  void check_chunks(Dataset& dataset) const;
  Attribute attribute(Range data);

  void old_links(Range symbol_table, std::vector<Link>& links);
  void dense_links(std::uint64_t heap, std::uint64_t index, std::vector<Link>& links);
  Link link(Range data);
  std::string zero_ended(Range range);
  void check_name(std::uint64_t at, const std::string& name);
  Range global_object(std::uint64_t collection, std::uint32_t index);

  Window window_;
  std::map<std::uint64_t, std::map<std::uint32_t, Range>> collections_;
  std::uint64_t header_bytes_ = 0;
  std::uint64_t text_bytes_ = 0;
};

/// The nodes of a B-tree of version 1, depth first. Throws where a node is met twice or levels do not descend.
class BTree {
 public:
  BTree(Window& window, unsigned type, std::uint64_t key_bytes) : window_(window), type_(type), key_bytes_(key_bytes) {}

  /// Calls `take(key, child)` with the offset of a key and the address that belongs to it, for each entry of a leaf.
  template <class Take>
  void walk(std::uint64_t address, Take&& take) {
    constexpr std::uint64_t kHeader = 24;
    struct Step {
      std::uint64_t address;
      int level;  // -1: any
    };
    std::vector<Step> steps{{address, -1}};
    while (!steps.empty()) {
      const Step step = steps.back();
      steps.pop_back();
      check_signature(step.address);
      const auto level = static_cast<int>(window_.number(step.address + 5, 1));
      const std::uint64_t used = window_.number(step.address + 6, 2);
      if (step.level >= 0 && level != step.level) window_.fail(step.address, "the levels of a B-tree do not descend");
      if (!visited_.insert(step.address).second) window_.fail(step.address, "a node of a B-tree is there twice");
      window_.check({step.address, step.address + kHeader + used * (key_bytes_ + 8) + key_bytes_});
      // Nodes that lie over each other could have more entries than the file has bytes.
      entry_bytes_ += used * (key_bytes_ + 8);
      if (entry_bytes_ > window_.size()) window_.fail(step.address, "a B-tree is larger than the file");
      for (std::uint64_t i = 0; i < used; ++i) {
        // The last entry first where they are put on the stack.
        const std::uint64_t entry = level == 0 ? i : used - 1 - i;
        const std::uint64_t key = step.address + kHeader + entry * (key_bytes_ + 8);
        const std::uint64_t child = window_.number(key + key_bytes_, 8);
        if (level == 0) {
          take(key, child);
        } else {
          steps.push_back({child, level - 1});
        }
      }
    }
  }

 private:
  void check_signature(std::uint64_t address) {
    if (window_.number(address, 4) != 0x45455254 || window_.number(address + 4, 1) != type_)  // "TREE"
      window_.fail(address, "expected a node of a B-tree of type " + std::to_string(type_));
  }

  Window& window_;
  unsigned type_;
  std::uint64_t key_bytes_;
  std::uint64_t entry_bytes_ = 0;
  std::set<std::uint64_t> visited_;
};

/// The checksum of metadata in newer files.
std::uint32_t lookup3(std::span<const std::byte> bytes) noexcept;

/// Throws unless the bytes of `range` have the checksum that follows them.
void check_sum(Window& window, Range range);

/// The chunks of a dataset of version 1.10 and later, whose layout goes on with `data`: their sizes, and one of five
/// kinds of index.
void find_chunks(Window& window, Range data, Dataset& dataset);

/// The elements of a chunk before its filters, `layout.chunk_bytes` bytes.
std::vector<std::byte> read_chunk(const Window& window, const hdf5::Layout& layout, const Chunk& chunk);

}  // namespace sparsert::files::hdf5
