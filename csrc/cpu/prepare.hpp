// From views to centred panels: column means in float64, centring, scaling, squared norms, detection of non-finite
// values. Two reads of the data, one write.
#pragma once

#include <vector>

#include "../hsic.hpp"
#include "implementation.hpp"
#include "memory.hpp"
#include "pool.hpp"

namespace fastcka::cpu {

// How the centred copy is laid out. The examples are cut into chunks; within a chunk
//     gram      chunk = lanes: one panel of examples, [d][lanes]
//     features  ceil(d / lanes) panels of features, each [examples of the chunk][lanes]
// Absent lanes are zero. Either way a chunk takes no more room than its rows padded to `lanes`, so that a staged buffer
// is rearranged within itself.
struct Layout {
  std::int64_t chunk;
  std::int64_t lanes;
  Route route;
};

// One representation, centred and times 2^-exponent.
template <class T>
struct Centered {
  T* data;
  std::int64_t d;
  std::int64_t pitch;  // elements from one example's place to the next

  // A panel of examples (gram).
  const T* panel(std::int64_t index, std::int64_t lanes) const { return data + index * lanes * pitch; }
};

template <class T>
struct Prepared {
  std::int64_t n;
  Layout layout;
  std::vector<Centered<T>> x;
  Block<T> copy;  // of those that were not staged
};

// Fills k, exponent, constant and non_finite of sums. If there are non-finite values, nothing is centred.
template <class T>
Prepared<T> prepare(const std::vector<View>& views, const Layout& layout, const Implementation& implementation,
                    Pool& pool, Sums& sums);

}  // namespace fastcka::cpu
