// kernels/reference/formats.cpp — between the sparse formats, one row after the other: what it means.
#include "kernels/formats.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

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
      I written = 0;
      row_offsets[0] = 0;
      for (std::int64_t c = 0; c < a.cols; ++c) {
        for (std::int64_t r = 0; r < a.rows; ++r) {
          const std::int64_t e = first_at_least<I>(from_columns, offsets[r], offsets[r + 1], c);
          if (e == offsets[r + 1] || from_columns[e] != c) continue;
          columns[written] = static_cast<I>(r);
          values[written] = from[e];
          ++written;
        }
        row_offsets[c + 1] = written;
      }
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

}  // namespace sparsert::backend::reference
