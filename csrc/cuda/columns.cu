#include <algorithm>
#include <limits>

#include "../far_rule.hpp"
#include "arithmetic.cuh"
#include "columns.hpp"
#include "launch.cuh"
#include "reduce.cuh"

namespace fastcka::cuda {
namespace {

constexpr int row_threads = 8;
constexpr int block_threads = row_threads * static_cast<int>(strip_columns);
constexpr std::int64_t no_row = std::numeric_limits<std::int64_t>::max();

// A block of threads takes a strip of columns over a block of rows: neighbours in a warp read neighbours in a row.
template <class In>
__global__ void __launch_bounds__(block_threads)
    statistics_kernel(Batch batch, std::int64_t n, std::int64_t block_rows, std::int64_t blocks, Statistics out) {
  const BatchItem& x = batch.items[blockIdx.y];
  const std::int64_t strips = ceil_div(x.d, strip_columns);
  const std::int64_t block = blockIdx.x % blocks;
  const std::int64_t strip = blockIdx.x / blocks;
  if (strip >= strips) return;
  const std::int64_t column = strip * strip_columns + threadIdx.x;
  const std::int64_t begin = block * block_rows;
  const std::int64_t end = begin + block_rows < n ? begin + block_rows : n;

  double sum = 0, least = INFINITY, most = -INFINITY;
  std::int64_t count = 0, first = no_row;
  if (column < x.d) {
    const char* from = x.data + column * x.column_stride + (begin + threadIdx.y) * x.row_stride;
    constexpr int ahead = 8;
    for (std::int64_t row = begin + threadIdx.y; row < end; row += ahead * row_threads) {
      In next[ahead];
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        // Beyond the end the last of its rows again: it changes neither bound.
        const std::int64_t here = row + i * row_threads < end ? i : 0;
        next[i] = *reinterpret_cast<const In*>(from + here * row_threads * x.row_stride);
      }
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        const double value = widen(next[i]);
        sum += row + i * row_threads < end ? value : 0.0;
        least = value < least ? value : least;
        most = value > most ? value : most;
      }
      from += ahead * row_threads * x.row_stride;
    }
    if (!is_finite(sum)) {
      from = x.data + column * x.column_stride + (begin + threadIdx.y) * x.row_stride;
      for (std::int64_t row = begin + threadIdx.y; row < end; row += row_threads, from += row_threads * x.row_stride) {
        if (is_finite(widen(*reinterpret_cast<const In*>(from)))) continue;
        const std::int64_t position = row * x.d + column;
        ++count;
        first = position < first ? position : first;
      }
    }
  }

  __shared__ double shared[3][row_threads][strip_columns];
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
    const std::int64_t to = x.column * blocks + block * x.d + column;
    out.sum[to] = sum;
    out.least[to] = least;
    out.most[to] = most;
  }
  count = reduce_block<block_threads>(count, Add());
  first = reduce_block<block_threads>(first, Smaller());
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    const std::int64_t to = x.strip * blocks + block * strips + strip;
    out.count[to] = count;
    out.first[to] = first;
  }
}

// The lower median.
__device__ inline double median(double* values, int count) {
  for (int i = 1; i < count; ++i) {
    const double value = values[i];
    int place = i;
    for (; place > 0 && values[place - 1] > value; --place) values[place] = values[place - 1];
    values[place] = value;
  }
  return values[(count - 1) / 2];
}

// Squared distances from the robust centre: of the examples of a sample, and the largest that the extremes of the
// columns leave room for.
struct Distances {
  double sample[SampleRows::most];
  double most;
};

struct AddDistances {
  __device__ Distances operator()(Distances a, const Distances& b) const {
    for (int i = 0; i < SampleRows::most; ++i) a.sample[i] += b.sample[i];
    a.most += b.most;
    return a;
  }
};

// By all threads of the block.
template <class In>
__device__ bool may_have_far(const BatchItem& x, const SampleRows& rows, std::int64_t blocks, double scale,
                             const Statistics& s) {
  Distances sum{};
  for (std::int64_t j = threadIdx.x; j < x.d; j += block_threads) {
    const std::int64_t entry = x.column * blocks + j;
    double least = s.least[entry], most = s.most[entry];
    for (std::int64_t block = 1; block < blocks; ++block) {
      least = Smaller()(least, s.least[entry + block * x.d]);
      most = Larger()(most, s.most[entry + block * x.d]);
    }
    double values[SampleRows::most], sorted[SampleRows::most];
    const char* column = x.data + j * x.column_stride;
    for (int i = 0; i < rows.count; ++i) {
      values[i] = sorted[i] = widen(*reinterpret_cast<const In*>(column + rows.row[i] * x.row_stride));
    }
    const double center = median(sorted, rows.count);
    s.robust[x.column + j] = center;
    for (int i = 0; i < rows.count; ++i) sum.sample[i] += square((values[i] - center) * scale);
    sum.most += square(Larger()(most - center, center - least) * scale);
  }
  sum = reduce_block<block_threads>(sum, AddDistances());
  return sum.most > far_from * median(sum.sample, rows.count);
}

// One block of threads for a representation.
template <class In>
__global__ void __launch_bounds__(block_threads)
    summary_kernel(Batch batch, SampleRows rows, std::int64_t n, std::int64_t m, std::int64_t blocks, int headroom,
                   Statistics s) {
  const BatchItem& x = batch.items[blockIdx.x];
  const std::int64_t strips = ceil_div(x.d, strip_columns);
  double largest = 0;
  std::int64_t unbounded = 0;
  for (std::int64_t j = threadIdx.x; j < x.d; j += block_threads) {
    const std::int64_t entry = x.column * blocks + j;
    double sum = s.sum[entry], least = s.least[entry], most = s.most[entry];
    for (std::int64_t block = 1; block < blocks; ++block) {
      sum += s.sum[entry + block * x.d];
      least = Smaller()(least, s.least[entry + block * x.d]);
      most = Larger()(most, s.most[entry + block * x.d]);
    }
    // A feature that never varies has exactly its value as mean, so that it is centred to exactly zero.
    const double mean = least == most ? least : sum / static_cast<double>(n);
    const double reach = Larger()(most - mean, mean - least);
    if (!is_finite(sum) || !is_finite(reach)) ++unbounded;
    largest = Larger()(largest, reach);
    s.mean[x.column + j] = mean;
  }
  std::int64_t count = 0, first = no_row;
  for (std::int64_t entry = threadIdx.x; entry < blocks * strips; entry += block_threads) {
    count += s.count[x.strip * blocks + entry];
    first = Smaller()(first, s.first[x.strip * blocks + entry]);
  }
  largest = reduce_block<block_threads>(largest, Larger());
  unbounded = reduce_block<block_threads>(unbounded, Add());
  count = reduce_block<block_threads>(count, Add());
  first = reduce_block<block_threads>(first, Smaller());

  const int exponent = unbounded == 0 ? scale_exponent(largest, headroom) : 0;
  const bool far = unbounded == 0 && largest > 0 && may_have_far<In>(x, rows, blocks, ldexp(1.0, -exponent), s);
  if (threadIdx.x != 0) return;
  s.status[exponent_field * m + x.index] = exponent;
  s.status[constant_field * m + x.index] = largest == 0;
  s.status[count_field * m + x.index] = count;
  s.status[first_field * m + x.index] = count > 0 ? first : unbounded > 0 ? too_large : none_found;
  s.status[far_field * m + x.index] = far ? 1 : 0;
  s.start[x.index] = x.start;
  if (x.index == m - 1) s.start[m] = x.start + x.width;
}

template <class In>
void describe_from(const Batch& batch, int count, const Layout& layout, int headroom, const Statistics& statistics,
                   cudaStream_t stream) {
  std::int64_t strips = 0;
  for (int i = 0; i < count; ++i) strips = std::max(strips, ceil_div(batch.items[i].d, strip_columns));
  launch(&statistics_kernel<In>, dim3(extent(layout.blocks * strips), extent(count)), dim3(strip_columns, row_threads),
         stream, batch, layout.n, layout.block_rows, layout.blocks, statistics);
  launch(&summary_kernel<In>, dim3(extent(count)), dim3(block_threads), stream, batch, SampleRows(layout.n), layout.n,
         layout.m, layout.blocks, headroom, statistics);
}

}  // namespace

void describe_columns(const Batch& batch, int count, DType dtype, const Layout& layout, int headroom,
                      const Statistics& statistics, cudaStream_t stream) {
  switch (dtype) {
    case DType::float16:
      return describe_from<__half>(batch, count, layout, headroom, statistics, stream);
    case DType::bfloat16:
      return describe_from<Bfloat16>(batch, count, layout, headroom, statistics, stream);
    case DType::float32:
      return describe_from<float>(batch, count, layout, headroom, statistics, stream);
    case DType::float64:
      return describe_from<double>(batch, count, layout, headroom, statistics, stream);
  }
}

}  // namespace fastcka::cuda
