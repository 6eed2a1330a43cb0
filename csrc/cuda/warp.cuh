// What a warp does as one: it loads matrices from shared memory, and multiplies them on tensor cores.
//
// A fragment is a lane's part of a matrix of 16-bit items, two in a register. The instructions are those of Ampere,
// which later devices have, too. The tests' emulation of CUDA computes them from the documented places of the items.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifndef __CUDACC__
#include <emulated_warp.hpp>
#endif

namespace fastcka::cuda {

inline constexpr int warp_lanes = 32;

// A, 16 x 16: a lane has the items (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8) and the next ones to the right,
// with g = lane / 4 and t = lane % 4.
struct FragmentA {
  std::uint32_t x[4];
};

// B', two blocks of 8 x 16: (g, 2t) and (g, 2t + 8) of each, and the next ones to the right.
struct FragmentB {
  std::uint32_t x[4];
};

#ifdef __CUDACC__

// Four 8 x 8 matrices, of which lane 8 i + r has the address of the r-th row of the i-th. With `transposed`, each of
// them is transposed.
template <bool transposed>
__device__ inline void load_matrices(const std::uint16_t* row, std::uint32_t (&x)[4]) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
  }
}

// Each 16 x 8 block of sums += A B. A lane has the sums (g, 2t), (g, 2t + 1), (g + 8, 2t) and (g + 8, 2t + 1) of each.
template <int heights, int widths>
__device__ inline void multiply(const FragmentA (&a)[heights], const FragmentB (&b)[widths],
                                float (&sums)[heights][2 * widths][4]) {
#pragma unroll
  for (int i = 0; i < heights; ++i) {
#pragma unroll
    for (int j = 0; j < 2 * widths; ++j) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(sums[i][j][0]), "+f"(sums[i][j][1]), "+f"(sums[i][j][2]), "+f"(sums[i][j][3])
          : "r"(a[i].x[0]), "r"(a[i].x[1]), "r"(a[i].x[2]), "r"(a[i].x[3]), "r"(b[j / 2].x[2 * (j % 2)]),
            "r"(b[j / 2].x[2 * (j % 2) + 1]));
    }
  }
}

// The sum over the lanes, in an order that is fixed.
__device__ inline double sum_over_warp(double value) {
#pragma unroll
  for (int apart = warp_lanes / 2; apart > 0; apart /= 2) value += __shfl_xor_sync(0xffffffffU, value, apart);
  return value;
}

// Copies 16 bytes to shared memory in the background; zeros where there is nothing to copy.
__device__ inline void copy_later(std::uint16_t* to, const void* from, bool exists) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = exists ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

// The copies since the last call are one group.
__device__ inline void close_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups but the latest `open`.
template <int open>
__device__ inline void wait_for_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(open) : "memory");
}

#else

template <bool transposed>
void load_matrices(const std::uint16_t* row, std::uint32_t (&x)[4]) {
  cuda_emulation::load_matrices(row, transposed, x);
}

template <int heights, int widths>
void multiply(const FragmentA (&a)[heights], const FragmentB (&b)[widths], float (&sums)[heights][2 * widths][4]) {
  cuda_emulation::multiply<heights, widths>(a[0].x, b[0].x, sums);
}

inline double sum_over_warp(double value) { return cuda_emulation::sum_over_warp(value); }

inline void copy_later(std::uint16_t* to, const void* from, bool exists) {
  cuda_emulation::copy_later(to, from, exists);
}

inline void close_group() { cuda_emulation::close_group(); }

template <int open>
void wait_for_groups() {
  cuda_emulation::wait_for_groups(open);
}

#endif

}  // namespace fastcka::cuda
