// Views of any strides, packed into one buffer by several threads.
#pragma once

#include <cstdint>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cpu {

// Copies each view to `buffer` plus its offset in bytes, in its dtype, as rows without gaps. Throws
// std::invalid_argument if a view does not fit into the bytes of the buffer, or there are no threads.
void gather(const std::vector<View>& views, const std::vector<std::int64_t>& offsets, char* buffer, std::int64_t bytes,
            int threads, const Poll& poll);

}  // namespace fastcka::cpu
