#include "third_moments.hpp"

#include <algorithm>

#include "cubes.hpp"
#include "far_moments.hpp"
#include "near_features.hpp"
#include "panel_products.hpp"
#include "symmetric.hpp"

namespace fastcka::cpu {

ThirdMoments::ThirdMoments(std::int64_t n, const std::vector<Route>& routes, std::int64_t lanes)
    : n_(n),
      m_(static_cast<std::int64_t>(routes.size())),
      pitch_(round_up(n, lanes * max_panels)),
      routes_(routes),
      u_(to_size(m_ * pitch_)),
      weight_(u_.size()),
      diagonal_(u_.size()),
      near_(u_.size()),
      trace_(to_size(m_)),
      diagonal_cubes_(to_size(m_)),
      widths_(to_size(m_)),
      entries_(to_size(m_)) {}

MomentBytes ThirdMoments::bytes(std::int64_t n, const std::vector<std::int64_t>& widths,
                                const std::vector<Route>& routes, Route route, std::int64_t edge,
                                const ProductShape& shape) {
  const auto m = static_cast<std::int64_t>(widths.size());
  const std::int64_t widest = *std::max_element(widths.begin(), widths.end());
  const std::int64_t examples = round_up(n, shape.lanes * max_panels);
  const std::int64_t size = std::min(n, widest);
  std::int64_t copy = examples * round_up(widest, shape.lanes) / shape.values * shape.cell_bytes;
  const std::int64_t matrix = round_up(size, shape.lanes) * size * static_cast<std::int64_t>(sizeof(double));
  const std::int64_t tiles = tiles_of(n, shape.lanes, route == Route::gram ? edge : 2 * shape.step);
  MomentBytes cubes{};
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (routes[i] == Route::gram) continue;
    const MomentBytes bytes = cube_bytes(n, widths[i]);
    cubes = {std::max(cubes.shared, bytes.shared), std::max(cubes.thread, bytes.thread)};
    // Of pairs of values, a second copy of single ones.
    if (shape.values > 1) copy = std::max(copy, examples * round_up(widths[i], shape.lanes) * 3 * shape.sum_bytes / 2);
  }
  cubes.shared += 4 * m * examples * static_cast<std::int64_t>(sizeof(double)) + copy + matrix +
                  (route == Route::gram ? m : 1) * tiles * static_cast<std::int64_t>(sizeof(EntrySums));
  return cubes;
}

ExampleTerms ThirdMoments::terms(std::int64_t i, std::int64_t begin) const {
  const auto place = to_size(i * pitch_ + begin);
  return {&u_[place], &weight_[place], &diagonal_[place], &near_[place]};
}

ExampleTerm ThirdMoments::term(std::int64_t i, std::int64_t example) const {
  const auto place = to_size(i * pitch_ + example);
  return {u_[place], weight_[place], diagonal_[place], near_[place]};
}

void ThirdMoments::take(const Prepared& prepared, std::int64_t i) {
  widths_[to_size(i)] = prepared.x[to_size(i)].d;
  const std::vector<std::int64_t>& example = prepared.folds.example;
  const std::int64_t absent = std::count(example.begin(), example.end(), -1);
  const auto n = static_cast<double>(n_ - absent);
  const auto is_absent = [&](std::int64_t a) { return absent > 0 && example[to_size(a)] < 0; };
  const double* k = &prepared.k[to_size(i * n_)];
  const double* q = prepared.q.empty() ? nullptr : &prepared.q[to_size(i * n_)];
  const auto q_of = [q](std::int64_t a) { return q == nullptr ? 0.0 : q[a]; };
  double q_total = 0;
  double r_total = 0;
  for (std::int64_t a = 0; a < n_; ++a) {
    q_total += q_of(a);
    r_total += q_of(a) - k[a];
  }
  double* u = &u_[to_size(i * pitch_)];
  double* weight = &weight_[to_size(i * pitch_)];
  double* diagonal = &diagonal_[to_size(i * pitch_)];
  double* near = &near_[to_size(i * pitch_)];
  double mean = 0;
  std::fill_n(near, n_, 1.0);
  for (const std::int64_t a : prepared.far.rows) near[a] = 0;
  for (std::int64_t a = 0; a < n_; ++a) {
    if (is_absent(a)) {
      near[a] = 0;
      continue;
    }
    u[a] = (q_of(a) - k[a]) / (n - 2) - r_total / (2 * (n - 1) * (n - 2));
    weight[a] = k[a] - 2 * q_of(a) / n + q_total / (n * n);
    mean += weight[a] / n;
    diagonal[a] = near[a] * (k[a] - 2 * u[a]);
  }
  double cubes = 0;
  EntrySums& entries = entries_[to_size(i)];
  for (std::int64_t a = 0; a < n_; ++a) {
    if (is_absent(a)) continue;
    weight[a] -= mean;
    cubes += weight[a] * weight[a] * weight[a];
    if (!needs_tiles(i)) continue;
    // With a row of zeros, the tiles have an entry -u.
    entries[0] += static_cast<double>(absent) * u[a] * u[a] * u[a];
    entries[1] -= static_cast<double>(absent) * u[a] * u[a] * weight[a];
  }
  diagonal_cubes_[to_size(i)] = cubes;
}

template <class T>
EntrySums ThirdMoments::of_tile(std::int64_t i, const std::vector<MicroTile>& micros, const T* v,
                                const Kernels<T>& kernels) const {
  EntrySums sums{};
  for (const MicroTile& micro : micros) {
    const std::int64_t width = micro.panels * kernels.lanes;
    const std::int64_t first = micro.panel * kernels.lanes;
    for (std::int64_t r = 0; r < micro.rows && micro.row + r < n_; ++r) {
      const std::int64_t above = std::clamp<std::int64_t>(micro.row + r - first + 1, 0, width);
      const std::int64_t end = std::min(width, n_ - first);
      if (above >= end) continue;
      kernels.row_moments(v + micro.offset + r * width + above, end - above, terms(i, first + above),
                          term(i, micro.row + r), sums.data());
    }
  }
  return sums;
}

void ThirdMoments::add(std::int64_t i, const EntrySums& sums) {
  for (std::size_t s = 0; s < sums.size(); ++s) entries_[to_size(i)][s] += sums[s];
}

template <class T>
void ThirdMoments::trace(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, const Kernels<T>& single,
                         const Kernels<double>& float64, Pool& pool) {
  const bool with_far = !prepared.far.rows.empty();
  const ExampleTerms example = terms(i, 0);
  double& total = trace_[to_size(i)];
  if (by_features(i)) {
    const NearFeatures<T> near(prepared, i, example, kernels, float64, pool);
    total = near.trace(pool);
    const bool with_entries = routes_[to_size(i)] == Route::features;
    if (with_entries) add(i, near.entries(single, pool));
    if (with_far) {
      const FarMoments far = far_moments(prepared, i, example, near, kernels, float64, pool);
      total += far.trace;
      if (with_entries) add(i, far.entries);
    }
    if (with_entries || prepared.format.route == Route::gram) return;
  }
  const bool with_entries = prepared.format.route == Route::features;
  std::vector<EntrySums> parts(to_size(with_entries ? tiles_of(n_, kernels.lanes, edge_of(kernels)) : 0));
  Symmetric near(by_features(i) ? 1 : n_, float64);
  multiply_triangle(example_panels(prepared, i, kernels, pool), kernels, pool,
                    [&](std::int64_t item, const std::vector<MicroTile>& micros, const T* v) {
                      if (with_entries) parts[to_size(item)] = of_tile(i, micros, v, kernels);
                      if (by_features(i)) return;
                      for_each_entry(micros, n_, kernels, v, [&](std::int64_t a, std::int64_t b, T value) {
                        if (a == b || example.near[a] * example.near[b] == 0) return;
                        near.set(a, b, static_cast<double>(value) - example.u[a] - example.u[b]);
                      });
                    });
  for (const EntrySums& part : parts) add(i, part);
  if (by_features(i)) return;
  total = near.trace_of_cube(pool);
  if (with_far) total += far_moments(prepared, i, example, near, kernels, float64, pool).trace;
}

void ThirdMoments::finish(Sums& sums) const {
  for (std::int64_t i = 0; i < m_; ++i) {
    const EntrySums& entries = entries_[to_size(i)];
    sums.cubes.push_back(2 * entries[0]);
    sums.weighted_squares.push_back(entries[1]);
    sums.weighted_sum.push_back(2 * entries[2]);
    sums.triangles.push_back(trace_[to_size(i)] - (by_features(i) ? 3 * entries[3] : 0));
  }
  sums.diagonal_cubes = diagonal_cubes_;
}

template EntrySums ThirdMoments::of_tile(std::int64_t, const std::vector<MicroTile>&, const float*,
                                         const Kernels<float>&) const;
template EntrySums ThirdMoments::of_tile(std::int64_t, const std::vector<MicroTile>&, const double*,
                                         const Kernels<double>&) const;
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<float>&, const Kernels<float>&,
                                  const Kernels<double>&, Pool&);
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<double>&, const Kernels<double>&,
                                  const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
