#include "checksum_update.hpp"

namespace fastcka::store {

void update_avx512(XXH3_state_t& state, const void* data, std::size_t bytes) {
  XXH3_64bits_update(&state, data, bytes);
}

}  // namespace fastcka::store
