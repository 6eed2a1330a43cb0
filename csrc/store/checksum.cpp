#include "checksum.hpp"

#include "checksum_update.hpp"

namespace fastcka::store {
namespace {

using Update = void (*)(XXH3_state_t& state, const void* data, std::size_t bytes);

void update_any(XXH3_state_t& state, const void* data, std::size_t bytes) { XXH3_64bits_update(&state, data, bytes); }

Update fastest() {
#ifdef FASTCKA_X86_64
  if (__builtin_cpu_supports("avx512f")) return &update_avx512;
  if (__builtin_cpu_supports("avx2")) return &update_avx2;
#endif
  return &update_any;
}

}  // namespace

struct Checksum::State {
  XXH3_state_t xxh3;
};

Checksum::Checksum(std::string_view dataset, std::int64_t chunk) : state_(new State) {
  const auto position = static_cast<std::uint64_t>(chunk);
  XXH3_INITSTATE(&state_->xxh3);
  XXH3_64bits_reset_withSeed(&state_->xxh3, XXH3_64bits_withSeed(dataset.data(), dataset.size(), position));
}

Checksum::~Checksum() = default;

void Checksum::update(const void* data, std::size_t bytes) {
  static const Update chosen = fastest();
  chosen(state_->xxh3, data, bytes);
}

std::uint64_t Checksum::value() const { return XXH3_64bits_digest(&state_->xxh3); }

}  // namespace fastcka::store
