// kernels/cuda/embedding.cu — rows of a table gathered into bags: a thread an element, neighbours read side by side.
#include "kernels/embedding.hpp"

#include "kernels/cuda/each.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

void embedding_bag(const EmbeddingBagArgs& args, const Stream& stream) { Embedding<Each>::embedding_bag(args, stream); }

void bag_winners(const BagWinnersArgs& args, const Stream& stream) { Embedding<Each>::bag_winners(args, stream); }

void bag_max_backward(const BagMaxBackwardArgs& args, const Stream& stream) {
  Embedding<Each>::bag_max_backward(args, stream);
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
