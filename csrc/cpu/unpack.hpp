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

// Examples [begin, begin + count) of one chunk of the copy (gram: of any panels, from the first of one on) as rows
// (count, d).
template <class T, class Out>
void unpack(const Centered& x, Route route, std::int64_t begin, std::int64_t count, const Kernels<T>& kernels,
            Out* out) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t bytes = kernels.cell_bytes;
  if (route == Route::features) {
    const std::int64_t steps = kernels.steps(count);
    for (std::int64_t j = 0; j < x.d; ++j) {
      const std::byte* panel = x.data + begin * x.pitch + (j / lanes * steps * lanes + j % lanes) * bytes;
      for (std::int64_t row = 0; row < count; ++row) {
        const std::byte* cell = panel + row / kernels.values * lanes * bytes;
        out[row * x.d + j] = static_cast<Out>(cell_value<T>(cell, kernels.values, row % kernels.values));
      }
    }
    return;
  }
  for (std::int64_t row = 0; row < count; ++row) {
    const std::byte* first = x.panel((begin + row) / lanes, lanes) + (begin + row) % lanes * bytes;
    for (std::int64_t j = 0; j < x.d; ++j) {
      const std::byte* cell = first + j / kernels.values * lanes * bytes;
      out[row * x.d + j] = static_cast<Out>(cell_value<T>(cell, kernels.values, j % kernels.values));
    }
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
