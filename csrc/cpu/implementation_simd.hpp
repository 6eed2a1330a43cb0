// The inner loops, written once in GCC vector extensions and compiled for each instruction set by the translation unit
// that includes this file. Everything here has internal linkage: a template instantiated with AVX-512 must never be
// merged with its namesake from another unit. For the same reason nothing of the standard library is used.
//
// Reading: BYTES is the width of a vector register; a panel is 64 bytes of lanes, so 64 / BYTES registers.
#pragma once

#include "prepare_simd.hpp"
#include "products_simd.hpp"

namespace fastcka::cpu {
namespace {

template <class T, int BYTES, int REGISTER_ROWS>
constexpr Products<T> simd_products() {
  return {64 / sizeof(T),        micro_rows, micro_panels, multiply<T, BYTES, REGISTER_ROWS>,
          rank_update<T, BYTES>, add<T>,     center<T>};
}

}  // namespace
}  // namespace fastcka::cpu
