// The third moments of U-centred Gram matrices, from which the skewness of a similarity under permutation follows
// (python/fastcka/core/inference/null.py has the formulas).
//
// U_ij = x_i.x_j - u_i - u_j for i != j, U_ii = 0, with u_i = r_i/(n-2) - sum r/(2(n-1)(n-2)). In the notation of
// hsic.hpp, w_i is the centred diagonal K_ii of the centred Gram matrix, minus its mean. Of each representation:
//     cubes             S = sum_ij U_ij^3
//     weighted_squares  Q = sum_ij w_i U_ij^2
//     weighted_sum      W = sum_ij w_i w_j U_ij
//     triangles         T = tr U^3
// S, Q and W are sums over the entries of Gram tiles, or follow from products of features (near_features.hpp): the plan
// chooses for each representation. Where n >= d, T comes from G = X^T X (d x d): of the examples that are not far, with
// B = XX^T - u1^T - 1u^T and D = diag B, the block N = B - D has
//     tr N^3 = tr B^3 - 3 sum_{i<j} (D_i + D_j) U_ij^2 - sum_i D_i^3,   tr (XX^T)^3 = tr G^3
// and the other terms of tr B^3 are products of X^T u and X^T 1. Otherwise N itself is multiplied (n x n). Far
// examples, whose sixth powers would leave nothing of the others, enter row by row in float64 (far_moments.hpp).
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

// Bytes of third moments: for all threads, and for each of them.
struct MomentBytes {
  std::int64_t shared;
  std::int64_t thread;
};

// The numbers of the examples of each representation, and its sums.
class ThirdMoments {
 public:
  // `routes`: of the sums over entries of each representation. Features, or the Gram matrix (in route G its tiles).
  ThirdMoments(std::int64_t n, const std::vector<Route>& routes, std::int64_t lanes);

  // In addition to those of the pass.
  static MomentBytes bytes(std::int64_t n, const std::vector<std::int64_t>& widths, const std::vector<Route>& routes,
                           Route route, std::int64_t edge, const ProductShape& shape);

  // After a representation has been centred.
  void take(const Prepared& prepared, std::int64_t i);

  // The sums of the micro-tiles of a tile.
  template <class T>
  EntrySums of_tile(std::int64_t i, const std::vector<MicroTile>& micros, const T* v, const Kernels<T>& kernels) const;

  void add(std::int64_t i, const EntrySums& sums);

  // Whether the sums of the entries come from `of_tile`.
  bool needs_tiles(std::int64_t i) const { return routes_[to_size(i)] == Route::gram; }

  // While the centred copy of the representation exists: T, and all sums of entries but those of tiles in route G.
  // `single`: kernels of float32 values, or of float64.
  template <class T>
  void trace(const Prepared& prepared, std::int64_t i, const Kernels<T>& kernels, const Kernels<T>& single,
             const Kernels<double>& float64, Pool& pool);

  // Fills the third moments; the sums of all tiles have been added.
  void finish(Sums& sums) const;

 private:
  ExampleTerms terms(std::int64_t i, std::int64_t begin) const;
  ExampleTerm term(std::int64_t i, std::int64_t example) const;
  bool by_features(std::int64_t i) const { return widths_[to_size(i)] <= n_; }

  std::int64_t n_;
  std::int64_t m_;
  std::int64_t pitch_;  // examples, padded with zeros
  std::vector<Route> routes_;
  std::vector<double> u_, weight_, diagonal_, near_;
  std::vector<double> trace_, diagonal_cubes_;
  std::vector<std::int64_t> widths_;
  std::vector<EntrySums> entries_;
};

}  // namespace fastcka::cpu
