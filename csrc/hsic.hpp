// The contract of the fused pass, and the mathematics that it rests on.
//
// M representations X_i (n examples x d_i features) of the same n examples. With column-centred rows x_a write
//     k_i(a) = |x_a|^2,   K_i = X_i X_i^T,   S0_ij = sum over a != b of K_i(a,b) K_j(a,b).
// Both HSIC estimators of every pair are formulas over S0, k and n alone:
//     HSIC_0 = (S0_ij + k_i.k_j) / (n-1)^2                                        Gretton et al. 2005, eq. 9
//     HSIC_1 = (S0_ij - 2/(n-2) k_i.k_j + (sum k_i)(sum k_j)/((n-1)(n-2))) / (n(n-3))    Song et al. 2012, eq. 5
// because the rows of a centred Gram matrix sum to zero. So no n x n matrix, no centring matrix and no row sum ever
// exists: a pass returns S0 and k, and the formulas are applied once, outside.
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

namespace fastcka {

enum class DType { float16, bfloat16, float32, float64 };

// A representation where it lies: any strides (in bytes), any alignment.
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

// S0 and k are those of X_i * 2^-exponent[i]: a power of two changes no bit of a CKA and keeps float32 products in
// range whatever the scale of the data. HSIC in the caller's units is ldexp(value, 2 * (exponent[i] + exponent[j])).
struct Sums {
  std::vector<double> s0;     // (m, m)
  std::vector<double> k;      // (m, n)
  std::vector<double> norms;  // (m, m): k_i.k_j
  std::vector<int> exponent;
  std::vector<bool> constant;         // no feature varies
  std::vector<NonFinite> non_finite;  // if any, nothing else was computed and no staged buffer was touched
};

// Called from the calling thread a few times a second with the units done and their number; may throw to stop.
using Poll = std::function<void(std::int64_t done, std::int64_t total)>;

}  // namespace fastcka
