// The fused pass on the CPU: views in, sums out, for one group of representations or many.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cpu {

// What the planner decided; the pass only carries it out.
struct Request {
  Route route;
  std::int64_t tile;           // edge of a tile: examples (gram) or features (features)
  std::int64_t chunk;          // examples between float64 sums (features)
  std::string implementation;  // of the inner loops, by name: one of available_implementations()
  std::string products;        // one of that implementation's, by name
};

// All views have the same n. No staged view shares memory with another view of any group.
struct Group {
  std::vector<View> views;
  Request request;
};

struct Result {
  Sums sums;
  double seconds;  // by the clock, from the first read of this group to its sums
};

// One group has all threads; of several, each is computed by one thread, side by side. The units of the poll are then
// groups. Bitwise the same results either way, for any number of threads.
std::vector<Result> run(const std::vector<Group>& groups, int threads, const Poll& poll);

}  // namespace fastcka::cpu
