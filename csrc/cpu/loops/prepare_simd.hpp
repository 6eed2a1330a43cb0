// Column statistics and centring of any dtype and stride, for the translation units named in implementation_simd.hpp.
#pragma once

#include "cells_simd.hpp"
#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

struct Half {
  std::uint16_t bits;
};
struct BFloat {
  std::uint16_t bits;
};

// By hand: _Float16 is unknown to some compilers, and GCC calls a function of libgcc for each value (12 times slower).
inline double widen(Half x) {
  // Exponent 15 becomes 127; infinity and NaN move as much again. A subnormal takes its leading one from 2^-14, which
  // is then subtracted: no subnormal float32 occurs, so that a flush-to-zero mode does no harm.
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7fff) << 13;
  const std::uint32_t special = magnitude >= 0x0f800000 ? 112U << 23 : 0U;
  const std::uint32_t hidden = magnitude < 0x00800000 ? 113U << 23 : 0U;
  const std::uint32_t rebased = magnitude + (hidden != 0 ? hidden : 112U << 23) + special;
  float value;
  float excess;
  __builtin_memcpy(&value, &rebased, sizeof value);
  __builtin_memcpy(&excess, &hidden, sizeof excess);
  const double absolute = static_cast<double>(value) - static_cast<double>(excess);
  return (x.bits & 0x8000) != 0 ? -absolute : absolute;
}
inline double widen(BFloat x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}
inline double widen(float x) { return static_cast<double>(x); }
inline double widen(double x) { return x; }

// Columns [begin, begin + count) of a row in float64.
template <class S>
inline void widen_row(const View& view, std::int64_t row, std::int64_t begin, std::int64_t count, double* out) {
  const char* from = static_cast<const char*>(view.data) + row * view.row_stride + begin * view.column_stride;
  if (view.column_stride == static_cast<std::int64_t>(sizeof(S))) {
    for (std::int64_t j = 0; j < count; ++j) {
      S x;
      __builtin_memcpy(&x, from + j * static_cast<std::int64_t>(sizeof(S)), sizeof x);
      out[j] = widen(x);
    }
  } else {
    for (std::int64_t j = 0; j < count; ++j) {
      S x;
      __builtin_memcpy(&x, from + j * view.column_stride, sizeof x);
      out[j] = widen(x);
    }
  }
}

// Whether registers can be widened from memory as it is.
template <class S>
constexpr bool as_it_is = false;
template <>
constexpr bool as_it_is<float> = true;
template <>
constexpr bool as_it_is<double> = true;

constexpr std::int64_t wide_lanes = sizeof(Wide) / sizeof(double);

template <class S>
inline Wide load_wide(const char* from) {
  if constexpr (as_it_is<S>) return widened(load<Vector<S, wide_lanes * sizeof(S)>>(from));
  return Wide{};
}

// Columns that are worked on together: their float64 values and statistics stay in the L1 cache.
constexpr std::int64_t strip = 256;

// ROWS rows at once, so that the statistics are read and written once for them; added in the order of the rows.
template <class S, int ROWS>
inline void add_rows(const View& view, std::int64_t row, std::int64_t begin, std::int64_t count, double* sum,
                     double* min, double* max) {
  std::int64_t j = 0;
  if constexpr (as_it_is<S>) {
    constexpr auto bytes = static_cast<std::int64_t>(sizeof(S));
    const char* from = static_cast<const char*>(view.data) + row * view.row_stride + begin * bytes;
    const bool consecutive = view.column_stride == bytes;
    for (; consecutive && j + wide_lanes <= count; j += wide_lanes, from += wide_lanes * bytes) {
      Wide s = load<Wide>(sum + j);
      Wide low = load<Wide>(min + j);
      Wide high = load<Wide>(max + j);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        const Wide x = load_wide<S>(from + r * view.row_stride);
        s += x;
        low = x < low ? x : low;
        high = x > high ? x : high;
      }
      store(sum + j, s);
      store(min + j, low);
      store(max + j, high);
    }
    if (j == count) return;
  }
  const std::int64_t rest = j;
  double x[ROWS][strip];
  for (int r = 0; r < ROWS; ++r) widen_row<S>(view, row + r, begin + rest, count - rest, x[r]);
  for (; j < count; ++j) {
    double s = sum[j];
    double low = min[j];
    double high = max[j];
    for (int r = 0; r < ROWS; ++r) {
      const double value = x[r][j - rest];
      s += value;
      low = value < low ? value : low;
      high = value > high ? value : high;
    }
    sum[j] = s;
    min[j] = low;
    max[j] = high;
  }
}

template <class S>
void column_statistics_of(const View& view, Range rows, Range columns, ColumnStatistics out) {
  for (std::int64_t j0 = columns.begin; j0 < columns.end; j0 += strip) {
    const std::int64_t count = columns.end - j0 < strip ? columns.end - j0 : strip;
    double* sum = out.sum + (j0 - columns.begin);
    double* min = out.min + (j0 - columns.begin);
    double* max = out.max + (j0 - columns.begin);
    widen_row<S>(view, rows.begin, j0, count, sum);
    for (std::int64_t j = 0; j < count; ++j) min[j] = max[j] = sum[j];
    std::int64_t row = rows.begin + 1;
    for (; row + 8 <= rows.end; row += 8) add_rows<S, 8>(view, row, j0, count, sum, min, max);
    for (; row < rows.end; ++row) add_rows<S, 1>(view, row, j0, count, sum, min, max);
  }
}

void column_statistics(const View& view, Range rows, Range columns, ColumnStatistics out) {
  switch (view.dtype) {
    case DType::float16:
      return column_statistics_of<Half>(view, rows, columns, out);
    case DType::bfloat16:
      return column_statistics_of<BFloat>(view, rows, columns, out);
    case DType::float32:
      return column_statistics_of<float>(view, rows, columns, out);
    case DType::float64:
      return column_statistics_of<double>(view, rows, columns, out);
  }
}

template <class S, class Cell>
void center_from(const View& view, Range rows, Range columns, const double* mean, double scale,
                 typename Cell::Value* out, std::int64_t pitch, double* k) {
  using T = typename Cell::Value;
  constexpr std::int64_t lanes = wide_lanes;
  constexpr auto bytes = static_cast<std::int64_t>(sizeof(S));
  using Values = Vector<T, lanes * sizeof(T)>;
  const bool in_memory = as_it_is<S> && view.column_stride == bytes;
  double x[strip];
  for (std::int64_t row = rows.begin; row < rows.end; ++row, out += pitch) {
    Wide squares{};
    double rest = 0;
    for (std::int64_t j0 = columns.begin; j0 < columns.end; j0 += strip) {
      const std::int64_t count = columns.end - j0 < strip ? columns.end - j0 : strip;
      T* part = out + (j0 - columns.begin);
      const auto take = [&](std::int64_t j, Wide value) {
        Values rounded;
        narrow((value - load<Wide>(mean + j0 + j)) * scale, rounded);
        rounded = Cell::round(rounded);
        const Wide wide = widened(rounded);
        store(part + j, rounded);
        squares += wide * wide;
      };
      std::int64_t j = 0;
      if (in_memory) {
        const char* from = static_cast<const char*>(view.data) + row * view.row_stride + j0 * bytes;
        for (; j + lanes <= count; j += lanes) take(j, load_wide<S>(from + j * bytes));
        if (j < count) widen_row<S>(view, row, j0 + j, count - j, x + j);
      } else {
        widen_row<S>(view, row, j0, count, x);
        for (; j + lanes <= count; j += lanes) take(j, load<Wide>(x + j));
      }
      for (; j < count; ++j) {
        const T rounded = Cell::round(Values{static_cast<T>((x[j] - mean[j0 + j]) * scale)})[0];
        part[j] = rounded;
        rest += static_cast<double>(rounded) * static_cast<double>(rounded);
      }
    }
    *k++ += rest + sum_of_lanes<double, register_bytes>(squares);
  }
}

template <class Cell>
void center(const View& view, Range rows, Range columns, const double* mean, double scale, typename Cell::Value* out,
            std::int64_t pitch, double* k) {
  switch (view.dtype) {
    case DType::float16:
      return center_from<Half, Cell>(view, rows, columns, mean, scale, out, pitch, k);
    case DType::bfloat16:
      return center_from<BFloat, Cell>(view, rows, columns, mean, scale, out, pitch, k);
    case DType::float32:
      return center_from<float, Cell>(view, rows, columns, mean, scale, out, pitch, k);
    case DType::float64:
      return center_from<double, Cell>(view, rows, columns, mean, scale, out, pitch, k);
  }
}

// LINES lines of columns of all rows: their sums stay in registers.
template <class T, int LINES>
inline void even_powers_of(const T* rows, std::int64_t count, std::int64_t width, std::int64_t first, double* sums,
                           std::int64_t pitch) {
  constexpr int lanes = 64 / sizeof(T);
  // Sums of float32 are of at most this many values.
  constexpr std::int64_t run = 16;
  using V = Vector<T, 64>;
  for (std::int64_t begin = 0; begin < count; begin += run) {
    const std::int64_t end = begin + run < count ? begin + run : count;
    V squares[LINES] = {};
    V fourths[LINES] = {};
    for (std::int64_t row = begin; row < end; ++row) {
#pragma GCC unroll 4
      for (int line = 0; line < LINES; ++line) {
        const V x = load<V>(rows + row * width + line * lanes);
        const V square = x * x;
        squares[line] += square;
        fourths[line] += square * square;
      }
    }
    for (int line = 0; line < LINES; ++line) {
      for (std::int64_t lane = first; lane < lanes; ++lane) {
        sums[pitch + line * lanes + lane] += static_cast<double>(squares[line][lane]);
        sums[3 * pitch + line * lanes + lane] += static_cast<double>(fourths[line][lane]);
      }
    }
  }
}

template <class T>
void even_powers(const T* rows, std::int64_t count, std::int64_t width, double* sums, std::int64_t pitch) {
  constexpr std::int64_t lanes = 64 / sizeof(T);
  std::int64_t j = 0;
  for (; j + 2 * lanes <= width; j += 2 * lanes) even_powers_of<T, 2>(rows + j, count, width, 0, sums + j, pitch);
  for (; j + lanes <= width; j += lanes) even_powers_of<T, 1>(rows + j, count, width, 0, sums + j, pitch);
  if (j == width) return;
  if (width >= lanes) {  // the last line of the rows; its first lanes have been added
    const std::int64_t from = width - lanes;
    even_powers_of<T, 1>(rows + from, count, width, j - from, sums + from, pitch);
    return;
  }
  for (std::int64_t row = 0; row < count; ++row, rows += width) {
    for (std::int64_t column = 0; column < width; ++column) {
      const double x = static_cast<double>(rows[column]);
      sums[pitch + column] += x * x;
      sums[3 * pitch + column] += x * x * (x * x);
    }
  }
}

template <class T>
void column_powers(const T* rows, std::int64_t count, std::int64_t width, double* sums, std::int64_t pitch) {
  for (std::int64_t row = 0; row < count; ++row, rows += width) {
    for (std::int64_t j = 0; j < width; ++j) {
      const double x = static_cast<double>(rows[j]);
      const double square = x * x;
      sums[j] += x;
      sums[pitch + j] += square;
      sums[2 * pitch + j] += square * x;
      sums[3 * pitch + j] += square * square;
    }
  }
}

}  // namespace
}  // namespace fastcka::cpu
