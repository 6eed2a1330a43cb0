#include "arithmetic.cuh"
#include "columns.hpp"
#include "launch.cuh"
#include "prepare.hpp"

namespace fastcka::cuda {
namespace {

constexpr int row_threads = 8;
constexpr int column_threads = 32;  // each takes two neighbouring columns at a time

// Where the rows of a representation go, in items.
struct Target {
  std::int64_t rows;   // padded
  std::int64_t chunk;  // examples whose slabs lie below each other; 0: slabs side by side
  std::int64_t pitch;  // features: from row to row
};

// One warp a row.
template <class In, class Out>
__global__ void __launch_bounds__(row_threads* column_threads)
    center_kernel(Batch batch, std::int64_t n, Target target, Centered out) {
  const Source& x = batch.items[blockIdx.y];
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * row_threads + threadIdx.y;
  double squares = 0;
  if (row < target.rows) {
    std::int64_t to, step;
    if (target.chunk == 0) {
      to = (x.start * target.rows + row * x.width) * Out::slabs;
      step = x.width;
    } else {
      const std::int64_t before = row / target.chunk * target.chunk;
      const std::int64_t left = target.rows - before;
      to = (before * Out::slabs + row - before) * target.pitch + x.start;
      step = (left < target.chunk ? left : target.chunk) * target.pitch;
    }
    auto* at = static_cast<typename Out::Item*>(out.x) + to;
    const double scale = ldexp(1.0, -static_cast<int>(out.status[x.index]));
    const double* mean = out.mean + x.column;
    const char* from = x.data + (row < n ? row : 0) * x.row_stride;
    // Of what is padding another column's value is read, and not used: the loads need not wait for each other.
    struct Loaded {
      In value;
      double mean;
    };
    const auto load = [&](std::int64_t column) {
      const std::int64_t there = column < x.d ? column : 0;
      return Loaded{*reinterpret_cast<const In*>(from + there * x.column_stride), mean[there]};
    };
    const auto value = [&](const Loaded& loaded, std::int64_t column) {
      return row < n && column < x.d ? (widen(loaded.value) - loaded.mean) * scale : 0.0;
    };
#pragma unroll 2
    for (std::int64_t column = 2 * threadIdx.x; column < x.width; column += 2 * column_threads) {
      const Loaded first = load(column), second = load(column + 1);
      squares += Out::store(at + column, step, value(first, column), value(second, column + 1));
    }
  }

  __shared__ double shared[row_threads][column_threads];
  shared[threadIdx.y][threadIdx.x] = squares;
  for (unsigned half = column_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y][threadIdx.x + half];
  }
  if (threadIdx.x == 0 && row < target.rows) out.k[x.index * target.rows + row] = shared[threadIdx.y][0];
}

template <class In, class Out>
void launch_center(const Batch& batch, int count, const Layout& layout, const Target& target, const Centered& out,
                   cudaStream_t stream) {
  launch(&center_kernel<In, Out>, dim3(extent(divide_up(layout.rows, row_threads)), extent(count)),
         dim3(column_threads, row_threads), stream, batch, layout.n, target, out);
}

template <class In>
void center_from(const Batch& batch, int count, const Shape& shape, const Layout& layout, const Target& target,
                 const Centered& out, cudaStream_t stream) {
  switch (shape.products) {
    case Products::float32:
      return launch_center<In, Whole<float>>(batch, count, layout, target, out, stream);
    case Products::float64:
      return launch_center<In, Whole<double>>(batch, count, layout, target, out, stream);
    case Products::float16:
      return launch_center<In, Half>(batch, count, layout, target, out, stream);
    case Products::float16x3:
      return launch_center<In, HighLow>(batch, count, layout, target, out, stream);
  }
}

}  // namespace

void center(const Batch& batch, int count, DType dtype, const Shape& shape, const Layout& layout, const Centered& out,
            cudaStream_t stream) {
  const Target target{layout.rows, shape.route == Route::gram ? 0 : shape.chunk, layout.start.back()};
  switch (dtype) {
    case DType::float16:
      return center_from<__half>(batch, count, shape, layout, target, out, stream);
    case DType::bfloat16:
      return center_from<Bfloat16>(batch, count, shape, layout, target, out, stream);
    case DType::float32:
      return center_from<float>(batch, count, shape, layout, target, out, stream);
    case DType::float64:
      return center_from<double>(batch, count, shape, layout, target, out, stream);
  }
}

}  // namespace fastcka::cuda
