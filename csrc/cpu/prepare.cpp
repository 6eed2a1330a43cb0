#include "prepare.hpp"

#include <algorithm>
#include <cmath>

namespace fastcka::cpu {
namespace {

// Examples whose column sums are one partial sum: fixed by the problem, so that the means do not depend on the threads,
// and at most 64 of them, so that they stay small beside the data.
std::int64_t statistics_rows(std::int64_t n) { return std::max<std::int64_t>(1024, (n + 63) / 64); }

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

struct Columns {
  std::vector<double> sum, min, max;  // (row blocks, d)
};

// The column means, into the first row of sum, and the power of two that brings the centred values into [-1, 1].
void finish_columns(const View& view, Columns& columns, std::int64_t blocks, int& exponent, bool& constant,
                    bool& finite) {
  const std::int64_t d = view.d;
  double largest = 0;
  finite = true;
  for (std::int64_t j = 0; j < d; ++j) {
    double sum = columns.sum[static_cast<std::size_t>(j)];
    double min = columns.min[static_cast<std::size_t>(j)];
    double max = columns.max[static_cast<std::size_t>(j)];
    for (std::int64_t block = 1; block < blocks; ++block) {
      const auto at = static_cast<std::size_t>(block * d + j);
      sum += columns.sum[at];
      min = std::min(min, columns.min[at]);
      max = std::max(max, columns.max[at]);
    }
    finite = finite && std::isfinite(sum);
    // A feature that never varies has exactly its value as mean, so that it is centred to exactly zero.
    const double mean = min == max ? min : sum / static_cast<double>(view.n);
    largest = std::max({largest, max - mean, mean - min});
    columns.sum[static_cast<std::size_t>(j)] = mean;
  }
  finite = finite && std::isfinite(largest);
  constant = largest == 0;
  exponent = 0;
  // 2^-exponent must itself be a float64, which it would not be for subnormal data.
  if (finite && !constant) exponent = std::max(std::ilogb(largest) + 1, -1000);
}

double value_at(const View& view, std::int64_t row, std::int64_t column) {
  const char* from = static_cast<const char*>(view.data) + row * view.row_stride + column * view.column_stride;
  switch (view.dtype) {
    case DType::float64: {
      double x;
      __builtin_memcpy(&x, from, sizeof x);
      return x;
    }
    case DType::float32: {
      float x;
      __builtin_memcpy(&x, from, sizeof x);
      return static_cast<double>(x);
    }
    case DType::float16:
    case DType::bfloat16: {
      // Only finiteness is asked for: all exponent bits set means NaN or infinity.
      std::uint16_t bits;
      __builtin_memcpy(&bits, from, sizeof bits);
      const std::uint16_t mask = view.dtype == DType::float16 ? 0x7c00 : 0x7f80;
      return (bits & mask) == mask ? std::nan("") : 0.0;
    }
  }
  return 0.0;
}

NonFinite locate(const View& view, std::int64_t representation) {
  NonFinite found{representation, 0, -1, -1};
  for (std::int64_t row = 0; row < view.n; ++row) {
    for (std::int64_t column = 0; column < view.d; ++column) {
      if (std::isfinite(value_at(view, row, column))) continue;
      if (found.count++ == 0) found.row = row, found.column = column;
    }
  }
  return found;
}

template <class T>
void write_example_panel(const T* rows, std::int64_t count, std::int64_t d, std::int64_t pitch, std::int64_t lanes,
                         T* out) {
  for (std::int64_t k = 0; k < d; ++k, out += lanes) {
    for (std::int64_t lane = 0; lane < count; ++lane) out[lane] = rows[lane * pitch + k];
    std::fill(out + count, out + lanes, T{0});
  }
}

template <class T>
void write_feature_panels(const T* rows, std::int64_t count, std::int64_t d, std::int64_t pitch, std::int64_t lanes,
                          T* out) {
  for (std::int64_t j0 = 0; j0 < d; j0 += lanes) {
    const std::int64_t width = std::min(lanes, d - j0);
    for (std::int64_t row = 0; row < count; ++row, out += lanes) {
      std::copy_n(rows + row * pitch + j0, width, out);
      std::fill(out + width, out + lanes, T{0});
    }
  }
}

// Places for the centred copies: a staged buffer itself, or a part of one common block.
template <class T>
void place(const std::vector<View>& views, const Panels& panels, Prepared<T>& prepared) {
  std::int64_t total = 0;
  std::vector<std::int64_t> offsets;
  for (const View& view : views) {
    const std::int64_t pitch = panels.route == Route::gram && !view.staged ? view.d : round_up(view.d, panels.lanes);
    const std::int64_t rows = panels.route == Route::gram ? round_up(view.n, panels.lanes) : view.n;
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

// Work items of one representation after another: `count` of each.
struct Items {
  std::vector<std::int64_t> begin{0};

  void add(std::int64_t count) { begin.push_back(begin.back() + count); }
  std::int64_t total() const { return begin.back(); }
  std::size_t owner(std::int64_t item) const {
    return static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), item) - begin.begin() - 1);
  }
};

}  // namespace

template <class T>
Prepared<T> prepare(const std::vector<View>& views, const Panels& panels, const Implementation& implementation,
                    Pool& pool, Sums& sums) {
  const std::size_t m = views.size();
  const std::int64_t n = views.front().n;
  Prepared<T> prepared{n, panels, {}, nullptr};
  sums.exponent.assign(m, 0);
  sums.constant.assign(m, false);
  sums.k.assign(m * static_cast<std::size_t>(n), 0.0);

  const std::int64_t block_rows = statistics_rows(n);
  const std::int64_t blocks = divide_up(n, block_rows);
  std::vector<Columns> columns(m);
  for (std::size_t i = 0; i < m; ++i) {
    const auto size = static_cast<std::size_t>(blocks * views[i].d);
    columns[i] = {std::vector<double>(size), std::vector<double>(size), std::vector<double>(size)};
  }
  pool.run(static_cast<std::int64_t>(m) * blocks, Pool::Progress::silent, [&](std::int64_t item, int) {
    const auto i = static_cast<std::size_t>(item / blocks);
    const std::int64_t block = item % blocks;
    const std::int64_t begin = block * block_rows;
    const std::int64_t at = block * views[i].d;
    implementation.column_statistics(
        views[i], begin, std::min(n, begin + block_rows),
        {&columns[i].sum[static_cast<std::size_t>(at)], &columns[i].min[static_cast<std::size_t>(at)],
         &columns[i].max[static_cast<std::size_t>(at)]});
  });
  for (std::size_t i = 0; i < m; ++i) {
    bool constant = false;
    bool finite = true;
    finish_columns(views[i], columns[i], blocks, sums.exponent[i], constant, finite);
    sums.constant[i] = constant;
    if (!finite) sums.non_finite.push_back(locate(views[i], static_cast<std::int64_t>(i)));
  }
  if (!sums.non_finite.empty()) return prepared;

  place(views, panels, prepared);
  const std::int64_t chunks = divide_up(n, panels.chunk);
  const std::int64_t widest =
      std::max_element(views.begin(), views.end(), [](const View& a, const View& b) { return a.d < b.d; })->d;
  std::vector<Block<T>> scratch(static_cast<std::size_t>(pool.threads()));
  const Products<T>& products = implementation.products<T>();
  pool.run(static_cast<std::int64_t>(m) * chunks, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const auto i = static_cast<std::size_t>(item / chunks);
    const std::int64_t begin = item % chunks * panels.chunk;
    const std::int64_t end = std::min(n, begin + panels.chunk);
    const Centered<T>& x = prepared.x[i];
    Block<T>& rows = scratch[static_cast<std::size_t>(worker)];
    if (!rows) rows = allocate<T>(panels.chunk * widest);
    products.center(views[i], begin, end, columns[i].sum.data(), std::ldexp(1.0, -sums.exponent[i]), rows.get(), x.d,
                    &sums.k[i * static_cast<std::size_t>(n) + static_cast<std::size_t>(begin)]);
    T* out = x.data + begin * x.pitch;
    const auto write = panels.route == Route::gram ? write_example_panel<T> : write_feature_panels<T>;
    write(rows.get(), end - begin, x.d, x.d, panels.lanes, out);
  });
  return prepared;
}

template Prepared<float> prepare(const std::vector<View>&, const Panels&, const Implementation&, Pool&, Sums&);
template Prepared<double> prepare(const std::vector<View>&, const Panels&, const Implementation&, Pool&, Sums&);

}  // namespace fastcka::cpu
