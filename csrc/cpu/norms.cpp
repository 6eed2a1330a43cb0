#include "norms.hpp"

#include <algorithm>

#include "threads/ordered_sum.hpp"

namespace fastcka::cpu {

std::vector<double> norm_products(const std::vector<double>& k, std::int64_t m, std::int64_t n,
                                  const Kernels<double>& kernels, Pool& pool) {
  constexpr std::int64_t block = 4096;  // examples of one partial sum
  OrderedSum sum(m, pool);
  pool.run(ceil_div(n, block), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    partial.reset(0, m, 0, m);
    const std::int64_t begin = item * block;
    kernels.rank_update(m, std::min(block, n - begin), k.data() + begin, n, partial.values.data());
    sum.commit(item, std::move(partial));
  });
  return sum.symmetric();
}

}  // namespace fastcka::cpu
