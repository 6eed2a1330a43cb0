// The contract of the fused pass, and the mathematics that it rests on.
//
// M representations X_i (n examples x d_i features) of the same n examples. With rows x_a about any centre, write
//     k_i(a) = |x_a|^2,   K_i = X_i X_i^T,   S0_ij = sum over a != b of K_i(a,b) K_j(a,b),
//     q_i(a) = sum over b of K_i(a,b) = x_a . (sum over b of x_b),   r_i = q_i - k_i  (the row sums without a = b).
// Both HSIC estimators of every pair are formulas over these and n alone, and depend on no centre:
//     HSIC_0 = (S0_ij + k_i.k_j - 2/n q_i.q_j + (sum q_i)(sum q_j)/n^2) / (n-1)^2          Gretton et al. 2005, eq. 9
//     HSIC_1 = (S0_ij - 2/(n-2) r_i.r_j + (sum r_i)(sum r_j)/((n-1)(n-2))) / (n(n-3))      Song et al. 2012, eq. 5
// So no n x n matrix and no centring matrix ever exists: a pass returns S0 and the products and sums of k, q and r; the
// formulas are applied once, in estimate.cpp.
//
// The centre is the mean, where q = 0 and r = -k. If a few examples are far from all others (far_rule.hpp), the
// centre is the mean of the others: about the mean of all, every entry of K would contain the square of the distance
// that the far ones have moved it, and the digits of HSIC_1 would cancel.
//
// Two exact routes to S0:
//     gram      tiles of the upper triangle of the n x n plane: all M Gram tiles at once, then V V^T (V is M x tile^2)
//     features  the symmetric product of the stacked features, reduced at once to sums of squares of its (i, j)
//               blocks, which are S0_ij + k_i.k_j
// Products run in float32, float64 or bfloat16 (see cpu/implementation.hpp); means, k, and the sums over tiles and
// examples run in float64.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dtypes.hpp"
#include "integers.hpp"
#include "subsets.hpp"

namespace fastcka {

// A representation in the caller's memory: any strides (in bytes), any alignment.
struct View {
  const void* data;
  std::int64_t n;
  std::int64_t d;
  std::int64_t row_stride;
  std::int64_t column_stride;
  DType dtype;
  // The memory may be overwritten: float32, rows and columns padded to a multiple of `staging_lanes`, contiguous.
  bool staged;
};

// Both extents of a staged buffer are multiples of this many float32, one cache line.
inline constexpr std::int64_t staging_lanes = 16;

enum class Route { gram, features };

struct NonFinite {
  std::int64_t representation;
  std::int64_t count;
  std::int64_t row;  // the first, in row-major order
  std::int64_t column;
};

// All sums are those of X_i * 2^-exponent[i]: a power of two changes no bit of a CKA and keeps float32 products in
// range whatever the scale of the data. HSIC in the caller's units is ldexp(value, 2 * (exponent[i] + exponent[j])).
struct Sums {
  std::vector<double> s0;          // (m, m)
  std::vector<double> norms;       // (m, m): k_i.k_j
  std::vector<double> r_products;  // (m, m): r_i.r_j
  std::vector<double> r_totals;    // (m): sum r_i, or all of them negative: only products of two count
  // Of S0_ii, as the products were summed: the sums without a = b (gram), or with it (features), but without far
  // examples. Rounding errors of the products are relative to this.
  std::vector<double> summed;      // (m)
  std::vector<double> near_norms;  // (m): k_i.k_i without the far examples
  SubsetSums subsets;              // empty where no subsets are wanted
  // Empty where all centres are means, that is, q = 0.
  std::vector<double> q_products;    // (m, m): q_i.q_j
  std::vector<double> q_totals;      // (m): sum q_i
  std::vector<double> column_terms;  // (m): n(n-3) HSIC_1 of each feature with itself, summed over the features
  // Third moments; empty unless they are asked for (csrc/cpu/third_moments.hpp). Each (m).
  std::vector<double> cubes, triangles, weighted_squares, weighted_sum, diagonal_cubes;
  std::vector<int> exponent;
  std::vector<bool> constant;         // no feature varies
  std::vector<NonFinite> non_finite;  // if any, nothing else was computed and no staged buffer was touched
};

// Called from the calling thread a few times a second with the units done and their number; may throw to stop.
using Poll = std::function<void(std::int64_t done, std::int64_t total)>;

}  // namespace fastcka
