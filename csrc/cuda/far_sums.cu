#include <algorithm>

#include "arithmetic.cuh"
#include "far_sums.hpp"
#include "launch.cuh"
#include "reduce.cuh"
#include "stored.cuh"

namespace fastcka::cuda {
namespace {

constexpr int threads = 256;

// Stored rows of all representations side by side, in float64: those of a list, or from the `first`-th on.
template <class Out>
__global__ void __launch_bounds__(threads)
    gather_kernel(Stored stored, const std::int64_t* start, const std::int64_t* list, std::int64_t first, double* out) {
  const std::int64_t i = blockIdx.y;
  const std::int64_t row = list != nullptr ? list[first + blockIdx.x] : first + blockIdx.x;
  const Stored::Place place = stored.place(row, 0, stored.pitch, Out::slabs);
  const auto* x = static_cast<const typename Out::Item*>(stored.x) + place.offset;
  const double scale = ldexp(1.0, stored.far.exponent(i, row));
  for (std::int64_t column = start[i] + threadIdx.x; column < start[i + 1]; column += threads) {
    out[blockIdx.x * stored.pitch + column] = scale * Out::load(x + column, place.step);
  }
}

// Gram entries of far examples (rows, starting at entry `first` of the list) and others (columns, starting at `begin`),
// each multiplied by its weight. A pair of two far examples is visited twice, so each visit counts once.
__global__ void __launch_bounds__(threads)
    weigh_kernel(const std::int64_t* list, std::int64_t first, std::int64_t begin, std::int64_t columns,
                 std::int64_t size, const std::uint8_t* any_far, std::int64_t room, const double* v, double* weighed) {
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (entry >= size) return;
  const std::int64_t a = list[first + entry / columns];
  const std::int64_t b = begin + entry % columns;
  const double weight = a == b ? 0 : any_far[b] != 0 ? 1 : 2;
  weighed[blockIdx.y * room + entry] = weight * v[blockIdx.y * room + entry];
}

template <class Out>
__global__ void __launch_bounds__(threads) clear_rows_kernel(Stored stored, const std::int64_t* list) {
  const Stored::Place place = stored.place(list[blockIdx.x], 0, stored.pitch, Out::slabs);
  auto* x = static_cast<typename Out::Item*>(stored.x) + place.offset;
  for (std::int64_t column = threadIdx.x; column < stored.pitch; column += threads) {
    for (int slab = 0; slab < Out::slabs; ++slab) x[slab * place.step + column] = typename Out::Item{};
  }
}

__global__ void __launch_bounds__(threads) add_kernel(std::int64_t m, const double* far_total, double* s0) {
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (entry >= m * m) return;
  s0[entry] += far_total[Smaller()(entry / m, entry % m) * m + Larger()(entry / m, entry % m)];
}

// The Gram entries of all representations: v (m, room), each (rows, columns).
void gram_entries(const Layout& layout, double* far, std::int64_t rows, double* others, std::int64_t columns, double* v,
                  std::int64_t room, Cublas& cublas) {
  const std::int64_t pitch = layout.start.back();
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < layout.m; i += count) {
    const std::int64_t width = layout.width[to_size(i)];
    for (count = 1; i + count < layout.m && layout.width[to_size(i + count)] == width;) ++count;
    const std::int64_t start = layout.start[to_size(i)];
    cublas.multiply(Products::float64, Depth::columns, rows, columns, width, {far + start, pitch, width},
                    {others + start, pitch, width}, false, {v + i * room, columns, room}, count);
  }
}

}  // namespace

void far_sums(const Shape& shape, const Layout& layout, char* base, const std::vector<std::int64_t>& rows,
              Cublas& cublas, cudaStream_t stream) {
  const Stored stored(base, shape, layout);
  const std::int64_t m = layout.m;
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t room = layout.far_rows * layout.far_chunk;
  std::int64_t* list = layout.far_list(base);
  const std::int64_t* start = layout.starts(base);
  double* far = layout.far_sums(base);
  double* others = far + layout.far_rows * stored.pitch;
  double* v = others + layout.far_chunk * stored.pitch;
  double* weighed = v + m * room;
  double* total = layout.far_total(base);
  const std::uint8_t* any_far = layout.any_far(base);
  check(cudaMemcpyAsync(list, rows.data(), rows.size() * sizeof rows[0], cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync");
  with_storage(shape.products, [&](auto storage) {
    using Storage = decltype(storage);
    for (std::int64_t first = 0; first < count; first += layout.far_rows) {
      const std::int64_t some = std::min(layout.far_rows, count - first);
      launch(&gather_kernel<Storage>, dim3(extent(some), extent(m)), dim3(threads), stream, stored, start, list, first,
             far);
      for (std::int64_t begin = 0; begin < layout.rows; begin += layout.far_chunk) {
        const std::int64_t columns = std::min(layout.far_chunk, layout.rows - begin);
        launch(&gather_kernel<Storage>, dim3(extent(columns), extent(m)), dim3(threads), stream, stored, start, nullptr,
               begin, others);
        gram_entries(layout, far, some, others, columns, v, room, cublas);
        const std::int64_t size = some * columns;
        launch(&weigh_kernel, dim3(extent(ceil_div(size, threads)), extent(m)), dim3(threads), stream, list, first,
               begin, columns, size, any_far, room, v, weighed);
        cublas.multiply(Products::float64, Depth::columns, m, m, size, {weighed, room}, {v, room}, first + begin > 0,
                        {total, m});
      }
    }
    launch(&clear_rows_kernel<Storage>, dim3(extent(count)), dim3(threads), stream, stored, list);
  });
}

void add_far_sums(const Layout& layout, char* base, cudaStream_t stream) {
  const std::int64_t m = layout.m;
  launch(&add_kernel, dim3(extent(ceil_div(m * m, threads))), dim3(threads), stream, m, layout.far_total(base),
         layout.s0(base));
}

}  // namespace fastcka::cuda
