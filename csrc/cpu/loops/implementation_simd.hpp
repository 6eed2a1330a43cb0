// The inner loops, written once in GCC vector extensions and compiled for each instruction set by the translation unit
// that includes this file. Everything here has internal linkage: a template instantiated with AVX-512 must never be
// merged with its namesake from another unit. For the same reason nothing of the standard library is used.
//
// Reading: BYTES is the width of a vector register; a panel is 64 bytes of lanes, so 64 / BYTES registers.
#pragma once

#include "cells_simd.hpp"
#include "moments_simd.hpp"
#include "permuted_simd.hpp"
#include "prepare_simd.hpp"
#include "products_simd.hpp"
#include "rank_simd.hpp"

namespace fastcka::cpu {
namespace {

template <class T>
using Multiply = void (*)(std::int64_t, const void* const*, std::int64_t, const void* const*, std::int64_t, T*, bool,
                          const void*);

// RANK_ROWS: rows of a rank update whose sums fit the register file at once.
template <class Cell, int BYTES, int RANK_ROWS>
constexpr Kernels<float> single_kernels(const char* name, Multiply<float> multiply) {
  return {name,
          line_words,
          micro_rows,
          micro_panels,
          Cell::values,
          Cell::bytes,
          0,
          multiply,
          multiply,
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          rank_update<float, BYTES, RANK_ROWS>,
          add<float>,
          center<Cell>,
          example_panel<Cell>,
          feature_panels<Cell>,
          weigh<float>,
          even_powers<float>,
          column_powers<float>,
          row_moments<float>,
          permuted_sums<float, BYTES>,
          BYTES};
}

// ROWS x COLUMNS: sums of a product that fit the register file at once.
template <int BYTES, int ROWS, int COLUMNS = 3, int RANK_ROWS = ROWS>
constexpr Kernels<float> float32_kernels() {
  return single_kernels<Single<float>, BYTES, RANK_ROWS>("float32", multiply<MultiplyAdd<float, BYTES>, ROWS, COLUMNS>);
}

template <int BYTES, int ROWS, int COLUMNS = 3, int RANK_ROWS = ROWS>
constexpr Kernels<double> float64_kernels() {
  using Cell = Single<double>;
  constexpr std::int64_t lanes = 64 / sizeof(double);
  return {"float64",
          lanes,
          micro_rows,
          micro_panels,
          Cell::values,
          Cell::bytes,
          0,
          multiply<MultiplyAdd<double, BYTES>, ROWS, COLUMNS>,
          multiply<MultiplyAdd<double, BYTES>, ROWS, COLUMNS>,
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          rank_update<double, BYTES, RANK_ROWS>,
          add<double>,
          center<Cell>,
          scalar_example_panel<double, lanes>,
          scalar_feature_panels<double, lanes>,
          weigh<double>,
          even_powers<double>,
          column_powers<double>,
          row_moments<double>,
          permuted_sums<double, BYTES>,
          BYTES};
}

}  // namespace
}  // namespace fastcka::cpu
