// How fast the inner loops run on this machine, for predictions. No bit that a pass on the CPU computes depends on it;
// a prediction may decide that a GPU is to compute.
#pragma once

#include <string>

namespace fastcka::cpu {

// Of all threads together, but for `call`.
struct Speed {
  double steps;       // of whole micro-tiles, a second
  double call;        // seconds of one thread that a product takes in addition to its steps
  double rank;        // multiply-adds of the rank update, a second
  double statistics;  // float32 values a second: column statistics, read from memory
  double center;      // float32 values a second: centred, packed and written, with the powers of the columns
  double entries;     // Gram entries a second: third moments
};

// Takes some milliseconds. Throws std::invalid_argument for names that are not available.
Speed measure_speed(const std::string& implementation, const std::string& products, int threads);

}  // namespace fastcka::cpu
