#include "triangle.hpp"

#include <algorithm>

namespace fastcka::cpu {

Triangle::Triangle(std::int64_t panels, std::int64_t edge) : panels_(panels), edge_(edge), first_{0} {
  const std::int64_t side = ceil_div(panels, edge);
  for (std::int64_t row = 0; row < side; ++row) first_.push_back(first_.back() + side - row);
}

Tile Triangle::tile(std::int64_t item) const {
  const std::int64_t row = std::upper_bound(first_.begin(), first_.end(), item) - first_.begin() - 1;
  return {row * edge_, (row + item - first_[to_size(row)]) * edge_};
}

std::int64_t Triangle::end(std::int64_t panel) const { return std::min(panel + edge_, panels_); }

std::vector<MicroTile> Triangle::micro_tiles(const Tile& tile, std::int64_t rows, std::int64_t lanes,
                                             std::int64_t most_panels) const {
  std::vector<MicroTile> micros;
  std::int64_t offset = 0;
  for (std::int64_t panel = tile.column; panel < end(tile.column); panel += most_panels) {
    const std::int64_t panels = std::min(most_panels, end(tile.column) - panel);
    const std::int64_t end_row = std::min(end(tile.row), panel + panels) * lanes;
    for (std::int64_t row = tile.row * lanes; row < end_row; row += rows) {
      const std::int64_t row_count = std::min(rows, end_row - row);
      const std::int64_t first = std::max(panel, row / lanes);  // those before it are below the diagonal
      const std::int64_t rest = panel + panels - first;
      micros.push_back({row, row_count, first, rest, offset});
      offset += row_count * rest * lanes;
    }
  }
  return micros;
}

}  // namespace fastcka::cpu
