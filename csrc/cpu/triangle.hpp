// The upper triangle of a plane of panels x panels, cut into square tiles and those into micro-tiles. The plane is that
// of the examples (gram) or of the stacked features (features).
#pragma once

#include <cstdint>
#include <vector>

#include "../integers.hpp"

namespace fastcka::cpu {

// First panels of a tile's rows and columns.
struct Tile {
  std::int64_t row, column;
};

// One call of Kernels::multiply: `rows` vectors from `row` on, against `panels` panels from `panel` on.
struct MicroTile {
  std::int64_t row;
  std::int64_t rows;
  std::int64_t panel;
  std::int64_t panels;
  std::int64_t offset;  // of its output among those of the tile
};

class Triangle {
 public:
  // `panels` along each side, `edge` along that of a tile.
  Triangle(std::int64_t panels, std::int64_t edge);

  std::int64_t count() const { return first_.back(); }

  // Tiles are numbered row by row.
  Tile tile(std::int64_t item) const;

  // Those that reach to or above the diagonal, column by column, without the panels of columns that are below it. At
  // the end of a tile, or where their last panel of columns is on the diagonal, they may have fewer whole panels of
  // rows.
  std::vector<MicroTile> micro_tiles(const Tile& tile, std::int64_t rows, std::int64_t lanes,
                                     std::int64_t most_panels) const;

  // One past the last panel of a tile that begins at `panel`.
  std::int64_t end(std::int64_t panel) const;

 private:
  std::int64_t panels_;
  std::int64_t edge_;
  std::vector<std::int64_t> first_;  // number of the first tile of each row of tiles; then the number of all
};

}  // namespace fastcka::cpu
