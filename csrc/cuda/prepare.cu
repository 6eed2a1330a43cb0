#include "arithmetic.cuh"
#include "columns.hpp"
#include "launch.cuh"
#include "prepare.hpp"
#include "stored.cuh"

namespace fastcka::cuda {
namespace {

constexpr int row_threads = 8;
constexpr int column_threads = 32;  // each takes two neighbouring columns at a time

// One warp a row.
template <class In, class Out>
__global__ void __launch_bounds__(row_threads* column_threads)
    center_kernel(Batch batch, std::int64_t n, Stored stored, Centered out) {
  const BatchItem& x = batch.items[blockIdx.y];
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * row_threads + threadIdx.y;
  double squares = 0;
  int far_exponent = 0;  // exponent of a far example
  if (row < stored.rows) {
    const Stored::Place place = stored.place(row, x.start, x.width, Out::slabs);
    auto* stored_row = static_cast<typename Out::Item*>(stored.x) + place.offset;
    far_exponent = row < n ? stored.far.exponent(x.index, row) : 0;
    const double scale = ldexp(1.0, -static_cast<int>(out.status[x.index]) - far_exponent);
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
      squares += Out::store(stored_row + column, place.step, value(first, column), value(second, column + 1));
    }
  }

  __shared__ double shared[row_threads][column_threads];
  shared[threadIdx.y][threadIdx.x] = squares;
  for (unsigned half = column_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y][threadIdx.x + half];
  }
  if (threadIdx.x == 0 && row < stored.rows) {
    out.k[x.index * stored.rows + row] = ldexp(shared[threadIdx.y][0], 2 * far_exponent);
  }
}

template <class In>
void center_from(const Batch& batch, int count, Products products, const Layout& layout, const Stored& stored,
                 const Centered& out, cudaStream_t stream) {
  with_storage(products, [&](auto storage) {
    launch(&center_kernel<In, decltype(storage)>, dim3(extent(ceil_div(layout.rows, row_threads)), extent(count)),
           dim3(column_threads, row_threads), stream, batch, layout.n, stored, out);
  });
}

}  // namespace

void center(const Batch& batch, int count, DType dtype, const Shape& shape, const Layout& layout, char* base,
            const Centered& out, cudaStream_t stream) {
  const Stored stored(base, shape, layout);
  switch (dtype) {
    case DType::float16:
      return center_from<__half>(batch, count, shape.products, layout, stored, out, stream);
    case DType::bfloat16:
      return center_from<Bfloat16>(batch, count, shape.products, layout, stored, out, stream);
    case DType::float32:
      return center_from<float>(batch, count, shape.products, layout, stored, out, stream);
    case DType::float64:
      return center_from<double>(batch, count, shape.products, layout, stored, out, stream);
  }
}

}  // namespace fastcka::cuda
