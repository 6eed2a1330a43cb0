// NumPy arrays that own what the pass returns.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

#include "subsets.hpp"

namespace fastcka {

// A NumPy array that owns the vector's memory.
template <class T>
pybind11::array_t<T> to_array(std::vector<T>&& values, std::vector<pybind11::ssize_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  const pybind11::capsule owner(owned, [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  return pybind11::array_t<T>(std::move(shape), owned->data(), owner);
}

inline pybind11::dict to_dict(SubsetSums&& sums, pybind11::ssize_t count, pybind11::ssize_t m) {
  pybind11::dict fields;
  fields["s0"] = to_array(std::move(sums.s0), {count, m, m});
  fields["norms"] = to_array(std::move(sums.norms), {count, m, m});
  fields["near_norms"] = to_array(std::move(sums.near_norms), {count, m, m});
  fields["q_products"] = to_array(std::move(sums.q_products), {count, m, m});
  fields["r_products"] = to_array(std::move(sums.r_products), {count, m, m});
  fields["summed"] = to_array(std::move(sums.summed), {count, m});
  fields["q_totals"] = to_array(std::move(sums.q_totals), {count, m});
  fields["r_totals"] = to_array(std::move(sums.r_totals), {count, m});
  return fields;
}

}  // namespace fastcka
