// kernels/reference/activation.cpp — activations, one row or element after the other: what they mean.
#include "kernels/activation.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

void relu_offsets(const ReluOffsetsArgs& args, const Stream& stream) { Activations<Each>::relu_offsets(args, stream); }
void relu_csr(const ReluCsrArgs& args, const Stream& stream) { Activations<Each>::relu_csr(args, stream); }
void relu_bitmap(const ReluBitmapArgs& args, const Stream& stream) { Activations<Each>::relu_bitmap(args, stream); }
void gather_gradient(const GatherGradientArgs& args, const Stream& stream) {
  Activations<Each>::gather_gradient(args, stream);
}
void activate(const ActivateArgs& args, const Stream& stream) { Activations<Each>::activate(args, stream); }
void activate_backward(const ActivateBackwardArgs& args, const Stream& stream) {
  Activations<Each>::activate_backward(args, stream);
}
void add_bias(const AddBiasArgs& args, const Stream& stream) { Activations<Each>::add_bias(args, stream); }
void transpose_dense(const TransposeDenseArgs& args, const Stream& stream) {
  Activations<Each>::transpose_dense(args, stream);
}

}  // namespace sparsert::backend::reference
