#include "far_moments.hpp"

#include <algorithm>

namespace fastcka::cpu {
namespace {

// Rows (count, d) as panels of examples, padded to whole panels.
Block<double> packed(const double* rows, std::int64_t count, std::int64_t d, const Kernels<double>& float64) {
  const std::int64_t lanes = float64.lanes;
  Block<double> panels = allocate<double>(round_up(count, lanes) * d);
  for (std::int64_t first = 0; first < count; first += lanes) {
    float64.example_panel(rows + first * d, std::min(lanes, count - first), d, panels.get() + first * d);
  }
  return panels;
}

// Of C: the sums of its entries, the sum of D_a C_af^2 and, if they are wanted, its columns (far, n).
struct FarColumns {
  EntrySums entries{};
  double diagonal_squares = 0;
  Block<double> values;
};

template <class T>
FarColumns far_columns(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, bool keep,
                       const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const std::int64_t n = prepared.n;
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  const std::int64_t lanes = float64.lanes;
  const Block<double> far_rows = packed(prepared.far.x[to_size(i)].data(), far, d, float64);
  FarColumns columns;
  if (keep) columns.values = allocate<double>(far * n);
  std::vector<EntrySums> parts(to_size(ceil_div(n, block_of(prepared))));  // the last: of D_a C_af^2
  for_each_block(prepared, pool, [&](std::int64_t item, std::int64_t begin, std::int64_t count) {
    EntrySums& part = parts[to_size(item)];
    const Block<double> rows = allocate<double>(count * d);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    const Block<double> others = packed(rows.get(), count, d, float64);
    const Block<double> products = allocate<double>(float64.rows * float64.most_panels * lanes);
    for (std::int64_t panel = 0; panel * lanes < count; panel += float64.most_panels) {
      const std::int64_t panels = std::min(float64.most_panels, ceil_div(count, lanes) - panel);
      const void* right[max_panels];
      for (std::int64_t p = 0; p < panels; ++p) right[p] = others.get() + (panel + p) * lanes * d;
      const std::int64_t first = begin + panel * lanes;
      const std::int64_t end = std::min(panels * lanes, begin + count - first);
      for (std::int64_t row = 0; row < far; row += float64.rows) {
        const void* left = far_rows.get() + row / lanes * lanes * d + row % lanes;
        float64.multiply(d, &left, float64.rows, right, panels, products.get(), false, left);
        for (std::int64_t f = row; f < std::min(far, row + float64.rows); ++f) {
          const double* v = products.get() + (f - row) * panels * lanes;
          const double u = terms.u[prepared.far.rows[to_size(f)]];
          const double weight = terms.weight[prepared.far.rows[to_size(f)]];
          for (std::int64_t column = 0; column < end; ++column) {
            const std::int64_t a = first + column;
            const double entry = terms.near[a] * (v[column] - u - terms.u[a]);
            part[0] += entry * entry * entry;
            part[1] += entry * entry * (weight + terms.weight[a]);
            part[2] += entry * weight * terms.weight[a];
            part[3] += entry * entry * terms.diagonal[a];
            if (keep) columns.values[to_size(f * n + a)] = entry;
          }
        }
      }
    }
  });
  for (const EntrySums& part : parts) {
    for (std::size_t s = 0; s < 3; ++s) columns.entries[s] += part[s];
    columns.diagonal_squares += part[3];
  }
  return columns;
}

// Adds the entries of Z, and 3 tr(C^T C Z) + tr Z^3; product(f, g) is that of two columns of C.
template <class Product>
void add_block(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const Product& product,
               const Kernels<double>& float64, Pool& pool, FarMoments& moments) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  const double* x = prepared.far.x[to_size(i)].data();
  Symmetric block(far, float64);
  std::vector<EntrySums> parts(to_size(far));  // the last: of the products
  pool.run(far, Pool::Progress::silent, [&](std::int64_t f, int worker) {
    pool.checkpoint(worker);
    const std::int64_t a = prepared.far.rows[to_size(f)];
    EntrySums& part = parts[to_size(f)];
    for (std::int64_t g = f + 1; g < far; ++g) {
      const std::int64_t b = prepared.far.rows[to_size(g)];
      const double entry = dot(x + f * d, x + g * d, d) - terms.u[a] - terms.u[b];
      block.set(f, g, entry);
      part[0] += entry * entry * entry;
      part[1] += entry * entry * (terms.weight[a] + terms.weight[b]);
      part[2] += entry * terms.weight[a] * terms.weight[b];
      part[3] += 2 * entry * product(f, g);
    }
  });
  for (const EntrySums& part : parts) {
    for (std::size_t s = 0; s < 3; ++s) moments.entries[s] += part[s];
    moments.trace += 3 * part[3];
  }
  moments.trace += block.trace_of_cube(pool);
}

}  // namespace

template <class T>
FarMoments far_moments(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const NearFeatures<T>& near,
                       const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool) {
  const std::int64_t d = prepared.x[to_size(i)].d;
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  const double* x = prepared.far.x[to_size(i)].data();
  const FarColumns columns = far_columns(prepared, i, terms, false, kernels, float64, pool);
  FarMoments moments{-3 * columns.diagonal_squares, columns.entries};
  std::vector<typename NearFeatures<T>::Column> sums(to_size(far));
  pool.run(far, Pool::Progress::silent, [&](std::int64_t f, int worker) {
    pool.checkpoint(worker);
    sums[to_size(f)] = near.column(x + f * d, terms.u[prepared.far.rows[to_size(f)]]);
  });
  for (const auto& column : sums) {
    moments.trace += 3 * (dot(column.products.data(), column.products.data(), d) - 2 * column.sum * column.u_sum);
  }
  const auto product = [&](std::int64_t f, std::int64_t g) {
    const auto& column = sums[to_size(f)];
    const double u = terms.u[prepared.far.rows[to_size(g)]];
    return dot(x + g * d, column.products.data(), d) - u * column.sum - column.u_sum;
  };
  add_block(prepared, i, terms, product, float64, pool, moments);
  return moments;
}

template <class T>
FarMoments far_moments(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const Symmetric& near,
                       const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool) {
  const std::int64_t n = prepared.n;
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  const FarColumns columns = far_columns(prepared, i, terms, true, kernels, float64, pool);
  FarMoments moments{0, columns.entries};
  std::vector<double> forms(to_size(far));
  const std::int64_t lanes = float64.lanes;
  pool.run(ceil_div(far, lanes), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    const std::int64_t f = item * lanes;
    near.forms(columns.values.get() + f * n, std::min(lanes, far - f), &forms[to_size(f)]);
  });
  for (const double form : forms) moments.trace += 3 * form;
  const auto product = [&](std::int64_t f, std::int64_t g) {
    return dot(columns.values.get() + f * n, columns.values.get() + g * n, n);
  };
  add_block(prepared, i, terms, product, float64, pool, moments);
  return moments;
}

template FarMoments far_moments(const Prepared&, std::int64_t, const ExampleTerms&, const NearFeatures<float>&,
                                const Kernels<float>&, const Kernels<double>&, Pool&);
template FarMoments far_moments(const Prepared&, std::int64_t, const ExampleTerms&, const NearFeatures<double>&,
                                const Kernels<double>&, const Kernels<double>&, Pool&);
template FarMoments far_moments(const Prepared&, std::int64_t, const ExampleTerms&, const Symmetric&,
                                const Kernels<float>&, const Kernels<double>&, Pool&);
template FarMoments far_moments(const Prepared&, std::int64_t, const ExampleTerms&, const Symmetric&,
                                const Kernels<double>&, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
