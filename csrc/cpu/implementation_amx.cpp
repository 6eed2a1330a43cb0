// Compiled with AMX TILE and BF16 beside AVX-512; called only where the processor has them and the kernel allows it.
//
// `high` splits each value into two bfloat16, x = high + low (16 bits of mantissa), and takes three products:
// high.high + low.high + high.low. What is left, low.low, is up to 2^-18 of the whole: among the examples of route G
// its sign is as often the one as the other, but a feature's product with itself, of which route F has many, would
// always come out too small (CKA errors of 2e-6), so that route F takes the fourth. `fast` takes the first alone.
//
// A micro-tile of 16 x 48 sums lies in the tiles 0 to 2. A product of tiles is 16 rows by 16 columns by 16 steps; its
// right side is 16 steps of a panel as they lie, its left side the transposed 16 steps of another (`arrange`).
#include "implementation_simd.hpp"
#include "tiles.hpp"

namespace fastcka::cpu {
namespace {

constexpr std::int64_t block = 16;  // steps, rows and columns of a product of tiles
constexpr std::int64_t tile_bytes = 1024;

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

// LINES of a step: the pairs, or their high and their low parts.
template <int LINES>
void arrange(std::int64_t steps, const void* panel, void* out) {
  const auto* from = static_cast<const char*>(panel);
  auto* to = static_cast<char*>(out);
  for (std::int64_t step = 0; step < steps; step += block) {
    const std::int64_t count = steps - step < block ? steps - step : block;
    for (int line = 0; line < LINES; ++line, to += tile_bytes) {
      Line tile[block] = {};
      for (std::int64_t k = 0; k < count; ++k) {
        tile[k] = load<Line>(from + ((step + k) * LINES + line) * static_cast<std::int64_t>(sizeof(Line)));
      }
      transpose(tile);
      __builtin_memcpy(to, tile, sizeof tile);
    }
  }
}

// Each of these multiplies one block of steps. The three panels take turns, because a product waits for the one before
// it on the same sums.

// high.high, or pairs that were not split; STRIDE from a step of a panel to the next.
template <std::int64_t STRIDE>
void multiply_high(const char* a, const char* const* b, std::int64_t count) {
  _tile_loadd(3, a, sizeof(Line));
  _tile_loadd(5, b[0], STRIDE);
  _tile_dpbf16ps(0, 3, 5);
  if (count > 1) {
    _tile_loadd(6, b[1], STRIDE);
    _tile_dpbf16ps(1, 3, 6);
  }
  if (count > 2) {
    _tile_loadd(7, b[2], STRIDE);
    _tile_dpbf16ps(2, 3, 7);
  }
}

// low.high + high.low, and low.low.
template <bool LOW_LOW>
void multiply_low(const char* a, const char* const* b, std::int64_t count) {
  constexpr std::int64_t stride = 2 * sizeof(Line);
  constexpr std::int64_t low = sizeof(Line);
  _tile_loadd(3, a, sizeof(Line));
  _tile_loadd(4, a + tile_bytes, sizeof(Line));
  _tile_loadd(5, b[0], stride);
  _tile_dpbf16ps(0, 4, 5);
  _tile_loadd(5, b[0] + low, stride);
  if (count > 1) {
    _tile_loadd(6, b[1], stride);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(6, b[1] + low, stride);
  }
  if (count > 2) {
    _tile_loadd(7, b[2], stride);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(7, b[2] + low, stride);
  }
  _tile_dpbf16ps(0, 3, 5);
  if (count > 1) _tile_dpbf16ps(1, 3, 6);
  if (count > 2) _tile_dpbf16ps(2, 3, 7);
  if constexpr (LOW_LOW) {
    _tile_dpbf16ps(0, 4, 5);
    if (count > 1) _tile_dpbf16ps(1, 4, 6);
    if (count > 2) _tile_dpbf16ps(2, 4, 7);
  }
}

void store_sums(float* c, std::int64_t pitch, std::int64_t count) {
  const std::int64_t stride = pitch * static_cast<std::int64_t>(sizeof(float));
  _tile_stored(0, c, stride);
  if (count > 1) _tile_stored(1, c + block, stride);
  if (count > 2) _tile_stored(2, c + 2 * block, stride);
}

// All blocks of steps; the last one of `panels` may be a part of a block, filled up with zeros in `rest`.
template <int LINES, class Multiply>
void for_blocks(std::int64_t steps, const char* a, const char* const* panels, const char* const* rest,
                std::int64_t count, const Multiply& multiply) {
  const char* right[max_panels];
  std::int64_t step = 0;
  for (; step + block <= steps; step += block, a += LINES * tile_bytes) {
    for (std::int64_t p = 0; p < count; ++p)
      right[p] = panels[p] + step * LINES * static_cast<std::int64_t>(sizeof(Line));
    multiply(a, right, count);
  }
  if (step < steps) multiply(a, rest, count);
}

template <int LINES, bool LOW_LOW>
void multiply_tiles(std::int64_t steps, const void* a, const void* const* b, std::int64_t count, float* c,
                    bool accumulate, const void* ahead) {
  constexpr std::int64_t step_bytes = LINES * sizeof(Line);
  const auto* left = static_cast<const char*>(a);
  const char* panels[max_panels];
  for (std::int64_t p = 0; p < count; ++p) panels[p] = static_cast<const char*>(b[p]);
  for (std::int64_t byte = 0; byte < steps * step_bytes; byte += sizeof(Line)) {
    __builtin_prefetch(static_cast<const char*>(ahead) + byte, 0, 2);
  }
  alignas(64) char filled[max_panels][block * step_bytes];
  const char* rest[max_panels] = {filled[0], filled[1], filled[2]};
  if (const std::int64_t left_over = steps % block; left_over != 0) {  // what follows is no part of the panel
    const auto bytes = static_cast<std::size_t>(left_over * step_bytes);
    for (std::int64_t p = 0; p < count; ++p) {
      __builtin_memcpy(filled[p], panels[p] + (steps - left_over) * step_bytes, bytes);
      __builtin_memset(filled[p] + bytes, 0, sizeof filled[p] - bytes);
    }
    make_visible(filled);
  }

  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  // The small products first: a sum is rounded by its own size at each addition.
  if constexpr (LINES == 2) for_blocks<LINES>(steps, left, panels, rest, count, multiply_low<LOW_LOW>);
  for_blocks<LINES>(steps, left, panels, rest, count, multiply_high<step_bytes>);

  const std::int64_t pitch = count * block;
  if (!accumulate) return store_sums(c, pitch, count);
  alignas(64) float sums[block * max_panels * block];
  store_sums(sums, pitch, count);
  for (std::int64_t i = 0; i < block * pitch; ++i) c[i] += sums[i];
}

template <class Cell, bool LOW_LOW = false>
constexpr Products<float> tile_products(const char* name) {
  constexpr int lines = static_cast<int>(Cell::bytes / 4);
  Products<float> products = single_products<Cell, 64, 8>(name, multiply_tiles<lines, LOW_LOW>);
  products.rows = block;
  products.arrange = arrange<lines>;
  products.enter = enter;
  products.leave = leave;
  return products;
}

}  // namespace

extern const Implementation amx_implementation;
// Constant: a dynamic initialiser would run this unit's instructions at import.
constexpr Implementation amx_implementation{"amx",
                                            supported,
                                            column_statistics,
                                            float64_products<64, 8>(),
                                            tile_products<SplitPair>("bfloat16x3"),
                                            tile_products<SplitPair, true>("bfloat16x4"),
                                            tile_products<Pair>("bfloat16")};

}  // namespace fastcka::cpu
