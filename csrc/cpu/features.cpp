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

// The same for a subset: added to the matrix (rows of `partial` x its columns), each sum followed by its rest.
void add_squares_of_subset(const MicroTile& micro, const std::vector<Panel>& panels, std::int64_t lanes,
                           const double* c, const Partial& partial, double* matrix) {
  constexpr std::int64_t width = 4;  // chains of additions
  for (std::int64_t r = 0; r < micro.rows; ++r) {
    const std::int64_t i = panels[to_size((micro.row + r) / lanes)].representation;
    for (std::int64_t p = 0; p < micro.panels; ++p, c += lanes) {
      const std::int64_t j = panels[to_size(micro.panel + p)].representation;
      const std::int64_t diagonal = micro.row + r - (micro.panel + p) * lanes;
      double squares = 0;
      if (diagonal < 0 && lanes % width == 0) {
        double chains[width] = {};
        for (std::int64_t lane = 0; lane < lanes; lane += width) {
          for (std::int64_t chain = 0; chain < width; ++chain) chains[chain] += c[lane + chain] * c[lane + chain];
        }
        squares = (chains[0] + chains[1]) + (chains[2] + chains[3]);
      } else {
        for (std::int64_t lane = std::max<std::int64_t>(diagonal + 1, 0); lane < lanes; ++lane) {
          squares += c[lane] * c[lane];
        }
      }
      if (i == j) {
        squares *= 2;
        if (diagonal >= 0 && diagonal < lanes) squares += c[diagonal] * c[diagonal];
      }
      double* entry = matrix + 2 * ((i - partial.i0) * (partial.j1 - partial.j0) + j - partial.j0);
      Twofold sum{entry[0], entry[1]};
      sum.add(squares);
      entry[0] = sum.value;
      entry[1] = sum.rest;
    }
  }
}

// The sums of each fold, the number of folds times `room`, are followed by room for those of all, which are filled in,
// and of one subset. Puts the squares of each subset into partial.blocks.
template <class T>
void square_subsets(const Folds& folds, const std::vector<MicroTile>& micros, const std::vector<Panel>& panels,
                    const Kernels<T>& kernels, const Kernels<double>& float64, std::int64_t room, double* sums,
                    Partial& partial) {
  const MicroTile& last = micros.back();
  const std::int64_t length = last.offset + last.rows * last.panels * kernels.lanes;
  double* all = sums + folds.count * room;
  double* some = all + room;
  std::fill_n(all, length, 0.0);
  for (std::int64_t fold = 0; fold < folds.count; ++fold) float64.add(length, sums + fold * room, all);
  const std::size_t entries = partial.values.size();
  partial.blocks.assign(2 * to_size(folds.count) * entries, 0.0);
  std::fill_n(some, length, 0.0);
  for (std::int64_t subset = 0; subset < folds.count; ++subset) {
    const double* fold = sums + subset * room;
    if (folds.nested) {
      float64.add(length, fold, some);
    } else {
      for (std::int64_t entry = 0; entry < length; ++entry) some[entry] = all[entry] - fold[entry];
    }
    for (const MicroTile& micro : micros) {
      add_squares_of_subset(micro, panels, kernels.lanes, some + micro.offset, partial,
                            &partial.blocks[2 * to_size(subset) * entries]);
    }
  }
}

}  // namespace

std::int64_t feature_workspace_bytes(std::int64_t tile, std::int64_t chunk, std::int64_t subsets,
                                     const ProductShape& shape) {
  const std::int64_t buffers = subsets > 0 ? subsets + 2 : 1;  // of each fold, of all, and of one subset
  const std::int64_t sums = buffers * tile * tile * static_cast<std::int64_t>(sizeof(double));
  return sums + shape.rows * shape.step * shape.sum_bytes + Arranged::bytes(tile, shape.steps(chunk), shape);
}

// Sums of squares come with what rounding took from them.
std::int64_t feature_sum_bytes(std::int64_t m, std::int64_t subsets) {
  return m * m * (1 + subsets) * static_cast<std::int64_t>(sizeof(Twofold));
}

template <class T>
S0 feature_sums(const Prepared& prepared, std::int64_t tile_edge, const Kernels<T>& kernels,
                const Kernels<double>& float64, Pool& pool) {
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
  const Folds& folds = prepared.folds;
  const std::int64_t parts = std::max<std::int64_t>(folds.count, 1);
  const std::int64_t room = tile_edge * tile_edge;
  std::vector<Twofold> subset_sums(to_size(folds.count * m * m));
  OrderedSum sum(m, pool, [&](std::int64_t, const Partial& partial) {
    const double* from = partial.blocks.data();
    for (std::int64_t subset = 0; subset < folds.count; ++subset) {
      for (std::int64_t i = partial.i0; i < partial.i1; ++i) {
        for (std::int64_t j = partial.j0; j < partial.j1; ++j, from += 2) {
          subset_sums[to_size((subset * m + i) * m + j)].add(Twofold{from[0], from[1]});
        }
      }
    }
  });

  pool.run(triangle.count(), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    const Tile tile = triangle.tile(item);
    const auto owner = [&](std::int64_t panel) { return panels[to_size(panel)].representation; };
    partial.reset(owner(tile.row), owner(triangle.end(tile.row) - 1) + 1, owner(tile.column),
                  owner(triangle.end(tile.column) - 1) + 1);
    const std::vector<MicroTile> micros = triangle.micro_tiles(tile, kernels.rows, lanes, kernels.most_panels);
    Block<double>& sums = buffers[to_size(worker)];
    Block<T>& c = product_buffers[to_size(worker)];
    auto& [rows, columns] = operands[to_size(worker)];
    if (!sums) sums = allocate<double>((folds.count > 0 ? parts + 2 : 1) * room);
    if (!c) c = allocate<T>(kernels.rows * kernels.most_panels * lanes);
    std::fill_n(sums.get(), parts * room, 0.0);

    for (std::int64_t begin = 0; begin < n; begin += chunk) {
      pool.checkpoint(worker);
      const Entered<T> entered(kernels);
      const std::int64_t depth = kernels.steps(std::min(chunk, n - begin));
      for (const Segment& segment : folds.segments(begin, begin + std::min(chunk, n - begin))) {
        const std::int64_t first = (segment.begin - begin) / kernels.values;
        const std::int64_t steps = kernels.steps(segment.end - segment.begin);
        const auto operand = [&](std::int64_t panel) {
          const Panel& place = panels[to_size(panel)];
          const Centered& x = prepared.x[to_size(place.representation)];
          return x.data + begin * x.pitch + (place.index * depth + first) * step_bytes;
        };
        rows.take(kernels, kernels.arrange_rows, steps, tile.row, triangle.end(tile.row), operand);
        columns.take(kernels, kernels.arrange_columns, steps, tile.column, triangle.end(tile.column), operand);
        for (const MicroTile& micro : micros) {
          const std::byte* ahead = operand(micro.row / lanes);
          const void* left[max_row_panels];
          const void* right[max_panels];
          for (std::int64_t step = 0; step < steps; step += feature_product_steps) {
            const std::int64_t before = step * kernels.operand_bytes();
            rows.rows(kernels, micro, before, left);
            columns.panels(micro.panel, micro.panels, before, right);
            kernels.multiply_symmetric(std::min(feature_product_steps, steps - step), left, micro.rows, right,
                                       micro.panels, c.get(), step > 0,
                                       ahead + (step + feature_product_steps) * step_bytes);
          }
          kernels.add(micro.rows * micro.panels * lanes, c.get(), sums.get() + segment.fold * room + micro.offset);
        }
      }
    }
    const double* whole = sums.get();
    if (folds.count > 0) {
      whole = sums.get() + parts * room;
      square_subsets(folds, micros, panels, kernels, float64, room, sums.get(), partial);
    }
    for (const MicroTile& micro : micros) {
      add_squares(micro, panels, lanes, whole + micro.offset, partial);
    }
    sum.commit(item, std::move(partial));
  });

  std::vector<double> subsets;
  for (const Twofold& each : subset_sums) subsets.push_back(each.value + each.rest);
  mirror(folds.count, m, subsets);
  return {sum.symmetric(), std::move(subsets)};
}

template S0 feature_sums(const Prepared&, std::int64_t, const Kernels<float>&, const Kernels<double>&, Pool&);
template S0 feature_sums(const Prepared&, std::int64_t, const Kernels<double>&, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
