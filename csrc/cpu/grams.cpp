#include "grams.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "panel_products.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {
namespace {

// u (n) of representation i; see grams.hpp.
std::vector<double> centring_terms(const Prepared& prepared, std::int64_t i, Estimator estimator) {
  const std::int64_t n = prepared.n;
  const bool unbiased = estimator == Estimator::unbiased;
  const auto count = static_cast<double>(n);
  const double divisor = unbiased ? count - 2 : count;
  const double total_divisor = 2 * divisor * (unbiased ? count - 1 : count);
  std::vector<double> u(to_size(n));
  double total = 0;
  for (std::int64_t a = 0; a < n; ++a) {
    const std::size_t entry = to_size(i * n + a);
    u[to_size(a)] = (prepared.q.empty() ? 0 : prepared.q[entry]) - (unbiased ? prepared.k[entry] : 0);
    total += u[to_size(a)];
  }
  for (double& value : u) value = value / divisor - total / total_divisor;
  return u;
}

// The entries of one matrix, on both sides of the diagonal and on it, and its norm.
template <class T>
void fill(const Prepared& prepared, std::int64_t i, const GramGroup& group, Estimator estimator,
          const Kernels<T>& kernels, Pool& pool, Grams<T>& grams) {
  const std::int64_t n = grams.n;
  const std::vector<double> u = centring_terms(prepared, i, estimator);
  T* entries = grams.row(group, 0) + (i - group.first);
  const auto entry = [&](std::int64_t a, std::int64_t b) -> T& { return entries[(a * n + b) * group.width]; };
  multiply_triangle(example_panels(prepared, i, kernels, pool), kernels, pool,
                    [&](std::int64_t, const std::vector<MicroTile>& micros, const T* v) {
                      for_each_entry(micros, n, kernels, v, [&](std::int64_t a, std::int64_t b, T value) {
                        const double centered = static_cast<double>(value) - u[to_size(a)] - u[to_size(b)];
                        entry(a, b) = entry(b, a) = static_cast<T>(centered);
                      });
                    });
  std::vector<double> squares(to_size(n));
  pool.run(n, Pool::Progress::silent, [&](std::int64_t a, int) {
    const double diagonal = prepared.k[to_size(i * n + a)] - 2 * u[to_size(a)];
    entry(a, a) = estimator == Estimator::unbiased ? T{0} : static_cast<T>(diagonal / std::sqrt(2.0));
    double sum = 0;
    for (std::int64_t b = a; b < n; ++b) {
      const auto value = static_cast<double>(entry(a, b));
      sum += value * value;
    }
    squares[to_size(a)] = 2 * sum;
  });
  double norm = 0;
  for (const double square : squares) norm += square;
  grams.norms.push_back(norm);
}

}  // namespace

std::vector<GramGroup> GramGroup::all(std::int64_t m) {
  std::vector<GramGroup> groups{{0, 1, 0}};
  while (groups.back().first + groups.back().width < m) {
    const GramGroup& last = groups.back();
    const std::int64_t first = last.first + last.width;
    const std::int64_t width = m - first > most_width / 2 ? most_width : most_width / 2;
    groups.push_back({first, width, last.before + last.width});
  }
  return groups;
}

template <class T>
Grams<T> centered_grams(const std::vector<View>& views, Estimator estimator, const Implementation& implementation,
                        const Kernels<T>& kernels, Pool& pool) {
  const auto m = static_cast<std::int64_t>(views.size());
  const std::int64_t n = views.front().n;
  Sums sums;
  Prepared prepared = prepare(views, {kernels.lanes, Route::gram}, 1, implementation, kernels, pool, {}, sums);
  if (!sums.non_finite.empty()) throw std::invalid_argument("a view contains values that are not finite");
  prepared.column_terms.clear();
  Grams<T> grams{
      n, m, GramGroup::all(m), allocate<T>(Grams<T>::bytes(n, m) / static_cast<std::int64_t>(sizeof(T))), {}};
  for (const GramGroup& group : grams.groups) {
    for (std::int64_t i = group.first; i < std::min(group.first + group.width, m); ++i) {
      center(views, {i, i + 1}, kernels, pool, prepared);
      fill(prepared, i, group, estimator, kernels, pool, grams);
    }
    if (group.first + group.width <= m) continue;
    const std::int64_t absent = m - group.first;
    pool.run(n, Pool::Progress::silent, [&](std::int64_t a, int) {
      T* row = grams.row(group, a);
      for (std::int64_t b = 0; b < n; ++b) std::fill(row + b * group.width + absent, row + (b + 1) * group.width, T{0});
    });
  }
  return grams;
}

template Grams<float> centered_grams(const std::vector<View>&, Estimator, const Implementation&, const Kernels<float>&,
                                     Pool&);
template Grams<double> centered_grams(const std::vector<View>&, Estimator, const Implementation&,
                                      const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
