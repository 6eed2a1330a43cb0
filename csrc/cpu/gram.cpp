#include "gram.hpp"

#include <algorithm>
#include <optional>

#include "fold_pairs.hpp"
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
void clear_lower(const MicroTile& micro, std::int64_t lanes, T* v) {
  const std::int64_t width = micro.panels * lanes;
  for (std::int64_t r = 0; r < micro.rows; ++r) {
    const std::int64_t below = std::clamp<std::int64_t>(micro.row + r - micro.panel * lanes + 1, 0, width);
    std::fill_n(v + micro.offset + r * width, below, T{0});
  }
}

// From the tile of one representation to that of the next, in values. The tiles of all would otherwise begin a multiple
// of 4 KiB apart and share few places of the L1 cache, and the rank update would take a tenth more.
std::int64_t room_of(std::int64_t edge) {
  constexpr std::int64_t apart = 208;  // whole cache lines
  return edge * edge + apart;
}

// The tiles of all representations, multiplied and added up.
template <class T>
class Gram {
 public:
  Gram(const Prepared& prepared, std::int64_t edge, const Kernels<T>& kernels, Pool& pool)
      : prepared_(prepared),
        kernels_(kernels),
        triangle_(ceil_div(prepared.n, kernels.lanes), edge / kernels.lanes),
        room_(room_of(edge)),
        operands_(to_size(pool.threads())),
        gathered_(to_size(pool.threads())),
        pairs_(prepared.folds, count()),
        sum_(count(), pool, [this](std::int64_t item, const Partial& partial) {
          const Tile tile = triangle_.tile(item);
          pairs_.add(segments(tile.row), segments(tile.column), 1, partial.blocks.data());
        }) {}

  std::int64_t tiles() const { return triangle_.count(); }

  std::vector<MicroTile> micro_tiles(std::int64_t item) const {
    return triangle_.micro_tiles(triangle_.tile(item), kernels_.rows, kernels_.lanes, kernels_.most_panels);
  }

  // The tile of a representation, while the operands of the next product are fetched.
  void multiply(std::int64_t item, const std::vector<MicroTile>& micros, std::int64_t i, std::int64_t next_item,
                std::int64_t next_i, int worker, T* out) {
    const std::int64_t lanes = kernels_.lanes;
    const std::int64_t step_bytes = lanes * kernels_.cell_bytes;
    const Tile tile = triangle_.tile(item);
    const Entered<T> entered(kernels_);
    const Centered& x = prepared_.x[to_size(i)];
    Ahead ahead = panels_of(triangle_.tile(next_item), prepared_.x[to_size(next_i)]);
    auto& [rows, columns] = operands_[to_size(worker)];
    for (std::int64_t k = 0; k < kernels_.steps(x.d); k += gram_product_steps) {
      const std::int64_t steps = std::min(gram_product_steps, kernels_.steps(x.d) - k);
      const std::int64_t before = k * step_bytes;
      const auto first_step = [&](std::int64_t panel) { return x.panel(panel, lanes) + before; };
      rows.take(kernels_, kernels_.arrange_rows, steps, tile.row, triangle_.end(tile.row), first_step);
      columns.take(kernels_, kernels_.arrange_columns, steps, tile.column, triangle_.end(tile.column), first_step);
      for (const MicroTile& micro : micros) {
        const void* left[max_row_panels];
        const void* right[max_panels];
        rows.rows(kernels_, micro, 0, left);
        columns.panels(micro.panel, micro.panels, 0, right);
        kernels_.multiply(steps, left, micro.rows, right, micro.panels, out + micro.offset, k > 0,
                          ahead.next(steps * step_bytes));
      }
    }
    if (tile.row == tile.column) {
      for (const MicroTile& micro : micros) clear_lower(micro, lanes, out);
    }
  }

  Partial acquire(std::int64_t item, int worker) { return sum_.acquire(item, worker); }

  // v: the tile of all representations.
  void add(std::int64_t item, const std::vector<MicroTile>& micros, int worker, const T* v, Partial partial) {
    partial.reset(0, count(), 0, count());
    const MicroTile& last = micros.back();
    if (prepared_.folds.count > 0) {
      const Tile tile = triangle_.tile(item);
      sum_blocks(micros, segments(tile.row), segments(tile.column), count(), v, room_, kernels_,
                 gathered_[to_size(worker)], partial);
      sum_.commit(item, std::move(partial));
      return;
    }
    kernels_.rank_update(count(), last.offset + last.rows * last.panels * kernels_.lanes, v, room_,
                         partial.values.data());
    sum_.commit(item, std::move(partial));
  }

  std::vector<double> s0() const {
    std::vector<double> s0 = sum_.symmetric();
    for (double& value : s0) value *= 2;  // (a, b) counts for (b, a) too
    return s0;
  }

  std::vector<double> subset_s0() const { return pairs_.subset_sums(2); }

 private:
  // Of the examples in the tiles that begin at a panel.
  std::vector<Segment> segments(std::int64_t panel) const {
    return prepared_.folds.segments(panel * kernels_.lanes, triangle_.end(panel) * kernels_.lanes);
  }

  std::int64_t count() const { return static_cast<std::int64_t>(prepared_.x.size()); }

  Ahead panels_of(const Tile& tile, const Centered& x) const {
    const auto address = [&](std::int64_t panel) { return x.panel(panel, kernels_.lanes); };
    return {address(tile.row), address(triangle_.end(tile.row)), address(tile.column),
            address(triangle_.end(tile.column))};
  }

  const Prepared& prepared_;
  const Kernels<T>& kernels_;
  const Triangle triangle_;
  const std::int64_t room_;
  std::vector<Operands> operands_;
  std::vector<Block<T>> gathered_;  // of each thread
  FoldPairs pairs_;
  OrderedSum sum_;
};

// The third moments of all tiles, added in the order of the tiles at the end.
class Entries {
 public:
  Entries(ThirdMoments& third, std::int64_t tiles, std::int64_t m) : third_(third), m_(m), sums_(to_size(tiles * m)) {}

  template <class T>
  void take(std::int64_t item, const std::vector<MicroTile>& micros, const T* v, std::int64_t room,
            const Kernels<T>& kernels) {
    for (std::int64_t i = 0; i < m_; ++i) {
      if (!third_.needs_tiles(i)) continue;
      sums_[to_size(item * m_ + i)] = third_.of_tile(i, micros, v + i * room, kernels);
    }
  }

  void finish() const {
    for (std::size_t entry = 0; entry < sums_.size(); ++entry) {
      third_.add(static_cast<std::int64_t>(entry) % m_, sums_[entry]);
    }
  }

 private:
  ThirdMoments& third_;
  std::int64_t m_;
  std::vector<EntrySums> sums_;
};

// A tile at a time for all representations.
template <class T>
void sum_tiles(Gram<T>& gram, std::int64_t m, std::int64_t room, const Kernels<T>& kernels, Pool& pool,
               Entries* entries) {
  std::vector<Block<T>> buffers(to_size(pool.threads()));
  pool.run(gram.tiles(), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = gram.acquire(item, worker);
    Block<T>& v = buffers[to_size(worker)];
    if (!v) v = allocate<T>(m * room);
    const std::vector<MicroTile> micros = gram.micro_tiles(item);
    for (std::int64_t i = 0; i < m; ++i) {
      pool.checkpoint(worker);
      gram.multiply(item, micros, i, item, std::min(i + 1, m - 1), worker, v.get() + i * room);
    }
    if (entries != nullptr) entries->take(item, micros, v.get(), room, kernels);
    gram.add(item, micros, worker, v.get(), std::move(partial));
  });
}

// All tiles for a batch of representations at a time.
template <class T>
void sum_batches(Gram<T>& gram, const std::vector<View>& views, std::int64_t room, const Kernels<T>& kernels,
                 Pool& pool, Prepared& prepared, const Centred& centred, Entries* entries) {
  const auto m = static_cast<std::int64_t>(views.size());
  const std::int64_t tiles = gram.tiles();
  const std::int64_t total = (m + 1) * tiles;
  const Block<T> v = allocate<T>(tiles * m * room);
  for (std::int64_t begin = 0; begin < m; begin += prepared.batch) {
    const std::int64_t end = std::min(begin + prepared.batch, m);
    center(views, {begin, end}, kernels, pool, prepared);
    centred({begin, end});
    pool.run_part((end - begin) * tiles, begin * tiles, total, [&](std::int64_t item, int worker) {
      const std::int64_t i = begin + item / tiles;
      const std::int64_t tile = item % tiles;
      gram.multiply(tile, gram.micro_tiles(tile), i, std::min(tile + 1, tiles - 1), i, worker,
                    v.get() + (tile * m + i) * room);
    });
  }
  pool.run_part(tiles, m * tiles, total, [&](std::int64_t item, int worker) {
    const std::vector<MicroTile> micros = gram.micro_tiles(item);
    if (entries != nullptr) entries->take(item, micros, v.get() + item * m * room, room, kernels);
    gram.add(item, micros, worker, v.get() + item * m * room, gram.acquire(item, worker));
  });
}

}  // namespace

std::int64_t gram_workspace_bytes(std::int64_t m, std::int64_t tile, const ProductShape& shape) {
  return m * room_of(tile) * shape.sum_bytes + Arranged::bytes(tile, gram_product_steps, shape);
}

std::int64_t gram_sum_bytes(std::int64_t m) { return m * m * static_cast<std::int64_t>(sizeof(double)); }

std::int64_t gram_block_bytes(std::int64_t n, std::int64_t m, std::int64_t tile, std::int64_t folds) {
  const std::int64_t side = std::min(folds, 1 + ceil_div(tile * folds, n));
  return side * side * gram_sum_bytes(m);
}

std::int64_t gram_bytes(std::int64_t n, std::int64_t m, std::int64_t tile, const ProductShape& shape) {
  const Triangle triangle(ceil_div(n, shape.lanes), tile / shape.lanes);
  return triangle.count() * m * room_of(tile) * shape.sum_bytes;
}

template <class T>
S0 gram_sums(const std::vector<View>& views, std::int64_t edge, const Kernels<T>& kernels, Pool& pool,
             Prepared& prepared, const Centred& centred, ThirdMoments* third) {
  const auto m = static_cast<std::int64_t>(views.size());
  const std::int64_t room = room_of(edge);
  Gram<T> gram(prepared, edge, kernels, pool);
  std::optional<Entries> entries;
  if (third != nullptr) entries.emplace(*third, gram.tiles(), m);
  Entries* of_tiles = entries ? &*entries : nullptr;
  if (prepared.batch < m) {
    sum_batches(gram, views, room, kernels, pool, prepared, centred, of_tiles);
  } else {
    center(views, {0, m}, kernels, pool, prepared);
    centred({0, m});
    sum_tiles(gram, m, room, kernels, pool, of_tiles);
  }
  if (entries) entries->finish();
  return {gram.s0(), gram.subset_s0()};
}

template S0 gram_sums(const std::vector<View>&, std::int64_t, const Kernels<float>&, Pool&, Prepared&, const Centred&,
                      ThirdMoments*);
template S0 gram_sums(const std::vector<View>&, std::int64_t, const Kernels<double>&, Pool&, Prepared&, const Centred&,
                      ThirdMoments*);

}  // namespace fastcka::cpu
