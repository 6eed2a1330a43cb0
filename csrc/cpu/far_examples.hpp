// Examples that are far from all others, by the rule of far_rule.hpp. Nothing here depends on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "../hsic.hpp"
#include "columns.hpp"
#include "loops/implementation.hpp"
#include "prepare.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// The far examples of each representation, in ascending order. Where a representation has any, the centre of its
// columns becomes the mean of its other examples.
std::vector<std::vector<std::int64_t>> find_far_examples(const std::vector<View>& views,
                                                         const Implementation& implementation, Pool& pool,
                                                         std::vector<Columns>& columns);

// What the far examples add to S0, by products in float64: all pairs a != b with a or b among `prepared.far`.
// For route F, where the sum over all pairs contains a = b: of a far example that term alone is so large that nothing
// else would be left of a float32 sum.
template <class T>
S0 far_sums(const Prepared& prepared, const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool);

}  // namespace fastcka::cpu
