// The order of the examples in a pass with subsets: fold after fold, so that each fold is a range of positions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../integers.hpp"
#include "../subsets.hpp"
#include "loops/implementation.hpp"

namespace fastcka::cpu {

// Positions of one fold, or a part of them.
struct Segment {
  std::int64_t begin, end;
  std::int64_t fold;
};

struct Folds {
  std::int64_t count = 0;             // 0: positions are examples
  bool nested = false;                // as in Subsets
  std::vector<std::int64_t> example;  // at each position; -1: a row of zeros, which adds nothing to any sum
  std::vector<std::int64_t> begin;    // the first position of each fold, and the number of positions at the end

  Folds() = default;

  // Every fold begins at a multiple of `step` positions.
  Folds(const Subsets& subsets, std::int64_t step) : count(subsets.count), nested(subsets.nested) {
    for (std::int64_t fold = 0; fold < count; ++fold) {
      begin.push_back(positions());
      for (std::size_t a = 0; a < subsets.fold.size(); ++a) {
        if (subsets.fold[a] == fold) example.push_back(static_cast<std::int64_t>(a));
      }
      while (positions() % step != 0) example.push_back(-1);
    }
    if (count > 0) begin.push_back(positions());
  }

  std::int64_t positions() const { return static_cast<std::int64_t>(example.size()); }

  std::int64_t fold_at(std::int64_t position) const {
    return std::upper_bound(begin.begin(), begin.end(), position) - begin.begin() - 1;
  }

  bool contains(std::int64_t subset, std::int64_t fold) const { return nested ? fold <= subset : fold != subset; }

  // The positions [first, last) cut at the boundaries of folds. Without folds: all in one.
  std::vector<Segment> segments(std::int64_t first, std::int64_t last) const {
    if (count == 0) return {{first, last, 0}};
    std::vector<Segment> parts;
    last = std::min(last, positions());
    for (std::int64_t position = first; position < last; position = parts.back().end) {
      const std::int64_t fold = fold_at(position);
      parts.push_back({position, std::min(last, begin[to_size(fold + 1)]), fold});
    }
    return parts;
  }

  // The positions of a subset in [first, last).
  std::vector<Range> kept(std::int64_t subset, std::int64_t first, std::int64_t last) const {
    const std::int64_t until = begin[to_size(nested ? subset + 1 : subset)];
    std::vector<Range> ranges{{first, std::min(last, until)}};
    if (!nested) ranges.push_back({std::max(first, begin[to_size(subset + 1)]), last});
    ranges.erase(std::remove_if(ranges.begin(), ranges.end(), [](const Range& r) { return r.begin >= r.end; }),
                 ranges.end());
    return ranges;
  }
};

// The upper triangles of `count` (m, m) matrices become the lower ones too.
inline void mirror(std::int64_t count, std::int64_t m, std::vector<double>& matrices) {
  for (std::int64_t matrix = 0; matrix < count; ++matrix) {
    double* entries = &matrices[to_size(matrix * m * m)];
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = i + 1; j < m; ++j) entries[j * m + i] = entries[i * m + j];
    }
  }
}

}  // namespace fastcka::cpu
