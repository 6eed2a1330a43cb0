// A symmetric matrix in float64: the trace of its third power, its quadratic forms.
#pragma once

#include <algorithm>
#include <vector>

#include "panel_products.hpp"

namespace fastcka::cpu {

// With several sums, which the compiler puts into vectors.
inline double dot(const double* a, const double* b, std::int64_t count) {
  constexpr std::int64_t lanes = 8;
  double sums[lanes] = {};
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) sums[lane] += a[j + lane] * b[j + lane];
  }
  double total = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  for (; j < count; ++j) total += a[j] * b[j];
  return total;
}

// A symmetric matrix in panels of float64.
class Symmetric {
 public:
  Symmetric(std::int64_t size, const Kernels<double>& float64)
      : float64_(float64), panels_(Panels::empty(size, size, float64)) {
    const std::int64_t cells = round_up(size, float64.lanes) * size;
    std::fill_n(reinterpret_cast<double*>(panels_.data.get()), cells, 0.0);
    while ((std::int64_t{1} << shift_) < float64.lanes) ++shift_;
  }

  void set(std::int64_t row, std::int64_t column, double value) { entry(row, column) = entry(column, row) = value; }

  double trace_of_cube(Pool& pool) const {
    const std::int64_t size = panels_.vectors;
    std::vector<double> parts(to_size(tiles_of(size, float64_.lanes, edge_of(float64_))));
    multiply_triangle(
        panels_, float64_, pool, [&](std::int64_t item, const std::vector<MicroTile>& micros, const double* squares) {
          double sum = 0;
          for_each_entry(micros, size, float64_, squares, [&](std::int64_t row, std::int64_t column, double square) {
            sum += (row == column ? 1 : 2) * square * entry(row, column);
          });
          parts[to_size(item)] = sum;
        });
    double total = 0;
    for (const double part : parts) total += part;
    return total;
  }

  // out[r] = x^T A x for each x of rows (count, size).
  void forms(const double* rows, std::int64_t count, double* out) const {
    const std::int64_t size = panels_.vectors;
    const std::int64_t lanes = float64_.lanes;
    const std::int64_t panels = ceil_div(size, lanes);
    const Block<double> left = allocate<double>(lanes * size);
    const Block<double> product = allocate<double>(float64_.rows * float64_.most_panels * lanes);
    const auto* cells = reinterpret_cast<const double*>(panels_.data.get());
    std::fill_n(out, count, 0.0);
    for (std::int64_t first = 0; first < count; first += lanes) {
      float64_.example_panel(rows + first * size, std::min(lanes, count - first), size, left.get());
      for (std::int64_t panel = 0; panel < panels; panel += float64_.most_panels) {
        const std::int64_t some = std::min(float64_.most_panels, panels - panel);
        const std::int64_t width = std::min(some * lanes, size - panel * lanes);
        const void* right[max_panels];
        for (std::int64_t p = 0; p < some; ++p) right[p] = cells + (panel + p) * lanes * size;
        for (std::int64_t lane = 0; lane < lanes; lane += float64_.rows) {
          const void* const from = left.get() + lane;
          float64_.multiply(size, &from, float64_.rows, right, some, product.get(), false, from);
          const std::int64_t begin = first + lane;
          for (std::int64_t row = begin; row < std::min(count, begin + float64_.rows); ++row) {
            out[row] += dot(product.get() + (row - begin) * some * lanes, rows + row * size + panel * lanes, width);
          }
        }
      }
    }
  }

  // product (size) = the matrix times a vector
  std::vector<double> times(const std::vector<double>& vector) const {
    std::vector<double> product(vector.size());
    for (std::size_t row = 0; row < vector.size(); ++row) {
      for (std::size_t column = 0; column < vector.size(); ++column) {
        product[row] += entry(static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)) * vector[column];
      }
    }
    return product;
  }

 private:
  double& entry(std::int64_t row, std::int64_t column) const {
    auto* cells = reinterpret_cast<double*>(panels_.data.get());
    const std::int64_t lane = row & ((std::int64_t{1} << shift_) - 1);
    return cells[(((row >> shift_) * panels_.depth + column) << shift_) + lane];
  }

  const Kernels<double>& float64_;
  Panels panels_;
  int shift_ = 0;  // of a row to its panel: faster than a division for each entry
};

}  // namespace fastcka::cpu
