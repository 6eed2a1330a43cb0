#include <algorithm>

#include "arithmetic.cuh"
#include "columns.hpp"
#include "launch.cuh"
#include "norms.hpp"
#include "reduce.cuh"
#include "stored.cuh"

namespace fastcka::cuda {
namespace {

constexpr int row_threads = 8;
constexpr int column_threads = 32;
constexpr int threads = row_threads * column_threads;
// Blocks of threads that multiply the rows of one representation.
constexpr std::int64_t row_blocks = 32;
// fp16 numbers reach 65504.
constexpr int gram_headroom = 15;

// Device addresses, as the Layout describes them.
struct RowSums {
  const std::int64_t* start;
  std::uint8_t* any_far;
  double* row_sum;  // (padded columns of all): the sum of the rows
  double *k, *q, *r, *near;
  double* q_total;
  double* r_total;

  RowSums(char* base, const Layout& layout)
      : start(layout.starts(base)),
        any_far(layout.any_far(base)),
        row_sum(layout.row_sums(base)),
        k(layout.k(base)),
        q(layout.q(base)),
        r(layout.r(base)),
        near(layout.near(base)),
        q_total(layout.q_totals(base)),
        r_total(layout.r_totals(base)) {}
};

// About the mean of its other examples, the sum of a representation's rows is that of its far ones.
template <class Out>
__global__ void __launch_bounds__(threads) row_sum_kernel(Stored stored, RowSums sums) {
  const std::int64_t i = blockIdx.y;
  if (!stored.far.any(i)) return;
  const std::int64_t start = sums.start[i], width = sums.start[i + 1] - start;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * column_threads + threadIdx.x;
  const auto* x = static_cast<const typename Out::Item*>(stored.x);
  double sum = 0;
  if (column < width) {
    for (std::int64_t row = threadIdx.y; row < stored.rows; row += row_threads) {
      if (!stored.far.contains(i, row)) continue;
      const Stored::Place place = stored.place(row, start, width, Out::slabs);
      sum += ldexp(Out::load(x + place.offset + column, place.step), stored.far.exponent(i, row));
    }
  }
  __shared__ double shared[row_threads][column_threads];
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (int y = 1; y < row_threads; ++y) sum += shared[y][threadIdx.x];
  sums.row_sum[start + column] = sum;
}

// q, one warp a row.
template <class Out>
__global__ void __launch_bounds__(threads) row_products_kernel(Stored stored, RowSums sums) {
  const std::int64_t i = blockIdx.y;
  if (!stored.far.any(i)) return;
  const std::int64_t start = sums.start[i], width = sums.start[i + 1] - start;
  const auto* x = static_cast<const typename Out::Item*>(stored.x);
  __shared__ double shared[row_threads][column_threads];
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * row_threads; first < stored.rows;
       first += static_cast<std::int64_t>(gridDim.x) * row_threads) {
    const std::int64_t row = first + threadIdx.y;
    double sum = 0;
    if (row < stored.rows) {
      const Stored::Place place = stored.place(row, start, width, Out::slabs);
      for (std::int64_t column = threadIdx.x; column < width; column += column_threads) {
        sum += Out::load(x + place.offset + column, place.step) * sums.row_sum[start + column];
      }
    }
    shared[threadIdx.y][threadIdx.x] = sum;
    for (unsigned half = column_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y][threadIdx.x + half];
    }
    if (threadIdx.x == 0 && row < stored.rows) {
      sums.q[i * stored.rows + row] = ldexp(shared[threadIdx.y][0], stored.far.exponent(i, row));
    }
    __syncthreads();  // the next rows are written to the same place
  }
}

struct TwoLargest {
  double first, second;
};

struct LargerTwo {
  __device__ TwoLargest operator()(const TwoLargest& a, const TwoLargest& b) const {
    const double between = Smaller()(a.first, b.first);
    return {Larger()(a.first, b.first), Larger()(between, Larger()(a.second, b.second))};
  }
};

// One block of threads for a representation.
__global__ void __launch_bounds__(threads) totals_kernel(std::int64_t m, FarRows far, RowSums sums, int* exponent) {
  const std::int64_t i = blockIdx.x;
  const bool has_far = far.any(i);
  std::int64_t all_far = 0;
  for (std::int64_t j = threadIdx.x; j < m; j += threads) all_far += far.count[j];
  all_far = reduce_block<threads>(all_far, Add());
  double q_total = 0, r_total = 0;
  TwoLargest largest{};
  for (std::int64_t row = threadIdx.x; row < far.rows; row += threads) {
    const std::int64_t entry = i * far.rows + row;
    const double k = sums.k[entry];
    const double q = has_far ? sums.q[entry] : 0.0;
    sums.q[entry] = q;
    sums.r[entry] = q - k;
    bool any_far = false;
    for (std::int64_t j = 0; j < m && all_far > 0; ++j) any_far = any_far || far.contains(j, row);
    if (i == 0) sums.any_far[row] = any_far ? 1 : 0;
    sums.near[entry] = any_far ? 0.0 : k;
    q_total += q;
    r_total += q - k;
    largest = LargerTwo()(largest, {k, 0});
  }
  q_total = reduce_block<threads>(q_total, Add());
  r_total = reduce_block<threads>(r_total, Add());
  largest = reduce_block<threads>(largest, LargerTwo());
  if (threadIdx.x != 0) return;
  sums.q_total[i] = q_total;
  sums.r_total[i] = r_total;
  if (exponent == nullptr) return;
  // An entry of a Gram matrix is at most the product of two lengths.
  const double reach = sqrt(largest.first) * sqrt(largest.second);
  exponent[i] = reach > 0 && is_finite(reach) ? ilogb(reach) + 1 - gram_headroom : 0;
}

}  // namespace

void norm_products(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream) {
  const Stored stored(base, shape, layout);
  const RowSums sums(base, layout);
  const std::int64_t m = layout.m, rows = layout.rows;
  const std::int64_t widest = *std::max_element(layout.width.begin(), layout.width.end());
  const dim3 block(column_threads, row_threads);
  with_storage(shape.products, [&](auto storage) {
    using Storage = decltype(storage);
    launch(&row_sum_kernel<Storage>, dim3(extent(ceil_div(widest, column_threads)), extent(m)), block, stream, stored,
           sums);
    launch(&row_products_kernel<Storage>, dim3(extent(std::min(row_blocks, ceil_div(rows, row_threads))), extent(m)),
           block, stream, stored, sums);
  });
  const bool split = layout.planes > m;
  launch(&totals_kernel, dim3(extent(m)), dim3(threads), stream, m, stored.far, sums,
         split ? layout.v_exponent(base) : nullptr);
  const Matrix vectors{sums.k, rows, m * rows};
  cublas.multiply(Products::float64, Depth::columns, m, m, rows, vectors, vectors, false,
                  {layout.norms(base), m, m * m}, 4);
}

}  // namespace fastcka::cuda
