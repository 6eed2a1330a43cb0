#include "layout.hpp"

#include <algorithm>

#include "columns.hpp"

namespace fastcka::cuda {
namespace {

// Hands out places one after another.
class Places {
 public:
  std::int64_t take(std::int64_t bytes) {
    const std::int64_t here = end_;
    end_ = round_up(end_ + bytes, 256);
    return here;
  }
  std::int64_t end() const { return end_; }

 private:
  std::int64_t end_ = 0;
};

}  // namespace

Layout::Layout(const Shape& shape) {
  const bool gram = shape.route == Route::gram;
  const bool split = shape.products == Products::float16x3;
  const bool half = split || shape.products == Products::float16;
  m = static_cast<std::int64_t>(shape.widths.size());
  n = shape.n;
  rows = round_up(n, grain);
  block_rows = std::max(least_block_rows, round_up(divide_up(n, most_blocks), least_block_rows));
  blocks = divide_up(n, block_rows);
  slabs = split ? 4 : 1;
  item = shape.products == Products::float64 ? 8 : half ? 2 : 4;
  sum = shape.products == Products::float64 ? 8 : 4;

  start.push_back(0);
  column.push_back(0);
  strip.push_back(0);
  for (const std::int64_t d : shape.widths) {
    width.push_back(round_up(d, gram ? grain : feature_block));
    start.push_back(start.back() + width.back());
    column.push_back(column.back() + d);
    strip.push_back(strip.back() + divide_up(d, strip_columns));
  }

  Places places;
  x = places.take(rows * start.back() * slabs * item);
  mean = places.take(column.back() * 8);
  robust = places.take(column.back() * 8);
  sums = places.take(blocks * column.back() * 8);
  least = places.take(blocks * column.back() * 8);
  most = places.take(blocks * column.back() * 8);
  counts = places.take(blocks * strip.back() * 8);
  firsts = places.take(blocks * strip.back() * 8);
  starts = places.take((m + 1) * 8);
  far = places.take(m * rows);
  k = places.take(4 * m * rows * 8);

  edge = room = planes = rank_batch = partial_pitch = scratch_room = far_rows = far_chunk = 0;
  v_exponent = scratch = v = partial = panel = squares = far_sums = far_list = far_total = places.end();
  if (gram) {
    edge = std::min(shape.tile, rows);
    room = round_up(edge * edge, shape.rank_chunk);
    planes = half ? 2 * m : m;
    partial_pitch = round_up(planes, 8);  // whole vectors of 16 bytes, whatever M
    rank_batch = std::clamp<std::int64_t>(rank_bytes / (m * partial_pitch * sum), 1,
                                          std::min(most_rank_batch, room / shape.rank_chunk));
    if (half) scratch_room = std::clamp<std::int64_t>(scratch_bytes / sum, edge * edge, m * edge * edge);
    v_exponent = places.take(m * 4);
    scratch = places.take(scratch_room * sum);
    v = places.take(planes * room * item);
    partial = places.take(rank_batch * m * partial_pitch * sum);
    total = places.take(m * planes * 8);
  } else {
    edge = std::min(shape.tile, start.back());
    // The panel, or in its place rows in float64 and their Gram entries, twice.
    far_chunk = std::min(most_far_chunk, rows);
    far_rows = std::clamp<std::int64_t>(far_bytes / (2 * m * far_chunk * 8), 1, most_far_rows);
    const std::int64_t far_room = (far_rows + far_chunk) * start.back() + 2 * m * far_rows * far_chunk;
    panel = far_sums = places.take(std::max(edge * start.back() * sum, far_room * 8));
    squares = places.take(divide_up(edge, feature_block) * divide_up(start.back(), feature_block) * 8);
    far_list = places.take(rows * 8);
    far_total = places.take(m * m * 8);
    total = places.take(m * m * 8);
  }
  row_sums = places.take(start.back() * 8);
  cublas = places.take(cublas_bytes);
  // As core/cuda/pending.py reads them: without gaps.
  s0 = places.end();
  products = s0 + m * m * 8;
  totals = products + 4 * m * m * 8;
  status = totals + 3 * m * 8;
  any_far = status + status_fields * m * 8;
  end = any_far + rows;
}

}  // namespace fastcka::cuda
