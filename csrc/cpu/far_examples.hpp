// Examples that are far from all others, such as the first token of a text in a language model, whose hidden state is
// hundreds of times longer than the rest. See hsic.hpp for why the centre must not follow them.
//
// An example of a representation is far if its squared distance from a robust centre is more than 64 times the median
// of all. At most 2 % of the examples are far (16 of a few): where more are beyond that limit, a larger one is taken.
// Nothing here depends on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "../hsic.hpp"
#include "columns.hpp"
#include "implementation.hpp"
#include "pool.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// The far examples of each representation, in ascending order. Where a representation has any, the centre of its
// columns becomes the mean of its other examples.
std::vector<std::vector<std::int64_t>> find_far_examples(const std::vector<View>& views,
                                                         const Implementation& implementation, Pool& pool,
                                                         std::vector<Columns>& columns);

// What the far examples add to S0 (m, m), by products in float64: all pairs a != b with a or b among `prepared.far`.
// For route F, where the sum over all pairs contains a = b: of a far example that term alone is so large that nothing
// else would be left of a float32 sum.
template <class T>
std::vector<double> far_sums(const Prepared& prepared, const Products<T>& products, const Products<double>& float64,
                             Pool& pool);

}  // namespace fastcka::cpu
