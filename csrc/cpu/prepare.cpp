#include "prepare.hpp"

#include <algorithm>
#include <cmath>

#include "columns.hpp"
#include "far_examples.hpp"

namespace fastcka::cpu {
namespace {

// Where a representation may begin.
constexpr std::int64_t cache_line = 64;

std::int64_t round_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b * b; }

// Columns that are centred before they are laid out. A staged chunk must have been read to its end before it is
// overwritten; otherwise what stays in the L1 cache is enough.
std::int64_t strip_of(const View& view, std::int64_t lanes) {
  return view.staged ? view.d : std::min(view.d, 16 * lanes);
}

// Places for the centred copies: a staged buffer itself, or a part of one common block.
template <class T>
void place(const std::vector<View>& views, const Products<T>& products, Prepared& prepared) {
  const bool gram = prepared.layout.route == Route::gram;
  std::int64_t total = 0;
  std::vector<std::int64_t> offsets;
  for (const View& view : views) {
    const std::int64_t columns = gram ? products.steps(view.d) * products.values : round_up(view.d, products.lanes);
    const std::int64_t pitch = view.staged ? round_up(view.d, staging_lanes) * static_cast<std::int64_t>(sizeof(T))
                                           : columns / products.values * products.cell_bytes;
    const std::int64_t rows = round_up(view.n, gram ? products.lanes : products.values);
    prepared.x.push_back({nullptr, view.d, pitch});
    offsets.push_back(total);
    if (!view.staged) total += round_up(rows * pitch, cache_line);
  }
  prepared.copy = allocate<std::byte>(std::max<std::int64_t>(total, 1));
  for (std::size_t i = 0; i < views.size(); ++i) {
    prepared.x[i].data =
        views[i].staged ? static_cast<std::byte*>(const_cast<void*>(views[i].data)) : prepared.copy.get() + offsets[i];
  }
}

// The rows of the far examples, before a staged buffer is overwritten. Returns the sum of the rows of each
// representation that are far in itself: about the mean of its others, that is the sum of all. Empty where it has none.
template <class T>
std::vector<std::vector<double>> take_far(const std::vector<View>& views, const std::vector<Columns>& columns,
                                          const std::vector<std::vector<std::int64_t>>& far,
                                          const Products<T>& products, Far& out) {
  for (const std::vector<std::int64_t>& rows : far) out.rows.insert(out.rows.end(), rows.begin(), rows.end());
  std::sort(out.rows.begin(), out.rows.end());
  out.rows.erase(std::unique(out.rows.begin(), out.rows.end()), out.rows.end());

  std::vector<std::vector<double>> total(views.size());
  for (std::size_t i = 0; i < views.size() && !out.rows.empty(); ++i) {
    const auto d = static_cast<std::size_t>(views[i].d);
    const double scale = std::ldexp(1.0, -columns[i].exponent());
    if (!far[i].empty()) total[i].resize(d);
    std::vector<T> row(d);
    std::vector<double>& x = out.x.emplace_back();
    for (const std::int64_t a : out.rows) {
      double norm = 0;
      products.center(views[i], {a, a + 1}, {0, views[i].d}, columns[i].center.data(), scale, row.data(), views[i].d,
                      &norm);
      x.insert(x.end(), row.begin(), row.end());
      if (!std::binary_search(far[i].begin(), far[i].end(), a)) continue;
      for (std::size_t j = 0; j < d; ++j) total[i][j] += static_cast<double>(row[j]);
    }
  }
  return total;
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
  for (auto at = std::lower_bound(far.begin(), far.end(), rows.begin); at != far.end() && *at < rows.end; ++at) {
    std::fill_n(part + (*at - rows.begin) * width, width, T{0});
  }
}

}  // namespace

template <class T>
Prepared prepare(const std::vector<View>& views, const Layout& layout, const Implementation& implementation,
                 const Products<T>& products, Pool& pool, Sums& sums) {
  const std::size_t m = views.size();
  const std::int64_t n = views.front().n;
  Prepared prepared{n, layout, {}, {}, {}, {}, nullptr};
  std::vector<Columns> columns = describe_columns(views, implementation, pool, sums.non_finite);
  if (!sums.non_finite.empty()) return prepared;
  const std::vector<std::vector<std::int64_t>> far = find_far_examples(views, implementation, pool, columns);
  for (const Columns& of : columns) {
    sums.exponent.push_back(of.exponent());
    sums.constant.push_back(of.constant);
  }
  const std::vector<std::vector<double>> total = take_far(views, columns, far, products, prepared.far);
  prepared.k.assign(m * static_cast<std::size_t>(n), 0.0);
  if (!prepared.far.rows.empty()) prepared.q.assign(m * static_cast<std::size_t>(n), 0.0);

  place(views, products, prepared);
  const std::int64_t chunks = (n + layout.chunk - 1) / layout.chunk;
  std::int64_t room = 0;
  for (const View& view : views) room = std::max(room, layout.chunk * strip_of(view, products.lanes));
  std::vector<Block<T>> scratch(static_cast<std::size_t>(pool.threads()));
  pool.run(static_cast<std::int64_t>(m) * chunks, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const auto i = static_cast<std::size_t>(item / chunks);
    const std::int64_t begin = item % chunks * layout.chunk;
    const Range rows{begin, std::min(n, begin + layout.chunk)};
    const std::int64_t count = rows.end - rows.begin;
    const Centered& x = prepared.x[i];
    std::byte* chunk = x.data + begin * x.pitch;
    const double scale = std::ldexp(1.0, -sums.exponent[i]);
    const std::size_t first = i * static_cast<std::size_t>(n) + static_cast<std::size_t>(begin);
    const std::int64_t strip = strip_of(views[i], products.lanes);
    Block<T>& part = scratch[static_cast<std::size_t>(worker)];
    if (!part) part = allocate<T>(room);
    for (std::int64_t column = 0; column < x.d; column += strip) {
      const Range range{column, std::min(x.d, column + strip)};
      const std::int64_t width = range.end - range.begin;
      products.center(views[i], rows, range, columns[i].center.data(), scale, part.get(), width, &prepared.k[first]);
      if (!total[i].empty()) {
        add_row_sums(part.get(), count, width, &total[i][static_cast<std::size_t>(column)], &prepared.q[first]);
      }
      if (layout.route == Route::features) clear_far(prepared.far.rows, rows, width, part.get());
      if (layout.route == Route::gram) {
        products.example_panel(part.get(), count, width,
                               chunk + products.steps(column) * products.lanes * products.cell_bytes);
      } else {
        products.feature_panels(part.get(), count, width, chunk + column * products.steps(count) * products.cell_bytes);
      }
    }
  });
  return prepared;
}

template Prepared prepare(const std::vector<View>&, const Layout&, const Implementation&, const Products<float>&, Pool&,
                          Sums&);
template Prepared prepare(const std::vector<View>&, const Layout&, const Implementation&, const Products<double>&,
                          Pool&, Sums&);

}  // namespace fastcka::cpu
