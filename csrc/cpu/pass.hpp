// The fused pass on the CPU: views in, sums out, for one group of representations or many.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../hsic.hpp"
#include "loops/implementation.hpp"

namespace fastcka::cpu {

// What the planner decided; the pass only carries it out.
struct Settings {
  Route route;
  std::int64_t tile;                 // edge of a tile: examples (gram) or features (features)
  std::int64_t chunk;                // examples between float64 sums (features)
  std::int64_t batch;                // representations that are centred at once; 0: all (others: gram only)
  std::string implementation;        // of the inner loops, by name: one of available_implementations()
  std::string products;              // one of that implementation's, by name
  std::vector<Route> moment_routes;  // for third moments: of the sums over entries of each representation; or empty
  bool column_terms = true;          // also those of csrc/cpu/column_terms.hpp
};

// One group of representations, ready to be computed. All views have the same n. No staged view shares memory with
// another view of any group.
struct Task {
  std::vector<View> views;
  Settings settings;
  Subsets subsets;
};

// Bytes that a pass needs in addition to its views, by purpose.
struct PassBytes {
  std::int64_t centered;    // the centred copies; made only of what is not centred in place. With a batch, its copies
                            // and the Gram tiles of all representations
  std::int64_t thread;      // the workspace of one thread
  std::int64_t sums;        // the partial sums of one thread: one in work and two that wait
  std::int64_t statistics;  // of all columns; they end before the products begin
  std::int64_t results;     // k, q and the sums of all pairs
};

// `in_place`: all representations are staged and centred in place. 0 subsets: none are wanted.
PassBytes bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, Route route, std::int64_t tile,
                       std::int64_t chunk, std::int64_t batch, bool in_place, const std::vector<Route>& moment_routes,
                       std::int64_t subsets, const ProductShape& shape);

struct Result {
  Sums sums;
  double seconds;  // by the clock, from the first read of this group to its sums
};

// One group has all threads; of several, each is computed by one thread, side by side. The units of the poll are then
// groups. Bitwise the same results either way, for any number of threads.
std::vector<Result> run(const std::vector<Task>& tasks, int threads, const Poll& poll);

}  // namespace fastcka::cpu
