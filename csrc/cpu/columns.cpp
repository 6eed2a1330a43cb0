#include "columns.hpp"

#include <algorithm>
#include <cmath>

namespace fastcka::cpu {
namespace {

// Columns of one piece of work.
constexpr std::int64_t strip = 4096;

// Sum, minimum and maximum of a column of one block.
constexpr std::int64_t bytes_per_column = 3 * sizeof(double);

// Examples whose column sums are one partial sum. Fixed by the problem, so that the means do not depend on the threads;
// few enough blocks that their statistics take at most 16 MiB (or a single block).
std::int64_t rows_of_block(std::int64_t n, std::int64_t total_columns) {
  const std::int64_t most =
      std::clamp<std::int64_t>((std::int64_t{16} << 20) / (bytes_per_column * total_columns), 1, 64);
  return std::max<std::int64_t>(1024, ceil_div(n, most));
}

// A piece of work: rows of one block, columns of one strip, of one representation.
struct Piece {
  std::size_t view;
  std::int64_t block;
  std::int64_t column;
};

// Statistics of every block of rows, (blocks, d) each.
struct Blocks {
  std::vector<double> sum, min, max;
};

struct Summary {
  Columns columns;
  bool finite;
};

Summary combine(const View& view, Blocks& blocks, std::int64_t count) {
  const auto d = to_size(view.d);
  Summary summary{{std::vector<double>(d), std::vector<double>(d), std::vector<double>(d), false}, true};
  for (std::size_t j = 0; j < d; ++j) {
    double sum = blocks.sum[j];
    double min = blocks.min[j];
    double max = blocks.max[j];
    for (std::size_t entry = d + j; entry < d * to_size(count); entry += d) {
      sum += blocks.sum[entry];
      min = std::min(min, blocks.min[entry]);
      max = std::max(max, blocks.max[entry]);
    }
    summary.finite = summary.finite && std::isfinite(sum);
    // A feature that never varies has exactly its value as mean, so that it is centred to exactly zero.
    summary.columns.center[j] = min == max ? min : sum / static_cast<double>(view.n);
    summary.columns.low[j] = min;
    summary.columns.high[j] = max;
  }
  const double reach = summary.columns.reach();
  summary.finite = summary.finite && std::isfinite(reach);
  summary.columns.constant = reach == 0;
  return summary;
}

template <class Bits>
bool finite(const char* from, Bits exponent_bits) {
  Bits bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return (bits & exponent_bits) != exponent_bits;
}

bool finite_at(const View& view, std::int64_t row, std::int64_t column) {
  const char* from = static_cast<const char*>(view.data) + row * view.row_stride + column * view.column_stride;
  switch (view.dtype) {
    case DType::float16:
      return finite<std::uint16_t>(from, 0x7c00);
    case DType::bfloat16:
      return finite<std::uint16_t>(from, 0x7f80);
    case DType::float32:
      return finite<std::uint32_t>(from, 0x7f800000);
    case DType::float64:
      return finite<std::uint64_t>(from, 0x7ff0000000000000);
  }
  return true;
}

// The non-finite values of a representation, looked for row by row.
NonFinite locate(const View& view, std::int64_t representation, Pool& pool) {
  std::vector<NonFinite> rows(to_size(view.n), {representation, 0, -1, -1});
  pool.run(view.n, Pool::Progress::silent, [&](std::int64_t row, int) {
    NonFinite& bad = rows[to_size(row)];
    for (std::int64_t column = 0; column < view.d; ++column) {
      if (finite_at(view, row, column)) continue;
      if (bad.count++ == 0) bad.row = row, bad.column = column;
    }
  });
  NonFinite all{representation, 0, -1, -1};
  for (const NonFinite& bad : rows) {
    if (all.count == 0) all.row = bad.row, all.column = bad.column;
    all.count += bad.count;
  }
  return all;
}

}  // namespace

std::int64_t statistics_bytes(std::int64_t n, std::int64_t total_columns) {
  return ceil_div(n, rows_of_block(n, total_columns)) * total_columns * bytes_per_column;
}

double Columns::reach() const {
  double largest = 0;
  for (std::size_t j = 0; j < center.size(); ++j) {
    largest = std::max(largest, std::max(high[j] - center[j], center[j] - low[j]));
  }
  return largest;
}

int Columns::exponent() const {
  const double largest = reach();
  // 2^-exponent must itself be a float64, which it would not be for subnormal data.
  return largest > 0 ? std::max(std::ilogb(largest) + 1, -1000) : 0;
}

std::vector<Columns> describe_columns(const std::vector<View>& views, const Implementation& implementation, Pool& pool,
                                      std::vector<NonFinite>& non_finite) {
  const std::int64_t n = views.front().n;
  std::int64_t total = 0;
  for (const View& view : views) total += view.d;
  const std::int64_t block_rows = rows_of_block(n, total);
  const std::int64_t count = ceil_div(n, block_rows);

  std::vector<Blocks> blocks(views.size());
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const auto size = to_size(count * views[i].d);
    blocks[i] = {std::vector<double>(size), std::vector<double>(size), std::vector<double>(size)};
    for (std::int64_t block = 0; block < count; ++block) {
      for (std::int64_t column = 0; column < views[i].d; column += strip) pieces.push_back({i, block, column});
    }
  }
  pool.run(static_cast<std::int64_t>(pieces.size()), Pool::Progress::silent, [&](std::int64_t item, int) {
    const auto [i, block, column] = pieces[to_size(item)];
    const View& view = views[i];
    const std::int64_t begin = block * block_rows;
    const auto entry = to_size(block * view.d + column);
    implementation.column_statistics(view, {begin, std::min(n, begin + block_rows)},
                                     {column, std::min(view.d, column + strip)},
                                     {&blocks[i].sum[entry], &blocks[i].min[entry], &blocks[i].max[entry]});
  });

  std::vector<Columns> columns;
  for (std::size_t i = 0; i < views.size(); ++i) {
    Summary summary = combine(views[i], blocks[i], count);
    if (!summary.finite) non_finite.push_back(locate(views[i], static_cast<std::int64_t>(i), pool));
    columns.push_back(std::move(summary.columns));
    blocks[i] = {};
  }
  return columns;
}

}  // namespace fastcka::cpu
