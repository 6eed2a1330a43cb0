#include "fold_pairs.hpp"

#include <algorithm>

namespace fastcka::cpu {
namespace {

// The entries of a tile in some rows and columns, one after the other. Returns their number.
template <class T>
std::int64_t gather(const std::vector<MicroTile>& micros, std::int64_t lanes, const Segment& rows,
                    const Segment& columns, const T* v, T* out) {
  T* end = out;
  for (const MicroTile& micro : micros) {
    const std::int64_t width = micro.panels * lanes;
    const std::int64_t left = micro.panel * lanes;
    const std::int64_t begin = std::max(columns.begin, left);
    const std::int64_t count = std::min(columns.end, left + width) - begin;
    if (count <= 0) continue;
    const std::int64_t last = std::min(rows.end, micro.row + micro.rows);
    for (std::int64_t row = std::max(rows.begin, micro.row); row < last; ++row) {
      end = std::copy_n(v + micro.offset + (row - micro.row) * width + begin - left, count, end);
    }
  }
  return end - out;
}

}  // namespace

FoldPairs::FoldPairs(const Folds& folds, std::int64_t m)
    : folds_(folds), m_(m), sums_(to_size(bytes(folds.count, m)) / sizeof(double)) {}

std::int64_t FoldPairs::bytes(std::int64_t folds, std::int64_t m) {
  return folds * (folds + 1) / 2 * (m * (m + 1) / 2) * static_cast<std::int64_t>(sizeof(double));
}

double* FoldPairs::block(std::int64_t first, std::int64_t second) {
  const auto [low, high] = std::minmax(first, second);
  return sums_.data() + (high * (high + 1) / 2 + low) * (m_ * (m_ + 1) / 2);
}

const double* FoldPairs::add(const std::vector<Segment>& rows, const std::vector<Segment>& columns, double factor,
                             const double* blocks) {
  for (const Segment& row : rows) {
    for (const Segment& column : columns) {
      double* to = block(row.fold, column.fold);
      for (std::int64_t i = 0; i < m_; ++i) {
        for (std::int64_t j = i; j < m_; ++j) *to++ += factor * blocks[i * m_ + j];
      }
      blocks += m_ * m_;
    }
  }
  return blocks;
}

std::vector<double> FoldPairs::subset_sums(double factor) const {
  const std::int64_t entries = m_ * (m_ + 1) / 2;
  std::vector<double> sums(to_size(folds_.count * m_ * m_));
  for (std::int64_t subset = 0; subset < folds_.count; ++subset) {
    std::vector<double> total(to_size(entries));
    const double* from = sums_.data();
    for (std::int64_t high = 0; high < folds_.count; ++high) {
      for (std::int64_t low = 0; low <= high; ++low, from += entries) {
        if (!folds_.contains(subset, high) || !folds_.contains(subset, low)) continue;
        for (std::int64_t entry = 0; entry < entries; ++entry) total[to_size(entry)] += from[entry];
      }
    }
    auto value = total.begin();
    double* to = sums.data() + subset * m_ * m_;
    for (std::int64_t i = 0; i < m_; ++i) {
      for (std::int64_t j = i; j < m_; ++j) to[i * m_ + j] = to[j * m_ + i] = factor * *value++;
    }
  }
  return sums;
}

template <class T>
void sum_blocks(const std::vector<MicroTile>& micros, const std::vector<Segment>& rows,
                const std::vector<Segment>& columns, std::int64_t m, const T* v, std::int64_t room,
                const Kernels<T>& kernels, Block<T>& scratch, Partial& partial) {
  const MicroTile& last = micros.back();
  const bool whole = rows.size() == 1 && columns.size() == 1;
  if (!scratch && !whole) scratch = allocate<T>(m * room);
  const std::size_t before = partial.blocks.size();
  partial.blocks.resize(before + rows.size() * columns.size() * to_size(m * m), 0.0);
  double* block = partial.blocks.data() + before;
  for (const Segment& row : rows) {
    for (const Segment& column : columns) {
      std::int64_t length = last.offset + last.rows * last.panels * kernels.lanes;
      const T* entries = v;
      std::int64_t stride = room;
      if (!whole) {
        stride = (row.end - row.begin) * (column.end - column.begin);
        for (std::int64_t i = 0; i < m; ++i) {
          length = gather(micros, kernels.lanes, row, column, v + i * room, scratch.get() + i * stride);
        }
        entries = scratch.get();
      }
      kernels.rank_update(m, length, entries, stride, block);
      for (std::int64_t entry = 0; entry < m * m; ++entry) partial.values[to_size(entry)] += block[entry];
      block += m * m;
    }
  }
}

template void sum_blocks(const std::vector<MicroTile>&, const std::vector<Segment>&, const std::vector<Segment>&,
                         std::int64_t, const float*, std::int64_t, const Kernels<float>&, Block<float>&, Partial&);
template void sum_blocks(const std::vector<MicroTile>&, const std::vector<Segment>&, const std::vector<Segment>&,
                         std::int64_t, const double*, std::int64_t, const Kernels<double>&, Block<double>&, Partial&);

}  // namespace fastcka::cpu
