#include <algorithm>

#include "arithmetic.cuh"
#include "gram.hpp"
#include "launch.cuh"
#include "stored.cuh"

namespace fastcka::cuda {
namespace {

constexpr int threads = 256;
constexpr int rank_columns = 32;
constexpr int most_rank_rows = 32;
// Depth of one product at most. A float32 sum over many features is one of sums of so many.
constexpr std::int64_t depth_step = 12288;

// A tile of `rows` x `columns` of one representation, in V a row of `padded` entries.
struct TileShape {
  std::int64_t first_row, first_column;
  std::int64_t rows, columns, padded;

  // Its diagonal is that of the plane.
  __host__ __device__ bool diagonal() const { return first_row == first_column; }
};

// In place: the entries of an example with itself, and those beyond the tile, become zero.
template <class T>
__global__ void __launch_bounds__(threads) clear_kernel(TileShape tile, std::int64_t room, T* v) {
  const std::int64_t diagonal = tile.diagonal() ? tile.rows : 0;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  T* own = v + blockIdx.y * room;
  if (thread < diagonal) {
    own[thread * (tile.columns + 1)] = 0;
  } else if (tile.rows * tile.columns + thread - diagonal < tile.padded) {
    own[tile.rows * tile.columns + thread - diagonal] = 0;
  }
}

// From float32 to fp16 high and low parts, scaled by a power of two, with the same zeros: of representations from the
// `first`-th on. Extents are multiples of `grain`, so that four neighbours lie in one row.
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
    const std::int64_t own = row - (entry - row * tile.columns);
    for (int at = 0; at < 4; ++at) {
      if (at == own) values.value[at] = 0;
    }
  }
  if (!far.any(i)) {
    const float scale = ldexpf(1.0F, -exponent[i]);
    for (int at = 0; at < 4; ++at) values.value[at] *= scale;
  } else if (entry < size) {
    const std::int64_t row = entry / tile.columns;
    const std::int64_t column = tile.first_column + entry - row * tile.columns;
    const int shift = far.exponent(i, tile.first_row + row) - exponent[i];
    for (int at = 0; at < 4; ++at) {
      values.value[at] = ldexpf(values.value[at], shift + far.exponent(i, column + at));
    }
  }
  Quad<__half> above, below;
  for (int at = 0; at < 4; ++at) {
    const Split parts = split(values.value[at]);
    above.value[at] = parts.high;
    below.value[at] = parts.low;
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
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (at >= m * m) return;
  const std::int64_t i = at / m < at % m ? at / m : at % m;
  const std::int64_t j = at / m < at % m ? at % m : at / m;
  double sum = total[i * planes + j];
  if (planes > m) {
    sum += total[i * planes + m + j] + total[j * planes + m + i];
    sum = ldexp(sum, exponent[i] + exponent[j]);
  }
  s0[at] = sum;
  if (i == j) summed[i] = sum;
}

template <class T>
void rank_update(const Shape& shape, const Layout& layout, const TileShape& tile, char* base, Cublas& cublas,
                 cudaStream_t stream) {
  const std::int64_t m = layout.m;
  const std::int64_t chunks = tile.padded / shape.rank_chunk;
  const std::int64_t size = m * layout.partial_pitch;
  auto* partial = reinterpret_cast<T*>(base + layout.partial);
  for (std::int64_t begin = 0; begin < chunks; begin += layout.rank_batch) {
    const std::int64_t count = std::min(layout.rank_batch, chunks - begin);
    const Matrix v{base + layout.v + begin * shape.rank_chunk * layout.item, layout.room, shape.rank_chunk};
    cublas.multiply(shape.products, Depth::columns, m, layout.planes, shape.rank_chunk, v, v, false,
                    {partial, layout.partial_pitch, size}, count);
    unsigned rows = 1;  // of threads: no more than there are partial products
    while (rows < most_rank_rows && rows < count) rows *= 2;
    launch(&add_partial_kernel<T>, dim3(extent(divide_up(layout.planes, rank_columns)), extent(m)),
           dim3(rank_columns, rows), stream, layout.planes, layout.partial_pitch, size, count, partial,
           tile.diagonal() ? 1.0 : 2.0, reinterpret_cast<double*>(base + layout.total));
  }
}

// The tiles at (row, column) of the Gram matrices of `count` representations of one width, from the i-th on, to `out`
// and every `step` items after it.
void gram_tiles(const Shape& shape, const Layout& layout, std::int64_t i, std::int64_t count, std::int64_t row,
                std::int64_t column, const TileShape& tile, char* base, void* out, std::int64_t step, Cublas& cublas) {
  const std::int64_t width = layout.width[static_cast<std::size_t>(i)];
  const std::int64_t pitch = width * layout.slabs;
  const std::int64_t size = layout.rows * pitch;
  char* x = base + layout.x + layout.start[static_cast<std::size_t>(i)] * layout.rows * layout.slabs * layout.item;
  // Of split rows three of the four slabs are a window; the windows of the two sides begin one slab apart.
  const std::int64_t depth = layout.slabs == 1 ? width : 3 * width;
  const std::int64_t shift = layout.slabs == 1 ? 0 : width;
  for (std::int64_t k = 0; k < depth; k += depth_step) {
    const Matrix a{x + (row * pitch + k) * layout.item, pitch, size};
    const Matrix b{x + (column * pitch + shift + k) * layout.item, pitch, size};
    cublas.multiply(shape.products, Depth::columns, tile.rows, tile.columns, std::min(depth_step, depth - k), a, b,
                    k > 0, {out, tile.columns, step}, count);
  }
}

// V for a tile of the plane: the tiles of all representations.
void fill_v(const Shape& shape, const Layout& layout, std::int64_t row, std::int64_t column, const TileShape& tile,
            char* base, Cublas& cublas, cudaStream_t stream) {
  const bool split = layout.planes > layout.m;
  const std::int64_t batch = split ? layout.scratch_room / (tile.rows * tile.columns) : layout.m;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < layout.m; i += count) {
    const std::int64_t most = std::min(batch, layout.m - i);
    const auto of = [&](std::int64_t at) { return layout.width[static_cast<std::size_t>(at)]; };
    for (count = 1; count < most && of(i + count) == of(i);) ++count;
    char* v = base + layout.v + i * layout.room * layout.item;
    if (!split) {
      gram_tiles(shape, layout, i, count, row, column, tile, base, v, layout.room, cublas);
      continue;
    }
    auto* scratch = reinterpret_cast<float*>(base + layout.scratch);
    gram_tiles(shape, layout, i, count, row, column, tile, base, scratch, tile.rows * tile.columns, cublas);
    launch(&split_kernel, dim3(extent(divide_up(tile.padded, 4 * threads)), extent(count)), dim3(threads), stream, tile,
           layout.room, i, FarRows(base, layout), scratch, reinterpret_cast<const int*>(base + layout.v_exponent),
           reinterpret_cast<__half*>(v), reinterpret_cast<__half*>(v) + layout.m * layout.room);
  }
}

// In place of splitting, which leaves out what must be left out on the way.
template <class T>
void clear(const Layout& layout, const TileShape& tile, char* base, cudaStream_t stream) {
  const std::int64_t left_out = tile.padded - tile.rows * tile.columns + (tile.diagonal() ? tile.rows : 0);
  if (left_out == 0) return;
  launch(&clear_kernel<T>, dim3(extent(divide_up(left_out, threads)), extent(layout.m)), dim3(threads), stream, tile,
         layout.room, reinterpret_cast<T*>(base + layout.v));
}

}  // namespace

void gram_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream) {
  const std::int64_t m = layout.m;
  check(cudaMemsetAsync(base + layout.total, 0, static_cast<std::size_t>(m * layout.planes * 8), stream),
        "cudaMemsetAsync");
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
  launch(&gram_finish_kernel, dim3(extent(divide_up(m * m, threads))), dim3(threads), stream, m, layout.planes,
         reinterpret_cast<const double*>(base + layout.total), reinterpret_cast<const int*>(base + layout.v_exponent),
         reinterpret_cast<double*>(base + layout.s0), reinterpret_cast<double*>(base + layout.totals) + 2 * m);
}

}  // namespace fastcka::cuda
