// The third moments of U-centred Gram matrices, from which the skewness of a similarity under permutation follows
// (python/fastcka/core/inference/null.py has the formulas).
//
// U_ij = x_i.x_j - u_i - u_j for i != j, U_ii = 0, with u_i = r_i/(n-2) - sum r/(2(n-1)(n-2)). In the notation of
// hsic.hpp, w_i is the centred diagonal K_ii of the centred Gram matrix, minus its mean. Of each representation:
//     cubes             S = sum_ij U_ij^3                           elementwise, on Gram tiles
//     weighted_squares  Q = sum_ij w_i U_ij^2                       elementwise
//     weighted_sum      W = sum_ij w_i w_j U_ij                     elementwise
//     triangles         T = tr U^3
// Where n >= d, T comes from G = X^T X (d x d): of the examples that are not far, with B = XX^T - u1^T - 1u^T and
// D = diag B, the block N = B - D has
//     tr N^3 = tr B^3 - 3 sum_{i<j} (D_i + D_j) U_ij^2 - sum_i D_i^3,   tr (XX^T)^3 = tr G^3
// and the other terms of tr B^3 are products of X^T u and X^T 1. Otherwise N itself is multiplied (n x n). Far
// examples, whose sixth powers would leave nothing of the others, enter row by row in float64.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "loops/implementation.hpp"
#include "prepare.hpp"
#include "threads/pool.hpp"
#include "triangle.hpp"

namespace fastcka::cpu {

// The sums over the entries above the diagonal: of cubes, squares, products and the diagonal's squares.
using EntrySums = std::array<double, 4>;

// The numbers of the examples of each representation, and its sums.
class ThirdMoments {
 public:
  ThirdMoments(std::int64_t n, std::int64_t m, std::int64_t lanes);

  // Bytes in addition to those of the pass.
  static std::int64_t bytes(std::int64_t n, const std::vector<std::int64_t>& widths, Route route, std::int64_t edge,
                            const ProductShape& shape);

  // After a representation has been centred.
  void take(const Prepared& prepared, std::int64_t i);

  // The sums of the micro-tiles of a tile.
  template <class T>
  EntrySums of_tile(std::int64_t i, const std::vector<MicroTile>& micros, const T* v, const Kernels<T>& kernels) const;

  void add(std::int64_t i, const EntrySums& sums);

  // While the centred copy of the representation exists: T, and in route F also the sums of the entries.
  template <class T>
  void trace(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, const Kernels<double>& float64,
             Pool& pool);

  // Fills the third moments; the sums of all tiles have been added.
  void finish(Sums& sums) const;

 private:
  ExampleTerms terms(std::int64_t i, std::int64_t begin) const;
  ExampleTerm term(std::int64_t i, std::int64_t example) const;
  template <class T>
  double feature_cube(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels,
                      const Kernels<double>& float64, Pool& pool) const;
  template <class T>
  double far_part(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels) const;

  std::int64_t n_;
  std::int64_t m_;
  std::int64_t pitch_;  // examples, padded with zeros
  std::vector<double> u_, weight_, diagonal_, near_;
  std::vector<double> trace_, diagonal_cubes_;
  std::vector<bool> by_features_;
  std::vector<EntrySums> entries_;
};

}  // namespace fastcka::cpu
