// The checksum of one chunk of a dataset, format 1.1: XXH3-64 of its rows (without the padding of the last chunk), with
// the seed XXH3-64(path of the dataset, seed = index of the chunk). A chunk that was moved does not match.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace fastcka::store {

class Checksum {
 public:
  Checksum(std::string_view dataset, std::int64_t chunk);
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void update(const void* data, std::size_t bytes);

  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fastcka::store
