// kernels/cpu/formats.cpp — between the sparse formats, with TBB.
#include "kernels/formats.hpp"

#include <algorithm>

#include "kernels/cpu/each.hpp"

namespace sparsert::backend::cpu {

void transpose(const TransposeArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_index("transpose", a.index, [&]<class I>() {
    dispatch_bytes(a.dtype, [&]<class U>() {
      const auto* offsets = static_cast<const I*>(a.row_offsets);
      const auto* from_columns = static_cast<const I*>(a.columns);
      const auto* from = static_cast<const U*>(a.values);
      auto* row_offsets = static_cast<I*>(args.row_offsets);
      auto* columns = static_cast<I*>(args.columns);
      auto* values = static_cast<U*>(args.values);
      // A counting sort. Each offset runs through its column's slots and ends where the next column's begin.
      std::fill_n(row_offsets, a.cols + 1, I{0});
      for (std::int64_t e = 0; e < a.nnz; ++e) ++row_offsets[from_columns[e] + 1];
      for (std::int64_t c = 0; c < a.cols; ++c) row_offsets[c + 1] += row_offsets[c];
      for (std::int64_t r = 0; r < a.rows; ++r) {
        for (std::int64_t e = offsets[r]; e < offsets[r + 1]; ++e) {
          const I at = row_offsets[from_columns[e]]++;
          columns[at] = static_cast<I>(r);
          values[at] = from[e];
        }
      }
      std::copy_backward(row_offsets, row_offsets + a.cols, row_offsets + a.cols + 1);
      row_offsets[0] = 0;
    });
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

}  // namespace sparsert::backend::cpu
