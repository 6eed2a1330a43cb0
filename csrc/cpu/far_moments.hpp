// What far examples add to third moments (third_moments.hpp), in float64: their sixth powers would leave nothing of the
// others. With N the block of U of the others, C the far columns of U and Z its far block, the terms of tr U^3 are
//     3 tr(C^T N C) + 3 tr(C^T C Z) + tr Z^3.
#pragma once

#include "near_features.hpp"
#include "symmetric.hpp"
#include "third_moments.hpp"

namespace fastcka::cpu {

struct FarMoments {
  double trace;
  EntrySums entries;  // of the pairs with a far example
};

// With N from features (d <= n) ...
template <class T>
FarMoments far_moments(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const NearFeatures<T>& near,
                       const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool);

// ... and from its entries.
template <class T>
FarMoments far_moments(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const Symmetric& near,
                       const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool);

}  // namespace fastcka::cpu
