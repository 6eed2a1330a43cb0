#include "layout.hpp"

#include <algorithm>

namespace fastcka::cuda {
namespace {

// Hands out arrays one after another.
class Places {
 public:
  template <class T>
  Array<T> take(std::int64_t count) {
    const Array<T> array(end_);
    end_ = round_up(end_ + count * static_cast<std::int64_t>(sizeof(T)), 256);
    return array;
  }
  std::int64_t end() const { return end_; }

 private:
  std::int64_t end_ = 0;
};

}  // namespace

Layout::Layout(const Shape& shape) {
  const bool gram = shape.route == Route::gram;
  const bool half = shape.products == Products::float16x3 || shape.products == Products::float16;
  m = static_cast<std::int64_t>(shape.widths.size());
  n = shape.n;
  rows = round_up(n, example_grain);
  block_rows = std::max(least_block_rows, round_up(ceil_div(n, most_blocks), least_block_rows));
  blocks = ceil_div(n, block_rows);
  slabs = slabs_of(shape.products);
  item = product_item_bytes(shape.products);
  sum = shape.products == Products::float64 ? 8 : 4;

  start.push_back(0);
  column.push_back(0);
  strip.push_back(0);
  for (const std::int64_t d : shape.widths) {
    width.push_back(round_up(d, gram ? example_grain : feature_grain));
    start.push_back(start.back() + width.back());
    column.push_back(column.back() + d);
    strip.push_back(strip.back() + ceil_div(d, strip_columns));
  }

  Places places;
  x_ = places.take<char>(rows * start.back() * slabs * item);
  mean = places.take<double>(column.back());
  robust = places.take<double>(column.back());
  sums = places.take<double>(blocks * column.back());
  least = places.take<double>(blocks * column.back());
  most = places.take<double>(blocks * column.back());
  counts = places.take<std::int64_t>(blocks * strip.back());
  firsts = places.take<std::int64_t>(blocks * strip.back());
  starts = places.take<std::int64_t>(m + 1);
  far = places.take<std::int8_t>(m * rows);
  k = places.take<double>(4 * m * rows);  // without gaps: their inner products are one batch
  q = k.after(m * rows);
  r = q.after(m * rows);
  near = r.after(m * rows);
  prepared_bytes_ = places.end();

  edge = room = planes = rank_batch = partial_pitch = scratch_room = far_rows = far_chunk = 0;
  if (gram) {
    edge = std::min(shape.tile, rows);
    room = round_up(edge * edge, shape.rank_chunk);
    planes = half ? 2 * m : m;
    partial_pitch = round_up(planes, 8);  // whole vectors of 16 bytes, whatever M
    rank_batch = std::clamp<std::int64_t>(rank_bytes / (m * partial_pitch * sum), 1,
                                          std::min(most_rank_batch, room / shape.rank_chunk));
    if (half) scratch_room = std::clamp<std::int64_t>(scratch_bytes / sum, edge * edge, m * edge * edge);
    v_exponent = places.take<int>(m);
    scratch = places.take<float>(scratch_room);
    v_ = places.take<char>(planes * room * item);
    partial_ = places.take<char>(rank_batch * m * partial_pitch * sum);
    total = places.take<double>(m * planes);
  } else {
    edge = std::min(shape.tile, start.back());
    // A band of the product; later, in its place, rows in float64 and their Gram entries, twice.
    far_chunk = std::min(most_far_chunk, rows);
    far_rows = std::clamp<std::int64_t>(far_bytes / (2 * m * far_chunk * 8), 1, most_far_rows);
    const std::int64_t far_room = (far_rows + far_chunk) * start.back() + 2 * m * far_rows * far_chunk;
    band_ = places.take<char>(std::max(edge * start.back() * sum, far_room * 8));
    far_sums = Array<double>(band_.offset());
    squares = places.take<double>(ceil_div(edge, feature_grain) * ceil_div(start.back(), feature_grain));
    far_list = places.take<std::int64_t>(rows);
    far_total = places.take<double>(m * m);
    total = places.take<double>(m * m);
  }
  row_sums = places.take<double>(start.back());
  cublas = places.take<char>(cublas_bytes);

  s0 = Array<double>(places.end());
  norms = s0.after(m * m);
  q_products = norms.after(m * m);
  r_products = q_products.after(m * m);
  near_products = r_products.after(m * m);
  q_totals = near_products.after(m * m);
  r_totals = q_totals.after(m);
  summed = r_totals.after(m);
  status = summed.after<std::int64_t>(m);
  any_far = status.after<std::uint8_t>(status_fields * m);
  total_bytes_ = any_far.offset() + rows;
}

std::vector<ResultField> Layout::result_fields() const {
  std::vector<ResultField> fields;
  const auto add = [&](const char* name, const char* dtype, std::int64_t offset, std::int64_t count) {
    fields.push_back({name, dtype, offset - s0.offset(), count});
  };
  add("s0", "float64", s0.offset(), m * m);
  add("norms", "float64", norms.offset(), m * m);
  add("q_products", "float64", q_products.offset(), m * m);
  add("r_products", "float64", r_products.offset(), m * m);
  add("near_products", "float64", near_products.offset(), m * m);
  add("q_totals", "float64", q_totals.offset(), m);
  add("r_totals", "float64", r_totals.offset(), m);
  add("summed", "float64", summed.offset(), m);
  const char* const names[status_fields] = {"exponent", "constant", "count", "first", "far_count"};
  for (int field = 0; field < status_fields; ++field) {
    add(names[field], "int64", status.after(field * m).offset(), m);
  }
  add("any_far", "uint8", any_far.offset(), rows);
  return fields;
}

}  // namespace fastcka::cuda
