// runtime/files/tf_checkpoint.cpp — TensorFlow checkpoints: an index, and shards with the data.
//
// A partitioned variable has an entry that lists its slices, and each slice an entry of its own under a key that
// encodes the slice. Tensors of text (the object graph of a saved model) are no tensors of the model, and are left out.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/crc32c.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/tensorflow.hpp"
#include "runtime/files/tf_slice.hpp"
#include "runtime/files/tf_table.hpp"
#include "runtime/files/tf_tensor.hpp"
#include "runtime/files/utf8.hpp"

namespace sparsert::files::tensorflow {
namespace {

using protobuf::Message;

constexpr std::string_view kIndexSuffix = ".index";
constexpr std::uint64_t kMaxShards = 99'999;

namespace header {
enum : std::uint32_t { num_shards = 1, endianness = 2 };
}
namespace entry {
enum : std::uint32_t { dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc = 6, slices = 7 };
}

/// An entry of the index.
struct Entry {
  std::string key;
  const Type* type = nullptr;
  Shape shape;
  std::uint64_t shard = 0;
  Range place;  ///< in the shard
  std::uint32_t crc = 0;
  std::vector<Slice> slices;
  std::uint64_t at = 0;  ///< in the index, for messages
};

class CheckpointReader : public Reader {
 public:
  explicit CheckpointReader(const Source& source) : root_(source.root), bytes_(source.bytes) {
    info.format = "tensorflow checkpoint";
    if (!source.name.ends_with(kIndexSuffix)) {
      malformed(kFormat, 0, "the index of a checkpoint is named " + in_quotes(source.name) + ", expected PREFIX.index");
    }
    prefix_ = source.name.substr(0, source.name.size() - kIndexSuffix.size());
  }

  void open(const LoadOptions& options);
  Tensor read(std::size_t position) const override;

 private:
  void add_header(const TableEntry& table_entry);
  void add_entry(const TableEntry& table_entry, std::uint64_t max_tensors);
  void join_slices();
  void check_places() const;
  void list_tensors();
  std::string shard_name(std::uint64_t shard) const;
  std::uint64_t shard_size(std::uint64_t shard);
  Tensor read_entry(const Entry& entry) const;

  std::shared_ptr<const Root> root_;
  Bytes bytes_;
  std::string prefix_;
  bool has_header_ = false;
  bool big_endian_ = false;
  std::uint64_t shards_ = 0;
  std::map<std::uint64_t, std::uint64_t> shard_sizes_;
  std::vector<Entry> tensors_;
  std::map<std::string, Entry, std::less<>> parts_;  // of partitioned variables, by encoded key
  std::vector<std::vector<const Entry*>> parts_of_;  // for each tensor its slices' entries
};

std::string CheckpointReader::shard_name(std::uint64_t shard) const {
  char suffix[40];
  std::snprintf(suffix, sizeof(suffix), ".data-%05llu-of-%05llu", static_cast<unsigned long long>(shard),
                static_cast<unsigned long long>(shards_));
  return prefix_ + suffix;
}

std::uint64_t CheckpointReader::shard_size(std::uint64_t shard) {
  const auto [known, is_new] = shard_sizes_.try_emplace(shard, 0);
  if (is_new) known->second = root_->open(shard_name(shard))->size();
  return known->second;
}

void CheckpointReader::add_header(const TableEntry& table_entry) {
  Window window(Bytes(std::vector<std::byte>(table_entry.value.begin(), table_entry.value.end())), kFormat);
  Message fields(window, {0, window.size()});
  shards_ = 0;
  while (fields.next()) {
    if (fields.field() == header::num_shards) shards_ = fields.varint();
    if (fields.field() == header::endianness) big_endian_ = fields.varint() == 1;
  }
  if (shards_ == 0 || shards_ > kMaxShards) {
    malformed(kFormat, table_entry.offset, "the checkpoint has " + std::to_string(shards_) + " shards");
  }
  has_header_ = true;
}

void CheckpointReader::add_entry(const TableEntry& table_entry, std::uint64_t max_tensors) {
  const std::uint64_t at = table_entry.offset;
  const auto refuse = [&](const std::string& reason) {
    malformed(kFormat, at, "entry " + in_quotes(table_entry.key) + ": " + reason);
  };
  if (!has_header_) refuse("the index has no header");
  if (tensors_.size() + parts_.size() >= max_tensors) refuse("more than " + std::to_string(max_tensors) + " tensors");
  Window window(Bytes(std::vector<std::byte>(table_entry.value.begin(), table_entry.value.end())), kFormat);
  Message fields(window, {0, window.size()});
  Entry entry;
  entry.key = table_entry.key;
  entry.at = at;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  while (fields.next()) {
    switch (fields.field()) {
      case entry::dtype: entry.type = &type_of(fields, fields.varint()); break;
      case entry::shape: entry.shape = parse_shape(fields.message()); break;
      case entry::shard_id: entry.shard = fields.varint(); break;
      case entry::offset: offset = fields.varint(); break;
      case entry::size: size = fields.varint(); break;
      case entry::crc: entry.crc = fields.fixed32(); break;
      case entry::slices: entry.slices.push_back(parse_slice(fields.message())); break;
      default: break;
    }
  }
  if (entry.type == nullptr) refuse("no data type");
  if (is_no_number(*entry.type)) return;
  const auto bits = shape_bits(entry.shape, 8 * std::uint64_t{entry.type->bytes});
  if (!bits || *bits >> 60 != 0) refuse("the shape " + to_string(entry.shape) + " has too many elements");
  if (entry.slices.empty()) {
    if (entry.shard >= shards_) refuse("shard " + std::to_string(entry.shard) + " of " + std::to_string(shards_));
    if (size != *bits / 8) {
      refuse("has " + std::to_string(size) + " bytes, expected " + std::to_string(*bits / 8) + " for " +
             entry.type->name + " " + to_string(entry.shape));
    }
    const std::uint64_t room = shard_size(entry.shard);
    if (offset > room || size > room - offset) {
      refuse("has " + std::to_string(size) + " bytes at offset " + std::to_string(offset) + " of " +
             in_quotes(shard_name(entry.shard)) + ", which has " + std::to_string(room));
    }
    entry.place = {offset, offset + size};
  } else if (const auto problem = slices_problem(entry.slices, entry.shape)) {
    refuse(*problem);
  }
  if (is_slice_key(entry.key)) {
    if (!entry.slices.empty()) refuse("a slice has slices");
    std::string key = entry.key;
    parts_.emplace(std::move(key), std::move(entry));
    return;
  }
  if (!is_utf8(entry.key)) refuse("a name is not UTF-8");
  tensors_.push_back(std::move(entry));
}

/// Finds the entry of each slice, and proves that it is what the variable says.
void CheckpointReader::join_slices() {
  parts_of_.resize(tensors_.size());
  std::size_t used = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Entry& whole = tensors_[i];
    for (const Slice& slice : whole.slices) {
      const auto refuse = [&](const char* reason) {
        malformed(kFormat, whole.at, "entry " + in_quotes(whole.key) + ": " + reason);
      };
      const auto part = parts_.find(slice_key(whole.key, slice));
      if (part == parts_.end()) refuse("a slice has no entry");
      if (part->second.type != whole.type || part->second.shape != slice_shape(slice, whole.shape))
        refuse("a slice has another type or shape than the variable says");
      parts_of_[i].push_back(&part->second);
      ++used;
    }
  }
  if (used != parts_.size()) malformed(kFormat, 0, "a slice belongs to no variable");
}

/// No byte of a shard belongs to two entries.
void CheckpointReader::check_places() const {
  std::vector<const Entry*> placed;
  const auto take = [&](const Entry& entry) {
    if (entry.place.size() != 0) placed.push_back(&entry);
  };
  for (const Entry& entry : tensors_) take(entry);
  for (const auto& part : parts_) take(part.second);
  std::sort(placed.begin(), placed.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->shard, a->place.begin) < std::pair(b->shard, b->place.begin);
  });
  for (std::size_t i = 1; i < placed.size(); ++i) {
    const Entry& before = *placed[i - 1];
    const Entry& after = *placed[i];
    if (before.shard != after.shard || before.place.end <= after.place.begin) continue;
    malformed(kFormat, after.at, "entries " + in_quotes(before.key) + " and " + in_quotes(after.key) + " overlap");
  }
}

void CheckpointReader::list_tensors() {
  for (const Entry& entry : tensors_) {
    TensorInfo tensor;
    tensor.name = entry.key;
    tensor.dtype = entry.type->name;
    if (entry.type->element) tensor.storage = storage_of(*entry.type->element);
    tensor.shape = entry.shape;
    tensor.nbytes = *shape_bits(entry.shape, 8 * std::uint64_t{entry.type->bytes}) / 8;
    tensor.offset = entry.place.begin;
    tensor.file = entry.slices.empty() ? shard_name(entry.shard) : std::string();
    info.tensors.push_back(std::move(tensor));
  }
}

void CheckpointReader::open(const LoadOptions& options) {
  read_table(bytes_, [&](const TableEntry& table_entry) {
    table_entry.key.empty() ? add_header(table_entry) : add_entry(table_entry, options.max_tensors);
  });
  if (!has_header_) malformed(kFormat, 0, "the index has no header");
  join_slices();
  check_places();
  list_tensors();
}

Tensor CheckpointReader::read_entry(const Entry& entry) const {
  const Element element = *entry.type->element;
  const std::string name = shard_name(entry.shard);
  const Bytes data = Bytes(root_->open(name)).part(entry.place.begin, entry.place.size());
  Tensor tensor = Tensor::empty(entry.shape, *storage_of(element));
  const std::uint64_t bytes = entry.place.size();
  std::vector<std::byte> narrow;
  std::byte* to = nullptr;
  if (bytes != 0 && bytes_of(element) == size_of(tensor.dtype())) {
    to = static_cast<std::byte*>(tensor.mutable_data());
  } else {
    narrow.resize(static_cast<std::size_t>(bytes));
    to = narrow.data();
  }
  data.read(0, to, bytes);
  if (masked_crc(crc32c({to, static_cast<std::size_t>(bytes)})) != entry.crc) {
    malformed(kFormat, entry.place.begin, "the CRC of a tensor is not that of its bytes in " + in_quotes(name));
  }
  if (bytes != 0) decode(kFormat, entry.place.begin, to, tensor.numel(), element, big_endian_, tensor);
  return tensor;
}

Tensor CheckpointReader::read(std::size_t position) const {
  const Entry& entry = tensors_[position];
  if (entry.slices.empty()) return read_entry(entry);
  Tensor whole = Tensor::empty(entry.shape, *storage_of(*entry.type->element));
  for (std::size_t i = 0; i < entry.slices.size(); ++i) {
    copy_slice(read_entry(*parts_of_[position][i]), entry.slices[i], whole);
  }
  return whole;
}

}  // namespace

bool sniff_checkpoint(const Source& source) { return is_table(source.bytes); }

std::unique_ptr<Reader> open_checkpoint(const Source& source) {
  auto reader = std::make_unique<CheckpointReader>(source);
  if (source.root == nullptr) malformed(kFormat, 0, "the index of a checkpoint without a folder");
  reader->open(*source.options);
  return reader;
}

}  // namespace sparsert::files::tensorflow
