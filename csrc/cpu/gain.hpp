// How much faster products of bfloat16 run than those of float32 on this processor.
#pragma once

#include <cstdint>
#include <string>

namespace fastcka::cpu {

// Where panels are arranged: products of a micro-tile for each time that a panel of rows and one of columns take their
// other form. In a tile of 192 x 192, each panel is arranged once for 6 micro-tiles, and a micro-tile has two of each.
inline constexpr std::int64_t products_per_arrangement = 3;

// The rate of such products of an implementation (its `split` or `fast`), in multiply-adds, divided by that of its
// float32 products, with operands in the L1 cache. 0 if the implementation has no products of that name. Takes about a
// millisecond.
//
// Processors with the same instructions differ: a product of pairs of bfloat16 takes as long as one of float32 on some
// (a gain of 2), and twice as long on others (no gain). A limit between the two gives the same answer in each process.
double gain_of(const std::string& implementation, const std::string& products);

}  // namespace fastcka::cpu
