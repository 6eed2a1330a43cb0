#include "arithmetic.cuh"
#include "feature_blocks.hpp"
#include "launch.cuh"
#include "tile_product.cuh"

namespace fastcka::cuda {
namespace {

constexpr int grain = static_cast<int>(feature_grain);
static_assert(warp_width == grain && warp_height % grain == 0);

template <int parts>
__global__ void __launch_bounds__(product_threads, 1) feature_block_kernel(Columns a, Columns b, double* squares) {
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * block_edge;
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * block_edge;
  if (first_column < first_row) return;  // below the diagonal nothing counts
  WarpSums sums;
  block_product<parts>(a, b, first_row, first_column, a.terms, sums);

  const WarpPlace place = WarpPlace::of_thread(static_cast<int>(threadIdx.x));
#pragma unroll
  for (int below = 0; below < warp_height / grain; ++below) {
    double sum = 0;
#pragma unroll
    for (int i = 0; i < grain / 16; ++i) {
#pragma unroll
      for (int j = 0; j < 2 * fragment_widths; ++j) {
#pragma unroll
        for (int entry = 0; entry < 4; ++entry) {
          sum += square(static_cast<double>(sums[below * (grain / 16) + i][j][entry]));
        }
      }
    }
    sum = sum_over_warp(sum);
    const std::int64_t row = first_row + place.top + below * grain;
    const std::int64_t column = first_column + place.left;
    if (place.lane == 0 && row < a.count && column < b.count) {
      squares[row / grain * (b.count / grain) + column / grain] = sum;
    }
  }
}

}  // namespace

void feature_blocks(const Shape& shape, const Layout& layout, std::int64_t begin, std::int64_t height, char* base,
                    cudaStream_t stream) {
  const std::int64_t all = layout.start.back();
  const auto columns = [&](std::int64_t count) {
    return Columns{static_cast<const std::uint16_t*>(layout.x_slab(base, 0, 0, 0, begin)),
                   all,
                   count,
                   layout.rows,
                   shape.chunk,
                   layout.slabs};
  };
  const dim3 blocks(extent(ceil_div(all - begin, block_edge)), extent(ceil_div(height, block_edge)));
  const auto kernel = shape.products == Products::float16x3 ? &feature_block_kernel<2> : &feature_block_kernel<1>;
  launch(kernel, blocks, dim3(product_threads), stream, columns(height), columns(all - begin), layout.squares(base));
}

}  // namespace fastcka::cuda
