// kernels/cuda/formats.cu — between the sparse formats: the rules of kernels/formats.hpp, a thread a row.
//
// A transposition is a stable sort of the entries by column (Thrust), which keeps the rows of a column in order.
#include "kernels/formats.hpp"

#include <thrust/sequence.h>
#include <thrust/sort.h>

#include "device/thrust.cuh"
#include "kernels/cuda/each.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

/// row_of[e] = i for the entries e of row i.
template <class I>
struct NameRows {
  Global<const I> row_offsets;
  Global<I> row_of;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t last = static_cast<I>(row_offsets[i + 1]);
    for (std::int64_t e = static_cast<I>(row_offsets[i]); e < last; ++e) row_of[e] = static_cast<I>(i);
  }
};

/// Entry e of the transposed matrix.
template <class U, class I>
struct MoveEntry {
  Global<const I> order;
  Global<const I> row_of;
  Global<const U> from;
  Global<I> columns;
  Global<U> values;

  __device__ void operator()(std::int64_t e) const {
    const I at = order[e];
    columns[e] = static_cast<I>(row_of[at]);
    values[e] = static_cast<U>(from[at]);
  }
};

/// Where each column begins among the sorted ones.
template <class I>
struct FindColumn {
  std::int64_t nnz;
  Global<const I> sorted;
  Global<I> offsets;

  __device__ void operator()(std::int64_t c) const {
    offsets[c] = static_cast<I>(first_at_least<I>(sorted, 0, nnz, c));
  }
};

template <class U, class I>
void transpose_of(const TransposeArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  const std::size_t bytes = static_cast<std::size_t>(a.nnz) * sizeof(I);
  const Buffer key_memory(bytes, stream);
  const Buffer order_memory(bytes, stream);
  const Buffer row_memory(bytes, stream);
  auto* const keys = static_cast<I*>(key_memory.data());
  auto* const order = static_cast<I*>(order_memory.data());
  auto* const row_of = static_cast<I*>(row_memory.data());
  if (a.nnz > 0) {
    copy_bytes(keys, stream.device(), a.columns, stream.device(), bytes, stream);
    thrust::sequence(thrust_policy(stream), order, order + a.nnz);
    thrust::stable_sort_by_key(thrust_policy(stream), keys, keys + a.nnz, order);
    Each::rows(a.rows, NameRows<I>{static_cast<const I*>(a.row_offsets), row_of}, stream);
    Each::rows(a.nnz,
               MoveEntry<U, I>{order, row_of, static_cast<const U*>(a.values), static_cast<I*>(args.columns),
                               static_cast<U*>(args.values)},
               stream);
  }
  Each::rows(a.cols + 1, FindColumn<I>{a.nnz, keys, static_cast<I*>(args.row_offsets)}, stream);
}

}  // namespace

void transpose(const TransposeArgs& args, const Stream& stream) {
  dispatch_index("transpose", args.a.index, [&]<class I>() {
    dispatch_bytes(args.a.dtype, [&]<class U>() { transpose_of<U, I>(args, stream); });
  });
}

void bsr_offsets(const BsrOffsetsArgs& args, const Stream& stream) { Formats<Each>::bsr_offsets(args, stream); }
void csr_to_bsr(const CsrToBsrArgs& args, const Stream& stream) { Formats<Each>::csr_to_bsr(args, stream); }
void bsr_csr_offsets(const BsrCsrOffsetsArgs& args, const Stream& stream) {
  Formats<Each>::bsr_csr_offsets(args, stream);
}
void bsr_to_csr(const BsrToCsrArgs& args, const Stream& stream) { Formats<Each>::bsr_to_csr(args, stream); }
void csr_to_bitmap(const CsrToBitmapArgs& args, const Stream& stream) { Formats<Each>::csr_to_bitmap(args, stream); }
void bitmap_offsets(const BitmapOffsetsArgs& args, const Stream& stream) {
  Formats<Each>::bitmap_offsets(args, stream);
}
void bitmap_columns(const BitmapColumnsArgs& args, const Stream& stream) {
  Formats<Each>::bitmap_columns(args, stream);
}
void csr_to_nm(const CsrToNmArgs& args, const Stream& stream) { Formats<Each>::csr_to_nm(args, stream); }
void nm_offsets(const NmOffsetsArgs& args, const Stream& stream) { Formats<Each>::nm_offsets(args, stream); }
void nm_to_csr(const NmToCsrArgs& args, const Stream& stream) { Formats<Each>::nm_to_csr(args, stream); }
void nonzero_offsets(const NonzeroOffsetsArgs& args, const Stream& stream) {
  Formats<Each>::nonzero_offsets(args, stream);
}
void drop_zeros(const DropZerosArgs& args, const Stream& stream) { Formats<Each>::drop_zeros(args, stream); }

}  // namespace sparsert::backend::SPARSERT_BACKEND
