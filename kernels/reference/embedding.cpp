// kernels/reference/embedding.cpp — rows of a table gathered into bags, one element at a time: what it means.
#include "kernels/embedding.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

void embedding_bag(const EmbeddingBagArgs& args, const Stream& stream) { Embedding<Each>::embedding_bag(args, stream); }

void bag_winners(const BagWinnersArgs& args, const Stream& stream) { Embedding<Each>::bag_winners(args, stream); }

void bag_max_backward(const BagMaxBackwardArgs& args, const Stream& stream) {
  Embedding<Each>::bag_max_backward(args, stream);
}

}  // namespace sparsert::backend::reference
