// runtime/files/torch.cpp — reading PyTorch checkpoints.
//
// Both containers hold a pickle that describes tensors as views on storages, and the storages' bytes: a zip archive
// as members `data/<key>`, the older one behind the pickles, each after its number of elements. The pickle is read by
// a machine that runs nothing (pickle.hpp), and the tensors are found in it without knowing any class (torch_tree.hpp).
#include "runtime/files/torch.hpp"

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/sparse_tensor.hpp"
#include "runtime/files/torch_tree.hpp"
#include "runtime/files/zip.hpp"

namespace sparsert::files::torch {
namespace {

constexpr std::string_view kPickleMember = "data.pkl";
constexpr std::string_view kLegacyMagic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15};
constexpr std::uint64_t kMaxSmallPickle = 4096;
constexpr std::uint64_t kMaxText = 64;  // of the members `version` and `byteorder`
constexpr std::int64_t kMaxScales = 1'000'000;
constexpr std::int64_t kLegacyProtocol = 1001;

/// Where the bytes of a storage are.
struct Place {
  Bytes bytes;
  const ZipArchive::Member* member = nullptr;  // null for a file without checksums
};

/// What both containers share: views on storages become tensors.
class TorchReader : public Reader {
 public:
  Tensor read(std::size_t position) const override { return read_view(tree_.entries[position].values); }

  SparseTensor read_sparse(std::size_t position) const override {
    const Entry& entry = tree_.entries[position];
    const Shape& shape = info.tensors[position].shape;
    const std::uint64_t place = info.tensors[position].offset;
    const Tensor first = read_view(entry.first);
    const Tensor values = read_view(entry.values);
    if (entry.kind == SparseKind::coo) {
      const Tensor wide = widened(first);
      return coo_tensor(kFormat, place, wide.span<std::int64_t>(), values, shape);
    }
    const Tensor second = read_view(entry.second);
    if (entry.kind == SparseKind::csr) return csr_tensor(kFormat, place, first, second, values, shape);
    const Shape& stored = entry.values.shape;
    const bool is_block = stored.size() == 3;
    return blocks_tensor(kFormat, place, first, second, values, shape,
                         is_block ? Shape{stored[1], stored[2]} : Shape{1, 1},
                         entry.kind == SparseKind::csc || entry.kind == SparseKind::bsc);
  }

 protected:
  TorchReader(const Source& source, const ZipArchive* archive) : tree_(source, info), archive_(archive) {}

  /// To be called once `tree_` and `places_` are complete: offsets of tensors, and scales of quantized ones.
  void finish() {
    checked_ = std::make_unique<std::atomic<bool>[]>(places_.size());
    for (std::size_t i = 0; i < tree_.entries.size(); ++i) {
      const Entry& entry = tree_.entries[i];
      TensorInfo& tensor = info.tensors[i];
      if (!entry.values.element) continue;
      const std::uint64_t item = bytes_of(*entry.values.element);
      tensor.offset = places_[entry.values.storage].bytes.place(static_cast<std::uint64_t>(entry.values.offset) * item);
      if (entry.scales) read_scales(entry, tensor);
    }
  }

  bool used_select() const { return tree_.used_select(); }

  Tree tree_;
  std::vector<Place> places_;  // beside tree_.storages
  bool big_endian_ = false;

 private:
  static Tensor widened(const Tensor& indices) {
    if (indices.dtype() == DType::int64) return indices;
    const auto narrow = indices.span<std::int32_t>();
    return Tensor::from(std::vector<std::int64_t>(narrow.begin(), narrow.end()), indices.shape());
  }

  void read_scales(const Entry& entry, TensorInfo& tensor) const {
    const std::int64_t count = entry.scales->numel();
    if (count > kMaxScales || entry.scales->element != Element::float64 ||
        entry.zero_points->element != Element::int64) {
      malformed(kFormat, tensor.offset, "tensor " + in_quotes(tensor.name) + " has scales that are not read");
    }
    Quantization quantization = *tensor.quantization;
    const Tensor scales = read_view(*entry.scales);  // alive while its elements are read
    for (const double scale : scales.span<double>()) {
      quantization.scales.push_back(static_cast<float>(scale));
    }
    const Tensor zeros = read_view(*entry.zero_points);
    quantization.zero_points.assign(zeros.span<std::int64_t>().begin(), zeros.span<std::int64_t>().end());
    tensor.quantization = std::make_shared<const Quantization>(std::move(quantization));
  }

  Tensor read_view(const View& view) const {
    const Place& place = places_[view.storage];
    const std::uint64_t item = bytes_of(*view.element);
    const bool deflated = place.member != nullptr && place.member->method != 0;
    const Bytes bytes = deflated ? archive_->open(*place.member, UINT64_MAX) : place.bytes;
    const Bytes part =
        bytes.part(static_cast<std::uint64_t>(view.offset) * item, static_cast<std::uint64_t>(view.span) * item);
    const bool contiguous = view.is_contiguous();
    const Tensor flat =
        read_tensor(kFormat, part, contiguous ? view.shape : Shape{view.span}, *view.element, big_endian_);
    check(view, flat, item);
    return contiguous ? flat : gather(flat, view.shape, view.strides, 0);
  }

  /// The checksum of the view's storage, once: on the data just read where that is all of it, unchanged.
  void check(const View& view, const Tensor& flat, std::uint64_t item) const {
    const Place& place = places_[view.storage];
    if (place.member == nullptr || place.member->method != 0 || checked_[view.storage].load()) return;
    const bool is_whole = static_cast<std::uint64_t>(view.span) * item == place.member->size && !big_endian_ &&
                          size_of(flat.dtype()) == item;
    if (is_whole) {
      archive_->check(*place.member, flat.data(), place.member->size);
    } else {
      archive_->check(*place.member);
    }
    checked_[view.storage].store(true);
  }

  const ZipArchive* archive_;
  std::unique_ptr<std::atomic<bool>[]> checked_;
};

/// "archive/" where the one member data.pkl is "archive/data.pkl"; none where there is no such member.
std::optional<std::string> top_folder(const ZipArchive& archive) {
  std::optional<std::string> folder;
  for (const ZipArchive::Member& member : archive.members()) {
    if (!member.name.ends_with(kPickleMember)) continue;
    const std::string before = member.name.substr(0, member.name.size() - kPickleMember.size());
    if (!before.empty() && before.find('/') != before.size() - 1) continue;
    if (folder) malformed(kFormat, member.header, "has two members data.pkl");
    folder = before;
  }
  return folder;
}

std::string small_text(const ZipArchive& archive, const std::string& name) {
  const ZipArchive::Member* const member = archive.find(name);
  if (member == nullptr) return {};
  const auto data = archive.head(*member, kMaxText);
  std::string text(reinterpret_cast<const char*>(data.data()), data.size());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

class ZipReader : public TorchReader {
 public:
  ZipReader(const Source& source, std::unique_ptr<ZipArchive> archive)
      : TorchReader(source, archive.get()), own_(std::move(archive)), options_(*source.options) {
    folder_ = top_folder(*own_).value();
    const std::string order = small_text(*own_, folder_ + "byteorder");
    if (!order.empty() && order != "little" && order != "big") {
      malformed(kFormat, 0, "the byte order is " + in_quotes(order) + ", expected little or big");
    }
    big_endian_ = order == "big";
    add("data.pkl", "data/", "");
    // TorchScript keeps the tensors that its code names as constants apart.
    if (own_->find(folder_ + "constants.pkl") != nullptr) add("constants.pkl", "constants/", "CONSTANTS");
    for (const Storage& storage : tree_.storages) places_.push_back(place_of(storage));
    finish();
    used_selection = used_select();
  }

 private:
  void add(const std::string& name, const std::string& storages, const std::string& prefix) {
    const ZipArchive::Member& member = *own_->find(folder_ + name);
    const Bytes bytes = own_->open(member, options_.max_header_bytes);
    own_->check(member);
    const Pickle pickle(kFormat, bytes, 0, options_.max_header_bytes);
    if (pickle.end() != bytes.size()) malformed(kFormat, bytes.place(pickle.end()), "bytes behind the pickle");
    tree_.add(pickle, storages, prefix);
  }

  Place place_of(const Storage& storage) const {
    const ZipArchive::Member* const member = own_->find(folder_ + storage.key);
    if (member == nullptr) malformed(kFormat, 0, "the storage " + in_quotes(storage.key) + " is not in the archive");
    std::uint64_t bytes = 0;
    const std::uint64_t item = storage.is_untyped || !storage.element ? 1 : bytes_of(*storage.element);
    const bool overflow = __builtin_mul_overflow(static_cast<std::uint64_t>(storage.count), item, &bytes);
    // The size of an element of a type that is not read is unknown.
    if (storage.element || storage.is_untyped ? overflow || bytes != member->size : false) {
      malformed(kFormat, member->header,
                "the storage " + in_quotes(storage.key) + " has " + std::to_string(member->size) + " bytes, expected " +
                    std::to_string(storage.count) + " elements");
    }
    // Proves the method, and that the sizes of a deflated member are believable.
    if (member->method != 0) static_cast<void>(own_->head(*member, 1));
    const Bytes stored = member->method == 0 ? own_->open(*member, UINT64_MAX) : Bytes(std::vector<std::byte>());
    return {stored, member};
  }

  std::unique_ptr<ZipArchive> own_;
  LoadOptions options_;
  std::string folder_;
};

class LegacyReader : public TorchReader {
 public:
  explicit LegacyReader(const Source& source) : TorchReader(source, nullptr) {
    const Bytes& bytes = source.bytes;
    const std::uint64_t limit = source.options->max_header_bytes;
    const Pickle protocol(kFormat, bytes, kLegacyMagic.size(), kMaxSmallPickle);
    if (!protocol.is(protocol.root(), Pickle::Kind::integer) || protocol.integer(protocol.root()) != kLegacyProtocol) {
      protocol.fail("the protocol of the file is not 1001");
    }
    const Pickle system(kFormat, bytes, protocol.end(), kMaxSmallPickle);
    read_system(system);
    const Pickle model(kFormat, bytes, system.end(), limit);
    tree_.add(model, "", "");
    tree_.add_storages(model);
    const Pickle keys(kFormat, bytes, model.end(), limit);
    read_places(bytes, keys);
    finish();
    used_selection = used_select();
  }

 private:
  void read_system(const Pickle& system) {
    if (!system.is(system.root(), Pickle::Kind::dict)) system.fail("the description of the system is no dictionary");
    const auto items = system.items(system.root());
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (!system.is(items[i], Pickle::Kind::text) || system.text(items[i]) != "little_endian") continue;
      if (!system.is(items[i + 1], Pickle::Kind::boolean)) system.fail("little_endian is no boolean");
      big_endian_ = !system.boolean(items[i + 1]);
    }
  }

  // Behind the pickles: for each key the number of elements, and the elements.
  void read_places(const Bytes& bytes, const Pickle& keys) {
    if (!keys.is(keys.root(), Pickle::Kind::list)) keys.fail("the keys of the storages are no list");
    std::map<std::string_view, std::size_t> positions;
    for (std::size_t i = 0; i < tree_.storages.size(); ++i) positions.emplace(tree_.storages[i].key, i);
    std::vector<std::optional<Bytes>> found(tree_.storages.size());
    std::uint64_t at = keys.end();
    for (const Pickle::Ref key : keys.items(keys.root())) {
      const auto place = keys.is(key, Pickle::Kind::text) ? positions.find(keys.text(key)) : positions.end();
      // Without a tensor that names it, the size of its elements is unknown, and with it what follows.
      if (place == positions.end()) malformed(kFormat, bytes.place(at), "a storage that no tensor names");
      const Storage& storage = tree_.storages[place->second];
      if (found[place->second]) malformed(kFormat, bytes.place(at), "the storage " + in_quotes(storage.key) + " twice");
      if (!storage.element || storage.is_untyped) {
        malformed(kFormat, bytes.place(at), "the storage " + in_quotes(storage.key) + " is of a type that is not read");
      }
      auto count_bytes = bytes.read(at, 8);
      if (big_endian_) std::reverse(count_bytes.begin(), count_bytes.end());
      const auto count = ByteCursor(kFormat, count_bytes, bytes.place(at)).read<std::uint64_t>();
      if (count != static_cast<std::uint64_t>(storage.count)) {
        malformed(kFormat, bytes.place(at),
                  "the storage " + in_quotes(storage.key) + " has " + std::to_string(count) + " elements, expected " +
                      std::to_string(storage.count));
      }
      at += 8;
      std::uint64_t size = 0;
      if (__builtin_mul_overflow(count, bytes_of(*storage.element), &size) || size > bytes.size() - at) {
        malformed(kFormat, bytes.place(at), "the storage " + in_quotes(storage.key) + " does not fit the file");
      }
      found[place->second] = bytes.part(at, size);
      at += size;
    }
    if (at != bytes.size()) malformed(kFormat, bytes.place(at), "bytes behind the last storage");
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i]) {
        malformed(kFormat, bytes.place(at), "the storage " + in_quotes(tree_.storages[i].key) + " is missing");
      }
      places_.push_back({*found[i], nullptr});
    }
  }
};

}  // namespace

bool sniff_zip(const Source& source) {
  if (!ZipArchive::sniff(source.bytes)) return false;
  return top_folder(ZipArchive(source.bytes)).has_value();
}

std::unique_ptr<Reader> open_zip(const Source& source) {
  return std::make_unique<ZipReader>(source, std::make_unique<ZipArchive>(source.bytes));
}

bool sniff_legacy(const Source& source) { return begins_with(source.bytes, kLegacyMagic); }

std::unique_ptr<Reader> open_legacy(const Source& source) { return std::make_unique<LegacyReader>(source); }

}  // namespace sparsert::files::torch
