// Inner products of centred Gram matrices when the examples of one of them are permuted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../estimate.hpp"
#include "../hsic.hpp"
#include "loops/implementation.hpp"

namespace fastcka::cpu {

// The CKA of all pairs i < j under permutations of the examples of j, with the same permutation for all pairs.
class Permuted {
 public:
  virtual ~Permuted() = default;

  // permutations (count, n), each of 0 to n-1: example a of i meets example permutations[k][a] of j. Returns
  // (count, m(m-1)/2), the pairs row by row of the upper triangle. The bits do not depend on the number of threads.
  virtual std::vector<double> similarities(const std::int32_t* permutations, std::int64_t count, int threads,
                                           const Poll& poll) const = 0;
  virtual std::int64_t n() const = 0;
  virtual std::int64_t m() const = 0;
};

// The most examples, because positions in a permutation have 16 bits.
inline constexpr std::int64_t most_permuted = 65536;

std::unique_ptr<Permuted> make_permuted(const std::vector<View>& views, Estimator estimator,
                                        const std::string& implementation, const std::string& products, int threads,
                                        const Poll& poll);

// Bytes of the Gram matrices, and of one thread for `count` permutations at once.
std::int64_t permuted_gram_bytes(std::int64_t n, std::int64_t m, std::int64_t value_bytes);
std::int64_t permuted_thread_bytes(std::int64_t n, std::int64_t m, std::int64_t count, std::int64_t value_bytes);

}  // namespace fastcka::cpu
