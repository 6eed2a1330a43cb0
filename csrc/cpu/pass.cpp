#include "pass.hpp"

#include <chrono>

#include "features.hpp"
#include "gram.hpp"
#include "implementation.hpp"
#include "memory.hpp"
#include "norms.hpp"
#include "pool.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {
namespace {

template <class T>
Sums run_with(const Products<T>& products, const Implementation& implementation, const std::vector<View>& views,
              const Request& request, Pool& pool) {
  Sums sums;
  const Layout layout{request.route == Route::gram ? products.lanes : request.chunk, request.route};
  const Prepared prepared = prepare(views, layout, implementation, products, pool, sums);
  if (!sums.non_finite.empty()) return sums;

  const auto m = static_cast<std::int64_t>(views.size());
  sums.norms = norm_products(sums.k, m, prepared.n, implementation.float64, pool);
  sums.s0 = request.route == Route::gram ? gram_sums(prepared, request.tile, products, pool)
                                         : feature_sums(prepared, request.tile, products, sums.norms, pool);
  return sums;
}

Result run_group(const Group& group, Pool& pool) {
  const auto start = std::chrono::steady_clock::now();
  const Request& request = group.request;
  const Implementation& implementation = find_implementation(request.implementation);
  Sums sums = request.products == implementation.float64.name
                  ? run_with(implementation.float64, implementation, group.views, request, pool)
                  : run_with(implementation.single(request.products), implementation, group.views, request, pool);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {std::move(sums), seconds.count()};
}

}  // namespace

std::vector<Result> run(const std::vector<Group>& groups, int threads, const Poll& poll) {
  std::vector<Result> results(groups.size());
  Pool pool(threads, poll);
  if (groups.size() == 1) {
    results[0] = run_group(groups[0], pool);
    return results;
  }
  std::vector<KeptMemory> kept(static_cast<std::size_t>(threads));
  pool.run(static_cast<std::int64_t>(groups.size()), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    const Poll of_all = [&pool, worker](std::int64_t, std::int64_t) { pool.checkpoint(worker); };
    Pool own(1, of_all);
    const KeptMemory::Use use(kept[static_cast<std::size_t>(worker)]);
    results[static_cast<std::size_t>(item)] = run_group(groups[static_cast<std::size_t>(item)], own);
  });
  return results;
}

}  // namespace fastcka::cpu
