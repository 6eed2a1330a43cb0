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
Sums run_as(const std::vector<View>& views, const Request& request, const Poll& poll) {
  const Implementation& implementation = find_implementation(request.implementation);
  const Products<T>& products = implementation.products<T>();
  Pool pool(request.threads, poll);

  Sums sums;
  const Layout layout{request.route == Route::gram ? products.lanes : request.chunk, products.lanes, request.route};
  const Prepared<T> prepared = prepare<T>(views, layout, implementation, pool, sums);
  if (!sums.non_finite.empty()) return sums;

  const auto m = static_cast<std::int64_t>(views.size());
  sums.norms = norm_products(sums.k, m, prepared.n, implementation.float64, pool);
  sums.s0 = request.route == Route::gram ? gram_sums(prepared, request.tile, products, pool)
                                         : feature_sums(prepared, request.tile, products, sums.norms, pool);
  return sums;
}

}  // namespace

Sums run(const std::vector<View>& views, const Request& request, const Poll& poll) {
  return request.float64 ? run_as<double>(views, request, poll) : run_as<float>(views, request, poll);
}

}  // namespace fastcka::cpu
