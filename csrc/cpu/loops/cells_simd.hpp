// The kinds of cells (see implementation.hpp), for the translation units named in implementation_simd.hpp: what a value
// is rounded to, and how centred rows become panels of cells.
#pragma once

#include "../../integers.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

// The nearest bfloat16, ties to even, in the upper half of each word. No value is near the largest.
template <class Words>
inline Words round_to_bfloat16(Words x) {
  return (x + 0x7fff + ((x >> 16) & 1)) & 0xffff0000;
}

template <class To, class From>
inline To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// A value as it is.
template <class T>
struct Single {
  using Value = T;
  static constexpr std::int64_t values = 1;
  static constexpr std::int64_t bytes = sizeof(T);

  template <class V>
  static V round(V x) {
    return x;
  }
};

// A line of pairs out of the first and the second values of each.
inline Line pair(Line first, Line second) { return first >> 16 | (second & 0xffff0000); }

// Two bfloat16 values.
struct Pair {
  using Value = float;
  static constexpr std::int64_t values = 2;
  static constexpr std::int64_t bytes = 4;

  static Vector<float, 32> round(Vector<float, 32> x) {
    return bits_of<Vector<float, 32>>(round_to_bfloat16(bits_of<Vector<std::uint32_t, 32>>(x)));
  }
};

// Lanes of a panel of 32-bit words.
constexpr std::int64_t line_words = 16;

// The first `count` words from there, and zeros.
inline Line load_part(const float* from, std::int64_t count) {
  if (count >= line_words) return load<Line>(from);
  Line line{};
  for (std::int64_t i = 0; i < count; ++i) line[i] = bits_of<std::uint32_t>(from[i]);
  return line;
}

// A panel of examples out of rows of 32-bit words: 16 of them turned to lines of cells at a time.
template <class Cell>
void example_panel(const float* rows, std::int64_t count, std::int64_t width, void* out) {
  auto* to = static_cast<char*>(out);
  for (std::int64_t k = 0; k < width; k += line_words * Cell::values) {
    Line cells[line_words] = {};
    for (std::int64_t lane = 0; lane < count; ++lane) {
      const float* row = rows + lane * width + k;
      cells[lane] = load_part(row, width - k);
      if constexpr (Cell::values == 2) {
        const Line right = load_part(row + line_words, width - k - line_words);
        cells[lane] = pair(evens(cells[lane], right), odds(cells[lane], right));
      }
    }
    transpose(cells);
    const std::int64_t left = ceil_div(width - k, Cell::values);
    for (std::int64_t step = 0; step < (left < line_words ? left : line_words); ++step, to += sizeof(Line)) {
      store(to, cells[step]);
    }
  }
}

template <class Cell>
void feature_panels(const float* rows, std::int64_t count, std::int64_t width, void* out) {
  auto* to = static_cast<char*>(out);
  for (std::int64_t j = 0; j < width; j += line_words) {
    for (std::int64_t row = 0; row < count; row += Cell::values, to += sizeof(Line)) {
      const float* cell_rows = rows + row * width + j;
      Line cells = load_part(cell_rows, width - j);
      if constexpr (Cell::values == 2) {
        cells = pair(cells, row + 1 < count ? load_part(cell_rows + width, width - j) : Line{});
      }
      store(to, cells);
    }
  }
}

// The same for any lanes.
template <class T, std::int64_t LANES>
void scalar_example_panel(const T* rows, std::int64_t count, std::int64_t width, void* out) {
  auto* to = static_cast<T*>(out);
  for (std::int64_t k = 0; k < width; ++k, to += LANES) {
    if (count == LANES) {
      for (std::int64_t lane = 0; lane < LANES; ++lane) to[lane] = rows[lane * width + k];
    } else {
      for (std::int64_t lane = 0; lane < LANES; ++lane) to[lane] = lane < count ? rows[lane * width + k] : T{0};
    }
  }
}

template <class T, std::int64_t LANES>
void scalar_feature_panels(const T* rows, std::int64_t count, std::int64_t width, void* out) {
  auto* to = static_cast<T*>(out);
  for (std::int64_t j = 0; j < width; j += LANES) {
    for (std::int64_t row = 0; row < count; ++row, to += LANES) {
      const T* from = rows + row * width + j;
      if (j + LANES <= width) {
        __builtin_memcpy(to, from, LANES * sizeof(T));
      } else {
        for (std::int64_t lane = 0; lane < LANES; ++lane) to[lane] = j + lane < width ? from[lane] : T{0};
      }
    }
  }
}

}  // namespace
}  // namespace fastcka::cpu
