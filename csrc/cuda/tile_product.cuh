// Products of fp16 matrices by blocks of 128 x 128 on tensor cores. The sums stay in registers, for a kernel that goes
// on with them: no float32 matrix is written.
//
// A value is one fp16 number, or the sum of a high and a low one. Then one load of the operands serves three products:
// high low, low high and high high. Tensor cores truncate, so they only sum a few steps of 16 terms, the small products
// first; these sums are added in float32, rounded.
//
// Each of 8 warps computes 64 x 32 entries. The operands go through a ring of steps in shared memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "warp.cuh"

namespace fastcka::cuda {

inline constexpr int block_edge = 128;
inline constexpr int step_terms = 16;
inline constexpr int product_threads = 256;
inline constexpr int warp_height = 64, warp_width = 32;
inline constexpr int warps_across = block_edge / warp_width;
inline constexpr int fragment_heights = warp_height / 16, fragment_widths = warp_width / 16;

// Steps in the ring: with a third one for two parts, it fills the 48 KiB that a kernel may have.
template <int parts>
inline constexpr int ring_steps = parts == 2 ? 3 : 4;
// Steps that tensor cores sum.
template <int parts>
inline constexpr int truncated_steps = parts == 2 ? 1 : 16;

// A lane's part of a warp's entries; see warp.cuh.
using WarpSums = float[fragment_heights][2 * fragment_widths][4];

// An operand whose rows are those of the product, or its columns; terms are adjacent.
struct Rows {
  const std::uint16_t* high;
  std::int64_t low;    // from a high number to its low one
  std::int64_t pitch;  // from row to row
  std::int64_t count;

  static constexpr bool transposed = false;

  // Where a step has 8 terms of a row. Eight rows that are loaded together are in different banks.
  static __host__ __device__ int place(int row, int eighth) { return row * step_terms + (eighth ^ (row >> 2 & 1)) * 8; }
  // For the lane that loads a fragment of A, of rows from `row` on; and one of B.
  static __host__ __device__ int place_a(int row, int lane) { return place(row + lane % 16, lane / 16); }
  static __host__ __device__ int place_b(int row, int lane) {
    return place(row + lane / 16 * 8 + lane % 8, lane / 8 % 2);
  }

  // The thread's share of a step: 128 rows from `first` on.
  __device__ void copy(std::int64_t first, std::int64_t term, int thread, int part, std::uint16_t* to) const {
    const int row = thread / 2, eighth = thread % 2;
    const bool exists = first + row < count;
    const std::int64_t offset = exists ? (first + row) * pitch + part * low + term + eighth * 8 : 0;
    copy_later(to + place(row, eighth), high + offset, exists);
  }
};

// An operand whose columns are those of the product, or its rows; they are adjacent. The terms are in chunks, each with
// its slabs below each other.
struct Columns {
  const std::uint16_t* high;
  std::int64_t pitch;  // from term to term
  std::int64_t count;
  std::int64_t terms, chunk, slabs;

  static constexpr bool transposed = true;

  static __host__ __device__ int place(int term, int eighth) { return term * block_edge + (eighth ^ (term & 7)) * 8; }
  static __host__ __device__ int place_a(int column, int lane) {
    return place(lane / 16 * 8 + lane % 8, column / 8 + lane / 8 % 2);
  }
  static __host__ __device__ int place_b(int column, int lane) {
    return place(lane / 8 % 2 * 8 + lane % 8, column / 8 + lane / 16);
  }

  __device__ void copy(std::int64_t first, std::int64_t term, int thread, int part, std::uint16_t* to) const {
    const int row = thread / 16, eighth = thread % 16;
    const std::int64_t column = first + eighth * 8;
    const bool exists = column < count;
    const std::int64_t before = term / chunk * chunk;
    const std::int64_t left = terms - before;
    const std::int64_t slab = part * (left < chunk ? left : chunk);
    const std::int64_t offset = exists ? (before * slabs + slab + term - before + row) * pitch + column : 0;
    copy_later(to + place(row, eighth), high + offset, exists);
  }
};

// The place of a lane's entries in the block: the fragment at (i, j) has them at (row + 16 i, column + 8 j), one to the
// right, eight below, and one to the right of that.
struct WarpPlace {
  int lane, top, left;

  static __device__ WarpPlace of_thread(int thread) {
    const int warp = thread / warp_lanes;
    return {thread % warp_lanes, warp / warps_across * warp_height, warp % warps_across * warp_width};
  }
  __device__ int row() const { return top + lane / 4; }
  __device__ int column() const { return left + lane % 4 * 2; }
};

// The block of the product from (first_row, first_column) on. All threads of the block of threads call it; `terms` is a
// multiple of `step_terms`. Entries beyond the operands are zero.
template <int parts, class Operand>
__device__ void block_product(const Operand& a, const Operand& b, std::int64_t first_row, std::int64_t first_column,
                              std::int64_t terms, WarpSums& sums) {
  constexpr int ring = ring_steps<parts>;
  constexpr int together = truncated_steps<parts>;
  alignas(128) __shared__ std::uint16_t memory[ring][2][parts][block_edge * step_terms];
  const int thread = static_cast<int>(threadIdx.x);
  const WarpPlace place = WarpPlace::of_thread(thread);
  const auto steps = static_cast<int>(terms / step_terms);
  const auto fill = [&](int step) {
    auto& there = memory[step % ring];
    const std::int64_t term = static_cast<std::int64_t>(step) * step_terms;
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      a.copy(first_row, term, thread, part, there[0][part]);
      b.copy(first_column, term, thread, part, there[1][part]);
    }
  };
  WarpSums truncated = {};
#pragma unroll
  for (int i = 0; i < fragment_heights; ++i) {
#pragma unroll
    for (int j = 0; j < 2 * fragment_widths; ++j) {
#pragma unroll
      for (int entry = 0; entry < 4; ++entry) sums[i][j][entry] = 0;
    }
  }
  for (int step = 0; step < ring - 1; ++step) {
    if (step < steps) fill(step);
    close_group();
  }
  for (int step = 0; step < steps; ++step) {
    wait_for_groups<ring - 2>();
    __syncthreads();  // all threads have copied this step, and have used the one whose place the next copy takes
    if (step + ring - 1 < steps) fill(step + ring - 1);
    close_group();
    const auto& here = memory[step % ring];
    FragmentA rows[parts][fragment_heights];
    FragmentB columns[parts][fragment_widths];
#pragma unroll
    for (int part = 0; part < parts; ++part) {
#pragma unroll
      for (int i = 0; i < fragment_heights; ++i) {
        load_matrices<Operand::transposed>(here[0][part] + Operand::place_a(place.top + 16 * i, place.lane),
                                           rows[part][i].x);
      }
#pragma unroll
      for (int j = 0; j < fragment_widths; ++j) {
        load_matrices<Operand::transposed>(here[1][part] + Operand::place_b(place.left + 16 * j, place.lane),
                                           columns[part][j].x);
      }
    }
    if constexpr (parts == 2) {
      multiply(rows[0], columns[1], truncated);
      multiply(rows[1], columns[0], truncated);
    }
    multiply(rows[0], columns[0], truncated);
    if (step % together == together - 1 || step == steps - 1) {
#pragma unroll
      for (int i = 0; i < fragment_heights; ++i) {
#pragma unroll
        for (int j = 0; j < 2 * fragment_widths; ++j) {
#pragma unroll
          for (int entry = 0; entry < 4; ++entry) {
            sums[i][j][entry] += truncated[i][j][entry];
            truncated[i][j][entry] = 0;
          }
        }
      }
    }
  }
}

}  // namespace fastcka::cuda
