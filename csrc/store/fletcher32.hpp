// HDF5's Fletcher-32: big-endian 16-bit words w_0 ... w_{N-1}, and
//     sum1 = sum of w_i,   sum2 = sum of (N - i) w_i,   both modulo 65535; a sum of 0 is written as 65535 unless all
//     words are 0.
// Swapping the bytes of a 16-bit word multiplies it by 256 modulo 65535. Little-endian words can therefore be summed
// directly, and the two sums are swapped once at the end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastcka::store {

class Fletcher32 {
 public:
  // Adds the next bytes; their number must be even.
  void update(const void* data, std::size_t bytes);

  std::uint32_t value() const;

 private:
  std::uint64_t sum1_ = 0;
  std::uint64_t sum2_ = 0;
  bool zero_ = true;
};

}  // namespace fastcka::store
