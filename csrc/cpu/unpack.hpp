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
// (count, d). VALUES, those of a cell, is a constant: a division by it for each value would take longer than the rest.
template <std::int64_t VALUES, class T, class Out>
void unpack_cells(const Centered& x, Route route, std::int64_t begin, std::int64_t count, const Kernels<T>& kernels,
                  Out* out) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t bytes = kernels.cell_bytes;
  if (route == Route::features) {
    const std::int64_t panel_bytes = kernels.steps(count) * lanes * bytes;
    const std::byte* panel = x.data + begin * x.pitch;
    for (std::int64_t first = 0; first < x.d; first += lanes, panel += panel_bytes) {
      const std::int64_t width = std::min(lanes, x.d - first);
      for (std::int64_t row = 0; row < count; ++row) {
        const std::byte* cells = panel + row / VALUES * lanes * bytes;
        Out* to = out + row * x.d + first;
        for (std::int64_t lane = 0; lane < width; ++lane) {
          to[lane] = static_cast<Out>(cell_value<T>(cells + lane * bytes, VALUES, row % VALUES));
        }
      }
    }
    return;
  }
  for (std::int64_t row = 0; row < count; ++row, out += x.d) {
    const std::byte* first = x.panel((begin + row) / lanes, lanes) + (begin + row) % lanes * bytes;
    for (std::int64_t j = 0; j < x.d; ++j) {
      out[j] = static_cast<Out>(cell_value<T>(first + j / VALUES * lanes * bytes, VALUES, j % VALUES));
    }
  }
}

template <class T, class Out>
void unpack(const Centered& x, Route route, std::int64_t begin, std::int64_t count, const Kernels<T>& kernels,
            Out* out) {
  if (kernels.values == 1) {
    unpack_cells<1>(x, route, begin, count, kernels, out);
  } else {
    unpack_cells<2>(x, route, begin, count, kernels, out);
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
