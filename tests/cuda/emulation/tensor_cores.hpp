// What tensor cores do to a sum of fp16 products, after measurements of others (Fasi, Higham, Mikaitis, Pranesh,
// "Numerical behavior of NVIDIA tensor cores", 2021; Khattak, Mikaitis, "Accurate models of NVIDIA tensor cores",
// 2025). A step adds 16 products to a float32 sum: the products are exact, all 17 numbers are aligned to the largest
// exponent among them and truncated to 24 bits and `extra_bits` more, and their sum is truncated to float32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace cuda_emulation {

// Products of one step on Hopper. Ampere has steps of 8, which lose about as much each, so twice as much in all.
inline constexpr int tensor_core_depth = 16;
// Chosen so that the errors of the first record of an H100 come out; see test_truncation.py.
inline constexpr int extra_bits = 2;

inline std::int32_t bits_of(float value) {
  std::int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float from_bits(std::int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// sums[i] += the sum over k < depth of a[k * lanes + i] * b[k * step]: `lanes` sums of one step.
template <int lanes>
void add_by_tensor_core(int depth, const float* a, const float* b, int step, float* sums) {
  constexpr std::int32_t exponent_mask = 0x7f800000;
  constexpr std::int32_t bias = 127;
  float products[tensor_core_depth][lanes];
  std::int32_t largest[lanes];
  for (int i = 0; i < lanes; ++i) largest[i] = bits_of(sums[i]) & exponent_mask;
  for (int k = 0; k < depth; ++k) {
    for (int i = 0; i < lanes; ++i) {
      products[k][i] = a[k * lanes + i] * b[k * step];
      largest[i] = std::max(largest[i], bits_of(products[k][i]) & exponent_mask);
    }
  }
  // A number times `scale` is in units of the last bit that is kept.
  float scale[lanes], unit[lanes];
  std::int32_t total[lanes];
  std::int32_t any = 0;
  for (int i = 0; i < lanes; ++i) {
    any = std::max(any, largest[i]);
    const std::int32_t field = ((2 * bias + 23 + extra_bits) << 23) - largest[i];
    scale[i] = largest[i] == 0 ? 0 : from_bits(field);
    unit[i] = largest[i] == 0 ? 0 : from_bits(((2 * bias) << 23) - field);
    total[i] = static_cast<std::int32_t>(sums[i] * scale[i]);
  }
  if (any == exponent_mask) {  // infinite, or not a number
    for (int k = 0; k < depth; ++k) {
      for (int i = 0; i < lanes; ++i) sums[i] += products[k][i];
    }
    return;
  }
  for (int k = 0; k < depth; ++k) {
    for (int i = 0; i < lanes; ++i) total[i] += static_cast<std::int32_t>(products[k][i] * scale[i]);
  }
  for (int i = 0; i < lanes; ++i) {
    const std::int32_t nearest = bits_of(static_cast<float>(total[i]));
    // Where the nearest float32 is larger, the next smaller one.
    const std::int32_t magnitude = total[i] < 0 ? -total[i] : total[i];
    const float positive = from_bits(nearest & 0x7fffffff);
    const std::int32_t above = static_cast<std::int32_t>(positive) > magnitude ? 1 : 0;
    sums[i] = from_bits(nearest - above) * unit[i];
  }
}

}  // namespace cuda_emulation
