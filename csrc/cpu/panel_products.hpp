// One representation as panels of examples or of features, and the inner products of all pairs of their vectors.
#pragma once

#include <algorithm>
#include <vector>

#include "gram.hpp"
#include "loops/arranged.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"
#include "triangle.hpp"
#include "unpack.hpp"

namespace fastcka::cpu {

// Examples that are unpacked at once; a multiple of all lanes and of pairs.
inline constexpr std::int64_t rows_at_once = 64;

template <class T>
std::int64_t edge_of(const Kernels<T>& kernels) {
  return 2 * kernels.lanes * kernels.most_panels;
}

// Vectors in contiguous panels of `depth` values.
struct Panels {
  Block<std::byte> data;
  std::int64_t vectors;
  std::int64_t depth;

  template <class T>
  static Panels empty(std::int64_t vectors, std::int64_t depth, const Kernels<T>& kernels) {
    const std::int64_t bytes = ceil_div(vectors, kernels.lanes) * panel_bytes(depth, kernels);
    return {allocate<std::byte>(bytes), vectors, depth};
  }
  template <class T>
  static std::int64_t panel_bytes(std::int64_t depth, const Kernels<T>& kernels) {
    return kernels.steps(depth) * kernels.lanes * kernels.cell_bytes;
  }
};

// The rows [begin, begin + count) of a representation; far examples zero or not.
template <class T, class Out>
void rows_of(const Prepared& prepared, std::int64_t i, std::int64_t begin, std::int64_t count, bool without_far,
             const Kernels<T>& kernels, Out* rows) {
  const Centered& x = prepared.x[to_size(i)];
  unpack(x, prepared.format, prepared.n, {begin, begin + count}, {0, x.d}, kernels, rows);
  set_far(prepared.far, i, without_far, begin, count, x.d, rows);
}

inline std::int64_t block_of(const Prepared& prepared) {
  return prepared.format.route == Route::features ? prepared.format.chunk : rows_at_once;
}

// body(block, first example, examples) for blocks of examples.
template <class Body>
void for_each_block(const Prepared& prepared, Pool& pool, const Body& body) {
  const std::int64_t block = block_of(prepared);
  pool.run(ceil_div(prepared.n, block), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    body(item, item * block, std::min(block, prepared.n - item * block));
  });
}

// Features of the near examples. `kernels` are those of the copy, `out` those of the panels.
template <class T, class U>
Panels feature_panels(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, const Kernels<U>& out,
                      Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const std::int64_t n = prepared.n;
  const std::int64_t lanes = out.lanes;
  Panels panels = Panels::empty(d, n, out);
  for_each_block(prepared, pool, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
    const Block<U> rows = allocate<U>(count * d);
    const Block<U> part = allocate<U>(count * lanes);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    for (std::int64_t column = 0; column < d; column += lanes) {
      const std::int64_t width = std::min(lanes, d - column);
      for (std::int64_t row = 0; row < count; ++row) {
        std::copy_n(rows.get() + row * d + column, width, part.get() + row * width);
      }
      out.feature_panels(
          part.get(), count, width,
          panels.data.get() + column / lanes * Panels::panel_bytes(n, out) + out.steps(begin) * lanes * out.cell_bytes);
    }
  });
  return panels;
}

template <class T>
Panels example_panels(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const std::int64_t n = prepared.n;
  const std::int64_t lanes = kernels.lanes;
  Panels panels = Panels::empty(n, d, kernels);
  const std::int64_t block = round_up(block_of(prepared), lanes);
  pool.run(ceil_div(n, block), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const std::int64_t begin = item * block;
    const std::int64_t count = std::min(block, n - begin);
    const Block<T> rows = allocate<T>(count * d);
    rows_of(prepared, i, begin, count, false, kernels, rows.get());
    for (std::int64_t row = 0; row < count; row += lanes) {
      kernels.example_panel(rows.get() + row * d, std::min(lanes, count - row), d,
                            panels.data.get() + (begin + row) / lanes * Panels::panel_bytes(d, kernels));
    }
  });
  return panels;
}

// body(item, micro-tiles, products) for each tile of the upper triangle of the vectors' inner products.
template <class T, class Body>
void multiply_triangle(const Panels& panels, const Kernels<T>& kernels, Pool& pool, const Body& body) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t edge = edge_of(kernels);
  const std::int64_t step_bytes = lanes * kernels.cell_bytes;
  const std::int64_t panel_bytes = Panels::panel_bytes(panels.depth, kernels);
  const Triangle triangle(ceil_div(panels.vectors, lanes), edge / lanes);
  std::vector<Block<T>> buffers(to_size(pool.threads()));
  std::vector<Operands> operands(to_size(pool.threads()));
  pool.run(triangle.count(), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const Tile tile = triangle.tile(item);
    const std::vector<MicroTile> micros = triangle.micro_tiles(tile, kernels.rows, lanes, kernels.most_panels);
    Block<T>& out = buffers[to_size(worker)];
    if (!out) out = allocate<T>(edge * edge);
    {
      const Entered<T> entered(kernels);
      auto& [rows, columns] = operands[to_size(worker)];
      const std::int64_t depth = kernels.steps(panels.depth);
      for (std::int64_t k = 0; k < depth; k += gram_product_steps) {
        const std::int64_t steps = std::min(gram_product_steps, depth - k);
        const auto first_step = [&](std::int64_t panel) {
          return panels.data.get() + panel * panel_bytes + k * step_bytes;
        };
        rows.take(kernels, kernels.arrange_rows, steps, tile.row, triangle.end(tile.row), first_step);
        columns.take(kernels, kernels.arrange_columns, steps, tile.column, triangle.end(tile.column), first_step);
        for (const MicroTile& micro : micros) {
          const void* left[max_row_panels];
          const void* right[max_panels];
          rows.rows(kernels, micro, 0, left);
          columns.panels(micro.panel, micro.panels, 0, right);
          kernels.multiply(steps, left, micro.rows, right, micro.panels, out.get() + micro.offset, k > 0, left[0]);
        }
      }
    }
    body(item, micros, out.get());
  });
}

inline std::int64_t tiles_of(std::int64_t vectors, std::int64_t lanes, std::int64_t edge) {
  return Triangle(ceil_div(vectors, lanes), edge / lanes).count();
}

// f(row, column, value) for the entries of micro-tiles on and above the diagonal, within `size`.
template <class T, class F>
void for_each_entry(const std::vector<MicroTile>& micros, std::int64_t size, const Kernels<T>& kernels, const T* v,
                    const F& f) {
  for (const MicroTile& micro : micros) {
    const std::int64_t width = micro.panels * kernels.lanes;
    const std::int64_t first = micro.panel * kernels.lanes;
    for (std::int64_t r = 0; r < micro.rows && micro.row + r < size; ++r) {
      const std::int64_t row = micro.row + r;
      const std::int64_t end = std::min(width, size - first);
      for (std::int64_t c = std::max<std::int64_t>(row - first, 0); c < end; ++c) {
        f(row, first + c, v[micro.offset + r * width + c]);
      }
    }
  }
}

}  // namespace fastcka::cpu
