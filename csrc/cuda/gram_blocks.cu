#include "arithmetic.cuh"
#include "gram_blocks.hpp"
#include "launch.cuh"
#include "stored.cuh"
#include "tile_product.cuh"

namespace fastcka::cuda {
namespace {

// Entries of the i-th representation's Gram tile as V has them.
struct Entries {
  TileShape tile;
  FarRows far;
  const int* exponent;

  // Times a power of two, which is `scale` without far examples; zero where an example meets itself.
  __device__ float scaled(float value, std::int64_t i, std::int64_t row, std::int64_t column, float scale) const {
    if (tile.diagonal() && row == column) return 0;
    if (!far.any(i)) return value * scale;
    const int shift = far.exponent(i, tile.first_row + row) + far.exponent(i, tile.first_column + column);
    return ldexpf(value, shift - exponent[i]);
  }
};

// `batch`: items from representation to representation.
template <int parts>
__global__ void __launch_bounds__(product_threads, 1)
    gram_block_kernel(Rows a, Rows b, std::int64_t width, std::int64_t batch, Entries entries, std::int64_t first,
                      std::int64_t room, __half* high, __half* low) {
  a.high += blockIdx.z * batch;
  b.high += blockIdx.z * batch;
  high += blockIdx.z * room;
  low += blockIdx.z * room;
  const TileShape& tile = entries.tile;
  const std::int64_t i = first + blockIdx.z;
  const float scale = ldexpf(1.0F, -entries.exponent[i]);
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * block_edge;
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * block_edge;
  WarpSums sums;
  block_product<parts>(a, b, first_row, first_column, width, sums);

  const WarpPlace place = WarpPlace::of_thread(static_cast<int>(threadIdx.x));
#pragma unroll
  for (int below = 0; below < 2 * fragment_heights; ++below) {
    const std::int64_t row = first_row + place.row() + 8 * below;
    if (row >= tile.rows) continue;
#pragma unroll
    for (int j = 0; j < 2 * fragment_widths; ++j) {
      const std::int64_t column = first_column + place.column() + 8 * j;
      if (column >= tile.columns) continue;  // a multiple of `example_grain`
      const float* pair = sums[below / 2][j] + below % 2 * 2;
      const Split left = split(entries.scaled(pair[0], i, row, column, scale));
      const Split right = split(entries.scaled(pair[1], i, row, column + 1, scale));
      const std::int64_t entry = row * tile.columns + column;
      store_whole<std::uint32_t>(high + entry, Pair<__half>{left.high, right.high});
      store_whole<std::uint32_t>(low + entry, Pair<__half>{left.low, right.low});
    }
  }
  if (blockIdx.x != 0 || blockIdx.y != 0) return;
  for (std::int64_t entry = tile.rows * tile.columns + threadIdx.x; entry < tile.padded; entry += product_threads) {
    high[entry] = low[entry] = __float2half_rn(0);
  }
}

}  // namespace

void gram_blocks(const Shape& shape, const Layout& layout, std::int64_t i, std::int64_t count, const TileShape& tile,
                 char* base, cudaStream_t stream) {
  const std::int64_t width = layout.width[to_size(i)];
  const std::int64_t pitch = width * layout.slabs;
  const auto rows = [&](std::int64_t first, std::int64_t number) {
    return Rows{static_cast<const std::uint16_t*>(layout.x(base, i, first, 0)), width, pitch, number};
  };
  const dim3 blocks(extent(ceil_div(tile.columns, block_edge)), extent(ceil_div(tile.rows, block_edge)), extent(count));
  const auto kernel = shape.products == Products::float16x3 ? &gram_block_kernel<2> : &gram_block_kernel<1>;
  launch(kernel, blocks, dim3(product_threads), stream, rows(tile.first_row, tile.rows),
         rows(tile.first_column, tile.columns), width, layout.rows * pitch,
         Entries{tile, FarRows(base, layout), layout.v_exponent(base)}, i, layout.room,
         static_cast<__half*>(layout.v(base, i, 0)), static_cast<__half*>(layout.v(base, layout.m + i, 0)));
}

}  // namespace fastcka::cuda
