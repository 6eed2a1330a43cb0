#include "pass.hpp"

#include "features.hpp"
#include "gram.hpp"
#include "implementation.hpp"
#include "norms.hpp"
#include "pool.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {
namespace {

template <class T>
Sums run_with(const Products<T>& products, const Implementation& implementation, const std::vector<View>& views,
              const Request& request, const Poll& poll) {
  Pool pool(request.threads, poll);

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

}  // namespace

Sums run(const std::vector<View>& views, const Request& request, const Poll& poll) {
  const Implementation& implementation = find_implementation(request.implementation);
  if (request.products == implementation.float64.name) {
    return run_with(implementation.float64, implementation, views, request, poll);
  }
  return run_with(implementation.single(request.products), implementation, views, request, poll);
}

}  // namespace fastcka::cpu
