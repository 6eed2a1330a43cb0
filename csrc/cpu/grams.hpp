// Centred Gram matrices of all representations, kept whole, for what visits their entries again and again.
//
// unbiased  Kt_ab = K_ab - u_a - u_b for a != b and 0 for a = b, u = r/(n-2) - (sum r)/(2(n-1)(n-2))  (U-centring;
//           Szekely, Rizzo 2014): <Kt_i, Kt_j> = n(n-3) HSIC_1
// biased    Kc_ab = K_ab - u_a - u_b, u = q/n - (sum q)/(2n^2): <Kc_i, Kc_j> = (n-1)^2 HSIC_0
// with q and r of hsic.hpp.
#pragma once

#include <string>
#include <vector>

#include "../estimate.hpp"
#include "../hsic.hpp"
#include "loops/implementation.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// The matrices lie in pairs, entry by entry, because one read of a permuted entry then serves two of them. Matrix i is
// the second of its pair for i = 0, 2, 4, ..., the first of the next for i = 1, 3, ...: matrix 0 is never permuted, and
// the others, if their number is even, fill their pairs.
//
// Entries on the diagonal are divided by sqrt(2), so that an inner product is twice the sum over a <= b.
template <class T>
struct Grams {
  std::int64_t n;
  std::int64_t m;
  Block<T> entries;           // (pairs, n, n, 2)
  std::vector<double> norms;  // (m): <K, K>

  static std::int64_t pairs(std::int64_t m) { return m / 2 + 1; }
  static std::int64_t bytes(std::int64_t n, std::int64_t m) {
    return pairs(m) * n * n * 2 * static_cast<std::int64_t>(sizeof(T));
  }
  // Row `a` of a pair of matrices.
  const T* row(std::int64_t pair, std::int64_t a) const { return entries.get() + (pair * n + a) * n * 2; }
  // Row `a` of matrix i; its entries are at a distance of two.
  T* row_of(std::int64_t i, std::int64_t a) const {
    return entries.get() + (((i + 1) / 2 * n + a) * n) * 2 + (i + 1) % 2;
  }
};

// Throws std::invalid_argument for values that are not finite.
template <class T>
Grams<T> centered_grams(const std::vector<View>& views, Estimator estimator, const Implementation& implementation,
                        const Kernels<T>& kernels, Pool& pool);

}  // namespace fastcka::cpu
