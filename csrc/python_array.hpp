// Results as arrays of NumPy.
#pragma once

#include <pybind11/numpy.h>

#include <utility>
#include <vector>

namespace fastcka {

// A NumPy array that owns the vector's memory.
template <class T>
pybind11::array_t<T> to_array(std::vector<T>&& values, std::vector<pybind11::ssize_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  const pybind11::capsule owner(owned, [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  return pybind11::array_t<T>(std::move(shape), owned->data(), owner);
}

}  // namespace fastcka
