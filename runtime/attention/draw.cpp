// runtime/attention/draw.cpp — a mask as a drawing: SVG, and characters for a terminal.
#include <algorithm>
#include <cstdio>
#include <string>

#include "runtime/attention/mask.hpp"

namespace sparsert::attention {
namespace {

/// A mask cut into at most so many cells a side.
struct Grid {
  std::int64_t cell;  // queries and keys a side
  std::int64_t rows;
  std::int64_t columns;
};

Grid grid_of(const char* op, const Mask& mask, std::int64_t head, std::int64_t cells) {
  require(cells >= 1 && cells <= 4096,
          [&] { return std::string(op) + ": cells is " + std::to_string(cells) + ", expected 1 to 4096"; });
  require(head >= 0 && head < mask.heads(), [&] {
    return std::string(op) + ": head is " + std::to_string(head) + ", expected 0 to " +
           std::to_string(mask.heads() - 1);
  });
  const Lengths n = mask.lengths();
  const std::int64_t cell = std::max<std::int64_t>(1, (std::max(n.query, n.key) + cells - 1) / cells);
  return {cell, (n.query + cell - 1) / cell, (n.key + cell - 1) / cell};
}

/// Calls f(row, first column, column after the last, coverage): a cell seen in part may count as such unlooked at where
/// cells are large.
template <class F>
void for_each_cell_run(const Mask& mask, std::int64_t head, const Grid& grid, F&& f) {
  constexpr std::int64_t kLookedAt = 256;
  const Node& node = node_of(mask);
  const std::int64_t queries = node.lengths().query;
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    const Span rows{row * grid.cell, std::min(queries, (row + 1) * grid.cell)};
    if (grid.cell <= kLookedAt) {
      for_each_run(node, head, rows, grid.cell,
                   [&](std::int64_t begin, std::int64_t end, Coverage coverage) { f(row, begin, end, coverage); });
      continue;
    }
    Runs runs;
    node.runs(head, rows, grid.cell, runs);
    for (const Run& run : runs) {
      f(row, run.begin, run.end, run.coverage == Coverage::full ? Coverage::full : Coverage::partial);
    }
  }
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", share * 100);
  return text;
}

}  // namespace

std::string Mask::to_svg(std::int64_t head, std::int64_t cells) const {
  const Grid grid = grid_of("to_svg", *this, head, cells);
  const Lengths n = lengths();
  const auto number = [](std::int64_t x) { return std::to_string(x); };
  const std::string width = number(std::max<std::int64_t>(1, grid.columns));
  const std::string height = number(std::max<std::int64_t>(1, grid.rows));
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + width + " " + height +
                    "\" shape-rendering=\"crispEdges\" role=\"img\">\n<title>Attention mask, " + number(n.query) +
                    " queries, " + number(n.key) + " keys, density " + percent(density()) +
                    " %</title>\n<rect width=\"" + width + "\" height=\"" + height + "\" fill=\"#f3f4f6\"/>\n";
  for_each_cell_run(*this, head, grid, [&](std::int64_t row, std::int64_t begin, std::int64_t end, Coverage coverage) {
    svg += "<rect x=\"" + number(begin) + "\" y=\"" + number(row) + "\" width=\"" + number(end - begin) +
           "\" height=\"1\" fill=\"" + (coverage == Coverage::full ? "#1d4ed8" : "#93c5fd") + "\"/>\n";
  });
  return svg + "</svg>\n";
}

std::string Mask::to_text(std::int64_t head, std::int64_t cells, bool unicode) const {
  const Grid grid = grid_of("to_text", *this, head, cells);
  const std::string full = unicode ? "█" : "#";
  const std::string partial = unicode ? "▒" : "+";
  const std::string none = unicode ? "·" : ".";
  std::string text;
  std::int64_t line = -1;  // the row being written
  std::int64_t column = 0;
  const auto fill_to = [&](std::int64_t end, const std::string& with) {
    for (; column < end; ++column) text += with;
  };
  const auto go_to_row = [&](std::int64_t row) {
    while (line < row) {
      if (line >= 0) {
        fill_to(grid.columns, none);
        text += '\n';
      }
      column = 0;
      ++line;
    }
  };
  for_each_cell_run(*this, head, grid, [&](std::int64_t row, std::int64_t begin, std::int64_t end, Coverage coverage) {
    go_to_row(row);
    fill_to(begin, none);
    fill_to(end, coverage == Coverage::full ? full : partial);
  });
  go_to_row(grid.rows);
  return text + std::to_string(lengths().query) + " x " + std::to_string(lengths().key) + ", " +
         std::to_string(grid.cell) + " a cell, density " + percent(density()) + " %\n";
}

}  // namespace sparsert::attention
