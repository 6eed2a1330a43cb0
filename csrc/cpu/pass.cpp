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
#include "twofold.hpp"

namespace fastcka::cpu {
namespace {

// The diagonal of an (m, m) matrix.
std::vector<double> diagonal(const std::vector<double>& matrix, std::int64_t m) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < m; ++i) values.push_back(matrix[static_cast<std::size_t>(i * (m + 1))]);
  return values;
}

// The sums of the rows of an (m, n) array.
std::vector<double> totals(const std::vector<double>& rows, std::int64_t n) {
  std::vector<double> sums;
  for (auto row = rows.begin(); row != rows.end(); row += n) {
    Twofold sum;
    for (auto value = row; value != row + n; ++value) sum.add(*value);
    sums.push_back(sum.value + sum.rest);
  }
  return sums;
}

// Fills the products and totals of k and, with far examples, of q and r. Uses up k and q. Returns the products of the
// norms (m, m) without the far examples.
std::vector<double> sum_rows(Prepared& prepared, const Products<double>& float64, Pool& pool, Sums& sums) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t n = prepared.n;
  std::vector<double> k = std::move(prepared.k);
  std::vector<double> q = std::move(prepared.q);
  sums.norms = norm_products(k, m, n, float64, pool);
  sums.k_totals = totals(k, n);
  if (prepared.far.rows.empty()) return sums.norms;
  sums.q_products = norm_products(q, m, n, float64, pool);
  sums.q_totals = totals(q, n);
  for (std::size_t at = 0; at < q.size(); ++at) q[at] -= k[at];  // r
  sums.r_products = norm_products(q, m, n, float64, pool);
  sums.r_totals = totals(q, n);
  for (std::int64_t i = 0; i < m; ++i) {
    for (const std::int64_t a : prepared.far.rows) k[static_cast<std::size_t>(i * n + a)] = 0;
  }
  std::vector<double> near = norm_products(k, m, n, float64, pool);
  sums.near_norms = diagonal(near, m);
  return near;
}

template <class T>
Sums run_with(const Products<T>& products, const Implementation& implementation, const std::vector<View>& views,
              const Request& request, Pool& pool) {
  Sums sums;
  const Layout layout{request.route == Route::gram ? products.lanes : request.chunk, request.route};
  Prepared prepared = prepare(views, layout, implementation, products, pool, sums);
  if (!sums.non_finite.empty()) return sums;

  const auto m = static_cast<std::int64_t>(views.size());
  const std::vector<double> near = sum_rows(prepared, implementation.float64, pool, sums);
  if (request.route == Route::gram) {
    sums.s0 = gram_sums(prepared, request.tile, products, pool);
    sums.summed = diagonal(sums.s0, m);
    return sums;
  }
  sums.s0 = feature_sums(prepared, request.tile, products, pool);
  sums.summed = diagonal(sums.s0, m);
  for (std::size_t at = 0; at < near.size(); ++at) sums.s0[at] -= near[at];
  if (!prepared.far.rows.empty()) {
    const std::vector<double> far = far_sums(prepared, products, implementation.float64, pool);
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
