#include "checksum.hpp"

#define XXH_INLINE_ALL
#include "../third_party/xxhash/xxhash.h"

namespace fastcka::store {

struct Checksum::State {
  XXH3_state_t xxh3;
};

Checksum::Checksum(std::string_view dataset, std::int64_t chunk) : state_(new State) {
  const auto position = static_cast<std::uint64_t>(chunk);
  XXH3_INITSTATE(&state_->xxh3);
  XXH3_64bits_reset_withSeed(&state_->xxh3, XXH3_64bits_withSeed(dataset.data(), dataset.size(), position));
}

Checksum::~Checksum() = default;

void Checksum::update(const void* data, std::size_t bytes) { XXH3_64bits_update(&state_->xxh3, data, bytes); }

std::uint64_t Checksum::value() const { return XXH3_64bits_digest(&state_->xxh3); }

}  // namespace fastcka::store
