// Rows of a centred copy, back from its panels.
#pragma once

#include <algorithm>

#include "prepare.hpp"

namespace fastcka::cpu {

// Value `index` of a cell: it is one value, or two bfloat16, the upper halves of two float32.
template <class T>
T cell_value(const std::byte* cell, std::int64_t values, std::int64_t index) {
  if (values == 1) {
    T value;
    __builtin_memcpy(&value, cell, sizeof value);
    return value;
  }
  std::uint32_t pair;
  __builtin_memcpy(&pair, cell, sizeof pair);
  const std::uint32_t bits = index == 0 ? pair << 16 : pair & 0xffff0000;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return static_cast<T>(value);
}

// A part of the copy of one representation, (rows, columns), row-major. Rows are positions in the copy, of n. VALUES,
// those of a cell, is a constant: a division by it for each value would take longer than the rest.
template <std::int64_t VALUES, class T, class Out>
void unpack_cells(const Centered& x, const CopyFormat& format, std::int64_t n, Range rows, Range columns,
                  const Kernels<T>& kernels, Out* out) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t bytes = kernels.cell_bytes;
  for (std::int64_t a = rows.begin; a < rows.end; ++a) {
    const std::int64_t begin = a / format.chunk * format.chunk;
    const std::byte* chunk = x.data + begin * x.pitch;
    if (format.route == Route::gram) {
      const std::byte* first = chunk + (a - begin) * bytes;
      for (std::int64_t j = columns.begin; j < columns.end; ++j) {
        *out++ = static_cast<Out>(cell_value<T>(first + j / VALUES * lanes * bytes, VALUES, j % VALUES));
      }
      continue;
    }
    const std::int64_t steps = kernels.steps(std::min(format.chunk, n - begin));
    const std::int64_t step = (a - begin) / VALUES;
    for (std::int64_t j = columns.begin; j < columns.end;) {
      const std::int64_t end = std::min(columns.end, (j / lanes + 1) * lanes);
      const std::byte* cell = chunk + ((j / lanes * steps + step) * lanes + j % lanes) * bytes;
      for (; j < end; ++j, cell += bytes) *out++ = static_cast<Out>(cell_value<T>(cell, VALUES, (a - begin) % VALUES));
    }
  }
}

template <class T, class Out>
void unpack(const Centered& x, const CopyFormat& format, std::int64_t n, Range rows, Range columns,
            const Kernels<T>& kernels, Out* out) {
  if (kernels.values == 1) {
    unpack_cells<1>(x, format, n, rows, columns, kernels, out);
  } else {
    unpack_cells<2>(x, format, n, rows, columns, kernels, out);
  }
}

// Makes the far examples among rows [begin, begin + count) zero, or their own values again.
template <class Out>
void set_far(const Far& far, std::int64_t i, bool zero, std::int64_t begin, std::int64_t count, std::int64_t d,
             Out* rows) {
  for (std::size_t f = 0; f < far.rows.size(); ++f) {
    const std::int64_t row = far.rows[f] - begin;
    if (row < 0 || row >= count) continue;
    const double* from = far.x[to_size(i)].data() + static_cast<std::int64_t>(f) * d;
    for (std::int64_t j = 0; j < d; ++j) rows[row * d + j] = zero ? Out{0} : static_cast<Out>(from[j]);
  }
}

}  // namespace fastcka::cpu
