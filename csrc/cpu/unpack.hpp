// From cells back to numbers.
#pragma once

#include <cstdint>

#include "loops/implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// A part of the centred copy of one representation, (rows, columns), row-major. Rows are positions in the copy.
template <class T>
void unpack(const Centered& x, const CopyFormat& format, std::int64_t n, Range rows, Range columns,
            const Kernels<T>& kernels, double* out) {
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t width = columns.end - columns.begin;
  const bool gram = format.route == Route::gram;
  for (std::int64_t a = rows.begin; a < rows.end; ++a, out += width) {
    const std::int64_t begin = a / format.chunk * format.chunk;
    const std::int64_t steps = kernels.steps(gram ? x.d : std::min(format.chunk, n - begin));
    const std::byte* chunk = x.data + begin * x.pitch;
    // The vector of a gram copy is an example, and its steps are features; of the other, the other way round.
    for (std::int64_t j = columns.begin; j < columns.end; ++j) {
      const std::int64_t vector = gram ? a - begin : j;
      const std::int64_t step = gram ? j : a - begin;
      const std::int64_t cell = (vector / lanes * steps + step / kernels.values) * lanes + vector % lanes;
      double& value = out[j - columns.begin];
      if (kernels.values == 1) {
        T number;
        __builtin_memcpy(&number, chunk + cell * kernels.cell_bytes, sizeof number);
        value = static_cast<double>(number);
      } else {  // two bfloat16: the upper halves of two float32
        std::uint32_t bits;
        __builtin_memcpy(&bits, chunk + cell * kernels.cell_bytes, sizeof bits);
        bits = step % 2 == 0 ? bits << 16 : bits & 0xffff0000;
        float number;
        __builtin_memcpy(&number, &bits, sizeof number);
        value = static_cast<double>(number);
      }
    }
  }
}

}  // namespace fastcka::cpu
