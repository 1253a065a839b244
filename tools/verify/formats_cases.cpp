// tools/verify/formats_cases.cpp — conversions between the sparse formats, slices and concatenations.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::Values;

struct Size {
  std::int64_t rows;
  std::int64_t cols;
};
constexpr Size kSizes[] = {{0, 5}, {5, 0}, {1, 1}, {1, 130}, {63, 1}, {31, 33}, {40, 65}};
constexpr Values kKinds[] = {Values::normal, Values::special};
constexpr Block kBlocks[] = {{1, 4}, {4, 1}, {4, 4}, {3, 5}, {16, 16}};

std::vector<Tensor> arrays(const Csr& a) { return {a.row_offsets(), a.columns(), a.values()}; }

void add_conversions(std::vector<Case>& grid, const std::string& suffix, const std::function<Csr(const Device&)>& a) {
  grid.push_back({"transpose" + suffix, [=](const Device& d) { return arrays(transpose(a(d))); }});
  grid.push_back({"csc.to_csr" + suffix, [=](const Device& d) { return arrays(to_csc(a(d)).to_csr()); }});
  for (const Block block : kBlocks) {
    const std::string name = " " + std::to_string(block[0]) + "x" + std::to_string(block[1]);
    grid.push_back({"to_bsr" + suffix + name, [=](const Device& d) {
                      const Bsr bsr = to_bsr(a(d), block);
                      return std::vector{bsr.row_offsets(), bsr.columns(), bsr.values()};
                    }});
    grid.push_back(
        {"bsr.to_csr" + suffix + name, [=](const Device& d) { return arrays(to_bsr(a(d), block).to_csr()); }});
  }
  grid.push_back({"to_bitmap" + suffix, [=](const Device& d) { return std::vector{to_bitmap(a(d)).bits()}; }});
  grid.push_back({"bitmap.to_csr" + suffix, [=](const Device& d) { return arrays(to_bitmap(a(d)).to_csr()); }});
  grid.push_back({"bitmap" + suffix, [=](const Device& d) {
                    const Bitmap made = to_bitmap(a(d));
                    return std::vector{Bitmap(made.bits(), made.values(), made.shape()).row_offsets()};
                  }});
  for (const int n : {2, 5, 8}) {  // a pattern with more than n of 8 is an error, the same one on every device
    grid.push_back({"to_nm" + suffix + " " + std::to_string(n) + ":8", [=](const Device& d) {
                      const Nm nm = to_nm(a(d), n, 8);
                      return std::vector{nm.positions(), nm.values(), nm.to_dense()};
                    }});
  }
  grid.push_back({"prune_zeros" + suffix, [=](const Device& d) { return arrays(prune_zeros(a(d))); }});
  grid.push_back(
      {"slice_rows" + suffix, [=](const Device& d) { return arrays(slice_rows(a(d), a(d).rows() / 3, a(d).rows())); }});
  for (const int axis : {0, 1}) {
    grid.push_back({"concatenate" + suffix + " axis " + std::to_string(axis), [=](const Device& d) {
                      return arrays(concatenate({a(d), a(d)}, axis));
                    }});
  }
}

}  // namespace

void add_formats_cases(std::vector<Case>& grid) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const DType index : kIndices) {
        for (const Values kind : kKinds) {
          for (const Pattern pattern : kPatterns) {
            add_conversions(
                grid,
                " " + std::string(to_string(dtype)) + " " + std::string(to_string(index)) + " " +
                    std::to_string(size.rows) + "x" + std::to_string(size.cols) + " " + to_string(kind) + " " +
                    to_string(pattern),
                [=](const Device& d) { return make_csr(pattern, size.rows, size.cols, kind, dtype, index, 5).to(d); });
          }
        }
      }
    }
  }
}

}  // namespace sparsert::verify
