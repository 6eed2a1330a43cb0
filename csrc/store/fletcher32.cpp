#include "fletcher32.hpp"

#include <algorithm>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the words are summed as little-endian words");

namespace fastcka::store {
namespace {

typedef std::uint32_t Vector __attribute__((vector_size(32)));
constexpr std::uint64_t lanes = sizeof(Vector) / sizeof(std::uint32_t);
constexpr std::uint64_t words = 2 * lanes;  // in a vector: the lower and the upper half of each lane
constexpr std::uint64_t modulus = 65535;

// A lane's sum of sums stays below 2^32 for this many words: 65535 * 360 * 361 / 2.
constexpr std::size_t longest = 360;

std::uint32_t swapped(std::uint64_t sum, bool zero) {
  const auto rest = static_cast<std::uint16_t>(sum % modulus);
  return zero ? 0 : __builtin_bswap16(rest == 0 ? static_cast<std::uint16_t>(modulus) : rest);
}

}  // namespace

void Fletcher32::update(const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  std::size_t vectors = bytes / sizeof(Vector);
  while (vectors > 0) {
    const std::size_t count = std::min(vectors, longest);
    Vector low1{}, low2{}, high1{}, high2{};
    for (std::size_t j = 0; j < count; ++j, from += sizeof(Vector)) {
      Vector pairs;
      std::memcpy(&pairs, from, sizeof pairs);
      low1 += pairs & 0xffff;
      low2 += low1;
      high1 += pairs >> 16;
      high2 += high1;
    }
    // Word i of vector j counts words * (count - j) - i times in sum2: once for itself and each later word.
    std::uint64_t sum1 = 0;
    std::uint64_t sum2 = 0;
    for (std::uint64_t lane = 0; lane < lanes; ++lane) {
      sum1 += std::uint64_t{low1[lane]} + high1[lane];
      sum2 += words * (std::uint64_t{low2[lane]} + high2[lane]);
      sum2 -= 2 * lane * low1[lane] + (2 * lane + 1) * high1[lane];
    }
    sum2_ = (sum2_ + words * count * sum1_ + sum2) % modulus;
    sum1_ = (sum1_ + sum1) % modulus;
    zero_ = zero_ && sum1 == 0;
    vectors -= count;
  }
  for (std::size_t rest = bytes % sizeof(Vector) / 2; rest > 0; --rest, from += 2) {
    std::uint16_t word;
    std::memcpy(&word, from, sizeof word);
    sum1_ = (sum1_ + word) % modulus;
    sum2_ = (sum2_ + sum1_) % modulus;
    zero_ = zero_ && word == 0;
  }
}

std::uint32_t Fletcher32::value() const { return swapped(sum2_, zero_) << 16 | swapped(sum1_, zero_); }

}  // namespace fastcka::store
