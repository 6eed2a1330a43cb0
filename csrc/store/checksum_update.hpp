// XXH3 compiled for the instruction set of the file that includes this header; its functions are local to that file.
#pragma once

#include <cstddef>

#define XXH_INLINE_ALL
#include "../third_party/xxhash/xxhash.h"

namespace fastcka::store {

// The same state and result as XXH3_64bits_update, with wider vectors, for machines that have them.
void update_avx2(XXH3_state_t& state, const void* data, std::size_t bytes);
void update_avx512(XXH3_state_t& state, const void* data, std::size_t bytes);

}  // namespace fastcka::store
