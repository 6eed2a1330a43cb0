// The fused pass on the CPU: views in, S0 and k out.
#pragma once

#include <vector>

#include "../hsic.hpp"

namespace fastcka::cpu {

// All views have the same n. Bitwise the same result for any number of threads.
Sums run(const std::vector<View>& views, const Request& request, const Poll& poll);

}  // namespace fastcka::cpu
