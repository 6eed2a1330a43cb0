// Compiled with AMX TILE, AMX BF16 and AVX-512; called only where the processor has them and the kernel allows it.
//
// Both precisions have products of bfloat16 on tiles.
//     fast      One product of values that are rounded to bfloat16.
//     high      Six products. A float32 value is the sum of three bfloat16 (high, middle, low; 8 bits each), and their
//               products without middle * low, low * middle and low * low are as precise as those of float32. The
//               centred copy contains float32; its values are split when a tile of the plane takes its operands.
// Two bfloat16 (16 bits, three or four products) are too coarse for `high`. The rounding errors, up to 2^-18 of a
// value, average out only over many different values. In a simulation, errors of CKA were up to 8e-7 for binary
// features, one-hot rows and repeated examples, and 1e-6 where a few examples or features are much larger than the
// others, also with a low part that was rounded at random. With three, they were those of float32, below 2e-8.
//
// The layout follows a probe of the products alone that ran on such a processor. This code has run on emulated tiles
// only: its speed is not measured.
//
// A micro-tile is 32 x 32 sums, 2 x 2 tiles. An operand is a sequence of tiles of 1 KiB for each panel: for each block
// of the depth its parts (one, or high, middle and low), each 16 pairs of values by 16 vectors (columns), or transposed
// (rows). A product of tiles is 16 x 16 sums by 32 values of the depth.
#include "implementation_simd.hpp"
#include "tiles.hpp"

namespace fastcka::cpu {
namespace {

constexpr std::int64_t edge = 16;                  // pairs of the depth, rows and columns of a tile
constexpr std::int64_t step_bytes = sizeof(Line);  // of a panel, and of a row of a tile
constexpr std::int64_t tile_bytes = edge * step_bytes;
constexpr std::int64_t most_sums = 2 * edge * 2 * edge;

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") &&
         may_use_tiles();
}

void enter() {
  struct alignas(64) {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } const shapes;
  make_visible(&shapes);
  _tile_loadconfig(&shapes);
}

void leave() { _tile_release(); }

// Cells that are pairs already.
struct Whole {
  using Cell = Pair;
  static constexpr int parts = 1;
  static constexpr std::int64_t steps = edge;  // of a block

  static void tiles(const char* panel, std::int64_t count, Line (*out)[edge]) {
    for (std::int64_t k = 0; k < edge; ++k) out[0][k] = k < count ? load<Line>(panel + k * step_bytes) : Line{};
  }
};

// float32 cells, whose values become high + middle + low.
struct Split {
  using Cell = Single<float>;
  static constexpr int parts = 3;
  static constexpr std::int64_t steps = 2 * edge;

  // The nearest bfloat16 of each value, which is subtracted from it: exactly, for they differ by few bits.
  static Line take(Vector<float, 64>& x) {
    const Line nearest = (bits_of<Line>(x) + 0x8000) & 0xffff0000;
    x -= bits_of<Vector<float, 64>>(nearest);
    return nearest;
  }

  static void tiles(const char* panel, std::int64_t count, Line (*out)[edge]) {
    for (std::int64_t k = 0; k < edge; ++k) {
      Vector<float, 64> first{};
      Vector<float, 64> second{};
      if (2 * k < count) first = load<Vector<float, 64>>(panel + 2 * k * step_bytes);
      if (2 * k + 1 < count) second = load<Vector<float, 64>>(panel + (2 * k + 1) * step_bytes);
      for (int part = 0; part < parts; ++part) {
        const Line left = take(first);
        out[part][k] = pair(left, take(second));
      }
    }
  }
};

template <class Form, bool ROWS>
void arrange(std::int64_t steps, const void* panel, void* out) {
  const auto* from = static_cast<const char*>(panel);
  auto* to = static_cast<char*>(out);
  for (std::int64_t step = 0; step < steps; step += Form::steps) {
    Line tiles[Form::parts][edge];
    Form::tiles(from + step * step_bytes, steps - step, tiles);
    for (int part = 0; part < Form::parts; ++part, to += tile_bytes) {
      if constexpr (ROWS) transpose(tiles[part]);
      __builtin_memcpy(to, tiles[part], tile_bytes);
    }
  }
}

// The parts of rows and columns that are multiplied, in turn: 0 is high, 1 middle, 2 low.
struct Product {
  int row, column;
};
struct High {
  static constexpr Product order[] = {{0, 0}};
};
struct AllSix {  // the order that loads one part twice and the others once
  static constexpr Product order[] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};
};
struct RowsSmaller {
  static constexpr Product order[] = {{2, 0}, {1, 0}};
};
struct ColumnsSmaller {
  static constexpr Product order[] = {{0, 2}, {0, 1}};
};
struct Middle {
  static constexpr Product order[] = {{1, 1}};
};

// The products of one block. Tiles 0 to 3 contain the sums, 4 and 5 a part of the rows, 6 and 7 one of the columns. The
// sums take turns, because a product waits for the one before it on the same sums.
template <class Products, bool TWO_ROWS, bool TWO_COLUMNS, std::size_t INDEX = 0>
inline void multiply_block(const char* const* a, const char* const* b, std::int64_t offset) {
  if constexpr (INDEX < sizeof Products::order / sizeof(Product)) {
    constexpr Product now = Products::order[INDEX];
    constexpr Product before = INDEX > 0 ? Products::order[INDEX - 1] : Product{-1, -1};
    if constexpr (now.row != before.row) {
      _tile_loadd(4, a[0] + offset + now.row * tile_bytes, step_bytes);
      if constexpr (TWO_ROWS) _tile_loadd(5, a[1] + offset + now.row * tile_bytes, step_bytes);
    }
    if constexpr (now.column != before.column) {
      _tile_loadd(6, b[0] + offset + now.column * tile_bytes, step_bytes);
      if constexpr (TWO_COLUMNS) _tile_loadd(7, b[1] + offset + now.column * tile_bytes, step_bytes);
    }
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (TWO_COLUMNS) _tile_dpbf16ps(1, 4, 7);
    if constexpr (TWO_ROWS) _tile_dpbf16ps(2, 5, 6);
    if constexpr (TWO_ROWS && TWO_COLUMNS) _tile_dpbf16ps(3, 5, 7);
    multiply_block<Products, TWO_ROWS, TWO_COLUMNS, INDEX + 1>(a, b, offset);
  }
}

// All blocks by one kind of products, then by the next.
template <class Form, bool TWO_ROWS, bool TWO_COLUMNS, class... Products>
void sum_blocks(std::int64_t blocks, const char* const* a, const char* const* b, float* c, std::int64_t pitch) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const auto add = [&](auto products) {
    for (std::int64_t block = 0; block < blocks; ++block) {
      multiply_block<decltype(products), TWO_ROWS, TWO_COLUMNS>(a, b, block * Form::parts * tile_bytes);
    }
  };
  (add(Products{}), ...);
  const std::int64_t stride = pitch * static_cast<std::int64_t>(sizeof(float));
  _tile_stored(0, c, stride);
  if constexpr (TWO_COLUMNS) _tile_stored(1, c + edge, stride);
  if constexpr (TWO_ROWS) _tile_stored(2, c + edge * pitch, stride);
  if constexpr (TWO_ROWS && TWO_COLUMNS) _tile_stored(3, c + edge * pitch + edge, stride);
}

// As Kernels::multiply, of these products of parts. Nothing is asked for ahead: arranging the operands of the next
// product reads them one cache line after another.
template <class Form, class... Products>
void multiply_tiles(std::int64_t steps, const void* const* a, std::int64_t row_count, const void* const* b,
                    std::int64_t count, float* c, bool accumulate, const void*) {
  const bool two_rows = row_count > edge;
  const bool two_columns = count > 1;
  const char* rows[] = {static_cast<const char*>(a[0]), two_rows ? static_cast<const char*>(a[1]) : nullptr};
  const char* columns[] = {static_cast<const char*>(b[0]), two_columns ? static_cast<const char*>(b[1]) : nullptr};
  const auto sum =
      two_rows
          ? (two_columns ? sum_blocks<Form, true, true, Products...> : sum_blocks<Form, true, false, Products...>)
          : (two_columns ? sum_blocks<Form, false, true, Products...> : sum_blocks<Form, false, false, Products...>);
  const std::int64_t pitch = count * edge;
  const std::int64_t blocks = ceil_div(steps, Form::steps);
  if (!accumulate) return sum(blocks, rows, columns, c, pitch);
  alignas(64) float part[most_sums];
  sum(blocks, rows, columns, part, pitch);
  for (std::int64_t i = 0; i < row_count * pitch; ++i) c[i] += part[i];
}

// The products that change places when rows and columns do are two sums, whose sum is the same either way. The products
// of the middle parts precede those of the high parts: otherwise each addition of a small product rounds a large sum,
// and CKA errors were up to twice as large.
void multiply_symmetric(std::int64_t steps, const void* const* a, std::int64_t row_count, const void* const* b,
                        std::int64_t count, float* c, bool accumulate, const void* ahead) {
  alignas(64) float rows_smaller[most_sums];
  alignas(64) float columns_smaller[most_sums];
  alignas(64) float alike[most_sums];
  multiply_tiles<Split, RowsSmaller>(steps, a, row_count, b, count, rows_smaller, false, ahead);
  multiply_tiles<Split, ColumnsSmaller>(steps, a, row_count, b, count, columns_smaller, false, ahead);
  multiply_tiles<Split, Middle, High>(steps, a, row_count, b, count, alike, false, ahead);
  for (std::int64_t i = 0; i < row_count * count * edge; ++i) {
    const float sum = alike[i] + (rows_smaller[i] + columns_smaller[i]);
    c[i] = accumulate ? c[i] + sum : sum;
  }
}

template <class Form>
constexpr Kernels<float> tile_kernels(const char* name, Multiply<float> multiply, Multiply<float> symmetric) {
  Kernels<float> kernels = single_kernels<typename Form::Cell, 64, 4>(name, multiply);
  kernels.multiply_symmetric = symmetric;
  kernels.rows = 2 * edge;
  kernels.most_panels = 2;
  kernels.arranged_bytes = Form::parts * tile_bytes / (edge * Form::steps);
  kernels.arrange_rows = arrange<Form, true>;
  kernels.arrange_columns = arrange<Form, false>;
  kernels.enter = enter;
  kernels.leave = leave;
  return kernels;
}

constexpr Kernels<float> split_kernels =
    tile_kernels<Split>("bfloat16x3", multiply_tiles<Split, AllSix>, multiply_symmetric);
constexpr Kernels<float> whole_kernels =
    tile_kernels<Whole>("bfloat16", multiply_tiles<Whole, High>, multiply_tiles<Whole, High>);

}  // namespace

extern const Implementation amx_implementation;
// Constant: a dynamic initialiser would run this unit's instructions at import.
constexpr Implementation amx_implementation{
    "amx",         supported,    column_statistics, float64_kernels<64, 8, 3, 4>(), float32_kernels<64, 8, 3, 4>(),
    split_kernels, whole_kernels};

}  // namespace fastcka::cpu
