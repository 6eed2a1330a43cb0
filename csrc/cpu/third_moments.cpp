#include "third_moments.hpp"

#include <algorithm>

#include "panel_products.hpp"
#include "symmetric.hpp"

namespace fastcka::cpu {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

ThirdMoments::ThirdMoments(std::int64_t n, std::int64_t m, std::int64_t lanes)
    : n_(n),
      m_(m),
      pitch_(round_up(n, lanes * max_panels)),
      u_(to_size(m * pitch_)),
      weight_(u_.size()),
      diagonal_(u_.size()),
      near_(u_.size()),
      trace_(to_size(m)),
      diagonal_cubes_(to_size(m)),
      by_features_(to_size(m)),
      entries_(to_size(m)) {}

std::int64_t ThirdMoments::bytes(std::int64_t n, const std::vector<std::int64_t>& widths, Route route,
                                 std::int64_t edge, const ProductShape& shape) {
  const auto m = static_cast<std::int64_t>(widths.size());
  const std::int64_t widest = *std::max_element(widths.begin(), widths.end());
  const std::int64_t examples = round_up(n, shape.lanes * max_panels);
  const std::int64_t size = std::min(n, widest);
  const std::int64_t copy = examples * round_up(widest, shape.lanes) / shape.values * shape.cell_bytes;
  const std::int64_t matrix = round_up(size, shape.lanes) * size * static_cast<std::int64_t>(sizeof(double));
  const std::int64_t tiles = tiles_of(n, shape.lanes, route == Route::gram ? edge : 2 * shape.step);
  return 4 * m * examples * static_cast<std::int64_t>(sizeof(double)) + copy + matrix +
         (route == Route::gram ? m : 1) * tiles * static_cast<std::int64_t>(sizeof(EntrySums));
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

// tr B^3 - sum D^3 of the near examples.
template <class T>
double ThirdMoments::feature_cube(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels,
                                  const Kernels<double>& float64, Pool& pool) const {
  const std::int64_t d = prepared.x[to_size(i)].d;
  Symmetric gram(d, float64);
  multiply_triangle(feature_panels(prepared, i, kernels, pool), kernels, pool,
                    [&](std::int64_t, const std::vector<MicroTile>& micros, const T* v) {
                      for_each_entry(micros, d, kernels, v, [&](std::int64_t row, std::int64_t column, T value) {
                        gram.set(row, column, static_cast<double>(value));
                      });
                    });
  // s = X^T 1 and y = X^T u, block by block in the order of the examples.
  const std::int64_t block = block_of(prepared);
  const std::int64_t blocks = ceil_div(n_, block);
  std::vector<std::vector<double>> parts(to_size(blocks));
  const ExampleTerms example = terms(i, 0);
  pool.run(blocks, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const std::int64_t begin = item * block;
    const std::int64_t count = std::min(block, n_ - begin);
    const Block<T> rows = allocate<T>(count * d);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    std::vector<double>& part = parts[to_size(item)];
    part.resize(to_size(2 * d));
    for (std::int64_t row = 0; row < count; ++row) {
      const double u = example.u[begin + row];
      for (std::int64_t j = 0; j < d; ++j) {
        const auto x = static_cast<double>(rows[to_size(row * d + j)]);
        part[to_size(j)] += x;
        part[to_size(d + j)] += u * x;
      }
    }
  });
  std::vector<double> s(to_size(d));
  std::vector<double> y(to_size(d));
  for (const std::vector<double>& part : parts) {
    for (std::size_t j = 0; j < s.size(); ++j) {
      s[j] += part[j];
      y[j] += part[s.size() + j];
    }
  }
  double count = 0;
  double u1 = 0;
  double u2 = 0;
  double cubes = 0;
  for (std::int64_t a = 0; a < n_; ++a) {
    const double u = example.near[a] * example.u[a];
    count += example.near[a];
    u1 += u;
    u2 += u * u;
    cubes += example.diagonal[a] * example.diagonal[a] * example.diagonal[a];
  }
  const double squares = -2 * dot(s, gram.times(y));
  const double products = 2 * u1 * dot(s, y) + count * dot(y, y) + u2 * dot(s, s);
  return gram.trace_of_cube(pool) + 3 * squares + 3 * products - 2 * u1 * u1 * u1 - 6 * u1 * count * u2 - cubes;
}

// The terms of tr U^3 with far examples: with C the far columns of U and Z its far block,
// 3 tr(N C C^T) + 3 tr(C^T C Z) + tr Z^3.
template <class T>
double ThirdMoments::far_part(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels) const {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  const double* far_rows = prepared.far.x[to_size(i)].data();
  const ExampleTerms example = terms(i, 0);
  std::vector<double> c(to_size(far * n_));  // rows of C^T
  std::vector<double> xc(to_size(far * d));  // C^T X
  const std::int64_t block = block_of(prepared);
  const Block<T> rows = allocate<T>(block * d);
  for (std::int64_t begin = 0; begin < n_; begin += block) {
    const std::int64_t count = std::min(block, n_ - begin);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    for (std::int64_t f = 0; f < far; ++f) {
      const double* x_far = far_rows + f * d;
      const double u_far = example.u[prepared.far.rows[to_size(f)]];
      for (std::int64_t row = 0; row < count; ++row) {
        const std::int64_t a = begin + row;
        if (example.near[a] == 0) continue;
        const T* x = rows.get() + row * d;
        double entry = -u_far - example.u[a];
        for (std::int64_t j = 0; j < d; ++j) entry += static_cast<double>(x[j]) * x_far[j];
        c[to_size(f * n_ + a)] = entry;
        for (std::int64_t j = 0; j < d; ++j) xc[to_size(f * d + j)] += entry * static_cast<double>(x[j]);
      }
    }
  }
  const auto z = [&](std::int64_t f, std::int64_t g) {
    double entry = -example.u[prepared.far.rows[to_size(f)]] - example.u[prepared.far.rows[to_size(g)]];
    for (std::int64_t j = 0; j < d; ++j) entry += far_rows[f * d + j] * far_rows[g * d + j];
    return f == g ? 0.0 : entry;
  };
  std::vector<double> block_z(to_size(far * far));
  for (std::int64_t f = 0; f < far; ++f) {
    for (std::int64_t g = 0; g < far; ++g) block_z[to_size(f * far + g)] = z(f, g);
  }
  double total = 0;
  for (std::int64_t f = 0; f < far; ++f) {
    double squares = 0;
    double ones = 0;
    double us = 0;
    double diagonal = 0;
    const double* column = &c[to_size(f * n_)];
    for (std::int64_t j = 0; j < d; ++j) squares += xc[to_size(f * d + j)] * xc[to_size(f * d + j)];
    for (std::int64_t a = 0; a < n_; ++a) {
      ones += column[a];
      us += column[a] * example.u[a];
      diagonal += example.diagonal[a] * column[a] * column[a];
    }
    total += 3 * (squares - 2 * ones * us - diagonal);
    for (std::int64_t g = 0; g < far; ++g) {
      double product = 0;
      for (std::int64_t a = 0; a < n_; ++a) product += column[a] * c[to_size(g * n_ + a)];
      double square = 0;
      for (std::int64_t h = 0; h < far; ++h) square += block_z[to_size(f * far + h)] * block_z[to_size(h * far + g)];
      total += (3 * product + square) * block_z[to_size(f * far + g)];
    }
  }
  return total;
}

template <class T>
void ThirdMoments::trace(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels,
                         const Kernels<double>& float64, Pool& pool) {
  const bool by_features = prepared.x[to_size(i)].d <= n_;
  by_features_[to_size(i)] = by_features;
  double total = by_features ? feature_cube(prepared, i, kernels, float64, pool) : 0;
  if (prepared.format.route == Route::features || !by_features) {
    std::vector<EntrySums> parts(to_size(tiles_of(n_, kernels.lanes, edge_of(kernels))));
    const ExampleTerms example = terms(i, 0);
    Symmetric near(by_features ? 1 : n_, float64);
    multiply_triangle(example_panels(prepared, i, kernels, pool), kernels, pool,
                      [&](std::int64_t item, const std::vector<MicroTile>& micros, const T* v) {
                        parts[to_size(item)] = of_tile(i, micros, v, kernels);
                        if (by_features) return;
                        for_each_entry(micros, n_, kernels, v, [&](std::int64_t a, std::int64_t b, T value) {
                          if (a == b || example.near[a] * example.near[b] == 0) return;
                          near.set(a, b, static_cast<double>(value) - example.u[a] - example.u[b]);
                        });
                      });
    if (prepared.format.route == Route::features) {
      for (const EntrySums& part : parts) add(i, part);
    }
    if (!by_features) total = near.trace_of_cube(pool);
  }
  if (!prepared.far.rows.empty()) total += far_part(prepared, i, kernels);
  trace_[to_size(i)] = total;
}

void ThirdMoments::finish(Sums& sums) const {
  for (std::int64_t i = 0; i < m_; ++i) {
    const EntrySums& entries = entries_[to_size(i)];
    sums.cubes.push_back(2 * entries[0]);
    sums.weighted_squares.push_back(entries[1]);
    sums.weighted_sum.push_back(2 * entries[2]);
    sums.triangles.push_back(trace_[to_size(i)] - (by_features_[to_size(i)] ? 3 * entries[3] : 0));
  }
  sums.diagonal_cubes = diagonal_cubes_;
}

template EntrySums ThirdMoments::of_tile(std::int64_t, const std::vector<MicroTile>&, const float*,
                                         const Kernels<float>&) const;
template EntrySums ThirdMoments::of_tile(std::int64_t, const std::vector<MicroTile>&, const double*,
                                         const Kernels<double>&) const;
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<float>&, const Kernels<double>&, Pool&);
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<double>&, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
