// The instructions of csrc/cuda/warp.cuh, from their description in the PTX ISA: lanes leave their registers for the
// others of their warp at a barrier. Copies to shared memory happen as late as they may, so that a kernel that does not
// wait for them reads what was there before.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "cuda_fp16.h"
#include "cuda_runtime.h"
#include "tensor_cores.hpp"

#define FASTCKA_EMULATED_EXCHANGE ::cuda_emulation::barrier(__FILE__, __LINE__, __func__)

namespace cuda_emulation {

inline constexpr unsigned most_threads = 1024, lanes_of_warp = 32;

inline float half_of(std::uint32_t pair, int position) {
  const auto bits = static_cast<std::uint16_t>(pair >> (16 * position));
  __half value;
  std::memcpy(&value, &bits, sizeof bits);
  return __half2float(value);
}

inline void load_matrices(const std::uint16_t* row, bool transposed, std::uint32_t (&x)[4]) {
  static const std::uint16_t* rows[most_threads];
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) fail(cudaErrorIllegalAddress);
  rows[threadIdx.x] = row;
  FASTCKA_EMULATED_EXCHANGE;
  const unsigned lane = threadIdx.x % lanes_of_warp, warp = threadIdx.x - lane;
  const unsigned g = lane / 4, t = lane % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint16_t* const* matrix = rows + warp + 8 * i;
    const std::uint32_t first = transposed ? matrix[2 * t][g] : matrix[g][2 * t];
    const std::uint32_t second = transposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
    x[i] = first | second << 16;
  }
  FASTCKA_EMULATED_EXCHANGE;
}

// `heights` fragments of A and `widths` of B, of four registers each.
template <int heights, int widths>
void multiply(const std::uint32_t* a, const std::uint32_t* b, float (&sums)[heights][2 * widths][4]) {
  static std::uint32_t all_a[most_threads][4 * heights], all_b[most_threads][4 * widths];
  std::memcpy(all_a[threadIdx.x], a, sizeof all_a[0]);
  std::memcpy(all_b[threadIdx.x], b, sizeof all_b[0]);
  FASTCKA_EMULATED_EXCHANGE;
  const unsigned lane = threadIdx.x % lanes_of_warp, warp = threadIdx.x - lane;
  float row[2][16], column[2][16];
  for (int j = 0; j < 2 * widths; ++j) {
    for (unsigned k = 0; k < 16; ++k) {
      for (unsigned c = 0; c < 2; ++c) {  // the lane that has row 2t + c of B'
        const unsigned owner = warp + (2 * (lane % 4) + c) * 4 + k % 8 / 2;
        column[c][k] = half_of(all_b[owner][4 * (j / 2) + 2 * (j % 2) + static_cast<int>(k / 8)], k % 2);
      }
    }
    for (int i = 0; i < heights; ++i) {
      for (unsigned k = 0; k < 16; ++k) {
        const unsigned owner = warp + lane / 4 * 4 + k % 8 / 2;
        for (unsigned r = 0; r < 2; ++r) row[r][k] = half_of(all_a[owner][4 * i + r + 2 * (k / 8)], k % 2);
      }
      for (int entry = 0; entry < 4; ++entry) {
        add_by_tensor_core<1>(tensor_core_depth, row[entry / 2], column[entry % 2], 1, &sums[i][j][entry]);
      }
    }
  }
  FASTCKA_EMULATED_EXCHANGE;
}

inline double sum_over_warp(double value) {
  static double values[most_threads];
  for (unsigned apart = lanes_of_warp / 2; apart > 0; apart /= 2) {
    values[threadIdx.x] = value;
    FASTCKA_EMULATED_EXCHANGE;
    value += values[threadIdx.x ^ apart];
    FASTCKA_EMULATED_EXCHANGE;
  }
  return value;
}

struct Copy {
  void* to;
  const void* from;
  bool exists;
};

struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

inline Copies& copies_of_thread() {
  static std::vector<Copies> all(most_threads);
  return all[threadIdx.x];
}

inline void copy_later(void* to, const void* from, bool exists) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(to) % 16 == 0;
  if (!aligned || (exists && reinterpret_cast<std::uintptr_t>(from) % 16 != 0)) fail(cudaErrorIllegalAddress);
  copies_of_thread().open.push_back({to, from, exists});
}

inline void close_group() {
  Copies& copies = copies_of_thread();
  copies.groups.push_back(std::move(copies.open));
  copies.open.clear();
}

inline void wait_for_groups(std::size_t open) {
  Copies& copies = copies_of_thread();
  for (; copies.groups.size() > open; copies.groups.pop_front()) {
    for (const Copy& copy : copies.groups.front()) {
      if (copy.exists)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
  }
}

}  // namespace cuda_emulation
