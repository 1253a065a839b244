// runtime/files/hdf5.cpp — HDF5 files of Keras and h5py: every dataset of numbers, by its path.
//
// A file of Keras says in which order its layers and their weights come; HDF5 itself keeps names in alphabetical order,
// where conv2d_10 comes before conv2d_2. Tensors have the order of Keras where the file has one, else that of their
// paths with numbers taken as numbers.
#include "runtime/files/hdf5.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/hdf5_file.hpp"
#include "runtime/files/keras.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr std::string_view kSignature{"\x89HDF\r\n\x1a\n", 8};
constexpr int kMaxDepth = 64;  // of groups
constexpr std::size_t kMaxMetadata = 10'000;

struct Entry {
  Dataset dataset;
  std::uint64_t address = 0;
};

class Hdf5Reader : public Reader {
 public:
  explicit Hdf5Reader(const Source& source) : file_(source.bytes), max_tensors_(source.options->max_tensors) {}

  void open();
  Tensor read(std::size_t position) const override;

 private:
  void walk();
  void add_dataset(const Object& object, std::string path);
  void add_metadata(const std::vector<Attribute>& attributes);
  void order_like_keras();
  std::vector<std::string> names_in(const std::vector<Attribute>& attributes, const std::string& attribute);
  void sort_by(const std::map<std::string, std::size_t, std::less<>>& places);
  void check_places();

  File file_;
  std::uint64_t max_tensors_;
  std::vector<Entry> entries_;
  std::map<std::uint64_t, std::size_t> by_address_;
  std::map<std::string, std::uint64_t, std::less<>> groups_;  // by path
  std::uint64_t path_bytes_ = 0;
};

void Hdf5Reader::add_dataset(const Object& object, std::string path) {
  Window& window = file_.window();
  if (entries_.size() >= max_tensors_)
    window.fail(object.address, "the file has more than " + std::to_string(max_tensors_) + " datasets");
  TensorInfo tensor;
  const auto twin = by_address_.find(object.address);
  if (twin != by_address_.end()) {
    tensor = info.tensors[twin->second];
    tensor.tied_to = tensor.name;
    tensor.name = std::move(path);
    info.tensors.push_back(std::move(tensor));
    entries_.push_back(entries_[twin->second]);
    return;
  }
  Entry entry{file_.dataset(object), object.address};
  Dataset& dataset = entry.dataset;
  // Keras marks what NumPy has no type for.
  if (dataset.type.bytes == 2 && !dataset.space.is_null) {
    for (const Attribute& attribute : file_.attributes(object)) {
      if (attribute.name != "dtype" || file_.texts(attribute) != std::vector<std::string>{"bfloat16"}) continue;
      dataset = file_.dataset_as(object, Element::bfloat16);
    }
  }
  tensor.name = std::move(path);
  tensor.dtype = dataset.type.name;
  if (dataset.refusal.empty() && dataset.type.element) tensor.storage = storage_of(*dataset.type.element);
  tensor.refusal = dataset.refusal;
  tensor.shape = dataset.space.shape;
  const Layout& layout = dataset.layout;
  tensor.offset = layout.kind == Layout::Kind::chunked ? (layout.chunks.empty() ? 0 : layout.chunks[0].address)
                                                       : layout.place.begin;
  tensor.offset = window.source().place(tensor.offset);
  tensor.nbytes = layout.place.size();
  for (const Chunk& chunk : layout.chunks) tensor.nbytes += chunk.bytes;
  by_address_.emplace(object.address, entries_.size());
  info.tensors.push_back(std::move(tensor));
  entries_.push_back(std::move(entry));
}

void Hdf5Reader::walk() {
  Window& window = file_.window();
  struct Step {
    std::uint64_t address;
    std::string path;
    int depth;
  };
  std::vector<Step> steps{{file_.root(), {}, 0}};
  std::set<std::uint64_t> visited;
  while (!steps.empty()) {
    const Step step = std::move(steps.back());
    steps.pop_back();
    const Object object = file_.object(step.address);
    if (!file_.is_group(object)) {
      if (step.path.empty()) window.fail(step.address, "the root is no group");
      add_dataset(object, step.path);
      continue;
    }
    if (!visited.insert(step.address).second) window.fail(step.address, "a group is there twice");
    if (step.depth == kMaxDepth)
      window.fail(step.address, "groups are nested deeper than " + std::to_string(kMaxDepth));
    groups_.emplace(step.path, step.address);
    std::vector<Link> links = file_.links(object);
    for (std::size_t i = links.size(); i-- > 0;) {
      std::string path = step.path.empty() ? links[i].name : step.path + "/" + links[i].name;
      path_bytes_ += path.size();
      if (path_bytes_ > kFreeTextBytes + 16 * window.size())
        window.fail(step.address, "paths are longer than the file");
      steps.push_back({links[i].address, std::move(path), step.depth + 1});
    }
  }
}

/// The texts of an attribute, which may be cut into several: names, or names0, names1, ...
std::vector<std::string> Hdf5Reader::names_in(const std::vector<Attribute>& attributes, const std::string& attribute) {
  std::map<std::string, const Attribute*> by_name;
  for (const Attribute& one : attributes) by_name.emplace(one.name, &one);
  const auto whole = by_name.find(attribute);
  if (whole != by_name.end()) return file_.texts(*whole->second);
  std::vector<std::string> out;
  for (std::size_t i = 0;; ++i) {
    const auto part = by_name.find(attribute + std::to_string(i));
    if (part == by_name.end()) return out;
    for (std::string& name : file_.texts(*part->second)) out.push_back(std::move(name));
  }
}

void Hdf5Reader::sort_by(const std::map<std::string, std::size_t, std::less<>>& places) {
  std::vector<std::size_t> order(entries_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto place = [&](std::size_t i) {
    const auto found = places.find(info.tensors[i].name);
    return found == places.end() ? places.size() : found->second;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::size_t first = place(a);
    const std::size_t second = place(b);
    if (first != second) return first < second;
    return first == places.size() && keras::natural_less(info.tensors[a].name, info.tensors[b].name);
  });
  std::vector<Entry> entries;
  std::vector<TensorInfo> tensors;
  for (const std::size_t i : order) {
    entries.push_back(std::move(entries_[i]));
    tensors.push_back(std::move(info.tensors[i]));
  }
  entries_ = std::move(entries);
  info.tensors = std::move(tensors);
  // A tensor is tied to an earlier one, whichever that is by now.
  std::map<std::uint64_t, std::size_t> first;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto [known, is_first] = first.emplace(entries_[i].address, i);
    info.tensors[i].tied_to = is_first ? std::string() : info.tensors[known->second].name;
  }
}

void Hdf5Reader::add_metadata(const std::vector<Attribute>& attributes) {
  for (const Attribute& attribute : attributes) {
    if (!attribute.space.shape.empty() || info.metadata.size() == kMaxMetadata) continue;
    const auto texts = file_.texts(attribute);
    if (texts.size() == 1) info.metadata.emplace(attribute.name, texts[0]);
  }
}

void Hdf5Reader::order_like_keras() {
  const auto attributes_of = [&](std::uint64_t address) { return file_.attributes(file_.object(address)); };
  const auto root = attributes_of(groups_.at(""));
  add_metadata(root);
  std::string base;
  auto layers = names_in(root, "layer_names");
  const auto weights = groups_.find("model_weights");
  if (layers.empty() && weights != groups_.end()) {
    const auto attributes = attributes_of(weights->second);
    add_metadata(attributes);
    layers = names_in(attributes, "layer_names");
    base = "model_weights/";
  }
  std::map<std::string, std::size_t, std::less<>> places;
  std::set<std::string_view> names;
  for (const TensorInfo& tensor : info.tensors) names.insert(tensor.name);
  for (const std::string& layer : layers) {
    const auto group = groups_.find(base + layer);
    if (group == groups_.end()) file_.window().fail(0, "there is no group of the layer " + in_quotes(layer));
    for (const std::string& weight : names_in(attributes_of(group->second), "weight_names")) {
      std::string path = base + layer + "/" + weight;
      if (!names.contains(path)) {
        file_.window().fail(group->second, "the layer " + in_quotes(layer) + " has no weight " + in_quotes(weight));
      }
      places.emplace(std::move(path), places.size());
    }
  }
  info.format = layers.empty() ? "hdf5" : "keras";
  const auto config = info.metadata.find("model_config");
  if (config != info.metadata.end()) {
    const auto classes = keras::layer_classes(config->second);
    for (TensorInfo& tensor : info.tensors) tensor.axes = keras::axes_of(tensor.name, tensor.shape.size(), classes);
  }
  sort_by(places);
}

/// No byte belongs to two datasets.
void Hdf5Reader::check_places() {
  std::vector<Range> places;
  std::set<std::uint64_t> seen;
  for (const Entry& entry : entries_) {
    if (!seen.insert(entry.address).second) continue;
    const Layout& layout = entry.dataset.layout;
    if (layout.place.size() != 0) places.push_back(layout.place);
    for (const Chunk& chunk : layout.chunks) {
      if (chunk.bytes != 0) places.push_back({chunk.address, chunk.address + chunk.bytes});
    }
  }
  std::sort(places.begin(), places.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (places[i - 1].end > places[i].begin) file_.window().fail(places[i].begin, "two datasets share their bytes");
  }
}

void Hdf5Reader::open() {
  walk();
  check_places();
  order_like_keras();
}

/// Copies what of a chunk lies in the dataset to its place.
void copy_chunk(const std::vector<std::byte>& data, const Chunk& chunk, const Layout& layout, const Shape& shape,
                std::size_t item, std::byte* to) {
  const std::size_t rank = shape.size();
  std::vector<std::uint64_t> size(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    size[d] = std::min(layout.chunk[d], static_cast<std::uint64_t>(shape[d]) - chunk.offset[d]);
  }
  std::vector<std::uint64_t> index(rank, 0);
  for (bool more = true; more;) {
    std::uint64_t from = 0;
    std::uint64_t place = 0;
    for (std::size_t d = 0; d < rank; ++d) {
      from = from * layout.chunk[d] + index[d];
      place = place * static_cast<std::uint64_t>(shape[d]) + chunk.offset[d] + index[d];
    }
    const std::uint64_t run = rank == 0 ? 1 : size[rank - 1];
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(from * item), run * item, to + place * item);
    more = false;
    for (std::size_t d = rank == 0 ? 0 : rank - 1; d-- > 0 && !more;) {
      if (++index[d] < size[d]) more = true;
      if (!more) index[d] = 0;
    }
  }
}

Tensor Hdf5Reader::read(std::size_t position) const {
  const Dataset& dataset = entries_[position].dataset;
  const Element element = *dataset.type.element;
  const Shape& shape = dataset.space.shape;
  const Layout& layout = dataset.layout;
  Window window = file_.window_copy();
  if (layout.kind != Layout::Kind::chunked) {
    return read_tensor(kFormat, window.source().part(layout.place.begin, layout.place.size()), shape, element,
                       dataset.type.big_endian);
  }
  Tensor tensor = Tensor::empty(shape, *storage_of(element));
  if (tensor.numel() == 0) return tensor;
  const std::size_t item = bytes_of(element);
  std::vector<std::byte> narrow;
  auto* to = static_cast<std::byte*>(tensor.mutable_data());
  if (item != size_of(tensor.dtype())) {
    narrow.resize(static_cast<std::size_t>(tensor.numel()) * item);
    to = narrow.data();
  }
  for (const Chunk& chunk : layout.chunks)
    copy_chunk(read_chunk(window, layout, chunk), chunk, layout, shape, item, to);
  decode(kFormat, window.source().place(layout.chunks[0].address), to, tensor.numel(), element, dataset.type.big_endian,
         tensor);
  return tensor;
}

}  // namespace

bool sniff(const Source& source) { return begins_with(source.bytes, kSignature); }

std::unique_ptr<Reader> open(const Source& source) {
  auto reader = std::make_unique<Hdf5Reader>(source);
  reader->open();
  return reader;
}

}  // namespace sparsert::files::hdf5
