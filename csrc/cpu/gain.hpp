// How much faster the products of precision "fast" run than those of "high" on this processor.
#pragma once

#include <string>

namespace fastcka::cpu {

// The rate of the `fast` products of an implementation, in multiply-adds, divided by that of its float32 products, with
// operands in the L1 cache. 0 if the implementation has no `fast` products. Takes about a millisecond.
//
// Processors with the same instructions differ: a product of pairs of bfloat16 takes as long as one of float32 on some
// (a gain of 2), and twice as long on others (no gain). A limit between the two gives the same answer in each process.
double gain_of_fast(const std::string& implementation);

}  // namespace fastcka::cpu
