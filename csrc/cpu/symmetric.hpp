// A symmetric matrix in float64, and the trace of its third power.
#pragma once

#include <algorithm>
#include <vector>

#include "panel_products.hpp"

namespace fastcka::cpu {

// A symmetric matrix in panels of float64.
class Symmetric {
 public:
  Symmetric(std::int64_t size, const Kernels<double>& float64)
      : float64_(float64), panels_(Panels::empty(size, size, float64)) {
    const std::int64_t cells = round_up(size, float64.lanes) * size;
    std::fill_n(reinterpret_cast<double*>(panels_.data.get()), cells, 0.0);
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
    const std::int64_t lanes = float64_.lanes;
    auto* cells = reinterpret_cast<double*>(panels_.data.get());
    return cells[(row / lanes * panels_.depth + column) * lanes + row % lanes];
  }

  const Kernels<double>& float64_;
  Panels panels_;
};

}  // namespace fastcka::cpu
