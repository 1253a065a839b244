// runtime/features.cpp — words counted into columns, triples put in order.
#include "sparsert/features.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "runtime/check_sparse.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::features {
namespace {

constexpr bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
}

/// Calls `visit(word)` for each word of a text, in lower case.
template <class Visit>
void each_word(std::string_view text, Visit&& visit) {
  std::string word;
  const auto end_word = [&] {
    if (word.size() >= 2) visit(word);
    word.clear();
  };
  for (const char c : text) {
    if (!is_word_byte(static_cast<unsigned char>(c))) {
      end_word();
      continue;
    }
    word.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  end_word();
}

/// Rows of counts, put together.
class Counts {
 public:
  void add_row(const std::map<std::int64_t, float>& row) {
    for (const auto& [column, count] : row) {
      columns_.push_back(static_cast<std::int32_t>(column));
      values_.push_back(count);
    }
    require(static_cast<std::int64_t>(columns_.size()) <= index_limit(DType::int32), [&] {
      return "features: " + std::to_string(columns_.size()) + " entries are more than int32 indices count";
    });
    offsets_.push_back(static_cast<std::int32_t>(columns_.size()));
  }

  Csr matrix(std::int64_t cols) const {
    const auto rows = static_cast<std::int64_t>(offsets_.size()) - 1;
    const auto nnz = static_cast<std::int64_t>(columns_.size());
    return Csr::unchecked(Tensor::from(offsets_, {rows + 1}), Tensor::from(columns_, {nnz}),
                          Tensor::from(values_, {nnz}), rows, cols);
  }

 private:
  std::vector<std::int32_t> offsets_{0};
  std::vector<std::int32_t> columns_;
  std::vector<float> values_;
};

Csr count_words(std::span<const std::string_view> texts, const std::unordered_map<std::string, std::int64_t>& columns,
                std::int64_t size) {
  Counts counts;
  for (const std::string_view text : texts) {
    std::map<std::int64_t, float> row;
    each_word(text, [&](const std::string& word) {
      const auto column = columns.find(word);
      if (column != columns.end()) row[column->second] += 1;
    });
    counts.add_row(row);
  }
  return counts.matrix(size);
}

/// FNV-1a, 64 bits.
std::uint64_t hash_of(const std::string& word) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::int64_t largest_of(const Tensor& indices) {
  const Tensor wide = cast(indices.cpu(), DType::int64);
  std::int64_t largest = -1;
  for (const std::int64_t i : wide.span<std::int64_t>()) largest = std::max(largest, i);
  return largest;
}

}  // namespace

BagOfWords bag_of_words(std::span<const std::string_view> texts) {
  std::vector<std::string> words;
  for (const std::string_view text : texts) {
    std::vector<std::string> of_text;
    each_word(text, [&](const std::string& word) { of_text.push_back(word); });
    words.insert(words.end(), of_text.begin(), of_text.end());
    // Duplicates go while they are few: the memory follows the vocabulary, not the text.
    if (words.size() > 1 << 16) {
      std::sort(words.begin(), words.end());
      words.erase(std::unique(words.begin(), words.end()), words.end());
    }
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return bag_of_words(texts, words);
}

BagOfWords bag_of_words(std::span<const std::string_view> texts, const std::vector<std::string>& vocabulary) {
  std::unordered_map<std::string, std::int64_t> columns;
  for (std::size_t c = 0; c < vocabulary.size(); ++c) {
    const bool is_new = columns.emplace(vocabulary[c], static_cast<std::int64_t>(c)).second;
    require(is_new, [&] { return "bag_of_words: vocabulary has \"" + vocabulary[c] + "\" twice"; });
  }
  const auto size = static_cast<std::int64_t>(vocabulary.size());
  require(size <= index_limit(DType::int32),
          [&] { return "bag_of_words: vocabulary has " + std::to_string(size) + " words, too many"; });
  return {count_words(texts, columns, size), vocabulary};
}

Csr hashing(std::span<const std::string_view> texts, std::int64_t size) {
  require(size > 0 && size <= index_limit(DType::int32),
          [&] { return "hashing: size is " + std::to_string(size) + ", expected 1 to 2147483647"; });
  Counts counts;
  for (const std::string_view text : texts) {
    std::map<std::int64_t, float> row;
    each_word(text, [&](const std::string& word) {
      row[static_cast<std::int64_t>(hash_of(word) % static_cast<std::uint64_t>(size))] += 1;
    });
    counts.add_row(row);
  }
  return counts.matrix(size);
}

Csr from_triples(const Tensor& rows, const Tensor& columns, const Tensor& values, Shape shape) {
  check_index_array("from_triples", "rows", rows, rows.dtype(), values.device());
  check_index_array("from_triples", "columns", columns, rows.dtype(), values.device());
  if (shape.empty()) shape = {largest_of(rows) + 1, largest_of(columns) + 1};
  return Coo(rows, columns, values, std::move(shape)).to_csr();
}

}  // namespace sparsert::features
