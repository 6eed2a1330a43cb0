// Products of panels, for the translation units named in implementation_simd.hpp.
#pragma once

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

// What a step of a register does: a cell of the left, for all lanes, times a register of cells of the right.
template <class T, int BYTES>
struct MultiplyAdd {
  using Cell = T;
  using Sum = T;
  static constexpr int bytes = BYTES;
  using Right = Vector<T, BYTES>;
  static Vector<T, BYTES> step(T left, Right right, Vector<T, BYTES> sum) { return sum + left * right; }
};

// ROWS x COLUMNS registers of the output stay in registers over the whole depth; b[v] points at the v-th register's
// lanes. With AVX-512, 8 x 3 runs at 0.97 of the multiply-add peak for depths from 64 on (measured on Zen 5).
template <class Step, int ROWS, int COLUMNS>
inline void multiply_block(std::int64_t steps, const typename Step::Cell* a, const typename Step::Cell* const* b,
                           typename Step::Sum* c, std::int64_t pitch, bool accumulate, const char* ahead) {
  using V = Vector<typename Step::Sum, Step::bytes>;
  constexpr std::int64_t lanes = 64 / sizeof(typename Step::Cell);
  constexpr std::int64_t width = Step::bytes / sizeof(typename Step::Sum);
  const typename Step::Cell* columns[COLUMNS];
  V sum[ROWS][COLUMNS];
#pragma GCC unroll 8
  for (int v = 0; v < COLUMNS; ++v) columns[v] = b[v];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) sum[r][v] = V{};
  }
#pragma GCC unroll 2
  for (std::int64_t k = 0; k < steps; ++k) {
    typename Step::Right right[COLUMNS];
    __builtin_prefetch(ahead + k * 64, 0, 2);
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) right[v] = load<typename Step::Right>(columns[v] + k * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const typename Step::Cell left = a[k * lanes + r];
#pragma GCC unroll 8
      for (int v = 0; v < COLUMNS; ++v) sum[r][v] = Step::step(left, right[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) {
      auto* out = c + r * pitch + v * width;
      store(out, accumulate ? load<V>(out) + sum[r][v] : sum[r][v]);
    }
  }
}

constexpr int micro_rows = 8;
constexpr int micro_panels = max_panels;

// Of `count` registers of columns, the first COLUMNS, or all if there are fewer.
template <class Step, int ROWS, int COLUMNS>
inline void multiply_columns(int count, std::int64_t steps, const typename Step::Cell* a,
                             const typename Step::Cell* const* b, typename Step::Sum* c, std::int64_t pitch,
                             bool accumulate, const char* ahead) {
  if constexpr (COLUMNS > 1) {
    if (count < COLUMNS)
      return multiply_columns<Step, ROWS, COLUMNS - 1>(count, steps, a, b, c, pitch, accumulate, ahead);
  }
  multiply_block<Step, ROWS, COLUMNS>(steps, a, b, c, pitch, accumulate, ahead);
}

// REGISTER_ROWS x REGISTER_COLUMNS: the sums that fit the register file at once. The rows are a divisor of micro_rows.
template <class Step, int REGISTER_ROWS, int REGISTER_COLUMNS = 3>
void multiply(std::int64_t steps, const void* const* a, std::int64_t, const void* const* b, std::int64_t count,
              typename Step::Sum* c, bool accumulate, const void* ahead) {
  static_assert(micro_rows % REGISTER_ROWS == 0);
  using Cell = typename Step::Cell;
  constexpr std::int64_t lanes = 64 / sizeof(Cell);
  constexpr std::int64_t width = Step::bytes / sizeof(Cell);
  constexpr int registers = 64 / Step::bytes;  // in a panel
  const Cell* columns[micro_panels * registers];
  const int n_columns = static_cast<int>(count) * registers;
  for (int v = 0; v < n_columns; ++v) {
    columns[v] = static_cast<const Cell*>(b[v / registers]) + (v % registers) * width;
  }
  const std::int64_t pitch = count * lanes;
  const auto* lines = static_cast<const char*>(ahead);
  for (int v = 0; v < n_columns; v += REGISTER_COLUMNS) {
    for (int r = 0; r < micro_rows; r += REGISTER_ROWS) {
      multiply_columns<Step, REGISTER_ROWS, REGISTER_COLUMNS>(n_columns - v, steps, static_cast<const Cell*>(a[0]) + r,
                                                              columns + v, c + r * pitch + v * width, pitch, accumulate,
                                                              lines);
    }
  }
}

template <class T>
void weigh(std::int64_t steps, const T* panel, const T* by, T* out) {
  constexpr std::int64_t lanes = 64 / sizeof(T);
  for (std::int64_t k = 0; k < steps * lanes; k += lanes) {
    store(out + k, load<Vector<T, 64>>(panel + k) * by[k]);
  }
}

template <class T>
void add(std::int64_t count, const T* c, double* total) {
  for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<double>(c[i]);
}

}  // namespace
}  // namespace fastcka::cpu
