#include "pass.hpp"

#include <chrono>

#include "far_examples.hpp"
#include "features.hpp"
#include "gram.hpp"
#include "implementation.hpp"
#include "memory.hpp"
#include "norms.hpp"
#include "pool.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {
namespace {

// k_i.k_j without the far examples.
std::vector<double> near_norm_products(const Prepared& prepared, const Sums& sums, const Products<double>& float64,
                                       Pool& pool) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  std::vector<double> k = sums.k;
  for (std::int64_t i = 0; i < m; ++i) {
    for (const std::int64_t a : prepared.far.rows) k[static_cast<std::size_t>(i * prepared.n + a)] = 0;
  }
  return norm_products(k, m, prepared.n, float64, pool);
}

// The diagonal of an (m, m) matrix.
std::vector<double> diagonal(const std::vector<double>& matrix, std::int64_t m) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < m; ++i) values.push_back(matrix[static_cast<std::size_t>(i * (m + 1))]);
  return values;
}

template <class T>
Sums run_with(const Products<T>& products, const Implementation& implementation, const std::vector<View>& views,
              const Request& request, Pool& pool) {
  Sums sums;
  const Layout layout{request.route == Route::gram ? products.lanes : request.chunk, request.route};
  const Prepared prepared = prepare(views, layout, implementation, products, pool, sums);
  if (!sums.non_finite.empty()) return sums;

  const auto m = static_cast<std::int64_t>(views.size());
  const Products<double>& float64 = implementation.float64;
  sums.norms = norm_products(sums.k, m, prepared.n, float64, pool);
  const bool has_far = !prepared.far.rows.empty();
  const std::vector<double> near = has_far ? near_norm_products(prepared, sums, float64, pool) : sums.norms;
  if (has_far) {
    sums.r = sums.q;
    for (std::size_t at = 0; at < sums.r.size(); ++at) sums.r[at] -= sums.k[at];
    sums.q_products = norm_products(sums.q, m, prepared.n, float64, pool);
    sums.r_products = norm_products(sums.r, m, prepared.n, float64, pool);
    sums.near_norms = diagonal(near, m);
  }
  if (request.route == Route::gram) {
    sums.s0 = gram_sums(prepared, request.tile, products, pool);
    sums.summed = diagonal(sums.s0, m);
    return sums;
  }
  sums.s0 = feature_sums(prepared, request.tile, products, pool);
  sums.summed = diagonal(sums.s0, m);
  for (std::size_t at = 0; at < near.size(); ++at) sums.s0[at] -= near[at];
  if (has_far) {
    const std::vector<double> far = far_sums(prepared, products, float64, pool);
    for (std::size_t at = 0; at < far.size(); ++at) sums.s0[at] += far[at];
  }
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
