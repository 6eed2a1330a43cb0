#include <algorithm>

#include "arithmetic.cuh"
#include "gram.hpp"
#include "gram_blocks.hpp"
#include "launch.cuh"
#include "stored.cuh"

namespace fastcka::cuda {
namespace {

constexpr int threads = 256;
constexpr int rank_columns = 32;
constexpr int most_rank_rows = 32;
// Depth of one product at most. A float32 sum over more features is a sum of such sums.
constexpr std::int64_t depth_step = 12288;

// In place: the entries of an example with itself, and those beyond the tile, become zero.
template <class T>
__global__ void __launch_bounds__(threads) clear_kernel(TileShape tile, std::int64_t room, T* v) {
  const std::int64_t diagonal = tile.diagonal() ? tile.rows : 0;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  T* matrix = v + blockIdx.y * room;
  if (thread < diagonal) {
    matrix[thread * (tile.columns + 1)] = 0;
  } else if (tile.rows * tile.columns + thread - diagonal < tile.padded) {
    matrix[tile.rows * tile.columns + thread - diagonal] = 0;
  }
}

// Splits float32 into fp16 high and low parts, scaled by a power of two, with the same zeros, for representations from
// `first` on. Extents are multiples of `example_grain`, so that four neighbours are in one row.
__global__ void __launch_bounds__(threads)
    split_kernel(TileShape tile, std::int64_t room, std::int64_t first, FarRows far, const float* from,
                 const int* exponent, __half* high, __half* low) {
  const std::int64_t entry = 4 * (static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x);
  if (entry >= tile.padded) return;
  const std::int64_t size = tile.rows * tile.columns;
  const std::int64_t i = first + blockIdx.y;
  Quad<float> values{};
  if (entry < size) values = *reinterpret_cast<const Quad<float>*>(from + blockIdx.y * size + entry);
  if (tile.diagonal() && entry < size) {
    const std::int64_t row = entry / tile.columns;
    const std::int64_t diagonal = row - (entry - row * tile.columns);
    for (int lane = 0; lane < 4; ++lane) {
      if (lane == diagonal) values.value[lane] = 0;
    }
  }
  if (!far.any(i)) {
    const float scale = ldexpf(1.0F, -exponent[i]);
    for (int lane = 0; lane < 4; ++lane) values.value[lane] *= scale;
  } else if (entry < size) {
    const std::int64_t row = entry / tile.columns;
    const std::int64_t column = tile.first_column + entry - row * tile.columns;
    const int shift = far.exponent(i, tile.first_row + row) - exponent[i];
    for (int lane = 0; lane < 4; ++lane) {
      values.value[lane] = ldexpf(values.value[lane], shift + far.exponent(i, column + lane));
    }
  }
  Quad<__half> above, below;
  for (int lane = 0; lane < 4; ++lane) {
    const Split parts = split(values.value[lane]);
    above.value[lane] = parts.high;
    below.value[lane] = parts.low;
  }
  store_whole<std::uint64_t>(high + blockIdx.y * room + entry, above);
  store_whole<std::uint64_t>(low + blockIdx.y * room + entry, below);
}

// total (height, width) += weight * the sum of `count` partial products (height, pitch), in an order that the number of
// rows of threads fixes.
template <class T>
__global__ void __launch_bounds__(rank_columns* most_rank_rows)
    add_partial_kernel(std::int64_t width, std::int64_t pitch, std::int64_t size, std::int64_t count, const T* partial,
                       double weight, double* total) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * rank_columns + threadIdx.x;
  double sum = 0;
  if (column < width) {
    for (std::int64_t chunk = threadIdx.y; chunk < count; chunk += blockDim.y) {
      sum += static_cast<double>(partial[chunk * size + blockIdx.y * pitch + column]);
    }
  }
  __shared__ double shared[most_rank_rows][rank_columns];
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (unsigned y = 1; y < blockDim.y; ++y) sum += shared[y][threadIdx.x];
  total[blockIdx.y * width + column] += weight * sum;
}

// s0 from the totals: V V', or where V is split [H; L], H [H; L]' in the units of V.
__global__ void __launch_bounds__(threads) gram_finish_kernel(std::int64_t m, std::int64_t planes, const double* total,
                                                              const int* exponent, double* s0, double* summed) {
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (entry >= m * m) return;
  const std::int64_t i = entry / m < entry % m ? entry / m : entry % m;
  const std::int64_t j = entry / m < entry % m ? entry % m : entry / m;
  double sum = total[i * planes + j];
  if (planes > m) {
    sum += total[i * planes + m + j] + total[j * planes + m + i];
    sum = ldexp(sum, exponent[i] + exponent[j]);
  }
  s0[entry] = sum;
  if (i == j) summed[i] = sum;
}

template <class T>
void rank_update(const Shape& shape, const Layout& layout, const TileShape& tile, char* base, Cublas& cublas,
                 cudaStream_t stream) {
  const std::int64_t m = layout.m;
  const std::int64_t chunks = tile.padded / shape.rank_chunk;
  const std::int64_t size = m * layout.partial_pitch;
  T* partial = layout.partial<T>(base);
  for (std::int64_t begin = 0; begin < chunks; begin += layout.rank_batch) {
    const std::int64_t count = std::min(layout.rank_batch, chunks - begin);
    const Matrix v{layout.v(base, 0, begin * shape.rank_chunk), layout.room, shape.rank_chunk};
    cublas.multiply(shape.products, Depth::columns, m, layout.planes, shape.rank_chunk, v, v, false,
                    {partial, layout.partial_pitch, size}, count);
    unsigned rows = 1;  // of threads: no more than there are partial products
    while (rows < most_rank_rows && rows < count) rows *= 2;
    launch(&add_partial_kernel<T>, dim3(extent(ceil_div(layout.planes, rank_columns)), extent(m)),
           dim3(rank_columns, rows), stream, layout.planes, layout.partial_pitch, size, count, partial,
           tile.diagonal() ? 1.0 : 2.0, layout.total(base));
  }
}

// The tiles at (row, column) of the Gram matrices of `count` representations of one width, from the i-th on, to `out`
// and every `step` items after it.
void gram_tiles(const Shape& shape, const Layout& layout, std::int64_t i, std::int64_t count, std::int64_t row,
                std::int64_t column, const TileShape& tile, char* base, void* out, std::int64_t step, Cublas& cublas) {
  const std::int64_t width = layout.width[to_size(i)];
  const std::int64_t pitch = width * layout.slabs;
  const std::int64_t size = layout.rows * pitch;
  // Of split rows three of the four slabs are a window; the windows of the two sides begin one slab apart.
  const std::int64_t depth = layout.slabs == 1 ? width : 3 * width;
  const std::int64_t shift = layout.slabs == 1 ? 0 : width;
  for (std::int64_t k = 0; k < depth; k += depth_step) {
    const Matrix a{layout.x(base, i, row, k), pitch, size};
    const Matrix b{layout.x(base, i, column, shift + k), pitch, size};
    cublas.multiply(shape.products, Depth::columns, tile.rows, tile.columns, std::min(depth_step, depth - k), a, b,
                    k > 0, {out, tile.columns, step}, count);
  }
}

// V for a tile of the plane: the tiles of all representations.
void fill_v(const Shape& shape, const Layout& layout, std::int64_t row, std::int64_t column, const TileShape& tile,
            char* base, Cublas& cublas, cudaStream_t stream) {
  const bool split = layout.planes > layout.m;
  const std::int64_t batch = split && !shape.fused ? layout.scratch_room / (tile.rows * tile.columns) : layout.m;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < layout.m; i += count) {
    const std::int64_t most = std::min(batch, layout.m - i);
    for (count = 1; count < most && layout.width[to_size(i + count)] == layout.width[to_size(i)];) ++count;
    if (shape.fused) {
      gram_blocks(shape, layout, i, count, tile, base, stream);
      continue;
    }
    void* v = layout.v(base, i, 0);
    if (!split) {
      gram_tiles(shape, layout, i, count, row, column, tile, base, v, layout.room, cublas);
      continue;
    }
    float* scratch = layout.scratch(base);
    gram_tiles(shape, layout, i, count, row, column, tile, base, scratch, tile.rows * tile.columns, cublas);
    launch(&split_kernel, dim3(extent(ceil_div(tile.padded, 4 * threads)), extent(count)), dim3(threads), stream, tile,
           layout.room, i, FarRows(base, layout), scratch, layout.v_exponent(base), static_cast<__half*>(v),
           static_cast<__half*>(layout.v(base, layout.m + i, 0)));
  }
}

// In place of splitting, which leaves out what must be left out on the way.
template <class T>
void clear(const Layout& layout, const TileShape& tile, char* base, cudaStream_t stream) {
  const std::int64_t left_out = tile.padded - tile.rows * tile.columns + (tile.diagonal() ? tile.rows : 0);
  if (left_out == 0) return;
  launch(&clear_kernel<T>, dim3(extent(ceil_div(left_out, threads)), extent(layout.m)), dim3(threads), stream, tile,
         layout.room, static_cast<T*>(layout.v(base, 0, 0)));
}

}  // namespace

void gram_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream) {
  const std::int64_t m = layout.m;
  check(cudaMemsetAsync(layout.total(base), 0, to_size(m * layout.planes * 8), stream), "cudaMemsetAsync");
  for (std::int64_t row = 0; row < layout.rows; row += layout.edge) {
    for (std::int64_t column = row; column < layout.rows; column += layout.edge) {
      TileShape tile{row, column, std::min(layout.edge, layout.rows - row), std::min(layout.edge, layout.rows - column),
                     0};
      tile.padded = round_up(tile.rows * tile.columns, shape.rank_chunk);
      fill_v(shape, layout, row, column, tile, base, cublas, stream);
      if (shape.products == Products::float64) {
        clear<double>(layout, tile, base, stream);
        rank_update<double>(shape, layout, tile, base, cublas, stream);
      } else {
        if (shape.products == Products::float32) clear<float>(layout, tile, base, stream);
        rank_update<float>(shape, layout, tile, base, cublas, stream);
      }
    }
  }
  launch(&gram_finish_kernel, dim3(extent(ceil_div(m * m, threads))), dim3(threads), stream, m, layout.planes,
         layout.total(base), layout.v_exponent(base), layout.s0(base), layout.summed(base));
}

}  // namespace fastcka::cuda
