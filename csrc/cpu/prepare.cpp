#include "prepare.hpp"

#include <algorithm>
#include <cmath>

#include "columns.hpp"
#include "far_examples.hpp"

namespace fastcka::cpu {
namespace {

// Where a representation may begin.
constexpr std::int64_t cache_line = 64;

// Panels that are centred before they are packed, where this is enough: they stay in the L1 cache.
constexpr std::int64_t strip_panels = 16;

// Columns that are centred before they are packed. A staged chunk must have been read to its end before it is
// overwritten.
std::int64_t strip_columns(std::int64_t d, bool staged, std::int64_t lanes) {
  return staged ? d : std::min(d, strip_panels * lanes);
}

// Places for the centred copies: a staged buffer itself, or a part of one common block.
template <class T>
void place(const std::vector<View>& views, const Kernels<T>& kernels, Prepared& prepared) {
  const ProductShape shape = shape_of(kernels);
  std::int64_t total = 0;
  std::int64_t most = 1;
  std::vector<std::int64_t> offsets;
  for (const View& view : views) {
    if (static_cast<std::int64_t>(offsets.size()) % prepared.batch == 0) total = 0;
    const CopyExtent copy = copy_extent(prepared.n, view.d, prepared.format.route, shape);
    const std::int64_t staged_pitch = round_up(view.d, staging_lanes) * static_cast<std::int64_t>(sizeof(T));
    prepared.x.push_back({nullptr, view.d, view.staged ? staged_pitch : copy.pitch});
    offsets.push_back(total);
    if (!view.staged) total += round_up(copy.bytes(), cache_line);
    most = std::max(most, total);
  }
  prepared.copy = allocate<std::byte>(most);
  for (std::size_t i = 0; i < views.size(); ++i) {
    prepared.x[i].data =
        views[i].staged ? static_cast<std::byte*>(const_cast<void*>(views[i].data)) : prepared.copy.get() + offsets[i];
  }
}

// The rows of the far examples, before a staged buffer is overwritten. Returns the sum of the rows of each
// representation that are far in itself: about the mean of its others, that is the sum of all. Empty where it has none.
template <class T>
std::vector<std::vector<double>> take_far(const std::vector<View>& views, const std::vector<Columns>& columns,
                                          const std::vector<std::vector<std::int64_t>>& far, const Kernels<T>& kernels,
                                          Far& out) {
  for (const std::vector<std::int64_t>& rows : far) out.rows.insert(out.rows.end(), rows.begin(), rows.end());
  std::sort(out.rows.begin(), out.rows.end());
  out.rows.erase(std::unique(out.rows.begin(), out.rows.end()), out.rows.end());

  std::vector<std::vector<double>> total(views.size());
  for (std::size_t i = 0; i < views.size() && !out.rows.empty(); ++i) {
    const auto d = to_size(views[i].d);
    const double scale = std::ldexp(1.0, -columns[i].exponent());
    if (!far[i].empty()) total[i].resize(d);
    std::vector<T> row(d);
    std::vector<double>& x = out.x.emplace_back();
    for (const std::int64_t a : out.rows) {
      double norm = 0;
      kernels.center(views[i], {a, a + 1}, {0, views[i].d}, columns[i].center.data(), scale, row.data(), views[i].d,
                     &norm);
      x.insert(x.end(), row.begin(), row.end());
      if (!std::binary_search(far[i].begin(), far[i].end(), a)) continue;
      for (std::size_t j = 0; j < d; ++j) total[i][j] += static_cast<double>(row[j]);
    }
  }
  return total;
}

// The far examples in the order of their positions.
void sort_far(const Folds& folds, Far& far) {
  Far sorted;
  sorted.x.resize(far.x.size());
  for (std::int64_t position = 0; position < folds.positions(); ++position) {
    const std::int64_t a = folds.example[to_size(position)];
    const auto match = std::lower_bound(far.rows.begin(), far.rows.end(), a);
    if (match == far.rows.end() || *match != a) continue;
    sorted.rows.push_back(position);
    for (std::size_t i = 0; i < far.x.size(); ++i) {
      const std::size_t d = far.x[i].size() / far.rows.size();
      const auto row = far.x[i].begin() + (match - far.rows.begin()) * static_cast<std::ptrdiff_t>(d);
      sorted.x[i].insert(sorted.x[i].end(), row, row + static_cast<std::ptrdiff_t>(d));
    }
  }
  far = std::move(sorted);
}

// Kernels::center of the examples at some positions.
template <class T>
void center_part(const View& view, const Folds& folds, Range rows, Range columns, const double* mean, double scale,
                 const Kernels<T>& kernels, T* out, double* k) {
  const std::int64_t width = columns.end - columns.begin;
  if (folds.count == 0) {
    kernels.center(view, rows, columns, mean, scale, out, width, k);
    return;
  }
  for (std::int64_t position = rows.begin; position < rows.end; ++position, out += width, ++k) {
    const std::int64_t a = folds.example[to_size(position)];
    if (a < 0) {
      std::fill_n(out, width, T{0});
    } else {
      kernels.center(view, {a, a + 1}, columns, mean, scale, out, width, k);
    }
  }
}

// q += x . total, for rows (count, width).
template <class T>
void add_row_sums(const T* rows, std::int64_t count, std::int64_t width, const double* total, double* q) {
  for (std::int64_t row = 0; row < count; ++row, rows += width) {
    double sum = 0;
    for (std::int64_t j = 0; j < width; ++j) sum += static_cast<double>(rows[j]) * total[j];
    q[row] += sum;
  }
}

// Rows of a part (from `begin` on) that are far become zero.
template <class T>
void clear_far(const std::vector<std::int64_t>& far, Range rows, std::int64_t width, T* part) {
  for (auto row = std::lower_bound(far.begin(), far.end(), rows.begin); row != far.end() && *row < rows.end; ++row) {
    std::fill_n(part + (*row - rows.begin) * width, width, T{0});
  }
}

}  // namespace

CopyExtent copy_extent(std::int64_t n, std::int64_t d, Route route, const ProductShape& shape) {
  if (route == Route::gram) return {round_up(n, shape.lanes), shape.steps(d) * shape.cell_bytes};
  // A pair of examples takes one cell, and each example has half of it.
  return {round_up(n, shape.values), round_up(d, shape.lanes) / shape.values * shape.cell_bytes};
}

std::int64_t prepare_workspace_bytes(std::int64_t d, const CopyFormat& format, bool staged, const ProductShape& shape) {
  return format.chunk * strip_columns(d, staged, shape.lanes) * shape.sum_bytes;
}

template <class T>
Prepared prepare(const std::vector<View>& views, const CopyFormat& format, std::int64_t batch,
                 const Implementation& implementation, const Kernels<T>& kernels, Pool& pool, Folds folds, Sums& sums) {
  const std::size_t m = views.size();
  const std::int64_t n = folds.count > 0 ? folds.positions() : views.front().n;
  Prepared prepared{n, format, batch, {}, {}, {}, {}, std::vector<double>(m), {}, nullptr, std::move(folds)};
  std::vector<Columns> columns = describe_columns(views, implementation, pool, sums.non_finite);
  if (!sums.non_finite.empty()) return prepared;
  const std::vector<std::vector<std::int64_t>> far = find_far_examples(views, implementation, pool, columns);
  std::vector<std::vector<double>> total = take_far(views, columns, far, kernels, prepared.far);
  if (prepared.folds.count > 0) sort_far(prepared.folds, prepared.far);
  for (std::size_t i = 0; i < m; ++i) {
    sums.exponent.push_back(columns[i].exponent());
    sums.constant.push_back(columns[i].constant);
    prepared.centring.push_back(
        {std::move(columns[i].center), std::ldexp(1.0, -sums.exponent.back()), std::move(total[i])});
  }
  prepared.k.assign(m * to_size(n), 0.0);
  if (!prepared.far.rows.empty()) prepared.q.assign(m * to_size(n), 0.0);
  place(views, kernels, prepared);
  return prepared;
}

template <class T>
void center(const std::vector<View>& views, Range representations, const Kernels<T>& kernels, Pool& pool,
            Prepared& prepared) {
  const CopyFormat& format = prepared.format;
  const std::int64_t n = prepared.n;
  const ColumnPowers powers(n, format.chunk);
  const std::int64_t blocks = powers.blocks();
  std::int64_t room = 0;
  for (const View& view : views) {
    room = std::max(room, format.chunk * strip_columns(view.d, view.staged, kernels.lanes));
  }
  const std::int64_t count_of_all = representations.end - representations.begin;
  const bool with_powers = !prepared.column_terms.empty();
  std::vector<std::vector<double>> sums;
  for (std::int64_t i = representations.begin; with_powers && i < representations.end; ++i) {
    sums.emplace_back(to_size(blocks * ColumnPowers::powers * views[to_size(i)].d));
  }
  // About the means, the sums of the columns are zero.
  const auto add_powers = prepared.far.rows.empty() ? kernels.even_powers : kernels.column_powers;
  std::vector<Block<T>> scratch(to_size(pool.threads()));
  const auto center_chunk = [&](std::size_t i, const Range& rows, T* part, double* column_sums) {
    const std::int64_t begin = rows.begin;
    const std::int64_t count = rows.end - rows.begin;
    const auto& [mean, scale, far_total] = prepared.centring[i];
    const Centered& x = prepared.x[i];
    std::byte* chunk = x.data + begin * x.pitch;
    const std::size_t first = i * to_size(n) + to_size(begin);
    const std::int64_t strip = strip_columns(views[i].d, views[i].staged, kernels.lanes);
    for (std::int64_t column = 0; column < x.d; column += strip) {
      const Range range{column, std::min(x.d, column + strip)};
      const std::int64_t width = range.end - range.begin;
      center_part(views[i], prepared.folds, rows, range, mean.data(), scale, kernels, part, &prepared.k[first]);
      if (!far_total.empty()) {
        add_row_sums(part, count, width, &far_total[to_size(column)], &prepared.q[first]);
      }
      if (format.route == Route::features) clear_far(prepared.far.rows, rows, width, part);
      if (format.route == Route::gram) {
        kernels.example_panel(part, count, width, chunk + kernels.steps(column) * kernels.lanes * kernels.cell_bytes);
        if (with_powers) clear_far(prepared.far.rows, rows, width, part);
      } else {
        kernels.feature_panels(part, count, width, chunk + column * kernels.steps(count) * kernels.cell_bytes);
      }
      if (with_powers) add_powers(part, count, width, column_sums + column, x.d);
    }
  };
  pool.run(count_of_all * blocks, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const auto of_all = to_size(item / blocks);
    const auto i = to_size(representations.begin) + of_all;
    const std::int64_t block = item % blocks;
    Block<T>& part = scratch[to_size(worker)];
    if (!part) part = allocate<T>(room);
    double* column_sums = with_powers ? &sums[of_all][to_size(block * ColumnPowers::powers * views[i].d)] : nullptr;
    const std::int64_t end = std::min(n, (block + 1) * powers.rows());
    for (std::int64_t begin = block * powers.rows(); begin < end; begin += format.chunk) {
      pool.checkpoint(worker);
      center_chunk(i, {begin, std::min(end, begin + format.chunk)}, part.get(), column_sums);
    }
  });
  if (!with_powers) return;
  const std::vector<double> none;
  pool.run(count_of_all, Pool::Progress::silent, [&](std::int64_t item, int) {
    const auto i = to_size(representations.begin + item);
    const std::vector<double>& far = prepared.far.x.empty() ? none : prepared.far.x[i];
    prepared.column_terms[i] = powers.terms(sums[to_size(item)], views[i].d, views[i].n, far);
  });
}

template Prepared prepare(const std::vector<View>&, const CopyFormat&, std::int64_t, const Implementation&,
                          const Kernels<float>&, Pool&, Folds, Sums&);
template Prepared prepare(const std::vector<View>&, const CopyFormat&, std::int64_t, const Implementation&,
                          const Kernels<double>&, Pool&, Folds, Sums&);
template void center(const std::vector<View>&, Range, const Kernels<float>&, Pool&, Prepared&);
template void center(const std::vector<View>&, Range, const Kernels<double>&, Pool&, Prepared&);

}  // namespace fastcka::cpu
