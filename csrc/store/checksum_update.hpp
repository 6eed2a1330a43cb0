// XXH3 for the instructions of the file that includes this; all of its functions are the file's.
#pragma once

#include <cstddef>

#define XXH_INLINE_ALL
#include "../third_party/xxhash/xxhash.h"

namespace fastcka::store {

// Same state and same result, with wider vectors; for machines that have them.
void update_avx2(XXH3_state_t& state, const void* data, std::size_t bytes);
void update_avx512(XXH3_state_t& state, const void* data, std::size_t bytes);

}  // namespace fastcka::store
