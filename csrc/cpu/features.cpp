#include "features.hpp"

#include <algorithm>

#include "loops/arranged.hpp"
#include "threads/ordered_sum.hpp"
#include "triangle.hpp"

namespace fastcka::cpu {
namespace {

// A panel of the stacked features [X_1 | ... | X_M]: no panel holds features of two representations.
struct Panel {
  std::int64_t representation;
  std::int64_t index;  // within its representation
};

// Eight columns next to each other, added up side by side.
typedef double Eight __attribute__((vector_size(64)));

// Squares of `rows` rows of `lanes` values at a distance of `pitch`.
Twofold sum_of_squares(std::int64_t rows, std::int64_t lanes, const double* c, std::int64_t pitch) {
  Eight value{};
  Eight rest{};
  for (std::int64_t r = 0; r < rows; ++r, c += pitch) {
    for (std::int64_t lane = 0; lane < lanes; lane += 8) {
      Eight x;
      __builtin_memcpy(&x, c + lane, sizeof x);
      x *= x;
      const Eight sum = value + x;  // as Twofold::add
      const Eight of_x = sum - value;
      rest += (value - (sum - of_x)) + (x - of_x);
      value = sum;
    }
  }
  Twofold squares;
  for (int lane = 0; lane < 8; ++lane) squares.add(Twofold{value[lane], rest[lane]});
  return squares;
}

// Squares of one micro-tile's sums, added to the blocks of its representations. Below the diagonal nothing counts;
// above it, within one representation, an entry counts for itself and its mirror image. A micro-tile has rows of one
// panel, or of whole panels.
void add_squares(const MicroTile& micro, const std::vector<Panel>& panels, std::int64_t lanes, const double* c,
                 Partial& partial) {
  const std::int64_t pitch = micro.panels * lanes;
  std::int64_t rows = std::min(micro.rows, lanes);
  for (std::int64_t r = 0; r < micro.rows; r += rows) {
    const std::int64_t i = panels[to_size((micro.row + r) / lanes)].representation;
    for (std::int64_t p = 0; p < micro.panels; ++p) {
      const std::int64_t j = panels[to_size(micro.panel + p)].representation;
      const double* block = c + r * pitch + p * lanes;
      const std::int64_t diagonal =
          micro.row + r - (micro.panel + p) * lanes;  // lane on the diagonal, of the first row
      Twofold squares;
      if (diagonal < 0) {
        squares = sum_of_squares(rows, lanes, block, pitch);
        if (i == j) squares = {2 * squares.value, 2 * squares.rest};
      } else {
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::int64_t lane = diagonal + row; lane < lanes; ++lane) {
            const double square = block[row * pitch + lane] * block[row * pitch + lane];
            squares.add(lane == diagonal + row || i != j ? square : 2 * square);
          }
        }
      }
      partial.add(i, j, squares);
    }
  }
}

}  // namespace

std::int64_t feature_workspace_bytes(std::int64_t tile, std::int64_t chunk, const ProductShape& shape) {
  const std::int64_t sums = tile * tile * static_cast<std::int64_t>(sizeof(double));
  return sums + shape.rows * shape.step * shape.sum_bytes + Arranged::bytes(tile, shape.steps(chunk), shape);
}

// Sums of squares come with what rounding took from them.
std::int64_t feature_sum_bytes(std::int64_t m) { return m * m * static_cast<std::int64_t>(sizeof(Twofold)); }

template <class T>
std::vector<double> feature_sums(const Prepared& prepared, std::int64_t tile_edge, const Kernels<T>& kernels,
                                 Pool& pool) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t n = prepared.n;
  const std::int64_t chunk = prepared.format.chunk;
  const std::int64_t lanes = kernels.lanes;
  std::vector<Panel> panels;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t q = 0; q * lanes < prepared.x[to_size(i)].d; ++q) panels.push_back({i, q});
  }
  const auto total = static_cast<std::int64_t>(panels.size());
  const Triangle triangle(total, tile_edge / lanes);
  std::vector<Block<double>> buffers(to_size(pool.threads()));
  std::vector<Block<T>> product_buffers(to_size(pool.threads()));
  std::vector<Operands> operands(to_size(pool.threads()));
  const std::int64_t step_bytes = lanes * kernels.cell_bytes;
  OrderedSum sum(m, pool);

  pool.run(triangle.count(), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    const Tile tile = triangle.tile(item);
    const auto owner = [&](std::int64_t panel) { return panels[to_size(panel)].representation; };
    partial.reset(owner(tile.row), owner(triangle.end(tile.row) - 1) + 1, owner(tile.column),
                  owner(triangle.end(tile.column) - 1) + 1);
    const std::vector<MicroTile> micros = triangle.micro_tiles(tile, kernels.rows, lanes, kernels.most_panels);
    const std::int64_t room = kernels.rows * kernels.most_panels * lanes;
    Block<double>& sums = buffers[to_size(worker)];
    Block<T>& c = product_buffers[to_size(worker)];
    auto& [rows, columns] = operands[to_size(worker)];
    if (!sums) sums = allocate<double>(tile_edge * tile_edge);
    if (!c) c = allocate<T>(room);
    std::fill_n(sums.get(), tile_edge * tile_edge, 0.0);

    for (std::int64_t begin = 0; begin < n; begin += chunk) {
      pool.checkpoint(worker);
      const Entered<T> entered(kernels);
      const std::int64_t depth = kernels.steps(std::min(chunk, n - begin));
      const auto operand = [&](std::int64_t panel) {
        const Panel& place = panels[to_size(panel)];
        const Centered& x = prepared.x[to_size(place.representation)];
        return x.data + begin * x.pitch + place.index * depth * step_bytes;
      };
      rows.take(kernels, kernels.arrange_rows, depth, tile.row, triangle.end(tile.row), operand);
      columns.take(kernels, kernels.arrange_columns, depth, tile.column, triangle.end(tile.column), operand);
      for (const MicroTile& micro : micros) {
        const std::byte* ahead = operand(micro.row / lanes);
        const void* left[max_row_panels];
        const void* right[max_panels];
        for (std::int64_t step = 0; step < depth; step += feature_product_steps) {
          const std::int64_t before = step * kernels.operand_bytes();
          rows.rows(kernels, micro, before, left);
          columns.panels(micro.panel, micro.panels, before, right);
          kernels.multiply_symmetric(std::min(feature_product_steps, depth - step), left, micro.rows, right,
                                     micro.panels, c.get(), step > 0,
                                     ahead + (step + feature_product_steps) * step_bytes);
        }
        kernels.add(micro.rows * micro.panels * lanes, c.get(), sums.get() + micro.offset);
      }
    }
    for (const MicroTile& micro : micros) {
      add_squares(micro, panels, lanes, sums.get() + micro.offset, partial);
    }
    sum.commit(item, std::move(partial));
  });

  return sum.symmetric();
}

template std::vector<double> feature_sums(const Prepared&, std::int64_t, const Kernels<float>&, Pool&);
template std::vector<double> feature_sums(const Prepared&, std::int64_t, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
