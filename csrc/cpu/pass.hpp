// The fused pass on the CPU: views in, S0 and k out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cpu {

// What the planner decided; the pass only carries it out.
struct Request {
  Route route;
  std::int64_t tile;   // edge of a tile: examples (gram) or features (features)
  std::int64_t chunk;  // examples between float64 sums (features)
  int threads;
  std::string implementation;  // of the inner loops, by name: one of available_implementations()
  std::string products;        // one of that implementation's, by name
};

// All views have the same n. Bitwise the same result for any number of threads.
Sums run(const std::vector<View>& views, const Request& request, const Poll& poll);

}  // namespace fastcka::cpu
