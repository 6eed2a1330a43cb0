#include "prepare.hpp"

#include <algorithm>
#include <cmath>

#include "columns.hpp"

namespace fastcka::cpu {
namespace {

std::int64_t round_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b * b; }

// Rows of `d` columns to [d][lanes]; absent lanes are zero.
template <class T>
void write_example_panel(const T* rows, std::int64_t count, std::int64_t d, std::int64_t lanes, T* out) {
  for (std::int64_t k = 0; k < d; ++k, out += lanes) {
    for (std::int64_t lane = 0; lane < count; ++lane) out[lane] = rows[lane * d + k];
    std::fill(out + count, out + lanes, T{0});
  }
}

// Rows of `d` columns to panels of [count][lanes]; absent lanes are zero.
template <class T>
void write_feature_panels(const T* rows, std::int64_t count, std::int64_t d, std::int64_t lanes, T* out) {
  for (std::int64_t j0 = 0; j0 < d; j0 += lanes) {
    const std::int64_t width = std::min(lanes, d - j0);
    for (std::int64_t row = 0; row < count; ++row, out += lanes) {
      std::copy_n(rows + row * d + j0, width, out);
      std::fill(out + width, out + lanes, T{0});
    }
  }
}

// Columns that are centred before they are laid out. A staged chunk must have been read to its end before it is
// overwritten; otherwise a strip of the width of 64 panels is enough.
std::int64_t strip_of(const View& view, const Layout& layout) {
  return view.staged ? view.d : std::min(view.d, 64 * layout.lanes);
}

// Places for the centred copies: a staged buffer itself, or a part of one common block.
template <class T>
void place(const std::vector<View>& views, Prepared<T>& prepared) {
  const Layout& layout = prepared.layout;
  std::int64_t total = 0;
  std::vector<std::int64_t> offsets;
  for (const View& view : views) {
    const bool exact = layout.route == Route::gram && !view.staged;
    const std::int64_t pitch = exact ? view.d : round_up(view.d, layout.lanes);
    const std::int64_t rows = layout.route == Route::gram ? round_up(view.n, layout.lanes) : view.n;
    prepared.x.push_back({nullptr, view.d, pitch});
    offsets.push_back(total);
    if (!view.staged) total += round_up(rows * pitch, staging_lanes);
  }
  prepared.copy = allocate<T>(std::max<std::int64_t>(total, 1));
  for (std::size_t i = 0; i < views.size(); ++i) {
    prepared.x[i].data =
        views[i].staged ? static_cast<T*>(const_cast<void*>(views[i].data)) : prepared.copy.get() + offsets[i];
  }
}

}  // namespace

template <class T>
Prepared<T> prepare(const std::vector<View>& views, const Layout& layout, const Implementation& implementation,
                    Pool& pool, Sums& sums) {
  const std::size_t m = views.size();
  const std::int64_t n = views.front().n;
  Prepared<T> prepared{n, layout, {}, nullptr};
  const std::vector<Columns> columns = describe_columns(views, implementation, pool, sums.non_finite);
  if (!sums.non_finite.empty()) return prepared;
  for (const Columns& of : columns) {
    sums.exponent.push_back(of.exponent);
    sums.constant.push_back(of.constant);
  }
  sums.k.assign(m * static_cast<std::size_t>(n), 0.0);

  place(views, prepared);
  const std::int64_t chunks = (n + layout.chunk - 1) / layout.chunk;
  std::int64_t room = 0;
  for (const View& view : views) room = std::max(room, layout.chunk * strip_of(view, layout));
  std::vector<Block<T>> scratch(static_cast<std::size_t>(pool.threads()));
  const Products<T>& products = implementation.products<T>();
  pool.run(static_cast<std::int64_t>(m) * chunks, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const auto i = static_cast<std::size_t>(item / chunks);
    const std::int64_t begin = item % chunks * layout.chunk;
    const Range rows{begin, std::min(n, begin + layout.chunk)};
    const std::int64_t count = rows.end - rows.begin;
    const Centered<T>& x = prepared.x[i];
    T* chunk = x.data + begin * x.pitch;
    const double scale = std::ldexp(1.0, -columns[i].exponent);
    const std::int64_t strip = strip_of(views[i], layout);
    Block<T>& part = scratch[static_cast<std::size_t>(worker)];
    if (!part) part = allocate<T>(room);
    for (std::int64_t column = 0; column < x.d; column += strip) {
      const Range range{column, std::min(x.d, column + strip)};
      const std::int64_t width = range.end - range.begin;
      products.center(views[i], rows, range, columns[i].mean.data(), scale, part.get(), width,
                      &sums.k[i * static_cast<std::size_t>(n) + static_cast<std::size_t>(begin)]);
      if (layout.route == Route::gram) {
        write_example_panel(part.get(), count, width, layout.lanes, chunk + column * layout.lanes);
      } else {
        write_feature_panels(part.get(), count, width, layout.lanes, chunk + column * count);
      }
    }
  });
  return prepared;
}

template Prepared<float> prepare(const std::vector<View>&, const Layout&, const Implementation&, Pool&, Sums&);
template Prepared<double> prepare(const std::vector<View>&, const Layout&, const Implementation&, Pool&, Sums&);

}  // namespace fastcka::cpu
