#include "gram.hpp"

#include <algorithm>

#include "loops/arranged.hpp"
#include "threads/ordered_sum.hpp"
#include "triangle.hpp"

namespace fastcka::cpu {
namespace {

// The operands of the next representation, handed out piece by piece while this one is multiplied: they come from the
// L3 cache or beyond, and waiting for them took a quarter of the products' time.
class Ahead {
 public:
  // Each side holds the panels [begin, end) of its operand.
  Ahead(const std::byte* rows, const std::byte* rows_end, const std::byte* columns, const std::byte* columns_end)
      : at_(rows), end_(rows_end), columns_(columns), columns_end_(columns_end) {}

  const std::byte* next(std::int64_t bytes) {
    if (at_ >= end_) {
      at_ = columns_;
      end_ = columns_end_;
    }
    const std::byte* piece = at_;
    at_ += bytes;
    return piece;
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
  const std::byte* columns_;
  const std::byte* columns_end_;
};

// Only pairs a < b count.
template <class T>
void clear_lower(const MicroTile& micro, std::int64_t rows, std::int64_t lanes, T* v) {
  const std::int64_t width = micro.panels * lanes;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t below = std::clamp<std::int64_t>(micro.row + r - micro.panel * lanes + 1, 0, width);
    std::fill_n(v + micro.offset + r * width, below, T{0});
  }
}

}  // namespace

std::int64_t gram_workspace_bytes(std::int64_t m, std::int64_t tile, const ProductShape& shape) {
  const std::int64_t arranged = shape.arranged ? Arranged::bytes(tile, gram_product_steps, shape) : 0;
  return m * tile * tile * shape.sum_bytes + arranged;
}

std::int64_t gram_sum_bytes(std::int64_t m) { return m * m * static_cast<std::int64_t>(sizeof(double)); }

template <class T>
std::vector<double> gram_sums(const Prepared& prepared, std::int64_t edge, const Kernels<T>& kernels, Pool& pool) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t lanes = kernels.lanes;
  const Triangle triangle(ceil_div(prepared.n, lanes), edge / lanes);
  const std::int64_t step_bytes = lanes * kernels.cell_bytes;
  const std::int64_t room = edge * edge;
  std::vector<Block<T>> buffers(to_size(pool.threads()));
  std::vector<Arranged> arranged(to_size(pool.threads()));
  OrderedSum sum(m, pool);

  pool.run(triangle.count(), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    partial.reset(0, m, 0, m);
    const Tile tile = triangle.tile(item);
    const std::vector<MicroTile> micros = triangle.micro_tiles(tile, kernels.rows, lanes, kernels.most_panels);
    Block<T>& v = buffers[to_size(worker)];
    if (!v) v = allocate<T>(m * room);

    Arranged& rows = arranged[to_size(worker)];

    for (std::int64_t i = 0; i < m; ++i) {
      pool.checkpoint(worker);
      const Entered<T> entered(kernels);
      const Centered& x = prepared.x[to_size(i)];
      T* out = v.get() + i * room;
      const Centered& following = prepared.x[to_size(std::min(i + 1, m - 1))];
      Ahead ahead(following.panel(tile.row, lanes), following.panel(triangle.end(tile.row), lanes),
                  following.panel(tile.column, lanes), following.panel(triangle.end(tile.column), lanes));
      for (std::int64_t k = 0; k < kernels.steps(x.d); k += gram_product_steps) {
        const std::int64_t steps = std::min(gram_product_steps, kernels.steps(x.d) - k);
        const std::int64_t before = k * step_bytes;
        rows.take(kernels, steps, tile.row, triangle.end(tile.row),
                  [&](std::int64_t panel) { return x.panel(panel, lanes) + before; });
        for (const MicroTile& micro : micros) {
          const void* columns[max_panels];
          for (std::int64_t p = 0; p < micro.panels; ++p) columns[p] = x.panel(micro.panel + p, lanes) + before;
          kernels.multiply(steps, rows.rows_from(kernels, micro.row), columns, micro.panels, out + micro.offset, k > 0,
                           ahead.next(steps * step_bytes));
        }
      }
      if (tile.row == tile.column) {
        for (const MicroTile& micro : micros) clear_lower(micro, kernels.rows, lanes, out);
      }
    }
    const MicroTile& last = micros.back();
    kernels.rank_update(m, last.offset + kernels.rows * last.panels * lanes, v.get(), room, partial.values.data());
    sum.commit(item, std::move(partial));
  });

  std::vector<double> s0 = sum.symmetric();
  for (double& value : s0) value *= 2;  // (a, b) counts for (b, a) too
  return s0;
}

template std::vector<double> gram_sums(const Prepared&, std::int64_t, const Kernels<float>&, Pool&);
template std::vector<double> gram_sums(const Prepared&, std::int64_t, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
