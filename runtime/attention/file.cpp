// runtime/attention/file.cpp — masks in safetensors files: the expression as JSON in the metadata, its lists as
// tensors.
//
// Metadata `sparsert.mask`: {"version": 1, "lengths": [queries, keys], "block_size": b, "expression": e}, where e is
// ["band", offset, lowest, highest, step], ["lists", number], ["union", e...], ["intersection", e...],
// ["complement", e] or ["per_head", e...]. The tensors of list number k are `k.stretches`, `k.list_of`, `k.offsets` and
// `k.spans`, int64.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/attention/mask.hpp"
#include "sparsert/files.hpp"

namespace sparsert::attention {
namespace {

using Json = nlohmann::json;
constexpr const char* kKey = "sparsert.mask";

class Writer final : public NodeVisitor {
 public:
  explicit Writer(StateDict& state) : state_(state) {}

  Json write(const Node& node) {
    node.accept(*this);
    return std::move(result_);
  }

  void visit(const Band& node) override {
    result_ = Json::array({"band", node.offset(), node.lowest(), node.highest(), node.step()});
  }
  void visit(const Lists& node) override {
    const KeyLists& lists = node.lists();
    std::vector<std::int64_t> ends;
    for (const Span& span : lists.spans) ends.insert(ends.end(), {span.begin, span.end});
    const std::string number = std::to_string(lists_);
    const auto insert = [&](const char* name, const std::vector<std::int64_t>& values, Shape shape) {
      state_.insert(number + "." + name, Tensor::from(values, std::move(shape)));
    };
    insert("stretches", lists.stretches, {static_cast<std::int64_t>(lists.stretches.size())});
    insert("list_of", lists.list_of, {static_cast<std::int64_t>(lists.list_of.size())});
    insert("offsets", lists.offsets, {static_cast<std::int64_t>(lists.offsets.size())});
    insert("spans", ends, {static_cast<std::int64_t>(lists.spans.size()), 2});
    result_ = Json::array({"lists", lists_++});
  }
  void visit(const Union& node) override { write_parts("union", node); }
  void visit(const Intersection& node) override { write_parts("intersection", node); }
  void visit(const Complement& node) override { write_parts("complement", node); }
  void visit(const PerHead& node) override { write_parts("per_head", node); }

 private:
  void write_parts(const char* name, const Combination& node) {
    Json all = Json::array({name});
    for (const NodePtr& part : node.parts()) all.push_back(write(*part));
    result_ = std::move(all);
  }

  StateDict& state_;
  Json result_;
  std::int64_t lists_ = 0;
};

/// Reads an expression that anybody may have written.
class Reader {
 public:
  Reader(const std::filesystem::path& path, const StateDict& state) : path_(path), state_(state) {}

  Mask read() {
    const auto& metadata = state_.metadata();
    const auto text = metadata.find(kKey);
    check(text != metadata.end(), "no metadata sparsert.mask, expected a mask");
    const Json json = Json::parse(text->second, nullptr, false);
    check(json.is_object() && json.contains("version") && json.contains("lengths") && json.contains("block_size") &&
              json.contains("expression"),
          "sparsert.mask is not an object with version, lengths, block_size and expression");
    check(json["version"] == 1, "sparsert.mask has version " + json["version"].dump() + ", expected 1");
    const Json& lengths = json["lengths"];
    check(lengths.is_array() && lengths.size() == 2, "lengths are " + lengths.dump() + ", expected two numbers");
    lengths_ = {integer(lengths[0], 0, std::int64_t{1} << 36), integer(lengths[1], 0, std::int64_t{1} << 36)};
    const std::int64_t block_size = integer(json["block_size"], 16, 128);
    check((block_size & (block_size - 1)) == 0,
          "block_size is " + std::to_string(block_size) + ", expected 16, 32, 64 or 128");
    return make_mask(expression(json["expression"], 1), block_size);
  }

 private:
  void check(bool condition, const std::string& what) const {
    if (!condition) throw FileError(path_.string() + ": mask: " + what);
  }

  std::int64_t integer(const Json& json, std::int64_t least, std::int64_t most) const {
    check(json.is_number_integer(), "got " + json.dump() + ", expected an integer");
    const auto value = json.get<std::int64_t>();
    const bool wraps = json.is_number_unsigned() && json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
    check(!wraps && value >= least && value <= most,
          "got " + json.dump() + ", expected " + std::to_string(least) + " to " + std::to_string(most));
    return value;
  }

  NodePtr expression(const Json& json, int depth) const {
    check(depth <= kMostDepth, "the expression is deeper than " + std::to_string(kMostDepth) + " levels");
    check(json.is_array() && !json.empty() && json[0].is_string(), "an expression does not begin with its name");
    const auto name = json[0].get<std::string>();
    if (name == "band") return band(json);
    if (name == "lists") {
      check(json.size() == 2, "lists have " + std::to_string(json.size() - 1) + " parameters, expected 1");
      return lists(integer(json[1], 0, INT32_MAX));
    }
    std::vector<NodePtr> parts;
    for (std::size_t i = 1; i < json.size(); ++i) parts.push_back(expression(json[i], depth + 1));
    check(!parts.empty(), name + " has no parts");
    std::int64_t heads = 1;
    for (const NodePtr& part : parts) {
      check(part->heads() == 1 || heads == 1 || part->heads() == heads, name + " mixes numbers of heads");
      heads = std::max(heads, part->heads());
    }
    if (name == "union") return std::make_shared<Union>(lengths_, heads, std::move(parts));
    if (name == "intersection") return std::make_shared<Intersection>(lengths_, heads, std::move(parts));
    if (name == "complement") {
      check(parts.size() == 1, "complement has " + std::to_string(parts.size()) + " parts, expected 1");
      return std::make_shared<Complement>(parts.front());
    }
    check(name == "per_head", "unknown expression " + name);
    check(heads == 1, "per_head has a part of several heads");
    return std::make_shared<PerHead>(std::move(parts));
  }

  NodePtr band(const Json& json) const {
    constexpr std::int64_t kFar = Band::kUnbounded;
    check(json.size() == 5, "a band has " + std::to_string(json.size() - 1) + " parameters, expected 4");
    const std::int64_t offset = integer(json[1], -(std::int64_t{1} << 40), std::int64_t{1} << 40);
    return std::make_shared<Band>(lengths_, offset, integer(json[2], -kFar, kFar), integer(json[3], -kFar, kFar),
                                  integer(json[4], 1, kFar));
  }

  std::vector<std::int64_t> numbers(const std::string& name, int rank) const {
    check(state_.contains(name), "tensor " + name + " is missing");
    const Tensor& tensor = state_.at(name);
    check(tensor.dtype() == DType::int64 && tensor.rank() == rank && (rank == 1 || tensor.size(1) == 2),
          "tensor " + name + " is " + std::string(to_string(tensor.dtype())) + " " + to_string(tensor.shape()) +
              ", expected int64 of " + (rank == 1 ? "one dimension" : "two columns"));
    const auto values = tensor.span<std::int64_t>();
    return {values.begin(), values.end()};
  }

  NodePtr lists(std::int64_t number) const {
    const std::string prefix = std::to_string(number) + ".";
    KeyLists lists;
    lists.stretches = numbers(prefix + "stretches", 1);
    lists.list_of = numbers(prefix + "list_of", 1);
    lists.offsets = numbers(prefix + "offsets", 1);
    const std::vector<std::int64_t> ends = numbers(prefix + "spans", 2);
    for (std::size_t s = 0; s + 1 < ends.size(); s += 2) lists.spans.push_back({ends[s], ends[s + 1]});

    check(lists.stretches.size() == lists.list_of.size(), prefix + "stretches and list_of differ in length");
    check(lengths_.query == 0 || (!lists.stretches.empty() && lists.stretches.front() == 0),
          prefix + "stretches do not begin with 0");
    for (std::size_t s = 1; s < lists.stretches.size(); ++s) {
      check(lists.stretches[s] > lists.stretches[s - 1], prefix + "stretches do not ascend");
    }
    const auto count = static_cast<std::int64_t>(lists.offsets.size()) - 1;
    check(count >= 0 && lists.offsets.front() == 0 &&
              lists.offsets.back() == static_cast<std::int64_t>(lists.spans.size()) &&
              std::is_sorted(lists.offsets.begin(), lists.offsets.end()),
          prefix + "offsets do not ascend from 0 to the number of spans");
    for (const std::int64_t list : lists.list_of) check(list >= 0 && list < count, prefix + "list_of names no list");
    for (std::size_t list = 0; list + 1 < lists.offsets.size(); ++list) {
      std::int64_t before = -1;
      for (std::int64_t s = lists.offsets[list]; s < lists.offsets[list + 1]; ++s) {
        const Span span = lists.spans[static_cast<std::size_t>(s)];
        check(span.begin > before && span.end > span.begin && span.end <= lengths_.key,
              prefix + "spans of a list are not ascending, apart and within the keys");
        before = span.end;
      }
    }
    return std::make_shared<Lists>(lengths_, std::move(lists));
  }

  const std::filesystem::path& path_;
  const StateDict& state_;
  Lengths lengths_{0};
};

}  // namespace

void Mask::save(const std::filesystem::path& path) const {
  StateDict state;
  Writer writer(state);
  const Lengths n = lengths();
  const Json json{{"version", 1},
                  {"lengths", {n.query, n.key}},
                  {"block_size", block_size()},
                  {"expression", writer.write(node_of(*this))}};
  state.metadata()[kKey] = json.dump();
  sparsert::save(path, state);
}

Mask Mask::load(const std::filesystem::path& path) {
  const StateDict state = sparsert::load(path);
  return Reader(path, state).read();
}

}  // namespace sparsert::attention
