// Vectors of GCC and Clang, for the translation units named in implementation_simd.hpp.
#pragma once

namespace fastcka::cpu {
namespace {

template <class T, int BYTES>
struct VectorOf {
  typedef T type __attribute__((vector_size(BYTES)));
};
template <class T, int BYTES>
using Vector = typename VectorOf<T, BYTES>::type;

template <class V, class T>
inline V load(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class V, class T>
inline void store(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof value);
}

}  // namespace
}  // namespace fastcka::cpu
