#include "gram.hpp"

#include <algorithm>

#include "ordered_sum.hpp"

namespace fastcka::cpu {
namespace {

// Depth of one product: a micro-tile's columns over it (3 panels of 64 bytes a step) stay in the L1 cache while the
// rows of the tile pass by, and no chain of float32 additions is longer.
constexpr std::int64_t depth_step = 128;

// One micro-tile of the Gram plane: rows [row, row + rows), `panels` panels of columns from `column`; its place in V.
struct Micro {
  std::int64_t row, column, panels, offset;
};

struct Tile {
  std::int64_t row, column;
};

// The micro-tiles of a tile that reach above the diagonal, column by column. V needs no order of its own: every
// representation stores the same pairs of examples in the same places.
std::vector<Micro> micro_tiles(const Tile& tile, std::int64_t edge, std::int64_t padded, std::int64_t rows,
                               std::int64_t lanes, std::int64_t most_panels) {
  std::vector<Micro> micros;
  std::int64_t offset = 0;
  const std::int64_t last_column = std::min(tile.column + edge, padded);
  const std::int64_t last_row = std::min(tile.row + edge, padded);
  for (std::int64_t column = tile.column; column < last_column; column += most_panels * lanes) {
    const std::int64_t panels = std::min(most_panels, (last_column - column) / lanes);
    for (std::int64_t row = tile.row; row < last_row && row < column + panels * lanes - 1; row += rows) {
      micros.push_back({row, column, panels, offset});
      offset += rows * panels * lanes;
    }
  }
  return micros;
}

// The operands of the next representation, handed out piece by piece while this one is multiplied: they come from the
// L3 cache or beyond, and waiting for them took a quarter of the products' time.
template <class T>
class Ahead {
 public:
  Ahead(const Centered<T>& x, const Tile& tile, std::int64_t edge, std::int64_t padded)
      : at_(x.data + tile.row * x.pitch),
        end_(x.data + std::min(tile.row + edge, padded) * x.pitch),
        columns_(x.data + tile.column * x.pitch),
        columns_end_(x.data + std::min(tile.column + edge, padded) * x.pitch) {}

  const T* next(std::int64_t count) {
    if (at_ >= end_) {
      at_ = columns_;
      end_ = columns_end_;
    }
    const T* piece = at_;
    at_ += count;
    return piece;
  }

 private:
  const T* at_;
  const T* end_;
  const T* columns_;
  const T* columns_end_;
};

// Only pairs a < b count.
template <class T>
void clear_lower(const Micro& micro, std::int64_t rows, std::int64_t lanes, T* v) {
  const std::int64_t width = micro.panels * lanes;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t below = std::clamp<std::int64_t>(micro.row + r - micro.column + 1, 0, width);
    std::fill_n(v + micro.offset + r * width, below, T{0});
  }
}

}  // namespace

template <class T>
std::vector<double> gram_sums(const Prepared<T>& prepared, std::int64_t edge, const Products<T>& products, Pool& pool) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t lanes = products.lanes;
  const std::int64_t padded = (prepared.n + lanes - 1) / lanes * lanes;
  std::vector<Tile> tiles;
  for (std::int64_t row = 0; row < padded; row += edge) {
    for (std::int64_t column = row; column < padded; column += edge) tiles.push_back({row, column});
  }
  const std::int64_t room = edge * edge;
  std::vector<Block<T>> buffers(static_cast<std::size_t>(pool.threads()));
  OrderedSum sum(m, pool);

  pool.run(static_cast<std::int64_t>(tiles.size()), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    partial.reset(0, m, 0, m);
    const Tile& tile = tiles[static_cast<std::size_t>(item)];
    const std::vector<Micro> micros = micro_tiles(tile, edge, padded, products.rows, lanes, products.panels);
    Block<T>& v = buffers[static_cast<std::size_t>(worker)];
    if (!v) v = allocate<T>(m * room);

    for (std::int64_t i = 0; i < m; ++i) {
      pool.checkpoint(worker);
      const Centered<T>& x = prepared.x[static_cast<std::size_t>(i)];
      T* out = v.get() + i * room;
      Ahead<T> ahead(prepared.x[static_cast<std::size_t>(std::min(i + 1, m - 1))], tile, edge, padded);
      for (std::int64_t k = 0; k < x.d; k += depth_step) {
        const std::int64_t depth = std::min(depth_step, x.d - k);
        for (const Micro& micro : micros) {
          const T* columns[4];
          for (std::int64_t p = 0; p < micro.panels; ++p) {
            columns[p] = x.data + (micro.column + p * lanes) * x.pitch + k * lanes;
          }
          const T* rows = x.data + micro.row / lanes * lanes * x.pitch + k * lanes + micro.row % lanes;
          products.multiply(depth, rows, columns, micro.panels, out + micro.offset, k > 0, ahead.next(depth * lanes));
        }
      }
      if (tile.row == tile.column) {
        for (const Micro& micro : micros) clear_lower(micro, products.rows, lanes, out);
      }
    }
    if (!micros.empty()) {
      const Micro& last = micros.back();
      const std::int64_t length = last.offset + products.rows * last.panels * lanes;
      products.rank_update(m, length, v.get(), room, partial.values.data());
    }
    sum.commit(item, std::move(partial));
  });

  std::vector<double> s0 = sum.take();
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = i; j < m; ++j) {
      const double both_orders = 2 * s0[static_cast<std::size_t>(i * m + j)];
      s0[static_cast<std::size_t>(i * m + j)] = s0[static_cast<std::size_t>(j * m + i)] = both_orders;
    }
  }
  return s0;
}

template std::vector<double> gram_sums(const Prepared<float>&, std::int64_t, const Products<float>&, Pool&);
template std::vector<double> gram_sums(const Prepared<double>&, std::int64_t, const Products<double>&, Pool&);

}  // namespace fastcka::cpu
