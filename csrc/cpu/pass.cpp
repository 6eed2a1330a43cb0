#include "pass.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "far_examples.hpp"
#include "features.hpp"
#include "fold_pairs.hpp"
#include "gram.hpp"
#include "loops/implementation.hpp"
#include "norms.hpp"
#include "prepare.hpp"
#include "subset_rows.hpp"
#include "third_moments.hpp"
#include "threads/memory.hpp"
#include "threads/ordered_sum.hpp"
#include "threads/pool.hpp"
#include "twofold.hpp"

namespace fastcka::cpu {
namespace {

// The diagonals of (m, m) matrices.
std::vector<double> diagonals(const std::vector<double>& matrices, std::int64_t m) {
  std::vector<double> values;
  for (auto matrix = matrices.begin(); matrix != matrices.end(); matrix += m * m) {
    for (std::int64_t i = 0; i < m; ++i) values.push_back(matrix[i * (m + 1)]);
  }
  return values;
}

// sums += factor * terms
void add(double factor, const std::vector<double>& terms, std::vector<double>& sums) {
  for (std::size_t entry = 0; entry < terms.size(); ++entry) sums[entry] += factor * terms[entry];
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

// Fills the products and totals of k and r and, with far examples, of q. Uses up k and q. Returns the products of the
// norms (m, m) without the far examples.
std::vector<double> sum_rows(Prepared& prepared, const Kernels<double>& float64, Pool& pool, Sums& sums) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t n = prepared.n;
  std::vector<double> k = std::move(prepared.k);
  std::vector<double> q = std::move(prepared.q);
  sums.norms = norm_products(k, m, n, float64, pool);
  std::vector<double> near = sums.norms;
  if (prepared.far.rows.empty()) {
    sums.r_products = sums.norms;  // r = -k
    sums.r_totals = totals(k, n);
  } else {
    sums.q_products = norm_products(q, m, n, float64, pool);
    sums.q_totals = totals(q, n);
    for (std::size_t entry = 0; entry < q.size(); ++entry) q[entry] -= k[entry];  // r
    sums.r_products = norm_products(q, m, n, float64, pool);
    sums.r_totals = totals(q, n);
    for (std::int64_t i = 0; i < m; ++i) {
      for (const std::int64_t a : prepared.far.rows) k[to_size(i * n + a)] = 0;
    }
    near = norm_products(k, m, n, float64, pool);
  }
  sums.near_norms = diagonals(near, m);
  return near;
}

template <class T>
Sums run_with(const Kernels<T>& kernels, const Implementation& implementation, const Task& task, Pool& pool) {
  const std::vector<View>& views = task.views;
  const Settings& settings = task.settings;
  Sums sums;
  const CopyFormat format{settings.route == Route::gram ? kernels.lanes : settings.chunk, settings.route};
  const auto m = static_cast<std::int64_t>(views.size());
  const std::int64_t batch = settings.batch > 0 ? settings.batch : m;
  Folds folds(task.subsets, settings.route == Route::gram ? 1 : kernels.values);
  Prepared prepared = prepare(views, format, batch, implementation, kernels, pool, std::move(folds), sums);
  if (!sums.non_finite.empty()) return sums;
  if (!settings.column_terms) prepared.column_terms.clear();
  SubsetRows<T> subset_rows(prepared, kernels, implementation.float64, pool);

  std::optional<ThirdMoments> third;
  if (!settings.moment_routes.empty()) third.emplace(prepared.n, settings.moment_routes, kernels.lanes);
  const auto centred = [&](Range representations) {
    subset_rows.take(representations, sums.subsets);
    for (std::int64_t i = representations.begin; third && i < representations.end; ++i) {
      third->take(prepared, i);
      third->trace(prepared, i, kernels, implementation.whole<T>(), implementation.float64, pool);
    }
  };
  if (settings.route == Route::gram) {
    S0 s0 = gram_sums(views, settings.tile, kernels, pool, prepared, centred, third ? &*third : nullptr);
    if (third) third->finish(sums);
    sums.s0 = std::move(s0.all);
    sums.summed = diagonals(sums.s0, m);
    sums.subsets.s0 = std::move(s0.subsets);
    sums.subsets.summed = diagonals(sums.subsets.s0, m);
    sums.column_terms = std::move(prepared.column_terms);
    sum_rows(prepared, implementation.float64, pool, sums);
    return sums;
  }
  center(views, {0, m}, kernels, pool, prepared);
  centred({0, m});
  if (third) third->finish(sums);
  sums.column_terms = std::move(prepared.column_terms);
  const std::vector<double> near = sum_rows(prepared, implementation.float64, pool, sums);
  S0 s0 = feature_sums(prepared, settings.tile, kernels, implementation.float64, pool);
  sums.s0 = std::move(s0.all);
  sums.summed = diagonals(sums.s0, m);
  add(-1, near, sums.s0);
  sums.subsets.s0 = std::move(s0.subsets);
  sums.subsets.summed = diagonals(sums.subsets.s0, m);
  add(-1, sums.subsets.near_norms, sums.subsets.s0);
  if (!prepared.far.rows.empty()) {
    const S0 far = far_sums(prepared, kernels, implementation.float64, pool);
    add(1, far.all, sums.s0);
    add(1, far.subsets, sums.subsets.s0);
  }
  return sums;
}

Result run_task(const Task& task, Pool& pool) {
  const auto start = std::chrono::steady_clock::now();
  const Settings& settings = task.settings;
  const Implementation& implementation = find_implementation(settings.implementation);
  Sums sums = settings.products == implementation.float64.name
                  ? run_with(implementation.float64, implementation, task, pool)
                  : run_with(implementation.single(settings.products), implementation, task, pool);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {std::move(sums), seconds.count()};
}

}  // namespace

PassBytes bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, Route route, std::int64_t tile,
                       std::int64_t chunk, std::int64_t batch, bool in_place, const std::vector<Route>& moment_routes,
                       std::int64_t subsets, const ProductShape& shape) {
  const auto m = static_cast<std::int64_t>(widths.size());
  const bool gram = route == Route::gram;
  const std::int64_t widest = *std::max_element(widths.begin(), widths.end());
  const CopyFormat format{gram ? shape.lanes : chunk, route};
  PassBytes bytes{};
  n += gram ? 0 : subsets * (shape.values - 1);  // a row of zeros may end each fold
  const bool batched = batch > 0 && batch < m;
  std::int64_t total = 0;
  std::int64_t copies = 0;
  std::int64_t columns = 0;
  std::int64_t at_once = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int64_t d = widths[to_size(i)];
    total += d;
    if (batched && i % batch == 0) copies = columns = 0;
    columns += d;
    at_once = std::max(at_once, columns);
    copies += copy_extent(n, d, route, shape).bytes();
    bytes.centered = std::max(bytes.centered, copies);
  }
  if (batched) bytes.centered += gram_bytes(n, m, tile, shape);
  bytes.thread = prepare_workspace_bytes(widest, format, in_place, shape) +
                 (gram ? gram_workspace_bytes(batched ? 0 : m, tile, shape)
                       : feature_workspace_bytes(tile, chunk, subsets, shape));
  bytes.sums = partial_sums_per_thread * (gram ? gram_sum_bytes(m) : feature_sum_bytes(m, subsets));
  bytes.statistics = statistics_bytes(n, total);
  // As many columns as are centred at once.
  bytes.statistics = std::max(bytes.statistics, ColumnPowers(n, format.chunk).bytes(at_once));
  bytes.results = (2 * m * n + 2 * m * m) * static_cast<std::int64_t>(sizeof(double));
  if (subsets > 0) {
    bytes.centered += subset_rows_bytes(n, widths, subsets, batched);
    bytes.thread += subset_rows_workspace_bytes(subsets);
    if (gram) {
      bytes.thread += gram_workspace_bytes(m, tile, shape);  // blocks of a tile
      bytes.sums += partial_sums_per_thread * gram_block_bytes(n, m, tile, subsets);
    }
    bytes.results += (5 * m * m + 3 * m) * subsets * static_cast<std::int64_t>(sizeof(double));
    bytes.results += FoldPairs::bytes(subsets, m);
  }
  if (!moment_routes.empty()) {
    const MomentBytes moments = ThirdMoments::bytes(n, widths, moment_routes, route, tile, shape);
    bytes.results += moments.shared;
    bytes.thread = std::max(bytes.thread, moments.thread);
  }
  return bytes;
}

std::vector<Result> run(const std::vector<Task>& tasks, int threads, const Poll& poll) {
  std::vector<Result> results(tasks.size());
  Pool pool(threads, poll);
  if (tasks.size() == 1) {
    results[0] = run_task(tasks[0], pool);
    return results;
  }
  std::vector<KeptMemory> kept(to_size(threads));
  pool.run(static_cast<std::int64_t>(tasks.size()), Pool::Progress::reported, [&](std::int64_t item, int worker) {
    const Poll poll_groups = [&pool, worker](std::int64_t, std::int64_t) { pool.checkpoint(worker); };
    Pool one_thread(1, poll_groups);
    const KeptMemory::Use use(kept[to_size(worker)]);
    results[to_size(item)] = run_task(tasks[to_size(item)], one_thread);
  });
  return results;
}

}  // namespace fastcka::cpu
