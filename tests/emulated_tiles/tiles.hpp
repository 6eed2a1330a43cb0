// The tiles of AMX in software, in place of csrc/cpu/loops/tiles.hpp. The process ends where the processor would raise
// a fault. The emulation cannot show a missing make_visible, because its loads are ordinary reads.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps

namespace fastcka::cpu {

inline bool may_use_tiles() { return true; }
inline void make_visible(const void*) {}

namespace emulated {

struct Tiles {
  bool configured = false;
  std::uint16_t row_bytes[8];
  std::uint8_t rows[8];
  alignas(64) unsigned char data[8][16][64];
};
inline thread_local Tiles tiles;

inline void require(bool held) {
  if (!held) std::abort();  // the processor would raise a fault
}
inline void load_config(const void* shapes) {
  const auto* bytes = static_cast<const unsigned char*>(shapes);
  require(bytes[0] == 1 && bytes[1] == 0);
  for (int i = 2; i < 16; ++i) require(bytes[i] == 0);
  std::memcpy(tiles.row_bytes, bytes + 16, sizeof tiles.row_bytes);
  std::memcpy(tiles.rows, bytes + 48, sizeof tiles.rows);
  for (int t = 0; t < 8; ++t) require(tiles.rows[t] <= 16 && tiles.row_bytes[t] <= 64);
  std::memset(tiles.data, 0, sizeof tiles.data);
  tiles.configured = true;
}
inline void release() { tiles = Tiles{}; }
inline void zero(int t) {
  require(tiles.configured);
  std::memset(tiles.data[t], 0, sizeof tiles.data[t]);
}
inline void load(int t, const void* from, std::int64_t stride) {
  require(tiles.configured);
  zero(t);
  for (int r = 0; r < tiles.rows[t]; ++r) {
    std::memcpy(tiles.data[t][r], static_cast<const char*>(from) + r * stride, tiles.row_bytes[t]);
  }
}
inline void store(int t, void* to, std::int64_t stride) {
  require(tiles.configured);
  for (int r = 0; r < tiles.rows[t]; ++r) {
    std::memcpy(static_cast<char*>(to) + r * stride, tiles.data[t][r], tiles.row_bytes[t]);
  }
}
inline float widened(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
// While it lives, subnormal values are zero, as in the processor's products of tiles.
class Flushed {
 public:
  Flushed() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // FTZ and DAZ
  ~Flushed() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};
// TDPBF16PS: c[m][n] += a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1]. Here for k in order; a processor may first add the
// terms of a product.
inline void dot(int c, int a, int b) {
  require(tiles.configured && c != a && c != b && a != b);
  require(tiles.rows[c] == tiles.rows[a] && tiles.row_bytes[a] == 4 * tiles.rows[b] &&
          tiles.row_bytes[c] == tiles.row_bytes[b]);
  const Flushed flushed;
  for (int m = 0; m < tiles.rows[c]; ++m) {
    float sum[16];
    std::memcpy(sum, tiles.data[c][m], sizeof sum);
    std::uint32_t left[16];
    std::memcpy(left, tiles.data[a][m], sizeof left);
    for (int k = 0; k < tiles.row_bytes[a] / 4; ++k) {
      std::uint32_t right[16];
      std::memcpy(right, tiles.data[b][k], sizeof right);
      const float even = widened(left[k] << 16);
      const float odd = widened(left[k] & 0xffff0000);
      for (int n = 0; n < 16; ++n) {
        sum[n] += even * widened(right[n] << 16);
        sum[n] += odd * widened(right[n] & 0xffff0000);
      }
    }
    std::memcpy(tiles.data[c][m], sum, sizeof sum);
  }
}

}  // namespace emulated
}  // namespace fastcka::cpu

#define _tile_loadconfig(shapes) ::fastcka::cpu::emulated::load_config(shapes)
#define _tile_release() ::fastcka::cpu::emulated::release()
#define _tile_zero(t) ::fastcka::cpu::emulated::zero(t)
#define _tile_loadd(t, from, stride) ::fastcka::cpu::emulated::load(t, from, stride)
#define _tile_stored(t, to, stride) ::fastcka::cpu::emulated::store(t, to, stride)
#define _tile_dpbf16ps(c, a, b) ::fastcka::cpu::emulated::dot(c, a, b)
