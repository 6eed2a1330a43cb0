#include "subset_rows.hpp"

#include <algorithm>

#include "unpack.hpp"

namespace fastcka::cpu {
namespace {

// Positions and columns that are worked on together: their numbers stay in the L2 cache.
constexpr std::int64_t block_rows = 64;
constexpr std::int64_t block_columns = 256;

// Float64 in a panel of any implementation, at most.
constexpr std::int64_t most_lanes = 8;

// Positions whose row sums are added up together, however many representations and batches there are: the bits of a
// pair then do not depend on other representations.
constexpr std::int64_t summed_rows = 4 * block_rows;

// Positions whose row sums are in memory at once; batches need those of all examples.
std::int64_t positions_at_once(std::int64_t n, std::int64_t subsets, bool batched) {
  if (subsets == 0) return 0;
  return batched ? n : std::min(n, summed_rows);
}

}  // namespace

std::int64_t subset_rows_bytes(std::int64_t n, const std::vector<std::int64_t>& widths, std::int64_t subsets,
                               bool batched) {
  const auto m = static_cast<std::int64_t>(widths.size());
  std::int64_t values = positions_at_once(n, subsets, batched) * m * subsets;
  for (const std::int64_t d : widths) values += d * round_up(subsets, most_lanes);
  return values * static_cast<std::int64_t>(sizeof(double));
}

std::int64_t subset_rows_workspace_bytes(std::int64_t subsets) {
  const std::int64_t products = block_rows * round_up(subsets, most_lanes);
  return (2 * block_rows * block_columns + products) * static_cast<std::int64_t>(sizeof(double));
}

template <class T>
SubsetRows<T>::SubsetRows(const Prepared& prepared, const Kernels<T>& kernels, const Kernels<double>& float64,
                          Pool& pool)
    : prepared_(prepared),
      kernels_(kernels),
      float64_(float64),
      pool_(pool),
      m_(static_cast<std::int64_t>(prepared.x.size())),
      subsets_(prepared.folds.count),
      totals_(to_size(m_)),
      width_(positions_at_once(prepared.n, subsets_, prepared.batch < m_)) {
  if (subsets_ > 0) q_.resize(to_size(subsets_ * m_ * width_));
}

template <class T>
double* SubsetRows<T>::row_sums(std::int64_t subset, std::int64_t i) {
  return &q_[to_size((subset * m_ + i) * width_)];
}

// Rows of the copy, with those of the far examples, which are zero in that of the features route.
template <class T>
void SubsetRows<T>::read(std::int64_t i, Range positions, Range columns, double* out) const {
  const Centered& x = prepared_.x[to_size(i)];
  unpack(x, prepared_.format, prepared_.n, positions, columns, kernels_, out);
  const std::vector<std::int64_t>& far = prepared_.far.rows;
  const std::int64_t width = columns.end - columns.begin;
  for (auto next = std::lower_bound(far.begin(), far.end(), positions.begin);
       next != far.end() && *next < positions.end; ++next) {
    const double* row = &prepared_.far.x[to_size(i)][to_size((next - far.begin()) * x.d + columns.begin)];
    std::copy_n(row, width, out + (*next - positions.begin) * width);
  }
}

// The sums of the rows of each subset, as panels of examples.
template <class T>
void SubsetRows<T>::sum_folds(Range representations) {
  const Folds& folds = prepared_.folds;
  const std::int64_t lanes = float64_.lanes;
  std::vector<Range> items;  // a representation, and its first column
  for (std::int64_t i = representations.begin; i < representations.end; ++i) {
    const std::int64_t d = prepared_.x[to_size(i)].d;
    totals_[to_size(i)] = allocate<double>(d * round_up(subsets_, lanes));
    for (std::int64_t column = 0; column < d; column += block_columns) items.push_back({i, column});
  }
  pool_.run(static_cast<std::int64_t>(items.size()), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const auto [i, begin] = items[to_size(item)];
    const std::int64_t d = prepared_.x[to_size(i)].d;
    const Range columns{begin, std::min(d, begin + block_columns)};
    const std::int64_t width = columns.end - columns.begin;
    std::vector<double> rows(to_size(block_rows * width));
    std::vector<double> of_folds(to_size(subsets_ * width));
    for (std::int64_t position = 0; position < prepared_.n; position += block_rows) {
      pool_.checkpoint(worker);
      const Range positions{position, std::min(prepared_.n, position + block_rows)};
      read(i, positions, columns, rows.data());
      for (const Segment& segment : folds.segments(positions.begin, positions.end)) {
        double* sum = &of_folds[to_size(segment.fold * width)];
        for (std::int64_t a = segment.begin; a < segment.end; ++a) {
          const double* row = &rows[to_size((a - position) * width)];
          for (std::int64_t j = 0; j < width; ++j) sum[j] += row[j];
        }
      }
    }
    std::vector<double> of_subsets(of_folds.size());
    for (std::int64_t subset = 0; subset < subsets_; ++subset) {
      for (std::int64_t fold = 0; fold < subsets_; ++fold) {
        if (!folds.contains(subset, fold)) continue;
        for (std::int64_t j = 0; j < width; ++j) {
          of_subsets[to_size(subset * width + j)] += of_folds[to_size(fold * width + j)];
        }
      }
    }
    for (std::int64_t subset = 0; subset < subsets_; subset += lanes) {
      double* panel = totals_[to_size(i)].get() + (subset * d + begin * lanes);
      float64_.example_panel(&of_subsets[to_size(subset * width)], std::min(lanes, subsets_ - subset), width, panel);
    }
  });
}

// The row sums of some representations and positions.
template <class T>
void SubsetRows<T>::fill(Range representations, Range positions) {
  const std::int64_t lanes = float64_.lanes;
  const std::int64_t panels = ceil_div(subsets_, lanes);
  const std::int64_t blocks = ceil_div(positions.end - positions.begin, block_rows);
  begin_ = positions.begin;
  pool_.run((representations.end - representations.begin) * blocks, Pool::Progress::silent,
            [&](std::int64_t item, int worker) {
              pool_.checkpoint(worker);
              const std::int64_t i = representations.begin + item / blocks;
              const std::int64_t first = positions.begin + item % blocks * block_rows;
              const Range part{first, std::min(positions.end, first + block_rows)};
              const std::int64_t count = part.end - part.begin;
              const std::int64_t d = prepared_.x[to_size(i)].d;
              const Block<double> rows = allocate<double>(block_rows * block_columns);
              const Block<double> packed = allocate<double>(block_rows * block_columns);
              const std::int64_t pitch = panels * lanes;
              const Block<double> products = allocate<double>(block_rows * pitch);
              for (std::int64_t column = 0; column < d; column += block_columns) {
                const std::int64_t width = std::min(block_columns, d - column);
                read(i, part, {column, column + width}, rows.get());
                for (std::int64_t row = 0; row < count; row += lanes) {
                  float64_.example_panel(rows.get() + row * width, std::min(lanes, count - row), width,
                                         packed.get() + row * width);
                }
                std::int64_t offset = 0;
                for (std::int64_t panel = 0; panel < panels; panel += float64_.most_panels) {
                  const std::int64_t together = std::min(float64_.most_panels, panels - panel);
                  const void* columns[max_panels];
                  for (std::int64_t p = 0; p < together; ++p) {
                    columns[p] = totals_[to_size(i)].get() + ((panel + p) * d + column) * lanes;
                  }
                  for (std::int64_t row = 0; row < count; row += float64_.rows) {
                    const void* left[] = {packed.get() + row / lanes * lanes * width + row % lanes};
                    float64_.multiply(width, left, float64_.rows, columns, together, products.get() + offset,
                                      column > 0, left[0]);
                    offset += float64_.rows * together * lanes;
                  }
                }
              }
              std::int64_t offset = 0;
              for (std::int64_t panel = 0; panel < panels; panel += float64_.most_panels) {
                const std::int64_t together = std::min(float64_.most_panels, panels - panel) * lanes;
                for (std::int64_t row = 0; row < round_up(count, float64_.rows); ++row, offset += together) {
                  for (std::int64_t lane = 0; lane < together && row < count; ++lane) {
                    const std::int64_t subset = panel * lanes + lane;
                    if (subset < subsets_)
                      row_sums(subset, i)[part.begin + row - begin_] = products[to_size(offset + lane)];
                  }
                }
              }
            });
}

// The products and totals of the row sums in memory.
template <class T>
void SubsetRows<T>::add_up(Range positions, SubsetSums& sums) {
  pool_.run(subsets_, Pool::Progress::silent, [&](std::int64_t subset, int) {
    for (const Range& range : prepared_.folds.kept(subset, positions.begin, positions.end)) {
      const std::int64_t count = range.end - range.begin;
      double* rows = row_sums(subset, 0) + (range.begin - begin_);
      const auto add = [&](std::vector<double>& products, std::vector<double>& totals) {
        float64_.rank_update(m_, count, rows, width_, &products[to_size(subset * m_ * m_)]);
        for (std::int64_t i = 0; i < m_; ++i) {
          double& total = totals[to_size(subset * m_ + i)];
          for (std::int64_t a = 0; a < count; ++a) total += rows[i * width_ + a];
        }
      };
      add(sums.q_products, sums.q_totals);
      for (std::int64_t i = 0; i < m_; ++i) {
        const double* k = &prepared_.k[to_size(i * prepared_.n + range.begin)];
        for (std::int64_t a = 0; a < count; ++a) rows[i * width_ + a] -= k[a];
      }
      add(sums.r_products, sums.r_totals);
    }
  });
}

// The products of the norms, and of each representation with itself without the far examples.
template <class T>
void SubsetRows<T>::add_norms(SubsetSums& sums) {
  const double* k = prepared_.k.data();
  const std::vector<std::int64_t>& far = prepared_.far.rows;
  pool_.run(subsets_, Pool::Progress::silent, [&](std::int64_t subset, int) {
    double* norms = &sums.norms[to_size(subset * m_ * m_)];
    double* near = &sums.near_norms[to_size(subset * m_ * m_)];
    for (const Range& range : prepared_.folds.kept(subset, 0, prepared_.n)) {
      auto next = std::lower_bound(far.begin(), far.end(), range.begin);
      for (std::int64_t begin = range.begin; begin < range.end;) {
        const bool ends = next == far.end() || *next >= range.end;
        const std::int64_t end = ends ? range.end : *next;
        float64_.rank_update(m_, end - begin, k + begin, prepared_.n, near);
        if (!ends) float64_.rank_update(m_, 1, k + end, prepared_.n, norms);
        begin = end + 1;
        if (!ends) ++next;
      }
    }
    for (std::int64_t entry = 0; entry < m_ * m_; ++entry) norms[entry] += near[entry];
  });
}

template <class T>
void SubsetRows<T>::take(Range representations, SubsetSums& sums) {
  if (subsets_ == 0) return;
  const auto matrices = to_size(subsets_ * m_ * m_);
  for (auto* products : {&sums.norms, &sums.near_norms, &sums.q_products, &sums.r_products}) products->resize(matrices);
  for (auto* totals : {&sums.q_totals, &sums.r_totals}) totals->resize(to_size(subsets_ * m_));
  sum_folds(representations);
  const bool all = representations.end == m_;
  for (std::int64_t begin = 0; begin < prepared_.n; begin += width_) {
    const std::int64_t end = std::min(prepared_.n, begin + width_);
    fill(representations, {begin, end});
    for (std::int64_t first = begin; all && first < end; first += summed_rows) {
      add_up({first, std::min(end, first + summed_rows)}, sums);
    }
  }
  if (!all) return;
  add_norms(sums);
  for (auto* products : {&sums.norms, &sums.near_norms, &sums.q_products, &sums.r_products}) {
    mirror(subsets_, m_, *products);
  }
}

template class SubsetRows<float>;
template class SubsetRows<double>;

}  // namespace fastcka::cpu
