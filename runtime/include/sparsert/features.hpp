// sparsert/features.hpp — from text or triples straight to a sparse matrix.
//
// A word is a run of at least two letters, digits or underscores, ASCII ones in lower case; every byte from 0x80 up
// counts as a letter, so that text in UTF-8 is never cut inside a character.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sparsert/sparse.hpp"

namespace sparsert::features {

/// Words counted per text, one column a word.
struct BagOfWords {
  Csr counts;                           ///< (texts, words), float32, int32 indices
  std::vector<std::string> vocabulary;  ///< the word of each column
};

/// Counts the words of each text. Columns are the words in order of their bytes.
BagOfWords bag_of_words(std::span<const std::string_view> texts);
/// The same for words given, in their order; all others are left out.
/// Throws `Error{invalid_argument}` for a word given twice.
BagOfWords bag_of_words(std::span<const std::string_view> texts, const std::vector<std::string>& vocabulary);

/// Counts the words of each text in `size` columns, a word's being its 64-bit FNV-1a hash modulo `size`. No vocabulary
/// is kept; words of one column add up. (texts, size), float32, int32 indices.
Csr hashing(std::span<const std::string_view> texts, std::int64_t size);

/// A matrix of (row, column, value) triples in any order; duplicates are summed in the order given. For interactions of
/// users and items. Without a shape: as large as the indices need.
Csr from_triples(const Tensor& rows, const Tensor& columns, const Tensor& values, Shape shape = {});

}  // namespace sparsert::features
