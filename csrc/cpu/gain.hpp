// Whether the products of precision "fast" run faster than those of "high" on this processor.
#pragma once

#include <string>

namespace fastcka::cpu {

// Multiply-adds a second of the `fast` products of an implementation, as a multiple of those of its float32 products,
// where the operands are in the L1 cache. 0 where it has no `fast` products. Takes about a millisecond.
//
// Two processors with the same instructions differ: a product of pairs of bfloat16 takes as long as one of float32 on
// some (2 times the multiply-adds) and twice as long on others (no gain). Both answers are far from
// any limit between them, so that every process of a machine has the same answer.
double gain_of_fast(const std::string& implementation);

}  // namespace fastcka::cpu
