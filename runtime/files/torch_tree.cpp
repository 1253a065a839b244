// runtime/files/torch_tree.cpp — the tensors that a PyTorch pickle describes.
#include "runtime/files/torch_tree.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/sparse_tensor.hpp"

namespace sparsert::files::torch {
namespace {

using Kind = Pickle::Kind;
using Ref = Pickle::Ref;

constexpr int kMaxDepth = 64;  // of containers in each other
constexpr int kMaxCalls = 8;   // of calls in each other, around one tensor
constexpr std::size_t kMaxSteps = 2'000'000;
constexpr std::size_t kMaxNameBytes = std::size_t{128} << 20;  // of all values that are looked at
constexpr std::size_t kMaxMetadata = 1000;
constexpr std::size_t kMaxMetadataBytes = 4096;
constexpr std::size_t kMaxUnknown = 20;                        // classes listed in the metadata
constexpr std::int64_t kMaxRepeated = std::int64_t{16} << 20;  // bytes of a tensor that shows its storage repeatedly

struct Name {
  std::string_view name;
  Element element;
};

constexpr std::array<Name, 15> kStorageClasses{{
    {"FloatStorage", Element::float32},
    {"DoubleStorage", Element::float64},
    {"HalfStorage", Element::float16},
    {"BFloat16Storage", Element::bfloat16},
    {"LongStorage", Element::int64},
    {"IntStorage", Element::int32},
    {"ShortStorage", Element::int16},
    {"CharStorage", Element::int8},
    {"ByteStorage", Element::uint8},
    {"BoolStorage", Element::boolean},
    {"ComplexFloatStorage", Element::complex64},
    {"ComplexDoubleStorage", Element::complex128},
    {"QInt8Storage", Element::int8},
    {"QUInt8Storage", Element::uint8},
    {"QInt32Storage", Element::int32},
}};

constexpr std::array<Name, 17> kTypes{{
    {"float32", Element::float32},
    {"float64", Element::float64},
    {"float16", Element::float16},
    {"bfloat16", Element::bfloat16},
    {"int64", Element::int64},
    {"int32", Element::int32},
    {"int16", Element::int16},
    {"int8", Element::int8},
    {"uint8", Element::uint8},
    {"uint16", Element::uint16},
    {"uint32", Element::uint32},
    {"uint64", Element::uint64},
    {"bool", Element::boolean},
    {"complex64", Element::complex64},
    {"complex128", Element::complex128},
    {"float8_e4m3fn", Element::float8_e4m3},
    {"float8_e5m2", Element::float8_e5m2},
}};

std::optional<Element> element_named(std::span<const Name> names, std::string_view name) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const Name& one) { return one.name == name; });
  if (found == names.end()) return std::nullopt;
  return found->element;
}

// Parts of a checkpoint that hold the model, in the order in which they are looked for.
constexpr std::array<std::string_view, 6> kModelKeys{"state_dict",  "model", "model_state_dict",
                                                     "model_state", "net",   "params"};

/// What a checkpoint may name without holding anything besides tensors and plain values.
bool is_plain(std::string_view name) {
  return name.starts_with("torch.") || name.starts_with("collections.") || name.starts_with("__torch__.") ||
         name.starts_with("__builtin__.") || name.starts_with("builtins.");
}

std::string number(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

bool View::is_contiguous() const {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

void Tree::add(const Pickle& pickle, const std::string& folder, const std::string& prefix) {
  pickle_ = &pickle;
  folder_ = folder;
  std::string unknown;
  std::size_t count = 0;
  for (const std::string& name : pickle.globals()) {
    if (is_plain(name)) continue;
    if (source_.options->strict) {
      throw FileError("torch: the file names the class " + in_quotes(name) + ", which `strict` does not allow");
    }
    if (++count <= kMaxUnknown) unknown += (unknown.empty() ? "" : ", ") + in_quotes(name);
  }
  if (!unknown.empty()) info_.metadata["not read"] = unknown + (count > kMaxUnknown ? ", ..." : "");
  const Ref root = pickle.root();
  const Ref model = model_in(root);
  if (model != root) add_metadata(root, model);
  walk(model, prefix);
}

void Tree::add_storages(const Pickle& pickle) {
  pickle_ = &pickle;
  for (Ref ref = 0; ref < pickle.size(); ++ref) {
    if (!pickle.is(ref, Kind::persistent) || !pickle.is(pickle.id(ref), Kind::tuple)) continue;
    const auto parts = pickle.items(pickle.id(ref));
    if (parts.empty() || !pickle.is(parts[0], Kind::text) || pickle.text(parts[0]) != "storage") continue;
    std::int64_t base = 0;
    storage_of_id(ref, base);
  }
}

Ref Tree::model_in(Ref root) {
  if (!pickle_->is(root, Kind::dict)) return root;
  const auto items = pickle_->items(root);
  const auto value_of = [&](std::string_view key) -> std::optional<Ref> {
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (pickle_->is(items[i], Kind::text) && pickle_->text(items[i]) == key) return items[i + 1];
    }
    return std::nullopt;
  };
  if (!source_.select.empty()) {
    used_select_ = true;
    if (const auto chosen = value_of(source_.select)) {
      info_.metadata["checkpoint"] = source_.select;
      return *chosen;
    }
    std::vector<std::string_view> keys;
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (pickle_->is(items[i], Kind::text)) keys.push_back(pickle_->text(items[i]));
    }
    throw Error(ErrorCode::invalid_argument,
                "load: the checkpoint has no part " + in_quotes(source_.select) + close_names(source_.select, keys));
  }
  for (const std::string_view key : kModelKeys) {
    const auto value = value_of(key);
    if (!value || is_tensor(*value)) continue;
    if (!pickle_->is(*value, Kind::dict) && !pickle_->is(*value, Kind::object)) continue;
    info_.metadata["checkpoint"] = std::string(key);
    return *value;
  }
  return root;
}

void Tree::add_metadata(Ref root, Ref model) {
  const auto items = pickle_->items(root);
  for (std::size_t i = 0; i < items.size() && info_.metadata.size() < kMaxMetadata; i += 2) {
    const Ref value = items[i + 1];
    if (!pickle_->is(items[i], Kind::text) || value == model) continue;
    const std::string_view key = pickle_->text(items[i]);
    std::string text;
    switch (pickle_->kind(value)) {
      case Kind::boolean: text = pickle_->boolean(value) ? "true" : "false"; break;
      case Kind::integer: text = std::to_string(pickle_->integer(value)); break;
      case Kind::real: text = number(pickle_->real(value)); break;
      case Kind::text: text = pickle_->text(value); break;
      default: continue;
    }
    if (key.size() > kMaxMetadataBytes || text.size() > kMaxMetadataBytes) continue;
    if (is_utf8(key) && is_utf8(text)) info_.metadata.emplace(key, text);
  }
}

std::string Tree::key_name(Ref key, std::size_t position) const {
  switch (pickle_->kind(key)) {
    case Kind::text: return std::string(pickle_->text(key));
    case Kind::integer: return std::to_string(pickle_->integer(key));
    case Kind::boolean: return pickle_->boolean(key) ? "True" : "False";
    default: return "#" + std::to_string(position);
  }
}

void Tree::walk(Ref root, const std::string& prefix) {
  std::vector<Step> open{{root, prefix, 0}};
  std::vector<Step> next;
  while (!open.empty()) {
    const Step step = std::move(open.back());
    open.pop_back();
    next.clear();
    visit(step, next);
    std::move(next.rbegin(), next.rend(), std::back_inserter(open));
  }
}

void Tree::visit(const Step& step, std::vector<Step>& next) {
  if (is_tensor(step.ref)) return add_tensor(step.ref, step.name);
  const auto below = [&](const std::string& name) { return step.name.empty() ? name : step.name + "." + name; };
  const auto add = [&](Ref ref, std::string name) {
    const Kind kind = pickle_->kind(ref);
    const bool holds = kind == Kind::dict || kind == Kind::list || kind == Kind::tuple || kind == Kind::object;
    if (!holds) return;
    if (step.depth == kMaxDepth) pickle_->fail("values nest deeper than 64");
    // A value that is shared is looked at under each of its names, so their number has to be bounded too.
    name_bytes_ += name.size();
    if (++steps_ > kMaxSteps || name_bytes_ > kMaxNameBytes) pickle_->fail("too many values under too many names");
    next.push_back({ref, std::move(name), step.depth + 1});
  };
  const auto items = pickle_->is(step.ref, Kind::object) ? std::span<const Ref>() : pickle_->items(step.ref);
  switch (pickle_->kind(step.ref)) {
    case Kind::dict:
      for (std::size_t i = 0; i < items.size(); i += 2) add(items[i + 1], below(key_name(items[i], i / 2)));
      return;
    case Kind::list:
    case Kind::tuple:
      for (std::size_t i = 0; i < items.size(); ++i) add(items[i], below(std::to_string(i)));
      return;
    case Kind::object: return visit_module(step, next);
    default: return;
  }
}

// A module keeps its tensors in the dictionaries _parameters and _buffers, and other modules in _modules; one of
// TorchScript has them as attributes. Of every other class nothing is known, and what it holds is not looked for.
void Tree::visit_module(const Step& step, std::vector<Step>& next) {
  const Ref callable = pickle_->callable(step.ref);
  const bool is_script = pickle_->is(callable, Kind::global) && pickle_->module_of(callable).starts_with("__torch__");
  const Ref state = pickle_->state(step.ref);
  if (step.depth == kMaxDepth) pickle_->fail("values nest deeper than 64");
  if (is_script) {
    next.push_back({state, step.name, step.depth + 1});
    return;
  }
  if (!pickle_->is(state, Kind::dict)) return;
  const auto items = pickle_->items(state);
  for (const std::string_view part : {"_parameters", "_buffers", "_modules"}) {
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (!pickle_->is(items[i], Kind::text) || pickle_->text(items[i]) != part) continue;
      next.push_back({items[i + 1], step.name, step.depth + 1});
    }
  }
}

std::span<const Ref> Tree::call_of(Ref ref, std::string& name, int depth) const {
  name.clear();
  if (!pickle_->is(ref, Kind::object)) return {};
  const Ref callable = pickle_->callable(ref);
  if (!pickle_->is(callable, Kind::global)) return {};
  const std::string_view module = pickle_->module_of(callable);
  auto arguments = pickle_->items(pickle_->arguments(ref));
  if (module == "torch._tensor" && pickle_->name_of(callable) == "_rebuild_from_type_v2" && arguments.size() == 4) {
    // (function, class, its arguments, state): a tensor of a subclass.
    const Ref function = arguments[0];
    if (depth < kMaxCalls && pickle_->is(function, Kind::global) && pickle_->is(arguments[2], Kind::tuple) &&
        pickle_->module_of(function) == "torch._utils") {
      name = pickle_->name_of(function);
      return pickle_->items(arguments[2]);
    }
    return {};
  }
  if (module != "torch._utils") return {};
  name = pickle_->name_of(callable);
  return arguments;
}

bool Tree::is_tensor(Ref ref) const {
  std::string name;
  call_of(ref, name);
  return name.starts_with("_rebuild_");
}

void Tree::add_tensor(Ref ref, std::string name) {
  if (!is_utf8(name)) pickle_->fail("the name " + in_quotes(name) + " is not valid UTF-8");
  if (entries.size() == source_.options->max_tensors) {
    pickle_->fail("more than " + std::to_string(source_.options->max_tensors) + " tensors");
  }
  TensorInfo tensor;
  tensor.name = std::move(name);
  std::string function;
  auto arguments = call_of(ref, function);
  for (int depth = 0; function.starts_with("_rebuild_parameter"); ++depth) {
    if (depth == kMaxCalls || arguments.empty()) pickle_->fail("a parameter without a tensor");
    ref = arguments[0];
    arguments = call_of(ref, function);
  }
  if (function == "_rebuild_sparse_tensor" || function == "_rebuild_sparse_csr_tensor")
    return add_sparse(arguments, std::move(tensor));
  if (function == "_rebuild_qtensor") return add_quantized(arguments, std::move(tensor));
  if (function == "_rebuild_tensor" || function == "_rebuild_tensor_v2" || function == "_rebuild_tensor_v3") {
    return add_dense(ref, std::move(tensor));
  }
  if (function == "_rebuild_meta_tensor_no_storage") return refuse(std::move(tensor), "has no data (a meta tensor)");
  if (!function.starts_with("_rebuild_")) pickle_->fail("a parameter without a tensor");
  refuse(std::move(tensor), "is made by " + in_quotes(function) + ", which is not read");
}

void Tree::refuse(TensorInfo tensor, std::string reason) {
  tensor.dtype = "unknown";
  tensor.refusal = std::move(reason);
  info_.tensors.push_back(std::move(tensor));
  entries.emplace_back();
}

void Tree::finish(TensorInfo tensor, Entry entry) {
  if (entry.values.element) {
    tensor.dtype = name_of(*entry.values.element);
    tensor.storage = storage_of(*entry.values.element);
  } else {
    tensor.dtype = "unknown";
    tensor.refusal = "has a storage of a type that is not read";
  }
  info_.tensors.push_back(std::move(tensor));
  entries.push_back(std::move(entry));
}

void Tree::add_dense(Ref ref, TensorInfo tensor) {
  Entry entry;
  entry.values = view_of(ref);
  tensor.shape = entry.values.shape;
  if (entry.values.element) tensor.nbytes = tensor_bytes(kFormat, 0, tensor.shape, *entry.values.element);
  const Tie tie{entry.values.storage, entry.values.element ? static_cast<int>(*entry.values.element) : -1,
                entry.values.offset, entry.values.shape, entry.values.strides};
  if (tensor.nbytes != 0) {
    const auto [first, is_new] = ties_.emplace(tie, info_.tensors.size());
    if (!is_new) tensor.tied_to = info_.tensors[first->second].name;
  }
  finish(std::move(tensor), std::move(entry));
}

// (storage, offset, size, stride, (scheme, scale, zero point) or (scheme, scales, zero points, axis), ...)
void Tree::add_quantized(std::span<const Ref> arguments, TensorInfo tensor) {
  if (arguments.size() < 5 || !pickle_->is(arguments[4], Kind::tuple)) pickle_->fail("a malformed quantized tensor");
  Entry entry;
  entry.values = make_view(arguments[0], arguments[1], arguments[2], arguments[3], std::nullopt);
  tensor.shape = entry.values.shape;
  if (entry.values.element) tensor.nbytes = tensor_bytes(kFormat, 0, tensor.shape, *entry.values.element);
  const auto scheme = pickle_->items(arguments[4]);
  Quantization quantization;
  if (scheme.size() == 3 && pickle_->is_global(scheme[0], "torch", "per_tensor_affine")) {
    if (!pickle_->is(scheme[1], Kind::real)) pickle_->fail("a scale that is no number");
    quantization.scales = {static_cast<float>(pickle_->real(scheme[1]))};
    quantization.zero_points = {integer_of(scheme[2], "a zero point")};
  } else if (scheme.size() == 4 && pickle_->is_global(scheme[0], "torch", "per_channel_affine")) {
    entry.scales = view_of(scheme[1]);
    entry.zero_points = view_of(scheme[2]);
    const std::int64_t axis = integer_of(scheme[3], "an axis");
    if (axis < 0 || axis >= static_cast<std::int64_t>(tensor.shape.size())) pickle_->fail("an axis out of range");
    quantization.axis = static_cast<int>(axis);
    const Shape expected{tensor.shape[static_cast<std::size_t>(axis)]};
    if (entry.scales->shape != expected || entry.zero_points->shape != expected) {
      pickle_->fail("scales that do not fit their tensor");
    }
  } else {
    return refuse(std::move(tensor), "is quantized in a way that is not read");
  }
  tensor.quantization = std::make_shared<const Quantization>(std::move(quantization));
  finish(std::move(tensor), std::move(entry));
}

// (layout, (indices, values, size, ...)) or (layout, (offsets, indices, values, size))
void Tree::add_sparse(std::span<const Ref> arguments, TensorInfo tensor) {
  if (arguments.size() < 2 || !pickle_->is(arguments[1], Kind::tuple)) pickle_->fail("a malformed sparse tensor");
  std::string_view layout;
  if (pickle_->is(arguments[0], Kind::global)) layout = pickle_->name_of(arguments[0]);
  if (pickle_->is(arguments[0], Kind::object)) {
    const auto name = pickle_->items(pickle_->arguments(arguments[0]));
    if (name.size() == 1 && pickle_->is(name[0], Kind::text)) layout = pickle_->text(name[0]);
  }
  if (layout.starts_with("torch.")) layout.remove_prefix(6);
  constexpr std::array<std::pair<std::string_view, SparseKind>, 5> kLayouts{{{"sparse_coo", SparseKind::coo},
                                                                             {"sparse_csr", SparseKind::csr},
                                                                             {"sparse_csc", SparseKind::csc},
                                                                             {"sparse_bsr", SparseKind::bsr},
                                                                             {"sparse_bsc", SparseKind::bsc}}};
  const auto found =
      std::find_if(kLayouts.begin(), kLayouts.end(), [&](const auto& row) { return row.first == layout; });
  if (found == kLayouts.end()) return refuse(std::move(tensor), "has the layout " + in_quotes(layout));
  Entry entry;
  entry.kind = found->second;
  const auto data = pickle_->items(arguments[1]);
  const bool is_coo = entry.kind == SparseKind::coo;
  const bool is_block = entry.kind == SparseKind::bsr || entry.kind == SparseKind::bsc;
  if (data.size() < (is_coo ? 3u : 4u)) pickle_->fail("a malformed sparse tensor");
  entry.first = view_of(data[0]);
  if (!is_coo) entry.second = view_of(data[1]);
  entry.values = view_of(data[is_coo ? 1 : 2]);
  tensor.shape = sizes_of(data[is_coo ? 2 : 3]);
  static_cast<void>(tensor_bytes(kFormat, 0, tensor.shape, Element::float64));
  const auto is_index = [](const View& view) {
    return view.element == Element::int64 || view.element == Element::int32;
  };
  if (!is_index(entry.first) || (!is_coo && !is_index(entry.second)))
    pickle_->fail("sparse indices that are no integers");
  if (entry.values.shape.size() != (is_block ? 3 : 1) || tensor.shape.empty() ||
      (!is_coo && (tensor.shape.size() != 2 || entry.first.shape.size() != 1 || entry.second.shape.size() != 1))) {
    return refuse(std::move(tensor), "is sparse with dense or batch dimensions, which is not read");
  }
  const std::int64_t nnz = entry.values.shape[0];
  const Shape indices{static_cast<std::int64_t>(tensor.shape.size()), nnz};
  if (is_coo ? entry.first.shape != indices : entry.second.shape != Shape{nnz}) {
    pickle_->fail("indices and values of a sparse tensor do not fit each other");
  }
  tensor.layout = entry.kind == SparseKind::csr ? Layout::csr : Layout::coo;
  tensor.nnz = entry.values.numel();
  for (const View* view : {&entry.values, &entry.first, &entry.second}) {
    if (view->element) tensor.nbytes += tensor_bytes(kFormat, 0, view->shape, *view->element);
  }
  finish(std::move(tensor), std::move(entry));
}

View Tree::view_of(Ref tensor, int depth) {
  std::string function;
  const auto arguments = call_of(tensor, function);
  if (function.starts_with("_rebuild_parameter") && depth < kMaxCalls && !arguments.empty()) {
    return view_of(arguments[0], depth + 1);
  }
  const bool v3 = function == "_rebuild_tensor_v3";
  if ((function != "_rebuild_tensor" && function != "_rebuild_tensor_v2" && !v3) || arguments.size() < (v3 ? 7u : 4u)) {
    pickle_->fail("a malformed tensor");
  }
  std::optional<Element> element;
  if (v3) {
    if (!pickle_->is(arguments[6], Kind::global) || pickle_->module_of(arguments[6]) != "torch") {
      pickle_->fail("a tensor whose type is no type");
    }
    element = element_named(kTypes, pickle_->name_of(arguments[6]));
  }
  return make_view(arguments[0], arguments[1], arguments[2], arguments[3], element);
}

View Tree::make_view(Ref storage, Ref offset, Ref sizes, Ref strides, std::optional<Element> element) {
  View view;
  std::int64_t base = 0;
  view.storage = storage_of_id(storage, base);
  const Storage& memory = storages[view.storage];
  view.element = memory.is_untyped ? element : memory.element;
  view.shape = sizes_of(sizes);
  view.strides = sizes_of(strides);
  view.offset = integer_of(offset, "an offset");
  if (view.offset < 0 || __builtin_add_overflow(view.offset, base, &view.offset)) pickle_->fail("a negative offset");
  if (view.strides.size() != view.shape.size()) pickle_->fail("sizes and strides of different length");
  const std::size_t item = view.element ? bytes_of(*view.element) : 1;
  static_cast<void>(tensor_bytes(kFormat, 0, view.shape, view.element.value_or(Element::uint8)));
  const std::int64_t count = memory.is_untyped ? memory.count / static_cast<std::int64_t>(item) : memory.count;
  if (view.numel() == 0) {
    if (view.offset > count) pickle_->fail("a tensor outside its storage");
    return view;
  }
  std::int64_t reach = 1;
  for (std::size_t i = 0; i < view.shape.size(); ++i) {
    std::int64_t more = 0;
    if (__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &more) ||
        __builtin_add_overflow(reach, more, &reach)) {
      pickle_->fail("a tensor outside its storage");
    }
  }
  if (view.offset > count || reach > count - view.offset) {
    pickle_->fail("a tensor of shape " + to_string(view.shape) + " reaches outside its storage of " +
                  std::to_string(count) + " elements");
  }
  if (view.numel() > count && view.numel() > kMaxRepeated / static_cast<std::int64_t>(item)) {
    pickle_->fail("a tensor of shape " + to_string(view.shape) + " repeats its storage of " + std::to_string(count) +
                  " elements");
  }
  view.span = reach;
  return view;
}

// ('storage', class, key, location, count[, None or (view key, offset, count)])
std::size_t Tree::storage_of_id(Ref persistent, std::int64_t& base) {
  if (!pickle_->is(persistent, Kind::persistent)) pickle_->fail("a tensor without a storage");
  const Ref id = pickle_->id(persistent);
  const auto parts = pickle_->is(id, Kind::tuple) ? pickle_->items(id) : std::span<const Ref>();
  if (parts.size() < 5 || !pickle_->is(parts[0], Kind::text) || pickle_->text(parts[0]) != "storage" ||
      !pickle_->is(parts[1], Kind::global) || !pickle_->is(parts[2], Kind::text)) {
    pickle_->fail("a malformed storage");
  }
  if (parts.size() > 5 && pickle_->is(parts[5], Kind::tuple)) {
    const auto view = pickle_->items(parts[5]);
    if (view.size() != 3) pickle_->fail("a malformed storage");
    base = integer_of(view[1], "an offset");
    if (base < 0) pickle_->fail("a negative offset");
  }
  Storage storage;
  storage.key = folder_ + std::string(pickle_->text(parts[2]));
  const std::string_view type = pickle_->name_of(parts[1]);
  storage.is_untyped = type == "UntypedStorage";
  storage.element = element_named(kStorageClasses, type);
  storage.count = integer_of(parts[4], "the size of a storage");
  if (storage.count < 0) pickle_->fail("a storage of negative size");
  const auto [place, is_new] = storage_positions_.emplace(storage.key, storages.size());
  if (is_new) {
    storages.push_back(std::move(storage));
    return place->second;
  }
  const Storage& known = storages[place->second];
  if (known.element != storage.element || known.is_untyped != storage.is_untyped || known.count != storage.count) {
    pickle_->fail("the storage " + in_quotes(storage.key) + " is described in two ways");
  }
  return place->second;
}

Shape Tree::sizes_of(Ref ref) const {
  if (pickle_->is(ref, Kind::object)) {  // torch.Size((2, 3))
    const auto arguments = pickle_->items(pickle_->arguments(ref));
    if (!pickle_->is_global(pickle_->callable(ref), "torch", "Size") || arguments.size() != 1) {
      pickle_->fail("sizes that are no tuple");
    }
    ref = arguments[0];
  }
  if (!pickle_->is(ref, Kind::tuple) && !pickle_->is(ref, Kind::list)) pickle_->fail("sizes that are no tuple");
  const auto items = pickle_->items(ref);
  if (items.size() > kMaxRank) pickle_->fail("a tensor of more than 64 dimensions");
  Shape sizes;
  for (const Ref item : items) {
    sizes.push_back(integer_of(item, "a size"));
    if (sizes.back() < 0) pickle_->fail("a negative size or stride");
  }
  return sizes;
}

std::int64_t Tree::integer_of(Ref ref, const char* what) const {
  if (!pickle_->is(ref, Kind::integer)) pickle_->fail(std::string(what) + " that is no integer");
  return pickle_->integer(ref);
}

}  // namespace sparsert::files::torch
