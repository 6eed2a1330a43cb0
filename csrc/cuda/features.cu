#include <algorithm>

#include "arithmetic.cuh"
#include "feature_blocks.hpp"
#include "features.hpp"
#include "launch.cuh"
#include "reduce.cuh"

namespace fastcka::cuda {
namespace {

constexpr int edge = static_cast<int>(feature_grain);
constexpr int row_threads = 8;
constexpr int block_threads = edge * row_threads;
constexpr int fold_threads = 128;

// The weight in S_ij of an entry of the upper triangle of blocks: an entry off the diagonal of one representation also
// counts for its mirror image. `row` and `column` number blocks of features.
__host__ __device__ inline double weight_of(std::int64_t i, std::int64_t j, std::int64_t row, std::int64_t column) {
  if (column < row) return 0;
  return i == j && column > row ? 2 : 1;
}

// The sum of squares of each block of features of a band (rows x columns; the columns of its rows come first).
template <class T>
__global__ void __launch_bounds__(block_threads) squares_kernel(std::int64_t columns, const T* band, double* squares) {
  double sum = 0;
  if (blockIdx.x >= blockIdx.y) {  // below the diagonal nothing counts
    const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * edge + threadIdx.x;
    for (int row = static_cast<int>(threadIdx.y); row < edge; row += row_threads) {
      const std::int64_t entry = (static_cast<std::int64_t>(blockIdx.y) * edge + row) * columns + column;
      sum += square(static_cast<double>(band[entry]));
    }
  }
  sum = reduce_block<block_threads>(sum, Add());
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    squares[static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
  }
}

// One block of threads for each (i, j): total_ij += the blocks of i's rows in the band and j's columns. The band has
// the features from `begin` to `end`.
__global__ void __launch_bounds__(fold_threads)
    fold_kernel(std::int64_t m, std::int64_t first, std::int64_t begin, std::int64_t end, std::int64_t pitch,
                const std::int64_t* start, const double* squares, double* total) {
  const std::int64_t i = first + blockIdx.y;
  const std::int64_t j = blockIdx.x;
  if (j < i) return;
  const std::int64_t row_begin = Larger()(start[i], begin) / edge;
  const std::int64_t row_end = Smaller()(start[i + 1], end) / edge;
  const std::int64_t column_begin = Larger()(start[j], begin) / edge;
  const std::int64_t columns = start[j + 1] / edge - column_begin;
  double sum = 0;
  for (std::int64_t entry = threadIdx.x; entry < (row_end - row_begin) * columns; entry += fold_threads) {
    const std::int64_t row = row_begin + entry / columns;
    const std::int64_t column = column_begin + entry % columns;
    const double weight = weight_of(i, j, row, column);
    if (weight != 0) sum += weight * squares[(row - begin / edge) * pitch + column - begin / edge];
  }
  sum = reduce_block<fold_threads>(sum, Add());
  if (threadIdx.x == 0) total[i * m + j] += sum;
}

__global__ void __launch_bounds__(block_threads)
    features_finish_kernel(std::int64_t m, const double* total, const double* near_norms, double* s0, double* summed) {
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (entry >= m * m) return;
  const std::int64_t i = Smaller()(entry / m, entry % m);
  const std::int64_t j = Larger()(entry / m, entry % m);
  s0[entry] = total[i * m + j] - near_norms[i * m + j];
  if (i == j) summed[i] = total[i * m + i];
}

// (X' X) for the features [begin, begin + height) against all from `begin` on, over all examples.
void multiply_band(const Shape& shape, const Layout& layout, std::int64_t begin, std::int64_t height, char* base,
                   Cublas& cublas) {
  const std::int64_t total = layout.start.back();
  const bool split = layout.slabs > 1;
  const std::int64_t part = split ? part_columns : total;
  for (std::int64_t first = begin; first < total; first += part) {
    const std::int64_t width = std::min(part, total - first);
    char* band = layout.band<char>(base) + (first - begin) * layout.sum;
    for (std::int64_t row = 0; row < layout.rows; row += shape.chunk) {
      const std::int64_t rows = std::min(shape.chunk, layout.rows - row);
      // Of split rows three of the four slabs are a window; the windows of the two sides begin one slab apart.
      void* left = layout.x_slab(base, row, rows, 0, begin);
      void* right = layout.x_slab(base, row, rows, split ? 1 : 0, first);
      cublas.multiply(shape.products, Depth::rows, height, width, split ? 3 * rows : rows, {left, total},
                      {right, total}, row > 0, {band, total - begin});
    }
  }
}

}  // namespace

void feature_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream) {
  const std::int64_t m = layout.m;
  const std::int64_t all = layout.start.back();
  double* squares = layout.squares(base);
  double* total = layout.total(base);
  check(cudaMemsetAsync(total, 0, to_size(m * m * 8), stream), "cudaMemsetAsync");
  std::int64_t first = 0;  // representation whose features the band begins with
  for (std::int64_t begin = 0; begin < all; begin += layout.edge) {
    const std::int64_t height = std::min(layout.edge, all - begin);
    const dim3 blocks(extent((all - begin) / feature_grain), extent(height / feature_grain));
    if (!shape.fused) multiply_band(shape, layout, begin, height, base, cublas);
    if (shape.fused) {
      feature_blocks(shape, layout, begin, height, base, stream);
    } else if (shape.products == Products::float64) {
      launch(&squares_kernel<double>, blocks, dim3(edge, row_threads), stream, all - begin, layout.band<double>(base),
             squares);
    } else {
      launch(&squares_kernel<float>, blocks, dim3(edge, row_threads), stream, all - begin, layout.band<float>(base),
             squares);
    }
    while (layout.start[to_size(first + 1)] <= begin) ++first;
    std::int64_t last = first;
    while (layout.start[to_size(last + 1)] < begin + height) ++last;
    launch(&fold_kernel, dim3(extent(m), extent(last + 1 - first)), dim3(fold_threads), stream, m, first, begin,
           begin + height, (all - begin) / feature_grain, layout.starts(base), squares, total);
  }
  launch(&features_finish_kernel, dim3(extent(ceil_div(m * m, block_threads))), dim3(block_threads), stream, m, total,
         layout.near_products(base), layout.s0(base), layout.summed(base));
}

}  // namespace fastcka::cuda
