// runtime/files/torch_tree.hpp — the tensors that a PyTorch pickle describes: names, views on storages, ties.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/files/element.hpp"
#include "runtime/files/pickle.hpp"

namespace sparsert::files::torch {

inline constexpr const char* kFormat = "torch";

/// Memory that tensors lie in, as the pickle names it; its bytes are in the container.
struct Storage {
  std::string key;
  std::optional<Element> element;  // none: of a type that is not read
  bool is_untyped = false;         // its count is in bytes
  std::int64_t count = 0;
};

/// Elements of a storage; proven to lie in `count` of it.
struct View {
  std::size_t storage = 0;
  std::optional<Element> element;
  Shape shape;
  std::vector<std::int64_t> strides;
  std::int64_t offset = 0;
  std::int64_t span = 0;  // elements from the first to the last

  bool is_contiguous() const;
  std::int64_t numel() const { return element_count(shape); }
};

enum class SparseKind : std::uint8_t { none, coo, csr, csc, bsr, bsc };

/// A tensor: a view, or for a sparse one the views of its arrays.
struct Entry {
  View values;
  SparseKind kind = SparseKind::none;
  View first;                  // indices of coo; offsets of the others
  View second;                 // the other indices
  std::optional<View> scales;  // of a tensor that is quantized along an axis
  std::optional<View> zero_points;
};

/// Looks for the tensors of a pickle, without running anything. What it does not know stays closed.
class Tree {
 public:
  Tree(const Source& source, FileInfo& info) : source_(source), info_(info) {}

  /// Adds a pickle's tensors to `info` and `entries`: all, or those of the part that is the model. `folder` goes in
  /// front of storage keys. Throws `FileError`.
  void add(const Pickle& pickle, const std::string& folder, const std::string& prefix);

  /// Adds the storages of all other tensors of the pickle too: a file without a directory has to be walked over them.
  void add_storages(const Pickle& pickle);

  /// True once `select` named a part of a checkpoint.
  bool used_select() const { return used_select_; }

  std::vector<Storage> storages;
  std::vector<Entry> entries;  // beside info.tensors

 private:
  struct Step {
    Pickle::Ref ref;
    std::string name;
    int depth;
  };
  using Tie = std::tuple<std::size_t, int, std::int64_t, Shape, std::vector<std::int64_t>>;

  Pickle::Ref model_in(Pickle::Ref root);
  void add_metadata(Pickle::Ref root, Pickle::Ref model);
  void walk(Pickle::Ref root, const std::string& prefix);
  void visit(const Step& step, std::vector<Step>& next);
  void visit_module(const Step& step, std::vector<Step>& next);
  std::string key_name(Pickle::Ref key, std::size_t position) const;

  bool is_tensor(Pickle::Ref ref) const;
  void add_tensor(Pickle::Ref ref, std::string name);
  void add_dense(Pickle::Ref ref, TensorInfo tensor);
  void add_sparse(std::span<const Pickle::Ref> arguments, TensorInfo tensor);
  void add_quantized(std::span<const Pickle::Ref> arguments, TensorInfo tensor);
  void refuse(TensorInfo tensor, std::string reason);
  void finish(TensorInfo tensor, Entry entry);

  View view_of(Pickle::Ref tensor, int depth = 0);
  View make_view(Pickle::Ref storage, Pickle::Ref offset, Pickle::Ref sizes, Pickle::Ref strides,
                 std::optional<Element> element);
  std::size_t storage_of_id(Pickle::Ref persistent, std::int64_t& base);
  Shape sizes_of(Pickle::Ref ref) const;
  std::int64_t integer_of(Pickle::Ref ref, const char* what) const;
  std::span<const Pickle::Ref> call_of(Pickle::Ref ref, std::string& name, int depth = 0) const;

  const Source& source_;
  FileInfo& info_;
  const Pickle* pickle_ = nullptr;
  std::string folder_;
  std::map<std::string, std::size_t> storage_positions_;
  std::map<Tie, std::size_t> ties_;
  std::size_t steps_ = 0;
  std::size_t name_bytes_ = 0;
  bool used_select_ = false;
};

}  // namespace sparsert::files::torch
