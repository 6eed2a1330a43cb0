#include "../far_rule.hpp"
#include "arithmetic.cuh"
#include "columns.hpp"
#include "far_examples.hpp"
#include "launch.cuh"
#include "reduce.cuh"

namespace fastcka::cuda {
namespace {

constexpr int row_threads = 8;
constexpr int column_threads = 32;
constexpr int threads = row_threads * column_threads;
// Blocks of threads that look for the distances of a batch: enough for a large GPU.
constexpr std::int64_t distance_blocks = 2048;
// The largest exponent of a far example relative to the others: beyond it, a sum loses the others entirely.
constexpr int most_exponent = 96;

// One warp a row.
template <class In>
__global__ void __launch_bounds__(threads)
    distances_kernel(Batch batch, std::int64_t n, std::int64_t m, std::int64_t rows, FarExamples out) {
  const BatchItem& x = batch.items[blockIdx.y];
  if (out.status[far_field * m + x.index] == 0) return;
  const double scale = ldexp(1.0, -static_cast<int>(out.status[exponent_field * m + x.index]));
  const double* center = out.robust + x.column;
  __shared__ double shared[row_threads][column_threads];
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * row_threads; first < n;
       first += static_cast<std::int64_t>(gridDim.x) * row_threads) {
    const std::int64_t row = first + threadIdx.y;
    double squares = 0;
    if (row < n) {
      const char* from = x.data + row * x.row_stride;
#pragma unroll 4
      for (std::int64_t column = threadIdx.x; column < x.d; column += column_threads) {
        const double value = widen(*reinterpret_cast<const In*>(from + column * x.column_stride));
        squares += square((value - center[column]) * scale);
      }
    }
    shared[threadIdx.y][threadIdx.x] = squares;
    for (unsigned half = column_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y][threadIdx.x + half];
    }
    if (threadIdx.x == 0 && row < n) out.distance[x.index * rows + row] = shared[threadIdx.y][0];
    __syncthreads();  // the next rows are written to the same place
  }
}

// Over all threads of the block: how many of the distances a predicate holds for.
template <class Predicate>
__device__ std::int64_t count_if(const double* distance, std::int64_t n, Predicate predicate) {
  std::int64_t count = 0;
  for (std::int64_t a = threadIdx.y * column_threads + threadIdx.x; a < n; a += threads) {
    if (predicate(distance[a])) ++count;
  }
  return reduce_block<threads>(count, Add());
}

// The distance that `position` others do not exceed, bit by bit: floating-point numbers that are not negative have the
// order of their bits.
__device__ inline double select(const double* distance, std::int64_t n, std::int64_t position) {
  double largest = 0;
  std::uint64_t bits = 0;
  for (int bit = 62; bit >= 0; --bit) {
    const std::uint64_t candidate = bits | std::uint64_t{1} << bit;
    double limit;
    memcpy(&limit, &candidate, sizeof limit);
    // Beyond the largest number the comparison holds for none: the bits of NaN are never taken.
    if (!(limit <= INFINITY)) continue;
    if (count_if(distance, n, [limit](double value) { return value < limit; }) > position) continue;
    bits = candidate;
    largest = limit;
  }
  return largest;
}

// The mean of the examples within the limit, in strips of columns; all threads return how far they reach from it.
template <class In>
__device__ double near_mean(const BatchItem& x, std::int64_t n, const double* distance, double limit,
                            std::int64_t count, double* mean) {
  __shared__ double shared[3][row_threads][column_threads];
  double reach = 0;
  for (std::int64_t first = 0; first < x.d; first += column_threads) {
    const std::int64_t column = first + threadIdx.x;
    double sum = 0, least = INFINITY, most = -INFINITY;
    if (column < x.d) {
      const char* from = x.data + column * x.column_stride;
#pragma unroll 4
      for (std::int64_t row = threadIdx.y; row < n; row += row_threads) {
        const double value = widen(*reinterpret_cast<const In*>(from + row * x.row_stride));
        const bool near = distance[row] <= limit;
        sum += near ? value : 0.0;
        least = near && value < least ? value : least;
        most = near && value > most ? value : most;
      }
    }
    shared[0][threadIdx.y][threadIdx.x] = sum;
    shared[1][threadIdx.y][threadIdx.x] = least;
    shared[2][threadIdx.y][threadIdx.x] = most;
    __syncthreads();
    if (threadIdx.y == 0 && column < x.d) {
      for (int y = 1; y < row_threads; ++y) {
        sum += shared[0][y][threadIdx.x];
        least = Smaller()(least, shared[1][y][threadIdx.x]);
        most = Larger()(most, shared[2][y][threadIdx.x]);
      }
      const double center = least == most ? least : sum / static_cast<double>(count);
      reach = Larger()(reach, Larger()(most - center, center - least));
      mean[column] = center;
    }
    __syncthreads();
  }
  return reduce_block<threads>(reach, Larger());
}

// One block of threads for a representation.
template <class In>
__global__ void __launch_bounds__(threads) select_kernel(Batch batch, std::int64_t n, std::int64_t m, std::int64_t rows,
                                                         std::int64_t most, int headroom, FarExamples out) {
  const BatchItem& x = batch.items[blockIdx.x];
  std::int64_t* status = out.status + x.index;
  if (status[far_field * m] == 0) return;
  const double* distance = out.distance + x.index * rows;
  double largest = 0;
  for (std::int64_t a = threadIdx.y * column_threads + threadIdx.x; a < n; a += threads) {
    largest = Larger()(largest, distance[a]);
  }
  largest = reduce_block<threads>(largest, Larger());
  const auto beyond = [](double limit) { return [limit](double value) { return value > limit; }; };
  // Whether the largest is far from the median shows without the median.
  const std::int64_t close = count_if(distance, n, [=](double value) { return value * far_from >= largest; });
  double limit = largest;
  if (n - close > (n - 1) / 2) {
    double typical = select(distance, n, (n - 1) / 2);
    if (typical == 0) {  // most examples are one and the same
      const std::int64_t others = count_if(distance, n, beyond(0));
      typical = select(distance, n, n - others + (others - 1) / 2);
    }
    limit = far_from * typical;
    while (count_if(distance, n, beyond(limit)) > most) limit *= far_from;
  }
  const std::int64_t count = count_if(distance, n, beyond(limit));
  if (threadIdx.x == 0 && threadIdx.y == 0) status[far_field * m] = count;
  if (count == 0) return;

  const double reach = near_mean<In>(x, n, distance, limit, n - count, out.mean + x.column);
  const int before = static_cast<int>(status[exponent_field * m]);
  int exponent = before;
  if (headroom > 0 && reach > 0) exponent = Larger()(scale_exponent(reach, headroom), before - most_exponent);
  __syncthreads();  // all have read it
  if (threadIdx.x == 0 && threadIdx.y == 0) status[exponent_field * m] = exponent;
  for (std::int64_t a = threadIdx.y * column_threads + threadIdx.x; a < rows; a += threads) {
    int mark = 0;
    if (a < n && distance[a] > limit) {
      // The mean of the others is no farther from the robust centre than this example.
      const int twice = ilogb(sqrt(distance[a])) + 2 + before;
      mark = 1 + (headroom > 0 ? Larger()(twice - headroom - exponent, 0) : 0);
    }
    out.far[x.index * rows + a] = static_cast<std::int8_t>(mark);
  }
}

template <class In>
void find_from(const Batch& batch, int count, const Layout& layout, int headroom, const FarExamples& out,
               cudaStream_t stream) {
  const std::int64_t blocks = std::min(ceil_div(layout.n, row_threads), ceil_div(distance_blocks, count));
  launch(&distances_kernel<In>, dim3(extent(blocks), extent(count)), dim3(column_threads, row_threads), stream, batch,
         layout.n, layout.m, layout.rows, out);
  launch(&select_kernel<In>, dim3(extent(count)), dim3(column_threads, row_threads), stream, batch, layout.n, layout.m,
         layout.rows, most_far(layout.n), headroom, out);
}

}  // namespace

void find_far_examples(const Batch& batch, int count, DType dtype, const Layout& layout, int headroom,
                       const FarExamples& out, cudaStream_t stream) {
  switch (dtype) {
    case DType::float16:
      return find_from<__half>(batch, count, layout, headroom, out, stream);
    case DType::bfloat16:
      return find_from<Bfloat16>(batch, count, layout, headroom, out, stream);
    case DType::float32:
      return find_from<float>(batch, count, layout, headroom, out, stream);
    case DType::float64:
      return find_from<double>(batch, count, layout, headroom, out, stream);
  }
}

}  // namespace fastcka::cuda
