#include "grams.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "gram.hpp"
#include "prepare.hpp"
#include "triangle.hpp"

namespace fastcka::cpu {
namespace {

constexpr std::int64_t edge_panels = 12;  // of a tile; a multiple of the panels of every micro-tile

// u (m, n); see grams.hpp.
std::vector<double> centring_terms(const Prepared& prepared, Estimator estimator) {
  const std::int64_t n = prepared.n;
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const bool unbiased = estimator == Estimator::unbiased;
  const auto count = static_cast<double>(n);
  const double divisor = unbiased ? count - 2 : count;
  const double total_divisor = 2 * divisor * (unbiased ? count - 1 : count);
  std::vector<double> u(to_size(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    double total = 0;
    for (std::int64_t a = 0; a < n; ++a) {
      const std::size_t at = to_size(i * n + a);
      u[at] = (prepared.q.empty() ? 0 : prepared.q[at]) - (unbiased ? prepared.k[at] : 0);
      total += u[at];
    }
    for (std::int64_t a = 0; a < n; ++a) {
      double& value = u[to_size(i * n + a)];
      value = value / divisor - total / total_divisor;
    }
  }
  return u;
}

// A micro-tile of products, centred, to both sides of the diagonal.
template <class T>
void place(const MicroTile& micro, const Kernels<T>& kernels, const T* products, const double* u, std::int64_t i,
           Grams<T>& grams) {
  const std::int64_t n = grams.n;
  const std::int64_t first = micro.panel * kernels.lanes;
  const std::int64_t width = micro.panels * kernels.lanes;
  const std::int64_t end = std::min(n, first + width);
  for (std::int64_t a = micro.row; a < std::min(n, micro.row + kernels.rows); ++a) {
    const T* from = products + (a - micro.row) * width - first;
    T* row = grams.row_of(i, a);
    for (std::int64_t b = std::max(first, a + 1); b < end; ++b) {
      const auto value = static_cast<T>(static_cast<double>(from[b]) - u[a] - u[b]);
      row[b * 2] = value;
      grams.row_of(i, b)[a * 2] = value;
    }
  }
}

template <class T>
void multiply(const Prepared& prepared, const std::vector<double>& u, const Kernels<T>& kernels, Pool& pool,
              Grams<T>& grams) {
  const std::int64_t lanes = kernels.lanes;
  const Triangle triangle(ceil_div(grams.n, lanes), edge_panels);
  const std::int64_t room = kernels.rows * lanes * max_panels;
  std::vector<Block<T>> buffers(to_size(pool.threads()));
  pool.run(grams.m * triangle.count(), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const std::int64_t i = item / triangle.count();
    const Centered& x = prepared.x[to_size(i)];
    Block<T>& products = buffers[to_size(worker)];
    if (!products) products = allocate<T>(room);
    for (const MicroTile& micro :
         triangle.micro_tiles(triangle.tile(item % triangle.count()), kernels.rows, lanes, kernels.most_panels)) {
      for (std::int64_t k = 0; k < kernels.steps(x.d); k += gram_product_steps) {
        const std::int64_t steps = std::min(gram_product_steps, kernels.steps(x.d) - k);
        const std::int64_t before = k * lanes * kernels.cell_bytes;
        const void* columns[max_panels];
        for (std::int64_t p = 0; p < micro.panels; ++p) columns[p] = x.panel(micro.panel + p, lanes) + before;
        const std::byte* rows = x.panel(micro.row / lanes, lanes) + before + micro.row % lanes * kernels.cell_bytes;
        kernels.multiply(steps, rows, columns, micro.panels, products.get(), k > 0, rows);
      }
      place(micro, kernels, products.get(), &u[to_size(i * grams.n)], i, grams);
    }
  });
}

// Entries on the diagonal, and of a matrix that only fills a pair; then the norms.
template <class T>
void finish(const Prepared& prepared, const std::vector<double>& u, Estimator estimator, Pool& pool, Grams<T>& grams) {
  const std::int64_t n = grams.n;
  std::vector<double> sums(to_size(grams.m * n));
  pool.run(n, Pool::Progress::silent, [&](std::int64_t a, int) {
    for (std::int64_t i = -1; i < 2 * Grams<T>::pairs(grams.m) - 1; ++i) {
      T* row = grams.row_of(i, a);
      if (i < 0 || i >= grams.m) {
        for (std::int64_t b = 0; b < n; ++b) row[b * 2] = 0;
        continue;
      }
      const auto at = to_size(i * n + a);
      const double own = prepared.k[at] - 2 * u[at];
      row[a * 2] = estimator == Estimator::unbiased ? T{0} : static_cast<T>(own / std::sqrt(2.0));
      double sum = 0;
      for (std::int64_t b = a; b < n; ++b) {
        const auto value = static_cast<double>(row[b * 2]);
        sum += value * value;
      }
      sums[at] = 2 * sum;
    }
  });
  for (std::int64_t i = 0; i < grams.m; ++i) {
    double total = 0;
    for (std::int64_t a = 0; a < n; ++a) total += sums[to_size(i * n + a)];
    grams.norms.push_back(total);
  }
}

}  // namespace

template <class T>
Grams<T> centered_grams(const std::vector<View>& views, Estimator estimator, const Implementation& implementation,
                        const Kernels<T>& kernels, Pool& pool) {
  const auto m = static_cast<std::int64_t>(views.size());
  const std::int64_t n = views.front().n;
  Sums sums;
  Prepared prepared = prepare(views, {kernels.lanes, Route::gram}, m, implementation, kernels, pool, sums);
  if (!sums.non_finite.empty()) throw std::invalid_argument("a view holds values that are not finite");
  center(views, {0, m}, kernels, pool, prepared);
  Grams<T> grams{n, m, allocate<T>(Grams<T>::pairs(m) * n * n * 2), {}};
  const std::vector<double> u = centring_terms(prepared, estimator);
  multiply(prepared, u, kernels, pool, grams);
  finish(prepared, u, estimator, pool, grams);
  return grams;
}

template Grams<float> centered_grams(const std::vector<View>&, Estimator, const Implementation&, const Kernels<float>&,
                                     Pool&);
template Grams<double> centered_grams(const std::vector<View>&, Estimator, const Implementation&,
                                      const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
