#include "near_features.hpp"

#include <cmath>

#include "cubes.hpp"

namespace fastcka::cpu {
namespace {

// The cubes of the diagonal are a part of the sum of the cubes and are subtracted. If they are larger than this
// multiple of |U|^3, so that float32 products would lose digits, the products are of float64.
constexpr double most_cancelled = 16;

}  // namespace

template <class T>
NearFeatures<T>::NearFeatures(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms,
                              const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool)
    : prepared_(prepared),
      i_(i),
      d_(prepared.x[to_size(i)].d),
      terms_(terms),
      kernels_(kernels),
      float64_(float64),
      panels_(feature_panels(prepared, i, kernels, kernels, pool)),
      gram_(d_, float64) {
  multiply_triangle(panels_, kernels, pool, [&](std::int64_t, const std::vector<MicroTile>& micros, const T* v) {
    for_each_entry(micros, d_, kernels, v, [&](std::int64_t row, std::int64_t column, T value) {
      gram_.set(row, column, static_cast<double>(value));
    });
  });
  const std::int64_t n = prepared.n;
  constexpr std::int64_t weights = 4;
  std::vector<std::vector<double>> parts(to_size(ceil_div(n, block_of(prepared))));
  for_each_block(prepared, pool, [&](std::int64_t item, std::int64_t begin, std::int64_t count) {
    const Block<double> rows = allocate<double>(count * d_);
    rows_of(prepared, i, begin, count, true, kernels, rows.get());
    std::vector<double>& part = parts[to_size(item)];
    part.resize(to_size(weights * d_));
    for (std::int64_t row = 0; row < count; ++row) {
      const double u = terms.u[begin + row];
      const double by[weights] = {1, u, u * u, terms.weight[begin + row]};
      const double* x = rows.get() + row * d_;
      for (std::int64_t weight = 0; weight < weights; ++weight) {
        double* const out = &part[to_size(weight * d_)];
        for (std::int64_t j = 0; j < d_; ++j) out[j] += by[weight] * x[j];
      }
    }
  });
  std::vector<double>* const totals[weights] = {&s_, &y_, &y2_, &yw_};
  for (std::int64_t weight = 0; weight < weights; ++weight) {
    totals[weight]->resize(to_size(d_));
    for (const std::vector<double>& part : parts) {
      for (std::int64_t j = 0; j < d_; ++j) (*totals[weight])[to_size(j)] += part[to_size(weight * d_ + j)];
    }
  }
  for (std::int64_t a = 0; a < n; ++a) {
    const double near = terms.near[a];
    const double u = near * terms.u[a];
    const double w = near * terms.weight[a];
    const double diagonal = terms.diagonal[a];  // zero for far examples
    count_ += near;
    u1_ += u;
    u2_ += u * u;
    u3_ += u * u * u;
    w1_ += w;
    wu_ += w * u;
    wwd_ += w * w * diagonal;
    cubes_of_diagonal_ += diagonal * diagonal * diagonal;
  }
}

// tr B^3 - sum D^3
template <class T>
double NearFeatures<T>::trace(Pool& pool) const {
  const double sy = dot(s_.data(), y_.data(), d_);
  const double squares = -2 * dot(s_.data(), gram_.times(y_).data(), d_);
  const double products = 2 * u1_ * sy + count_ * dot(y_.data(), y_.data(), d_) + u2_ * dot(s_.data(), s_.data(), d_);
  return gram_.trace_of_cube(pool) + 3 * squares + 3 * products - 2 * u1_ * u1_ * u1_ - 6 * u1_ * count_ * u2_ -
         cubes_of_diagonal_;
}

template <class T>
double NearFeatures<T>::cubes(const Kernels<T>& single, bool wide, Pool& pool) const {
  if (wide) return sum_of_cubes(feature_panels(prepared_, i_, kernels_, float64_, pool), float64_, pool);
  if (kernels_.values == 1) return sum_of_cubes(panels_, single, pool);
  return sum_of_cubes(feature_panels(prepared_, i_, kernels_, single, pool), single, pool);
}

template <class T>
EntrySums NearFeatures<T>::entries(const Kernels<T>& single, Pool& pool) const {
  // The sums of w_i h_i, D_i h_i, h_i and u_i g_i, with h_i = sum_{j != i} U_ij^2.
  std::vector<EntrySums> parts(to_size(ceil_div(prepared_.n, block_of(prepared_))));
  for_each_block(prepared_, pool, [&](std::int64_t item, std::int64_t begin, std::int64_t count) {
    const Block<double> rows = allocate<double>(count * d_);
    std::vector<double> g(to_size(count));
    rows_of(prepared_, i_, begin, count, true, kernels_, rows.get());
    gram_.forms(rows.get(), count, g.data());
    EntrySums& part = parts[to_size(item)];
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t a = begin + row;
      if (terms_.near[a] == 0) continue;
      const double* x = rows.get() + row * d_;
      const double u = terms_.u[a];
      const double diagonal = terms_.diagonal[a];
      const double squares = g[to_size(row)] - 2 * u * dot(x, s_.data(), d_) - 2 * dot(x, y_.data(), d_) +
                             count_ * u * u + 2 * u * u1_ + u2_ - diagonal * diagonal;
      part[0] += terms_.weight[a] * squares;
      part[1] += diagonal * squares;
      part[2] += squares;
      part[3] += u * g[to_size(row)];
    }
  });
  EntrySums sums{};
  for (const EntrySums& part : parts) {
    for (std::size_t s = 0; s < sums.size(); ++s) sums[s] += part[s];
  }
  const bool wide =
      sizeof(T) == sizeof(float) && cubes_of_diagonal_ > most_cancelled * std::pow(std::max(sums[2], 0.0), 1.5);
  const double products = dot(y2_.data(), s_.data(), d_) + dot(y_.data(), y_.data(), d_);
  const double cubes = this->cubes(single, wide, pool) - 6 * sums[3] + 6 * products - 2 * count_ * u3_ - 6 * u1_ * u2_ -
                       cubes_of_diagonal_;
  const double weighted = dot(yw_.data(), yw_.data(), d_) - 2 * w1_ * wu_ - wwd_;
  return {cubes / 2, sums[0], weighted / 2, sums[1]};
}

template <class T>
typename NearFeatures<T>::Column NearFeatures<T>::column(const double* x, double u) const {
  Column column{gram_.times(std::vector<double>(x, x + d_)), dot(x, s_.data(), d_) - count_ * u - u1_,
                dot(x, y_.data(), d_) - u * u1_ - u2_};
  for (std::size_t j = 0; j < column.products.size(); ++j) column.products[j] -= u * s_[j] + y_[j];
  return column;
}

template class NearFeatures<float>;
template class NearFeatures<double>;

}  // namespace fastcka::cpu
