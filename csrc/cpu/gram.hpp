// Route G: Gram tiles.
#pragma once

#include <vector>

#include "loops/implementation.hpp"
#include "prepare.hpp"
#include "third_moments.hpp"

namespace fastcka::cpu {

// Steps of one product: a micro-tile's columns over them (3 panels of 64 or 128 bytes a step) stay in the L1 cache
// while the rows of the tile pass by. A sum over many features is a sum of sums of 128 steps.
inline constexpr std::int64_t gram_product_steps = 128;

// Bytes of the workspace of one thread, and of one of its partial sums.
std::int64_t gram_workspace_bytes(std::int64_t m, std::int64_t tile, const ProductShape& shape);
std::int64_t gram_sum_bytes(std::int64_t m);

// Bytes of the Gram tiles of m representations.
std::int64_t gram_bytes(std::int64_t n, std::int64_t m, std::int64_t tile, const ProductShape& shape);

// S0 (m, m), symmetric; centres the representations on the way. `tile` is a multiple of micro-tile columns.
//
// If all representations are centred at once, a thread multiplies one tile for all of them, and the sums of the tile
// stay in its caches until the rank update. With a batch, all tiles are multiplied for each batch, and the rank updates
// follow at the end. Then memory contains all tiles and not all centred copies, which is less for wide data. The bits
// are the same. `third` takes the third moments, unless it is null.
template <class T>
std::vector<double> gram_sums(const std::vector<View>& views, std::int64_t tile, const Kernels<T>& kernels, Pool& pool,
                              Prepared& prepared, const Implementation& implementation, ThirdMoments* third);

}  // namespace fastcka::cpu
