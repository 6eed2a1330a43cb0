// The centred Gram matrices of all representations, stored whole, for computations that read their entries many times.
//
// unbiased  Kt_ab = K_ab - u_a - u_b for a != b and 0 for a = b, u = r/(n-2) - (sum r)/(2(n-1)(n-2))  (U-centring;
//           Szekely, Rizzo 2014): <Kt_i, Kt_j> = n(n-3) HSIC_1
// biased    Kc_ab = K_ab - u_a - u_b, u = q/n - (sum q)/(2n^2): <Kc_i, Kc_j> = (n-1)^2 HSIC_0
// with q and r of hsic.hpp.
#pragma once

#include <vector>

#include "../estimate.hpp"
#include "../hsic.hpp"
#include "loops/implementation.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// Matrices whose entries are next to each other, so that one read takes an entry of all of them. Their number is at
// most `width`; the rest of the width is zero.
struct GramGroup {
  std::int64_t first;  // matrix
  std::int64_t width;
  std::int64_t before;  // matrices stored before the group

  // All matrices but the first, in groups; the first is a group by itself, of width 1.
  static std::vector<GramGroup> all(std::int64_t m);
};

// Entries on the diagonal are divided by sqrt(2), so that an inner product is twice the sum over a <= b.
template <class T>
struct Grams {
  std::int64_t n;
  std::int64_t m;
  std::vector<GramGroup> groups;
  Block<T> entries;           // the groups, each (n, n, width)
  std::vector<double> norms;  // (m): <K, K>

  static std::int64_t bytes(std::int64_t n, std::int64_t m) {
    const GramGroup last = GramGroup::all(m).back();
    return (last.before + last.width) * n * n * static_cast<std::int64_t>(sizeof(T));
  }
  // Row `a` of a group, (n, width).
  T* row(const GramGroup& group, std::int64_t a) const {
    return entries.get() + (group.before * n + a * group.width) * n;
  }
};

// Throws std::invalid_argument for values that are not finite.
template <class T>
Grams<T> centered_grams(const std::vector<View>& views, Estimator estimator, const Implementation& implementation,
                        const Kernels<T>& kernels, Pool& pool);

}  // namespace fastcka::cpu
