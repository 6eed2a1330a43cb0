// From views to centred panels: column means in float64, centring, scaling, squared norms, detection of non-finite
// values and of far examples. Two reads of the data, one write.
#pragma once

#include <vector>

#include "../hsic.hpp"
#include "column_terms.hpp"
#include "folds.hpp"
#include "loops/implementation.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// The order of the centred copy, in cells (see implementation.hpp). The examples are cut into chunks; within a chunk
//     gram      chunk = lanes: one panel of examples, [steps of d][lanes]
//     features  ceil(d / lanes) panels of features, each [steps of the chunk][lanes]
// Absent lanes are zero. Either way a chunk takes no more room than its rows padded to `lanes`, so that a staged buffer
// is rearranged within itself.
struct CopyFormat {
  std::int64_t chunk;  // even where a cell is a pair of examples
  Route route;
};

// Extents of the copy of one representation that is not staged.
struct CopyExtent {
  std::int64_t rows;
  std::int64_t pitch;  // bytes from one example to the next

  std::int64_t bytes() const { return rows * pitch; }
};

CopyExtent copy_extent(std::int64_t n, std::int64_t d, Route route, const ProductShape& shape);

// Bytes of one thread's buffer for values that are centred and not yet packed.
std::int64_t prepare_workspace_bytes(std::int64_t d, const CopyFormat& format, bool staged, const ProductShape& shape);

// One representation, centred and times 2^-exponent.
struct Centered {
  std::byte* data;
  std::int64_t d;
  std::int64_t pitch;  // bytes from one example to the next

  // A panel of examples (gram).
  const std::byte* panel(std::int64_t index, std::int64_t lanes) const { return data + index * lanes * pitch; }
};

// Positions of examples that are far from all others in some representation, in ascending order, and their rows (count,
// d) in each: centred, times 2^-exponent, rounded as in the copy.
struct Far {
  std::vector<std::int64_t> rows;
  std::vector<std::vector<double>> x;
};

// How one representation is centred.
struct Centring {
  std::vector<double> center;     // (d): about this, ...
  double scale;                   // ... then times this
  std::vector<double> far_total;  // (d): the sum of its far rows; empty where it has none
};

struct Prepared {
  std::int64_t n;  // positions in the copy; without folds, these are the examples
  CopyFormat format;
  std::int64_t batch;  // representations that have room at once
  std::vector<Centring> centring;
  std::vector<Centered> x;
  Far far;
  std::vector<double> k;             // (m, n): squared norms
  std::vector<double> column_terms;  // (m): the sums of csrc/cpu/column_terms.hpp; empty: not wanted
  std::vector<double> q;  // (m, n): row sums of the Gram matrices; empty without far examples, where they are zero
  Block<std::byte> copy;  // of those that were not staged
  Folds folds;
};

// Fills exponent, constant and non_finite of sums. Nothing is centred yet. Of those that are not staged, `batch` at a
// time have room. With folds, no view is staged.
template <class T>
Prepared prepare(const std::vector<View>& views, const CopyFormat& format, std::int64_t batch,
                 const Implementation& implementation, const Kernels<T>& kernels, Pool& pool, Folds folds, Sums& sums);

// Centres the representations [begin, end), which are in one batch, and fills their k, q and column_terms. In the
// features route the far examples are zero in the copy: far_sums adds what they contribute.
template <class T>
void center(const std::vector<View>& views, Range representations, const Kernels<T>& kernels, Pool& pool,
            Prepared& prepared);

}  // namespace fastcka::cpu
