#include "third_moments.hpp"

#include <algorithm>

#include "gram.hpp"
#include "loops/arranged.hpp"
#include "threads/memory.hpp"
#include "unpack.hpp"

namespace fastcka::cpu {
namespace {

// Examples that are unpacked at once; a multiple of all lanes and of pairs.
constexpr std::int64_t rows_at_once = 64;

template <class T>
std::int64_t edge_of(const Kernels<T>& kernels) {
  return 2 * kernels.lanes * kernels.most_panels;
}

// Vectors in contiguous panels of `depth` values.
struct Panels {
  Block<std::byte> data;
  std::int64_t vectors;
  std::int64_t depth;

  template <class T>
  static Panels of(std::int64_t vectors, std::int64_t depth, const Kernels<T>& kernels) {
    const std::int64_t bytes = ceil_div(vectors, kernels.lanes) * panel_bytes(depth, kernels);
    return {allocate<std::byte>(bytes), vectors, depth};
  }
  template <class T>
  static std::int64_t panel_bytes(std::int64_t depth, const Kernels<T>& kernels) {
    return kernels.steps(depth) * kernels.lanes * kernels.cell_bytes;
  }
};

// The rows [begin, begin + count) of a representation; far examples zero or not.
template <class T>
void rows_of(const Prepared& prepared, std::int64_t i, std::int64_t begin, std::int64_t count, bool without_far,
             const Kernels<T>& kernels, T* rows) {
  const Centered& x = prepared.x[to_size(i)];
  const Route route = prepared.format.route;
  // In route F, parts of a chunk are not contiguous.
  const std::int64_t chunk = route == Route::features ? prepared.format.chunk : count;
  for (std::int64_t at = 0; at < count; at += chunk) {
    unpack(x, route, begin + at, std::min(chunk, count - at), kernels, rows + at * x.d);
  }
  set_far(prepared.far, i, without_far, begin, count, x.d, rows);
}

std::int64_t block_of(const Prepared& prepared) {
  return prepared.format.route == Route::features ? prepared.format.chunk : rows_at_once;
}

template <class T>
Panels feature_panels(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const std::int64_t n = prepared.n;
  const std::int64_t lanes = kernels.lanes;
  Panels panels = Panels::of(d, n, kernels);
  const std::int64_t block = block_of(prepared);
  pool.run(ceil_div(n, block), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const std::int64_t begin = item * block;
    const std::int64_t count = std::min(block, n - begin);
    const Block<T> rows = allocate<T>(count * d);
    const Block<T> part = allocate<T>(count * lanes);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    for (std::int64_t column = 0; column < d; column += lanes) {
      const std::int64_t width = std::min(lanes, d - column);
      for (std::int64_t row = 0; row < count; ++row) {
        std::copy_n(rows.get() + row * d + column, width, part.get() + row * width);
      }
      kernels.feature_panels(part.get(), count, width,
                             panels.data.get() + column / lanes * Panels::panel_bytes(n, kernels) +
                                 kernels.steps(begin) * lanes * kernels.cell_bytes);
    }
  });
  return panels;
}

template <class T>
Panels example_panels(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const std::int64_t n = prepared.n;
  const std::int64_t lanes = kernels.lanes;
  Panels panels = Panels::of(n, d, kernels);
  const std::int64_t block = round_up(block_of(prepared), lanes);
  pool.run(ceil_div(n, block), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const std::int64_t begin = item * block;
    const std::int64_t count = std::min(block, n - begin);
    const Block<T> rows = allocate<T>(count * d);
    rows_of(prepared, i, begin, count, false, kernels, rows.get());
    for (std::int64_t row = 0; row < count; row += lanes) {
      kernels.example_panel(rows.get() + row * d, std::min(lanes, count - row), d,
                            panels.data.get() + (begin + row) / lanes * Panels::panel_bytes(d, kernels));
    }
  });
  return panels;
}

// body(item, micro-tiles, products) for each tile of the upper triangle of the vectors' inner products.
template <class T, class Body>
std::int64_t multiply_triangle(const Panels& panels, const Kernels<T>& kernels, Pool& pool, const Body& body) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t edge = edge_of(kernels);
  const std::int64_t step_bytes = lanes * kernels.cell_bytes;
  const std::int64_t panel_bytes = Panels::panel_bytes(panels.depth, kernels);
  const Triangle triangle(ceil_div(panels.vectors, lanes), edge / lanes);
  std::vector<Block<T>> buffers(to_size(pool.threads()));
  std::vector<Arranged> arranged(to_size(pool.threads()));
  pool.run(triangle.count(), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const Tile tile = triangle.tile(item);
    const std::vector<MicroTile> micros = triangle.micro_tiles(tile, kernels.rows, lanes, kernels.most_panels);
    Block<T>& out = buffers[to_size(worker)];
    if (!out) out = allocate<T>(edge * edge);
    {
      const Entered<T> entered(kernels);
      Arranged& rows = arranged[to_size(worker)];
      const std::int64_t depth = kernels.steps(panels.depth);
      for (std::int64_t k = 0; k < depth; k += gram_product_steps) {
        const std::int64_t steps = std::min(gram_product_steps, depth - k);
        const auto address = [&](std::int64_t panel) {
          return panels.data.get() + panel * panel_bytes + k * step_bytes;
        };
        rows.take(kernels, steps, tile.row, triangle.end(tile.row), address);
        for (const MicroTile& micro : micros) {
          const void* columns[max_panels];
          for (std::int64_t p = 0; p < micro.panels; ++p) columns[p] = address(micro.panel + p);
          const std::byte* left = rows.rows_from(kernels, micro.row);
          kernels.multiply(steps, left, columns, micro.panels, out.get() + micro.offset, k > 0, left);
        }
      }
    }
    body(item, micros, out.get());
  });
  return triangle.count();
}

std::int64_t tiles_of(std::int64_t vectors, std::int64_t lanes, std::int64_t edge) {
  return Triangle(ceil_div(vectors, lanes), edge / lanes).count();
}

// f(row, column, value) for the entries of micro-tiles on and above the diagonal, within `size`.
template <class T, class F>
void for_each_entry(const std::vector<MicroTile>& micros, std::int64_t size, const Kernels<T>& kernels, const T* v,
                    const F& f) {
  for (const MicroTile& micro : micros) {
    const std::int64_t width = micro.panels * kernels.lanes;
    const std::int64_t first = micro.panel * kernels.lanes;
    for (std::int64_t r = 0; r < kernels.rows && micro.row + r < size; ++r) {
      const std::int64_t row = micro.row + r;
      const std::int64_t end = std::min(width, size - first);
      for (std::int64_t c = std::max<std::int64_t>(row - first, 0); c < end; ++c) {
        f(row, first + c, v[micro.offset + r * width + c]);
      }
    }
  }
}

// A symmetric matrix in panels of float64.
class Symmetric {
 public:
  Symmetric(std::int64_t size, const Kernels<double>& float64)
      : float64_(float64), panels_(Panels::of(size, size, float64)) {
    const std::int64_t cells = round_up(size, float64.lanes) * size;
    std::fill_n(reinterpret_cast<double*>(panels_.data.get()), cells, 0.0);
  }

  void set(std::int64_t row, std::int64_t column, double value) { at(row, column) = at(column, row) = value; }

  double trace_of_cube(Pool& pool) const {
    const std::int64_t size = panels_.vectors;
    std::vector<double> parts(to_size(tiles_of(size, float64_.lanes, edge_of(float64_))));
    multiply_triangle(panels_, float64_, pool,
                      [&](std::int64_t item, const std::vector<MicroTile>& micros, const double* squares) {
                        double sum = 0;
                        for_each_entry(micros, size, float64_, squares,
                                       [&](std::int64_t row, std::int64_t column, double square) {
                                         sum += (row == column ? 1 : 2) * square * at(row, column);
                                       });
                        parts[to_size(item)] = sum;
                      });
    double total = 0;
    for (const double part : parts) total += part;
    return total;
  }

  // product (size) = the matrix times a vector
  std::vector<double> times(const std::vector<double>& vector) const {
    std::vector<double> product(vector.size());
    for (std::size_t row = 0; row < vector.size(); ++row) {
      for (std::size_t column = 0; column < vector.size(); ++column) {
        product[row] += at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)) * vector[column];
      }
    }
    return product;
  }

 private:
  double& at(std::int64_t row, std::int64_t column) const {
    const std::int64_t lanes = float64_.lanes;
    auto* cells = reinterpret_cast<double*>(panels_.data.get());
    return cells[(row / lanes * panels_.depth + column) * lanes + row % lanes];
  }

  const Kernels<double>& float64_;
  Panels panels_;
};

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
  const auto at = to_size(i * pitch_ + begin);
  return {&u_[at], &weight_[at], &diagonal_[at], &near_[at]};
}

ExampleTerm ThirdMoments::term(std::int64_t i, std::int64_t example) const {
  const auto at = to_size(i * pitch_ + example);
  return {u_[at], weight_[at], diagonal_[at], near_[at]};
}

void ThirdMoments::take(const Prepared& prepared, std::int64_t i) {
  const auto n = static_cast<double>(n_);
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
    u[a] = (q_of(a) - k[a]) / (n - 2) - r_total / (2 * (n - 1) * (n - 2));
    weight[a] = k[a] - 2 * q_of(a) / n + q_total / (n * n);
    mean += weight[a] / n;
    diagonal[a] = near[a] * (k[a] - 2 * u[a]);
  }
  double cubes = 0;
  for (std::int64_t a = 0; a < n_; ++a) {
    weight[a] -= mean;
    cubes += weight[a] * weight[a] * weight[a];
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
    for (std::int64_t r = 0; r < kernels.rows && micro.row + r < n_; ++r) {
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
  std::vector<double> c(to_size(far * n_));      // rows of C^T
  std::vector<double> xc(to_size(far * d));      // C^T X
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
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<float>&,
                                  const Kernels<double>&, Pool&);
template void ThirdMoments::trace(const Prepared&, std::int64_t, const Kernels<double>&,
                                  const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
